//! The question, validated: everything `plan` needs to answer, nothing it has to look up in the
//! world.

use crate::arithmetic::kv::KvFormat;
use crate::catalogue::hardware::Machine;
use crate::catalogue::model::ModelSpec;
use crate::economics::Stated;
use crate::perf::deployment::Engine;
use crate::perf::operators::Operators;
use crate::perf::{Draft, Drafting};
use crate::ranking::Objective;
use std::sync::Arc;

/// Which models the question is about.
#[derive(Clone, Debug)]
pub enum Models {
    /// One model, with the name its maker or the user gave it.
    One(Box<ModelSpec>),
    /// Every model of the catalogue, the best option of each.
    All,
}

/// What one session looks like and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Workload {
    /// Tokens a session may grow to: the cache each one needs.
    pub context: u64,
    /// Prompt tokens of a request, cached ones included.
    pub prompt: u64,
    /// Prompt tokens found in the prefix cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Tokens generated per request.
    pub output: u64,
    /// Sessions served at the same time, at least.
    pub users: u64,
    /// Speculative decoding, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drafting: Option<Drafting>,
}

/// Whether a plan has nothing to say of it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

impl Workload {
    /// The draft for a model; none where nothing is drafted or the model cannot.
    pub fn draft(&self, spec: &ModelSpec) -> Option<Draft> {
        self.drafting.as_ref()?.draft(spec)
    }
}

/// What the user fixed; empty means free.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Weight formats to consider, as written.
    pub formats: Vec<String>,
    /// Cache format.
    pub kv: Option<KvFormat>,
    /// Engines to consider.
    pub engines: Vec<Engine>,
    /// Tensor-parallel ranks.
    pub tp: Option<u32>,
    /// Pipeline stages.
    pub pp: Option<u32>,
    /// Attention data-parallel groups.
    pub dp: Option<u32>,
    /// Whether experts are divided whole.
    pub expert_parallel: Option<bool>,
    /// Whether host memory may hold weights.
    pub no_offload: bool,
}

/// One question.
#[derive(Clone, Debug)]
pub struct Request {
    /// The models.
    pub models: Models,
    /// The hardware, resolved, with its assumptions.
    pub machine: Machine,
    /// The load.
    pub workload: Workload,
    /// Name of the workload it is the mean of, if of any.
    pub workload_name: Option<String>,
    /// What is fixed.
    pub limits: Limits,
    /// How options are ordered.
    pub objective: Objective,
    /// What money is counted under, where the user says.
    pub terms: Stated,
    /// Operator tables the user brought, those of the machine read.
    pub operators: Option<Arc<Operators>>,
}
