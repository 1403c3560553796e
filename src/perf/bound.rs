//! What no engine can beat: every byte at the peak bandwidth, every operation at the peak rate, no
//! launch, no link, reading and arithmetic at the same time.
//!
//! A measurement beyond it is not of the set-up it claims: drafts accepted without being recorded, a
//! prefix that was cached, another format.

use super::deployment::Deployment;
use super::estimator::Estimator;
use super::serving::Demand;
use super::time::{Limit, StepTime};
use crate::units::Seconds;

/// The peaks a bound is computed with, per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peaks {
    /// Bytes of a device; of the host where no device is used.
    bandwidth: f64,
    /// Operations of a device in its fastest format.
    rate: f64,
    /// Bytes of the host.
    host: f64,
}

impl Peaks {
    /// Of the first devices of a deployment, or of its host.
    pub(super) fn of(deployment: &Deployment<'_>) -> Self {
        let host = deployment.host().bandwidth.value.get();
        let Some(stage) = deployment.stages.first() else {
            return Self { bandwidth: host, rate: f64::INFINITY, host };
        };
        let group = deployment.device_group(stage);
        let rates = &group.accelerator.rates;
        let listed = [rates.fp4, rates.fp8, rates.bf16, rates.fp16, rates.fp16_acc16, rates.fp32, rates.int8];
        let rate = listed.into_iter().flatten().fold(0.0, f64::max) * 1e12;
        let rate = if rate > 0.0 { rate } else { f64::INFINITY };
        Self { bandwidth: group.bandwidth.value.get(), rate, host }
    }

    /// The least time of a step, seconds.
    fn least(&self, step: &StepTime) -> f64 {
        let (mut read, mut multiplied) = (0.0, 0.0);
        for part in step.parts.iter().filter(|part| part.limit != Limit::Link) {
            let bandwidth = if part.limit == Limit::Host { self.host } else { self.bandwidth };
            read += part.bytes.get() / bandwidth;
            multiplied += part.flop.get() / self.rate;
        }
        f64::max(read, multiplied)
    }
}

impl Estimator<'_> {
    /// The least time of a decode step.
    pub fn least_decode(&self, sequences: u64, depth: u64) -> Seconds {
        Seconds::new(self.peaks.least(&self.decode(sequences, depth)))
    }

    /// The least time of prompts.
    pub fn least_prefill(&self, tokens: u64, depth: u64, sequences: u64) -> Seconds {
        Seconds::new(self.peaks.least(&self.prefill(tokens, depth, sequences)))
    }

    /// The least time per token under a load: a step, and the prompts the others send meanwhile.
    pub fn least_tpot(&self, demand: &Demand) -> Seconds {
        let depth = demand.cached + demand.input + demand.output / 2;
        let users = demand.users.min(demand.slots).max(1);
        let others = (users - 1) as f64 / demand.output.max(1) as f64;
        let prompt = self.least_prefill(demand.input, demand.cached, 1).get();
        Seconds::new(self.least_decode(users, depth).get() + others * prompt)
    }
}
