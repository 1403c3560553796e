//! What tokens cost: an hour of a machine split over what it was busy with.
//!
//! The hour is charged by machine time (physics 10). What waits in the cache for its next turn holds
//! memory that other sequences cannot use; that and the time to load it is what cached input costs.
//! With `c` that share of the hour and `p` the share of busy time that goes into prompts,
//!
//! ```text
//! input   (1 - c) · p · hour / uncached input tokens of the hour
//! cached  c · hour / cached input tokens of the hour
//! output  (1 - c) · (1 - p) · hour / output tokens of the hour
//! ```
//!
//! so that tokens times prices are the hour again, idle time included: at half the load of the same
//! kind every token costs twice as much.

use crate::units::{Money, TokenRate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens a deployment serves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenRates {
    /// Input that has to be computed.
    pub input: TokenRate,
    /// Input found in the cache.
    pub cached: TokenRate,
    /// Output.
    pub output: TokenRate,
}

impl TokenRates {
    /// The same kind of load at a share of the rate.
    #[must_use]
    pub fn at(self, duty: f64) -> Self {
        Self { input: self.input * duty, cached: self.cached * duty, output: self.output * duty }
    }

    /// All of them.
    pub fn total(self) -> TokenRate {
        self.input + self.cached + self.output
    }

    /// The shares of the three kinds.
    pub fn mix(self) -> Mix {
        let total = self.total().get().max(f64::MIN_POSITIVE);
        Mix {
            input: self.input.get() / total,
            cached: self.cached.get() / total,
            output: self.output.get() / total,
        }
    }
}

/// Where the time and memory of a machine go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineTime {
    /// Of the busy time, what goes into prompts.
    pub prefill: f64,
    /// Of the busy time, what goes into loading caches from elsewhere.
    pub loading: f64,
    /// Of the memory for caches, what is held between turns, on average over time.
    pub held: f64,
    /// Of the cost of the machine, what its memory for caches stands for: its share of all memory.
    pub cache_memory: f64,
}

impl MachineTime {
    /// Time that is prompts and answers, nothing held or loaded.
    pub fn of_prefill(prefill: f64) -> Self {
        Self { prefill, ..Self::default() }
    }

    /// The share of the hour that cached input is charged.
    fn cached(self) -> f64 {
        (self.loading + self.held * self.cache_memory).clamp(0.0, 1.0)
    }
}

/// US dollars per million tokens; absent where there are none of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenPrices {
    /// Input that has to be computed.
    pub input: Option<Money>,
    /// Input found in the cache.
    pub cached: Option<Money>,
    /// Output.
    pub output: Option<Money>,
}

/// Shares of the tokens of a load; they add up to one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Mix {
    /// Input that has to be computed.
    pub input: f64,
    /// Input found in the cache.
    pub cached: f64,
    /// Output.
    pub output: f64,
}

impl Mix {
    /// The mix of requests of such lengths, of whose input a share is found in the cache.
    pub fn of_requests(input: f64, output: f64, hit: f64) -> Self {
        let total = (input + output).max(f64::MIN_POSITIVE);
        Self { input: input * (1.0 - hit) / total, cached: input * hit / total, output: output / total }
    }
}

impl TokenPrices {
    /// US dollars per million tokens of a mix; none where a kind it holds has no price.
    pub fn blended(&self, mix: &Mix) -> Option<Money> {
        let parts = [(mix.input, self.input), (mix.cached, self.cached), (mix.output, self.output)];
        let mut sum = Money::ZERO;
        for (share, price) in parts.into_iter().filter(|(share, _)| *share > 0.0) {
            sum += price? * share;
        }
        Some(sum)
    }
}

/// US dollars per million tokens at a rate, all of an hour charged to them.
pub fn per_million(per_hour: Money, rate: TokenRate) -> Option<Money> {
    (rate.get() > 0.0).then(|| Money::new(per_hour.get() / (rate.get() * 3600.0) * 1e6))
}

/// Splits an hour over the tokens served in it.
///
/// A share of a kind of which no token is served is charged to the others.
pub fn split(per_hour: Money, rates: TokenRates, time: MachineTime) -> TokenPrices {
    let served = |rate: TokenRate| rate.get() > 0.0;
    let cached = if served(rates.cached) { time.cached() } else { 0.0 };
    let prefill = match (served(rates.input), served(rates.output)) {
        (true, true) => time.prefill.clamp(0.0, 1.0),
        (true, false) => 1.0,
        (false, _) => 0.0,
    };
    let cached = if served(rates.input) || served(rates.output) { cached } else { 1.0 };
    let part = |share: f64, rate| per_million(per_hour * share, rate);
    TokenPrices {
        input: part((1.0 - cached) * prefill, rates.input),
        cached: part(cached, rates.cached),
        output: part((1.0 - cached) * (1.0 - prefill), rates.output),
    }
}
