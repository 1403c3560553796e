//! Parsing quantities a person writes: `24 GiB`, `141GB`, `4.8 TB/s`, `750B`, `128k`.

use super::quantity::{Bandwidth, Bytes, Seconds};
use thiserror::Error;

/// Why a text is not the quantity it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnitError {
    /// No leading number.
    #[error("`{0}` does not start with a number")]
    NoNumber(String),
    /// A number without a unit where the unit decides the meaning.
    #[error("`{text}` has no unit; write {expected}")]
    NoUnit {
        /// What was written.
        text: String,
        /// What could have been written.
        expected: &'static str,
    },
    /// A unit nobody knows.
    #[error("unknown unit `{unit}`; expected {expected}")]
    UnknownUnit {
        /// The unit written.
        unit: String,
        /// The units known here.
        expected: &'static str,
    },
    /// Below zero.
    #[error("`{0}` is negative")]
    Negative(String),
    /// Not finite or beyond anything that exists.
    #[error("`{0}` is out of range")]
    OutOfRange(String),
}

/// Splits `12.5 GiB` into number and unit.
fn split(text: &str) -> Result<(f64, &str), UnitError> {
    let text = text.trim();
    let end = text
        .char_indices()
        .find(|(i, c)| {
            let exponent = matches!(c, 'e' | 'E')
                && text[i + 1..].starts_with(|d: char| d.is_ascii_digit() || d == '-' || d == '+');
            !(c.is_ascii_digit()
                || matches!(c, '.' | '_')
                || exponent
                || (matches!(c, '-' | '+') && (*i == 0 || matches!(text.as_bytes()[i - 1], b'e' | b'E'))))
        })
        .map_or(text.len(), |(i, _)| i);
    let number: f64 =
        text[..end].replace('_', "").parse().map_err(|_| UnitError::NoNumber(text.to_owned()))?;
    if number < 0.0 {
        return Err(UnitError::Negative(text.to_owned()));
    }
    if !number.is_finite() {
        return Err(UnitError::OutOfRange(text.to_owned()));
    }
    Ok((number, text[end..].trim()))
}

const BYTE_UNITS: &str = "a size such as \"24 GiB\" (2^30) or \"24 GB\" (10^9)";

/// Parses an amount of memory. Decimal and binary units are different things and both accepted.
///
/// # Errors
/// When number or unit cannot be read, or the amount exceeds 10^18 bytes.
///
/// ```
/// use plimsoll::units::{Bytes, parse_bytes};
/// assert_eq!(parse_bytes("24 GiB").unwrap(), Bytes::gib(24.0));
/// assert_eq!(parse_bytes("141GB").unwrap(), Bytes::gb(141.0));
/// assert!(parse_bytes("24").is_err());
/// ```
pub fn parse_bytes(text: &str) -> Result<Bytes, UnitError> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "PB" => 1e15,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        "" => return Err(UnitError::NoUnit { text: text.trim().to_owned(), expected: BYTE_UNITS }),
        _ => return Err(UnitError::UnknownUnit { unit: unit.to_owned(), expected: BYTE_UNITS }),
    };
    let bytes = number * scale;
    if bytes > 1e18 {
        return Err(UnitError::OutOfRange(text.trim().to_owned()));
    }
    Ok(Bytes::new(bytes))
}

const RATE_UNITS: &str = "a rate such as \"64 GB/s\" or \"400 Gb/s\"";

/// Parses bytes or bits per second: `4.8 TB/s`, `400 Gb/s`.
///
/// # Errors
/// When number or unit cannot be read, or the rate exceeds 10^18 bytes per second.
///
/// ```
/// use plimsoll::units::{Bandwidth, parse_rate};
/// assert_eq!(parse_rate("400 Gb/s"), Ok(Bandwidth::gb_s(50.0)));
/// ```
pub fn parse_rate(text: &str) -> Result<Bandwidth, UnitError> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "MB/s" => 1e6,
        "GB/s" => 1e9,
        "TB/s" => 1e12,
        "MiB/s" => 1_048_576.0,
        "GiB/s" => 1_073_741_824.0,
        "Mb/s" => 1e6 / 8.0,
        "Gb/s" => 1e9 / 8.0,
        "Tb/s" => 1e12 / 8.0,
        "" => return Err(UnitError::NoUnit { text: text.trim().to_owned(), expected: RATE_UNITS }),
        _ => return Err(UnitError::UnknownUnit { unit: unit.to_owned(), expected: RATE_UNITS }),
    };
    let rate = number * scale;
    if rate > 1e18 {
        return Err(UnitError::OutOfRange(text.trim().to_owned()));
    }
    Ok(Bandwidth::new(rate))
}

/// Parses a number of tokens; `k` and `M` are binary, as contexts are named: `32k` = 32768.
///
/// # Errors
/// When number or suffix cannot be read, or the count exceeds 10^15.
///
/// ```
/// use plimsoll::units::parse_tokens;
/// assert_eq!(parse_tokens("32k"), Ok(32_768));
/// assert_eq!(parse_tokens("32000"), Ok(32_000));
/// ```
pub fn parse_tokens(text: &str) -> Result<u64, UnitError> {
    let trimmed = text.trim();
    let (digits, factor) = match trimmed.char_indices().last() {
        Some((i, 'k' | 'K')) => (&trimmed[..i], 1024.0),
        Some((i, 'm' | 'M')) => (&trimmed[..i], 1_048_576.0),
        Some(_) | None => (trimmed, 1.0),
    };
    if factor > 1.0 && digits.ends_with(char::is_alphabetic) {
        return Err(UnitError::UnknownUnit {
            unit: trimmed.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').to_owned(),
            expected: "k or M",
        });
    }
    let count = parse_count(digits)? * factor;
    if count > 1e15 {
        return Err(UnitError::OutOfRange(trimmed.to_owned()));
    }
    Ok(count as u64)
}

/// What a time is written as.
const TIME_UNITS: &str = "a time such as 40ms, 3s or 2min";

/// Parses a time with its unit: `40ms`, `3 s`, `2min`, `1h`.
///
/// # Errors
/// When number or unit cannot be read, or the time exceeds 10^9 seconds.
///
/// ```
/// use plimsoll::units::{Seconds, parse_seconds};
/// assert_eq!(parse_seconds("40ms"), Ok(Seconds::ms(40.0)));
/// assert!(parse_seconds("40").is_err());
/// ```
pub fn parse_seconds(text: &str) -> Result<Seconds, UnitError> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "" => return Err(UnitError::NoUnit { text: text.trim().to_owned(), expected: TIME_UNITS }),
        _ => return Err(UnitError::UnknownUnit { unit: unit.to_owned(), expected: TIME_UNITS }),
    };
    if number * scale > 1e9 {
        return Err(UnitError::OutOfRange(text.trim().to_owned()));
    }
    Ok(Seconds::new(number * scale))
}

/// Parses a count of parameters or tokens with an optional decimal suffix: `750B`, `1.6T`, `128k`.
///
/// # Errors
/// When number or suffix cannot be read, or the count exceeds 10^15.
///
/// ```
/// use plimsoll::units::parse_count;
/// assert_eq!(parse_count("1.6T"), Ok(1.6e12));
/// ```
pub fn parse_count(text: &str) -> Result<f64, UnitError> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" | "m" => 1e6,
        "B" | "b" | "G" => 1e9,
        "T" | "t" => 1e12,
        _ => {
            return Err(UnitError::UnknownUnit {
                unit: unit.to_owned(),
                expected: "a count such as 40B, 1.6T or 128k",
            });
        }
    };
    let count = number * scale;
    if count > 1e15 {
        return Err(UnitError::OutOfRange(text.trim().to_owned()));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp, reason = "whole numbers are exact")]
    fn decimal_and_binary_stay_apart() {
        assert_eq!(parse_bytes("80 GB").unwrap(), Bytes::gb(80.0));
        assert_eq!(parse_bytes("81559 MiB").unwrap(), Bytes::mib(81559.0));
        assert_eq!(parse_rate("400 Gb/s").unwrap(), Bandwidth::gb_s(50.0));
        assert!((parse_count("1.6T").unwrap() - 1.6e12).abs() < 1.0);
    }

    #[test]
    fn refuses_what_it_cannot_know() {
        assert!(matches!(parse_bytes("24"), Err(UnitError::NoUnit { .. })));
        assert!(matches!(parse_bytes("24 gigs"), Err(UnitError::UnknownUnit { .. })));
        assert!(matches!(parse_bytes("-3 GB"), Err(UnitError::Negative(_))));
        assert!(matches!(parse_tokens("999999999999999M"), Err(UnitError::OutOfRange(_))));
        assert!(matches!(parse_bytes("1e30 GB"), Err(UnitError::OutOfRange(_))));
        assert!(matches!(parse_bytes("much"), Err(UnitError::NoNumber(_))));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = (parse_bytes(&text), parse_rate(&text), parse_count(&text));
        }
    }
}
