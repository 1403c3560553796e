//! What a simulated run comes to.

use super::super::levels::{Level, Levels};
use super::meter::{Means, Window};
use crate::units::Seconds;

/// A request with its last token; seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Answered {
    /// Index of its class.
    pub class: u16,
    /// When it was sent.
    pub sent: f64,
    /// From sending it to its first token.
    pub ttft: f64,
    /// From sending it to its last token.
    pub end_to_end: f64,
    /// Tokens of its answer.
    pub output: u32,
}

impl Answered {
    /// Time per token after the first; none where there is but one.
    pub(crate) fn tpot(&self) -> Option<f64> {
        (self.output > 1).then(|| (self.end_to_end - self.ttft) / f64::from(self.output - 1))
    }
}

/// Distribution of a time over requests, seconds; zero where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// Mean.
    pub mean: f64,
    /// Half of the requests have no more.
    pub p50: f64,
    /// 90 of 100 requests have no more.
    pub p90: f64,
    /// 95 of 100 requests have no more.
    pub p95: f64,
    /// 99 of 100 requests have no more.
    pub p99: f64,
}

impl Percentiles {
    /// Of some times, which it reorders.
    pub(crate) fn over(times: &mut [f64]) -> Self {
        if times.is_empty() {
            return Self::default();
        }
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let count = times.len();
        let mut sorted = 0;
        let [p50, p90, p95, p99] = [0.5, 0.9, 0.95, 0.99].map(|share| {
            let rank = ((count as f64 * share).ceil() as usize).clamp(1, count) - 1;
            // What lies below the percentile before stays where it is.
            if rank > sorted || sorted == 0 {
                times[sorted..].select_nth_unstable_by(rank - sorted, f64::total_cmp);
            }
            sorted = rank;
            times[rank]
        });
        Self { mean, p50, p90, p95, p99 }
    }
}

/// The times of some requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// How many requests.
    pub requests: usize,
    /// Time to the first token.
    pub ttft: Percentiles,
    /// Time per token after the first, of one request.
    pub tpot: Percentiles,
    /// Time to the last token.
    pub end_to_end: Percentiles,
}

impl Times {
    fn of<'r, R: Iterator<Item = &'r Answered> + Clone>(requests: &R) -> Self {
        let over = |time: &dyn Fn(&Answered) -> Option<f64>| {
            Percentiles::over(&mut requests.clone().filter_map(time).collect::<Vec<_>>())
        };
        Self {
            requests: requests.clone().count(),
            ttft: over(&|request| Some(request.ttft)),
            tpot: over(&Answered::tpot),
            end_to_end: over(&|request| Some(request.end_to_end)),
        }
    }
}

/// Times between two tokens of an answer, seconds, to 1.6 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaps {
    /// Half of the tokens come no later.
    pub p50: f64,
    /// 95 of 100 do.
    pub p95: f64,
    /// 99 of 100 do: what prompts of others hold up.
    pub p99: f64,
}

/// Counts of a whole run, warm-up included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests that the cache of a replica never holds.
    pub refused: u64,
    /// Requests left when no replica came up again.
    pub left: u64,
    /// Output tokens of the answered requests.
    pub asked_tokens: u64,
    /// Output tokens computed, those lost included.
    pub computed_tokens: u64,
    /// Output tokens lost with a replica.
    pub lost_tokens: u64,
    /// Steps of all replicas.
    pub iterations: u64,
    /// Requests put out for want of blocks.
    pub preemptions: u64,
    /// Requests that began again elsewhere.
    pub restarts: u64,
    /// Blocks given to requests.
    pub blocks_allocated: u64,
    /// Blocks that became free again; all, when the caches are emptied at the end.
    pub blocks_freed: u64,
}

/// What a simulated run comes to; shares and means are of one replica, with separate pools those of prompts
/// of a worker that does them and those of decoding of one that does that. They are of the time after the
/// warm-up and until the last session starts, or a user finds no further one.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// All requests sent in it.
    pub all: Times,
    /// The same by class of the traffic.
    pub classes: Vec<Times>,
    /// Times between two tokens.
    pub gaps: Gaps,
    /// Output tokens per second of all replicas.
    pub output_rate: f64,
    /// Input tokens per second of all replicas, those found in the cache included.
    pub input_rate: f64,
    /// Share of the time in which a replica is at work.
    pub utilisation: f64,
    /// Share of the time that prompts add to steps.
    pub prompt_share: f64,
    /// Share of the cache that requests use; zero where it has no limit.
    pub cache_share: f64,
    /// Sequences that decode.
    pub batch: f64,
    /// Requests that wait, over all replicas.
    pub waiting: f64,
    /// The most that did.
    pub most_waiting: u64,
    /// Requests at the router or a replica, over all.
    pub in_flight: f64,
    /// Share of input tokens found in the cache.
    pub hit_share: f64,
    /// Length of the run, seconds.
    pub span: f64,
    /// Counts.
    pub counts: Counts,
    answered: Vec<Answered>,
    window: Window,
}

impl Simulated {
    pub(super) fn new(
        (answered, classes): (Vec<Answered>, usize),
        (span, window): (f64, Window),
        means: Means,
        (found, prompts): (u64, u64),
        counts: Counts,
    ) -> Self {
        let counted = answered.iter().filter(|request| window.holds(request.sent));
        let of_class = |class: usize| counted.clone().filter(move |one| usize::from(one.class) == class);
        let all = Times::of(&counted);
        let classes = match classes {
            1 => vec![all],
            classes => (0..classes).map(|class| Times::of(&of_class(class))).collect(),
        };
        let [p50, p95, p99] = means.gaps;
        Self {
            all,
            classes,
            gaps: Gaps { p50, p95, p99 },
            output_rate: means.output_rate,
            input_rate: means.input_rate,
            utilisation: means.busy,
            prompt_share: means.prompts,
            cache_share: means.cache,
            batch: means.decoding,
            waiting: means.waiting,
            most_waiting: means.most_waiting,
            in_flight: means.present,
            hit_share: found as f64 / prompts.max(1) as f64,
            span,
            counts,
            answered,
            window,
        }
    }

    /// The time that is counted, seconds from the start of the run.
    pub fn counted(&self) -> (f64, f64) {
        (self.window.from, self.window.to.min(self.span))
    }

    /// All requests in the order of their answers.
    pub(crate) fn answered(&self) -> &[Answered] {
        &self.answered
    }

    fn share(&self, is_good: impl Fn(&Answered) -> bool) -> f64 {
        let counted = self.answered.iter().filter(|request| self.window.holds(request.sent));
        counted.filter(|request| is_good(request)).count() as f64 / self.all.requests.max(1) as f64
    }

    /// Share of the requests that keep all times of the levels at once.
    pub fn goodput(&self, levels: &Levels) -> f64 {
        let within = |level: Option<Level>, time: f64| level.is_none_or(|l| Seconds::new(time) <= l.most_s);
        self.share(|request| {
            within(levels.ttft, request.ttft)
                && within(levels.tpot, request.tpot().unwrap_or(0.0))
                && within(levels.end_to_end, request.end_to_end)
        })
    }

    /// Whether the levels are kept: each time by its share of the requests, and all at once by that of the
    /// goodput. Requests that were never answered keep none.
    pub fn keeps(&self, levels: &Levels) -> bool {
        let kept = |level: Option<Level>, time: &dyn Fn(&Answered) -> f64| {
            level.is_none_or(|l| self.share(|request| Seconds::new(time(request)) <= l.most_s) >= l.share)
        };
        self.counts.refused + self.counts.left == 0
            && kept(levels.ttft, &|request| request.ttft)
            && kept(levels.tpot, &|request| request.tpot().unwrap_or(0.0))
            && kept(levels.end_to_end, &|request| request.end_to_end)
            && levels.goodput.is_none_or(|share| self.goodput(levels) >= share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_count_ranks_from_below() {
        let mut times: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let found = Percentiles::over(&mut times);
        assert_eq!(found, Percentiles { mean: 50.5, p50: 50.0, p90: 90.0, p95: 95.0, p99: 99.0 });
        let one = Percentiles::over(&mut [7.0]);
        assert_eq!((one.p50, one.p99, Percentiles::over(&mut []).mean), (7.0, 7.0, 0.0));
    }
}
