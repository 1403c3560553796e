//! Times of a trace: seconds, or dates, each file in one form.

/// How a file tells the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// From the start of the trace.
    Relative,
    /// From the beginning of 1970, in a unit told by its size.
    Epoch(Unit),
    /// Date and time of day.
    Date,
}

/// Unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    const ALL: [Self; 4] = [Self::Seconds, Self::Millis, Self::Micros, Self::Nanos];

    /// Seconds of one.
    pub(super) const fn seconds(self) -> f64 {
        match self {
            Self::Seconds => 1.0,
            Self::Millis => 1e-3,
            Self::Micros => 1e-6,
            Self::Nanos => 1e-9,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Millis => "milliseconds",
            Self::Micros => "microseconds",
            Self::Nanos => "nanoseconds",
        }
    }
}

impl Form {
    pub(super) fn word(self) -> String {
        match self {
            Self::Relative => "seconds from the start".to_owned(),
            Self::Epoch(unit) => format!("{} since 1970", unit.word()),
            Self::Date => "dates".to_owned(),
        }
    }
}

/// From September 2001, in seconds since 1970; no trace runs that long from its own start.
const EARLIEST_EPOCH: f64 = 1e9;
/// Until the year 2128.
const LATEST_EPOCH: f64 = 5e9;

/// Seconds and the form they are told in: from the start of the trace, or from 1970. A number beyond
/// any run is from 1970 in the unit in which it falls into this age, unless the unit is stated.
pub(super) fn moment(text: &str, stated: Option<Unit>) -> Option<(f64, Form)> {
    let Ok(number) = text.parse::<f64>() else { return date(text).map(|seconds| (seconds, Form::Date)) };
    if !number.is_finite() {
        return None;
    }
    let now = |unit: &Unit| (EARLIEST_EPOCH..LATEST_EPOCH).contains(&(number * unit.seconds()));
    let found = Unit::ALL.into_iter().filter(|unit| stated.is_none_or(|stated| stated == *unit)).find(now);
    Some(match found {
        Some(unit) => (number * unit.seconds(), Form::Epoch(unit)),
        None => (number * stated.unwrap_or(Unit::Seconds).seconds(), Form::Relative),
    })
}

/// Seconds since 1970 of `2023-11-16 18:17:03.97`, with `T` between and a zone behind, if any.
fn date(text: &str) -> Option<f64> {
    let (day, time) = text.split_once(['T', ' '])?;
    let mut parts = day.split('-').map(str::parse::<i64>);
    let mut part = || parts.next()?.ok();
    let (year, month, date) = (part()?, part()?, part()?);
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let mut clock = clock.trim().split(':');
    let hours: f64 = clock.next()?.parse().ok()?;
    let minutes: f64 = clock.next()?.parse().ok()?;
    let seconds: f64 = clock.next().map_or(Some(0.0), |text| text.parse().ok())?;
    let sane = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&date)
        && (1970..=9999).contains(&year)
        && (0.0..24.0).contains(&hours)
        && (0.0..60.0).contains(&minutes)
        // A leap second is the sixty-first.
        && (0.0..61.0).contains(&seconds)
        && clock.next().is_none();
    let days = days_since_1970(year, month, date);
    sane.then_some(days as f64 * 86_400.0 + hours * 3600.0 + minutes * 60.0 + seconds - offset(zone)?)
}

/// Seconds a zone is ahead: `Z`, `+00:00`, `+0530`, or nothing.
fn offset(zone: &str) -> Option<f64> {
    let zone = zone.trim();
    let digits = match zone {
        "" | "Z" | "z" => return Some(0.0),
        zone => zone[1..].replace(':', ""),
    };
    let number: u32 = digits.parse().ok()?;
    let (hours, minutes) = match digits.len() {
        2 => (number, 0),
        4 => (number / 100, number % 100),
        _ => return None,
    };
    let ahead = f64::from(hours) * 3600.0 + f64::from(minutes) * 60.0;
    (hours < 15 && minutes < 60).then_some(if zone.starts_with('-') { -ahead } else { ahead })
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days of the Gregorian calendar, by years that begin in March (Hinnant, "chrono-compatible
/// low-level date algorithms").
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a moment since 1970.
pub(super) fn date_of(seconds: f64) -> String {
    let days = (seconds / 86_400.0).floor() as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted_from_1970() {
        let since = |text: &str| moment(text, None).map(|(seconds, _)| seconds);
        assert_eq!(since("1970-01-01 00:00"), Some(0.0));
        // 13 leap years before 2024 since 1970, and 31 + 28 days.
        assert_eq!(since("2024-02-29T12:00:00Z"), Some((54.0 * 365.0 + 13.0 + 59.0) * 86_400.0 + 43_200.0));
        assert_eq!(since("2024-02-29T12:00:00+02:00"), since("2024-02-29 10:00:00"));
        assert_eq!(since("2024-02-29T12:00:00-0530"), since("2024-02-29T17:30"));
        for (text, day) in [("2023-11-16 18:17:03.97", "2023-11-16"), ("2000-02-29 23:59:60", "2000-03-01")] {
            assert_eq!(date_of(since(text).unwrap()), day);
        }
        for text in [
            "2023-02-29 1:00",
            "2023-13-01 1:00",
            "yesterday",
            "2023-11-16",
            "16.11.2023 18:00",
            "NaN",
            "2023-11-16 25:00",
            "2023-11-16 10:00+",
            "2023-11-16 10:00é",
        ] {
            assert_eq!(since(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_since_1970_tell_their_unit() {
        for (text, unit) in [
            ("1700158623.5", Unit::Seconds),
            ("1700158623500", Unit::Millis),
            ("1700158623500000", Unit::Micros),
            ("1700158623500000000", Unit::Nanos),
        ] {
            let (seconds, form) = moment(text, None).unwrap();
            assert_eq!(form, Form::Epoch(unit), "{text}");
            assert!((seconds - 1_700_158_623.5).abs() < 1e-6, "{text}: {seconds}");
        }
        assert_eq!(moment("3000", Some(Unit::Millis)), Some((3.0, Form::Relative)));
        assert_eq!(moment("2000000000", Some(Unit::Nanos)), Some((2.0, Form::Relative)));
    }
}
