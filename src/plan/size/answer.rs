//! The answer of a sizing: a value that serialises and that every format renders.

use crate::economics::{Holding, Part};
use crate::fact::{Confidence, Estimate};
use crate::perf::deployment::Engine;
use crate::plan::answer::ModelFacts;
use crate::plan::size::ask::{Budget, Demand};
use crate::serving::levels::Levels;
use crate::units::{Money, Seconds, Watts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Deployments that serve a demand, cheapest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sizing {
    /// Version of this form.
    pub schema: u32,
    /// Version of the planner.
    pub version: String,
    /// Fingerprint of the data it was computed from.
    pub data: String,
    /// What was asked.
    pub question: SizeQuestion,
    /// The models of the question.
    pub models: Vec<ModelFacts>,
    /// What serves it within all bounds, cheapest first: for each machine, model and way to hold it
    /// the best option.
    pub deployments: Vec<Sized>,
    /// What serves it on machines without a known price, fewest devices first.
    pub unpriced: Vec<Sized>,
    /// What would serve it but breaks a bound, cheapest first, with the bound it breaks.
    pub beyond: Vec<Beyond>,
    /// Where nothing serves it within the budget: the most that the budget buys.
    pub affordable: Option<Affordable>,
    /// Changes of the question and what they leave of the cost, the smallest change first.
    pub changes: Vec<Change>,
    /// The demand over months, and what to buy when.
    pub growth: Vec<Month>,
    /// Why nothing does, where nothing does.
    pub why_none: Option<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Machines looked at.
    pub machines: u64,
    /// Candidates looked at.
    pub considered: u64,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SizeQuestion {
    /// How much.
    pub demand: Demand,
    /// Name of the workload.
    pub workload: String,
    /// Mean tokens of a prompt.
    pub input: f64,
    /// Mean tokens of it that can be found in the cache.
    pub reusable: f64,
    /// Mean tokens of an answer.
    pub output: f64,
    /// Mean seconds a user takes between an answer and the next request.
    pub think_s: f64,
    /// Tokens that 99 of 100 requests stay within.
    pub context: u64,
    /// Service levels.
    pub levels: Levels,
    /// The most to spend.
    pub budget: Option<Budget>,
    /// Months that a purchase or a rent is counted over.
    pub horizon_months: u32,
    /// Units beside those that are needed.
    pub spare: u32,
}

/// One deployment that serves the demand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sized {
    /// Id of the model.
    pub model: String,
    /// One unit as hardware is named.
    pub unit: String,
    /// The same in words.
    pub machine: String,
    /// Units, spare ones included.
    pub units: u32,
    /// Of them spare.
    pub spare: u32,
    /// Units if it runs as slowly as the slow end of its interval.
    pub units_if_slow: Option<u32>,
    /// Devices of all units.
    pub devices: u32,
    /// Id of the option on one unit, accepted by `plan explain OPTION --hw UNIT`.
    pub option: String,
    /// Format of the weights.
    pub format: String,
    /// The engine.
    pub engine: Engine,
    /// How the model is divided, in words.
    pub layout: String,
    /// Replicas of all units.
    pub replicas: u32,
    /// What all units serve at most within the levels, as the demand counts.
    pub capacity: f64,
    /// What simulation made of the capacity over what the closed form estimates; one where it was not
    /// walked through.
    pub capacity_simulated_over_estimated: f64,
    /// Share of the capacity that is used.
    pub utilisation: f64,
    /// Share of the users whose history is found in the cache.
    pub histories_kept: f64,
    /// The load it has.
    pub load: Load,
    /// The same by simulation, where it was walked through.
    pub simulated: Option<Load>,
    /// What happens if one unit fails.
    pub one_fails: Failure,
    /// What it costs; absent where no price is known.
    pub cost: Option<SizedCost>,
    /// Share of the model's quality that the format keeps, where known.
    pub quality: Option<f64>,
    /// How far from measured ground the speed stands.
    pub confidence: Confidence,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// What users see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Requests a second of all users.
    pub requests_per_s: f64,
    /// Requests under way.
    pub in_flight: f64,
    /// Time to the first token that the share of the levels stays within (95 % unless asked otherwise).
    pub ttft_s: Estimate<Seconds>,
    /// Mean time per output token after the first, likewise.
    pub tpot_s: Estimate<Seconds>,
    /// Time to the last token, likewise.
    pub end_to_end_s: Estimate<Seconds>,
    /// Share of the requests that keep all levels; only simulation tells.
    pub goodput: Option<f64>,
}

/// The deployment without one of its units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// Nothing is left.
    Down,
    /// The levels still hold.
    Holds,
    /// The levels break, all are served.
    Slower {
        /// Time to the first token.
        ttft_s: Seconds,
        /// Time per output token.
        tpot_s: Seconds,
    },
    /// More comes than the rest can serve.
    Overloaded {
        /// Share of the demand that the rest serves within the levels.
        serves: f64,
    },
}

/// What a deployment costs; all figures of all units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SizedCost {
    /// How it is held.
    pub holding: Holding,
    /// Purchase, where owned.
    pub purchase: Option<Money>,
    /// All costs of a month.
    pub per_month: Money,
    /// All costs of an hour.
    pub per_hour: Money,
    /// Parts of an hour.
    pub parts: Vec<Part>,
    /// The purchase, or the rent over the horizon: what a budget for the whole is held against.
    pub committed: Money,
    /// US dollars per million prompt tokens that are computed.
    pub per_million_input: Option<Money>,
    /// US dollars per million prompt tokens found in the cache.
    pub per_million_cached: Option<Money>,
    /// US dollars per million output tokens.
    pub per_million_output: Option<Money>,
    /// US dollars per million tokens of the mix of this workload.
    pub per_million_mixed: Money,
    /// The same if it were fully used.
    pub per_million_mixed_full: Money,
    /// Power at the wall.
    pub power: Option<Watts>,
    /// What the API offers of the model would take for the same tokens.
    pub api: Option<ApiBill>,
}

/// What the API offers of a model would take for the tokens of a month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApiBill {
    /// Offers with a price of input and output.
    pub offers: usize,
    /// The cheapest for this mix, US dollars per month.
    pub cheapest_per_month: Money,
    /// Who asks it, and when that was read.
    pub cheapest: String,
    /// The offer in the middle, US dollars per month.
    pub median_per_month: Money,
    /// The dearest, US dollars per month.
    pub dearest_per_month: Money,
    /// Months in which the cheapest offer would have taken the purchase beside the costs of running it; absent
    /// where that never comes or nothing is bought.
    pub pays_back_months: Option<f64>,
    /// Share of the tokens from which on the deployment is cheaper than the cheapest offer; above one
    /// where it never is at this demand.
    pub breaks_even_at: f64,
}

/// A deployment that breaks a bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Beyond {
    /// The deployment.
    pub deployment: Sized,
    /// The bound it breaks, in words.
    pub breaks: String,
}

/// The most of the demand that the budget buys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Affordable {
    /// The deployment.
    pub deployment: Sized,
    /// Share of the demand it serves within the levels.
    pub serves: f64,
    /// Whether it keeps the levels; otherwise it is the fastest for one user, and serves none within them.
    pub keeps_levels: bool,
}

/// A change of the question and the cost it leads to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The change, in words.
    pub change: String,
    /// The deployment, in words.
    pub deployment: String,
    /// All costs of a month.
    pub per_month: Money,
    /// Share of the cost that is left.
    pub left: f64,
}

/// One month of a growing demand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Month {
    /// Counted from 1.
    pub month: u32,
    /// The demand over that of the first month.
    pub factor: f64,
    /// Units needed, spare ones included.
    pub units: u32,
    /// Units to add at its start.
    pub added: u32,
    /// All costs of the month.
    pub per_month: Money,
}
