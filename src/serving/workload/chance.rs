//! Chance by a named generator: splitmix64 (Steele, Lea, Flood 2014), and the variates drawn from it.
//!
//! Everything is an IEEE basic operation or one of [`math`], so that a seed gives the same bytes on
//! every platform; crates of distributions call the platform's own logarithm.

use crate::serving::lengths::chance;
use crate::units::math;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The stream of a seed; streams of the same seed with different numbers are independent.
    pub(crate) const fn new(seed: u64, stream: u64) -> Self {
        let mut state = seed;
        let mixed = chance(&mut state);
        let mut state = mixed ^ stream.wrapping_mul(0xA076_1D64_78BD_642F);
        Self(chance(&mut state))
    }

    /// A number between 0 and 1, neither of them.
    pub(crate) fn uniform(&mut self) -> f64 {
        ((chance(&mut self.0) >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0)
    }

    /// A number of a gamma distribution of mean 1 and this coefficient of variation, positive
    /// (Marsaglia, Tsang 2000; below a shape of one by a power of a uniform number).
    pub(crate) fn gamma(&mut self, cv: f64) -> f64 {
        if cv == 0.0 {
            return 1.0;
        }
        let shape = 1.0 / (cv * cv);
        let boost = if shape < 1.0 { math::pow(self.uniform(), 1.0 / shape) } else { 1.0 };
        let d = if shape < 1.0 { shape + 1.0 } else { shape } - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = normal_quantile(self.uniform());
            let root = 1.0 + c * x;
            let v = root * root * root;
            if v > 0.0 && math::ln(self.uniform()) < 0.5 * x * x + d * (1.0 - v + math::ln(v)) {
                return boost * d * v / shape;
            }
        }
    }

    /// Evenly spread numbers between 0 and 1 in an order of chance.
    pub(crate) fn strata(&mut self, count: usize) -> Vec<f64> {
        let mut spread: Vec<f64> = (0..count).map(|rank| (rank as f64 + 0.5) / count as f64).collect();
        for last in (1..count).rev() {
            spread.swap(last, (chance(&mut self.0) % (last as u64 + 1)) as usize);
        }
        spread
    }
}

/// The standard normal variate below which a share lies, by Acklam's rational approximation
/// (relative error below 1.2e-9).
pub(crate) fn normal_quantile(share: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    const TAIL: f64 = 0.024_25;
    let horner = |by: &[f64], x: f64| by.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * math::ln(p)).sqrt();
        horner(&C, q) / horner(&D, q)
    };
    match share {
        p if p < TAIL => tail(p),
        p if p > 1.0 - TAIL => -tail(1.0 - p),
        p => {
            let q = p - 0.5;
            q * horner(&A, q * q) / horner(&B, q * q)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_those_of_tables() {
        for (share, z) in [(0.5, 0.0), (0.841_344_746, 1.0), (0.95, 1.644_853_627), (0.99, 2.326_347_874)] {
            assert!((normal_quantile(share) - z).abs() < 1e-8, "{share}");
            assert!((normal_quantile(1.0 - share) + z).abs() < 1e-8, "{share}");
        }
    }

    /// Mean 1 and variance cv² of 200 000 numbers, within four standard errors.
    #[test]
    fn gamma_has_its_moments() {
        for cv in [0.5, 1.0, 2.5] {
            let mut chance = Chance::new(7, 0);
            let drawn: Vec<f64> = (0..200_000).map(|_| chance.gamma(cv)).collect();
            let mean = drawn.iter().sum::<f64>() / 2e5;
            let variance = drawn.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 2e5;
            assert!((mean - 1.0).abs() < 4.0 * cv / 2e5_f64.sqrt(), "{cv}: {mean}");
            // Kurtosis of a gamma distribution: 3 + 6 cv².
            let error = cv * cv * ((2.0 + 6.0 * cv * cv) / 2e5).sqrt();
            assert!((variance - cv * cv).abs() < 4.0 * error, "{cv}: {variance}");
        }
    }

    #[test]
    fn streams_of_a_seed_differ_and_repeat() {
        let first = |seed, stream| Chance::new(seed, stream).uniform().to_bits();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(1, 2), first(2, 2));
    }
}
