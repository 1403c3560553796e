//! Service levels: what users are promised.

use crate::catalogue::decode::{Decode, Problems, mismatch};
use crate::units::{Seconds, UnitError, parse_seconds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::Spanned;
use toml::de::DeValue;

/// Share of the requests a time holds for unless it is written with one.
pub const USUAL_SHARE: f64 = 0.95;

/// A time that a share of all requests stays within.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// The longest time.
    pub most_s: Seconds,
    /// Share of the requests that are within it: 0.95 is the 95th percentile.
    pub share: f64,
}

/// What a deployment must keep; absent levels are not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Levels {
    /// Time to the first token.
    pub ttft: Option<Level>,
    /// Mean time per output token after the first, of one request.
    pub tpot: Option<Level>,
    /// Time to the last token.
    pub end_to_end: Option<Level>,
    /// Share of the requests that keep all of the times above at once.
    pub goodput: Option<f64>,
}

/// A level as it is written: `2s`, `p99:2s`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WrittenLevel {
    /// The longest time.
    pub most_s: Seconds,
    /// Share of the requests, where it is written.
    pub share: Option<f64>,
}

/// Why a text is no level.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum LevelError {
    /// A percentile that is none.
    #[error("`{0}` is no percentile; write p50, p90, p95, p99 or any other between p0 and p100")]
    Percentile(String),
    /// No time of a person's life.
    #[error("a level lies between 1 µs and a day")]
    Range,
    /// A time that cannot be read.
    #[error(transparent)]
    Time(#[from] UnitError),
}

/// Why levels cannot all be meant.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum Contradiction {
    /// The last token before the first.
    #[error(
        "the last token after {end_to_end_s} comes before the first after {ttft_s}: the end-to-end level must be the longer"
    )]
    EndBeforeFirst {
        /// Level of the last token.
        end_to_end_s: Seconds,
        /// Level of the first.
        ttft_s: Seconds,
    },
    /// A goodput of no times.
    #[error("a goodput is the share of requests that keep their times, and no time is asked for")]
    GoodputOfNothing,
    /// A share outside 0..1.
    #[error("a goodput of {0} is no share between 0 and 1")]
    NoShare(f64),
    /// More requests late than the goodput lets be.
    #[error(
        "the {level} level lets {late_percent} % of the requests be late, and a goodput of {goodput} fewer than that"
    )]
    LateBeyondGoodput {
        /// Which level.
        level: &'static str,
        /// Requests it lets be late.
        late_percent: f64,
        /// The goodput asked for.
        goodput: f64,
    },
}

impl WrittenLevel {
    /// Reads `3s`, `40ms`, `p99:2s`.
    ///
    /// # Errors
    /// When time or percentile cannot be read or lie where none does.
    ///
    /// ```
    /// use plimsoll::serving::levels::WrittenLevel;
    /// use plimsoll::units::Seconds;
    /// let level = WrittenLevel::parse("p99:2s").unwrap();
    /// assert_eq!((level.share, level.most_s), (Some(0.99), Seconds::new(2.0)));
    /// assert_eq!(WrittenLevel::parse("40ms").unwrap().share, None);
    /// assert!(WrittenLevel::parse("p101:2s").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, LevelError> {
        let (share, time) = match text.split_once(':') {
            Some((percentile, time)) => (Some(percentile.trim()), time),
            None => (None, text),
        };
        let share = share.map(|written| {
            let percent = written.strip_prefix(['p', 'P']).and_then(|number| number.parse::<f64>().ok());
            let inside = percent.filter(|p| *p > 0.0 && *p < 100.0);
            inside.map(|p| p / 100.0).ok_or_else(|| LevelError::Percentile(written.to_owned()))
        });
        let share = share.transpose()?;
        let most_s = parse_seconds(time)?;
        if !(1e-6..=86_400.0).contains(&most_s.get()) {
            return Err(LevelError::Range);
        }
        Ok(Self { most_s, share })
    }

    /// The level, with the share it holds for.
    pub fn level(self, usual: f64) -> Level {
        Level { most_s: self.most_s, share: self.share.unwrap_or(usual) }
    }
}

/// The levels as they are written, before they are held against each other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WrittenLevels {
    /// Time to the first token.
    pub ttft: Option<WrittenLevel>,
    /// Time per output token.
    pub tpot: Option<WrittenLevel>,
    /// Time to the last token.
    pub end_to_end: Option<WrittenLevel>,
    /// Share that keeps all of them.
    pub goodput: Option<f64>,
}

impl WrittenLevels {
    /// The levels. A time written without a percentile holds for 95 % of the requests, or for the
    /// share of the goodput where that is larger.
    ///
    /// # Errors
    /// When they cannot all be meant.
    pub fn levels(&self) -> Result<Levels, Contradiction> {
        let times = [("TTFT", self.ttft), ("TPOT", self.tpot), ("end-to-end", self.end_to_end)];
        if let Some(goodput) = self.goodput {
            if !(goodput > 0.0 && goodput < 1.0) {
                return Err(Contradiction::NoShare(goodput));
            }
            if times.iter().all(|(_, level)| level.is_none()) {
                return Err(Contradiction::GoodputOfNothing);
            }
            for (level, written) in times {
                if let Some(share) = written.and_then(|l| l.share)
                    && share < goodput
                {
                    let late_percent = ((1.0 - share) * 1e4).round() / 100.0;
                    return Err(Contradiction::LateBeyondGoodput { level, late_percent, goodput });
                }
            }
        }
        let usual = USUAL_SHARE.max(self.goodput.unwrap_or(0.0));
        let level = |written: Option<WrittenLevel>| written.map(|level| level.level(usual));
        let levels = Levels {
            ttft: level(self.ttft),
            tpot: level(self.tpot),
            end_to_end: level(self.end_to_end),
            goodput: self.goodput,
        };
        // Half of the requests may well end before the slowest hundredth begins.
        if let (Some(end), Some(first)) = (levels.end_to_end, levels.ttft)
            && end.share >= first.share
            && end.most_s < first.most_s
        {
            return Err(Contradiction::EndBeforeFirst { end_to_end_s: end.most_s, ttft_s: first.most_s });
        }
        Ok(levels)
    }
}

impl Decode for WrittenLevel {
    fn expected() -> String {
        "a time such as \"2s\" or \"p99:2s\"".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let Some(text) = value.get_ref().as_str() else {
            mismatch(value, &Self::expected(), problems);
            return None;
        };
        Self::parse(text)
            .map_err(|error| problems.push(value.span(), error.to_string(), Self::expected()))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(ttft: &str, end_to_end: &str, goodput: Option<f64>) -> WrittenLevels {
        let level = |text: &str| (!text.is_empty()).then(|| WrittenLevel::parse(text).unwrap());
        WrittenLevels { ttft: level(ttft), tpot: None, end_to_end: level(end_to_end), goodput }
    }

    #[test]
    fn levels_are_of_the_95th_percentile_unless_written_or_implied() {
        let shares = |levels: WrittenLevels| {
            let levels = levels.levels().unwrap();
            [levels.ttft, levels.end_to_end].map(|level| level.map(|level| level.share))
        };
        assert_eq!(shares(written("p50:500ms", "20s", None)), [Some(0.5), Some(0.95)]);
        assert_eq!(shares(written("2s", "", Some(0.99))), [Some(0.99), None]);
        assert_eq!(shares(written("2s", "", Some(0.9))), [Some(0.95), None]);
    }

    #[test]
    fn levels_that_cannot_all_be_meant_are_refused() {
        let refused = |levels: WrittenLevels| levels.levels().unwrap_err();
        assert!(matches!(refused(written("3s", "1s", None)), Contradiction::EndBeforeFirst { .. }));
        assert!(written("p99:3s", "p50:2s", None).levels().is_ok(), "the slowest first tokens may be later");
        assert_eq!(refused(written("", "", Some(0.9))), Contradiction::GoodputOfNothing);
        assert_eq!(refused(written("1s", "", Some(1.5))), Contradiction::NoShare(1.5));
        let late = Contradiction::LateBeyondGoodput { level: "TTFT", late_percent: 10.0, goodput: 0.99 };
        assert_eq!(refused(written("p90:2s", "", Some(0.99))), late);
    }

    #[test]
    fn texts_that_are_no_levels_are_refused() {
        for text in ["", "3", "3 parsecs", "-3s", "p:3s", "p100:3s", "95:3s", "0s", "p95:", "2 days"] {
            assert!(WrittenLevel::parse(text).is_err(), "{text}");
        }
    }
}
