//! What a model is: the shape of its layers, its native formats, what is published about it.
//!
//! A model is a list of layer groups; a layer is an ordered list of *blocks* (attention, state
//! space, feed-forward, experts). Blocks are named once and used by name, so that a file reads
//! like the architecture: see `model-specs/deepseek-v4-pro.toml`.

use crate::catalogue::decode::{Count, Decode, Problems, mismatch};
use crate::{kinds, table, words};
use serde::Serialize;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::DeValue;

table! {
    /// The shape of a model and what is published about it.
    pub struct ModelSpec ("a model") {
        /// Stable name, equal to the file name.
        pub id: String,
        /// Name as its maker writes it.
        pub name: String,
        /// Id on the model hub.
        pub hub: Option<String>,
        /// Other names people type.
        pub aliases: Vec<String>,
        /// Family of models with the same architecture.
        pub family: String,
        /// Date of release, `YYYY-MM-DD`.
        pub released: Option<String>,
        /// Licence of the weights.
        pub licence: Option<String>,
        /// Longest sequence the model is made for, tokens.
        pub context: Count,
        /// Width of the residual stream.
        pub hidden: Count,
        /// Entries of the vocabulary.
        pub vocabulary: Count,
        /// Whether the output matrix is the embedding.
        pub tied_embeddings: bool,
        /// Where the shape comes from.
        pub config: Provenance,
        /// What the maker states.
        pub published: Option<Published>,
        /// Formats of the native checkpoint.
        pub native: NativeFormats,
        /// Groups of layers.
        pub layers: Vec<LayerGroup>,
        /// The blocks that layers are made of, by name.
        pub block: BTreeMap<String, Block>,
        /// Multi-token prediction layers kept in the checkpoint.
        pub mtp: Option<Mtp>,
        /// Vision or audio towers.
        pub tower: Vec<Tower>,
        /// Tables outside the layers: per-layer embeddings, lookup memory.
        pub extra: Vec<ExtraWeights>,
        /// Tensors of one file as its table lists them, where the model was read from it.
        pub stored: Vec<StoredTensor>,
        /// Bytes of a checkpoint by part, where its headers were read.
        pub held: Vec<HeldBytes>,
        /// Published benchmark scores.
        pub quality: Vec<Score>,
        /// Prices of hosted access.
        pub api: Vec<ApiOffer>,
    }
}

table! {
    /// Where the shape of a model comes from and what is known to be unsure.
    pub struct Provenance ("the provenance of a config") {
        /// How the config was obtained.
        pub grade: Grade,
        /// Pages and files it was read from.
        pub sources: Vec<String>,
        /// What a reader should know.
        pub note: Option<String>,
        /// What is not known or not proven; every answer that rests on it shows it.
        pub caveat: Option<String>,
        /// Parts of the cache are not known: what the blocks give is the least it can be.
        pub cache_unknown: bool,
    }
}

words! {
    /// How trustworthy the shape of a model is.
    pub enum Grade ("grade of a config") {
        /// A copy of the published config.
        Published = "published",
        /// Read from tensor tables or a hub listing and proven by the exact parameter total.
        Proven = "proven",
        /// Defaults of a reference implementation that name this checkpoint.
        ClassDefault = "class-default",
        /// From general knowledge, confirmed only by the parameter total.
        Recalled = "recalled",
        /// Parts are unknown.
        Partial = "partial",
        /// Only total and active parameters were given.
        Coarse = "coarse",
    }
}

table! {
    /// Published figures to compare the computed ones with.
    pub struct Published ("published figures") {
        /// Total parameters.
        pub total: Option<u64>,
        /// Active parameters per token.
        pub active: Option<u64>,
        /// Exact number of parameters in the files of the hub, with prediction layers and towers.
        pub hub_total: Option<u64>,
        /// Where the figures stand.
        pub source: Option<String>,
        /// Why the computed total differs by more than 1 %.
        pub difference: Option<String>,
    }
}

table! {
    /// Formats of the native checkpoint per tensor class; names of `formats.toml`.
    pub struct NativeFormats ("native weight formats") {
        /// Everything not named below.
        pub default: String,
        /// Routed experts.
        pub experts: Option<String>,
        /// Attention and other mixers.
        pub attention: Option<String>,
        /// Dense feed-forward and shared experts.
        pub dense: Option<String>,
        /// Embedding and output matrix.
        pub embedding: Option<String>,
        /// Vision and audio towers.
        pub tower: Option<String>,
        /// In words, as published.
        pub note: Option<String>,
    }
}

table! {
    /// Layers of the same make.
    pub struct LayerGroup ("a group of layers") {
        /// Which layers, from 0: `0-2, 3-59/2`.
        pub at: LayerSet,
        /// Blocks in the order of execution.
        pub blocks: Vec<String>,
        /// Normalisation vectors of width `hidden` per layer; 2 unless given.
        pub norms: Option<u64>,
    }
}

/// A set of layer numbers, written `0-2, 4-60/2`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LayerSet(Vec<u32>);

impl LayerSet {
    /// The set of these layers, sorted.
    pub fn new(mut layers: Vec<u32>) -> Self {
        layers.sort_unstable();
        layers.dedup();
        Self(layers)
    }

    /// How many layers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of them lie in a range.
    pub fn count_in(&self, range: std::ops::Range<u32>) -> usize {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return 0 };
        // Most sets have no gaps.
        let whole = (last - first) as usize + 1 == self.0.len();
        let below = |end: u32| {
            if whole {
                (end.clamp(*first, *last + 1) - first) as usize
            } else {
                self.0.partition_point(|layer| *layer < end)
            }
        };
        below(range.end).saturating_sub(below(range.start))
    }

    /// The layers in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// Whether no layer is in both sets.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        !self.0.iter().any(|layer| other.0.binary_search(layer).is_ok())
    }

    /// The layers of both sets.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.0.iter().chain(&other.0).copied().collect())
    }

    /// Parses `0-2, 4-60/2`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut layers = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (range, step) = part.split_once('/').unwrap_or((part, "1"));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            let step: u32 = step.trim().parse().ok()?;
            // No model has more than a few hundred layers; a typo must not fill the memory.
            if step == 0 || last < first || last >= 10_000 {
                return None;
            }
            layers.extend((first..=last).step_by(step as usize));
        }
        (!layers.is_empty()).then(|| Self::new(layers))
    }
}

impl std::fmt::Display for LayerSet {
    /// Shortest of runs and stepped runs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let layers = &self.0;
        let mut parts: Vec<String> = Vec::new();
        let mut i = 0;
        while i < layers.len() {
            let step = layers.get(i + 1).map_or(1, |next| next - layers[i]);
            let mut j = i;
            while j + 1 < layers.len() && layers[j + 1] - layers[j] == step {
                j += 1;
            }
            if j == i {
                parts.push(layers[i].to_string());
                i += 1;
            } else if step == 1 {
                parts.push(format!("{}-{}", layers[i], layers[j]));
                i = j + 1;
            } else if j >= i + 2 {
                parts.push(format!("{}-{}/{step}", layers[i], layers[j]));
                i = j + 1;
            } else {
                parts.push(layers[i].to_string());
                i += 1;
            }
        }
        f.write_str(&parts.join(", "))
    }
}

impl Serialize for LayerSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Decode for LayerSet {
    fn expected() -> String {
        "layers such as \"0-2, 4-60/2\"".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let Some(text) = value.get_ref().as_str() else {
            mismatch(value, &Self::expected(), problems);
            return None;
        };
        let set = Self::parse(text);
        if set.is_none() {
            problems.push(value.span(), format!("`{text}` is not a set of layers"), Self::expected());
        }
        set
    }
}

kinds! {
    /// One block of a layer. Each kind has its file in `arithmetic`.
    pub enum Block ("a block") {
        /// Grouped-query attention, with multi-head and multi-query as its limits.
        "grouped" => Grouped(GroupedAttention),
        /// Latent attention (MLA), optionally with a sparse indexer (DSA).
        "latent" => Latent(LatentAttention),
        /// Compressed attention of DeepSeek V4 (CSA, HCA or window only).
        "compressed" => Compressed(CompressedAttention),
        /// Gated delta rule with one decay per head (Gated DeltaNet).
        "delta" => Delta(DeltaRule),
        /// Gated delta rule with one decay per channel (KDA).
        "channel-delta" => ChannelDelta(ChannelDelta),
        /// State space of Mamba-1.
        "mamba1" => Mamba1(Mamba1),
        /// State space of Mamba-2.
        "mamba2" => Mamba2(Mamba2),
        /// Gated short convolution (LFM2).
        "short-conv" => ShortConv(ShortConv),
        /// Dense feed-forward.
        "dense" => Dense(Dense),
        /// Routed experts with their router and shared experts.
        "experts" => Experts(Experts),
        /// Residual streams mixed by learned weights (mHC).
        "hyper-connections" => Hyper(HyperConnections),
    }
}

table! {
    /// Grouped-query attention.
    pub struct GroupedAttention ("grouped-query attention") {
        /// Query heads.
        pub heads: Count,
        /// Key-value heads.
        pub kv_heads: Count,
        /// Width of a query and key head.
        pub head_dim: Count,
        /// Width of a value head; `head_dim` unless given.
        pub value_dim: Option<Count>,
        /// Tokens a query sees; all unless given.
        pub window: Option<Count>,
        /// Whether the window is a fixed chunk (Llama 4) instead of sliding.
        pub chunked: bool,
        /// Bias vectors on queries, keys and values.
        pub qkv_bias: bool,
        /// Bias vector on the output.
        pub out_bias: bool,
        /// Normalisation of queries and keys.
        pub qk_norm: Option<QkNorm>,
        /// Gate on the output.
        pub gate: Option<Gate>,
        /// A learned logit per head.
        pub sinks: bool,
        /// Values are the keys: no value projection in the weights, both cached.
        pub keys_as_values: bool,
        /// Whether this layer reads the cache of another layer and stores none.
        pub shares_cache: bool,
        /// Whether a sharing layer still stores its unused key and value projections.
        pub stores_unused_kv: bool,
        /// Keys and values come from image tokens (cross attention).
        pub cross: bool,
        /// Cached tokens are found in blocks first (MSA, NSA).
        pub blocks: Option<BlockSelection>,
        /// Parameters of this block that no rule above covers.
        pub other_params: Option<u64>,
    }
}

words! {
    /// Normalisation of queries and keys.
    pub enum QkNorm ("query-key norm") {
        /// One vector of head width for queries and one for keys.
        Head = "head",
        /// One vector over all heads each.
        Full = "full",
    }
}

words! {
    /// Gate on the attention output.
    pub enum Gate ("attention gate") {
        /// One value per element of the output, from a projection as wide as the queries.
        Elementwise = "elementwise",
        /// One value per head.
        Head = "head",
    }
}

table! {
    /// Selection of cached blocks by an index key.
    pub struct BlockSelection ("block selection") {
        /// Tokens of a block.
        pub size: Count,
        /// Blocks chosen per query.
        pub top: Count,
        /// Index heads.
        pub index_heads: Count,
        /// Width of an index key.
        pub index_dim: Count,
    }
}

table! {
    /// Latent attention: one compressed vector per token serves all heads.
    pub struct LatentAttention ("latent attention") {
        /// Query heads.
        pub heads: Count,
        /// Rank of the query projection; full rank unless given.
        pub q_rank: Option<Count>,
        /// Rank of the key-value projection.
        pub kv_rank: Count,
        /// Head width without rotary embedding.
        pub nope_dim: Count,
        /// Head width with rotary embedding, shared by all heads; 0 for none.
        pub rope_dim: u64,
        /// Width of a value head.
        pub value_dim: Count,
        /// Gate on the output.
        pub gate: Option<Gate>,
        /// Sparse indexer over the cached tokens.
        pub indexer: Option<Indexer>,
        /// Bias vectors on the down projections.
        pub bias: bool,
        /// Parameters of this block that no rule above covers.
        pub other_params: Option<u64>,
    }
}

table! {
    /// Lightning indexer: scores every cached entry and keeps the best.
    pub struct Indexer ("an indexer") {
        /// Index heads.
        pub heads: Count,
        /// Width of an index key.
        pub dim: Count,
        /// Entries kept per query.
        pub top: Count,
        /// Reuses the selection of an earlier layer: no weights, no keys.
        pub shared: bool,
    }
}

table! {
    /// Attention over a window and over compressed entries, keys equal to values.
    pub struct CompressedAttention ("compressed attention") {
        /// Query heads.
        pub heads: Count,
        /// Width of the one cached head.
        pub head_dim: Count,
        /// Of it, width with rotary embedding.
        pub rope_dim: Count,
        /// Rank of the query projection.
        pub q_rank: Count,
        /// Groups of the output projection.
        pub out_groups: Count,
        /// Rank of each output group.
        pub out_rank: Count,
        /// Tokens seen without compression.
        pub window: Count,
        /// Tokens per compressed entry: 4 (CSA, overlapping), 128 (HCA) or 0 (window only).
        pub ratio: u64,
        /// Indexer over the compressed entries.
        pub indexer: Option<Indexer>,
    }
}

table! {
    /// Gated DeltaNet.
    pub struct DeltaRule ("a gated delta rule") {
        /// Key heads.
        pub key_heads: Count,
        /// Value heads.
        pub value_heads: Count,
        /// Width of a key head.
        pub key_dim: Count,
        /// Width of a value head.
        pub value_dim: Count,
        /// Taps of the short convolution.
        pub conv: Count,
    }
}

table! {
    /// Kimi Delta Attention: a decay per channel.
    pub struct ChannelDelta ("a channel-wise delta rule") {
        /// Heads.
        pub heads: Count,
        /// Width of a head.
        pub head_dim: Count,
        /// Taps of the short convolution.
        pub conv: Count,
        /// Whether the output gate has full rank.
        pub full_rank_gate: bool,
        /// Parameters of this block that no rule above covers.
        pub other_params: Option<u64>,
    }
}

table! {
    /// Mamba-1 state space.
    pub struct Mamba1 ("a Mamba-1 state space") {
        /// Inner width.
        pub inner: Count,
        /// State per channel.
        pub state: Count,
        /// Rank of the time step.
        pub dt_rank: Count,
        /// Taps of the short convolution.
        pub conv: Count,
        /// Normalised time step and state projections (Jamba).
        pub inner_norms: bool,
    }
}

table! {
    /// Mamba-2 state space.
    pub struct Mamba2 ("a Mamba-2 state space") {
        /// Inner width.
        pub inner: Count,
        /// Heads.
        pub heads: Count,
        /// Groups of the state projections.
        pub groups: Count,
        /// State per channel.
        pub state: Count,
        /// Taps of the short convolution.
        pub conv: Count,
        /// Normalisation of the inner width.
        pub norm: bool,
        /// Bias on the convolution.
        pub conv_bias: bool,
    }
}

table! {
    /// Gated short convolution.
    pub struct ShortConv ("a short convolution") {
        /// Taps.
        pub taps: Count,
    }
}

table! {
    /// Dense feed-forward.
    pub struct Dense ("a dense feed-forward") {
        /// Inner width.
        pub width: Count,
        /// Two matrices (squared relu) instead of three (gated).
        pub ungated: bool,
        /// Bias vectors.
        pub bias: bool,
    }
}

table! {
    /// Routed experts.
    pub struct Experts ("routed experts") {
        /// Experts in the layer.
        pub count: Count,
        /// Experts chosen per token.
        pub active: Count,
        /// Inner width of one expert.
        pub width: Count,
        /// Width experts work in; `hidden` unless given (latent experts).
        pub latent: Option<Count>,
        /// Total inner width of the shared experts; none unless given.
        pub shared_width: Option<Count>,
        /// A gate on the shared experts.
        pub shared_gate: bool,
        /// Two matrices per expert instead of three.
        pub ungated: bool,
        /// A learned bias per expert in the router.
        pub router_bias: bool,
        /// Bias vectors in the experts.
        pub bias: bool,
        /// Tokens are routed by a fixed table instead of the router.
        pub hashed: bool,
        /// Experts that do nothing and cost nothing, among those the router knows.
        pub zero_experts: Option<u64>,
        /// Parameters of this block that no rule above covers.
        pub other_params: Option<u64>,
    }
}

table! {
    /// Several residual streams mixed at each site.
    pub struct HyperConnections ("hyper-connections") {
        /// Residual streams.
        pub streams: Count,
        /// Mixing sites per layer.
        pub sites: Count,
    }
}

table! {
    /// Multi-token prediction layers.
    pub struct Mtp ("prediction layers") {
        /// Layers of this make in the checkpoint.
        pub layers: Count,
        /// Blocks of one layer.
        pub blocks: Vec<String>,
        /// Holds its own copy of the embedding.
        pub own_embedding: bool,
        /// Holds its own copy of the output matrix.
        pub own_head: bool,
        /// Parameters of the prediction layers in the checkpoint, when stated.
        pub params: Option<u64>,
    }
}

table! {
    /// A vision or audio tower; its weights are resident, its layers are not planned.
    pub struct Tower ("a tower") {
        /// What it sees or hears.
        pub name: String,
        /// Parameters.
        pub params: u64,
        /// Where the count comes from.
        pub source: Option<String>,
    }
}

table! {
    /// Weights outside the layers.
    pub struct ExtraWeights ("extra weights") {
        /// What it is.
        pub name: String,
        /// Parameters.
        pub params: u64,
        /// Looked up row by row, so that it may stay in host memory.
        pub lookup: bool,
        /// Read in full for every token.
        pub every_token: bool,
        /// Not part of the published total.
        pub outside_total: bool,
    }
}

table! {
    /// Tensors of one name, shape and type in the table of a file.
    pub struct StoredTensor ("a stored tensor") {
        /// Name without the number of its layer: `attn_q.weight`.
        pub name: String,
        /// Layers that hold one; those from the number of layers on are prediction layers. None is
        /// outside the layers.
        pub at: Option<LayerSet>,
        /// Dimensions, the length of a row first.
        pub shape: Vec<u64>,
        /// How they are stored.
        pub format: String,
    }
}

words! {
    /// A part of a checkpoint.
    pub enum Part ("a part of a checkpoint") {
        /// The input embedding and other tables.
        Embedding = "embedding",
        /// The layers without their routed experts.
        Layers = "layers",
        /// The routed experts of the layers.
        Experts = "experts",
        /// Final norm and output matrix.
        Output = "output",
        /// Prediction layers.
        Prediction = "prediction",
        /// Vision and audio towers with their projectors.
        Tower = "tower",
    }
}

table! {
    /// Bytes of a part of a checkpoint, as the headers of its files list them.
    pub struct HeldBytes ("bytes of a checkpoint") {
        /// The part.
        pub part: Part,
        /// Layers that hold as much each; none outside the layers.
        pub at: Option<LayerSet>,
        /// Bytes, of one layer where there are layers.
        pub bytes: u64,
    }
}

table! {
    /// One published benchmark score.
    pub struct Score ("a score") {
        /// Benchmark.
        pub benchmark: String,
        /// Score in `unit`.
        pub score: f64,
        /// Unit.
        pub unit: Option<String>,
        /// Reasoning mode, when stated.
        pub mode: Option<String>,
        /// Where it stands.
        pub source: String,
        /// Date.
        pub date: Option<String>,
    }
}

table! {
    /// One offer of hosted access.
    pub struct ApiOffer ("an API offer") {
        /// Who offers it.
        pub provider: String,
        /// US dollars per million input tokens.
        pub input: Option<f64>,
        /// US dollars per million input tokens found in the cache.
        pub cached_input: Option<f64>,
        /// US dollars per million output tokens.
        pub output: Option<f64>,
        /// Where it stands.
        pub source: String,
        /// Date.
        pub date: Option<String>,
    }
}

impl ModelSpec {
    /// Number of layers, without prediction layers.
    pub fn layer_count(&self) -> u32 {
        self.layers.iter().map(|group| group.at.len() as u32).sum()
    }

    /// The layer groups with their blocks resolved.
    pub fn groups(&self) -> impl Iterator<Item = (&LayerGroup, Vec<&Block>)> {
        self.layers
            .iter()
            .map(|group| (group, group.blocks.iter().filter_map(|name| self.block.get(name)).collect()))
    }

    /// Whether any layer routes tokens to experts.
    pub fn is_moe(&self) -> bool {
        self.expert_layers() > 0
    }

    /// Number of layers that route tokens to experts.
    pub fn expert_layers(&self) -> u32 {
        self.groups()
            .filter(|(_, blocks)| blocks.iter().any(|block| matches!(block, Block::Experts(_))))
            .map(|(group, _)| group.at.len() as u32)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_sets_read_and_print() {
        for text in ["0", "0-2", "3-60", "2-60/2", "0-1, 3-61/2", "0, 7"] {
            let set = LayerSet::parse(text).unwrap();
            assert_eq!(set.to_string(), text);
        }
        assert_eq!(LayerSet::parse("2-60/2").unwrap().len(), 30);
        for bad in ["", "3-1", "0-99999", "1/0", "a"] {
            assert_eq!(LayerSet::parse(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn printing_then_parsing_gives_the_same(layers in proptest::collection::vec(0u32..200, 1..80)) {
            let set = LayerSet::new(layers);
            proptest::prop_assert_eq!(LayerSet::parse(&set.to_string()).unwrap(), set);
        }
    }
}
