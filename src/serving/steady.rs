//! The closed form of the closed loop, for ranking many candidates.

use super::{Load, Policy, StepTimes};
use crate::units::math;

/// A replica under steady load, seconds and tokens per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Steady {
    /// Mean time to the first token, the wait for a slot included.
    pub ttft: f64,
    /// What a run of ten requests per user that starts all users at once adds to the mean time to
    /// the first token.
    pub burst: f64,
    /// Mean time per output token after the first.
    pub tpot: f64,
    /// Output tokens per second of all users.
    pub output_rate: f64,
    /// Share of the time in which prompts are worked on.
    pub prompt_share: f64,
}

/// Share of the requests of a run that come in the rush at its start, at ten per user.
const RUSH: f64 = 0.1;

/// Times of prompts of the mean length that share steps; the same under any number of users.
#[derive(Clone, Debug)]
pub(crate) struct PromptTimes<T> {
    pub(crate) times: T,
    pub(crate) policy: Policy,
    /// Tokens of a prompt.
    input: f64,
    /// A prompt that has its steps for itself.
    pub(crate) alone: f64,
    /// What a mixed step saves: the weights are read once.
    saved: f64,
}

/// Mean number of arrivals where there is at least one, from the mean over all.
fn at_least_one(mean: f64) -> f64 {
    if mean > 1e-6 { mean / (1.0 - math::exp(-mean)) } else { 1.0 }
}

/// How fast answers grow.
pub(crate) struct Pace {
    /// Seconds per token.
    pub(crate) tpot: f64,
    /// Seconds per prompt when `together` share a step.
    pub(crate) cost: f64,
    /// The same less what a mixed step saves.
    added: f64,
    /// Prompts that share a step.
    pub(crate) together: f64,
}

impl<T: StepTimes> PromptTimes<T> {
    /// Times of prompts of so many tokens.
    pub(crate) fn new(times: T, policy: Policy, input: u64) -> Self {
        let mut prompts = Self { times, policy, input: input.max(1) as f64, alone: 0.0, saved: 0.0 };
        prompts.alone = prompts.together(1.0);
        if policy.mixed && policy.overlap > 0.0 {
            prompts.saved = policy.overlap * prompts.times.decode(1.0).min(prompts.alone);
        }
        prompts
    }

    /// The times of single steps.
    pub(crate) const fn times(&self) -> &T {
        &self.times
    }

    /// The steady state of `load`, without walking through steps.
    ///
    /// Every step gives each sequence one token, so that `m = C/O` of `C` users end their answer of `O`
    /// tokens with it and send a new prompt. With prompts of `I` tokens:
    ///
    /// - a step that has prompts has `k = m / (1 - exp(-m))` (Poisson, at least one), more where they
    ///   are held back until every group has one, at most what the chunk holds;
    /// - each then costs `c = prefill(k I) / k`;
    /// - `TPOT = decode(C) + (C-1)/O (c - overlap min(decode(1), prefill(I)) / k)`.
    ///
    /// A prompt waits for half of a decode step and of its like before its own step:
    /// `TTFT = api + prefill(k I) + beside + decode(C) / 2 + u/2 (prefill(I) + decode(C))` with
    /// `u = (C-1) c / (O TPOT)`, `beside` the decode steps that it shares, less the overlap, or the host's
    /// time. Users beyond the slots wait for one; the rate follows from Little's law.
    ///
    /// Holds for lengths that differ (equal ones keep requests in step). The initial rush of a
    /// measured run is kept apart, in [`Steady::burst`]. Requests of such a run come in waves at first,
    /// which share steps more than this says: with groups of attention that hold nothing back it is up
    /// to 45 % too slow.
    pub(crate) fn steady(&self, load: &Load) -> Steady {
        let users = load.users.min(load.slots).max(1) as f64;
        let burst = RUSH * (self.rush(users) - self.alone).max(0.0);
        Steady { burst, ..self.after_the_rush(load) }
    }

    /// Output tokens per second of the same, which the rush does not enter.
    pub(crate) fn rate(&self, load: &Load) -> f64 {
        self.after_the_rush(load).output_rate
    }

    fn after_the_rush(&self, load: &Load) -> Steady {
        let users = load.users.min(load.slots).max(1) as f64;
        let out = load.output.max(1) as f64;
        let decode = self.times.decode(users);
        let pace = self.pace(decode, users / out, (users - 1.0) / out);
        let per_token = users / (out * pace.tpot);
        let ttft = if users > 1.0 {
            let busy = (per_token * pace.cost * (users - 1.0) / users).min(1.0);
            let held = self.gathering(decode, users / out);
            let step = pace.cost * pace.together + self.pieces() * self.beside(decode);
            self.policy.api + step + decode / 2.0 + busy / 2.0 * self.step(decode) + held
        } else {
            let beside = if self.policy.mixed { 0.0 } else { self.pieces() * self.policy.step };
            self.policy.api + self.alone + beside
        };
        let residence = ttft + (out - 1.0) * pace.tpot;
        let waiting = load.users.max(1) as f64 / users - 1.0;
        Steady {
            ttft: ttft + waiting * residence,
            burst: 0.0,
            tpot: pace.tpot,
            output_rate: users * out / residence,
            prompt_share: (per_token * pace.added).min(1.0),
        }
    }

    fn groups(&self) -> f64 {
        self.policy.groups.max(1) as f64
    }

    /// Prompts a step holds at most over all groups.
    pub(crate) fn most(&self) -> f64 {
        (self.policy.chunk as f64 * self.groups() / self.input).max(1.0)
    }

    /// Steps over which a prompt is split.
    pub(crate) fn pieces(&self) -> f64 {
        let chunk = self.policy.chunk.max(1) as f64;
        if self.policy.splits_prompts { (self.input / chunk).ceil().max(1.0) } else { 1.0 }
    }

    /// What a step with prompts takes beside them.
    pub(crate) fn beside(&self, decode: f64) -> f64 {
        if self.policy.mixed { decode - self.saved } else { self.policy.step }
    }

    /// So many prompts over all groups, in full steps and one for the rest.
    pub(crate) fn together(&self, prompts: f64) -> f64 {
        let tokens = self.input * (prompts / self.groups()).max(1.0);
        let chunk = self.policy.chunk.max(1) as f64;
        if !self.policy.splits_prompts || tokens <= chunk {
            return self.times.prefill(tokens);
        }
        let full = (tokens / chunk).floor();
        let rest = tokens - full * chunk;
        full * self.times.prefill(chunk) + if rest > 0.0 { self.times.prefill(rest) } else { 0.0 }
    }

    /// Mean time to the first token where so many prompts come at once: full steps one after the
    /// other, each of which ends for all of its prompts together.
    fn rush(&self, prompts: f64) -> f64 {
        let step = prompts.min(self.most());
        self.together(step) * (prompts / step + 1.0) / 2.0
    }

    /// The time per token where a decode step takes `decode`, `arrivals` prompts come per step and
    /// `others` of them are in the way.
    pub(crate) fn pace(&self, decode: f64, arrivals: f64, others: f64) -> Pace {
        // Held back, prompts gather until every group has one or the time is up.
        let gathered = (1.0 + arrivals * self.policy.hold as f64).min(self.groups());
        let together = at_least_one(arrivals).max(gathered).min(self.most());
        let cost = self.together(together) / together;
        let added = (cost - self.saved / together).max(0.0);
        Pace { tpot: decode + others * added, cost, added, together }
    }

    /// A step that holds one prompt beside what decodes, where that is mixed.
    fn step(&self, decode: f64) -> f64 {
        self.alone + if self.policy.mixed { self.pieces() * decode } else { 0.0 }
    }

    /// Mean time a prompt is held back: half of the time until every group has one, or of the
    /// longest allowed.
    pub(crate) fn gathering(&self, decode: f64, arrivals: f64) -> f64 {
        let every_group = (self.groups() - 1.0) / arrivals;
        (self.policy.hold as f64).min(every_group) * decode / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lengths;
    use super::*;

    fn steady(times: &impl StepTimes, policy: &Policy, load: &Load) -> Steady {
        PromptTimes::new(times, *policy, load.input).steady(load)
    }

    struct Even;

    impl StepTimes for Even {
        fn decode(&self, _: f64) -> f64 {
            0.010
        }

        fn prefill(&self, tokens: f64) -> f64 {
            tokens * 1e-4
        }
    }

    const POLICY: Policy = Policy {
        mixed: false,
        splits_prompts: true,
        overlap: 0.0,
        chunk: 8000,
        groups: 1,
        hold: 0,
        step: 0.005,
        api: 0.020,
        poll: 1,
    };

    const LOAD: Load =
        Load { users: 11, input: 100, output: 100, lengths: Lengths::Uniform, requests: 110, slots: 64 };

    fn close(a: f64, b: f64) {
        assert!((a / b - 1.0).abs() < 1e-6, "{a} is not {b}");
    }

    #[test]
    fn prompts_of_the_others_lengthen_the_time_per_token() {
        // A prompt costs 10 ms alone or shared; ten others send one in 100 tokens: 1 ms per token.
        let steady = steady(&Even, &POLICY, &LOAD);
        close(steady.tpot, 0.011);
        // Busy 11 x 10 ms of 1.1 s.
        close(steady.prompt_share, 0.1);
        // 0.11 prompts per step: 0.11 / (1 - exp(-0.11)) = 1.056008 in those that have any.
        // The prompts of the ten others take 1/11 of the time and are half done on average.
        let ttft = 0.020 + 0.010_560_08 + 0.005 + 0.005 + 0.05 * 10.0 / 11.0 * 0.010;
        close(steady.ttft, ttft);
        close(steady.output_rate, 1100.0 / (ttft + 99.0 * 0.011));
        // All eleven prompts fit one step of 110 ms, against 10 ms, for a tenth of the requests.
        close(steady.burst, 0.1 * 0.100);
    }

    #[test]
    fn users_beyond_the_slots_wait_and_do_not_slow_the_others() {
        let few = steady(&Even, &POLICY, &Load { slots: 11, ..LOAD });
        let many = steady(&Even, &POLICY, &Load { slots: 11, users: 33, ..LOAD });
        close(few.tpot, many.tpot);
        close(few.output_rate, many.output_rate);
        // Little: three times the users stay three times as long.
        let residence = few.ttft + 99.0 * few.tpot;
        close(many.ttft, few.ttft + 2.0 * residence);
    }
}
