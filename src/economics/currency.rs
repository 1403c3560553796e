//! The currency of a user, at a rate of the user.

use crate::catalogue::decode::{Decode, Problems, field, mismatch, unknown_keys};
use crate::units::{Money, significant};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use toml::Spanned;
use toml::de::DeValue;

/// A currency and its rate; nothing here asks a bank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Currency {
    /// Three letters, such as `EUR`.
    pub code: String,
    /// Units of it for one US dollar.
    pub per_usd: f64,
    /// Date of the rate, as the user says it.
    pub date: Option<String>,
}

/// A text that names no currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no currency: expected a code and its rate per US dollar such as EUR:0.92 or EUR:0.92@2026-11-20"
)]
pub struct NoCurrency(String);

impl Currency {
    /// A currency by code and rate, if both make sense.
    fn new(code: &str, per_usd: f64, date: Option<String>) -> Option<Self> {
        let code = code.trim().to_uppercase();
        let named = code.len() == 3 && code.bytes().all(|letter| letter.is_ascii_uppercase());
        // From the most to the least valued money there is.
        let sane = per_usd.is_finite() && (1e-3..=1e7).contains(&per_usd);
        (named && sane).then_some(Self { code, per_usd, date })
    }

    /// An amount of US dollars in it.
    pub fn of(&self, amount: Money) -> f64 {
        amount.get() * self.per_usd
    }

    /// The same as text.
    pub fn shown(&self, amount: Money) -> String {
        format!("{} {}", significant(self.of(amount)), self.code)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} per US dollar", self.per_usd, self.code)?;
        self.date.as_ref().map_or(Ok(()), |date| write!(f, ", {date}"))
    }
}

impl FromStr for Currency {
    type Err = NoCurrency;

    fn from_str(text: &str) -> Result<Self, NoCurrency> {
        let wrong = || NoCurrency(text.to_owned());
        let (code, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (rate, date) = match rest.split_once('@') {
            Some((rate, date)) => (rate, Some(date.trim().to_owned())),
            None => (rest, None),
        };
        Self::new(code, rate.trim().parse().map_err(|_| wrong())?, date).ok_or_else(wrong)
    }
}

impl Decode for Currency {
    fn expected() -> String {
        "a currency such as { code = \"EUR\", per_usd = 0.92, date = \"2026-11-20\" }".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            mismatch(value, &Self::expected(), problems);
            return None;
        };
        let span = value.span();
        unknown_keys(table, &["code", "per_usd", "date"], "a currency", problems);
        let code: Option<String> = field(table, &span, "code", "a currency", problems);
        let per_usd: Option<f64> = field(table, &span, "per_usd", "a currency", problems);
        let date: Option<Option<String>> = field(table, &span, "date", "a currency", problems);
        let (code, per_usd) = (code?, per_usd?);
        let found = Self::new(&code, per_usd, date?);
        if found.is_none() {
            problems.push(span, format!("`{code}` at {per_usd} is no currency"), Self::expected());
        }
        found
    }
}
