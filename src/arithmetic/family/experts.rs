//! Routed experts with their router, shared experts and latent projections.

use crate::arithmetic::cache::Component;
use crate::arithmetic::family::grouped::other;
use crate::arithmetic::family::{Family, Mixing};
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::model::{Experts, LayerSet};

impl Experts {
    /// Experts that do work for a token, on average: some of those chosen may do nothing.
    pub fn working(&self) -> f64 {
        let (count, active) = (self.count.get() as f64, self.active.get() as f64);
        active * count / (count + self.zero_experts.unwrap_or(0) as f64)
    }
}

impl Family for Experts {
    /// With d the width experts work in (`latent` or h): experts `E·3·d·width` (2 without a gate),
    /// latent projections `2·h·d`, router `h·E` and its bias, shared `3·h·shared`.
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let (count, width) = (self.count.get(), self.width.get());
        let inner = self.latent.map_or(hidden, crate::catalogue::decode::Count::get);
        let routed = count + self.zero_experts.unwrap_or(0);

        let mut list = vec![Tensor::matrix(Role::Router, Class::Router, routed, hidden, Shard::Replicated)];
        // Layers that route by a table still weigh the chosen experts with the router.
        if self.router_bias && !self.hashed {
            list.push(Tensor::vector(Class::Router, routed));
        }
        if !self.ungated {
            list.push(Tensor::stack(Role::ExpertGate, Class::Experts, count, width, inner, Shard::Expert));
        }
        list.push(Tensor::stack(Role::ExpertUp, Class::Experts, count, width, inner, Shard::Expert));
        list.push(Tensor::stack(Role::ExpertDown, Class::Experts, count, inner, width, Shard::Expert));
        if self.bias {
            // One row per expert: a token reads the rows of its experts.
            let length = if self.ungated { width + inner } else { 2 * width + inner };
            list.push(Tensor { copies: count, ..Tensor::vector(Class::Experts, length) });
        }
        if self.latent.is_some() {
            list.push(Tensor::matrix(Role::ExpertsIn, Class::Experts, inner, hidden, Shard::Replicated));
            list.push(Tensor::matrix(Role::ExpertsOut, Class::Experts, hidden, inner, Shard::Replicated));
        }
        if let Some(shared) = self.shared_width {
            let shared = shared.get();
            if !self.ungated {
                list.push(Tensor::matrix(Role::SharedGate, Class::Shared, shared, hidden, Shard::Split));
            }
            list.push(Tensor::matrix(Role::SharedUp, Class::Shared, shared, hidden, Shard::Split));
            list.push(Tensor::matrix(Role::SharedDown, Class::Shared, hidden, shared, Shard::Split));
            if self.shared_gate {
                list.push(Tensor::matrix(Role::SharedRouter, Class::Shared, 1, hidden, Shard::Replicated));
            }
        }
        list.extend(other(Class::Other, self.other_params));
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
pub(crate) mod tests {
    use super::*;
    use crate::catalogue::decode::Count;

    /// The experts of `DeepSeek` V3.
    pub(crate) fn v3() -> Experts {
        Experts {
            count: Count::new(256),
            active: Count::new(8),
            width: Count::new(2048),
            latent: None,
            shared_width: Some(Count::new(2048)),
            shared_gate: false,
            ungated: false,
            router_bias: true,
            bias: false,
            hashed: false,
            zero_experts: None,
            other_params: None,
        }
    }

    fn params(block: &Experts, hidden: u64) -> u64 {
        block.tensors(hidden).iter().map(Tensor::params).sum()
    }

    #[test]
    fn v3_by_hand() {
        // 257 experts of 3·7168·2048, router 7168·256 + 256.
        assert_eq!(params(&v3(), 7168), 257 * 44_040_192 + 1_835_008 + 256);
    }

    #[test]
    fn variants_by_hand() {
        // gpt-oss-120b: 128 experts of 3·2880·2880 with biases 2·2880 + 2880, router with bias.
        let oss = Experts {
            count: Count::new(128),
            active: Count::new(4),
            width: Count::new(2880),
            shared_width: None,
            bias: true,
            ..v3()
        };
        assert_eq!(params(&oss, 2880), 128 * (24_883_200 + 8640) + 2880 * 128 + 128);
        // Nemotron type: two matrices of a narrower width, and projections there and back.
        let latent = Experts { latent: Some(Count::new(1024)), ungated: true, shared_width: None, ..v3() };
        let hand = 256 * 2 * 1024 * 2048 + 2 * 7168 * 1024 + 7168 * 256 + 256;
        assert_eq!(params(&latent, 7168), hand);
        let idle = Experts { zero_experts: Some(256), ..v3() };
        assert!((idle.working() - 4.0).abs() < 1e-12);
    }
}
