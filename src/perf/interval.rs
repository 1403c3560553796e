//! Intervals: how far measurements lie from predictions, by regime.
//!
//! Ratios of measured over predicted rates, 10 % and 90 % of cases, from published residuals. A regime
//! without rows, or constants from elsewhere, widens them.

use super::constants::constants;
use super::deployment::{Deployment, Offload};
use crate::fact::Confidence;
use crate::perf::estimator::Estimator;
use crate::units::math;
use crate::words;

words! {
    /// What is predicted.
    pub enum Phase ("phase") {
        /// Time per output token.
        Decode = "decode",
        /// Time of a prompt.
        Prefill = "prefill",
        /// Time to the first token under load.
        FirstToken = "first-token",
        /// Tokens per second of all users.
        Throughput = "throughput",
    }
}

words! {
    /// Deployments whose residuals are alike.
    pub enum Regime ("regime") {
        /// Servers on datacenter accelerators.
        Server = "server",
        /// Local engines on one or several accelerators.
        Device = "device",
        /// Weights in host memory, alone or beside an accelerator.
        Host = "host",
    }
}

impl Regime {
    pub(super) fn of(deployment: &Deployment<'_>, server: bool) -> Self {
        match deployment.placement.offload {
            Offload::None if server => Self::Server,
            Offload::None => Self::Device,
            Offload::Experts(_) | Offload::Layers(_) | Offload::All => Self::Host,
        }
    }
}

impl Estimator<'_> {
    /// The 10-90 % interval of measured over predicted *rate*; a time lies between the prediction
    /// over the high and over the low ratio.
    pub fn ratios(&self, phase: Phase) -> (f64, f64) {
        let (low, high) = constants().interval(self.regime, phase);
        if self.confidence() == Confidence::Extrapolated {
            let wider = constants().extrapolated();
            // Wider by the same factor on both sides, on the scale of logarithms.
            (math::pow(low, wider), math::pow(high, wider))
        } else {
            (low, high)
        }
    }
}
