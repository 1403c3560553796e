//! The data file of accepted lengths, embedded and parsed once.

use super::lookup::chance;
use crate::catalogue::decode::{BadFile, decode_text};
use crate::serving::text::Text;
use crate::{table, words};
use std::sync::OnceLock;

words! {
    /// Who drafts.
    pub enum Method ("drafting method") {
        /// Prediction layers of the model itself.
        Mtp = "mtp",
        /// A layer trained on the hidden states of the model.
        Eagle3 = "eagle3",
        /// Repetitions found in the text so far.
        Ngram = "ngram",
    }
}

table! {
    /// Accepted lengths of one model on one kind of text.
    pub struct Row ("a row of accepted lengths") {
        /// Who drafts.
        pub method: Method,
        /// The model.
        pub model: String,
        /// Its family.
        pub family: String,
        /// Kind of text.
        pub text: Text,
        /// Tokens drafted, rising.
        pub drafted: Vec<u64>,
        /// Tokens a step yields for each of them.
        pub length: Vec<f64>,
        /// Where it comes from.
        pub source: String,
        /// When.
        pub date: String,
    }
}

table! {
    /// The file of drafts.
    struct File ("a file of drafts") {
        /// Tokens drafted unless the user says otherwise.
        drafted: u64,
        /// Where that comes from.
        drafted_source: String,
        /// Host time of a pass of a drafter, milliseconds.
        pass_ms: f64,
        /// Where that comes from.
        pass_source: String,
        /// The rows.
        row: Vec<Row>,
    }
}

/// Accepted lengths by method, model and kind of text.
#[derive(Clone, Debug)]
pub struct Drafts {
    /// Tokens drafted unless the user says otherwise.
    pub drafted: u64,
    /// Host time of a pass of a drafter, seconds.
    pub pass: f64,
    pub(super) rows: Vec<Curve>,
}

/// A row with the chances that give its lengths.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub row: Row,
    /// Tokens drafted and the chance of each, rising.
    pub chances: Vec<(f64, f64)>,
}

impl Drafts {
    /// Reads a file of drafts.
    ///
    /// # Errors
    /// All problems of the file.
    pub fn read(name: &str, text: &str) -> Result<Self, BadFile> {
        let file: File = decode_text(name, text, 1)?;
        let rows = file.row.into_iter().map(|row| {
            let points = row.drafted.iter().zip(&row.length);
            let chances = points.map(|(drafted, length)| (*drafted as f64, chance(*length, *drafted)));
            Curve { chances: chances.collect(), row }
        });
        Ok(Self { drafted: file.drafted, pass: file.pass_ms * 1e-3, rows: rows.collect() })
    }

    /// The rows.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().map(|curve| &curve.row)
    }
}

/// The shipped drafts.
///
/// # Panics
/// Never: a test parses the embedded file.
pub fn drafts() -> &'static Drafts {
    static DRAFTS: OnceLock<Drafts> = OnceLock::new();
    DRAFTS.get_or_init(|| {
        Drafts::read("drafts.toml", include_str!("../constants/drafts.toml"))
            .expect("the embedded drafts parse")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::store::Catalogue;

    /// A length lies between one token and all of the draft and one, models are those of the
    /// catalogue, and prediction layers draft only where the model has them.
    #[test]
    fn rows_are_possible_and_name_their_model() {
        let catalogue = Catalogue::embedded();
        for row in drafts().rows() {
            let spec = catalogue.model(&row.model).unwrap_or_else(|e| panic!("{e}")).value;
            assert_eq!(spec.family, row.family, "{}", row.model);
            assert!(row.method != Method::Mtp || spec.mtp.is_some(), "{}", row.model);
            assert_eq!(row.drafted.len(), row.length.len(), "{}", row.model);
            assert!(!row.drafted.is_empty() && row.drafted.is_sorted(), "{}", row.model);
            for (drafted, length) in row.drafted.iter().zip(&row.length) {
                assert!(*drafted > 0 && (1.0..=(drafted + 1) as f64).contains(length), "{row:?}");
            }
            assert!(!row.source.is_empty() && !row.date.is_empty(), "{row:?}");
        }
    }
}
