//! The prompts of one step, by group of attention.

/// A prompt, or the rest of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prompt {
    /// Whose it is.
    pub request: u32,
    /// Tokens to compute.
    pub tokens: u64,
    /// Tokens before them.
    pub before: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Group {
    load: u64,
    /// Sum over the tokens of a step of those before each.
    attended: f64,
    rest: Option<Prompt>,
}

/// Lays prompts out over the groups of attention, step after step.
#[derive(Debug)]
pub(crate) struct Prompts {
    groups: Vec<Group>,
    begun: usize,
    finished: Vec<u32>,
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

    /// The requests they are of.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = u32> + '_ {
        self.groups.iter().filter_map(|group| group.rest.map(|rest| rest.request))
    }

    /// Requests whose prompts end with this step.
    pub(crate) fn finished(&self) -> &[u32] {
        &self.finished
    }

    /// Tokens of the fullest group, which all others wait for, and the mean number of tokens before one
    /// of them.
    pub(crate) fn fullest(&self) -> (u64, f64) {
        let fullest = self.groups.iter().max_by_key(|group| group.load).copied().unwrap_or_default();
        (fullest.load, fullest.attended / fullest.load.max(1) as f64)
    }

    /// Begins a step with what earlier ones left, up to `budget` tokens in a group.
    pub(crate) fn begin(&mut self, budget: u64) {
        self.finished.clear();
        for group in 0..self.groups.len() {
            (self.groups[group].load, self.groups[group].attended) = (0, 0.0);
            if let Some(rest) = self.groups[group].rest.take() {
                self.begun -= 1;
                self.put(group, rest, budget);
            }
        }
    }

    /// Adds a prompt to the emptiest group; false if the step has no place for it.
    ///
    /// A prompt beyond the budget that may not be split goes alone in its group.
    pub(crate) fn offer(&mut self, prompt: Prompt, budget: u64, splits: bool) -> bool {
        let Some(group) = self.emptiest() else { return false };
        let room = budget.saturating_sub(self.groups[group].load);
        let whole = prompt.tokens <= room || (!splits && self.groups[group].load == 0);
        if !whole && (!splits || room == 0) {
            return false;
        }
        self.put(group, prompt, if whole { prompt.tokens } else { room });
        true
    }

    /// Forgets what is left of a prompt; false if nothing is.
    pub(crate) fn forget(&mut self, request: u32) -> bool {
        let of = |group: &&mut Group| group.rest.is_some_and(|rest| rest.request == request);
        let found = self.groups.iter_mut().find(of).map(|group| group.rest.take());
        self.begun -= usize::from(found.is_some());
        found.is_some()
    }

    /// Gives as much of a prompt as `room` holds to a group, the rest to a later step.
    fn put(&mut self, group: usize, prompt: Prompt, room: u64) {
        let Prompt { request, tokens, before } = prompt;
        let piece = tokens.min(room);
        let group = &mut self.groups[group];
        group.load += piece;
        group.attended += piece as f64 * (before as f64 + piece as f64 / 2.0);
        if piece == tokens {
            self.finished.push(request);
        } else {
            group.rest = Some(Prompt { request, tokens: tokens - piece, before: before + piece });
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

    /// How many of some prompts a step takes.
    fn fill(prompts: &mut Prompts, splits: bool, tokens: &[u64]) -> usize {
        prompts.begin(1000);
        let offered = tokens.iter().zip(0..);
        offered
            .take_while(|(t, r)| prompts.offer(Prompt { request: *r, tokens: **t, before: 0 }, 1000, splits))
            .count()
    }

    #[test]
    fn prompts_share_a_step_until_it_is_full_and_the_last_is_split() {
        let mut prompts = Prompts::new(1);
        assert_eq!(fill(&mut prompts, true, &[400; 4]), 3);
        assert_eq!((prompts.fullest().0, prompts.finished(), prompts.begun()), (1000, &[0, 1][..], 1));
        // Two prompts attend to 200 tokens on average, the 200 tokens of the third to 100.
        assert!((prompts.fullest().1 - 180.0).abs() < 1e-9);
        // 200 tokens of the third are left, after 200.
        assert_eq!(fill(&mut prompts, true, &[400]), 1);
        assert_eq!((prompts.fullest().0, prompts.finished(), prompts.begun()), (600, &[2, 0][..], 0));
        assert!((prompts.fullest().1 - (200.0 * 300.0 + 400.0 * 200.0) / 600.0).abs() < 1e-9);
    }

    #[test]
    fn whole_prompts_wait_for_the_next_step_unless_they_never_fit() {
        let mut prompts = Prompts::new(1);
        assert_eq!(fill(&mut prompts, false, &[400; 3]), 2);
        assert_eq!(prompts.fullest().0, 800);
        assert_eq!(fill(&mut prompts, false, &[5000; 3]), 1);
        assert_eq!((prompts.fullest().0, prompts.begun()), (5000, 0));
    }

    #[test]
    fn prompts_go_to_the_emptiest_group_and_what_is_left_of_one_can_be_forgotten() {
        let mut prompts = Prompts::new(4);
        assert_eq!(fill(&mut prompts, true, &[300; 4]), 4);
        assert_eq!(prompts.fullest().0, 300);
        assert_eq!(fill(&mut prompts, true, &[300, 300, 300, 1200, 300]), 5);
        assert_eq!((prompts.fullest().0, prompts.begun()), (1000, 1));
        assert!(prompts.forget(3) && !prompts.forget(3));
        assert_eq!(prompts.unfinished().count(), 0);
    }
}
