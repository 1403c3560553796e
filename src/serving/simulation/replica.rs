//! The scheduler of one replica, iteration by iteration.

mod places;

use super::super::prompts::{Prompt, Prompts};
use super::super::{Policy, StepsAtDepth};
use super::blocks::Blocks;
use super::meter::{Meter, Taken};
use super::requests::Requests;
use super::waiting::Waiting;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Budget of prompt tokens left to a mixed step however many sequences decode in it.
const LEAST_BUDGET: u64 = 64;

/// Steps looked ahead at most; no wait is as long.
const MOST_STEPS: f64 = 1e12;

/// Steps under way.
#[derive(Clone, Copy, Debug)]
struct Steps {
    start: f64,
    /// Seconds of each.
    period: f64,
    /// How many.
    count: u64,
    /// Whether sequences that decode gain a token with each.
    gains: bool,
    /// Whether prompts that have a place are held back.
    holds: bool,
    /// Seconds that prompts add; none where there are no prompts.
    prompts: Option<f64>,
}

impl Steps {
    const fn gain(&self) -> u64 {
        if self.gains { self.count } else { 0 }
    }

    /// When they end.
    fn until(&self) -> f64 {
        self.start + self.period * self.count as f64
    }
}

/// What a replica needs to know of the run around it.
pub(super) struct Run<'a, T> {
    pub now: f64,
    pub times: &'a T,
    pub requests: &'a mut Requests,
    pub meter: &'a mut Meter,
}

/// A replica: what it holds, and what it is at.
#[derive(Debug)]
pub(super) struct Replica {
    policy: Policy,
    slots: usize,
    /// Hands prompts on when they are computed.
    hands_over: bool,
    pub(super) is_up: bool,
    /// Counts how often steps under way were changed.
    pub(super) version: u32,
    /// Requests that came and were not looked at.
    inbox: Vec<u32>,
    waiting: Waiting,
    prompts: Prompts,
    /// Sequences that decode, by the count of tokens that ends them.
    active: BinaryHeap<Reverse<(u64, u32)>>,
    /// Tokens a sequence active from the start would have gained.
    gained: u64,
    since_look: u64,
    held: u64,
    admitted: u64,
    /// Sum over sequences that decode of the tokens in their cache, less the count.
    depth: i64,
    pub(super) blocks: Option<Blocks>,
    steps: Option<Steps>,
    /// Seconds of prompt steps since the last decode step, for those who wait meanwhile.
    stalled: f64,
}

/// What steps come to for requests.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Requests with their last token.
    pub answered: Vec<u32>,
    /// Requests whose prompts go to another pool.
    pub handed_over: Vec<u32>,
}

impl Replica {
    pub(super) fn new(policy: Policy, slots: u64, blocks: Option<Blocks>, hands_over: bool) -> Self {
        Self {
            policy,
            slots: slots.clamp(1, u64::from(u32::MAX)) as usize,
            hands_over,
            is_up: true,
            version: 0,
            inbox: Vec::new(),
            waiting: Waiting::default(),
            prompts: Prompts::new(policy.groups),
            active: BinaryHeap::new(),
            gained: 0,
            since_look: 0,
            held: 0,
            admitted: 0,
            depth: 0,
            blocks,
            steps: None,
            stalled: 0.0,
        }
    }

    /// Requests it has.
    pub(super) fn load(&self) -> usize {
        self.queued() + self.running()
    }

    fn queued(&self) -> usize {
        self.waiting.len() + self.inbox.len()
    }

    fn running(&self) -> usize {
        self.active.len() + self.prompts.begun()
    }

    /// Whether it has no steps under way.
    pub(super) const fn is_idle(&self) -> bool {
        self.steps.is_none()
    }

    /// Takes a request in. Steps under way end at the next look, if the request could begin then: when
    /// they end instead.
    pub(super) fn accept<T>(&mut self, request: u32, run: &Run<'_, T>) -> Option<f64> {
        let priority = |request: u32| run.requests.all[request as usize].priority;
        let has_slot = self.queued() + self.running() < self.slots;
        // Those before it wait for blocks.
        let has_turn = self.policy.hold > 0
            || self.waiting.first().is_none_or(|first| priority(first) < priority(request));
        self.inbox.push(request);
        let steps = self.steps.as_mut().filter(|steps| steps.prompts.is_none() && has_slot && has_turn)?;
        let passed = (run.now - steps.start) / steps.period;
        let mut until = passed.ceil().clamp(1.0, MOST_STEPS) as u64;
        // Rounding must not lead into the past.
        if steps.start + steps.period * (until as f64) < run.now {
            until += 1;
        }
        let look = (self.since_look + until).next_multiple_of(self.policy.poll.max(1)) - self.since_look;
        if look >= steps.count {
            return None;
        }
        steps.count = look;
        self.version += 1;
        Some(steps.until())
    }

    /// Begins the next steps; when they end, none if there is nothing to do.
    pub(super) fn begin<T: StepsAtDepth>(&mut self, run: &mut Run<'_, T>) -> Option<f64> {
        self.look(run);
        self.join(run);
        let nobody_put_out = self.make_room(run);
        let due = nobody_put_out && self.prompts_are_due(run);
        let steps = if due || self.prompts.begun() > 0 {
            self.prompt_step(due, run)
        } else if self.active.is_empty() {
            return None;
        } else {
            self.decode_steps(run)
        };
        self.steps = Some(steps);
        self.version += 1;
        Some(steps.until())
    }

    /// Looks for new requests if it is time to.
    fn look<T>(&mut self, run: &Run<'_, T>) {
        if self.active.is_empty() || self.since_look >= self.policy.poll {
            self.since_look = 0;
        }
        if self.since_look > 0 {
            return;
        }
        for request in self.inbox.drain(..) {
            self.waiting.push(run.requests.all[request as usize].priority, request);
        }
    }

    fn prompts_are_due<T>(&self, run: &Run<'_, T>) -> bool {
        let admissible = self.admissible(self.growth_of_a_step(), run);
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
    fn prompt_step<T: StepsAtDepth>(&mut self, admits: bool, run: &mut Run<'_, T>) -> Steps {
        let (budget, splits) = (self.budget(), self.policy.splits_prompts);
        let decoding = self.active.len();
        let growth = self.growth_of_a_step();
        self.prompts.begin(budget);
        while admits
            && self.running() + self.prompts.finished().len() < self.slots
            && self.first_fits(growth, run)
        {
            let Some(request) = self.waiting.first() else { break };
            let known = &run.requests.all[request as usize];
            if known.handed_over {
                break;
            }
            let before = self.blocks.as_ref().map_or(0, |blocks| blocks.finds(known, &run.requests.classes));
            let tokens = u64::from(known.prompt() - before);
            if !self.prompts.offer(Prompt { request, tokens, before: u64::from(before) }, budget, splits) {
                break;
            }
            self.admit(request, run);
        }
        let (tokens, attended) = self.prompts.fullest();
        let prefill = run.times.prefill_at(tokens as f64, attended);
        let gains = self.policy.mixed && decoding > 0;
        let (beside, saved) = match (self.policy.mixed, decoding) {
            (true, 0) => (0.0, 0.0),
            (true, n) => {
                let depth = self.mean_depth();
                let saved = self.policy.overlap * run.times.decode_at(1.0, depth).min(prefill);
                (run.times.decode_at(n as f64, depth), saved)
            }
            (false, _) => (self.policy.step, 0.0),
        };
        Steps {
            start: run.now,
            period: prefill + beside - saved,
            count: 1,
            gains,
            holds: false,
            prompts: Some(prefill - saved),
        }
    }

    /// Mean tokens in the cache of the sequences that decode.
    fn mean_depth(&self) -> f64 {
        let count = self.active.len().max(1) as f64;
        self.depth as f64 / count + self.gained as f64
    }

    /// Decode steps up to the next event: a sequence ends, a request is seen, a prompt was held back
    /// long enough, or blocks run out.
    fn decode_steps<T: StepsAtDepth>(&self, run: &Run<'_, T>) -> Steps {
        let depth = self.mean_depth();
        let mut count = self.active.peek().map_or(1, |Reverse((end, _))| end - self.gained);
        count = count.min(run.times.alike_from(depth));
        let holds = self.admissible(0, run) > 0;
        if holds && self.held < self.policy.hold {
            count = count.min(self.policy.hold - self.held);
        }
        if !self.inbox.is_empty() && self.waiting.len() + self.active.len() < self.slots {
            // The next look finds it.
            let look = (self.since_look + 1).next_multiple_of(self.policy.poll.max(1));
            count = count.min(look - self.since_look);
        }
        if let Some(blocks) = &self.blocks {
            count = blocks.steps(self.gained, count);
        }
        let count = count.max(1);
        let middle = depth + (count - 1) as f64 / 2.0;
        let period = run.times.decode_at(self.active.len() as f64, middle);
        Steps { start: run.now, period, count, gains: true, holds, prompts: None }
    }

    /// The steps under way are over.
    pub(super) fn end<T>(&mut self, ended: &mut Ended, run: &mut Run<'_, T>) {
        let Some(steps) = self.steps.take() else { return };
        let gain = steps.gain();
        self.measure(run.now, &steps, run.meter);
        if steps.prompts.is_some() {
            (self.since_look, self.held) = (0, 0);
        } else {
            self.since_look += steps.count;
            self.held += if steps.holds { steps.count } else { 0 };
        }
        if let Some(blocks) = self.blocks.as_mut().filter(|_| gain > 0) {
            blocks.grow(self.gained, gain);
        }
        self.gained += gain;
        while let Some(&Reverse((end, request))) = self.active.peek()
            && end <= self.gained
        {
            self.active.pop();
            self.depart(request, run);
            ended.answered.push(request);
        }
        if steps.prompts.is_some() {
            self.begin_decoding(ended, run);
        }
    }

    fn measure(&mut self, now: f64, steps: &Steps, meter: &mut Meter) {
        let (active, gain) = (self.active.len(), steps.gain());
        if gain > 0 {
            meter.gap(steps.period + self.stalled, active as u64);
            meter.gap(steps.period, active as u64 * (gain - 1));
            self.stalled = 0.0;
        } else if active > 0 {
            self.stalled += steps.period;
        }
        meter.steps(&Taken {
            from: steps.start,
            to: now,
            count: steps.count,
            decoding: active,
            tokens: active as u64 * gain,
            prompts: steps.prompts.unwrap_or(0.0),
            cache: self.blocks.as_ref().map_or(0.0, Blocks::share),
        });
    }

    /// A request that decoded leaves.
    fn depart<T>(&mut self, request: u32, run: &mut Run<'_, T>) {
        let known = &run.requests.all[request as usize];
        self.depth -= known.depth();
        if let Some(blocks) = &mut self.blocks {
            blocks.end(known);
            blocks.release(known, known.cached(self.gained), true);
        }
    }

    /// Requests whose prompts ended have their first token.
    fn begin_decoding<T>(&mut self, ended: &mut Ended, run: &mut Run<'_, T>) {
        for at in 0..self.prompts.finished().len() {
            let request = self.prompts.finished()[at];
            let known = &mut run.requests.all[request as usize];
            if known.done == 0 {
                known.first = run.now;
            }
            run.meter.token(run.now);
            if known.done + 1 < known.output && !self.hands_over {
                self.activate(request, run);
                continue;
            }
            if let Some(blocks) = &mut self.blocks {
                blocks.release(known, u64::from(known.prompt()), true);
            }
            let more = self.hands_over && known.done + 1 < known.output;
            if more { ended.handed_over.push(request) } else { ended.answered.push(request) }
        }
    }

    /// A request decodes from now on.
    fn activate<T>(&mut self, request: u32, run: &mut Run<'_, T>) {
        let known = &mut run.requests.all[request as usize];
        (known.held, known.began) = (known.prompt(), self.gained);
        self.depth += known.depth();
        if let Some(blocks) = &mut self.blocks {
            blocks.begin(known);
        }
        self.active.push(Reverse((self.gained + u64::from(known.output - known.done) - 1, request)));
    }
}
