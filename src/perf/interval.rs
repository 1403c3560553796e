//! Intervals: how far measurements lie from predictions, by regime.
//!
//! Ratios of measured over predicted rates, 10 % and 90 % of cases, from published residuals. A regime
//! without rows, or constants from elsewhere, widens them.

use super::constants::{Ends, Interval, Intervals, Met};
use super::deployment::{Deployment, Offload, Placement};
use crate::catalogue::model::{Block, ModelSpec};
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
    pub(crate) fn of(deployment: &Deployment<'_>, server: bool) -> Self {
        match deployment.placement.offload {
            Offload::None if server && is_wide(deployment) => Self::WideServer,
            Offload::None if server => Self::Server,
            Offload::None => Self::Device,
            Offload::Experts(_) | Offload::Layers(_) | Offload::All => Self::Host,
        }
    }
}

fn is_wide(deployment: &Deployment<'_>) -> bool {
    let Placement { pp, dp, tp, expert_parallel, .. } = deployment.placement;
    dp > 1 || expert_parallel || pp * tp > deployment.machine.scale_up_domain.max(1)
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

/// Whether rows of a model, and of a machine, took part in the fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquaintance {
    /// A model of this shape was measured in the regime.
    pub model: bool,
    /// This machine was measured in the regime.
    pub machine: bool,
}

impl Acquaintance {
    /// Of a deployment in its regime.
    pub(super) fn of(deployment: &Deployment<'_>, regime: Regime, met: &[Met]) -> Self {
        let met = met.iter().filter(|met| met.regime == regime);
        let (shape, devices) = (shape(&deployment.model.spec), devices(deployment, regime));
        met.fold(Self { model: false, machine: false }, |found, met| Self {
            model: found.model || met.models.values().any(|known| *known == shape),
            machine: found.machine || met.machines.contains(&devices),
        })
    }

    /// The ends that hold for it. Where both are new, the two kinds of strangeness add as
    /// independent errors do: squares on the scale of logarithms.
    pub(crate) fn ends(self, interval: &Interval) -> (f64, f64) {
        let Interval { met, new_model, new_machine, .. } = interval;
        match (self.model, self.machine) {
            (true, true) => (met.low, met.high),
            (false, true) => (new_model.low, new_model.high),
            (true, false) => (new_machine.low, new_machine.high),
            (false, false) => {
                let both = |end: fn(&Ends) -> f64| {
                    let square = |ends: &Ends| math::ln(end(ends)).powi(2);
                    let (model, machine) = (square(new_model), square(new_machine));
                    (model + machine - square(met)).max(model).max(machine).sqrt()
                };
                (math::exp(-both(|ends| ends.low)), math::exp(both(|ends| ends.high)))
            }
        }
    }

    /// What a reader should know about it.
    pub(super) fn note(self, deployment: &Deployment<'_>, regime: Regime) -> Option<String> {
        let (model, machine) = (&deployment.model.spec.name, devices(deployment, regime));
        let new = match (self.model, self.machine) {
            (true, true) => return None,
            (false, true) => model.clone(),
            (true, false) => machine,
            (false, false) => format!("{model} and {machine}"),
        };
        Some(format!("no measurement of {new} took part: the range is what such strangers showed"))
    }
}

/// What a model is known by, whoever named it: layers, width, vocabulary, routed experts.
pub fn shape(spec: &ModelSpec) -> Vec<u64> {
    let experts = spec.groups().flat_map(|(_, blocks)| blocks).find_map(|block| match block {
        Block::Experts(experts) => Some(experts.count.get()),
        _ => None,
    });
    vec![u64::from(spec.layer_count()), spec.hidden.get(), spec.vocabulary.get(), experts.unwrap_or(0)]
}

/// What a machine is known by: the accelerator, and the processor where it works too.
pub fn devices(deployment: &Deployment<'_>, regime: Regime) -> String {
    let mut names: Vec<&str> = deployment
        .stages
        .first()
        .map(|stage| deployment.device_group(stage).id.as_str())
        .into_iter()
        .collect();
    if regime == Regime::Host {
        names.extend(deployment.host().cpu_id.as_deref());
    }
    names.join(" + ")
}

/// The 10-90 % intervals of all phases; wider by the same power on both sides where nothing alike
/// was measured.
pub(super) fn ratios(
    intervals: &Intervals,
    (regime, architecture): (Regime, Architecture),
    acquaintance: Acquaintance,
    confidence: Confidence,
) -> [(f64, f64); Phase::ALL.len()] {
    let power = if confidence == Confidence::Extrapolated { intervals.extrapolated } else { 1.0 };
    std::array::from_fn(|phase| {
        let found = intervals.of(regime, Phase::ALL[phase], architecture);
        let (low, high) = found.map_or((0.5, 2.0), |interval| acquaintance.ends(interval));
        (math::pow(low, power), math::pow(high, power))
    })
}

impl Estimator<'_> {
    /// The 10-90 % interval of measured over predicted *rate*; a time lies between the prediction
    /// over the high and over the low ratio.
    pub const fn ratios(&self, phase: Phase) -> (f64, f64) {
        self.ratios[phase as usize]
    }
}
