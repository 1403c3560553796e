//! A stage of the pipeline: what its devices, or the processor, take for their layers.

use super::collective::AllReduce;
use super::cpu::CpuStage;
use super::local::LocalStage;
use super::offload::HostExperts;
use super::parts::Parts;
use super::server::ServerStage;
use super::time::Limit;

/// A stage of local devices, with what lies beside them.
#[derive(Clone, Debug)]
pub(super) struct Local<'a> {
    pub stage: LocalStage<'a>,
    pub remote: Option<HostExperts>,
    pub all_reduce: Option<AllReduce>,
}

/// The devices of a stage.
#[derive(Clone, Debug)]
pub(super) enum Stage<'a> {
    Local(Box<Local<'a>>),
    Server(Box<ServerStage<'a>>),
    Processor(Box<CpuStage<'a>>),
}

impl Stage<'_> {
    /// One token for each of `sequences` at `depth`.
    pub(super) fn decode(&self, sequences: f64, depth: u64, parts: &mut Parts) {
        match self {
            Self::Local(local) => {
                local.stage.decode(sequences, depth, parts);
                if let Some(remote) = &local.remote {
                    remote.decode(sequences, parts);
                }
                local.reduce(sequences, parts);
            }
            Self::Server(stage) => stage.decode(sequences, depth, parts),
            Self::Processor(stage) => stage.decode(sequences, depth, parts),
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
            parts.add("all-reduce", load.layers, Limit::Link, cost, "latency and rate of the fabric");
        }
    }
}
