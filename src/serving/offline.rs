//! Throughput when all requests are queued from the start.

use super::StepTimes;

/// Requests that nobody waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Offline {
    /// Requests in all.
    pub requests: u64,
    /// Tokens of a prompt.
    pub input: u64,
    /// Tokens of an answer.
    pub output: u64,
    /// Sequences whose whole length the cache holds.
    pub slots: u64,
    /// Groups of attention that step together.
    pub groups: u64,
    /// Sequences a group steps at most.
    pub most_per_group: u64,
    /// Prompt tokens of a step in one group.
    pub chunk: u64,
}

/// The best that a replica does with [`Offline`] requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OfflineMaximum {
    /// Output tokens per second.
    pub output_rate: f64,
    /// Full batches one after the other.
    pub waves: u64,
    /// Sequences of a batch.
    pub batch: f64,
}

/// Batches smaller than this share of the largest possible are not tried.
const LEAST_SHARE: u64 = 8;

/// The best rate over full waves of the same size: `w` waves of `C = N / w` sequences take
/// `w O decode(C)` and all prompts `N I / (chunk groups)` full steps, so the rate is `N O` over the
/// sum.
///
/// A published run has a finite number of requests, which bounds the batch of a large deployment
/// before its memory does. Smaller batches win where a step grows faster than its batch.
pub(crate) fn offline_maximum(times: &impl StepTimes, offline: &Offline) -> OfflineMaximum {
    let groups = offline.groups.max(1);
    let (requests, chunk) = (offline.requests.max(1), offline.chunk.max(1));
    let most = offline.slots.min(offline.most_per_group.saturating_mul(groups)).clamp(1, requests);
    let steps = requests as f64 * offline.input as f64 / (chunk * groups) as f64;
    let prompts = steps * times.prefill(chunk as f64);
    let tokens = requests as f64 * offline.output as f64;
    let fewest = requests.div_ceil(most);
    let of = |waves: u64| {
        let batch = requests as f64 / waves as f64;
        let decode = waves as f64 * offline.output as f64 * times.decode(batch);
        OfflineMaximum { output_rate: tokens / (decode + prompts), waves, batch }
    };
    let last = fewest.saturating_mul(LEAST_SHARE).min(requests);
    (fewest + 1..=last)
        .map(of)
        .fold(of(fewest), |best, next| if next.output_rate > best.output_rate { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Steps(fn(f64) -> f64);

    impl StepTimes for Steps {
        fn decode(&self, sequences: f64) -> f64 {
            (self.0)(sequences)
        }

        fn prefill(&self, tokens: f64) -> f64 {
            tokens * 1e-5
        }
    }

    const OFFLINE: Offline = Offline {
        requests: 1000,
        input: 1000,
        output: 100,
        slots: 300,
        groups: 1,
        most_per_group: 2048,
        chunk: 16384,
    };

    fn close(a: f64, b: f64) {
        assert!((a / b - 1.0).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn memory_bounds_the_waves() {
        // Four waves of 250 at 10 ms a step: 4 x 100 x 0.01 = 4 s; a million prompt tokens: 10 s.
        let best = offline_maximum(&Steps(|_| 0.010), &OFFLINE);
        assert_eq!(best.waves, 4);
        close(best.batch, 250.0);
        close(best.output_rate, 100_000.0 / 14.0);
    }

    #[test]
    fn requests_bound_the_batch_of_a_large_deployment() {
        // All at once over 4 groups: 1 s of decoding, 2.5 s of prompts.
        let best = offline_maximum(&Steps(|_| 0.010), &Offline { slots: 99_999, groups: 4, ..OFFLINE });
        assert_eq!(best.waves, 1);
        close(best.output_rate, 100_000.0 / 3.5);
        // A group steps 100 sequences at most: 400 in all, three waves.
        let few = Offline { slots: 99_999, groups: 4, most_per_group: 100, ..OFFLINE };
        assert_eq!(offline_maximum(&Steps(|_| 0.010), &few).waves, 3);
    }

    #[test]
    fn smaller_batches_win_where_a_step_grows_faster() {
        // A step of 10 ms up to 200 sequences and 40 ms beyond: 5 waves of 200 beat 4 of 250.
        let best = offline_maximum(&Steps(|n| if n > 200.0 { 0.040 } else { 0.010 }), &OFFLINE);
        assert_eq!(best.waves, 5);
        close(best.output_rate, 100_000.0 / 15.0);
    }
}
