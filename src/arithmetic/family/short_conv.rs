//! Gated short convolution (LFM2): no growing cache, only its last inputs.
//!
//! Bytes per sequence and layer = hidden · (`taps` − 1) · 2.

use crate::arithmetic::cache::{Component, Content, Growth, Read};
use crate::arithmetic::family::{Family, Mixing};
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::model::{LayerSet, ShortConv};

impl Family for ShortConv {
    /// In `h·3h`, convolution `h·taps`, out `h·h`.
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let class = Class::Linear;
        vec![
            Tensor::matrix(Role::LinearIn, class, 3 * hidden, hidden, Shard::Split),
            Tensor::matrix(Role::Conv, class, hidden, self.taps.get(), Shard::Split),
            Tensor::matrix(Role::LinearOut, class, hidden, hidden, Shard::Split),
        ]
    }

    fn cache(&self, hidden: u64, layers: &LayerSet) -> Vec<Component> {
        vec![Component {
            name: "convolution inputs",
            layers: layers.clone(),
            elements: hidden * (self.taps.get() - 1),
            growth: Growth::Fixed,
            content: Content::Conv,
            read: Read::All,
            heads: hidden,
        }]
    }

    fn mixing(&self, _hidden: u64, _new: u64, _depth: u64) -> Mixing {
        Mixing::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::decode::Count;

    #[test]
    fn lfm2_by_hand() {
        let block = ShortConv { taps: Count::new(3) };
        let params: u64 = block.tensors(2048).iter().map(Tensor::params).sum();
        assert_eq!(params, 4 * 2048 * 2048 + 2048 * 3);
        assert_eq!(block.cache(2048, &LayerSet::new(vec![0]))[0].elements, 4096);
    }
}
