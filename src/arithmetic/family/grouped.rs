//! Grouped-query attention: full, windowed, chunked, shared between layers, or block-sparse.
//!
//! KV bytes per sequence = layers · `kv_heads` · (`head_dim` + `value_dim`) · tokens held · bytes
//! per element. A windowed layer holds the newest `window` tokens; a chunked layer at most a chunk;
//! a layer that shares the cache of another, and one that attends an image, holds none.

use crate::arithmetic::cache::{Component, Content, Growth, Read};
use crate::arithmetic::family::{Family, Mixing, context};
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::decode::Count;
use crate::catalogue::model::{BlockSelection, Gate, GroupedAttention, LayerSet, QkNorm};

impl GroupedAttention {
    /// Width of a value head.
    pub fn value_width(&self) -> u64 {
        self.value_dim.unwrap_or(self.head_dim).get()
    }

    /// Tokens a query can attend to after `tokens` of the sequence.
    pub fn attended(&self, tokens: u64) -> u64 {
        let seen = self.window.map_or(tokens, |window| tokens.min(window.get()));
        self.blocks.as_ref().map_or(seen, |blocks| seen.min(blocks.tokens()))
    }
}

impl BlockSelection {
    /// Tokens a query attends: the chosen blocks and the one it stands in.
    pub fn tokens(&self) -> u64 {
        (self.top.get() + 1) * self.size.get()
    }
}

impl Family for GroupedAttention {
    /// q `h·n·d`, k `h·kv·d`, v `h·kv·dv`, o `n·dv·h`, and what the options add.
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let class = Class::Attention;
        let (heads, kv, dim, value) =
            (self.heads.get(), self.kv_heads.get(), self.head_dim.get(), self.value_width());
        let (queries, keys, values) = (heads * dim, kv * dim, kv * value);
        // Layers that read the cache of another compute no keys; some checkpoints keep the matrices.
        let has_kv = !self.shares_cache || self.stores_unused_kv;
        let has_values = has_kv && !self.keys_as_values;

        let mut list = vec![Tensor::matrix(Role::Query, class, queries, hidden, Shard::Split)];
        if has_kv {
            list.push(Tensor::matrix(Role::Key, class, keys, hidden, Shard::KvHeads(kv)));
        }
        if has_values {
            list.push(Tensor::matrix(Role::Value, class, values, hidden, Shard::KvHeads(kv)));
        }
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

        let mut vector = |len: u64| {
            if len > 0 {
                list.push(Tensor::vector(class, len));
            }
        };
        let (bias_keys, bias_values) = (if has_kv { keys } else { 0 }, if has_values { values } else { 0 });
        if self.qkv_bias {
            vector(queries + bias_keys + bias_values);
        }
        if self.out_bias {
            vector(hidden);
        }
        match self.qk_norm {
            Some(QkNorm::Head) => vector(if has_kv { 2 * dim } else { dim }),
            Some(QkNorm::Full) => vector(queries + bias_keys),
            None => {}
        }
        if self.sinks {
            vector(heads);
        }
        if let Some(blocks) = &self.blocks {
            let (index_heads, index_dim) = (blocks.index_heads.get(), blocks.index_dim.get());
            list.push(Tensor::matrix(
                Role::IndexQuery,
                Class::Indexer,
                index_heads * index_dim,
                hidden,
                Shard::Replicated,
            ));
            list.push(Tensor::matrix(Role::IndexKey, Class::Indexer, index_dim, hidden, Shard::Replicated));
            list.push(Tensor::vector(Class::Indexer, 2 * index_dim));
        }
        list.extend(other(class, self.other_params));
        list
    }

    fn cache(&self, _hidden: u64, layers: &LayerSet) -> Vec<Component> {
        if self.shares_cache || self.cross {
            return Vec::new();
        }
        let kv = self.kv_heads.get();
        let growth = self.window.map_or(Growth::PerToken, |window| Growth::Window(window.get()));
        let read = self.blocks.as_ref().map_or(Read::All, |blocks| Read::Top(blocks.tokens()));
        let mut list = vec![Component {
            name: "keys and values",
            layers: layers.clone(),
            elements: kv * (self.head_dim.get() + self.value_width()),
            growth,
            content: Content::KeyValue,
            read,
            heads: kv,
        }];
        if let Some(blocks) = &self.blocks {
            list.push(Component {
                name: "index keys",
                layers: layers.clone(),
                elements: blocks.index_dim.get(),
                growth: Growth::PerToken,
                content: Content::IndexKey,
                read: Read::All,
                heads: 1,
            });
        }
        list
    }

    /// Scores and values: `2·n·(d + dv)` operations per query and attended token.
    fn mixing(&self, _hidden: u64, new: u64, depth: u64) -> Mixing {
        if self.cross {
            // Attends the tokens of an image; a text has none.
            return Mixing::default();
        }
        let window = self.window.map(Count::get);
        let attended = match (&self.blocks, window) {
            (Some(blocks), _) => context::capped(new, depth, blocks.tokens()),
            (None, Some(chunk)) if self.chunked => context::chunked(new, depth, chunk),
            (None, Some(window)) => context::capped(new, depth, window),
            (None, None) => context::all(new, depth),
        };
        let per_token = 2 * self.heads.get() * (self.head_dim.get() + self.value_width());
        let index_flop = self.blocks.as_ref().map_or(0.0, |blocks| {
            2.0 * (blocks.index_heads.get() * blocks.index_dim.get()) as f64 * context::all(new, depth)
        });
        Mixing { attention_flop: per_token as f64 * attended, index_flop, state_flop: 0.0 }
    }
}

/// Parameters a block states but no rule covers, as one tensor.
pub(super) fn other(class: Class, params: Option<u64>) -> Option<Tensor> {
    params.map(|params| Tensor::matrix(Role::Other, class, 1, params, Shard::Replicated))
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "sums of whole numbers are exact")]
pub(crate) mod tests {
    use super::*;

    /// The attention of Llama 3.1 8B.
    pub(crate) fn llama() -> GroupedAttention {
        GroupedAttention {
            heads: Count::new(32),
            kv_heads: Count::new(8),
            head_dim: Count::new(128),
            value_dim: None,
            window: None,
            chunked: false,
            qkv_bias: false,
            out_bias: false,
            qk_norm: None,
            gate: None,
            sinks: false,
            keys_as_values: false,
            shares_cache: false,
            stores_unused_kv: false,
            cross: false,
            blocks: None,
            other_params: None,
        }
    }

    fn params(block: &GroupedAttention, hidden: u64) -> u64 {
        block.tensors(hidden).iter().map(Tensor::params).sum()
    }

    #[test]
    fn llama_by_hand() {
        // q and o 4096·4096 each, k and v 4096·1024 each.
        assert_eq!(params(&llama(), 4096), 2 * 16_777_216 + 2 * 4_194_304);
        let cache = llama().cache(4096, &LayerSet::new((0..32).collect()));
        // 8 heads · (128 + 128) elements · 32 layers = 65,536 elements a token: 128 KiB in bf16.
        assert_eq!(cache[0].elements_held(1), 65_536);
    }

    #[test]
    fn options_by_hand() {
        // gpt-oss: hidden 2880, 64 heads of 64, 8 KV heads, biases and sinks.
        let oss = GroupedAttention {
            heads: Count::new(64),
            head_dim: Count::new(64),
            qkv_bias: true,
            out_bias: true,
            sinks: true,
            ..llama()
        };
        // 2880·(4096 + 512 + 512) + 4096·2880, biases 5120 + 2880, sinks 64.
        assert_eq!(params(&oss, 2880), 14_745_600 + 11_796_480 + 5120 + 2880 + 64);
        // A gate as wide as the queries and a norm per head.
        let gated =
            GroupedAttention { gate: Some(Gate::Elementwise), qk_norm: Some(QkNorm::Head), ..llama() };
        assert_eq!(params(&gated, 4096) - params(&llama(), 4096), 16_777_216 + 256);
        let sharing = GroupedAttention { shares_cache: true, ..llama() };
        assert_eq!(params(&sharing, 4096), 2 * 16_777_216);
        assert!(sharing.cache(4096, &LayerSet::new(vec![0])).is_empty());
    }

    #[test]
    fn windows_bound_cache_and_work() {
        let windowed = GroupedAttention { window: Some(Count::new(128)), ..llama() };
        let cache = windowed.cache(4096, &LayerSet::new(vec![0]));
        assert_eq!(cache[0].entries(1000), 128);
        // One token after 999: 2·32·256 operations for each of 128 tokens.
        assert_eq!(windowed.mixing(4096, 1, 999).attention_flop, 16_384.0 * 128.0);
        assert_eq!(llama().mixing(4096, 1, 999).attention_flop, 16_384.0 * 1000.0);
    }
}
