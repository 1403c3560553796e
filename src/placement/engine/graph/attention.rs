//! Attention: queries, keys and values of a micro-batch, and the scores where they are not fused.

use super::layers::{Attended, WIDTH, Writer};
use super::tensors::Id;
use crate::catalogue::model::{Gate, GroupedAttention, LatentAttention, QkNorm};

impl Writer<'_> {
    /// Grouped-query attention.
    pub(super) fn grouped(&mut self, normed: Id, attention: &GroupedAttention) -> Id {
        let tokens = self.reserve.tokens * WIDTH;
        let (heads, kv) = (attention.heads.get(), attention.kv_heads.get());
        let (dim, value_dim) = (attention.head_dim.get(), attention.value_width());
        let (queries, keys) = (tokens * heads * dim, tokens * kv * dim);
        let (values, attended) = (tokens * kv * value_dim, tokens * heads * value_dim);
        let position = self.positions();
        let normalised = attention.qk_norm == Some(QkNorm::Head);
        let gated = attention.gate == Some(Gate::Elementwise);
        let Some(cache) = self.cache(attention.window.is_some()) else { return normed };

        let (full, query, key, value);
        if self.fused() {
            full = self.graph.result(queries + keys + values, &[normed]);
            let seen = [self.graph.view(full), self.graph.view(full)];
            query = self.graph.overwrite(queries, &[seen[0], position]);
            key = Some(self.graph.overwrite(keys, &[seen[1], position]));
            value = Some(full);
        } else {
            full = self.graph.result(if gated { 2 * queries } else { queries }, &[normed]);
            query = self.turned(full, queries, normalised, position);
            let own = !attention.shares_cache;
            value = own.then(|| self.graph.result(values, &[normed]));
            key = own.then(|| {
                let made = self.graph.result(keys, &[normed]);
                self.turned(made, keys, normalised, position)
            });
        }
        if let (Some(key), Some(value)) = (key, value) {
            let written = [self.graph.view(key), self.graph.view(value)];
            self.graph.sink(&[written[0], cache.keys]);
            let places: Vec<Id> = [written[1]].into_iter().chain(cache.values).collect();
            self.graph.sink(&places);
        }
        let mut out = self.attend(query, heads, attended, cache);
        if gated {
            let seen = self.graph.view(full);
            let gate = self.graph.result(queries, &[seen]);
            let gate = self.graph.overwrite(queries, &[gate]);
            out = self.graph.overwrite(attended, &[out, gate]);
        }
        self.graph.result(self.reserve.tokens * self.hidden * WIDTH, &[out])
    }

    /// Heads normalised and turned to their position.
    fn turned(&mut self, made: Id, bytes: u64, normalised: bool, position: Id) -> Id {
        let mut heads = self.graph.view(made);
        if normalised {
            heads = self.norm(heads, bytes);
        }
        self.graph.overwrite(bytes, &[heads, position])
    }

    /// Scores and weighted values, fused or one after the other.
    fn attend(&mut self, query: Id, heads: u64, attended: u64, cache: Attended) -> Id {
        let seen = self.graph.view(query);
        if self.reserve.flash {
            let out = self.graph.result(attended, &[seen, cache.mask]);
            return self.graph.view(out);
        }
        let scores = self.reserve.tokens * heads * cache.cells * WIDTH;
        let raw = self.graph.result(scores, &[seen]);
        let weights = self.graph.overwrite(scores, &[raw, cache.mask]);
        let out = self.graph.result(attended, &[weights]);
        let seen = self.graph.view(out);
        self.graph.result(attended, &[seen])
    }

    /// Latent attention in its absorbed form: queries are taken into the latent, attended values
    /// back out of it.
    pub(super) fn latent(&mut self, normed: Id, attention: &LatentAttention) -> Id {
        let tokens = self.reserve.tokens * WIDTH;
        let (heads, rank, rope) = (attention.heads.get(), attention.kv_rank.get(), attention.rope_dim);
        let (nope, value) = (attention.nope_dim.get(), attention.value_dim.get());
        let position = self.positions();
        let Some(cache) = self.cache(false) else { return normed };

        let mut input = normed;
        if let Some(q_rank) = attention.q_rank {
            let low = tokens * q_rank.get();
            let down = self.graph.result(low, &[normed]);
            input = self.norm(down, low);
        }
        let whole = self.graph.result(tokens * heads * (nope + rope), &[input]);
        let plain = self.graph.view(whole);
        let plain = self.graph.view(plain);
        let absorbed = self.graph.result(tokens * heads * rank, &[plain]);
        let rotary = self.graph.view(whole);
        let rotary = self.graph.overwrite(tokens * heads * rope, &[rotary, position]);
        let absorbed = self.graph.view(absorbed);
        let query = self.graph.result(tokens * heads * (rank + rope), &[absorbed, rotary]);

        let latent = self.graph.result(tokens * (rank + rope), &[normed]);
        let compressed = self.graph.view(latent);
        let compressed = self.norm(compressed, tokens * rank);
        let rotary = self.graph.view(latent);
        let rotary = self.graph.overwrite(tokens * rope, &[rotary, position]);
        let compressed = self.graph.view(compressed);
        let key = self.graph.result(tokens * (rank + rope), &[compressed, rotary]);
        let key = self.graph.view(key);
        self.graph.sink(&[key, cache.keys]);

        let attended = tokens * heads * rank;
        let seen = self.graph.view(query);
        let out = if self.reserve.flash {
            let out = self.graph.result(attended, &[seen, cache.mask]);
            self.graph.view(out)
        } else {
            let scores = tokens * heads * cache.cells;
            let raw = self.graph.result(scores, &[seen]);
            let weights = self.graph.overwrite(scores, &[raw, cache.mask]);
            self.graph.result(attended, &[weights])
        };
        let out = self.graph.result(tokens * heads * value, &[out]);
        let seen = self.graph.view(out);
        let out = self.graph.result(tokens * heads * value, &[seen]);
        self.graph.result(tokens * self.hidden, &[out])
    }
}
