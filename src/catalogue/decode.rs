//! TOML text to values, reporting *all* problems of a file at once, each with its place.
//!
//! Serde stops at the first fault. Here a file is parsed into a tree with spans, and [`Decode`]
//! walks the tree, pushing every fault onto [`Problems`] and going on. The three macros define a
//! type and its decoding together: [`table!`](crate::table) for a struct, [`kinds!`](crate::kinds)
//! for an enum chosen by the key `kind`, [`words!`](crate::words) for an enum written as one word.

use crate::catalogue::nearest::nearest;
use crate::units::{Bandwidth, Bytes, UnitError, parse_bytes, parse_rate};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One fault of a file: where, what, and what might have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// The place in the text, in bytes.
    pub span: Range<usize>,
    /// A short remark under the place.
    pub label: String,
    /// What might have been meant.
    pub hint: Option<String>,
}

/// Collects the problems of one text.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// Adds a problem.
    pub fn push(&mut self, span: Range<usize>, message: impl Into<String>, label: impl Into<String>) {
        self.list.push(Problem { message: message.into(), span, label: label.into(), hint: None });
    }

    /// Adds a problem with a hint.
    pub fn push_hint(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        hint: Option<String>,
    ) {
        self.list.push(Problem { message: message.into(), span, label: label.into(), hint });
    }

    /// Adds those of another part of the text.
    pub fn extend(&mut self, other: Self) {
        self.list.extend(other.list);
    }

    /// What was found so far.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The problems in the order of the text.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|p| (p.span.start, p.span.end));
        self.list.dedup();
        self.list
    }
}

/// A text with its name and the problems found in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} has {} problem(s)", problems.len())]
pub struct BadFile {
    /// Name of the file as the user knows it.
    pub file: String,
    /// The text, so that the place can be shown.
    pub text: String,
    /// Line number of the first line of `text` in the file; 1 for a whole file.
    pub first_line: usize,
    /// All problems, in the order of the text.
    pub problems: Vec<Problem>,
}

/// The text of a file, which has to be UTF-8.
///
/// # Errors
/// The place of the first byte that is not.
pub fn utf8_text(file: &str, bytes: Vec<u8>) -> Result<String, BadFile> {
    String::from_utf8(bytes).map_err(|error| {
        let start = error.utf8_error().valid_up_to();
        // The first bad byte reads as one replacement character, and all before it is as written.
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let span = start..start + char::REPLACEMENT_CHARACTER.len_utf8();
        let problem = Problem {
            message: format!("byte {} is not UTF-8", start + 1),
            span,
            label: "expected text in UTF-8".to_owned(),
            hint: Some("save the file as UTF-8 without further changes".to_owned()),
        };
        BadFile { file: file.to_owned(), text, first_line: 1, problems: vec![problem] }
    })
}

/// A value that can be read from a place in a TOML file.
pub trait Decode: Sized {
    /// What a person should write here: `a size such as "24 GiB"`.
    fn expected() -> String;
    /// Reads the value or pushes what is wrong with it.
    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self>;
    /// The value of an absent key; `None` makes the key mandatory.
    fn absent() -> Option<Self> {
        None
    }
}

/// Parses and decodes a whole text.
///
/// # Errors
/// All problems of the text at once.
pub fn decode_text<T: Decode>(file: &str, text: &str, first_line: usize) -> Result<T, BadFile> {
    let mut problems = Problems::default();
    let (root, faults) = DeTable::parse_recoverable(text);
    for fault in faults {
        let span = fault.span().unwrap_or(0..0);
        problems.push(span, format!("not valid TOML: {}", fault.message().trim()), "here");
    }
    let span = root.span();
    let root = Spanned::new(span, DeValue::Table(root.into_inner()));
    let syntax_ok = problems.is_empty();
    let mut decoded_problems = Problems::default();
    let value = T::decode(&root, &mut decoded_problems);
    if syntax_ok && value.is_none() && text.trim().is_empty() {
        // Every key it lacks would say the same.
        problems.push(0..0, "the file is empty", format!("expected {}", T::expected()));
    } else if syntax_ok {
        problems = decoded_problems;
    }
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(BadFile {
            file: file.to_owned(),
            text: text.to_owned(),
            first_line,
            problems: problems.into_sorted(),
        }),
    }
}

/// Reports a value of the wrong type.
pub fn mismatch(value: &Spanned<DeValue<'_>>, expected: &str, problems: &mut Problems) {
    let found = value.get_ref().type_str();
    problems.push(value.span(), format!("expected {expected}, found {found}"), format!("{found} here"));
}

/// Reports every key of `table` that is not among `known`.
pub fn unknown_keys(table: &DeTable<'_>, known: &[&str], what: &str, problems: &mut Problems) {
    for (key, _) in table {
        let name: &str = key.get_ref();
        if !known.contains(&name) {
            let hint = nearest(name, known.iter().copied()).map_or_else(
                || format!("known keys: {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            problems.push_hint(
                key.span(),
                format!("unknown key `{name}` in {what}"),
                "not a key we know",
                Some(hint),
            );
        }
    }
}

/// Reads one key of a table.
pub fn field<T: Decode>(
    table: &DeTable<'_>,
    span: &Range<usize>,
    name: &str,
    what: &str,
    problems: &mut Problems,
) -> Option<T> {
    if let Some(value) = table.get(name) {
        return T::decode(value, problems);
    }
    let absent = T::absent();
    if absent.is_none() {
        problems.push(
            span.clone(),
            format!("{what} lacks the key `{name}`"),
            format!("expected `{name} = …`, {}", T::expected()),
        );
    }
    absent
}

/// Defines a struct and reads it from a TOML table of the same keys.
///
/// `as "name"` after a field gives the key when it is not a Rust identifier of the same name.
#[macro_export]
macro_rules! table {
    ($(#[$doc:meta])* $vis:vis struct $name:ident ($what:literal) {
        $($(#[$field_doc:meta])* $field_vis:vis $field:ident $(as $key:literal)? : $ty:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        $vis struct $name {
            $($(#[$field_doc])* $(#[serde(rename = $key)])? $field_vis $field: $ty,)*
        }

        impl $crate::catalogue::decode::Decode for $name {
            fn expected() -> String {
                concat!("a table describing ", $what).to_owned()
            }

            fn decode(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                problems: &mut $crate::catalogue::decode::Problems,
            ) -> Option<Self> {
                #[allow(unused_imports, reason = "a table without keys reads none")]
                use $crate::catalogue::decode::{field, mismatch, unknown_keys};
                let Some(table) = value.get_ref().as_table() else {
                    mismatch(value, &Self::expected(), problems);
                    return None;
                };
                unknown_keys(table, &[$($crate::table!(@key $field $($key)?)),*], $what, problems);
                $(let $field = field::<$ty>(table, &value.span(), $crate::table!(@key $field $($key)?), $what, problems);)*
                Some(Self { $($field: $field?,)* })
            }
        }
    };
    (@key $field:ident $key:literal) => { $key };
    (@key $field:ident) => { stringify!($field) };
}

/// Defines an enum whose variant is chosen by the key `kind` of a TOML table.
#[macro_export]
macro_rules! kinds {
    ($(#[$doc:meta])* $vis:vis enum $name:ident ($what:literal) {
        $($(#[$variant_doc:meta])* $word:literal => $variant:ident($ty:ty),)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        #[serde(tag = "kind")]
        $vis enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant($ty),)*
        }

        impl $crate::catalogue::decode::Decode for $name {
            fn expected() -> String {
                concat!("a table describing ", $what).to_owned()
            }

            fn decode(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                problems: &mut $crate::catalogue::decode::Problems,
            ) -> Option<Self> {
                use $crate::catalogue::decode::{field, mismatch, not_a_word};
                let Some(table) = value.get_ref().as_table() else {
                    mismatch(value, &Self::expected(), problems);
                    return None;
                };
                let kind: String = field(table, &value.span(), "kind", $what, problems)?;
                let mut rest = table.clone();
                rest.remove("kind");
                let rest = toml::Spanned::new(value.span(), toml::de::DeValue::Table(rest));
                match kind.as_str() {
                    $($word => Some(Self::$variant(<$ty>::decode(&rest, problems)?)),)*
                    _ => {
                        not_a_word(&kind, table["kind"].span(), $what, &[$($word),*], problems);
                        None
                    }
                }
            }
        }
    };
}

/// Defines an enum without data, written as one word.
#[macro_export]
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis enum $name:ident ($what:literal) {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        $vis enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every value, in the order of their definition.
            $vis const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word written in files and printed.
            $vis const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// Finds the value of a word.
            $vis fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl $crate::catalogue::decode::Decode for $name {
            fn expected() -> String {
                format!("{}: {}", $what, [$($word),*].join(", "))
            }

            fn decode(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                problems: &mut $crate::catalogue::decode::Problems,
            ) -> Option<Self> {
                use $crate::catalogue::decode::{mismatch, not_a_word};
                let Some(word) = value.get_ref().as_str() else {
                    mismatch(value, &Self::expected(), problems);
                    return None;
                };
                let found = Self::from_word(word);
                if found.is_none() {
                    not_a_word(word, value.span(), $what, &[$($word),*], problems);
                }
                found
            }
        }
    };
}

/// Reports a word that is none of the known ones.
pub fn not_a_word(word: &str, span: Range<usize>, what: &str, known: &[&str], problems: &mut Problems) {
    let hint = nearest(word, known.iter().copied())
        .map_or_else(|| format!("known: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
    problems.push_hint(span, format!("unknown {what} `{word}`"), "not one we know", Some(hint));
}

impl Decode for String {
    fn expected() -> String {
        "a text in quotes".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            mismatch(value, &Self::expected(), problems);
        }
        text.map(str::to_owned)
    }
}

impl Decode for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            mismatch(value, &Self::expected(), problems);
        }
        flag
    }

    fn absent() -> Option<Self> {
        Some(false)
    }
}

/// Reads a TOML integer that fits an `i128`.
fn integer(value: &Spanned<DeValue<'_>>) -> Option<i128> {
    let number = value.get_ref().as_integer()?;
    i128::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

impl Decode for u64 {
    fn expected() -> String {
        "a whole number, not negative".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        match integer(value) {
            // 10^15 is a thousand times the largest model or memory that exists.
            Some(n) if (0..=1_000_000_000_000_000).contains(&n) => u64::try_from(n).ok(),
            Some(n) if n < 0 => {
                problems.push(value.span(), format!("`{n}` is negative"), Self::expected());
                None
            }
            Some(n) => {
                problems.push(value.span(), format!("`{n}` is absurdly large"), "at most 10^15");
                None
            }
            None => {
                mismatch(value, &Self::expected(), problems);
                None
            }
        }
    }
}

/// A whole number that is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct Count(u64);

impl Count {
    /// The number, raised to one if it is zero.
    pub const fn new(n: u64) -> Self {
        Self(if n == 0 { 1 } else { n })
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Decode for Count {
    fn expected() -> String {
        "a whole number of at least 1".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        match u64::decode(value, problems)? {
            0 => {
                problems.push(value.span(), "a count of zero", Self::expected());
                None
            }
            n => Some(Self(n)),
        }
    }
}

impl Decode for f64 {
    fn expected() -> String {
        "a number, not negative".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let number = match value.get_ref() {
            DeValue::Float(f) => f.as_str().replace('_', "").parse::<f64>().ok(),
            DeValue::Integer(_) => integer(value).map(|n| n as f64),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        match number {
            Some(n) if n.is_finite() && (0.0..=1e18).contains(&n) => Some(n),
            Some(n) => {
                problems.push(value.span(), format!("`{n}` is out of range"), Self::expected());
                None
            }
            None => {
                mismatch(value, &Self::expected(), problems);
                None
            }
        }
    }
}

/// Units a misspelt one is compared with.
const BYTE_UNITS: &[&str] = &["B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"];
/// The same of rates.
pub(crate) const RATE_UNITS: &[&str] = &["MB/s", "GB/s", "TB/s", "MiB/s", "GiB/s", "Mb/s", "Gb/s", "Tb/s"];

/// Reads a quantity written as text with its unit.
pub(crate) fn quantity<T>(
    value: &Spanned<DeValue<'_>>,
    expected: &str,
    parse: fn(&str) -> Result<T, UnitError>,
    units: &[&str],
    problems: &mut Problems,
) -> Option<T> {
    let bare = match value.get_ref() {
        DeValue::Integer(number) => Some(number.as_str()),
        DeValue::Float(number) => Some(number.as_str()),
        DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    };
    let Some(text) = value.get_ref().as_str().or(bare) else {
        mismatch(value, expected, problems);
        return None;
    };
    let error = match parse(text) {
        Ok(amount) if bare.is_none() => return Some(amount),
        Ok(_) => UnitError::NoUnit { text: text.to_owned(), expected: "" },
        Err(error) => error,
    };
    // What was expected stands under the place, not in the message too.
    let (message, hint) = match &error {
        UnitError::NoUnit { text, .. } => (format!("`{text}` has no unit"), None),
        UnitError::UnknownUnit { unit, .. } => {
            let near = nearest(unit, units.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            (format!("unknown unit `{unit}`"), near)
        }
        UnitError::NoNumber(_) | UnitError::Negative(_) | UnitError::OutOfRange(_) => {
            (error.to_string(), None)
        }
    };
    problems.push_hint(value.span(), message, format!("expected {expected}"), hint);
    None
}

impl Decode for Bytes {
    fn expected() -> String {
        "a size such as \"24 GiB\" (2^30) or \"24 GB\" (10^9)".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        quantity(value, &Self::expected(), parse_bytes, BYTE_UNITS, problems)
    }
}

impl Decode for Bandwidth {
    fn expected() -> String {
        "a rate such as \"64 GB/s\" or \"400 Gb/s\"".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        quantity(value, &Self::expected(), parse_rate, RATE_UNITS, problems)
    }
}

impl<T: Decode> Decode for Option<T> {
    fn expected() -> String {
        T::expected()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        T::decode(value, problems).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn expected() -> String {
        format!("a list, each item {}", T::expected())
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let Some(items) = value.get_ref().as_array() else {
            mismatch(value, &Self::expected(), problems);
            return None;
        };
        let decoded: Vec<Option<T>> = items.iter().map(|item| T::decode(item, problems)).collect();
        decoded.into_iter().collect()
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    fn expected() -> String {
        format!("named entries, each {}", T::expected())
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            mismatch(value, &Self::expected(), problems);
            return None;
        };
        let decoded: Vec<Option<(String, T)>> = table
            .iter()
            .map(|(key, item)| Some((key.get_ref().to_string(), T::decode(item, problems)?)))
            .collect();
        decoded.into_iter().collect()
    }

    fn absent() -> Option<Self> {
        Some(BTreeMap::new())
    }
}

/// A value with its place, where a later check may have to point at it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place in the text.
    #[serde(skip)]
    pub span: Range<usize>,
}

impl<T: Decode> Decode for At<T> {
    fn expected() -> String {
        T::expected()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        Some(Self { value: T::decode(value, problems)?, span: value.span() })
    }

    fn absent() -> Option<Self> {
        Some(Self { value: T::absent()?, span: 0..0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    table! {
        /// A test table.
        struct Ram ("the memory") {
            /// Size.
            size: Bytes,
            /// Channels.
            channels: Option<Count>,
            /// Kind.
            kind_of as "type": Option<RamType>,
        }
    }

    words! {
        /// A test word.
        enum RamType ("memory type") {
            /// Fifth.
            Ddr5 = "ddr5",
            /// Fourth.
            Ddr4 = "ddr4",
        }
    }

    #[test]
    fn all_problems_at_once_with_suggestions() {
        let text = "size = \"24\"\nchanels = 2\ntype = \"ddr6\"\n";
        let bad = decode_text::<Ram>("rig.toml", text, 1).unwrap_err();
        let told: Vec<(&str, Option<&str>)> =
            bad.problems.iter().map(|p| (p.message.as_str(), p.hint.as_deref())).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].0.contains("no unit"));
        assert_eq!(told[1].1, Some("did you mean `channels`?"));
        assert_eq!(told[2].1, Some("did you mean `ddr5`?"));
    }

    #[test]
    fn every_word_names_its_value() {
        for kind in RamType::ALL {
            assert_eq!(RamType::from_word(kind.word()), Some(*kind));
        }
    }

    #[test]
    fn good_text_decodes() {
        let ram = decode_text::<Ram>("rig.toml", "size = \"64 GiB\"\nchannels = 2\n", 1).unwrap();
        assert_eq!(ram.size, Bytes::gib(64.0));
        assert_eq!(ram.channels.map(Count::get), Some(2));
    }
}
