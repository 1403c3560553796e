//! Hyper-connections (mHC of `DeepSeek` V4): several residual streams mixed at each site.

use crate::arithmetic::cache::Component;
use crate::arithmetic::family::{Family, Mixing};
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::model::{HyperConnections, LayerSet};

impl HyperConnections {
    /// What joins the streams again after the last layer: `s·(s·h)`, `s` offsets, one scale.
    pub fn head(&self, hidden: u64) -> Vec<Tensor> {
        let streams = self.streams.get();
        vec![
            Tensor::matrix(Role::Mix, Class::Hyper, streams, streams * hidden, Shard::Replicated),
            Tensor::vector(Class::Hyper, streams + 1),
        ]
    }
}

impl Family for HyperConnections {
    /// Per site, with s streams: `(s² + 2s)·(s·h)`, as many offsets, three scales.
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let (streams, sites) = (self.streams.get(), self.sites.get());
        let weights = streams * (streams + 2);
        vec![
            Tensor::stack(Role::Mix, Class::Hyper, sites, weights, streams * hidden, Shard::Replicated),
            Tensor::vector(Class::Hyper, sites * (weights + 3)),
        ]
    }

    fn cache(&self, _hidden: u64, _layers: &LayerSet) -> Vec<Component> {
        Vec::new()
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
    fn v4_by_hand() {
        let block = HyperConnections { streams: Count::new(4), sites: Count::new(2) };
        let params: u64 = block.tensors(7168).iter().map(Tensor::params).sum();
        // Two sites of 24·28,672 + 24 + 3.
        assert_eq!(params, 2 * (688_128 + 27));
        let head: u64 = block.head(7168).iter().map(Tensor::params).sum();
        assert_eq!(head, 4 * 28_672 + 5);
    }
}
