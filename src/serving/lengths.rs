//! Lengths of the requests of a run.

/// How the lengths of prompts and answers differ between requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// Uniform from 0.8 to 1.0 of a nominal length, the habit of public sweeps: 11.1 % to either
    /// side of the mean. The spread is what takes requests out of step with each other.
    Uniform,
    /// All the same.
    Fixed,
}

/// Half of the width of 0.8..1.0 over its mean.
const UNIFORM_SPREAD: f64 = 0.1 / 0.9;

/// Engines that mix prompts into decode steps drift apart even at equal lengths; answers that
/// differ by a hundredth stand for what makes them drift.
const DRIFT: f64 = 0.01;

impl Lengths {
    /// Tokens of the prompts of `requests` requests.
    pub(crate) fn inputs(self, mean: u64, requests: usize) -> Vec<u64> {
        match self {
            Self::Uniform => shuffled(mean, UNIFORM_SPREAD, requests, 0x5EED),
            Self::Fixed => vec![mean.max(1); requests],
        }
    }

    /// Tokens of the answers of `requests` requests.
    pub(crate) fn outputs(self, mean: u64, requests: usize, drifts: bool) -> Vec<u64> {
        match self {
            Self::Uniform => shuffled(mean, UNIFORM_SPREAD, requests, 0xA115),
            Self::Fixed if drifts => shuffled(mean, DRIFT, requests, 0xA115),
            Self::Fixed => vec![mean.max(1); requests],
        }
    }
}

/// Evenly spread lengths around `mean` in an order of chance: the mean of a short run is right as
/// well, and no two runs differ.
fn shuffled(mean: u64, spread: f64, count: usize, seed: u64) -> Vec<u64> {
    let place = |rank: usize| 2.0 * (rank as f64 + 0.5) / count as f64 - 1.0;
    let length = |rank: usize| (mean as f64 * (1.0 + spread * place(rank))).round().max(1.0) as u64;
    let mut lengths: Vec<u64> = (0..count).map(length).collect();
    let mut state = seed;
    for last in (1..count).rev() {
        lengths.swap(last, (chance(&mut state) % (last as u64 + 1)) as usize);
    }
    lengths
}

/// The next number of the splitmix64 sequence.
pub(crate) const fn chance(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_lengths_span_the_range_and_keep_the_mean() {
        let lengths = Lengths::Uniform.inputs(900, 200);
        // 0.8 and 1.0 of nominal 1000, half a rank (0.5 tokens) inside.
        assert_eq!(lengths.iter().min(), Some(&801));
        assert_eq!(lengths.iter().max(), Some(&1000));
        let mean = lengths.iter().sum::<u64>() as f64 / 200.0;
        assert!((mean - 900.0).abs() < 1.0, "{mean}");
        assert_ne!(lengths, Lengths::Uniform.outputs(900, 200, true));
    }

    #[test]
    fn fixed_lengths_drift_only_where_asked() {
        assert_eq!(Lengths::Fixed.outputs(500, 3, false), [500; 3]);
        let drifting = Lengths::Fixed.outputs(500, 100, true);
        assert_eq!((drifting.iter().min(), drifting.iter().max()), (Some(&495), Some(&505)));
    }
}
