//! The answer: a value that serialises, is read back, and is rendered by every format.
//!
//! Keys carry their unit. Figures that are predictions are [`Estimate`]s; figures that are
//! unknown are absent, never zero.

use crate::arithmetic::kv::KvFormat;
use crate::economics::{Currency, Hour};
use crate::fact::{Confidence, Estimate, Fact};
use crate::perf::deployment::{Engine, Placement};
use crate::perf::time::Limit;
use crate::plan::request::Workload;
use crate::ranking::{Merit, Objective};
use crate::units::{Bytes, Money, Seconds, TokenRate, Watts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the serialised form.
pub const SCHEMA: u32 = 1;

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Version of this form.
    pub schema: u32,
    /// Version of the planner.
    pub version: String,
    /// Fingerprint of the data it was computed from.
    pub data: String,
    /// What was asked.
    pub question: Question,
    /// The models of the question.
    pub models: Vec<ModelFacts>,
    /// Options that fit, best first.
    pub options: Vec<Candidate>,
    /// Formats that were asked for or would be better, and do not fit.
    pub misses: Vec<Miss>,
    /// What was assumed, as sentences.
    pub assumptions: Vec<String>,
    /// Candidates looked at.
    pub considered: u64,
    /// What an hour of the machine costs, part by part; absent where a price is not known.
    pub hour: Option<Hour>,
    /// Why an hour has no price: options are then ranked without their cost.
    pub unpriced: Option<String>,
    /// The currency the user asked for; all amounts here are in US dollars.
    pub currency: Option<Currency>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// The hardware as it was named.
    pub hardware: String,
    /// What the hardware is, in words.
    pub machine: String,
    /// Accelerators of all nodes.
    pub devices: u32,
    /// Nodes.
    pub nodes: u32,
    /// The load.
    pub workload: Workload,
    /// Name of the workload it is the mean of, if of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_name: Option<String>,
    /// How options are ordered.
    pub objective: Objective,
}

/// What a reader must know about a model to judge the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelFacts {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Parameters, without prediction layers and towers.
    pub parameters: u64,
    /// Parameters used per token, without the input embedding.
    pub active_parameters: u64,
    /// Formats of the native checkpoint, in words.
    pub native: String,
    /// Longest sequence the model is made for, tokens.
    pub context: u64,
    /// How trustworthy the shape is.
    pub grade: String,
    /// What is not known or not proven.
    pub caveat: Option<String>,
    /// Where the shape comes from.
    pub sources: Vec<String>,
}

/// Whether an option fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// With at least 5 % of the memory of the worst device left.
    Fits,
    /// With less.
    Tight,
}

/// One deployment option that fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// Stable, readable id, accepted by `plan explain`.
    pub id: String,
    /// Id of the model.
    pub model: String,
    /// Format of the weights.
    pub format: String,
    /// Bytes of all weights as stored.
    pub weights_bytes: Bytes,
    /// The same per parameter of the model, bits.
    pub bits_per_weight: f64,
    /// Where the size comes from.
    pub weights_origin: String,
    /// Format of the cache.
    pub kv_format: KvFormat,
    /// The engine.
    pub engine: Engine,
    /// How the model is divided.
    pub placement: Placement,
    /// The same in words: `TP8`, `experts of 40 layers on the CPU`.
    pub layout: String,
    /// Whether it fits.
    pub fit: Fit,
    /// Memory of the worst device left over.
    pub free_bytes: Bytes,
    /// Name of that device.
    pub worst_device: String,
    /// Longest context that fits for the users asked for, tokens.
    pub largest_context: u64,
    /// Most sessions of the context asked for that fit, all replicas together.
    pub largest_concurrency: u64,
    /// Cost of the cache: bytes one session of the context asked for takes, over all devices.
    pub cache_bytes_per_session: Bytes,
    /// Prompt processing, one request.
    pub prefill_tokens_per_s: Estimate<TokenRate>,
    /// Time to first token, one request.
    pub ttft_s: Estimate<Seconds>,
    /// Generation of one stream, alone.
    pub decode_tokens_per_s: Estimate<TokenRate>,
    /// The point of highest throughput that fits.
    pub throughput: Service,
    /// What the users asked for see.
    pub service: Service,
    /// Prompt tokens per second of all replicas, prefill alone.
    pub prefill_throughput_tokens_per_s: Estimate<TokenRate>,
    /// What bounds prefill.
    pub prefill_limit: Limit,
    /// What bounds decode of one stream.
    pub decode_limit: Limit,
    /// What it costs.
    pub cost: Cost,
    /// Quality kept after quantisation, 1 = as published; absent where nothing is published.
    pub quality: Option<Fact<f64>>,
    /// How far from measured ground the speed stands.
    pub confidence: Confidence,
    /// What else a reader should know.
    pub notes: Vec<String>,
}

impl Candidate {
    /// The figures it is compared by.
    pub fn merit(&self) -> Merit {
        Merit {
            stream: self.decode_tokens_per_s.low,
            throughput: self.throughput.output_tokens_per_s.low,
            ttft: self.ttft_s.high,
            context: self.largest_context,
            users: self.largest_concurrency,
            quality: self.quality.as_ref().map(|q| q.value),
            bits: self.bits_per_weight,
            per_million_output: self.cost.per_million_output,
            tight: self.fit == Fit::Tight,
            confidence: self.confidence,
        }
    }
}

/// A deployment under load: requests of the lengths asked for, each user sending the next when the
/// last is answered; prompts of the others are counted in the time per token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// Users, over all replicas.
    pub users: u64,
    /// Users of them that wait for a place.
    pub waiting: u64,
    /// Generated tokens per second of all users.
    pub output_tokens_per_s: Estimate<TokenRate>,
    /// Mean time to the first token, waiting included.
    pub ttft_s: Estimate<Seconds>,
    /// Mean time per output token after the first.
    pub tpot_s: Estimate<Seconds>,
    /// What bounds it.
    pub limit: Limit,
}

/// What an option costs; absent where a price is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// US dollars per hour, rent or ownership with power.
    pub per_hour: Option<Fact<Money>>,
    /// US dollars per million generated tokens at the best throughput.
    pub per_million_output: Option<Money>,
    /// US dollars per million prompt tokens at full prefill.
    pub per_million_input: Option<Money>,
    /// Power drawn, watts.
    pub power: Option<Fact<Watts>>,
}

/// A format that does not fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Miss {
    /// Id of the model.
    pub model: String,
    /// Format of the weights.
    pub format: String,
    /// Bytes of all weights.
    pub weights_bytes: Bytes,
    /// The placement that comes nearest.
    pub layout: String,
    /// Its engine.
    pub engine: Engine,
    /// How much is missing on the worst device.
    pub short_bytes: Bytes,
    /// That device.
    pub device: String,
    /// How many devices are short by that much.
    pub devices_short: u32,
    /// Changes that would make it fit, nearest first.
    pub remedies: Vec<Remedy>,
}

/// A change that would make a model fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Remedy {
    /// The change, in words.
    pub change: String,
    /// The layout it leads to.
    pub layout: String,
    /// Generation of one stream.
    pub decode_tokens_per_s: Estimate<TokenRate>,
    /// Tokens per second of all sessions.
    pub throughput_tokens_per_s: TokenRate,
    /// Cost per hour.
    pub per_hour: Option<Money>,
}

/// A figure that is the sum of its parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Term {
    /// What it is.
    pub label: String,
    /// How much.
    pub amount: Amount,
    /// What bounds it, for times.
    pub limit: Option<Limit>,
    /// The rule or constants behind it.
    pub basis: String,
    /// What it is made of.
    pub parts: Vec<Term>,
}

/// The quantity of a term.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// Memory.
    Bytes(Bytes),
    /// Time.
    Seconds(Seconds),
}

impl Amount {
    /// The time, where it is one.
    pub fn seconds(self) -> Seconds {
        match self {
            Self::Seconds(time) => time,
            Self::Bytes(_) => Seconds::ZERO,
        }
    }
}
