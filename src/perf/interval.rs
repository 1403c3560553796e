//! Intervals: how far measurements lie from predictions, by regime.
//!
//! Ratios of measured over predicted rates, 10 % and 90 % of cases, from published residuals. A regime
//! without rows, or constants from elsewhere, widens them.

use super::constants::Constants;
use super::deployment::{Deployment, Offload, Placement};
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
        /// Servers on datacenter accelerators, tensors divided.
        Server = "server",
        /// Servers with attention or experts in parallel groups, or with separate pools.
        WideServer = "wide-server",
        /// Local engines on one or several accelerators.
        Device = "device",
        /// Weights in host memory, alone or beside an accelerator.
        Host = "host",
    }
}

impl Regime {
    pub(super) fn of(deployment: &Deployment<'_>, server: bool) -> Self {
        match deployment.placement.offload {
            Offload::None if server && is_wide(&deployment.placement) => Self::WideServer,
            Offload::None if server => Self::Server,
            Offload::None => Self::Device,
            Offload::Experts(_) | Offload::Layers(_) | Offload::All => Self::Host,
        }
    }
}

fn is_wide(placement: &Placement) -> bool {
    placement.dp > 1 || placement.expert_parallel
}

words! {
    /// Architectures whose residuals are alike.
    pub enum Architecture ("architecture") {
        /// Every token meets all weights.
        Dense = "dense",
        /// Routed experts.
        Moe = "moe",
    }
}

/// The 10-90 % intervals of all phases; wider by the same power on both sides where nothing alike
/// was measured.
pub(super) fn ratios(
    constants: &Constants,
    (regime, architecture): (Regime, Architecture),
    confidence: Confidence,
) -> [(f64, f64); Phase::ALL.len()] {
    let power = if confidence == Confidence::Extrapolated { constants.extrapolated() } else { 1.0 };
    std::array::from_fn(|phase| {
        let (low, high) = constants.interval(regime, Phase::ALL[phase], architecture);
        (math::pow(low, power), math::pow(high, power))
    })
}

impl Estimator<'_> {
    /// The 10-90 % interval of measured over predicted *rate*; a time lies between the prediction
    /// over the high and over the low ratio.
    pub fn ratios(&self, phase: Phase) -> (f64, f64) {
        self.ratios[phase as usize]
    }
}
