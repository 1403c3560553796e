//! Dense feed-forward: three matrices (gated) or two.

use crate::arithmetic::cache::Component;
use crate::arithmetic::family::{Family, Mixing};
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::model::{Dense, LayerSet};

impl Family for Dense {
    /// `3·h·width`, or `2·h·width` without a gate; biases `2·width + h` or `width + h`.
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let (class, width) = (Class::Dense, self.width.get());
        let mut list = Vec::new();
        if !self.ungated {
            list.push(Tensor::matrix(Role::DenseGate, class, width, hidden, Shard::Split));
        }
        list.push(Tensor::matrix(Role::DenseUp, class, width, hidden, Shard::Split));
        list.push(Tensor::matrix(Role::DenseDown, class, hidden, width, Shard::Split));
        if self.bias {
            list.push(Tensor::vector(class, if self.ungated { width + hidden } else { 2 * width + hidden }));
        }
        list
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
    fn both_shapes_by_hand() {
        let params = |ungated, bias| -> u64 {
            let block = Dense { width: Count::new(14_336), ungated, bias };
            block.tensors(4096).iter().map(Tensor::params).sum()
        };
        assert_eq!(params(false, false), 3 * 4096 * 14_336);
        assert_eq!(params(true, false), 2 * 4096 * 14_336);
        assert_eq!(params(false, true), 3 * 4096 * 14_336 + 2 * 14_336 + 4096);
    }
}
