//! The closed form of the closed loop, for ranking many candidates.

use super::{Load, Policy, StepTimes};

/// A replica under steady load, seconds and tokens per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::perf) struct Steady {
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

/// A tenth of the requests wait for half of the prompts.
const BURST: f64 = 0.05;

/// Rounds of the iteration; it settles to a thousandth in six.
const ROUNDS: usize = 6;

/// The steady state of `load`, without walking through steps.
///
/// In the time of an answer, `O TPOT`, every other user sends one prompt. With `C` users iterate
/// from `TPOT = decode(C)`:
///
/// - `k = C (prefill(I) + decode(C)) / (O TPOT)` prompts share a step, between one (one per group
///   where they are held back) and what the chunk holds;
/// - each then costs `c = prefill(k I) / k`;
/// - `TPOT = decode(C) + (C-1)/O (c - overlap min(decode(1), prefill(I)) / k)`.
///
/// A prompt waits for the step under way and for half of its like:
/// `TTFT = api + prefill(I) + beside + decode(C) / 4 + u/2 (prefill(I) + decode(C))` with
/// `u = C c / (O TPOT)`, `beside` the decode step in it or the host's time. Users beyond the slots
/// wait for one; the rate follows from Little's law.
///
/// Holds for lengths that differ (equal ones keep requests in step). The initial rush of a
/// measured run is kept apart, in [`Steady::burst`].
pub(in crate::perf) fn steady(times: &impl StepTimes, policy: &Policy, load: &Load) -> Steady {
    let users = load.users.min(load.slots).max(1) as f64;
    let out = load.output.max(1) as f64;
    let prompts = PromptTimes { times, policy, input: load.input.max(1) as f64 };
    let alone = prompts.alone();
    let decode = times.decode(users);
    let pace = prompts.pace(decode, users / out, (users - 1.0) / out);
    let busy = users * pace.cost / (out * pace.tpot);
    let wait = prompts.wait(&pace, decode, busy.min(1.0), users / out);
    let beside = if policy.mixed { decode } else { policy.step };
    let own = policy.api + alone + if policy.mixed { 0.0 } else { policy.step };
    let ttft = if users > 1.0 { policy.api + alone + beside + decode / 4.0 + wait } else { own };
    let residence = ttft + (out - 1.0) * pace.tpot;
    let full = prompts.together(prompts.most()) / prompts.most();
    let waiting = load.users.max(1) as f64 / users - 1.0;
    Steady {
        ttft: ttft + waiting * residence,
        burst: if users > 1.0 { BURST * users * full } else { 0.0 },
        tpot: pace.tpot,
        output_rate: users * out / residence,
        prompt_share: busy.min(1.0),
    }
}

/// Times of prompts of the mean length that share steps.
pub(super) struct PromptTimes<'a, T> {
    pub(super) times: &'a T,
    pub(super) policy: &'a Policy,
    /// Tokens of a prompt.
    pub(super) input: f64,
}

/// How fast answers grow.
pub(super) struct Pace {
    /// Seconds per token.
    pub(super) tpot: f64,
    /// Seconds per prompt when `together` share a step.
    pub(super) cost: f64,
    /// Prompts that share a step.
    pub(super) together: f64,
}

impl<T: StepTimes> PromptTimes<'_, T> {
    fn groups(&self) -> f64 {
        self.policy.groups.max(1) as f64
    }

    /// Prompts a step holds at most over all groups.
    pub(super) fn most(&self) -> f64 {
        (self.policy.chunk as f64 * self.groups() / self.input).max(1.0)
    }

    /// A prompt that has its steps for itself.
    pub(super) fn alone(&self) -> f64 {
        self.together(1.0)
    }

    /// So many prompts over all groups, in full steps and one for the rest.
    pub(super) fn together(&self, prompts: f64) -> f64 {
        let tokens = self.input * (prompts / self.groups()).max(1.0);
        let chunk = self.policy.chunk.max(1) as f64;
        if !self.policy.splits_prompts || tokens <= chunk {
            return self.times.prefill(tokens);
        }
        let full = (tokens / chunk).floor();
        let rest = tokens - full * chunk;
        full * self.times.prefill(chunk) + if rest > 0.0 { self.times.prefill(rest) } else { 0.0 }
    }

    /// The time per token where a decode step takes `decode` and, per token of an answer, `arrivals`
    /// prompts come and `others` of them are in the way.
    pub(super) fn pace(&self, decode: f64, arrivals: f64, others: f64) -> Pace {
        let (prompt, most) = (self.alone(), self.most());
        let saved = self.policy.overlap * self.times.decode(1.0).min(prompt);
        let mut pace = Pace { tpot: decode, cost: prompt, together: 1.0 };
        for _ in 0..ROUNDS {
            let rate = arrivals / pace.tpot;
            // Held back, prompts gather until every group has one or the time is up.
            let gathered = (1.0 + rate * self.policy.hold as f64 * decode).min(self.groups()).min(most);
            pace.together = (rate * (prompt + decode)).max(gathered).min(most);
            pace.cost = self.together(pace.together) / pace.together;
            let each = if self.policy.mixed { pace.cost - saved / pace.together } else { pace.cost };
            pace.tpot = decode + others * each.max(0.0);
        }
        pace
    }

    /// Mean wait for prompts before it and for the other groups, where prompts keep the replica
    /// `busy`.
    fn wait(&self, pace: &Pace, decode: f64, busy: f64, arrivals: f64) -> f64 {
        let step = self.alone() + if self.policy.mixed { decode } else { 0.0 };
        busy / 2.0 * step + self.gathering(pace, decode, arrivals)
    }

    /// Mean time a prompt is held back: half of the time until every group has one, or of the
    /// longest allowed.
    pub(super) fn gathering(&self, pace: &Pace, decode: f64, arrivals: f64) -> f64 {
        let every_group = (self.groups() - 1.0) * pace.tpot / arrivals;
        (self.policy.hold as f64 * decode).min(every_group) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lengths;
    use super::*;

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
        assert!((a / b - 1.0).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn prompts_of_the_others_lengthen_the_time_per_token() {
        // A prompt costs 10 ms alone or shared; ten others send one in 100 tokens: 1 ms per token.
        let steady = steady(&Even, &POLICY, &LOAD);
        close(steady.tpot, 0.011);
        // Busy 11 x 10 ms of 1.1 s.
        close(steady.prompt_share, 0.1);
        let ttft = 0.020 + 0.010 + 0.005 + 0.0025 + 0.05 * 0.010;
        close(steady.ttft, ttft);
        close(steady.output_rate, 1100.0 / (ttft + 99.0 * 0.011));
        // Full chunks cost the same: a tenth of the requests wait for 5.5 prompts.
        close(steady.burst, 0.05 * 11.0 * 0.010);
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
