//! The order of options, and which of them nobody needs to see.
//!
//! The score is a weighted sum of logarithms, so that a factor of two counts the same anywhere.

use crate::catalogue::decode::decode_text;
use crate::fact::Confidence;
use crate::units::math::{ln, pow};
use crate::units::{Money, Seconds, TokenRate};
use crate::{table, words};
use std::collections::BTreeMap;
use std::sync::LazyLock;

words! {
    /// What makes one option better than another.
    pub enum Objective ("objective") {
        /// Quality, speed of one stream and throughput together.
        Balanced = "balanced",
        /// Quality first, then speed.
        Quality = "quality",
        /// Speed of one stream.
        Latency = "latency",
        /// Tokens per second of all streams.
        Throughput = "throughput",
        /// Lowest cost per output token.
        Cost = "cost",
    }
}

/// The figures by which options are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Merit {
    /// Generation of one stream, at the low end of its interval: a figure that rests on nothing
    /// must not win by its size.
    pub stream: TokenRate,
    /// Generation of all streams, likewise.
    pub throughput: TokenRate,
    /// Time to first token, at the high end.
    pub ttft: Seconds,
    /// Longest context that fits, tokens.
    pub context: u64,
    /// Most sessions that fit.
    pub users: u64,
    /// Share of quality kept, where known.
    pub quality: Option<f64>,
    /// Bits per weight, for the order of formats nothing is published about.
    pub bits: f64,
    /// Cost of a million output tokens, where known.
    pub per_million_output: Option<Money>,
    /// Less than 5 % of memory left.
    pub tight: bool,
    /// How far from measured ground the speeds stand.
    pub confidence: Confidence,
}

table! {
    /// Weights of one objective.
    pub struct Weighting ("an objective") {
        /// Of the speed of one stream.
        pub stream: f64,
        /// Of the speed of all streams.
        pub throughput: f64,
        /// Of the quality kept.
        pub quality: f64,
        /// Taken off a tight fit.
        pub tight: f64,
        /// Taken off speeds no measurement stands behind.
        pub extrapolated: f64,
        /// Stream speed beyond which more is worth little, tokens per second.
        pub enough: f64,
    }
}

/// The objectives as shipped.
static OBJECTIVES: LazyLock<BTreeMap<String, Weighting>> = LazyLock::new(|| {
    decode_text("objectives.toml", include_str!("objectives.toml"), 1).expect("the shipped file is tested")
});

/// Quality assumed, for the order alone, of a format nothing is published about: what is lost
/// halves with each bit, 0.2 % at 8 bits, 4 % at 4, 15 % at 2.
fn assumed_quality(bits: f64) -> f64 {
    1.0 - 0.6 * pow(2.0, -bits)
}

/// How good an option is under an objective; larger is better.
pub fn score(merit: &Merit, objective: Objective) -> f64 {
    let weights = &OBJECTIVES[objective.word()];
    let stream = merit.stream.get().max(1e-9);
    // Beyond `enough`, a stream counts a tenth: nobody reads faster, but agents wait shorter.
    let stream = ln(stream.min(weights.enough)) + 0.1 * ln((stream / weights.enough).max(1.0));
    let throughput = match (objective, merit.per_million_output) {
        (Objective::Cost, Some(usd)) => 1e6 / usd.get().max(1e-9),
        _ => merit.throughput.get(),
    };
    let quality = merit.quality.unwrap_or_else(|| assumed_quality(merit.bits)).max(1e-3);
    weights.stream * stream + weights.throughput * ln(throughput.max(1e-9)) + weights.quality * ln(quality)
        - if merit.tight { weights.tight } else { 0.0 }
        - if merit.confidence == Confidence::Extrapolated { weights.extrapolated } else { 0.0 }
}

/// Whether `b` is at least as good as `a` in everything a user asks for, and better in something.
pub fn dominates(b: &Merit, a: &Merit) -> bool {
    let figures =
        |m: &Merit| [m.stream.get(), m.throughput.get(), -m.ttft.get(), m.context as f64, m.users as f64];
    let sure = b.confidence >= a.confidence;
    let (a, b) = (figures(a), figures(b));
    // What is only extrapolated must not hide what was measured.
    sure && a.iter().zip(b).all(|(a, b)| b >= *a) && a.iter().zip(b).any(|(a, b)| b > *a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_objective_has_its_weights() {
        for objective in Objective::ALL {
            assert!(OBJECTIVES.contains_key(objective.word()), "{objective}");
        }
    }
}
