//! Printing: three significant digits, one unit per quantity, `–` for what is unknown.

use super::quantity::{Bandwidth, Bytes, FlopRate, Money, Seconds, TokenRate, Watts};
use std::fmt;

/// A number with three significant digits and no exponent: `0.0123`, `1.23`, `12.3`, `123`, `1230`.
///
/// ```
/// use plimsoll::units::significant;
/// assert_eq!(significant(0.012_345), "0.0123");
/// assert_eq!(significant(1230.4), "1230");
/// ```
pub fn significant(x: f64) -> String {
    if !x.is_finite() {
        return "–".to_owned();
    }
    let size = x.abs();
    let decimals = match size {
        s if s >= 99.95 || s == 0.0 => 0,
        s if s >= 9.995 => 1,
        s if s >= 0.9995 => 2,
        s if s >= 0.09995 => 3,
        s if s >= 0.009_995 => 4,
        _ => 5,
    };
    format!("{x:.decimals$}")
}

/// An amount with its thousands apart where it has five digits, else three significant digits: `1,610,000`.
pub fn grouped(amount: f64) -> String {
    if amount.is_nan() || amount < 10_000.0 || amount.is_infinite() {
        return significant(amount);
    }
    let digits = format!("{amount:.0}");
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count with a suffix of the thousands: `671 B`, `1.60 T`, `4.02 B`, `512`.
pub fn count(n: f64) -> String {
    let (scaled, suffix) = match n.abs() {
        s if s >= 0.9995e12 => (n / 1e12, " T"),
        s if s >= 0.9995e9 => (n / 1e9, " B"),
        s if s >= 0.9995e6 => (n / 1e6, " M"),
        s if s >= 1e4 => (n / 1e3, " k"),
        _ => return format!("{n:.0}"),
    };
    format!("{}{suffix}", significant(scaled))
}

/// An amount in gibibytes without the unit, for columns headed `GiB`.
pub fn gib(bytes: Bytes) -> String {
    significant(bytes.in_gib())
}

/// A number of tokens as contexts are named: `512`, `32k`, `128k`, `1M`, binary multiples.
///
/// ```
/// use plimsoll::units::tokens;
/// assert_eq!(tokens(131_072), "128k");
/// ```
pub fn tokens(n: u64) -> String {
    match n {
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{}M", n >> 20),
        n if n >= 1 << 20 => format!("{}M", significant(n as f64 / 1_048_576.0)),
        n if n >= 1024 => format!("{}k", n >> 10),
        n => n.to_string(),
    }
}

impl fmt::Display for Bytes {
    /// Binary units, as engines and drivers print them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scaled, unit) = match self.get().abs() {
            s if s >= 1_073_741_824.0 * 0.9995 => (self.in_gib(), "GiB"),
            s if s >= 1_048_576.0 * 0.9995 => (self.get() / 1_048_576.0, "MiB"),
            s if s >= 1024.0 => (self.get() / 1024.0, "KiB"),
            _ => (self.get(), "B"),
        };
        f.pad(&format!("{} {unit}", significant(scaled)))
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} GB/s", significant(self.in_gb_s())))
    }
}

impl fmt::Display for FlopRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} TFLOP/s", significant(self.in_tflops())))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scaled, unit) = match self.get().abs() {
            s if s >= 0.9995 => (self.get(), "s"),
            s if s >= 0.9995e-3 => (self.in_ms(), "ms"),
            _ => (self.in_us(), "us"),
        };
        f.pad(&format!("{} {unit}", significant(scaled)))
    }
}

impl fmt::Display for TokenRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} tok/s", significant(self.get())))
    }
}

impl fmt::Display for Watts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} W", significant(self.get())))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("${}", significant(self.get())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_significant_digits() {
        let shown: Vec<String> = [0.0123, 0.123_45, 1.234, 12.34, 123.4, 1234.0, 99.97, 0.0]
            .into_iter()
            .map(significant)
            .collect();
        assert_eq!(shown, ["0.0123", "0.123", "1.23", "12.3", "123", "1234", "100", "0"]);
    }

    #[test]
    fn one_unit_each() {
        assert_eq!(Bytes::gib(9.6246).to_string(), "9.62 GiB");
        assert_eq!(Bytes::mib(1.0).to_string(), "1.00 MiB");
        assert_eq!(Seconds::ms(11.73).to_string(), "11.7 ms");
        assert_eq!(Bandwidth::gb_s(4800.0).to_string(), "4800 GB/s");
        assert_eq!(Money::new(0.4234).to_string(), "$0.423");
        assert_eq!(count(1_572_997_201_763.0), "1.57 T");
        assert_eq!(count(131_072.0), "131 k");
    }
}
