//! What a run of equal users comes to.

use super::simulation::{Percentiles, Simulated};

/// Distribution of a time over the requests of a run, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    /// Mean.
    pub mean: f64,
    /// Half of the requests have less.
    pub median: f64,
    /// 95 of 100 requests have less.
    pub p95: f64,
}

impl Spread {
    /// Reorders `times`.
    fn over(times: &mut [f64]) -> Self {
        if times.is_empty() {
            return Self::default();
        }
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let mut below = |share: f64| {
            let rank = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len());
            *times.select_nth_unstable_by(rank - 1, f64::total_cmp).1
        };
        Self { mean, median: below(0.5), p95: below(0.95) }
    }
}

/// What the users of a simulated run saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// From sending a request to its first token, the wait for a slot included.
    pub ttft: Spread,
    /// Time per token after the first; zero where answers have one token.
    pub tpot: Spread,
    /// Mean time from sending a request to its last token, seconds.
    pub residence: f64,
    /// Output tokens per second over the whole run, with the rush at its start and the emptying
    /// batch at its end.
    pub output_rate: f64,
    /// Output tokens per second between the first answers of all users and the last request sent.
    pub steady_rate: f64,
    /// Length of the run, seconds.
    pub span: f64,
    /// Mean number of sequences that decode.
    pub batch: f64,
    /// Share of the run that prompts add to its steps; of prefill workers, in which they work.
    pub prompt_share: f64,
}

impl Outcome {
    /// Of a simulated run of so many users on one replica.
    pub(crate) fn of(run: &Simulated, users: usize) -> Self {
        let answered = run.answered();
        let tokens = |until: usize| answered[..until].iter().map(|one| u64::from(one.output)).sum::<u64>();
        let moment = |at: usize| answered[at - 1].sent + answered[at - 1].end_to_end;
        let output_rate = tokens(answered.len()) as f64 / run.span;
        let (from, to) = (users, answered.len().saturating_sub(users));
        let steady_rate = if to > from && from > 0 {
            (tokens(to) - tokens(from)) as f64 / (moment(to) - moment(from))
        } else {
            output_rate
        };
        let spread = |times: &Percentiles| Spread { mean: times.mean, median: times.p50, p95: times.p95 };
        Self {
            ttft: spread(&run.all.ttft),
            tpot: spread(&run.all.tpot),
            residence: run.all.end_to_end.mean,
            output_rate,
            steady_rate,
            span: run.span,
            batch: run.batch,
            prompt_share: run.prompt_share,
        }
    }
}

/// Keeps count while a run goes on.
#[derive(Debug)]
pub(crate) struct Tally {
    users: usize,
    requests: usize,
    ttft: Vec<f64>,
    tpot: Vec<f64>,
    residence: f64,
    tokens: u64,
    /// Times and tokens at which the steady part begins and ends.
    steady: [(f64, u64); 2],
    /// Sequences times seconds.
    decoding: f64,
    prompting: f64,
}

impl Tally {
    pub(crate) fn new(users: usize, requests: usize) -> Self {
        Self {
            users,
            requests,
            ttft: Vec::with_capacity(requests),
            tpot: Vec::with_capacity(requests),
            residence: 0.0,
            tokens: 0,
            steady: [(0.0, 0); 2],
            decoding: 0.0,
            prompting: 0.0,
        }
    }

    /// Requests answered so far.
    pub(crate) const fn answered(&self) -> usize {
        self.ttft.len()
    }

    /// `sequences` decode for some seconds.
    pub(crate) fn decodes(&mut self, sequences: usize, seconds: f64) {
        self.decoding += sequences as f64 * seconds;
    }

    /// Prompts add some seconds to the run.
    pub(crate) fn prompts(&mut self, seconds: f64) {
        self.prompting += seconds;
    }

    /// A request sent at `sent` had its first token at `first` and the last of `output` at `end`.
    pub(crate) fn answers(&mut self, sent: f64, first: f64, end: f64, output: u64) {
        self.ttft.push(first - sent);
        if output > 1 {
            self.tpot.push((end - first) / (output - 1) as f64);
        }
        self.residence += end - sent;
        self.tokens += output;
        if self.ttft.len() == self.users {
            self.steady[0] = (end, self.tokens);
        }
        if self.ttft.len() + self.users == self.requests {
            self.steady[1] = (end, self.tokens);
        }
    }

    /// The outcome of a run that ended at `span`.
    pub(crate) fn outcome(mut self, span: f64) -> Outcome {
        let output_rate = self.tokens as f64 / span;
        let [from, to] = self.steady;
        let steady = to.0 > from.0 && from.1 > 0;
        Outcome {
            residence: self.residence / self.ttft.len().max(1) as f64,
            ttft: Spread::over(&mut self.ttft),
            tpot: Spread::over(&mut self.tpot),
            output_rate,
            steady_rate: if steady { (to.1 - from.1) as f64 / (to.0 - from.0) } else { output_rate },
            span,
            batch: self.decoding / span,
            prompt_share: self.prompting / span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_count_ranks_from_below() {
        let mut times: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(Spread::over(&mut times), Spread { mean: 50.5, median: 50.0, p95: 95.0 });
        assert_eq!(Spread::over(&mut [7.0]), Spread { mean: 7.0, median: 7.0, p95: 7.0 });
        assert_eq!(Spread::over(&mut []), Spread::default());
    }
}
