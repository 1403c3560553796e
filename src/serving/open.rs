//! Requests that come at a rate of their own.

use super::steady::{Pace, PromptTimes};
use super::{Load, Policy, StepTimes};
use crate::units::math;

/// A replica that keeps up with its requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OpenLoop {
    /// Mean requests under way.
    pub in_flight: f64,
    /// Mean time per output token after the first, seconds.
    pub tpot: f64,
    /// Mean time to the first token, seconds.
    pub ttft: f64,
    /// Part of it spent waiting for the prompts of others, seconds.
    pub wait: f64,
    /// Share of requests that find the replica at work on prompts.
    pub busy: f64,
    /// Share of what the replica could do at most, below one.
    pub utilisation: f64,
}

impl OpenLoop {
    /// Time to the first token that a share of the requests exceeds, seconds.
    ///
    /// The wait has an exponential tail, `P(wait > x) = u exp(-x u / W)` with the mean wait `W` and
    /// the share `u` that waits; what is not waiting is the same for all.
    pub(crate) fn ttft_exceeded_by(&self, share: f64) -> f64 {
        let wait = if self.busy > share { self.wait / self.busy * math::ln(self.busy / share) } else { 0.0 };
        self.ttft - self.wait + wait
    }
}

/// Requests come faster than they can be served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unstable {
    /// Requests per second that all slots serve.
    pub most: f64,
}

/// Halvings of the range of requests under way: 2^-40 of the slots.
const HALVINGS: usize = 40;

/// The steady state under `rate` requests per second, independent of each other; `load.users` and
/// `load.requests` do not matter.
///
/// By Little's law `N = rate (TTFT + O TPOT(N))` requests are under way. An answer is slowed by the
/// prompts that come meanwhile, `rate` times its length. A prompt waits for those before it as in
/// a queue with one server, `W = rate s^2 / (2 (1 - v))`, where `s` is the time of its step and `v`
/// the share of the time that prompts take in full steps. Both sides grow with `N`, and the least
/// `N` that serves all is found by halving.
///
/// The wait for a slot is left out: it matters from about three quarters of the slots under way,
/// where a [simulation](super::simulation) tells more.
///
/// # Errors
/// The utilisation `rate (c + O decode(S) / S)` reaches one with all `S` slots decoding and `c` per
/// prompt, or more requests would be under way than there are slots.
pub(crate) fn open_loop(
    times: &impl StepTimes,
    policy: &Policy,
    load: &Load,
    rate: f64,
) -> Result<OpenLoop, Unstable> {
    let slots = load.slots.max(1) as f64;
    let out = load.output.max(1) as f64;
    let prompts = PromptTimes::new(times, *policy, load.input);
    let at = |in_flight: f64| Queue::new(&prompts, in_flight, rate, out, slots);
    let excess = |in_flight: f64| rate * at(in_flight).residence(out) - in_flight;
    if at(slots).utilisation >= 1.0 || excess(slots) > 0.0 {
        let full = pace(&prompts, times.decode(slots), slots / out, (slots - 1.0) / out);
        return Err(Unstable { most: slots / (out * full.tpot + full.cost) });
    }
    let (mut few, mut enough) = (0.0, slots);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(few, enough);
        if excess(middle) > 0.0 {
            few = middle;
        } else {
            enough = middle;
        }
    }
    let Queue { pace, ttft, wait, busy, utilisation } = at(enough);
    Ok(OpenLoop { in_flight: enough, tpot: pace.tpot, ttft, wait, busy, utilisation })
}

/// The pace of answers where prompts come at any time: each step that holds some costs the host's time too
/// where prompts go first. In closed loop they come with the ends of others and share steps more.
fn pace<T: StepTimes>(prompts: &PromptTimes<T>, decode: f64, arrivals: f64, others: f64) -> Pace {
    let mut pace = prompts.pace(decode, arrivals, others);
    if !prompts.policy.mixed {
        pace.tpot += others * prompts.pieces() * prompts.policy.step / pace.together;
    }
    pace
}

/// A replica with so many requests under way.
struct Queue {
    pace: Pace,
    ttft: f64,
    wait: f64,
    busy: f64,
    utilisation: f64,
}

impl Queue {
    fn new<T: StepTimes>(prompts: &PromptTimes<T>, in_flight: f64, rate: f64, out: f64, slots: f64) -> Self {
        let (times, policy) = (&prompts.times, &prompts.policy);
        let decode = times.decode(in_flight.max(1.0));
        let pace = pace(prompts, decode, in_flight / out, in_flight / out);
        let utilisation = rate * (pace.cost + out * times.decode(slots) / slots);
        let beside = prompts.beside(decode);
        let service = pace.cost + beside;
        let full = rate * (prompts.together(prompts.most()) + beside) / prompts.most();
        let wait = rate * service * service / (2.0 * (1.0 - full).max(f64::MIN_POSITIVE));
        let busy = (rate * service).min(1.0);
        // A request that finds the replica at work waits for half a step on average.
        let under_way = in_flight.min(1.0) * decode / 2.0;
        let held = if in_flight > 0.0 { prompts.gathering(decode, in_flight / out) } else { 0.0 };
        let ttft = policy.api + prompts.alone + in_flight.min(1.0) * beside + under_way + held + wait;
        Self { pace, ttft, wait, busy, utilisation }
    }

    fn residence(&self, out: f64) -> f64 {
        self.ttft + (out - 1.0) * self.pace.tpot
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lengths;
    use super::*;

    /// A decode step of 10 ms and 0.1 ms per sequence; 10 ms per 1000 prompt tokens.
    struct Steps;

    impl StepTimes for Steps {
        fn decode(&self, sequences: f64) -> f64 {
            0.010 + 1e-4 * sequences
        }

        fn prefill(&self, tokens: f64) -> f64 {
            tokens * 1e-5
        }
    }

    const POLICY: Policy = Policy {
        mixed: true,
        splits_prompts: true,
        overlap: 0.0,
        chunk: 8192,
        groups: 1,
        hold: 0,
        step: 0.0,
        api: 0.010,
        poll: 1,
    };

    const LOAD: Load =
        Load { users: 1, input: 1000, output: 100, lengths: Lengths::Uniform, requests: 1, slots: 200 };

    #[test]
    fn requests_under_way_follow_littles_law() {
        for rate in [0.01, 1.0, 10.0, 25.0] {
            let open = open_loop(&Steps, &POLICY, &LOAD, rate).expect("far below the limit");
            let residence = open.ttft + 99.0 * open.tpot;
            assert!((open.in_flight / (rate * residence) - 1.0).abs() < 1e-6, "{open:?}");
        }
    }

    #[test]
    fn an_idle_replica_answers_like_a_lone_user() {
        let open = open_loop(&Steps, &POLICY, &LOAD, 1e-6).expect("idle");
        assert!((open.ttft - 0.020).abs() < 1e-6, "{open:?}");
        assert!((open.tpot - 0.0101).abs() < 1e-6, "{open:?}");
    }

    #[test]
    fn the_limit_is_where_the_replica_is_full() {
        // 200 sequences: 30 ms a step, 0.15 ms per token: 15 ms per answer and 10 ms per prompt.
        let refused = open_loop(&Steps, &POLICY, &LOAD, 41.0).expect_err("40 a second are the limit");
        assert!((refused.most / 40.0 - 1.0).abs() < 0.02, "{refused:?}");
        assert!(open_loop(&Steps, &POLICY, &LOAD, 0.9 * refused.most).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn more_requests_take_longer(rate in 0.01..30.0_f64, more in 1.0..1.3_f64) {
            let first = open_loop(&Steps, &POLICY, &LOAD, rate);
            let second = open_loop(&Steps, &POLICY, &LOAD, rate * more);
            if let (Ok(first), Ok(second)) = (first, second) {
                proptest::prop_assert!(second.ttft >= first.ttft * (1.0 - 1e-9));
                proptest::prop_assert!(second.tpot >= first.tpot * (1.0 - 1e-9));
                proptest::prop_assert!(second.ttft_exceeded_by(0.05) >= second.ttft * 0.99
                    || second.busy < 0.1);
            }
        }
    }
}
