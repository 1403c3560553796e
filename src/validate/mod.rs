//! How wrong are the predictions? Published measurements against what the planner says.
//!
//! A measurements file is recognised by its header; a [`Judge`] knows one kind of file, turns
//! each row into a question and answers it with a prediction made *without* looking at the row's
//! value. Errors are grouped and summarised here, the same way for every kind:
//! relative error with the rounding of the measurement counted as free, median within a group
//! (one model and publisher, one model and machine), then median and 90th percentile over groups,
//! so that a source with many rows weighs no more than one with few.

pub mod accuracy_page;
pub mod csv_file;
pub mod facts;
pub mod gguf_buffers;
pub mod gguf_sizes;
pub mod headline;
mod headline_table;
mod markdown_table;
pub mod memory;
pub mod misses;
pub mod regimes;
pub mod report;
pub mod scatter;
pub mod speed;
mod speed_row;

use crate::catalogue::decode::BadFile;
use crate::fact::Estimate;
use csv_file::{Faults, Row, Table};
use facts::Facts;

/// How a row is compared with its prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `max(0, |predicted - measured| - precision) / measured`.
    Relative,
    /// 1 or 0 on both sides: the error is 0 when they agree and 1 when they do not; the signed
    /// error is +1 for a promise that was not kept and -1 for a refusal of what works.
    Agreement,
}

/// One row with what was measured and what was predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Id of the row.
    pub id: String,
    /// The regime it is reported in.
    pub regime: String,
    /// Wider regimes that contain it, besides `all`.
    pub also: Vec<String>,
    /// What was measured: `file_bytes`, `decode_tps`.
    pub metric: String,
    /// Rows of one group share one error: their median.
    pub group: String,
    /// The measured value, in the unit of the metric.
    pub measured: f64,
    /// Half width of its rounding, which is not an error.
    pub precision: f64,
    /// How the two are compared.
    pub comparison: Comparison,
    /// The prediction, or why there is none.
    pub predicted: Result<Estimate<f64>, String>,
    /// What a speed row is about; `None` for sizes and memory.
    pub facts: Option<Facts>,
    /// Measured rate over the most that reading the weights allows; above one is faster than physics.
    pub beyond_bound: Option<f64>,
}

impl Judged {
    /// Signed relative error, rounding free; `None` without a prediction.
    pub fn signed_error(&self) -> Option<f64> {
        let predicted = self.predicted.as_ref().ok()?.likely;
        let difference = predicted - self.measured;
        Some(match self.comparison {
            Comparison::Agreement => difference,
            Comparison::Relative => {
                difference.signum() * (difference.abs() - self.precision).max(0.0) / self.measured
            }
        })
    }

    /// Size of the error.
    pub fn error(&self) -> Option<f64> {
        self.signed_error().map(f64::abs)
    }

    /// Whether the measurement, within its rounding, lies in the stated interval.
    pub fn covered(&self) -> Option<bool> {
        let predicted = self.predicted.as_ref().ok()?;
        Some(
            self.measured + self.precision >= predicted.low
                && self.measured - self.precision <= predicted.high,
        )
    }
}

/// Knows one kind of measurements file.
pub trait Judge: Sync {
    /// The kind, for people: `GGUF sizes`.
    fn kind(&self) -> &'static str;
    /// Columns that only this kind of file has; all of them must be there.
    fn columns(&self) -> &'static [&'static str];
    /// Judges a row; pushes what is wrong with it. `None` = the row cannot be read.
    fn judge(&self, row: &Row<'_>, faults: &mut Faults) -> Option<Judged>;
}

/// Reads a measurements file and judges every row.
///
/// # Errors
/// All problems of the file at once; a file no judge knows is one problem.
pub fn judge_text(file: &str, text: &str, judges: &[&dyn Judge]) -> Result<Vec<Judged>, BadFile> {
    let table = Table::read(file, text)?;
    let mut faults = Faults::default();
    let known = judges.iter().find(|judge| judge.columns().iter().all(|column| table.has(column)));
    let Some(judge) = known else {
        let kinds: Vec<String> =
            judges.iter().map(|judge| format!("{} ({})", judge.kind(), judge.columns().join(", "))).collect();
        faults.header(
            "not a measurements file we know",
            format!("known by their columns: {}", kinds.join("; ")),
        );
        return Err(table.bad(faults));
    };
    let rows = table.each(&mut faults, |row, faults| judge.judge(row, faults));
    if faults.is_empty() { Ok(rows) } else { Err(table.bad(faults)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Predicts 10 for everything but the model `unknown`.
    struct Ten;

    impl Judge for Ten {
        fn kind(&self) -> &'static str {
            "tens"
        }
        fn columns(&self) -> &'static [&'static str] {
            &["model", "tens"]
        }
        fn judge(&self, row: &Row<'_>, faults: &mut Faults) -> Option<Judged> {
            let measured = row.number("tens", faults)?;
            let model = row.text("model");
            let known = Estimate { low: 9.0, likely: 10.0, high: 11.0 };
            Some(Judged {
                id: row.text("id").to_owned(),
                regime: "r".to_owned(),
                also: Vec::new(),
                metric: "tens".to_owned(),
                group: model.to_owned(),
                measured,
                precision: 0.5,
                comparison: Comparison::Relative,
                predicted: if model == "unknown" { Err("unknown model".to_owned()) } else { Ok(known) },
                facts: None,
                beyond_bound: None,
            })
        }
    }

    #[test]
    fn rounding_is_free_and_the_sign_shows() {
        let rows = judge_text("t.csv", "id,model,tens\n1,a,8\n2,a,10.4\n3,unknown,1\n", &[&Ten]).unwrap();
        // (10 - 8 - 0.5) / 8
        assert_eq!(rows[0].signed_error(), Some(0.1875));
        assert_eq!(rows[0].covered(), Some(false));
        assert_eq!(rows[1].signed_error().map(f64::abs), Some(0.0));
        assert_eq!(rows[1].covered(), Some(true));
        assert_eq!(rows[2].signed_error(), None);
    }

    #[test]
    fn all_problems_of_a_file_with_their_lines() {
        let text = "id,model,tens\n1,a,x\n2,a,5\n3,a,\n";
        let bad = judge_text("t.csv", text, &[&Ten]).unwrap_err();
        let places: Vec<&str> = bad.problems.iter().map(|p| &text[p.span.clone()]).collect();
        assert_eq!(places, ["x", "3,a,"]);
        assert!(bad.problems[0].message.contains("`tens`"), "{:?}", bad.problems);
        let bad = judge_text("t.csv", "a,b\n1,2\n", &[&Ten]).unwrap_err();
        assert_eq!(bad.problems.len(), 1);
    }
}
