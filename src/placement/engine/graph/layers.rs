//! The graph of a micro-batch: inputs, layers, output.

use super::tensors::{Graph, Id};
use crate::arithmetic::gguf::fuses_attention;
use crate::catalogue::model::{Block, GroupedAttention, LatentAttention, ModelSpec};
use crate::units::Bytes;
use std::ops::Range;

/// Bytes of an activation, of a position, of a place in the cache.
pub(super) const WIDTH: u64 = 4;
const PLACE: u64 = 8;

/// Which part of the model a buffer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Part {
    /// Everything: no device takes part.
    Whole,
    /// Layers on a device; the host looks the embedding up for the first of them.
    Device {
        /// Whether it computes the first layer.
        first: bool,
    },
    /// What the host does for devices, and the layers it keeps.
    Host,
}

/// The set-up a graph is reserved for.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Reserve {
    /// Tokens of the micro-batch.
    pub(in super::super) tokens: u64,
    /// Sequences in flight.
    pub(in super::super) sequences: u64,
    /// Cells one token can attend.
    pub(in super::super) cells: u64,
    /// Cells of layers with a window.
    pub(in super::super) window_cells: u64,
    /// Whether attention is fused.
    pub(in super::super) flash: bool,
    /// Whether the cache is quantised, which turns keys and values by a matrix.
    pub(in super::super) turned: bool,
    /// Expert matrices copied to this device, beside the activations of their layer.
    pub(in super::super) copied: u64,
}

/// A graph being written, with what its layers share.
pub(super) struct Writer<'a> {
    pub(super) graph: Graph,
    pub(super) reserve: Reserve,
    pub(super) hidden: u64,
    pub(super) spec: &'a ModelSpec,
    positions: Id,
    full: Option<Attended>,
    window: Option<Attended>,
}

/// What attention over one cache reads beside its queries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attended {
    pub(super) cells: u64,
    pub(super) mask: Id,
    pub(super) keys: Id,
    pub(super) values: Option<Id>,
}

/// Bytes of the buffer that computes these layers, unless one of their blocks has no graph here.
/// `output` says whether the logits are computed behind them.
pub(in super::super) fn buffer(
    spec: &ModelSpec,
    part: Part,
    layers: Range<u32>,
    output: bool,
    reserve: Reserve,
) -> Option<Bytes> {
    let chosen = telling(spec, layers)?;
    let mut writer = Writer::new(spec, part, &chosen, reserve);
    let mut stream = writer.entry(part);
    let last = chosen.len().checked_sub(1);
    for (at, (_, norms, blocks)) in chosen.iter().enumerate() {
        let outputs = (output && Some(at) == last).then_some(reserve.sequences);
        stream = writer.layer(stream, *norms, blocks, outputs);
    }
    if output {
        writer.logits(stream);
    }
    Some(writer.graph.buffer())
}

type Layer<'a> = (usize, u64, Vec<&'a Block>);

/// Layers that show the buffer of all: every succession of two kinds twice, and the last layer. A
/// layer leaves the buffer as its predecessor of the same kind left it.
fn telling(spec: &ModelSpec, layers: Range<u32>) -> Option<Vec<Layer<'_>>> {
    let groups: Vec<_> = spec.groups().collect();
    let mut kinds: Vec<Option<usize>> = vec![None; layers.len()];
    for (kind, (group, blocks)) in groups.iter().enumerate() {
        let mut held = group.at.iter().filter(|layer| layers.contains(layer)).peekable();
        if held.peek().is_some() && !blocks_known(blocks) {
            return None;
        }
        for layer in held {
            kinds[(layer - layers.start) as usize] = Some(kind);
        }
    }
    let count = kinds.len();
    let mut seen: Vec<((Option<usize>, usize), u32)> = Vec::new();
    let mut chosen = Vec::new();
    let mut before = None;
    for (at, kind) in kinds.into_iter().enumerate() {
        let kind = kind?;
        let pair = (before, kind);
        before = Some(kind);
        let known = seen.iter().position(|(known, _)| *known == pair).unwrap_or_else(|| {
            seen.push((pair, 0));
            seen.len() - 1
        });
        let times = &mut seen[known].1;
        *times += 1;
        if *times <= 2 || at + 1 == count {
            let (group, blocks) = &groups[kind];
            chosen.push((kind, group.norms.unwrap_or(2), blocks.clone()));
        }
    }
    Some(chosen)
}

/// Whether a layer is one block and what follows it, all with a graph here.
fn blocks_known(blocks: &[&Block]) -> bool {
    let Some((block, rest)) = blocks.split_first() else { return false };
    let mixes = match block {
        Block::Grouped(attention) => !attention.cross && attention.blocks.is_none(),
        Block::Latent(attention) => attention.indexer.is_none() && attention.gate.is_none(),
        Block::Delta(_) => true,
        _ => false,
    };
    let feeds = |block: &&Block| match block {
        Block::Dense(_) => true,
        Block::Experts(experts) => experts.latent.is_none() && experts.zero_experts.is_none(),
        _ => false,
    };
    mixes && !rest.is_empty() && rest.iter().all(feeds)
}

impl<'a> Writer<'a> {
    /// The inputs, in the order of the engine.
    fn new(spec: &'a ModelSpec, part: Part, layers: &[Layer<'a>], reserve: Reserve) -> Self {
        let mut graph = Graph::default();
        let mixers = || layers.iter().filter_map(|(_, _, blocks)| blocks.first().copied());
        // Rotary positions of several axes come with delta layers (interleaved M-RoPE).
        let axes = if spec.block.values().any(|block| matches!(block, Block::Delta(_))) { 4 } else { 1 };
        let positions = graph.input(reserve.tokens * WIDTH * axes);
        let mut writer =
            Self { graph, reserve, hidden: spec.hidden.get(), spec, positions, full: None, window: None };
        let windowed = |block: &&Block| matches!(block, Block::Grouped(it) if it.window.is_some());
        let full = mixers().find(|block| !windowed(block) && !matches!(block, Block::Delta(_)));
        let window = mixers().find(windowed);
        // The host fills the masks that devices read.
        let (full, window) = if part == Part::Host {
            let all: Vec<&Block> = spec.block.values().filter(|block| attends(block)).collect();
            let find = |wanted: bool| all.iter().copied().find(|block| windowed(block) == wanted);
            (find(false), find(true))
        } else {
            (full, window)
        };
        writer.full = full.map(|block| writer.attended(block, reserve.cells));
        writer.window = window.map(|block| writer.attended(block, reserve.window_cells));
        writer
    }

    /// Mask, places and turning matrices of one cache.
    fn attended(&mut self, block: &Block, cells: u64) -> Attended {
        let Reserve { tokens, flash, turned, .. } = self.reserve;
        let mask = self.graph.input(tokens * cells * if flash { 2 } else { WIDTH });
        let keys = self.graph.input(tokens * PLACE);
        let (key_width, values) = match block {
            Block::Grouped(GroupedAttention { head_dim, kv_heads, .. }) => {
                (head_dim.get(), Some(kv_heads.get() * value_width(block)))
            }
            Block::Latent(latent) => (latent.latent(), None),
            _ => (1, None),
        };
        // Values lie transposed without flash attention: a place per element.
        let values = values.map(|width| self.graph.input(tokens * PLACE * if flash { 1 } else { width }));
        if turned {
            self.graph.idle(square(power_of_two(key_width).min(LARGEST_TURN)));
            if values.is_some() {
                self.graph.idle(square(VALUE_TURN));
            }
        }
        Attended { cells, mask, keys, values }
    }

    /// The hidden states that enter the first layer.
    fn entry(&mut self, part: Part) -> Id {
        let stream = self.stream();
        match part {
            Part::Whole | Part::Host => {
                let tokens = self.graph.input(self.reserve.tokens * WIDTH);
                let mixed = self.graph.input(stream);
                // Embeddings given instead of tokens have room in every graph.
                self.graph.idle(stream);
                let looked_up = self.graph.result(stream, &[tokens]);
                self.mixed_inputs(mixed, tokens);
                looked_up
            }
            Part::Device { first: true } => {
                let entry = self.graph.input(stream);
                let (mixed, looked_up) = (self.graph.input(stream), self.graph.input(stream));
                let copy = self.graph.result(stream, &[mixed]);
                self.graph.view_after(copy, &[looked_up]);
                entry
            }
            Part::Device { first: false } => self.graph.input(stream),
        }
    }

    /// Batches that mix tokens and embeddings: part of every graph, read by nothing else.
    fn mixed_inputs(&mut self, mixed: Id, tokens: Id) {
        let stream = self.stream();
        let looked_up = self.graph.result(stream, &[tokens]);
        let copy = self.graph.result(stream, &[mixed]);
        self.graph.view_after(copy, &[looked_up]);
    }

    /// Bytes of the hidden states of a micro-batch.
    fn stream(&self) -> u64 {
        self.reserve.tokens * self.hidden * WIDTH
    }

    /// A norm and its weights.
    pub(super) fn norm(&mut self, of: Id, bytes: u64) -> Id {
        let normed = self.graph.overwrite(bytes, &[of]);
        self.graph.overwrite(bytes, &[normed])
    }

    /// One layer; the last computes only the tokens whose logits are asked for.
    fn layer(&mut self, stream: Id, norms: u64, blocks: &[&Block], outputs: Option<u64>) -> Id {
        let Some((block, rest)) = blocks.split_first() else { return stream };
        let all = self.stream();
        let normed = self.norm(stream, all);
        let mixed = match block {
            Block::Grouped(attention) => self.grouped(normed, attention),
            Block::Latent(attention) => self.latent(normed, attention),
            Block::Delta(delta) => self.delta(normed, delta),
            _ => normed,
        };
        let tokens = outputs.unwrap_or(self.reserve.tokens);
        let bytes = tokens * self.hidden * WIDTH;
        let (mut mixed, stream) = match outputs {
            Some(_) => (self.graph.result(bytes, &[mixed]), self.graph.result(bytes, &[stream])),
            None => (mixed, stream),
        };
        let after = norms >= 4;
        if after {
            mixed = self.norm(mixed, bytes);
        }
        let residual = self.graph.overwrite(bytes, &[mixed, stream]);
        let normed = self.norm(residual, bytes);
        let mut fed: Option<Id> = None;
        for block in rest {
            let next = match block {
                Block::Dense(dense) => self.dense(normed, tokens, dense.width.get(), dense.ungated),
                Block::Experts(experts) => self.experts(normed, tokens, experts),
                _ => normed,
            };
            fed = Some(fed.map_or(next, |before| self.graph.overwrite(bytes, &[before, next])));
        }
        let mut fed = fed.unwrap_or(normed);
        if after {
            fed = self.norm(fed, bytes);
        }
        self.graph.overwrite(bytes, &[fed, residual])
    }

    /// The logits of the last tokens.
    fn logits(&mut self, stream: Id) {
        let rows = self.reserve.sequences * WIDTH;
        let normed = self.norm(stream, rows * self.hidden);
        self.graph.result(rows * self.spec.vocabulary.get(), &[normed]);
    }

    /// The cache a layer attends.
    pub(super) fn cache(&self, windowed: bool) -> Option<Attended> {
        if windowed { self.window } else { self.full }
    }

    pub(super) fn positions(&self) -> Id {
        self.positions
    }

    /// Whether queries, keys and values are one matrix.
    pub(super) fn fused(&self) -> bool {
        if self.spec.stored.is_empty() {
            return fuses_attention(self.spec);
        }
        // Delta layers have a matrix of that name and attending layers beside them do not.
        let has = |name: &str| self.spec.stored.iter().any(|tensor| tensor.name == name);
        has("attn_qkv.weight") && !has("attn_q.weight")
    }
}

/// Turning matrices of quantised caches: values by 64, keys by the power of two in the width of
/// their head, up to 256 (log of `llama_kv_cache`, `n_rot_k` and `n_rot_v`).
const VALUE_TURN: u64 = 64;
const LARGEST_TURN: u64 = 256;

fn power_of_two(width: u64) -> u64 {
    1 << width.max(1).trailing_zeros()
}

fn square(side: u64) -> u64 {
    side * side * WIDTH
}

fn attends(block: &Block) -> bool {
    matches!(block, Block::Grouped(_) | Block::Latent(LatentAttention { .. }))
}

/// Width of a value head.
fn value_width(block: &Block) -> u64 {
    match block {
        Block::Grouped(attention) => attention.value_width(),
        _ => 0,
    }
}
