//! Step times at powers of two.

use super::{StepTimes, StepsAtDepth};

/// Prompt tokens of the smallest step told apart; fewer take as long.
const FEWEST_TOKENS: u64 = 64;

/// Step times asked once at powers of two, with straight lines between them.
///
/// Engines capture decode graphs at such sizes, and a step changes slowly in between. Past the
/// last point the last line goes on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    decode: Doublings,
    prefill: Doublings,
}

impl Grid {
    /// Asks for decode steps up to `sequences` and prompt steps up to `tokens` per group:
    /// `log2(sequences) + log2(tokens / 64) + 2` questions, rounded up.
    pub(crate) fn new(times: &impl StepTimes, sequences: u64, tokens: u64) -> Self {
        Self {
            decode: Doublings::new(1, sequences, |n| times.decode(n)),
            prefill: Doublings::new(FEWEST_TOKENS, tokens, |n| times.prefill(n)),
        }
    }

    /// The same with every step taking so many times as long.
    #[must_use]
    pub(crate) fn slowed(&self, times: f64) -> Self {
        let slowed = |steps: &Doublings| Doublings {
            values: steps.values.iter().map(|value| value * times).collect(),
            ..*steps
        };
        Self { decode: slowed(&self.decode), prefill: slowed(&self.prefill) }
    }
}

impl StepTimes for Grid {
    fn decode(&self, sequences: f64) -> f64 {
        self.decode.at(sequences)
    }

    fn prefill(&self, tokens: f64) -> f64 {
        self.prefill.at(tokens)
    }
}

/// Cached tokens of the shallowest step told apart; the time of less deep ones goes on in a line.
const SHALLOWEST: u64 = 256;

/// Decode steps taken together deepen a sequence by at most this part, or so many tokens.
const ALIKE: (f64, f64) = (0.125, 64.0);

/// Step times asked once at powers of two of sequences or tokens and of the tokens before them, with
/// straight lines between.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DepthGrid {
    /// By depth.
    decode: Vec<Doublings>,
    /// By tokens before those of the step.
    prefill: Vec<Doublings>,
}

impl DepthGrid {
    /// Asks for decode steps up to `sequences`, prompt steps up to `tokens` per group, and depths up to
    /// `depth`: about `log2(depth / 256)` times as many questions as a [`Grid`].
    pub(crate) fn new(times: &impl StepsAtDepth, sequences: u64, tokens: u64, depth: u64) -> Self {
        let last = depth.max(2 * SHALLOWEST).next_power_of_two();
        let depths = (SHALLOWEST.ilog2()..=last.ilog2()).map(|power| (1_u64 << power) as f64);
        Self {
            decode: depths
                .clone()
                .map(|depth| Doublings::new(1, sequences, |n| times.decode_at(n, depth)))
                .collect(),
            prefill: depths
                .map(|depth| Doublings::new(FEWEST_TOKENS, tokens, |n| times.prefill_at(n, depth)))
                .collect(),
        }
    }

    fn between(rows: &[Doublings], x: f64, depth: f64) -> f64 {
        let depth = depth / SHALLOWEST as f64;
        let row = ((depth.max(1.0) as u64).ilog2() as usize).min(rows.len() - 2);
        let from = (1_u64 << row) as f64;
        let (low, high) = (rows[row].at(x), rows[row + 1].at(x));
        // Where the time falls with depth, the line would end below zero.
        (low + (high - low) * (depth - from) / from).max(low / 2.0)
    }
}

impl StepsAtDepth for DepthGrid {
    fn decode_at(&self, sequences: f64, depth: f64) -> f64 {
        Self::between(&self.decode, sequences, depth)
    }

    fn prefill_at(&self, tokens: f64, attended: f64) -> f64 {
        Self::between(&self.prefill, tokens, attended)
    }

    fn alike_from(&self, depth: f64) -> u64 {
        let (part, least) = ALIKE;
        (depth * part).max(least) as u64
    }
}

/// Values at `first`, `2 first`, `4 first`, ..; at least two, `first` a power of two.
#[derive(Clone, Debug, PartialEq)]
struct Doublings {
    first: u64,
    values: Vec<f64>,
}

impl Doublings {
    fn new(first: u64, last: u64, value: impl Fn(f64) -> f64) -> Self {
        let last = last.max(2 * first).next_power_of_two();
        let count = last.ilog2() - first.ilog2();
        Self { first, values: (0..=count).map(|power| value((first << power) as f64)).collect() }
    }

    fn at(&self, x: f64) -> f64 {
        let x = (x / self.first as f64).max(1.0);
        let piece = ((x as u64).ilog2() as usize).min(self.values.len() - 2);
        let from = (1_u64 << piece) as f64;
        let (low, high) = (self.values[piece], self.values[piece + 1]);
        low + (high - low) * (x - from) / from
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Counted(Cell<u32>);

    impl StepTimes for Counted {
        fn decode(&self, sequences: f64) -> f64 {
            self.0.set(self.0.get() + 1);
            0.01 + 1e-4 * sequences
        }

        fn prefill(&self, tokens: f64) -> f64 {
            self.0.set(self.0.get() + 1);
            tokens * tokens
        }
    }

    #[test]
    fn a_straight_line_stays_one_and_few_questions_are_asked() {
        let times = Counted(Cell::new(0));
        let grid = Grid::new(&times, 512, 16384);
        // 1, 2, .. 512 and 64, 128, .. 16384.
        assert_eq!(times.0.get(), 10 + 9);
        for n in [1.0, 1.5, 3.0, 100.0, 512.0, 700.0] {
            assert!((grid.decode(n) - (0.01 + 1e-4 * n)).abs() < 1e-12, "{n}");
        }
    }

    /// Reading a cache takes as long as it is deep.
    struct Deep;

    impl StepsAtDepth for Deep {
        fn decode_at(&self, sequences: f64, depth: f64) -> f64 {
            0.01 + 1e-8 * sequences * depth
        }

        fn prefill_at(&self, tokens: f64, attended: f64) -> f64 {
            tokens * (1e-5 + 1e-10 * attended)
        }

        fn alike_from(&self, _: f64) -> u64 {
            1
        }
    }

    #[test]
    fn what_grows_in_lines_is_met_at_any_depth() {
        let grid = DepthGrid::new(&Deep, 64, 8192, 100_000);
        for depth in [20.0, 256.0, 1000.0, 77_777.0, 200_000.0] {
            for n in [1.0, 3.0, 40.0] {
                assert!(
                    (grid.decode_at(n, depth) / Deep.decode_at(n, depth) - 1.0).abs() < 1e-9,
                    "{n} {depth}"
                );
            }
            let tokens = 777.0;
            assert!((grid.prefill_at(tokens, depth) / Deep.prefill_at(tokens, depth) - 1.0).abs() < 1e-9);
        }
        assert_eq!((grid.alike_from(100.0), grid.alike_from(80_000.0)), (64, 10_000));
    }

    #[test]
    fn points_are_kept_and_lines_run_between() {
        let grid = Grid::new(&Counted(Cell::new(0)), 1, 200);
        assert!((grid.prefill(128.0) - 128.0 * 128.0).abs() < 1e-6);
        // Half way from 64 to 128.
        assert!((grid.prefill(96.0) - f64::midpoint(64.0 * 64.0, 128.0 * 128.0)).abs() < 1e-6);
        // Below the first point and past the last one.
        assert!((grid.prefill(3.0) - 64.0 * 64.0).abs() < 1e-6);
        assert!((grid.prefill(384.0) - (256.0 * 256.0 + 128.0 * 384.0)).abs() < 1e-6);
    }
}
