//! Requests that wait for their turn on a replica.

use std::collections::VecDeque;

/// Queues by priority, the highest first; first come, first served within one.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    levels: Vec<(u8, VecDeque<u32>)>,
    count: usize,
}

impl Waiting {
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    fn level(&mut self, priority: u8) -> &mut VecDeque<u32> {
        let found = self.levels.binary_search_by(|(level, _)| priority.cmp(level));
        let at = found.unwrap_or_else(|at| {
            self.levels.insert(at, (priority, VecDeque::new()));
            at
        });
        &mut self.levels[at].1
    }

    /// Queues behind those of its priority.
    pub(super) fn push(&mut self, priority: u8, request: u32) {
        self.count += 1;
        self.level(priority).push_back(request);
    }

    /// Queues before those of its priority.
    pub(super) fn push_front(&mut self, priority: u8, request: u32) {
        self.count += 1;
        self.level(priority).push_front(request);
    }

    /// The request whose turn it is.
    pub(super) fn first(&self) -> Option<u32> {
        self.levels.iter().find_map(|(_, queue)| queue.front().copied())
    }

    /// Takes it out.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let request = self.levels.iter_mut().find_map(|(_, queue)| queue.pop_front())?;
        self.count -= 1;
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_goes_before_age_and_the_put_out_before_their_equals() {
        let mut waiting = Waiting::default();
        for (priority, request) in [(1, 10), (0, 11), (5, 12), (1, 13)] {
            waiting.push(priority, request);
        }
        waiting.push_front(1, 14);
        assert_eq!((waiting.len(), waiting.first()), (5, Some(12)));
        let order: Vec<u32> = std::iter::from_fn(|| waiting.pop()).collect();
        assert_eq!(order, [12, 14, 10, 13, 11]);
        assert_eq!(waiting.len(), 0);
    }
}
