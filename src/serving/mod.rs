//! What users of a serving engine see: time to the first token, time per token and throughput, from
//! the times of single steps.
//!
//! - [`simulation`] serves any traffic iteration by iteration; `closed_loop` is its simplest setting, one
//!   replica whose users each send the next request when the last is answered, and `separate_pools` walks
//!   through the same with prefill and decode on separate workers.
//! - `PromptTimes::steady` is the closed form of the first, for ranking many candidates.
//! - `open_loop` is the closed form for requests that come at a rate of their own.
//! - `offline_maximum` has all requests queued from the start.
//!
//! Nothing here knows models or devices: `StepTimes` answers for them, and `Grid` keeps it from
//! being asked often.
//!
//! Limits of the closed forms: a step costs the same at every depth of its sequences (the mean depth of the
//! load), no sequence is evicted once it runs, and requests are served in the order they came.

#![allow(dead_code, unused_imports, reason = "open loop and replay are asked for by plans of arrival rates")]

pub mod belief;
mod engine;
mod grid;
mod lengths;
pub mod levels;
mod offline;
mod open;
mod outcome;
mod pools;
pub mod profile;
mod prompts;
pub mod simulation;
mod steady;
#[cfg(test)]
mod tests;
pub mod text;
pub mod traffic;
pub mod workload;

pub(crate) use engine::closed_loop;
pub(crate) use grid::{DepthGrid, Grid};
pub use lengths::Lengths;
pub(crate) use offline::{Offline, OfflineMaximum, offline_maximum};
pub(crate) use open::{OpenLoop, Unstable, open_loop};
pub(crate) use outcome::{Outcome, Spread};
pub(crate) use pools::{Pools, separate_pools};
pub(crate) use steady::{PromptTimes, Steady};

/// Times of the steps of one replica, seconds; positive and finite.
pub(crate) trait StepTimes {
    /// One decode step of `sequences` over all groups of attention at the mean depth.
    fn decode(&self, sequences: f64) -> f64;
    /// One step of `tokens` prompt tokens in every group of attention, from prompts of the mean
    /// length.
    fn prefill(&self, tokens: f64) -> f64;
}

impl<T: StepTimes> StepTimes for &T {
    fn decode(&self, sequences: f64) -> f64 {
        (**self).decode(sequences)
    }

    fn prefill(&self, tokens: f64) -> f64 {
        (**self).prefill(tokens)
    }
}

/// Times of the steps of one replica by the tokens before them, seconds; positive and finite.
pub(crate) trait StepsAtDepth {
    /// One decode step of `sequences` over all groups of attention with `depth` tokens each on average.
    fn decode_at(&self, sequences: f64, depth: f64) -> f64;
    /// One step of `tokens` prompt tokens in every group of attention, each after `attended` others on
    /// average.
    fn prefill_at(&self, tokens: f64, attended: f64) -> f64;
    /// Decode steps from a depth on that may all take the time of the middle one.
    fn alike_from(&self, depth: f64) -> u64;
}

/// Steps at the mean depth of a load take the same at every depth.
impl<T: StepTimes> StepsAtDepth for T {
    fn decode_at(&self, sequences: f64, _: f64) -> f64 {
        self.decode(sequences)
    }

    fn prefill_at(&self, tokens: f64, _: f64) -> f64 {
        self.prefill(tokens)
    }

    fn alike_from(&self, _: f64) -> u64 {
        u64::MAX
    }
}

/// How an engine makes up its steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    /// A step with prompts also decodes (vLLM, TensorRT-LLM); otherwise prompts go first and
    /// nobody gains a token until none waits (SGLang, ATOM).
    pub mixed: bool,
    /// A prompt that does not fit the rest of a step is split (all but TensorRT-LLM).
    pub splits_prompts: bool,
    /// Share of the shorter of one decode step and one prompt step that a mixed step saves: the
    /// weights are read once for both.
    pub overlap: f64,
    /// Prompt tokens of a step in one group of attention; what decodes in a mixed step counts.
    pub chunk: u64,
    /// Groups of attention that step together, each with sequences of its own (1: none).
    pub groups: u64,
    /// Decode steps a prompt is held back at most until every group has one.
    pub hold: u64,
    /// Time the host adds to a step that only holds prompts, where prompts go first; seconds.
    pub step: f64,
    /// Time of a request before it reaches the scheduler, seconds.
    pub api: f64,
    /// Decode steps between two looks for new requests; 1 looks after every step.
    pub poll: u64,
}

/// What is asked of a replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// Users, each with one request at a time.
    pub users: u64,
    /// Mean tokens of a prompt.
    pub input: u64,
    /// Mean tokens of an answer.
    pub output: u64,
    /// How the lengths differ.
    pub lengths: Lengths,
    /// Requests of the whole run; public sweeps send ten per user.
    pub requests: u64,
    /// Sequences the replica holds at once, the lesser of its cache and its configured maximum.
    pub slots: u64,
}
