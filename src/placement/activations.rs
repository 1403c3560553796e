//! Widths that decide how large intermediate results get, and the peak of a prefill chunk.

use crate::catalogue::model::{Block, ModelSpec};

/// The widest pieces of a model, in elements per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Widths {
    /// Residual stream.
    pub hidden: u64,
    /// Residual streams kept side by side.
    pub streams: u64,
    /// Vocabulary.
    pub vocabulary: u64,
    /// Query heads of the widest attention.
    pub heads: u64,
    /// Queries and attended values together.
    pub attention: u64,
    /// Keys and values of all heads when a latent is expanded; 0 without latents.
    pub expanded: u64,
    /// Rotary width of a head; the whole head where only part of it is known to rotate.
    pub rotary: u64,
    /// Inner width of the widest dense feed-forward.
    pub dense: u64,
    /// Experts chosen per token.
    pub chosen: u64,
    /// Inner width of one expert.
    pub expert: u64,
    /// Inputs of the linear mixer: queries, keys, values together.
    pub linear: u64,
    /// Layers with routed experts end here; experts of the first so many lie below it.
    pub expert_layers_offloaded_end: u32,
}

impl Widths {
    /// The widths of a model whose first `offloaded` expert layers keep their experts on the host.
    pub fn of(spec: &ModelSpec, offloaded: u32) -> Self {
        let mut widths = Self {
            hidden: spec.hidden.get(),
            streams: 1,
            vocabulary: spec.vocabulary.get(),
            ..Self::default()
        };
        let mut expert_layers = Vec::new();
        for (group, blocks) in spec.groups() {
            for block in blocks {
                if offloaded > 0 && matches!(block, Block::Experts(_)) {
                    expert_layers.extend(group.at.iter());
                }
                widths.widen(block);
            }
        }
        expert_layers.sort_unstable();
        if let Some(last) = (offloaded as usize).min(expert_layers.len()).checked_sub(1) {
            widths.expert_layers_offloaded_end = expert_layers[last] + 1;
        }
        widths
    }

    fn widen(&mut self, block: &Block) {
        match block {
            Block::Grouped(b) => {
                let heads = b.heads.get();
                self.rotary = self.rotary.max(b.head_dim.get());
                self.attend(heads, heads * (b.head_dim.get() + b.value_width()));
            }
            Block::Latent(b) => {
                let (heads, rank) = (b.heads.get(), b.kv_rank.get());
                self.rotary = self.rotary.max(b.rope_dim);
                self.attend(heads, heads * (2 * rank + b.rope_dim));
                let head = b.nope_dim.get() + b.rope_dim + b.value_dim.get();
                self.expanded = self.expanded.max(heads * head);
            }
            Block::Compressed(b) => {
                self.rotary = self.rotary.max(b.rope_dim.get());
                self.attend(b.heads.get(), 2 * b.heads.get() * b.head_dim.get());
            }
            Block::Delta(b) => {
                let keys = b.key_heads.get() * b.key_dim.get();
                self.linear = self.linear.max(2 * keys + b.value_heads.get() * b.value_dim.get());
            }
            Block::ChannelDelta(b) => self.linear = self.linear.max(3 * b.heads.get() * b.head_dim.get()),
            Block::Mamba1(b) => self.linear = self.linear.max(2 * b.inner.get()),
            Block::Mamba2(b) => {
                let inputs = 2 * b.inner.get() + 2 * b.groups.get() * b.state.get();
                self.linear = self.linear.max(inputs);
            }
            Block::ShortConv(_) => self.linear = self.linear.max(3 * self.hidden),
            Block::Dense(b) => self.dense = self.dense.max(b.width.get()),
            Block::Experts(b) => {
                self.chosen = self.chosen.max(b.active.get());
                self.expert = self.expert.max(b.width.get());
            }
            Block::Hyper(b) => self.streams = self.streams.max(b.streams.get()),
        }
    }

    fn attend(&mut self, heads: u64, attention: u64) {
        self.heads = self.heads.max(heads);
        self.attention = self.attention.max(attention);
    }

    /// Elements per token of the widest layer of a server on one of `tp` ranks.
    ///
    /// Three residual vectors beside the feed-forward: `3·inner/tp` when dense (gate and up, and
    /// their product); `chosen · (max(2·expert/tp, hidden) + expert/tp)` in fused expert kernels,
    /// whose first and third intermediate share memory.
    pub fn served(&self, tp: u64) -> f64 {
        let tp = tp as f64;
        let (hidden, expert) = (self.hidden as f64, self.expert as f64 / tp);
        let dense = 3.0 * self.dense as f64 / tp;
        let experts = self.chosen as f64 * ((2.0 * expert).max(hidden) + expert);
        let mixer = (self.attention as f64 + self.linear as f64) / tp;
        (2.0 + self.streams as f64) * hidden + dense.max(experts).max(mixer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dense_layer_peaks_where_the_profile_of_vllm_says() {
        // Llama-3.1-8B, 20,000 tokens in one pass: 2.07 GiB above weights (vLLM 0.6, 16 bit).
        let widths = Widths { hidden: 4096, streams: 1, dense: 14336, ..Widths::default() };
        let gib = 20_000.0 * 2.0 * widths.served(1) / 1_073_741_824.0;
        assert!((gib - 2.07).abs() < 0.02, "{gib}");
    }
}
