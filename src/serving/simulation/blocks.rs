//! The cache of a replica in blocks.

use super::super::traffic::Class;
use super::config::{Cache, Reserve};
use super::prefixes::{Found, Prefixes};
use super::requests::Request;

/// Blocks in use, kept and free. Sequences that decode gain tokens together, so that what they will
/// need is known from the places at which they reach the end of a block.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    block: u64,
    total: u64,
    whole: bool,
    /// Blocks of requests that run.
    used: u64,
    /// Sequences that need a block when the count of tokens has this rest by the size of a block.
    needing: Vec<u32>,
    growing: u64,
    prefixes: Option<Prefixes>,
    pub(super) allocated: u64,
    pub(super) freed: u64,
}

/// Of the blocks, one in so many stays free where others run, so that those who run can grow.
const SPARE: u64 = 100;

impl Blocks {
    pub(super) fn new(cache: &Cache, classes: usize) -> Self {
        let block = u64::from(cache.block.max(1));
        Self {
            block,
            total: cache.blocks,
            whole: cache.reserve == Reserve::Whole,
            used: 0,
            needing: vec![0; block as usize],
            growing: 0,
            prefixes: cache.prefixes.then(|| Prefixes::new(classes.max(1))),
            allocated: 0,
            freed: 0,
        }
    }

    /// Whether the cache holds such a request at all.
    pub(super) fn holds(&self, request: &Request) -> bool {
        u64::from(request.input + request.output).div_ceil(self.block) <= self.total
    }

    /// Share of the blocks that requests use.
    pub(super) fn share(&self) -> f64 {
        self.used as f64 / self.total.max(1) as f64
    }

    /// Blocks a request shares with its class, and blocks of its own.
    fn wanted(&self, request: &Request, classes: &[Class]) -> (u64, u64) {
        let common = match (&self.prefixes, classes.get(usize::from(request.class))) {
            (Some(_), Some(class)) => u64::from(class.common.min(request.input)) / self.block,
            _ => 0,
        };
        let tokens = if self.whole { request.input + request.output } else { request.prompt() };
        (common, u64::from(tokens).div_ceil(self.block) - common)
    }

    /// What its prompt finds in the cache.
    fn found(&self, request: &Request, common: u64) -> Found {
        let Some(prefixes) = &self.prefixes else { return Found::default() };
        let own = (u64::from(request.repeated) / self.block).saturating_sub(common);
        prefixes.find(request.class, request.session, common, own)
    }

    /// Whether there is room for a request beside others, who grow by so many blocks and have a spare.
    pub(super) fn fits(&self, request: &Request, classes: &[Class], growth: u64) -> bool {
        let (common, own) = self.wanted(request, classes);
        let more = self.prefixes.as_ref().map_or(0, |prefixes| prefixes.newly_used(request.class, common));
        let spare = if self.whole { 0 } else { self.total / SPARE };
        self.used + own + more + growth + spare <= self.total
    }

    /// Tokens of its prompt that a request finds.
    pub(super) fn finds(&self, request: &Request, classes: &[Class]) -> u32 {
        let (common, _) = self.wanted(request, classes);
        self.hit(request, self.found(request, common))
    }

    fn hit(&self, request: &Request, found: Found) -> u32 {
        // At least the last token is computed, and with it its block.
        let most = u64::from(request.prompt() - 1) / self.block;
        ((found.common + found.own).min(most) * self.block) as u32
    }

    /// Gives a request its blocks; the tokens of its prompt that it finds there.
    pub(super) fn admit(&mut self, request: &mut Request, classes: &[Class]) -> u32 {
        let (common, own) = self.wanted(request, classes);
        let found = self.found(request, common);
        let mut used = own;
        let (mut reused, mut thrown) = (0, 0);
        if let Some(prefixes) = &mut self.prefixes {
            used += prefixes.newly_used(request.class, common);
            (reused, thrown) = prefixes.take(request.class, request.session, common, found);
        }
        request.shared = common as u32;
        self.used += used;
        self.freed += thrown;
        self.allocated += used - reused.min(used);
        self.evict();
        self.hit(request, found)
    }

    /// Throws kept blocks away where those in use need their place.
    fn evict(&mut self) {
        if let Some(prefixes) = &mut self.prefixes {
            let over = (self.used + prefixes.idle).saturating_sub(self.total);
            if over > 0 {
                self.freed += over.min(prefixes.idle);
                prefixes.evict(over);
            }
        }
    }

    /// When, by the count of tokens, a sequence needs its next block, modulo the size of a block.
    fn place(&self, request: &Request) -> usize {
        let block = self.block;
        ((request.began % block + block - u64::from(request.held) % block) % block) as usize
    }

    /// A request begins to decode.
    pub(super) fn begin(&mut self, request: &Request) {
        if !self.whole {
            let place = self.place(request);
            self.needing[place] += 1;
            self.growing += 1;
        }
    }

    /// It no longer does.
    pub(super) fn end(&mut self, request: &Request) {
        if !self.whole {
            let place = self.place(request);
            self.needing[place] -= 1;
            self.growing -= 1;
        }
    }

    /// Blocks that `steps` steps from a count of tokens on need.
    pub(super) fn growth(&self, gained: u64, steps: u64) -> u64 {
        if self.growing == 0 {
            return 0;
        }
        let rest = gained..gained + steps % self.block;
        let partial: u64 = rest.map(|at| u64::from(self.needing[(at % self.block) as usize])).sum();
        steps / self.block * self.growing + partial
    }

    /// Steps there is room for.
    pub(super) fn steps(&self, gained: u64, most: u64) -> u64 {
        let free = self.total.saturating_sub(self.used);
        if self.growing == 0 || most.div_ceil(self.block) * self.growing <= free {
            return most;
        }
        let rounds = free / self.growing;
        let mut left = free % self.growing;
        let mut steps = rounds * self.block;
        while steps < most {
            let need = u64::from(self.needing[((gained + steps) % self.block) as usize]);
            if need > left {
                break;
            }
            left -= need;
            steps += 1;
        }
        steps.min(most)
    }

    /// Sequences gain tokens.
    pub(super) fn grow(&mut self, gained: u64, steps: u64) {
        let blocks = self.growth(gained, steps);
        self.used += blocks;
        self.allocated += blocks;
        self.evict();
    }

    /// Takes back the blocks of a request that has `stored` tokens computed, and keeps full ones.
    pub(super) fn release(&mut self, request: &Request, stored: u64, keeps: bool) {
        let shared = u64::from(request.shared);
        let tokens = if self.whole { u64::from(request.input + request.output) } else { stored };
        let own = tokens.div_ceil(self.block) - shared;
        self.used -= own;
        let mut kept = 0;
        if let Some(prefixes) = &mut self.prefixes {
            if keeps {
                kept = (stored / self.block).saturating_sub(shared).min(own);
                prefixes.keep_session(request.session, kept);
            }
            if shared > 0 {
                self.used -= prefixes.release(request.class);
            }
        }
        self.freed += own - kept;
    }

    /// Everything is lost, or over.
    pub(super) fn clear(&mut self) {
        if let Some(prefixes) = &mut self.prefixes {
            self.freed += prefixes.idle;
            *prefixes = Prefixes::new(prefixes.classes());
        }
        self.freed += self.used;
        self.used = 0;
        self.needing.fill(0);
        self.growing = 0;
    }

    /// Blocks of requests that run.
    pub(super) const fn used(&self) -> u64 {
        self.used
    }
}
