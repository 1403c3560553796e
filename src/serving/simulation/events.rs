//! What happens when.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Something that happens. Those of one moment happen in the order of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A replica goes down: its number in the list of failures.
    Fails(u32),
    /// A replica is up again.
    Repaired(u32),
    /// The steps of a replica end, unless they were cut short since: replica and version.
    StepsEnd(u32, u32),
    /// A request reaches the router.
    Arrives(u32),
}

#[derive(Clone, Copy, Debug)]
struct At(f64, Event);

impl Ord for At {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for At {}

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

/// Events to come, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<At>>,
}

impl Events {
    pub(super) fn push(&mut self, at: f64, event: Event) {
        self.heap.push(Reverse(At(at, event)));
    }

    /// When the next one happens.
    pub(super) fn next_at(&self) -> Option<f64> {
        self.heap.peek().map(|Reverse(At(at, _))| *at)
    }

    /// The next one, if it happens no later than `now`.
    pub(super) fn pop_until(&mut self, now: f64) -> Option<Event> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(At(_, event))| event)
    }
}
