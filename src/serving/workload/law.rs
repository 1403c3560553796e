//! Laws of chance that lengths, turns and times follow.
//!
//! Each is drawn by its quantile, so that one uniform number gives one value whatever the law.

use super::chance::normal_quantile;
use crate::units::math;
use crate::{kinds, table};

/// The 90th and 95th percentile of the standard normal distribution.
const Z90: f64 = 1.281_551_565_544_600_4;
const Z95: f64 = 1.644_853_626_951_472_2;

table! {
    /// Always the same.
    pub struct Fixed ("a fixed value") {
        /// The value.
        pub value: f64,
    }
}

table! {
    /// Each value between two as likely as the other.
    pub struct Uniform ("a uniform distribution") {
        /// Least.
        pub low: f64,
        /// Most.
        pub high: f64,
    }
}

table! {
    /// Without memory.
    pub struct Exponential ("an exponential distribution") {
        /// Mean.
        pub mean: f64,
    }
}

table! {
    /// Whose logarithm is normal: a middle and an upper percentile.
    pub struct Lognormal ("a lognormal distribution") {
        /// Half are below.
        pub median: Option<f64>,
        /// Mean.
        pub mean: Option<f64>,
        /// Nine of ten are below.
        pub p90: Option<f64>,
        /// 95 of a hundred are below.
        pub p95: Option<f64>,
    }
}

table! {
    /// Whole numbers from one on: after each, another follows by the same chance.
    pub struct Geometric ("a geometric distribution") {
        /// Mean, at least one.
        pub mean: f64,
    }
}

table! {
    /// Shares of bins, evenly spread within each; the first begins at zero.
    pub struct Histogram ("a histogram") {
        /// Upper ends of the bins, rising.
        pub upto: Vec<f64>,
        /// Share of each bin, of whatever total.
        pub share: Vec<f64>,
    }
}

kinds! {
    /// A law of chance.
    pub enum Law ("distribution") {
        /// Always the same.
        "fixed" => Fixed(Fixed),
        /// Between two values.
        "uniform" => Uniform(Uniform),
        /// Without memory.
        "exponential" => Exponential(Exponential),
        /// A long tail.
        "lognormal" => Lognormal(Lognormal),
        /// Counts.
        "geometric" => Geometric(Geometric),
        /// As counted.
        "histogram" => Histogram(Histogram),
    }
}

impl Lognormal {
    /// Mean and standard deviation of the logarithm. From mean `m` and percentile `p` of the normal
    /// quantile `z`: `ln p - ln m = z s - s²/2`, of whose two solutions the narrower is meant.
    ///
    /// # Errors
    /// Why no distribution is like that.
    pub(super) fn shape(&self) -> Result<(f64, f64), String> {
        let (z, upper) = match (self.p90, self.p95) {
            (Some(p), None) => (Z90, p),
            (None, Some(p)) => (Z95, p),
            (None, None) | (Some(_), Some(_)) => return Err("it takes one of `p90` and `p95`".to_owned()),
        };
        let (middle, name) = match (self.median, self.mean) {
            (Some(median), None) => (median, "median"),
            (None, Some(mean)) => (mean, "mean"),
            (None, None) | (Some(_), Some(_)) => {
                return Err("it takes one of `median` and `mean`".to_owned());
            }
        };
        if middle <= 0.0 || upper < middle {
            return Err(format!("the {name} {middle} must be above zero and at most the percentile {upper}"));
        }
        let ratio = math::ln(upper / middle);
        if name == "median" {
            return Ok((math::ln(middle), ratio / z));
        }
        let most = z * z / 2.0;
        if ratio > most {
            let most = math::exp(most);
            return Err(format!(
                "its percentile is at most {most:.1} times its mean, not {upper} of {middle}"
            ));
        }
        let deviation = z - (z * z - 2.0 * ratio).sqrt();
        Ok((math::ln(middle) - deviation * deviation / 2.0, deviation))
    }
}

impl Law {
    /// Why the law is none.
    pub(super) fn fault(&self) -> Option<String> {
        match self {
            Self::Fixed(_) => None,
            Self::Uniform(Uniform { low, high }) => {
                (high < low).then(|| format!("`high` of {high} is below `low` of {low}"))
            }
            Self::Exponential(Exponential { mean }) => {
                (*mean <= 0.0).then(|| "the mean must be above zero".to_owned())
            }
            Self::Lognormal(law) => law.shape().err(),
            Self::Geometric(Geometric { mean }) => {
                (*mean < 1.0).then(|| format!("the mean of {mean} is below one, the least it counts"))
            }
            Self::Histogram(Histogram { upto, share }) => {
                if upto.len() != share.len() || upto.is_empty() {
                    Some(format!("{} bins and {} shares: each bin has one", upto.len(), share.len()))
                } else if upto.windows(2).any(|pair| pair[1] <= pair[0]) || upto[0] <= 0.0 {
                    Some("the ends of the bins must rise from above zero".to_owned())
                } else {
                    (share.iter().sum::<f64>() <= 0.0).then(|| "all shares are zero".to_owned())
                }
            }
        }
    }

    /// Its mean.
    pub fn mean(&self) -> f64 {
        match self {
            Self::Fixed(law) => law.value,
            Self::Uniform(law) => f64::midpoint(law.low, law.high),
            Self::Exponential(law) => law.mean,
            Self::Geometric(law) => law.mean,
            Self::Lognormal(law) => {
                law.mean.unwrap_or_else(|| law.shape().map_or(0.0, |(mu, s)| math::exp(mu + s * s / 2.0)))
            }
            Self::Histogram(law) => {
                let low = [0.0].into_iter().chain(law.upto.iter().copied());
                let bins = low.zip(&law.upto).zip(&law.share);
                let sum: f64 = bins.map(|((low, high), share)| f64::midpoint(low, *high) * share).sum();
                sum / law.share.iter().sum::<f64>()
            }
        }
    }

    /// Its median and 95th percentile.
    pub fn percentiles(&self) -> [f64; 2] {
        let quantiles = self.quantiles();
        [0.5, 0.95].map(|share| quantiles.at(share))
    }

    /// Its quantiles, with what can be computed once computed.
    pub(crate) fn quantiles(&self) -> Quantiles {
        match self {
            Self::Fixed(law) => Quantiles::Line { from: law.value, width: 0.0 },
            Self::Uniform(law) => Quantiles::Line { from: law.low, width: law.high - law.low },
            Self::Exponential(law) => Quantiles::Exponential { mean: law.mean },
            Self::Lognormal(law) => {
                let (mean, deviation) = law.shape().unwrap_or((0.0, 0.0));
                Quantiles::Lognormal { mean, deviation }
            }
            Self::Geometric(law) => {
                Quantiles::Geometric { log_next: math::ln(1.0 - 1.0 / law.mean.max(1.0)) }
            }
            Self::Histogram(law) => {
                let total: f64 = law.share.iter().sum();
                let (mut below, mut low, mut bins) = (0.0, 0.0, Vec::new());
                for (high, share) in law.upto.iter().zip(&law.share) {
                    bins.push(Bin { below, share: share / total, low, width: high - low });
                    (below, low) = (below + share / total, *high);
                }
                bins.retain(|bin| bin.share > 0.0);
                Quantiles::Histogram(bins)
            }
        }
    }
}

/// One bin of a histogram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bin {
    below: f64,
    share: f64,
    low: f64,
    width: f64,
}

/// Quantiles of a law.
#[derive(Clone, Debug)]
pub(crate) enum Quantiles {
    /// In a straight line.
    Line { from: f64, width: f64 },
    /// Of an exponential law.
    Exponential { mean: f64 },
    /// Of a law whose logarithm has this mean and deviation.
    Lognormal { mean: f64, deviation: f64 },
    /// Of a count, by the logarithm of the chance that another follows.
    Geometric { log_next: f64 },
    /// By bins.
    Histogram(Vec<Bin>),
}

impl Quantiles {
    /// The value below which a share between 0 and 1 lies.
    pub(crate) fn at(&self, share: f64) -> f64 {
        match self {
            Self::Line { from, width } => from + width * share,
            Self::Exponential { mean } => -mean * math::ln(1.0 - share),
            Self::Lognormal { mean, deviation } => math::exp(mean + deviation * normal_quantile(share)),
            // A mean of one has a chance of zero, whose logarithm is minus infinity.
            Self::Geometric { log_next } => (math::ln(1.0 - share) / log_next).ceil().max(1.0),
            Self::Histogram(bins) => {
                let bin = bins.iter().rev().find(|bin| bin.below <= share).or(bins.first());
                bin.map_or(0.0, |bin| bin.low + bin.width * ((share - bin.below) / bin.share).clamp(0.0, 1.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::Chance;
    use super::*;
    use proptest::prelude::*;

    fn lognormal(median: Option<f64>, mean: Option<f64>, p95: f64) -> Law {
        Law::Lognormal(Lognormal { median, mean, p90: None, p95: Some(p95) })
    }

    fn laws() -> Vec<Law> {
        vec![
            Law::Fixed(Fixed { value: 512.0 }),
            Law::Uniform(Uniform { low: 100.0, high: 300.0 }),
            Law::Exponential(Exponential { mean: 40.0 }),
            lognormal(Some(1000.0), None, 5000.0),
            lognormal(None, Some(1000.0), 3000.0),
            Law::Geometric(Geometric { mean: 4.0 }),
            Law::Geometric(Geometric { mean: 1.0 }),
            Law::Histogram(Histogram { upto: vec![10.0, 50.0, 90.0], share: vec![1.0, 0.0, 3.0] }),
        ]
    }

    /// Worked by hand: of a histogram, (5·1 + 70·3) / 4 = 53.75; of a lognormal of median 1000 and 95th
    /// percentile 5000, s = ln 5 / 1.644854 = 0.978467 and the mean 1000 · e^(s²/2) = 1614.0.
    #[test]
    fn means_and_percentiles_worked_by_hand() {
        assert!((laws()[7].mean() - 53.75).abs() < 1e-12);
        assert!((laws()[3].mean() - 1614.0).abs() < 0.1, "{}", laws()[3].mean());
        let quantiles = laws()[3].quantiles();
        assert!((quantiles.at(0.5) - 1000.0).abs() < 1e-6 && (quantiles.at(0.95) - 5000.0).abs() < 1e-4);
        // By its mean: the 95th percentile holds, and the median is below the mean.
        let quantiles = laws()[4].quantiles();
        assert!((quantiles.at(0.95) - 3000.0).abs() < 1e-4 && quantiles.at(0.5) < 1000.0);
        // Of mean 4, another follows by 3/4: more than two turns by 9/16.
        let turns = laws()[5].quantiles();
        assert_eq!((turns.at(0.2), turns.at(0.43), turns.at(0.44)), (1.0, 2.0, 3.0));
        // A quarter lies in the first bin, the rest in the last.
        let bins = laws()[7].quantiles();
        assert_eq!((bins.at(0.125), bins.at(0.625)), (5.0, 70.0));
    }

    /// What is drawn has the mean of its law and keeps its percentiles.
    #[test]
    fn draws_follow_their_law() {
        for law in laws() {
            let (quantiles, mut chance) = (law.quantiles(), Chance::new(3, 1));
            let mut drawn: Vec<f64> = (0..100_000).map(|_| quantiles.at(chance.uniform())).collect();
            let mean = drawn.iter().sum::<f64>() / 1e5;
            assert!((mean / law.mean() - 1.0).abs() < 0.02, "{law:?}: {mean}");
            drawn.sort_by(f64::total_cmp);
            for share in [0.1, 0.5, 0.95] {
                let (found, want) = (drawn[(share * 1e5) as usize], quantiles.at(share));
                assert!((found / want - 1.0).abs() < 0.05, "{law:?} at {share}: {found}, {want}");
            }
        }
    }

    #[test]
    fn laws_that_are_none_say_why() {
        let told = |law: Law| law.fault().expect("a fault");
        assert!(told(lognormal(Some(10.0), Some(11.0), 90.0)).contains("one of `median` and `mean`"));
        assert!(told(lognormal(Some(100.0), None, 90.0)).contains("at most the percentile"));
        assert!(told(lognormal(None, Some(100.0), 900.0)).contains("3.9 times its mean"));
        assert!(told(Law::Uniform(Uniform { low: 2.0, high: 1.0 })).contains("below"));
        assert!(told(Law::Geometric(Geometric { mean: 0.5 })).contains("below one"));
        let bins = |upto: &[f64], share: &[f64]| {
            Law::Histogram(Histogram { upto: upto.to_vec(), share: share.to_vec() })
        };
        assert!(told(bins(&[1.0, 2.0], &[1.0])).contains("each bin has one"));
        assert!(told(bins(&[2.0, 1.0], &[1.0, 1.0])).contains("rise"));
        assert!(told(bins(&[1.0], &[0.0])).contains("zero"));
    }

    proptest! {
        #[test]
        fn quantiles_rise(a in 1e-6..1.0_f64, b in 1e-6..1.0_f64) {
            for law in laws() {
                let quantiles = law.quantiles();
                prop_assert!(quantiles.at(a.min(b)) <= quantiles.at(a.max(b)) + 1e-9, "{law:?}");
            }
        }
    }
}
