//! Mamba-1 state space (Jamba).
//!
//! State bytes per sequence and layer = `inner` · `state` · 4, whatever its length, and the inputs
//! of the convolution `inner` · (`conv` − 1) · 2.

use crate::arithmetic::cache::Component;
use crate::arithmetic::family::delta::state_and_conv;
use crate::arithmetic::family::{Family, Mixing};
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::model::{LayerSet, Mamba1};

impl Family for Mamba1 {
    /// In `h·2·inner`, convolution `inner·(taps + 1)`, x `inner·(dt + 2·state)`, dt `dt·inner +
    /// inner`, A `inner·state`, D `inner`, out `inner·h`, inner norms `dt + 2·state`.
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let class = Class::Linear;
        let (inner, state, rank) = (self.inner.get(), self.state.get(), self.dt_rank.get());
        let mut list = vec![
            Tensor::matrix(Role::LinearIn, class, 2 * inner, hidden, Shard::Split),
            Tensor::matrix(Role::Conv, class, inner, self.conv.get(), Shard::Split),
            Tensor::matrix(Role::LinearSmall, class, rank + 2 * state, inner, Shard::Split),
            Tensor::matrix(Role::LinearSmall, class, inner, rank, Shard::Split),
            Tensor::matrix(Role::LinearOut, class, hidden, inner, Shard::Split),
            // Biases of convolution and time step, A and D.
            Tensor::vector(class, inner * (state + 3)),
        ];
        if self.inner_norms {
            list.push(Tensor::vector(class, rank + 2 * state));
        }
        list
    }

    fn cache(&self, _hidden: u64, layers: &LayerSet) -> Vec<Component> {
        let inner = self.inner.get();
        state_and_conv(layers, inner * self.state.get(), inner * (self.conv.get() - 1), inner)
    }

    /// Per token the state is updated and read: `4·inner·state`.
    fn mixing(&self, _hidden: u64, new: u64, _depth: u64) -> Mixing {
        let per_token = 4 * self.inner.get() * self.state.get();
        Mixing { state_flop: new as f64 * per_token as f64, ..Mixing::default() }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "sums of whole numbers are exact")]
mod tests {
    use super::*;
    use crate::catalogue::decode::Count;

    #[test]
    fn jamba_mini_by_hand() {
        let block = Mamba1 {
            inner: Count::new(8192),
            state: Count::new(16),
            dt_rank: Count::new(256),
            conv: Count::new(4),
            inner_norms: true,
        };
        let params: u64 = block.tensors(4096).iter().map(Tensor::params).sum();
        // 4096·16,384 + 8192·4 + 8192·288 + 256·8192 + 8192·4096, vectors 8192·19 + 288.
        let hand = 67_108_864 + 32_768 + 2_359_296 + 2_097_152 + 33_554_432 + 155_648 + 288;
        assert_eq!(params, hand);
        let cache = block.cache(4096, &LayerSet::new(vec![0]));
        assert_eq!((cache[0].elements, cache[1].elements), (131_072, 24_576));
        assert_eq!(block.mixing(4096, 2, 0).state_flop, 2.0 * 4.0 * 131_072.0);
    }
}
