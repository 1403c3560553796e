//! What is simulated: replicas, their cache, who sends requests where, and what breaks.

use super::super::Policy;

/// The cache of one replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cache {
    /// Tokens of a block.
    pub block: u32,
    /// Blocks.
    pub blocks: u64,
    /// What a request must find free before it runs.
    pub reserve: Reserve,
    /// Whether blocks of finished requests stay until their place is needed, for prompts that begin
    /// with the same tokens.
    pub prefixes: bool,
}

impl Cache {
    /// A cache of so many tokens, admitting by present need, with prefixes kept.
    pub const fn of_tokens(tokens: u64, block: u32) -> Self {
        let block = if block == 0 { 1 } else { block };
        Self { block, blocks: tokens / block as u64, reserve: Reserve::Present, prefixes: true }
    }
}

/// What a request must find free before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// The prompt; where a later token finds no block, the request that came last gives its blocks back
    /// and is computed again (vLLM, SGLang).
    Present,
    /// Prompt and whole answer; nobody is put out (TensorRT-LLM).
    Whole,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router {
    /// To each replica in turn.
    RoundRobin,
    /// To the replica with the fewest requests.
    LeastLoaded,
    /// To the replica that served the session before, to the least loaded at first or when that is down.
    SessionAffinity,
}

/// A replica that goes down and comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failure {
    /// Which, from zero; with separate pools, prefill workers come first.
    pub replica: u32,
    /// Seconds from the start of the run.
    pub at: f64,
    /// Seconds until it takes requests again, its cache empty.
    pub repair: f64,
}

/// Replicas behind a router.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Replicas; with separate pools, the workers that decode.
    pub replicas: u32,
    /// Sequences each holds at once at most.
    pub slots: u64,
    /// The cache of each; absent where it never is the limit.
    pub cache: Option<Cache>,
    /// Where a request goes.
    pub router: Router,
    /// What breaks.
    pub failures: Vec<Failure>,
    /// Requests sent before so many seconds stay out of the statistics.
    pub warm_up: f64,
}

impl Cluster {
    /// One replica with nothing but slots.
    pub const fn one(slots: u64) -> Self {
        Self {
            replicas: 1,
            slots,
            cache: None,
            router: Router::LeastLoaded,
            failures: Vec::new(),
            warm_up: 0.0,
        }
    }
}

/// Workers that do prompts only, before the replicas of a [`Cluster`] decode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PrefillPool {
    /// Workers.
    pub workers: u32,
    /// How they make up their steps.
    pub policy: Policy,
    /// Seconds to hand a prompt's cache on, whatever its length.
    pub transfer: f64,
    /// Seconds more per token of it.
    pub transfer_per_token: f64,
}
