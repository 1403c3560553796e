//! What is counted while a run goes on.

/// The part of a run that statistics are of, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub from: f64,
    pub to: f64,
}

impl Window {
    /// Whether a moment lies inside.
    pub(super) fn holds(&self, at: f64) -> bool {
        at >= self.from && at <= self.to
    }

    /// Seconds of a span that lie inside.
    fn inside(&self, from: f64, to: f64) -> f64 {
        (to.min(self.to) - from.max(self.from)).max(0.0)
    }
}

/// A number that changes, and its sum over time.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    now: i64,
    since: f64,
    area: f64,
    most: i64,
}

impl Level {
    fn change(&mut self, window: &Window, at: f64, by: i64) {
        self.area += self.now as f64 * window.inside(self.since, at);
        self.now += by;
        self.since = at;
        self.most = self.most.max(self.now);
    }
}

/// Steps that were taken on a replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub from: f64,
    pub to: f64,
    pub count: u64,
    pub decoding: usize,
    pub tokens: u64,
    /// Seconds of them that prompts add.
    pub prompts: f64,
    /// Share of the cache in use.
    pub cache: f64,
}

/// Bits of the fraction that tell times between tokens apart: 1.6 % of the time.
const GAP_BITS: u32 = 6;

/// Times between tokens of one answer, counted in classes of 1.6 %.
#[derive(Clone, Debug, Default)]
struct Gaps {
    counts: Vec<u64>,
}

/// The class of a nanosecond; shorter times are as good as none.
const SHORTEST: u64 = 1e-9_f64.to_bits() >> (52 - GAP_BITS);

impl Gaps {
    fn add(&mut self, seconds: f64, count: u64) {
        let class = (seconds.to_bits() >> (52 - GAP_BITS)).saturating_sub(SHORTEST) as usize;
        if class >= self.counts.len() {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] += count;
    }

    /// The time that a share of all gaps stays within, at the upper edge of its class.
    fn within(&self, share: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let rank = (total as f64 * share).ceil() as u64;
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += count;
            below >= rank.max(1)
        });
        found.map_or(0.0, |class| f64::from_bits((class as u64 + 1 + SHORTEST) << (52 - GAP_BITS)))
    }
}

/// Sums over a run.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    window: Window,
    gaps: Gaps,
    waiting: Level,
    present: Level,
    busy: f64,
    decoding: f64,
    prompts: f64,
    cache: f64,
    /// Tokens of answers inside the window, steps that reach over its edge in part.
    tokens_inside: f64,
    prompt_tokens_inside: f64,
    pub tokens: u64,
    pub prompt_tokens: u64,
    pub found_tokens: u64,
    pub iterations: u64,
    pub preemptions: u64,
    /// Tokens of answers that were lost with a replica.
    pub lost: u64,
}

/// Means over the window of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Means {
    pub busy: f64,
    pub decoding: f64,
    pub prompts: f64,
    pub cache: f64,
    pub waiting: f64,
    pub most_waiting: u64,
    pub present: f64,
    pub output_rate: f64,
    pub input_rate: f64,
    pub gaps: [f64; 3],
}

impl Meter {
    /// Counts no further than now, unless that was said before or is within the warm-up.
    pub(super) fn ends(&mut self, now: f64) {
        if self.window.to.is_infinite() && now > self.window.from {
            self.window.to = now;
        }
    }

    /// The time that is counted.
    pub(super) const fn window(&self) -> Window {
        self.window
    }

    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            gaps: Gaps::default(),
            waiting: Level::default(),
            present: Level::default(),
            busy: 0.0,
            decoding: 0.0,
            prompts: 0.0,
            cache: 0.0,
            tokens_inside: 0.0,
            prompt_tokens_inside: 0.0,
            tokens: 0,
            prompt_tokens: 0,
            found_tokens: 0,
            iterations: 0,
            preemptions: 0,
            lost: 0,
        }
    }

    /// Steps were taken.
    pub(super) fn steps(&mut self, taken: &Taken) {
        let inside = self.window.inside(taken.from, taken.to);
        self.busy += inside;
        self.decoding += taken.decoding as f64 * inside;
        self.cache += taken.cache * inside;
        let share = if taken.to > taken.from { inside / (taken.to - taken.from) } else { 0.0 };
        self.prompts += taken.prompts * share;
        self.tokens_inside += taken.tokens as f64 * share;
        self.tokens += taken.tokens;
        self.iterations += taken.count;
    }

    /// So many tokens came so long after the one before them.
    pub(super) fn gap(&mut self, seconds: f64, count: u64) {
        if count > 0 {
            self.gaps.add(seconds, count);
        }
    }

    /// A prompt gave a token.
    pub(super) fn token(&mut self, now: f64) {
        self.tokens += 1;
        self.tokens_inside += if now >= self.window.from && now <= self.window.to { 1.0 } else { 0.0 };
    }

    /// A prompt of so many tokens begins, of which so many were found.
    pub(super) fn prompt(&mut self, now: f64, tokens: u64, found: u64) {
        self.prompt_tokens += tokens;
        self.found_tokens += found;
        let inside = now >= self.window.from && now <= self.window.to;
        self.prompt_tokens_inside += if inside { tokens as f64 } else { 0.0 };
    }

    /// More or fewer requests wait.
    pub(super) fn waiting(&mut self, now: f64, by: i64) {
        self.waiting.change(&self.window, now, by);
    }

    /// More or fewer requests are there, waiting or served.
    pub(super) fn present(&mut self, now: f64, by: i64) {
        self.present.change(&self.window, now, by);
    }

    /// Means over a run that ended, of one of so many replicas, of which some do prompts only.
    pub(super) fn means(mut self, end: f64, replicas: usize, prefill_workers: usize) -> Means {
        self.waiting(end, 0);
        self.present(end, 0);
        let length = self.window.inside(0.0, end).max(f64::MIN_POSITIVE);
        let each = |count: usize| length * count.max(1) as f64;
        let with_prompts = if prefill_workers > 0 { prefill_workers } else { replicas };
        Means {
            busy: self.busy / each(replicas),
            decoding: self.decoding / each(replicas - prefill_workers),
            prompts: self.prompts / each(with_prompts),
            cache: self.cache / each(replicas),
            waiting: self.waiting.area / length,
            most_waiting: self.waiting.most as u64,
            present: self.present.area / length,
            output_rate: self.tokens_inside / length,
            input_rate: self.prompt_tokens_inside / length,
            gaps: [0.5, 0.95, 0.99].map(|share| self.gaps.within(share)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_told_within_two_per_cent() {
        let mut gaps = Gaps::default();
        (1..=1000).for_each(|n| gaps.add(f64::from(n) * 1e-3, 2));
        for (share, exact) in [(0.5, 0.5), (0.95, 0.95), (0.99, 0.99)] {
            let found = gaps.within(share);
            assert!(found >= exact && found < exact * 1.02, "{found} for {exact}");
        }
    }

    #[test]
    fn only_what_lies_in_the_window_counts() {
        let mut meter = Meter::new(Window { from: 10.0, to: 20.0 });
        meter.present(0.0, 4);
        // Half of it lies inside.
        meter.steps(&Taken {
            from: 5.0,
            to: 15.0,
            count: 10,
            decoding: 2,
            tokens: 20,
            prompts: 4.0,
            cache: 0.5,
        });
        meter.present(18.0, -4);
        let means = meter.means(40.0, 1, 0);
        assert_eq!((means.busy, means.decoding, means.prompts, means.cache), (0.5, 1.0, 0.2, 0.25));
        assert_eq!((means.output_rate, means.present), (1.0, 3.2));
    }
}
