//! The closed loop of a public sweep: one replica, equal users, no limit but slots.

use super::outcome::Outcome;
use super::simulation::simulate_load;
use super::{Load, Policy, StepTimes};

/// Simulates a run of `load` on one replica: all users send at once, each sends the next request when
/// the last is answered, until all requests are answered. Requests beyond the slots wait for one to end.
pub(crate) fn closed_loop(times: &impl StepTimes, policy: &Policy, load: &Load) -> Outcome {
    let users = load.users.clamp(1, load.requests.max(1));
    Outcome::of(&simulate_load(times, policy, load, None), users as usize)
}

#[cfg(test)]
mod tests {
    use super::super::Lengths;
    use super::*;

    /// Ten milliseconds per decode step, one per 1000 prompt tokens.
    struct Even;

    impl StepTimes for Even {
        fn decode(&self, _: f64) -> f64 {
            0.010
        }

        fn prefill(&self, tokens: f64) -> f64 {
            tokens * 1e-6
        }
    }

    const POLICY: Policy = Policy {
        mixed: true,
        splits_prompts: true,
        overlap: 0.5,
        chunk: 8192,
        groups: 1,
        hold: 0,
        step: 0.0,
        api: 0.0,
        poll: 1,
    };

    const LOAD: Load =
        Load { users: 1, input: 1000, output: 101, lengths: Lengths::Fixed, requests: 10, slots: 64 };

    fn close(a: f64, b: f64) {
        assert!((a / b - 1.0).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn a_lone_user_waits_for_prompt_and_steps() {
        let policy = Policy { mixed: false, step: 0.002, api: 0.050, ..POLICY };
        let outcome = closed_loop(&Even, &policy, &LOAD);
        close(outcome.ttft.mean, 0.050 + 0.001 + 0.002);
        close(outcome.tpot.mean, 0.010);
        // 101 tokens: one with the prompt, 100 steps.
        close(outcome.residence, 0.053 + 1.0);
        close(outcome.output_rate, 101.0 / 1.053);
        close(outcome.steady_rate, 101.0 / 1.053);
        close(outcome.batch, 1.0 / 1.053);
    }

    #[test]
    fn a_mixed_step_saves_the_overlap_and_everyone_gains() {
        // Two users, prompts of 9000 tokens: the first step holds 8192 tokens of the first, the
        // second its other 808 and 7384 of the other, the third 1615 (one sequence decodes).
        let load = Load { users: 2, requests: 2, input: 9000, lengths: Lengths::Fixed, output: 2, ..LOAD };
        let policy = Policy { overlap: 0.25, ..POLICY };
        let outcome = closed_loop(&Even, &policy, &load);
        // 9000 - 7384 = 1616 tokens beside one sequence, which ends with this step.
        let third = 0.001_616 + 0.010 - 0.25 * 0.001_616;
        let second = 2.0 * 0.008_192;
        close(outcome.ttft.mean, f64::midpoint(second, second + third));
        close(outcome.span, second + third + 0.010);
    }

    #[test]
    fn a_full_replica_lets_the_rest_wait() {
        let load = Load { users: 2, requests: 2, slots: 1, ..LOAD };
        let outcome = closed_loop(&Even, &Policy { mixed: false, ..POLICY }, &load);
        // One after the other: the second waits for all of the first.
        close(outcome.span, 2.0 * (0.001 + 1.0));
        close(outcome.ttft.p95, 0.001 + 1.0 + 0.001);
        close(outcome.tpot.mean, 0.010);
    }

    #[test]
    fn a_replica_that_looks_rarely_keeps_requests_waiting() {
        let load = Load { users: 8, requests: 80, lengths: Lengths::Uniform, ..LOAD };
        let often = closed_loop(&Even, &Policy { mixed: false, ..POLICY }, &load);
        let rare = closed_loop(&Even, &Policy { mixed: false, poll: 10, ..POLICY }, &load);
        // On average half of ten steps, but for those sent at the start.
        let wait = rare.ttft.mean - often.ttft.mean;
        assert!((0.03..0.06).contains(&wait), "{wait}");
    }
}
