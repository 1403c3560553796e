//! The accuracy report as JSON, CSV and tables.

use super::Judged;
use super::headline::{Standing, standings};
use super::misses::unanswered;
use super::regimes::{Summary, summarise};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};

/// The whole report: a stable interface.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Accuracy {
    /// Version of this layout.
    pub schema: u32,
    /// Errors by metric and regime.
    pub summary: Vec<Summary>,
    /// Every row in the order of the files.
    pub rows: Vec<RowReport>,
    /// Where the headline regimes stand; for tables only.
    #[serde(skip)]
    headlines: Vec<Standing>,
}

/// One row of the report.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RowReport {
    /// Id of the row.
    pub id: String,
    /// The regime it belongs to.
    pub regime: String,
    /// What was measured.
    pub metric: String,
    /// The measured value, in the unit of the metric.
    pub measured: f64,
    /// The prediction.
    pub predicted: Option<f64>,
    /// Ten per cent of cases lie below.
    pub low: Option<f64>,
    /// Ten per cent of cases lie above.
    pub high: Option<f64>,
    /// Relative error, rounding of the measurement free.
    pub ape: Option<f64>,
    /// Why there is no prediction.
    pub unanswered: Option<String>,
}

impl Accuracy {
    /// The report of these rows.
    pub fn of(rows: &[Judged]) -> Self {
        Self {
            schema: 1,
            summary: summarise(rows),
            rows: rows.iter().map(RowReport::of).collect(),
            headlines: standings(rows),
        }
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// What the output says.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }

    /// Writes the rows as CSV, unknown cells empty.
    ///
    /// # Errors
    /// What the output says.
    pub fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        for row in &self.rows {
            writer.serialize(row).map_err(io::Error::other)?;
        }
        writer.flush()
    }

    /// Writes the headline regimes, the summary and the `worst` rows as tables of at most `width`
    /// columns.
    ///
    /// # Errors
    /// What the output says.
    pub fn write_tables(&self, out: &mut dyn Write, worst: usize, width: u16) -> io::Result<()> {
        self.write_headlines(out, width)?;
        let mut table = plain_table(
            &["metric", "regime", "rows", "answered", "groups", "median", "p90", "bias", "in interval"],
            2,
            width,
        );
        for s in &self.summary {
            let answered = s.answered as f64 / s.rows as f64;
            table.add_row([
                s.metric.clone(),
                s.regime.clone(),
                s.rows.to_string(),
                percent(Some(answered), 0),
                s.groups.to_string(),
                percent(s.median_ape, 2),
                percent(s.p90_ape, 2),
                signed_percent(s.bias, 2),
                percent(s.coverage, 0),
            ]);
        }
        writeln!(out, "{table}")?;
        let mut rows: Vec<&RowReport> = self.rows.iter().filter(|row| row.ape.is_some()).collect();
        rows.sort_by(|a, b| {
            b.ape.unwrap_or(0.0).total_cmp(&a.ape.unwrap_or(0.0)).then_with(|| a.id.cmp(&b.id))
        });
        rows.truncate(worst);
        if !rows.is_empty() {
            let mut table =
                plain_table(&["worst rows", "metric", "regime", "measured", "predicted", "error"], 3, width);
            for row in rows {
                table.add_row([
                    row.id.clone(),
                    row.metric.clone(),
                    row.regime.clone(),
                    plain_number(Some(row.measured)),
                    plain_number(row.predicted),
                    percent(row.ape, 2),
                ]);
            }
            writeln!(out, "\n{table}")?;
        }
        self.write_unanswered(out)
    }

    /// Writes where the headline regimes with rows stand, and their aims; nothing without speed rows.
    fn write_headlines(&self, out: &mut dyn Write, width: u16) -> io::Result<()> {
        let mut table = plain_table(
            &["headline regime", "rows", "answered", "median", "p90", "bias", "in interval", "aim"],
            1,
            width,
        );
        for Standing { name, aim, found } in self.headlines.iter().filter(|one| one.found.rows > 0) {
            table.add_row([
                (*name).to_owned(),
                found.rows.to_string(),
                percent(Some(found.answered as f64 / found.rows as f64), 0),
                percent(found.median_ape, 1),
                percent(found.p90_ape, 1),
                signed_percent(found.bias, 1),
                percent(found.coverage, 0),
                format!("{:.0} / {}", aim.median * 100.0, percent(Some(aim.p90), 0)),
            ]);
        }
        if table.is_empty() { Ok(()) } else { writeln!(out, "{table}\n") }
    }

    /// Writes why rows have no prediction, the commonest reason first.
    fn write_unanswered(&self, out: &mut dyn Write) -> io::Result<()> {
        let reasons = unanswered(self.rows.iter().filter_map(|row| row.unanswered.as_deref()));
        if reasons.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nnot answered:")?;
        reasons.iter().try_for_each(|(reason, rows)| writeln!(out, "  {rows} × {reason}"))
    }
}

impl RowReport {
    fn of(row: &Judged) -> Self {
        let predicted = row.predicted.as_ref().ok();
        Self {
            id: row.id.clone(),
            regime: row.regime.clone(),
            metric: row.metric.clone(),
            measured: row.measured,
            predicted: predicted.map(|p| p.likely),
            low: predicted.map(|p| p.low),
            high: predicted.map(|p| p.high),
            ape: row.error(),
            unanswered: row.predicted.as_ref().err().cloned(),
        }
    }
}

/// A table without lines; columns from `text` on hold numbers.
fn plain_table(header: &[&str], text: usize, width: u16) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(text) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A share in per cent; `–` when unknown.
pub(super) fn percent(share: Option<f64>, decimals: usize) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.decimals$} %", share * 100.0))
}

/// A signed share in per cent.
pub(super) fn signed_percent(share: Option<f64>, decimals: usize) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:+.decimals$} %", share * 100.0))
}

/// A value of any metric: whole numbers from a thousand on.
pub(super) fn plain_number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), crate::units::significant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Estimate;
    use crate::validate::Comparison;

    fn rows() -> Vec<Judged> {
        let row = |id: &str, predicted: Result<f64, String>| Judged {
            id: id.to_owned(),
            regime: "stock".to_owned(),
            also: Vec::new(),
            metric: "file_bytes".to_owned(),
            group: "g".to_owned(),
            measured: 100.0,
            precision: 1.0,
            comparison: Comparison::Relative,
            predicted: predicted.map(|p| Estimate { low: p - 1.0, likely: p, high: p + 1.0 }),
            facts: None,
            beyond_bound: None,
        };
        vec![row("r1", Ok(103.0)), row("r2", Err("no such model".to_owned()))]
    }

    #[test]
    fn json_says_null_for_what_is_unknown() {
        let mut out = Vec::new();
        Accuracy::of(&rows()).write_json(&mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["summary"][0]["answered"], 1);
        assert_eq!(value["rows"][1]["predicted"], serde_json::Value::Null);
        assert_eq!(value["rows"][1]["unanswered"], "no such model");
        assert_eq!(value["rows"][0]["ape"], 0.02);
    }

    #[test]
    fn tables_and_csv_carry_the_same_rows() {
        let accuracy = Accuracy::of(&rows());
        let mut csv = Vec::new();
        accuracy.write_csv(&mut csv).unwrap();
        insta::assert_snapshot!(String::from_utf8(csv).unwrap(), @r"
        id,regime,metric,measured,predicted,low,high,ape,unanswered
        r1,stock,file_bytes,100.0,103.0,102.0,104.0,0.02,
        r2,stock,file_bytes,100.0,,,,,no such model
        ");
        let mut text = Vec::new();
        accuracy.write_tables(&mut text, 5, 120).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("2.00 %") && text.contains("1 × no such model"), "{text}");
    }
}
