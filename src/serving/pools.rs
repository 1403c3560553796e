//! Prefill and decode on workers of their own, in closed loop.

use super::outcome::{Outcome, Tally};
use super::prompts::{Prompt, Prompts};
use super::{Load, StepTimes};
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;

/// Two pools of workers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pools {
    /// Workers that take prompts.
    pub prefill_workers: u64,
    /// Workers that decode, each with the slots of the load.
    pub decode_workers: u64,
    /// Groups of attention of a prefill worker.
    pub prefill_groups: u64,
    /// Prompt tokens of a step in one group; a worker takes batches of at least 16384.
    pub chunk: u64,
    /// Time to move the cache of one prompt to a decode worker, seconds.
    pub transfer: f64,
    /// Time of a request before it reaches the prefill pool, seconds.
    pub api: f64,
    /// Time the host adds to a batch of prompts, seconds.
    pub step: f64,
}

/// Prompt tokens a prefill worker takes at least into a batch, per group: nobody decodes beside
/// them, so that launchers raise the chunk.
const LEAST_CHUNK: u64 = 16384;

/// Walks through a run of `load` on separate pools; `load.slots` are those of one decode worker.
///
/// Free prefill workers share the waiting prompts evenly, up to a batch each. A prompt's cache then
/// takes the transfer time and waits for a slot; with the slot the user has the first token. Decode
/// goes on without prompts between: with `n` sequences over `d` workers each gains a token per
/// `decode(n / d)`. The throughput is at best the lesser of what the two pools can do.
pub(crate) fn separate_pools(
    prefill: &impl StepTimes,
    decode: &impl StepTimes,
    pools: &Pools,
    load: &Load,
) -> Outcome {
    let mut run = Run::new(pools, load);
    while run.tally.answered() < run.inputs.len() {
        run.send_to_prefill(prefill);
        run.admit();
        let period = decode.decode(run.active.len() as f64 / pools.decode_workers.max(1) as f64);
        run.advance(period);
    }
    let workers = pools.prefill_workers.max(1) as f64;
    let mut outcome = run.tally.outcome(run.now);
    outcome.prompt_share /= workers;
    outcome
}

/// A moment, ordered.
#[derive(Clone, Copy, Debug)]
struct Moment(f64);

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Moment {}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

/// One run under way; requests are numbered in the order they are sent and taken.
struct Run<'a> {
    pools: &'a Pools,
    slots: usize,
    inputs: Vec<u64>,
    outputs: Vec<u64>,
    sent: Vec<f64>,
    first: Vec<f64>,
    seen: usize,
    taken: usize,
    layout: Prompts,
    /// Batches at work: when they end and the requests from first to before last.
    batches: BinaryHeap<Reverse<(Moment, usize, usize)>>,
    /// Prompts on their way or waiting for a slot, by arrival.
    moved: VecDeque<(f64, usize)>,
    /// Sequences that decode, by the value of `gained` that ends them.
    active: BinaryHeap<Reverse<(Moment, usize)>>,
    now: f64,
    /// Tokens a sequence active from the start would have gained.
    gained: f64,
    tally: Tally,
}

impl<'a> Run<'a> {
    fn new(pools: &'a Pools, load: &Load) -> Self {
        let requests = load.requests.max(1) as usize;
        let users = (load.users.max(1) as usize).min(requests);
        let mut sent = Vec::with_capacity(requests);
        sent.resize(users, 0.0);
        Self {
            pools,
            slots: load.slots.saturating_mul(pools.decode_workers).max(1) as usize,
            inputs: load.lengths.inputs(load.input, requests),
            // Batches of several workers end at different times: nothing stays in step.
            outputs: load.lengths.outputs(load.output, requests, true),
            sent,
            first: vec![0.0; requests],
            seen: 0,
            taken: 0,
            layout: Prompts::new(pools.prefill_groups),
            batches: BinaryHeap::with_capacity(pools.prefill_workers as usize),
            moved: VecDeque::with_capacity(users),
            active: BinaryHeap::with_capacity(users),
            now: 0.0,
            gained: 0.0,
            tally: Tally::new(users, requests),
        }
    }

    fn free_workers(&self) -> usize {
        (self.pools.prefill_workers.max(1) as usize).saturating_sub(self.batches.len())
    }

    /// Free prefill workers take the prompts that wait, evenly.
    fn send_to_prefill(&mut self, prefill: &impl StepTimes) {
        while self.sent.get(self.seen).is_some_and(|sent| sent + self.pools.api <= self.now) {
            self.seen += 1;
        }
        while self.free_workers() > 0 && self.taken < self.seen {
            let share = (self.seen - self.taken).div_ceil(self.free_workers());
            let batch = self.batch(self.taken..self.taken + share);
            let took = prefill.prefill(self.layout.fullest().0 as f64) + self.pools.step;
            self.tally.prompts(took);
            self.batches.push(Reverse((Moment(self.now + took), batch.start, batch.end)));
            self.taken = batch.end;
        }
    }

    /// The prompts of a share that fit one batch, laid out over the groups of a worker.
    fn batch(&mut self, share: Range<usize>) -> Range<usize> {
        let budget = self.pools.chunk.max(LEAST_CHUNK);
        self.layout.begin(budget);
        let first = share.start;
        let mut taken = first;
        for request in share {
            let prompt = Prompt { request: request as u32, tokens: self.inputs[request], before: 0 };
            if !self.layout.offer(prompt, budget, false) {
                break;
            }
            taken += 1;
        }
        first..taken
    }

    /// Prompts whose cache has arrived take free slots.
    fn admit(&mut self) {
        while self.active.len() < self.slots
            && let Some(&(arrival, request)) = self.moved.front()
            && arrival <= self.now
        {
            self.moved.pop_front();
            self.first[request] = self.now;
            if self.outputs[request] > 1 {
                let end = self.gained + (self.outputs[request] - 1) as f64;
                self.active.push(Reverse((Moment(end), request)));
            } else {
                self.answer(request);
            }
        }
    }

    /// Goes on to the next event: a batch of prompts is done, a cache arrives, a sequence ends, or
    /// a request comes to a free worker.
    fn advance(&mut self, period: f64) {
        let ends = self.active.peek().map(|Reverse((end, _))| end.0);
        let finish = ends.map_or(f64::INFINITY, |end| self.now + (end - self.gained) * period);
        let batch = self.batches.peek().map_or(f64::INFINITY, |Reverse((end, ..))| end.0);
        let has_slot = self.active.len() < self.slots;
        let arrival = self.moved.front().filter(|_| has_slot).map_or(f64::INFINITY, |moved| moved.0);
        let has_worker = self.free_workers() > 0;
        let sent = self.sent.get(self.seen).filter(|_| has_worker);
        let request = sent.map_or(f64::INFINITY, |sent| sent + self.pools.api);
        let next = finish.min(batch).min(arrival).min(request).max(self.now);
        self.tally.decodes(self.active.len(), next - self.now);
        match ends {
            Some(end) if finish <= next => self.gained = end,
            Some(_) => self.gained += (next - self.now) / period,
            None => {}
        }
        self.now = next;
        self.end_batches();
        self.end_sequences();
    }

    fn end_batches(&mut self) {
        while let Some(&Reverse((end, from, to))) = self.batches.peek()
            && end.0 <= self.now
        {
            self.batches.pop();
            self.moved.extend((from..to).map(|request| (end.0 + self.pools.transfer, request)));
        }
    }

    fn end_sequences(&mut self) {
        while let Some(&Reverse((end, request))) = self.active.peek()
            && end.0 <= self.gained
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

    /// A decode step of 10 ms and 0.1 ms per sequence; 100 ms per 1000 prompt tokens.
    struct Worker;

    impl StepTimes for Worker {
        fn decode(&self, sequences: f64) -> f64 {
            0.010 + 1e-4 * sequences
        }

        fn prefill(&self, tokens: f64) -> f64 {
            tokens * 1e-4
        }
    }

    const POOLS: Pools = Pools {
        prefill_workers: 1,
        decode_workers: 1,
        prefill_groups: 1,
        chunk: 8192,
        transfer: 0.050,
        api: 0.020,
        step: 0.0,
    };

    const LOAD: Load =
        Load { users: 1, input: 1000, output: 101, lengths: Lengths::Uniform, requests: 10, slots: 100 };

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a / b - 1.0).abs() < tolerance, "{a} is not {b}");
    }

    #[test]
    fn a_lone_user_sees_prompt_transfer_and_steps() {
        let load = Load { requests: 100, ..LOAD };
        let outcome = separate_pools(&Worker, &Worker, &POOLS, &load);
        close(outcome.ttft.mean, 0.020 + 0.100 + 0.050, 1e-3);
        close(outcome.tpot.mean, 0.0101, 1e-9);
        close(outcome.output_rate, 101.0 / (0.170 + 1.01), 5e-3);
    }

    #[test]
    fn the_slower_pool_bounds_the_throughput() {
        // A prefill worker does 10 prompts a second. A decode worker with 100 sequences takes
        // 20 ms for 100 tokens, 49.5 answers a second.
        let load = Load { users: 800, requests: 16000, ..LOAD };
        let rate = |prefill_workers, decode_workers| {
            let pools = Pools { prefill_workers, decode_workers, ..POOLS };
            separate_pools(&Worker, &Worker, &pools, &load).steady_rate / 101.0
        };
        close(rate(1, 1), 10.0, 0.02);
        close(rate(3, 1), 30.0, 0.02);
        close(rate(10, 1), 50.0, 0.02);
        close(rate(12, 2), 100.0, 0.03);
    }

    #[test]
    fn starved_decode_workers_look_fast_while_requests_queue() {
        let load = Load { users: 200, requests: 2000, ..LOAD };
        let starved = separate_pools(&Worker, &Worker, &POOLS, &load);
        let fed = separate_pools(&Worker, &Worker, &Pools { prefill_workers: 8, ..POOLS }, &load);
        assert!(starved.tpot.mean < 0.7 * fed.tpot.mean);
        assert!(starved.ttft.mean > 4.0 * fed.ttft.mean);
        assert!(starved.prompt_share > 0.9 && fed.prompt_share < 0.8);
    }

    #[test]
    fn a_batch_fills_the_groups_of_a_worker() {
        // Four prompts in four groups take as long as one.
        let load = Load { users: 4, requests: 4, lengths: Lengths::Fixed, ..LOAD };
        let grouped = Pools { prefill_groups: 4, ..POOLS };
        close(separate_pools(&Worker, &Worker, &grouped, &load).ttft.mean, 0.170, 1e-9);
        close(separate_pools(&Worker, &Worker, &POOLS, &load).ttft.mean, 0.470, 1e-9);
    }
}
