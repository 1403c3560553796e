//! A stage of the pipeline: what its devices, or the processor, take for their layers.

use super::collective::AllReduce;
use super::constants::Basis;
use super::cpu::CpuStage;
use super::local::LocalStage;
use super::offload::HostExperts;
use super::parts::Parts;
use super::server::ServerStage;
use super::time::Limit;

/// What a decode step works on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rows {
    /// Sequences, possibly a mean.
    pub sequences: f64,
    /// Tokens of each: one, and as many more as were drafted.
    pub each: f64,
}

impl Rows {
    /// One token of each.
    pub(super) const fn single(sequences: f64) -> Self {
        Self { sequences, each: 1.0 }
    }

    /// Tokens of all.
    pub(super) fn total(self) -> f64 {
        self.sequences * self.each
    }
}

/// A step of one group of attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Forward {
    /// Sequences grow, or verify what was drafted, after `depth` tokens.
    Decode {
        /// Tokens of the group.
        rows: Rows,
        /// Tokens each has cached.
        depth: u64,
    },
    /// `new` tokens for each of `sequences` after `depth`.
    Prefill {
        /// Sequences of the group.
        sequences: f64,
        /// New tokens of each.
        new: u64,
        /// Tokens each has cached.
        depth: u64,
    },
}

/// What operator tables know of the attention of a step.
#[derive(Clone, Debug, Default)]
pub(super) struct Attended {
    /// Seconds of a layer of each mixer that was answered; empty without tables.
    pub times: Vec<Option<f64>>,
    /// Whether products of attention are in them, where latent attention was answered.
    pub whole: Option<bool>,
}

/// A stage of local devices, with what lies beside them.
#[derive(Clone, Debug)]
pub(super) struct Local<'a> {
    pub stage: LocalStage<'a>,
    pub remote: Option<HostExperts>,
    pub all_reduce: Option<AllReduce>,
    pub reduce_basis: Basis,
}

/// The devices of a stage.
#[derive(Clone, Debug)]
pub(super) enum Stage<'a> {
    Local(Box<Local<'a>>),
    Server(Box<ServerStage<'a>>),
    Processor(Box<CpuStage<'a>>),
}

impl Stage<'_> {
    /// A step that grows or verifies sequences.
    pub(super) fn decode(&self, rows: Rows, depth: u64, parts: &mut Parts) {
        match self {
            Self::Local(local) => {
                local.stage.decode(rows, depth, parts);
                if let Some(remote) = &local.remote {
                    remote.decode(rows.total(), parts);
                }
                local.reduce(rows.total(), parts);
            }
            Self::Server(stage) => stage.decode(rows, depth, parts),
            Self::Processor(stage) => stage.decode(rows, depth, parts),
        }
    }

    /// `new` tokens for each of `sequences` after `depth`.
    pub(super) fn prefill(&self, sequences: f64, new: u64, depth: u64, parts: &mut Parts) {
        match self {
            Self::Local(local) => {
                local.stage.prefill(sequences, new, depth, parts);
                let tokens = sequences * new as f64;
                if let Some(remote) = &local.remote {
                    remote.prefill(tokens, parts);
                }
                local.reduce(tokens, parts);
            }
            Self::Server(stage) => stage.prefill(sequences, new, depth, parts),
            Self::Processor(stage) => stage.prefill(sequences, new, depth, parts),
        }
    }

    /// What a step pays once, not per stage.
    pub(super) fn once(&self, sequences: f64, decoding: bool, parts: &mut Parts) {
        match self {
            Self::Local(local) => local.stage.token(parts),
            Self::Server(stage) if decoding => stage.host_step(sequences, parts),
            Self::Server(_) | Self::Processor(_) => {}
        }
    }
}

impl Local<'_> {
    /// Two all-reduces per layer of a tensor split.
    fn reduce(&self, tokens: f64, parts: &mut Parts) {
        if let Some(all_reduce) = &self.all_reduce {
            let load = self.stage.load();
            let cost = all_reduce.cost(tokens * load.hidden as f64 * 2.0).times(2.0 * load.layers);
            parts.add("all-reduce", load.layers, Limit::Link, cost, &self.reduce_basis);
        }
    }
}
