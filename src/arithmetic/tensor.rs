//! The weights of a model as a list of tensors: what every byte and every multiplication rests on.
//!
//! A family of blocks lists the tensors of one layer; [`crate::arithmetic::inventory`] adds
//! embedding, head, norms, prediction layers and towers. Parameter totals, file sizes under any
//! format, shards per device and the matrix multiplications of a step are sums over this list.

use crate::words;

words! {
    /// Class of a tensor, for native formats, published breakdowns and reading per step.
    pub enum Class ("tensor class") {
        /// Input embedding: one row per token is read.
        Embedding = "embedding",
        /// Output matrix.
        Head = "head",
        /// Attention projections.
        Attention = "attention",
        /// Sparse indexer.
        Indexer = "indexer",
        /// Compressors of cached entries.
        Compressor = "compressor",
        /// Linear attention, state space, short convolution.
        Linear = "linear",
        /// Router of experts.
        Router = "router",
        /// Shared experts.
        Shared = "shared",
        /// Routed experts.
        Experts = "experts",
        /// Dense feed-forward.
        Dense = "dense",
        /// Norms and other vectors.
        Norms = "norms",
        /// Residual stream mixing.
        Hyper = "hyper",
        /// Weights no rule covers.
        Other = "other",
        /// Vision and audio towers.
        Tower = "tower",
        /// Lookup tables outside the layers.
        Lookup = "lookup",
    }
}

/// What a tensor does; file formats and shards depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Input embedding table.
    Embedding,
    /// Output matrix.
    Output,
    /// Any vector: norm, bias, sink, decay.
    Vector,
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Output projection of attention.
    AttentionOut,
    /// Gate of the attention output.
    AttentionGate,
    /// Down projection to the query rank.
    QueryDown,
    /// Up projection from the query rank.
    QueryUp,
    /// Down projection to the latent and its rotary part.
    LatentDown,
    /// Up projection of the latent to keys, one matrix per head.
    LatentKey,
    /// Up projection of the latent to values, one matrix per head.
    LatentValue,
    /// Grouped output down projection (V4).
    OutDown,
    /// Index query projection.
    IndexQuery,
    /// Index key projection.
    IndexKey,
    /// Index head weights.
    IndexWeight,
    /// Compressor projection.
    Compress,
    /// Residual stream mixing.
    Mix,
    /// Fused input projection of a linear mixer.
    LinearIn,
    /// Gate projection of a linear mixer.
    LinearGate,
    /// Output projection of a linear mixer.
    LinearOut,
    /// Small projections of a linear mixer (decay, time step, beta).
    LinearSmall,
    /// Short convolution.
    Conv,
    /// Router.
    Router,
    /// Gate of the shared experts.
    SharedRouter,
    /// Table that routes tokens by their number.
    RouteTable,
    /// Gate projection of dense feed-forward.
    DenseGate,
    /// Up projection of dense feed-forward.
    DenseUp,
    /// Down projection of dense feed-forward.
    DenseDown,
    /// Gate projections of all experts.
    ExpertGate,
    /// Up projections of all experts.
    ExpertUp,
    /// Down projections of all experts.
    ExpertDown,
    /// Gate projection of the shared experts.
    SharedGate,
    /// Up projection of the shared experts.
    SharedUp,
    /// Down projection of the shared experts.
    SharedDown,
    /// Projection into the width latent experts work in.
    ExpertsIn,
    /// Projection back from it.
    ExpertsOut,
    /// Joins embedding and hidden state before a prediction layer.
    PredictionJoin,
    /// Weights no rule covers.
    Other,
    /// Per-layer embedding or lookup memory.
    LookupTable,
    /// Vision or audio tower.
    Tower,
}

/// How tensor parallelism divides a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shard {
    /// Every rank holds all of it.
    Replicated,
    /// Divided by rows or columns; any number of ranks that divides the width.
    Split,
    /// Divided by key-value heads; ranks beyond their number hold copies.
    KvHeads(u64),
    /// Divided by expert, or within each expert.
    Expert,
}

/// A weight tensor of one layer, or `copies` equal ones stacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// What it does.
    pub role: Role,
    /// Its class.
    pub class: Class,
    /// Outputs; 1 for a vector.
    pub rows: u64,
    /// Inputs: the length of a row, which block formats divide.
    pub cols: u64,
    /// Equal matrices stacked: experts or heads.
    pub copies: u64,
    /// How tensor parallelism divides it.
    pub shard: Shard,
}

impl Tensor {
    /// A matrix of `rows` outputs and `cols` inputs.
    pub const fn matrix(role: Role, class: Class, rows: u64, cols: u64, shard: Shard) -> Self {
        Self { role, class, rows, cols, copies: 1, shard }
    }

    /// `copies` equal matrices.
    pub const fn stack(role: Role, class: Class, copies: u64, rows: u64, cols: u64, shard: Shard) -> Self {
        Self { role, class, rows, cols, copies, shard }
    }

    /// A vector; it is never quantised and never split.
    pub const fn vector(class: Class, len: u64) -> Self {
        Self { role: Role::Vector, class, rows: 1, cols: len, copies: 1, shard: Shard::Replicated }
    }

    /// Number of parameters; of absurd shapes the largest number there is, so that sums of them can
    /// be refused.
    pub const fn params(&self) -> u64 {
        self.rows.saturating_mul(self.cols).saturating_mul(self.copies)
    }

    /// Whether it is a vector.
    pub fn is_vector(&self) -> bool {
        self.role == Role::Vector
    }
}
