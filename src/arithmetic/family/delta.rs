//! Gated delta rule with one decay per head (Gated `DeltaNet` of Qwen3-Next and later).
//!
//! State bytes per sequence and layer = `value_heads` · `key_dim` · `value_dim` · 4, whatever its
//! length, and the inputs of the convolution (2 · keys + values) · (`conv` − 1) · 2.

use crate::arithmetic::cache::{Component, Content, Growth, Read};
use crate::arithmetic::family::{Family, Mixing};
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::model::{DeltaRule, LayerSet};

/// Tokens a chunked kernel handles at once.
pub(super) const CHUNK: u64 = 64;

/// The two components of a linear mixer: its state and the tail of its convolution.
pub(super) fn state_and_conv(layers: &LayerSet, state: u64, conv: u64, heads: u64) -> Vec<Component> {
    let component = |name, elements, content| Component {
        name,
        layers: layers.clone(),
        elements,
        growth: Growth::Fixed,
        content,
        read: Read::All,
        heads,
    };
    vec![component("state", state, Content::State), component("convolution inputs", conv, Content::Conv)]
}

/// Operations of a delta rule on `new` tokens. Per token the state is read for the key, updated and
/// read for the query: `6·values·key_dim`. Within a chunk tokens also meet each other: `4·chunk·values`.
pub(super) fn delta_flop(values: u64, key_dim: u64, new: u64) -> f64 {
    new as f64 * (6 * values * key_dim + 4 * new.min(CHUNK) * values) as f64
}

impl DeltaRule {
    /// Width of all key heads.
    fn keys(&self) -> u64 {
        self.key_heads.get() * self.key_dim.get()
    }

    /// Width of all value heads.
    fn values(&self) -> u64 {
        self.value_heads.get() * self.value_dim.get()
    }
}

impl Family for DeltaRule {
    /// In `h·(2·keys + values)`, gate `h·values`, decay and beta `h·2·nv`, convolution
    /// `(2·keys + values)·taps`, out `values·h`, vectors `2·nv + value_dim`.
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let class = Class::Linear;
        let (values, heads) = (self.values(), self.value_heads.get());
        let mixed = 2 * self.keys() + values;
        vec![
            Tensor::matrix(Role::LinearIn, class, mixed, hidden, Shard::Split),
            Tensor::matrix(Role::LinearGate, class, values, hidden, Shard::Split),
            Tensor::matrix(Role::LinearSmall, class, 2 * heads, hidden, Shard::Split),
            Tensor::matrix(Role::Conv, class, mixed, self.conv.get(), Shard::Split),
            Tensor::matrix(Role::LinearOut, class, hidden, values, Shard::Split),
            Tensor::vector(class, 2 * heads + self.value_dim.get()),
        ]
    }

    fn cache(&self, _hidden: u64, layers: &LayerSet) -> Vec<Component> {
        let conv = (2 * self.keys() + self.values()) * (self.conv.get() - 1);
        state_and_conv(layers, self.values() * self.key_dim.get(), conv, self.value_heads.get())
    }

    fn mixing(&self, _hidden: u64, new: u64, _depth: u64) -> Mixing {
        Mixing { state_flop: delta_flop(self.values(), self.key_dim.get(), new), ..Mixing::default() }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "sums of whole numbers are exact")]
mod tests {
    use super::*;
    use crate::catalogue::decode::Count;

    #[test]
    fn qwen3_next_by_hand() {
        let block = DeltaRule {
            key_heads: Count::new(16),
            value_heads: Count::new(32),
            key_dim: Count::new(128),
            value_dim: Count::new(128),
            conv: Count::new(4),
        };
        let params: u64 = block.tensors(2048).iter().map(Tensor::params).sum();
        // 2048·8192 + 2048·4096 + 2048·64 + 8192·4 + 4096·2048 + 64 + 128.
        assert_eq!(params, 16_777_216 + 8_388_608 + 131_072 + 32_768 + 8_388_608 + 192);
        let cache = block.cache(2048, &LayerSet::new(vec![0]));
        // 32 heads of 128·128, and 3 past inputs of 8192 channels, at any length.
        assert_eq!(cache[0].elements_held(1_000_000), 524_288);
        assert_eq!(cache[1].elements_held(1), 24_576);
        // One token: 6·4096·128 on the state and 4·4096 within the chunk.
        assert_eq!(block.mixing(2048, 1, 500).state_flop, 3_145_728.0 + 16_384.0);
    }
}
