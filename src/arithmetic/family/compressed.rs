//! Compressed attention (`DeepSeek` V4): a window of tokens and entries that each stand for several.
//!
//! One cached head is key and value. Elements per sequence and layer = `head_dim` · (min(tokens,
//! `window`) + tokens / `ratio`), with an indexer `dim` · tokens / `ratio` more, and the inputs of
//! the compressor not yet folded: 2 · `ratio` · c · `head_dim` in 32 bit, c = 2 where entries
//! overlap (those with an indexer) and 1 elsewhere.

use crate::arithmetic::cache::{Component, Content, Growth, Read};
use crate::arithmetic::family::{Family, Mixing, context};
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::model::{CompressedAttention, LayerSet};

impl CompressedAttention {
    /// Series the compressor folds: two where neighbouring entries overlap.
    fn series(&self) -> u64 {
        if self.indexer.is_some() { 2 } else { 1 }
    }
}

impl Family for CompressedAttention {
    /// q `h·qr + qr·n·d`, kv `h·d`, o `n·d·or + og·or·h`, sinks `n`, norms `qr + d`; compressor
    /// `2·h·c·d + ratio·c·d + d`; indexer `qr·ni·di + h·ni` and its own compressor of width `di`.
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let class = Class::Attention;
        let (heads, dim, q_rank) = (self.heads.get(), self.head_dim.get(), self.q_rank.get());
        let (groups, out_rank) = (self.out_groups.get(), self.out_rank.get());
        let mut list = vec![
            Tensor::matrix(Role::QueryDown, class, q_rank, hidden, Shard::Replicated),
            Tensor::vector(class, q_rank),
            Tensor::matrix(Role::QueryUp, class, heads * dim, q_rank, Shard::Split),
            Tensor::matrix(Role::LatentDown, class, dim, hidden, Shard::Replicated),
            Tensor::vector(class, dim),
            Tensor::stack(Role::OutDown, class, groups, out_rank, heads * dim / groups, Shard::Split),
            Tensor::matrix(Role::AttentionOut, class, hidden, groups * out_rank, Shard::Split),
            Tensor::vector(class, heads),
        ];
        let mut compressor = |class: Class, width: u64, series: u64| {
            list.push(Tensor::matrix(Role::Compress, class, 2 * series * width, hidden, Shard::Replicated));
            // A position vector for each folded token, and the norm of the entry.
            list.push(Tensor::vector(class, self.ratio * series * width + width));
        };
        if self.ratio > 0 {
            compressor(Class::Compressor, dim, self.series());
        }
        if let Some(indexer) = self.indexer.as_ref().filter(|indexer| self.ratio > 0 && !indexer.shared) {
            let (index_heads, index_dim) = (indexer.heads.get(), indexer.dim.get());
            compressor(Class::Indexer, index_dim, self.series());
            list.push(Tensor::matrix(
                Role::IndexQuery,
                Class::Indexer,
                index_heads * index_dim,
                q_rank,
                Shard::Replicated,
            ));
            list.push(Tensor::matrix(
                Role::IndexWeight,
                Class::Indexer,
                index_heads,
                hidden,
                Shard::Replicated,
            ));
        }
        list
    }

    fn cache(&self, _hidden: u64, layers: &LayerSet) -> Vec<Component> {
        let component = |name, elements, growth, content, read| Component {
            name,
            layers: layers.clone(),
            elements,
            growth,
            content,
            read,
            heads: 1,
        };
        let dim = self.head_dim.get();
        let shared = Content::Shared { rope: self.rope_dim.get() };
        let mut list =
            vec![component("window entries", dim, Growth::Window(self.window.get()), shared, Read::All)];
        if self.ratio == 0 {
            return list;
        }
        let ratio = Growth::Ratio(self.ratio);
        let read = self.indexer.as_ref().map_or(Read::All, |indexer| Read::Top(indexer.top.get()));
        list.push(component("compressed entries", dim, ratio, shared, read));
        let pending = 2 * self.ratio * self.series();
        let mut pending_elements = pending * dim;
        if let Some(indexer) = self.indexer.as_ref().filter(|indexer| !indexer.shared) {
            list.push(component("index keys", indexer.dim.get(), ratio, Content::IndexKey, Read::All));
            pending_elements += pending * indexer.dim.get();
        }
        list.push(component("pending entries", pending_elements, Growth::Fixed, Content::Pending, Read::All));
        list
    }

    /// Scores and values: `2·n·2d` per attended entry; indexer `2·ni·di` per scanned entry.
    fn mixing(&self, _hidden: u64, new: u64, depth: u64) -> Mixing {
        let mut entries = context::capped(new, depth, self.window.get());
        let mut index_flop = 0.0;
        if self.ratio > 0 {
            let top = self.indexer.as_ref().map(|indexer| indexer.top.get());
            entries += context::compressed(new, depth, self.ratio, top);
            if let Some(indexer) = self.indexer.as_ref().filter(|indexer| !indexer.shared) {
                let per_entry = 2 * indexer.heads.get() * indexer.dim.get();
                index_flop = per_entry as f64 * context::compressed(new, depth, self.ratio, None);
            }
        }
        let per_entry = 2 * self.heads.get() * 2 * self.head_dim.get();
        Mixing { attention_flop: per_entry as f64 * entries, index_flop, state_flop: 0.0 }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "sums of whole numbers are exact")]
mod tests {
    use super::*;
    use crate::catalogue::decode::Count;
    use crate::catalogue::model::Indexer;

    /// A layer of `DeepSeek` V4 Pro; `ratio` 4 has the indexer.
    fn pro(ratio: u64) -> CompressedAttention {
        let indexer =
            Indexer { heads: Count::new(64), dim: Count::new(128), top: Count::new(1024), shared: false };
        CompressedAttention {
            heads: Count::new(128),
            head_dim: Count::new(512),
            rope_dim: Count::new(64),
            q_rank: Count::new(1536),
            out_groups: Count::new(16),
            out_rank: Count::new(1024),
            window: Count::new(128),
            ratio,
            indexer: (ratio == 4).then_some(indexer),
        }
    }

    fn params(block: &CompressedAttention, class: Class) -> u64 {
        block.tensors(7168).iter().filter(|tensor| tensor.class == class).map(Tensor::params).sum()
    }

    #[test]
    fn v4_pro_by_hand() {
        // 7168·1536 + 1536·65536 + 7168·512 + 65536·1024 + 16384·7168, sinks 128, norms 2048.
        let attention = 11_010_048 + 100_663_296 + 3_670_016 + 67_108_864 + 117_440_512 + 128 + 2048;
        for ratio in [0, 4, 128] {
            assert_eq!(params(&pro(ratio), Class::Attention), attention);
        }
        // HCA 2·7168·512 + 128·512 + 512; CSA 2·7168·1024 + 4·1024 + 512.
        assert_eq!(params(&pro(128), Class::Compressor), 7_340_032 + 65_536 + 512);
        assert_eq!(params(&pro(4), Class::Compressor), 14_680_064 + 4_096 + 512);
        // 1536·8192 + 7168·64 + 2·7168·256 + 4·256 + 128.
        assert_eq!(params(&pro(4), Class::Indexer), 12_582_912 + 458_752 + 3_670_016 + 1024 + 128);
    }

    #[test]
    fn cache_by_hand() {
        let one = LayerSet::new(vec![0]);
        let csa = pro(4).cache(7168, &one);
        let held: Vec<u64> = csa.iter().map(|component| component.elements_held(1000)).collect();
        // Window 128·512, 250 entries of 512, 250 keys of 128, 2·4·2·(512 + 128) pending.
        assert_eq!(held, [65_536, 128_000, 32_000, 10_240]);
        let hca = pro(128).cache(7168, &one);
        let held: Vec<u64> = hca.iter().map(|component| component.elements_held(1000)).collect();
        assert_eq!(held, [65_536, 7 * 512, 2 * 128 * 512]);
    }

    #[test]
    fn work_by_hand() {
        // One token after 99,999: 128 in the window and the best 1024 of 25,000 entries.
        let step = pro(4).mixing(7168, 1, 99_999);
        assert_eq!(step.attention_flop, 2.0 * 128.0 * 1024.0 * (128.0 + 1024.0));
        assert_eq!(step.index_flop, 2.0 * 64.0 * 128.0 * 25_000.0);
        let step = pro(128).mixing(7168, 1, 99_999);
        assert_eq!(step.attention_flop, 2.0 * 128.0 * 1024.0 * (128.0 + 781.0));
    }
}
