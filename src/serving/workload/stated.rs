//! A value of a file with where it comes from.

use crate::catalogue::decode::{Decode, Problems, mismatch};
use serde::Serialize;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;

/// A table of a file that also states its `source`, or in `assumed` the reason for a guess.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stated<T> {
    /// The value.
    #[serde(flatten)]
    pub value: T,
    /// Where it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Why it is assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumed: Option<String>,
    /// Its place in the text.
    #[serde(skip)]
    pub span: Range<usize>,
}

impl<T> Stated<T> {
    /// What it rests on, in words.
    pub fn ground(&self) -> String {
        match (&self.source, &self.assumed) {
            (Some(source), Some(reason)) => format!("{source}; assumed: {reason}"),
            (Some(source), None) => source.clone(),
            (None, Some(reason)) => format!("assumed: {reason}"),
            (None, None) => "as the file says".to_owned(),
        }
    }
}

impl<T: Decode> Decode for Stated<T> {
    fn expected() -> String {
        T::expected()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            mismatch(value, &Self::expected(), problems);
            return None;
        };
        let mut rest = table.clone();
        let mut text = |key: &str| match rest.remove(key) {
            Some(text) => String::decode(&text, problems).map(Some),
            None => Some(None),
        };
        let (source, assumed) = (text("source"), text("assumed"));
        let span = value.span();
        let value = T::decode(&Spanned::new(span.clone(), DeValue::Table(rest)), problems);
        Some(Self { value: value?, source: source?, assumed: assumed?, span })
    }
}
