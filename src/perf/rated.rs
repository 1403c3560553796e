//! A replica whose requests come at a rate of their own: how many it serves within service levels.
//!
//! The closed form of [`crate::serving`] for a rate, on step times asked once. Prompts of unlike length
//! wait longer for each other, `W (1 + cv²)` (Pollaczek and Khinchine); the times that a share of the
//! requests stays within add the deviations of wait and of own prompt as squares. The time per token of
//! that share is that of the batch it meets, Poisson around its mean.

use super::estimator::Estimator;
use super::serving::{Demand, Steps};
use crate::serving::belief::{Doubt, doubts};
use crate::serving::levels::{Level, Levels};
use crate::serving::profile::Profile;
use crate::serving::{Grid, Lengths, Load, OpenLoop, Policy, PromptTimes, StepTimes, open_loop};
use crate::units::math::{ln, normal_quantile};

/// A replica that can be asked for any rate of requests.
#[derive(Clone, Debug)]
pub struct Rated {
    grid: Grid,
    policy: Policy,
    load: Load,
    /// Squared coefficient of variation of prompts.
    variation: f64,
    /// Tokens of a prompt left to compute.
    fresh: f64,
}

/// A replica under a rate of requests; seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests under way.
    pub in_flight: f64,
    /// Share of what the replica could do at most.
    pub utilisation: f64,
    /// Mean time to the first token.
    pub ttft: f64,
    /// Mean time per output token after the first.
    pub tpot: f64,
    /// Mean wait for the prompts of others, part of the time to the first token.
    wait: f64,
    /// Share of the requests that wait.
    busy: f64,
}

/// The highest rate that keeps the levels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Requests a second.
    pub per_second: f64,
    /// The replica under them.
    pub rate: Rate,
}

/// A share of `0.95` as the number of standard deviations it lies above the mean.
fn deviations(share: f64) -> f64 {
    normal_quantile(share.clamp(0.5, 0.9999))
}

/// Halvings of a range of rates.
const HALVINGS: usize = 24;

impl Estimator<'_> {
    /// The deployment of a replica under requests of such means and spreads, of which a share finds its
    /// history in the cache; it holds so many sessions at once.
    pub fn rated(&self, profile: &Profile, survival: f64, slots: u64) -> Rated {
        let cached = profile.cached(survival);
        let demand = Demand {
            users: slots,
            input: (profile.input - cached).round().max(1.0) as u64,
            output: profile.output.round().max(1.0) as u64,
            cached: cached.round() as u64,
            lengths: Lengths::Uniform,
            requests: slots,
            slots,
            draft: None,
            poll: 1,
        };
        let steps = Steps { estimator: self, demand };
        Rated {
            grid: Grid::new(&steps, slots, self.chunk()),
            policy: self.policy(1),
            load: Self::load(&demand),
            variation: profile.fresh_variation(),
            fresh: demand.input as f64,
        }
    }
}

impl Rated {
    /// The same with every step taking so many times as long.
    #[must_use]
    pub fn slowed(&self, times: f64) -> Self {
        let policy = Policy { step: self.policy.step * times, api: self.policy.api * times, ..self.policy };
        Self { grid: self.grid.slowed(times), policy, ..self.clone() }
    }

    /// The replica under so many requests a second; none where they come faster than it serves them.
    pub fn at(&self, rate: f64) -> Option<Rate> {
        let OpenLoop { in_flight, tpot, ttft, wait, busy, utilisation } =
            open_loop(&self.grid, &self.policy, &self.load, rate).ok()?;
        let more = wait * self.variation;
        Some(Rate { in_flight, utilisation, ttft: ttft + more, tpot, wait: wait + more, busy })
    }

    /// What speaks for simulating the replica instead; nothing where this is as good.
    pub fn doubts(&self, rate: &Rate) -> Vec<Doubt> {
        doubts(rate.in_flight, self.load.slots, rate.utilisation, self.variation)
    }

    /// Time to the first token that a share of the requests stays within.
    pub fn ttft_within(&self, rate: &Rate, share: f64, profile: &Profile) -> f64 {
        // The wait has an exponential tail: P(wait > x) = busy exp(-x busy / W).
        let late = 1.0 - share;
        let waiting = if rate.busy > late { rate.wait / rate.busy * ln(rate.busy / late) } else { 0.0 };
        let prompt = |tokens: f64| {
            self.grid.prefill(tokens.min(self.policy.chunk as f64))
                * (tokens / self.policy.chunk as f64).max(1.0)
        };
        let own = prompt(profile.fresh_within(share)) - prompt(self.fresh);
        let (waiting, own) = ((waiting - rate.wait).max(0.0), own.max(0.0));
        rate.ttft + (waiting * waiting + own * own).sqrt()
    }

    /// Mean time per output token that a share of the requests stays within.
    pub fn tpot_within(&self, rate: &Rate, share: f64) -> f64 {
        let met = rate.in_flight + deviations(share) * rate.in_flight.sqrt();
        let met = met.min(self.load.slots as f64).max(rate.in_flight).max(1.0);
        let prompts = PromptTimes::new(&self.grid, self.policy, self.load.input);
        let out = self.load.output.max(1) as f64;
        // A sequence alone is not slowed by prompts of its own.
        let others = (met - 1.0).max(0.0).min(rate.in_flight) / out;
        prompts.pace(self.grid.decode(met), met / out, others).tpot.max(rate.tpot)
    }

    /// Time to the last token that a share of the requests stays within, for an answer of the length
    /// that this share stays within.
    pub fn end_within(&self, rate: &Rate, share: f64, profile: &Profile) -> f64 {
        let mean = self.residence(rate);
        let first = self.ttft_within(rate, share, profile) - rate.ttft;
        let answer = (profile.answer_within(share) - self.load.output as f64).max(0.0) * rate.tpot;
        mean + (first * first + answer * answer).sqrt()
    }

    /// Share of the busy time that goes into prompts.
    pub fn prompt_share(&self, rate: &Rate) -> f64 {
        let prompts = PromptTimes::new(&self.grid, self.policy, self.load.input);
        let out = self.load.output.max(1) as f64;
        let batch = rate.in_flight.max(1.0);
        let decode = self.grid.decode(batch);
        let pace = prompts.pace(decode, batch / out, batch / out);
        pace.cost / (pace.cost + out * decode / batch)
    }

    /// Mean time from a request to its last token where nobody else asks.
    pub fn alone(&self, profile: &Profile) -> f64 {
        self.policy.api + self.grid.prefill(self.fresh) + profile.output * self.grid.decode(1.0)
    }

    /// Sequences it holds at once.
    pub const fn slots(&self) -> u64 {
        self.load.slots
    }

    /// Tokens of a prompt that are computed.
    pub fn computed(&self) -> f64 {
        self.load.input as f64
    }

    /// Mean time from a request to its last token.
    pub fn residence(&self, rate: &Rate) -> f64 {
        rate.ttft + (self.load.output as f64 - 1.0) * rate.tpot
    }

    /// Whether a rate keeps the levels.
    pub fn keeps(&self, rate: &Rate, levels: &Levels, profile: &Profile) -> bool {
        // Beyond it requests wait for a place, which the closed form leaves out.
        let met = rate.in_flight + deviations(0.95) * rate.in_flight.sqrt();
        if *levels != Levels::default() && rate.in_flight > 1.0 && met > self.load.slots as f64 {
            return false;
        }
        let within = |level: Option<Level>, time: &dyn Fn(f64) -> f64| {
            level.is_none_or(|level| time(level.share) <= level.most_s.get())
        };
        within(levels.ttft, &|share| self.ttft_within(rate, share, profile))
            && within(levels.tpot, &|share| self.tpot_within(rate, share))
            && within(levels.end_to_end, &|share| self.end_within(rate, share, profile))
    }

    /// The most requests a second that keep the levels; none where not even a lone one does.
    pub fn most(&self, levels: &Levels, profile: &Profile) -> Option<Capacity> {
        let good = |rate: f64| self.at(rate).filter(|found| self.keeps(found, levels, profile));
        let out = self.load.output.max(1) as f64;
        let alone = self.grid.decode(1.0) * out;
        let mut low = 1e-3 / alone;
        let mut found = good(low)?;
        let mut high = low;
        while let Some(better) = good(high * 4.0) {
            (low, found) = (high * 4.0, better);
            high = low;
        }
        high *= 4.0;
        for _ in 0..HALVINGS {
            let middle = (low * high).sqrt();
            match good(middle) {
                Some(better) => (low, found) = (middle, better),
                None => high = middle,
            }
            if high / low < 1.002 {
                break;
            }
        }
        Some(Capacity { per_second: low, rate: found })
    }
}
