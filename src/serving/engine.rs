//! The steps of one replica in closed loop.

use super::outcome::{Outcome, Tally};
use super::prompts::Prompts;
use super::{Load, Policy, StepTimes};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Walks through a run of `load` on one replica: all users send at once, each sends the next
/// request when the last is answered, until all requests are answered.
///
/// A step with `T` prompt tokens in the fullest group and `n` sequences that decode takes
///
/// - `prefill(T) + decode(n) - overlap min(decode(1), prefill(T))` in a mixed engine, and all `n`
///   gain a token; prompts and sequences share the budget of tokens;
/// - `prefill(T) + step` where prompts go first, and nobody gains a token;
/// - `decode(n)` without prompts; such steps are taken together up to the next event.
///
/// Groups of attention step together, so that a step with one prompt takes as long as one with a
/// prompt in every group; fewer prompts than groups are held back for up to `hold` decode steps.
/// Requests beyond the slots wait for one to end. A few events per request, whatever its length.
pub(crate) fn closed_loop(times: &impl StepTimes, policy: &Policy, load: &Load) -> Outcome {
    let requests = load.requests.max(1) as usize;
    let users = (load.users.max(1) as usize).min(requests);
    let mut sent = Vec::with_capacity(requests);
    sent.resize(users, 0.0);
    Run::new(times, policy, load, sent).outcome()
}

/// The same for requests that come at given moments, in seconds and ascending, whether others are
/// answered or not; `load.users` answers at either end stay out of [`Outcome::steady_rate`].
pub(crate) fn replayed(times: &impl StepTimes, policy: &Policy, load: &Load, moments: Vec<f64>) -> Outcome {
    let load = Load { requests: moments.len() as u64, ..*load };
    Run::new(times, policy, &load, moments).outcome()
}

/// Budget of prompt tokens left to a mixed step however many sequences decode in it.
const LEAST_BUDGET: u64 = 64;

/// Steps looked ahead at most; no wait is as long.
const MOST_STEPS: f64 = 1e12;

/// One run under way. Requests are numbered in the order they are sent, which is that in which
/// they are seen and taken: `taken <= seen <= sent.len()`.
struct Run<'a, T> {
    times: &'a T,
    policy: &'a Policy,
    slots: usize,
    /// One sequence decoding alone, seconds.
    alone: f64,
    inputs: Vec<u64>,
    outputs: Vec<u64>,
    sent: Vec<f64>,
    first: Vec<f64>,
    seen: usize,
    taken: usize,
    prompts: Prompts,
    /// Sequences that decode, by the value of `gained` that ends them.
    active: BinaryHeap<Reverse<(u64, usize)>>,
    now: f64,
    /// Tokens a sequence active from the start would have gained.
    gained: u64,
    since_look: u64,
    held: u64,
    tally: Tally,
}

impl<'a, T: StepTimes> Run<'a, T> {
    fn new(times: &'a T, policy: &'a Policy, load: &Load, sent: Vec<f64>) -> Self {
        let requests = load.requests.max(1) as usize;
        let users = (load.users.max(1) as usize).min(requests);
        Self {
            times,
            policy,
            slots: load.slots.max(1) as usize,
            alone: times.decode(1.0),
            inputs: load.lengths.inputs(load.input, requests),
            outputs: load.lengths.outputs(load.output, requests, policy.mixed),
            sent,
            first: vec![0.0; requests],
            seen: 0,
            taken: 0,
            prompts: Prompts::new(policy.groups),
            active: BinaryHeap::with_capacity(users),
            now: 0.0,
            gained: 0,
            since_look: 0,
            held: 0,
            tally: Tally::new(users, requests),
        }
    }

    fn outcome(mut self) -> Outcome {
        while self.tally.answered() < self.inputs.len() {
            self.look();
            if self.prompts_are_due() {
                self.prompt_step();
            } else if self.active.is_empty() {
                self.now = self.sent[self.seen] + self.policy.api;
            } else {
                self.decode_steps();
            }
        }
        self.tally.outcome(self.now)
    }

    /// Looks for new requests if it is time to.
    fn look(&mut self) {
        if self.active.is_empty() || self.since_look >= self.policy.poll {
            self.since_look = 0;
        }
        if self.since_look > 0 {
            return;
        }
        while self.sent.get(self.seen).is_some_and(|sent| sent + self.policy.api <= self.now) {
            self.seen += 1;
        }
    }

    /// Requests that wait and have a slot.
    fn admissible(&self) -> usize {
        let free = self.slots.saturating_sub(self.active.len() + self.prompts.begun());
        (self.seen - self.taken).min(free)
    }

    fn prompts_are_due(&self) -> bool {
        let admissible = self.admissible();
        let every_group = admissible as u64 >= self.policy.groups;
        let held_enough = self.active.is_empty() || self.held >= self.policy.hold;
        self.prompts.begun() > 0 || (admissible > 0 && (every_group || held_enough))
    }

    /// Prompt tokens of the next step in one group.
    fn budget(&self) -> u64 {
        let groups = self.policy.groups.max(1);
        let beside = if self.policy.mixed { (self.active.len() as u64).div_ceil(groups) } else { 0 };
        self.policy.chunk.saturating_sub(beside).max(LEAST_BUDGET)
    }

    /// One step with prompts.
    fn prompt_step(&mut self) {
        let decoding = self.active.len();
        let queue = self.taken..self.taken + self.admissible();
        self.taken += self.prompts.fill(self.budget(), self.policy.splits_prompts, queue, &self.inputs);
        let prefill = self.times.prefill(self.prompts.fullest() as f64);
        let gains = self.policy.mixed && decoding > 0;
        let (beside, saved) = match (self.policy.mixed, decoding) {
            (true, 0) => (0.0, 0.0),
            (true, n) => (self.times.decode(n as f64), self.policy.overlap * self.alone.min(prefill)),
            (false, _) => (self.policy.step, 0.0),
        };
        self.tally.prompts(prefill - saved);
        self.pass(prefill + beside - saved, u64::from(gains));
        (self.since_look, self.held) = (0, 0);
        self.begin_decoding();
    }

    /// Requests whose prompts ended have their first token.
    fn begin_decoding(&mut self) {
        for at in 0..self.prompts.finished().len() {
            let request = self.prompts.finished()[at];
            self.first[request] = self.now;
            if self.outputs[request] > 1 {
                self.active.push(Reverse((self.gained + self.outputs[request] - 1, request)));
            } else {
                self.answer(request);
            }
        }
    }

    /// Decode steps up to the next event: a sequence ends, a request is seen, or a prompt was held
    /// back long enough.
    fn decode_steps(&mut self) {
        let decode = self.times.decode(self.active.len() as f64);
        let mut steps = self.active.peek().map_or(1, |Reverse((end, _))| end - self.gained);
        let waiting = self.admissible() > 0;
        if waiting {
            steps = steps.min(self.policy.hold - self.held);
        }
        let full = self.seen - self.taken + self.active.len() >= self.slots;
        if let Some(sent) = self.sent.get(self.seen).filter(|_| !full) {
            let until = ((sent + self.policy.api - self.now) / decode).ceil().clamp(1.0, MOST_STEPS) as u64;
            // The first look that finds it.
            let look = (self.since_look + until).next_multiple_of(self.policy.poll.max(1));
            steps = steps.min(look - self.since_look);
        }
        self.since_look += steps;
        self.held += if waiting { steps } else { 0 };
        self.pass(decode * steps as f64, steps);
    }

    /// Time goes by, and active sequences gain tokens.
    fn pass(&mut self, seconds: f64, tokens: u64) {
        self.tally.decodes(self.active.len(), seconds);
        self.now += seconds;
        self.gained += tokens;
        while let Some(&Reverse((end, request))) = self.active.peek()
            && end <= self.gained
        {
            self.active.pop();
            self.answer(request);
        }
    }

    /// A request has its last token, and its user sends the next.
    fn answer(&mut self, request: usize) {
        self.tally.answers(self.sent[request], self.first[request], self.now, self.outputs[request]);
        if self.sent.len() < self.inputs.len() {
            self.sent.push(self.now);
        }
    }
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
