//! Mamba-2 state space (Nemotron, Granite 4, Falcon-H1).
//!
//! State bytes per sequence and layer = `inner` · `state` · 4, whatever its length, and the inputs
//! of the convolution (`inner` + 2 · `groups` · `state`) · (`conv` − 1) · 2.

use crate::arithmetic::cache::Component;
use crate::arithmetic::family::delta::{CHUNK, state_and_conv};
use crate::arithmetic::family::{Family, Mixing};
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::model::{LayerSet, Mamba2};

impl Mamba2 {
    /// Channels of the convolution: inputs and both state projections.
    fn channels(&self) -> u64 {
        self.inner.get() + 2 * self.groups.get() * self.state.get()
    }
}

impl Family for Mamba2 {
    /// In `h·(2·inner + 2·g·state + n)`, convolution `(inner + 2·g·state)·taps` and its bias, out
    /// `inner·h`, A, D and time step `3·n`, norm `inner`.
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let class = Class::Linear;
        let (inner, heads) = (self.inner.get(), self.heads.get());
        let rows = inner + self.channels() + heads;
        let mut vectors = 3 * heads;
        if self.norm {
            vectors += inner;
        }
        if self.conv_bias {
            vectors += self.channels();
        }
        vec![
            Tensor::matrix(Role::LinearIn, class, rows, hidden, Shard::Split),
            Tensor::matrix(Role::Conv, class, self.channels(), self.conv.get(), Shard::Split),
            Tensor::matrix(Role::LinearOut, class, hidden, inner, Shard::Split),
            Tensor::vector(class, vectors),
        ]
    }

    fn cache(&self, _hidden: u64, layers: &LayerSet) -> Vec<Component> {
        let conv = self.channels() * (self.conv.get() - 1);
        state_and_conv(layers, self.inner.get() * self.state.get(), conv, self.heads.get())
    }

    /// Per token the state is updated and read, `4·inner·state`; tokens of a chunk also meet each
    /// other, `4·chunk·inner`.
    fn mixing(&self, _hidden: u64, new: u64, _depth: u64) -> Mixing {
        let inner = self.inner.get();
        let per_token = 4 * inner * self.state.get() + 4 * new.min(CHUNK) * inner;
        Mixing { state_flop: new as f64 * per_token as f64, ..Mixing::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::decode::Count;

    #[test]
    fn nemotron_nano_by_hand() {
        let block = Mamba2 {
            inner: Count::new(4096),
            heads: Count::new(64),
            groups: Count::new(8),
            state: Count::new(128),
            conv: Count::new(4),
            norm: true,
            conv_bias: true,
        };
        let params: u64 = block.tensors(2688).iter().map(Tensor::params).sum();
        // 2688·(8192 + 2048 + 64) + 6144·4 + 4096·2688, vectors 192 + 4096 + 6144.
        assert_eq!(params, 27_697_152 + 24_576 + 11_010_048 + 10_432);
        let cache = block.cache(2688, &LayerSet::new(vec![0]));
        assert_eq!((cache[0].elements, cache[1].elements), (524_288, 18_432));
    }
}
