//! The prompts of one step, by group of attention.

use std::ops::Range;

/// A prompt that takes further steps.
#[derive(Clone, Copy, Debug)]
struct Rest {
    request: usize,
    tokens: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Group {
    load: u64,
    rest: Option<Rest>,
}

/// Lays prompts out over the groups of attention, step after step.
#[derive(Debug)]
pub(crate) struct Prompts {
    groups: Vec<Group>,
    begun: usize,
    finished: Vec<usize>,
}

impl Prompts {
    pub(crate) fn new(groups: u64) -> Self {
        let groups = vec![Group::default(); groups.max(1) as usize];
        Self { groups, begun: 0, finished: Vec::new() }
    }

    /// Prompts begun in a step and not yet finished.
    pub(crate) const fn begun(&self) -> usize {
        self.begun
    }

    /// Requests whose prompts end with this step.
    pub(crate) fn finished(&self) -> &[usize] {
        &self.finished
    }

    /// Tokens of the fullest group, which all others wait for.
    pub(crate) fn fullest(&self) -> u64 {
        self.groups.iter().map(|group| group.load).max().unwrap_or(0)
    }

    /// Makes up the next step: first what earlier steps left, then requests of `queue` in order,
    /// each to the emptiest group, up to `budget` tokens in a group. Returns how many were taken.
    ///
    /// A prompt beyond the budget that may not be split goes alone in its group.
    pub(crate) fn fill(&mut self, budget: u64, splits: bool, queue: Range<usize>, tokens: &[u64]) -> usize {
        self.finished.clear();
        for group in 0..self.groups.len() {
            self.groups[group].load = 0;
            if let Some(rest) = self.groups[group].rest.take() {
                self.begun -= 1;
                self.put(group, rest, budget);
            }
        }
        let Range { start: begin, end } = queue;
        for request in queue {
            let Some(group) = self.emptiest() else { return request - begin };
            let room = budget.saturating_sub(self.groups[group].load);
            let prompt = Rest { request, tokens: tokens[request] };
            if prompt.tokens <= room || (!splits && self.groups[group].load == 0) {
                self.put(group, prompt, prompt.tokens);
            } else if splits && room > 0 {
                self.put(group, prompt, room);
            } else {
                return request - begin;
            }
        }
        end - begin
    }

    /// Gives as much of a prompt as `room` holds to a group, the rest to a later step.
    fn put(&mut self, group: usize, prompt: Rest, room: u64) {
        let piece = prompt.tokens.min(room);
        self.groups[group].load += piece;
        if piece == prompt.tokens {
            self.finished.push(prompt.request);
        } else {
            self.groups[group].rest = Some(Rest { tokens: prompt.tokens - piece, ..prompt });
            self.begun += 1;
        }
    }

    /// The group with the fewest tokens that is not in the middle of a prompt.
    fn emptiest(&self) -> Option<usize> {
        let free = self.groups.iter().enumerate().filter(|(_, group)| group.rest.is_none());
        free.min_by_key(|(_, group)| group.load).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_share_a_step_until_it_is_full_and_the_last_is_split() {
        let tokens = [400, 400, 400, 400];
        let mut prompts = Prompts::new(1);
        assert_eq!(prompts.fill(1000, true, 0..4, &tokens), 3);
        assert_eq!((prompts.fullest(), prompts.finished(), prompts.begun()), (1000, &[0, 1][..], 1));
        // 200 tokens of the third are left.
        assert_eq!(prompts.fill(1000, true, 3..4, &tokens), 1);
        assert_eq!((prompts.fullest(), prompts.finished(), prompts.begun()), (600, &[2, 3][..], 0));
    }

    #[test]
    fn whole_prompts_wait_for_the_next_step_unless_they_never_fit() {
        let mut prompts = Prompts::new(1);
        assert_eq!(prompts.fill(1000, false, 0..3, &[400; 3]), 2);
        assert_eq!(prompts.fullest(), 800);
        assert_eq!(prompts.fill(1000, false, 0..3, &[5000; 3]), 1);
        assert_eq!((prompts.fullest(), prompts.begun()), (5000, 0));
    }

    #[test]
    fn prompts_go_to_the_emptiest_group() {
        let mut prompts = Prompts::new(4);
        assert_eq!(prompts.fill(8192, true, 0..4, &[1000; 4]), 4);
        assert_eq!(prompts.fullest(), 1000);
        assert_eq!(prompts.fill(8192, true, 0..5, &[1000; 5]), 5);
        assert_eq!(prompts.fullest(), 2000);
    }
}
