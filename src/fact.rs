//! Every figure knows where it came from and how sure it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a figure came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A data file of the catalogue, with the source it cites.
    Catalogue(String),
    /// Read from the machine the planner runs on; names the probe.
    Detected(String),
    /// Given by the user; names the flag or the file and line.
    User(String),
    /// Computed from other figures; names the rule.
    Derived(String),
    /// Fitted to measurements; names the data and its residual.
    Fitted(String),
    /// Measured by the user on this machine.
    Measured(String),
    /// Not known; says what was assumed and why.
    Assumed(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, detail) = match self {
            Self::Catalogue(s) => ("catalogue", s),
            Self::Detected(s) => ("detected", s),
            Self::User(s) => ("user", s),
            Self::Derived(s) => ("derived", s),
            Self::Fitted(s) => ("fitted", s),
            Self::Measured(s) => ("measured", s),
            Self::Assumed(s) => ("assumed", s),
        };
        write!(f, "{kind}: {detail}")
    }
}

/// A value with its origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fact<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Fact<T> {
    /// Pairs a value with its origin.
    pub const fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

/// A predicted figure: the likely value inside its 10–90 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate<T> {
    /// Ten per cent of cases lie below.
    pub low: T,
    /// The prediction.
    pub likely: T,
    /// Ten per cent of cases lie above.
    pub high: T,
}

impl<T> Estimate<T> {
    /// The same estimate in another quantity; `f` must be increasing.
    pub fn map<U>(self, f: impl Fn(T) -> U) -> Estimate<U> {
        Estimate { low: f(self.low), likely: f(self.likely), high: f(self.high) }
    }
}

/// Three stages of knowing: printed below an answer, never hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Outside everything measured: no row of this device class, family or engine.
    Extrapolated,
    /// Some measured rows of the same kind.
    Moderate,
    /// Measured rows of the same device class, engine and family.
    Good,
}
