//! Blocks of finished requests that stay for prompts that begin with the same tokens.

use std::collections::{BTreeMap, HashMap};

/// Whose tokens blocks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    /// What all sessions of a class begin with.
    Class(u16),
    /// What a session held after that.
    Session(u32),
}

/// Blocks of one owner, from its first token on.
#[derive(Clone, Copy, Debug)]
struct Kept {
    owner: Owner,
    blocks: u64,
}

/// What a class has in common, while requests use it.
#[derive(Clone, Copy, Debug, Default)]
struct Common {
    blocks: u64,
    users: u32,
}

/// Blocks that nobody uses, the longest unused first; those of one owner go from their end.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes {
    unused: BTreeMap<u64, Kept>,
    places: HashMap<Owner, u64>,
    stamp: u64,
    /// Blocks that nobody uses.
    pub(super) idle: u64,
    common: Vec<Common>,
}

/// What a prompt finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Blocks of the class.
    pub common: u64,
    /// Blocks of the session after those.
    pub own: u64,
}

impl Prefixes {
    pub(super) fn new(classes: usize) -> Self {
        Self { common: vec![Common::default(); classes], ..Self::default() }
    }

    pub(super) fn classes(&self) -> usize {
        self.common.len()
    }

    fn kept(&self, owner: Owner) -> u64 {
        self.places.get(&owner).and_then(|place| self.unused.get(place)).map_or(0, |kept| kept.blocks)
    }

    /// What a prompt finds that wants so many blocks of its class, and of its session after them.
    pub(super) fn find(&self, class: u16, session: u32, common: u64, own: u64) -> Found {
        let found = if common > 0 { self.in_common(class).min(common) } else { 0 };
        let own = if found == common && own > 0 { self.kept(Owner::Session(session)).min(own) } else { 0 };
        Found { common: found, own }
    }

    fn in_common(&self, class: u16) -> u64 {
        let used = self.common.get(usize::from(class)).map_or(0, |common| common.blocks);
        if used > 0 { used } else { self.kept(Owner::Class(class)) }
    }

    /// Blocks that become used when a request shares so many of its class.
    pub(super) fn newly_used(&self, class: u16, common: u64) -> u64 {
        match self.common.get(usize::from(class)) {
            Some(used) if common > 0 && used.users > 0 => common.saturating_sub(used.blocks),
            Some(_) if common > 0 => common.max(self.kept(Owner::Class(class))),
            _ => 0,
        }
    }

    /// A request uses what its class has in common and takes what its session kept. Blocks that were
    /// idle and now are not: in use, and thrown away because the session went on otherwise.
    pub(super) fn take(&mut self, class: u16, session: u32, common: u64, found: Found) -> (u64, u64) {
        let mut reused = 0;
        if common > 0 {
            let kept = self.remove(Owner::Class(class));
            reused += kept;
            let used = &mut self.common[usize::from(class)];
            used.users += 1;
            used.blocks = used.blocks.max(kept).max(common);
        }
        let own = self.remove(Owner::Session(session));
        let stays = found.own.min(own);
        (reused + stays, own - stays)
    }

    /// A request lets go of its class; blocks that nobody uses any more.
    pub(super) fn release(&mut self, class: u16) -> u64 {
        let used = &mut self.common[usize::from(class)];
        used.users -= 1;
        if used.users > 0 {
            return 0;
        }
        let blocks = std::mem::take(&mut used.blocks);
        self.keep(Owner::Class(class), blocks);
        blocks
    }

    /// Keeps what a session held.
    pub(super) fn keep_session(&mut self, session: u32, blocks: u64) {
        self.keep(Owner::Session(session), blocks);
    }

    fn keep(&mut self, owner: Owner, blocks: u64) {
        if blocks > 0 {
            self.stamp += 1;
            self.unused.insert(self.stamp, Kept { owner, blocks });
            self.places.insert(owner, self.stamp);
            self.idle += blocks;
        }
    }

    fn remove(&mut self, owner: Owner) -> u64 {
        let kept = self.places.remove(&owner).and_then(|place| self.unused.remove(&place));
        let blocks = kept.map_or(0, |kept| kept.blocks);
        self.idle -= blocks;
        blocks
    }

    /// Throws away idle blocks, those unused for longest first; all if there are fewer.
    pub(super) fn evict(&mut self, blocks: u64) {
        let mut left = blocks.min(self.idle);
        self.idle -= left;
        while left > 0
            && let Some(mut oldest) = self.unused.first_entry()
        {
            let kept = oldest.get_mut();
            let from_end = left.min(kept.blocks);
            kept.blocks -= from_end;
            left -= from_end;
            if kept.blocks == 0 {
                self.places.remove(&kept.owner);
                oldest.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first_and_from_its_end() {
        let mut prefixes = Prefixes::new(1);
        prefixes.keep_session(1, 4);
        prefixes.keep_session(2, 4);
        prefixes.evict(3);
        assert_eq!(prefixes.find(0, 1, 0, 9), Found { common: 0, own: 1 });
        assert_eq!(prefixes.find(0, 2, 0, 3), Found { common: 0, own: 3 });
        prefixes.evict(2);
        assert_eq!((prefixes.find(0, 1, 0, 9).own, prefixes.find(0, 2, 0, 9).own), (0, 3));
        assert_eq!(prefixes.idle, 3);
    }

    #[test]
    fn what_a_class_has_in_common_is_counted_once_and_outlives_its_sessions() {
        let mut prefixes = Prefixes::new(1);
        assert_eq!(prefixes.newly_used(0, 5), 5);
        assert_eq!(prefixes.take(0, 1, 5, Found::default()), (0, 0));
        assert_eq!((prefixes.newly_used(0, 5), prefixes.newly_used(0, 7)), (0, 2));
        assert_eq!(prefixes.find(0, 2, 5, 3), Found { common: 5, own: 0 });
        prefixes.take(0, 2, 5, Found { common: 5, own: 0 });
        prefixes.keep_session(1, 3);
        assert_eq!((prefixes.release(0), prefixes.idle), (0, 3));
        prefixes.keep_session(2, 2);
        assert_eq!((prefixes.release(0), prefixes.idle), (5, 10));
        // Sessions go before their class, and without it are of no use.
        prefixes.evict(6);
        assert_eq!(prefixes.find(0, 2, 5, 2), Found { common: 4, own: 0 });
    }
}
