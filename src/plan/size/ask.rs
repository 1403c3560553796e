//! The question of a sizing: who asks for how much, at which service levels, within which bounds.

use crate::catalogue::model::ModelSpec;
use crate::economics::Stated;
use crate::plan::answer::Candidate;
use crate::plan::request::Limits;
use crate::serving::levels::Levels;
use crate::serving::profile::Profile;
use crate::serving::workload::Source;
use crate::units::Money;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How much is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// People or agents at work at the same time, each with one request or pause at a time.
    Users(f64),
    /// Requests a second, whoever sends them.
    RequestsPerSecond(f64),
    /// Tokens a day, prompts and answers together, evenly over the hours.
    TokensPerDay(f64),
}

/// Seconds of a day.
const DAY: f64 = 86_400.0;

impl Demand {
    /// Requests a second where the demand does not depend on how fast they are answered.
    pub(super) fn rate(self, profile: &Profile) -> Option<f64> {
        match self {
            Self::Users(_) => None,
            Self::RequestsPerSecond(rate) => Some(rate),
            Self::TokensPerDay(tokens) => Some(tokens / DAY / (profile.input + profile.output)),
        }
    }

    /// So many times as much.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        match self {
            Self::Users(n) => Self::Users(n * factor),
            Self::RequestsPerSecond(n) => Self::RequestsPerSecond(n * factor),
            Self::TokensPerDay(n) => Self::TokensPerDay(n * factor),
        }
    }
}

/// The most that may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// For the purchase of what is owned, or for the rent over the horizon.
    Whole(Money),
    /// Per month, all costs.
    PerMonth(Money),
}

/// What a deployment must stay within; empty means free.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Makers of accelerators to consider, as written.
    pub vendors: Vec<String>,
    /// Accelerators or systems to consider, by parts of their names.
    pub hardware: Vec<String>,
    /// The most to spend.
    pub budget: Option<Budget>,
    /// The most power at the wall, kW.
    pub power_kw: Option<f64>,
    /// The least share of the model's quality that the format keeps.
    pub quality: Option<f64>,
    /// Units beside those that are needed.
    pub spare: u32,
}

impl Bounds {
    /// Whether the format of an option keeps enough of the quality, as far as that is known.
    pub(super) fn admits_quality(&self, option: &Candidate) -> bool {
        match (self.quality, &option.quality) {
            (Some(least), Some(quality)) => quality.value >= least,
            // Nothing is published about formats of so few bits but for those that are.
            (Some(_), None) => option.bits_per_weight >= FEW_BITS,
            (None, _) => true,
        }
    }
}

/// Bits per weight below which a format without a published loss is not trusted.
const FEW_BITS: f64 = 3.5;

/// One question of sizing.
#[derive(Clone, Debug)]
pub struct SizeRequest {
    /// The models to compare, at least one.
    pub models: Vec<ModelSpec>,
    /// How much is asked for.
    pub demand: Demand,
    /// Who asks what.
    pub source: Arc<Source>,
    /// Service levels.
    pub levels: Levels,
    /// Formats, engines and layouts to consider.
    pub limits: Limits,
    /// What it must stay within.
    pub bounds: Bounds,
    /// Terms money is counted under.
    pub stated: Stated,
    /// Months a rent is counted over where a budget is for the whole.
    pub horizon_months: u32,
    /// The demand of each month over the one asked for; empty where it stays.
    pub months: Vec<f64>,
}
