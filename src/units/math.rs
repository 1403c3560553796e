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
    let mut mantissa = x;
    let mut exponent = 0.0;
    while mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    while mantissa < std::f64::consts::FRAC_1_SQRT_2 {
        mantissa *= 2.0;
        exponent -= 1.0;
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
    let mut result = sum;
    for _ in 0..(k.abs() as u32) {
        result *= if k > 0.0 { 2.0 } else { 0.5 };
    }
    result
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn agrees_with_the_platform_to_twelve_digits() {
        for x in [1e-9, 0.01, 0.5, 0.99, 1.0, 1.7, 42.0, 1e6, 3.3e15] {
            assert!((ln(x) - x.ln()).abs() <= 1e-12 * x.ln().abs().max(1.0), "ln {x}");
            assert!((pow(x, 0.37) / x.powf(0.37) - 1.0).abs() < 1e-12, "pow {x}");
        }
        for x in [-20.0, -1.0, 0.0, 0.3, 5.0, 80.0] {
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12, "exp {x}");
        }
    }
}
