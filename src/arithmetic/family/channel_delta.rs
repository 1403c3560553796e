//! Gated delta rule with one decay per channel (Kimi Delta Attention).
//!
//! State bytes per sequence and layer = `heads` · `head_dim`² · 4, whatever its length, and the
//! inputs of the convolution 3 · `heads` · `head_dim` · (`conv` − 1) · 2.

use crate::arithmetic::cache::Component;
use crate::arithmetic::family::delta::{delta_flop, state_and_conv};
use crate::arithmetic::family::grouped::other;
use crate::arithmetic::family::{Family, Mixing};
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::model::{ChannelDelta, LayerSet};

impl ChannelDelta {
    /// Width of all heads.
    fn width(&self) -> u64 {
        self.heads.get() * self.head_dim.get()
    }
}

impl Family for ChannelDelta {
    /// With P all heads: q, k, v `3·h·P`, convolution `3·P·taps`, decay `h·d + d·P`, beta `h·n`,
    /// gate `h·P` or `h·d + d·P`, out `P·h`, vectors `n + P + d`.
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let class = Class::Linear;
        let (width, heads, dim) = (self.width(), self.heads.get(), self.head_dim.get());
        let mut list = vec![
            Tensor::matrix(Role::LinearIn, class, 3 * width, hidden, Shard::Split),
            Tensor::matrix(Role::Conv, class, 3 * width, self.conv.get(), Shard::Split),
            Tensor::matrix(Role::LinearSmall, class, dim, hidden, Shard::Replicated),
            Tensor::matrix(Role::LinearSmall, class, width, dim, Shard::Split),
            Tensor::matrix(Role::LinearSmall, class, heads, hidden, Shard::Split),
        ];
        if self.full_rank_gate {
            list.push(Tensor::matrix(Role::LinearGate, class, width, hidden, Shard::Split));
        } else {
            list.push(Tensor::matrix(Role::LinearGate, class, dim, hidden, Shard::Replicated));
            list.push(Tensor::matrix(Role::LinearGate, class, width, dim, Shard::Split));
        }
        list.push(Tensor::matrix(Role::LinearOut, class, hidden, width, Shard::Split));
        list.push(Tensor::vector(class, heads + width + dim));
        list.extend(other(class, self.other_params));
        list
    }

    fn cache(&self, _hidden: u64, layers: &LayerSet) -> Vec<Component> {
        let conv = 3 * self.width() * (self.conv.get() - 1);
        state_and_conv(layers, self.width() * self.head_dim.get(), conv, self.heads.get())
    }

    fn mixing(&self, _hidden: u64, new: u64, _depth: u64) -> Mixing {
        Mixing { state_flop: delta_flop(self.width(), self.head_dim.get(), new), ..Mixing::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::decode::Count;

    #[test]
    fn kimi_k3_by_hand() {
        let block = ChannelDelta {
            heads: Count::new(96),
            head_dim: Count::new(128),
            conv: Count::new(4),
            full_rank_gate: true,
            other_params: None,
        };
        let params: u64 = block.tensors(7168).iter().map(Tensor::params).sum();
        // P = 12,288; five matrices of 7168·12,288, convolution 3·P·4, decay 7168·128 + 128·P,
        // beta 7168·96, vectors 96 + P + 128.
        let hand = 5 * 88_080_384 + 147_456 + 917_504 + 1_572_864 + 688_128 + 12_512;
        assert_eq!(params, hand);
        // 69 layers: 69·(96·128·128·4 + 3·96·128·3·2) = 449 MB a sequence.
        let cache = block.cache(7168, &LayerSet::new((0..69).collect()));
        assert_eq!(cache[0].elements_held(9) * 4 + cache[1].elements_held(9) * 2, 449_372_160);
    }
}
