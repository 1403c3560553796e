//! Service levels: what users are promised.

use crate::units::Seconds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A time that a share of all requests stays within.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// The longest time.
    pub most_s: Seconds,
    /// Share of the requests that are within it: 0.95 is the 95th percentile.
    pub share: f64,
}

/// What a deployment must keep; absent levels are not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Levels {
    /// Time to the first token.
    pub ttft: Option<Level>,
    /// Mean time per output token after the first, of one request.
    pub tpot: Option<Level>,
    /// Time to the last token.
    pub end_to_end: Option<Level>,
    /// Share of the requests that keep all of the times above at once.
    pub goodput: Option<f64>,
}
