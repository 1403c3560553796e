//! Transcendental functions in one place, so that every platform gives the same bytes.
//!
//! The standard library hands these to the platform's C library, whose last digit differs. The
//! versions here use only IEEE basic operations and are accurate to about one part in 10^13, far
//! below the uncertainty of any figure they enter.

/// Natural logarithm by range reduction to `[1/sqrt2, sqrt2)` and the artanh series.
///
/// Returns NaN for negative input and negative infinity for zero.
pub fn ln(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_infinite() {
        return x;
    }
    let (mut mantissa, mut exponent) = split(x);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let t2 = t * t;
    let (mut term, mut sum, mut n) = (t, 0.0, 1.0);
    while term.abs() > 1e-18 {
        sum += term / n;
        term *= t2;
        n += 2.0;
    }
    2.0 * sum + exponent * std::f64::consts::LN_2
}

/// Exponential function by reduction to `|r| <= ln2 / 2` and its Taylor series.
pub fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > 709.0 {
        return f64::INFINITY;
    }
    if x < -745.0 {
        return 0.0;
    }
    let k = (x / std::f64::consts::LN_2).round();
    let r = x - k * std::f64::consts::LN_2;
    let (mut term, mut sum, mut n) = (1.0, 1.0, 1.0);
    while f64::abs(term) > 1e-18 {
        term *= r / n;
        sum += term;
        n += 1.0;
    }
    // In two steps, as the smallest results are below the smallest power that has all its digits.
    let half = (k / 2.0).trunc();
    sum * power_of_two(half) * power_of_two(k - half)
}

/// A finite positive number as `m * 2^e`, `m` in `[1, 2)`.
fn split(x: f64) -> (f64, f64) {
    const FRACTION: u64 = (1 << 52) - 1;
    if x < f64::MIN_POSITIVE {
        let (mantissa, exponent) = split(x * power_of_two(64.0));
        return (mantissa, exponent - 64.0);
    }
    let bits = x.to_bits();
    (f64::from_bits(bits & FRACTION | 1.0_f64.to_bits()), (bits >> 52) as f64 - 1023.0)
}

/// `2^n` for whole `n` from -1022 to 1023.
fn power_of_two(n: f64) -> f64 {
    f64::from_bits(((n + 1023.0) as u64) << 52)
}

/// `base` raised to `power`; zero for a zero base and a positive power.
pub fn pow(base: f64, power: f64) -> f64 {
    if power == 0.0 {
        1.0
    } else if base == 0.0 {
        0.0
    } else {
        exp(power * ln(base))
    }
}

/// The value that a normal variable of mean 0 and deviation 1 stays below with probability `share`.
///
/// Rational approximation of P. J. Acklam (2003), relative error below 1.2e-9; NaN outside `(0, 1)`.
pub fn normal_quantile(share: f64) -> f64 {
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
    /// Where the tail begins.
    const TAIL: f64 = 0.024_25;
    let polynomial = |terms: &[f64], x: f64| terms.iter().fold(0.0, |sum, term| sum * x + term);
    if !(share > 0.0 && share < 1.0) {
        return f64::NAN;
    }
    if share > 0.5 {
        return -normal_quantile(1.0 - share);
    }
    if share < TAIL {
        let x = (-2.0 * ln(share)).sqrt();
        return polynomial(&C, x) / polynomial(&D, x);
    }
    let x = share - 0.5;
    polynomial(&A, x * x) * x / polynomial(&B, x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal_distribution() {
        // From tables: 90, 95, 97.5 and 99.9 %.
        for (share, value) in
            [(0.5, 0.0), (0.9, 1.281_551_6), (0.95, 1.644_853_6), (0.975, 1.959_964), (0.999, 3.090_232_3)]
        {
            assert!((normal_quantile(share) - value).abs() < 1e-6, "{share}");
            assert!((normal_quantile(1.0 - share) + value).abs() < 1e-6, "{share}");
        }
        assert!(normal_quantile(0.0).is_nan());
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn agrees_with_the_platform_to_twelve_digits() {
        for x in [5e-324, 1e-310, 1e-9, 0.01, 0.5, 0.99, 1.0, 1.7, 42.0, 1e6, 3.3e15, 1.7e308] {
            assert!((ln(x) - x.ln()).abs() <= 1e-12 * x.ln().abs().max(1.0), "ln {x}");
            assert!((pow(x, 0.37) / x.powf(0.37) - 1.0).abs() < 1e-12, "pow {x}");
        }
        for x in [-700.0, -20.0, -1.0, 0.0, 0.3, 5.0, 80.0, 709.0] {
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12, "exp {x}");
        }
    }
}
