//! Latent attention (MLA): one compressed vector per token serves all heads.
//!
//! KV bytes per sequence = layers · (`kv_rank` + `rope_dim`) · tokens · bytes per element. The
//! latent is one for all heads: tensor parallelism copies it. An indexer (DSA) adds one key of
//! `dim` elements per token on the layers that hold their own indexer, and bounds what is *read*:
//! every token is held and scanned, the best `top` are attended.

use crate::arithmetic::cache::{Component, Content, Growth, Read};
use crate::arithmetic::family::grouped::other;
use crate::arithmetic::family::{Family, Mixing, context};
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::decode::Count;
use crate::catalogue::model::{Gate, LatentAttention, LayerSet};

impl LatentAttention {
    /// Elements of the cached vector.
    pub fn latent(&self) -> u64 {
        self.kv_rank.get() + self.rope_dim
    }

    /// Parameters of the up projections of the latent, which decoding folds into the queries.
    pub fn up_params(&self) -> u64 {
        self.kv_rank.get() * self.heads.get() * (self.nope_dim.get() + self.value_dim.get())
    }

    /// Operations per query and attended token on the latent itself (absorbed form).
    pub fn absorbed_flop(&self) -> u64 {
        2 * self.heads.get() * (self.latent() + self.kv_rank.get())
    }

    /// Operations per query and attended token on full heads (expanded form).
    pub fn expanded_flop(&self) -> u64 {
        2 * self.heads.get() * (self.nope_dim.get() + self.rope_dim + self.value_dim.get())
    }
}

impl Family for LatentAttention {
    /// `h·qr + qr·n·(nope + rope)` (or `h·n·(nope + rope)`), `h·(kvr + rope)`,
    /// `kvr·n·(nope + v)`, `n·v·h`, norms of both ranks; indexer `qr·ni·di + h·(di + ni) + 2·di`.
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let class = Class::Attention;
        let (heads, rank, value) = (self.heads.get(), self.kv_rank.get(), self.value_dim.get());
        let queries = heads * (self.nope_dim.get() + self.rope_dim);
        let query_input = self.q_rank.map_or(hidden, Count::get);

        let mut list = Vec::new();
        if let Some(q_rank) = self.q_rank {
            list.push(Tensor::matrix(Role::QueryDown, class, q_rank.get(), hidden, Shard::Replicated));
            list.push(Tensor::vector(class, q_rank.get()));
            list.push(Tensor::matrix(Role::QueryUp, class, queries, q_rank.get(), Shard::Split));
        } else {
            list.push(Tensor::matrix(Role::Query, class, queries, hidden, Shard::Split));
        }
        list.push(Tensor::matrix(Role::LatentDown, class, self.latent(), hidden, Shard::Replicated));
        list.push(Tensor::vector(class, rank));
        // Stored per head as decoding uses them: keys from the head to the latent, values back.
        list.push(Tensor::stack(Role::LatentKey, class, heads, rank, self.nope_dim.get(), Shard::Split));
        list.push(Tensor::stack(Role::LatentValue, class, heads, value, rank, Shard::Split));
        list.push(Tensor::matrix(Role::AttentionOut, class, hidden, heads * value, Shard::Split));
        match self.gate {
            Some(Gate::Elementwise) => {
                list.push(Tensor::matrix(Role::AttentionGate, class, heads * value, hidden, Shard::Split));
            }
            Some(Gate::Head) => {
                list.push(Tensor::matrix(Role::AttentionGate, class, heads, hidden, Shard::Split));
            }
            None => {}
        }
        if self.bias {
            list.push(Tensor::vector(class, self.q_rank.map_or(0, Count::get) + self.latent()));
        }
        if let Some(indexer) = self.indexer.as_ref().filter(|indexer| !indexer.shared) {
            let (index_heads, dim) = (indexer.heads.get(), indexer.dim.get());
            list.push(Tensor::matrix(
                Role::IndexQuery,
                Class::Indexer,
                index_heads * dim,
                query_input,
                Shard::Replicated,
            ));
            list.push(Tensor::matrix(Role::IndexKey, Class::Indexer, dim, hidden, Shard::Replicated));
            list.push(Tensor::matrix(
                Role::IndexWeight,
                Class::Indexer,
                index_heads,
                hidden,
                Shard::Replicated,
            ));
            list.push(Tensor::vector(Class::Indexer, 2 * dim));
        }
        list.extend(other(class, self.other_params));
        list
    }

    fn cache(&self, _hidden: u64, layers: &LayerSet) -> Vec<Component> {
        let mut list = vec![Component {
            name: "latent",
            layers: layers.clone(),
            elements: self.latent(),
            growth: Growth::PerToken,
            content: Content::Latent { rope: self.rope_dim },
            read: self.indexer.as_ref().map_or(Read::All, |indexer| Read::Top(indexer.top.get())),
            heads: 1,
        }];
        if let Some(indexer) = self.indexer.as_ref().filter(|indexer| !indexer.shared) {
            list.push(Component {
                name: "index keys",
                layers: layers.clone(),
                elements: indexer.dim.get(),
                growth: Growth::PerToken,
                content: Content::IndexKey,
                read: Read::All,
                heads: 1,
            });
        }
        list
    }

    /// The cheaper of two forms. Absorbed: `2·n·(latent + kvr)` per attended token. Expanded:
    /// `2·n·(nope + rope + v)`, after multiplying the cached tokens by the up projections again
    /// (the new ones are counted with the weights). A sparse layer gathers latents: absorbed only.
    fn mixing(&self, _hidden: u64, new: u64, depth: u64) -> Mixing {
        let Some(indexer) = &self.indexer else {
            let attended = context::all(new, depth);
            let absorbed = self.absorbed_flop() as f64 * attended;
            let expanded =
                self.expanded_flop() as f64 * attended + 2.0 * self.up_params() as f64 * depth as f64;
            return Mixing { attention_flop: absorbed.min(expanded), ..Mixing::default() };
        };
        let scan = if indexer.shared { 0 } else { 2 * indexer.heads.get() * indexer.dim.get() };
        Mixing {
            attention_flop: self.absorbed_flop() as f64 * context::capped(new, depth, indexer.top.get()),
            index_flop: scan as f64 * context::all(new, depth),
            state_flop: 0.0,
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "sums of whole numbers are exact")]
mod tests {
    use super::*;
    use crate::catalogue::model::Indexer;

    /// The attention of `DeepSeek` V3.
    fn v3() -> LatentAttention {
        LatentAttention {
            heads: Count::new(128),
            q_rank: Some(Count::new(1536)),
            kv_rank: Count::new(512),
            nope_dim: Count::new(128),
            rope_dim: 64,
            value_dim: Count::new(128),
            gate: None,
            indexer: None,
            bias: false,
            other_params: None,
        }
    }

    fn sparse() -> LatentAttention {
        let indexer =
            Indexer { heads: Count::new(64), dim: Count::new(128), top: Count::new(2048), shared: false };
        LatentAttention { indexer: Some(indexer), ..v3() }
    }

    fn params(block: &LatentAttention) -> u64 {
        block.tensors(7168).iter().map(Tensor::params).sum()
    }

    #[test]
    fn v3_by_hand() {
        // 7168·1536 + 1536·128·192 + 7168·576 + 512·128·256 + 128·128·7168 + norms 1536 + 512.
        let hand = 11_010_048 + 37_748_736 + 4_128_768 + 16_777_216 + 117_440_512 + 2048;
        assert_eq!(params(&v3()), hand);
        // Indexer: 1536·8192 + 7168·128 + 7168·64 + 2·128.
        assert_eq!(params(&sparse()) - hand, 12_582_912 + 917_504 + 458_752 + 256);
    }

    #[test]
    fn holds_all_and_reads_the_best() {
        let cache = sparse().cache(7168, &LayerSet::new((0..61).collect()));
        assert_eq!((cache[0].elements, cache[1].elements), (576, 128));
        assert_eq!((cache[0].entries(100_000), cache[0].entries_read(100_000)), (100_000, 2048));
        assert_eq!(cache[1].entries_read(100_000), 100_000);
    }

    #[test]
    fn work_by_hand() {
        // One token after 999: absorbed 2·128·1088 for each of 1000 tokens.
        assert_eq!(v3().mixing(7168, 1, 999).attention_flop, 278_528.0 * 1000.0);
        // A fresh prompt of 1000: expanded 2·128·320 for each of 500,500 pairs.
        assert_eq!(v3().mixing(7168, 1000, 0).attention_flop, 81_920.0 * 500_500.0);
        let step = sparse().mixing(7168, 1, 9_999);
        assert_eq!(step.attention_flop, 278_528.0 * 2048.0);
        assert_eq!(step.index_flop, 2.0 * 64.0 * 128.0 * 10_000.0);
    }
}
