//! Who has a place on a replica, and who gives his up.

use super::super::super::prompts::Prompts;
use super::{Replica, Run, Steps};
use std::cmp::Reverse;

impl Replica {
    /// Requests whose prompts another pool computed take slots.
    pub(super) fn join<T>(&mut self, run: &mut Run<'_, T>) {
        while let Some(request) = self.waiting.first().filter(|r| run.requests.all[*r as usize].handed_over) {
            if self.admissible(0, run) == 0 {
                return;
            }
            self.admit(request, run);
            let known = &mut run.requests.all[request as usize];
            known.handed_over = false;
            known.first = run.now;
            self.activate(request, run);
        }
    }

    /// Requests that wait and have a place, if the first of them has.
    pub(super) fn admissible<T>(&self, growth: u64, run: &Run<'_, T>) -> usize {
        let free = self.slots.saturating_sub(self.running());
        let count = self.waiting.len().min(free);
        if count == 0 || !self.first_fits(growth, run) { 0 } else { count }
    }

    pub(super) fn first_fits<T>(&self, growth: u64, run: &Run<'_, T>) -> bool {
        let (Some(blocks), Some(first)) = (&self.blocks, self.waiting.first()) else { return true };
        let request = &run.requests.all[first as usize];
        // An empty cache holds whoever is not refused.
        let others = self.running() + self.prompts.finished().len() > 0;
        !others || blocks.fits(request, &run.requests.classes, growth)
    }

    /// Blocks that the sequences which decode need beside prompts.
    pub(super) fn growth_of_a_step(&self) -> u64 {
        self.blocks.as_ref().map_or(0, |blocks| blocks.growth(self.gained, 1))
    }

    /// Puts requests out, the least important and last admitted first, until all others can gain a token;
    /// whether none had to go.
    pub(super) fn make_room<T>(&mut self, run: &mut Run<'_, T>) -> bool {
        let mut nobody = true;
        while let Some(blocks) = &self.blocks {
            if self.active.is_empty() || self.running() == 1 || blocks.steps(self.gained, 1) > 0 {
                break;
            }
            let running = self.active.iter().map(|Reverse((_, request))| *request);
            let order = |request: &u32| {
                let known = &run.requests.all[*request as usize];
                (Reverse(known.priority), known.admitted)
            };
            let Some(last) = running.chain(self.prompts.unfinished()).max_by_key(order) else { break };
            self.put_out(last, run);
            nobody = false;
        }
        nobody
    }

    /// A request gives its blocks back and waits to be computed again.
    fn put_out<T>(&mut self, request: u32, run: &mut Run<'_, T>) {
        let known = &mut run.requests.all[request as usize];
        if self.prompts.forget(request) {
            if let Some(blocks) = &mut self.blocks {
                blocks.release(known, u64::from(known.prompt()), false);
            }
        } else {
            self.active.retain(|Reverse((_, other))| *other != request);
            self.depth -= known.depth();
            let stored = known.cached(self.gained);
            if let Some(blocks) = &mut self.blocks {
                blocks.end(known);
                blocks.release(known, stored, true);
            }
            known.done = known.tokens(self.gained) as u32;
            known.repeated = stored as u32;
        }
        run.meter.preemptions += 1;
        run.meter.waiting(run.now, 1);
        self.waiting.push_front(known.priority, request);
    }

    /// The request whose turn it is gets its blocks.
    pub(super) fn admit<T>(&mut self, request: u32, run: &mut Run<'_, T>) {
        self.waiting.pop();
        run.meter.waiting(run.now, -1);
        self.admitted += 1;
        let known = &mut run.requests.all[request as usize];
        known.admitted = self.admitted;
        let classes = &run.requests.classes;
        let found = self.blocks.as_mut().map_or(0, |blocks| blocks.admit(known, classes));
        if !known.handed_over {
            run.meter.prompt(run.now, u64::from(known.prompt()), u64::from(found));
        }
    }

    /// The replica goes down: the requests it had, in no order.
    pub(in super::super) fn fail<T>(&mut self, run: &mut Run<'_, T>) -> Vec<u32> {
        let mut had: Vec<u32> = self.prompts.unfinished().collect();
        if let Some(steps) = self.steps.take() {
            // Whole decode steps came to something, a step with prompts did not.
            had.extend(self.prompts.finished().iter().filter(|_| steps.prompts.is_some()));
            let done = ((run.now - steps.start) / steps.period).floor().min(steps.count as f64) as u64;
            let steps = Steps { count: if steps.prompts.is_some() { 0 } else { done }, ..steps };
            self.measure(run.now, &steps, run.meter);
            self.gained += steps.gain();
        }
        run.meter.waiting(run.now, -(self.queued().cast_signed() as i64));
        had.append(&mut self.inbox);
        had.extend(std::iter::from_fn(|| self.waiting.pop()));
        for request in &had {
            run.meter.lost += run.requests.all[*request as usize].finished_tokens();
        }
        for Reverse((_, request)) in self.active.drain() {
            run.meter.lost += run.requests.all[request as usize].tokens(self.gained);
            had.push(request);
        }
        self.prompts = Prompts::new(self.policy.groups);
        (self.depth, self.held, self.since_look, self.stalled) = (0, 0, 0, 0.0);
        if let Some(blocks) = &mut self.blocks {
            blocks.clear();
        }
        self.is_up = false;
        self.version += 1;
        had
    }
}
