//! A CSV file as rows with names, every problem with its place in the text.
//!
//! Columns a judge does not ask for are ignored. An empty cell means "not stated".

use crate::catalogue::decode::{BadFile, Problem, Problems};
use rayon::prelude::*;
use std::ops::Range;

/// Problems found while reading a file.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    problems: Problems,
}

impl Faults {
    /// A problem of the header.
    pub fn header(&mut self, message: impl Into<String>, hint: String) {
        self.problems.push_hint(0..0, message, "the header", Some(hint));
    }

    /// A problem of a place in the text.
    pub fn push(&mut self, span: Range<usize>, message: impl Into<String>, label: impl Into<String>) {
        self.problems.push(span, message, label);
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }
}

/// A whole file: header and records.
#[derive(Debug)]
pub struct Table<'a> {
    file: &'a str,
    text: &'a str,
    header: csv::StringRecord,
    records: Vec<(csv::StringRecord, Range<usize>)>,
}

impl<'a> Table<'a> {
    /// Reads a text; quoted cells may hold commas and line ends.
    ///
    /// # Errors
    /// Records that are not CSV or have another number of cells than the header, all of them.
    pub fn read(file: &'a str, text: &'a str) -> Result<Self, BadFile> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let mut faults = Faults::default();
        let header = reader.headers().cloned().unwrap_or_default();
        let mut starts: Vec<(csv::StringRecord, usize)> = Vec::new();
        for record in reader.records() {
            match record {
                Ok(record) => {
                    let start = record.position().map_or(0, |position| position.byte() as usize);
                    starts.push((record, start));
                }
                Err(error) => {
                    let at = error.position().map_or(0, |position| position.byte() as usize);
                    faults.push(at..at, format!("not CSV: {error}"), "here");
                }
            }
        }
        let ends: Vec<usize> = starts.iter().skip(1).map(|(_, start)| *start).chain([text.len()]).collect();
        let mut records = Vec::with_capacity(starts.len());
        for ((record, start), end) in starts.into_iter().zip(ends) {
            let shown = text.get(start..end).unwrap_or_default();
            // The reader's position may stand on the line end before the record.
            let lead = shown.len() - shown.trim_start_matches(['\r', '\n']).len();
            let span = start + lead..start + shown.trim_end_matches(['\r', '\n']).len().max(lead);
            if record.len() == header.len() {
                records.push((record, span));
            } else {
                let message = format!("a row of {} cells under a header of {}", record.len(), header.len());
                faults.push(span, message, "this row");
            }
        }
        let table = Self { file, text, header, records };
        if faults.is_empty() { Ok(table) } else { Err(table.bad(faults)) }
    }

    /// Whether the file has a column.
    pub fn has(&self, column: &str) -> bool {
        self.header.iter().any(|name| name == column)
    }

    /// What `read` makes of the rows, in the order of the file; rows are read by all cores, and what
    /// is wrong with any of them is pushed.
    pub fn each<T: Send>(
        &self,
        faults: &mut Faults,
        read: impl Fn(&Row<'_>, &mut Faults) -> Option<T> + Sync,
    ) -> Vec<T> {
        let one = |(record, span): &(csv::StringRecord, Range<usize>)| {
            let mut own = Faults::default();
            let row = Row { table: self, record, span: span.clone() };
            (read(&row, &mut own), own)
        };
        let all: Vec<(Option<T>, Faults)> = self.records.par_iter().map(one).collect();
        let mut values = Vec::with_capacity(all.len());
        for (value, own) in all {
            faults.problems.extend(own.problems);
            values.extend(value);
        }
        values
    }

    /// The file with its problems.
    pub fn bad(&self, faults: Faults) -> BadFile {
        let problems: Vec<Problem> = faults.problems.into_sorted();
        BadFile { file: self.file.to_owned(), text: self.text.to_owned(), first_line: 1, problems }
    }
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    table: &'a Table<'a>,
    record: &'a csv::StringRecord,
    span: Range<usize>,
}

impl Row<'_> {
    /// The cell of a column; empty if the file has no such column.
    pub fn text(&self, column: &str) -> &str {
        let place = self.table.header.iter().position(|name| name == column);
        place.and_then(|place| self.record.get(place)).unwrap_or_default().trim()
    }

    /// The cell of a column, unless it is empty.
    pub fn stated(&self, column: &str) -> Option<&str> {
        Some(self.text(column)).filter(|cell| !cell.is_empty())
    }

    /// A number that must be there.
    pub fn number(&self, column: &str, faults: &mut Faults) -> Option<f64> {
        if self.text(column).is_empty() {
            faults.push(self.span.clone(), format!("no value for `{column}`"), "in this row");
            return None;
        }
        self.optional(column, faults).flatten()
    }

    /// A number that may be missing: `Some(None)` when it is, `None` when it is no number.
    #[allow(clippy::option_option)] // absent and unreadable are different answers
    pub fn optional(&self, column: &str, faults: &mut Faults) -> Option<Option<f64>> {
        let cell = self.text(column);
        if cell.is_empty() {
            return Some(None);
        }
        if let Some(number) = cell.parse().ok().filter(|number: &f64| number.is_finite()) {
            if number >= 0.0 {
                return Some(Some(number));
            }
            faults.push(self.cell_span(cell), format!("`{column}` is negative: `{cell}`"), "at least 0");
            return None;
        }
        faults.push(self.cell_span(cell), format!("`{column}` is not a number: `{cell}`"), "not a number");
        None
    }

    /// The value of a token `key=value` in the column `notes`.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.text("notes").split(';').find_map(|token| token.trim().strip_prefix(key)?.strip_prefix('='))
    }

    /// Whether the column `notes` has a token that starts with these words.
    pub fn flagged(&self, words: &str) -> bool {
        self.text("notes").split(';').any(|token| token.trim().starts_with(words))
    }

    /// The place of a cell's text, or of the whole row when quoting hides it.
    fn cell_span(&self, cell: &str) -> Range<usize> {
        let row = self.table.text.get(self.span.clone()).unwrap_or_default();
        let found = row.split(',').scan(0, |at, part| {
            let start = *at;
            *at += part.len() + 1;
            Some((start, part))
        });
        for (start, part) in found {
            if part == cell {
                return self.span.start + start..self.span.start + start + part.len();
            }
        }
        self.span.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_quoted_cells_and_notes() {
        let text = "id,notes\n1,\"a=1; b, with comma; size_gib=3.5\"\n\n2,\n";
        let table = Table::read("t.csv", text).unwrap();
        let mut faults = Faults::default();
        let rows = table.each(&mut faults, |row, _| {
            let size = row.note("size_gib").map(str::to_owned);
            Some((
                size,
                row.flagged("b,"),
                row.stated("notes").is_some(),
                row.text("no such column").to_owned(),
            ))
        });
        assert_eq!(
            rows,
            [(Some("3.5".to_owned()), true, true, String::new()), (None, false, false, String::new())]
        );
        assert!(faults.is_empty());
    }

    #[test]
    fn rows_of_the_wrong_width_are_problems() {
        let text = "a,b\n1\n1,2\n1,2,3\n";
        let bad = Table::read("t.csv", text).unwrap_err();
        let places: Vec<&str> = bad.problems.iter().map(|p| &text[p.span.clone()]).collect();
        assert_eq!(places, ["1", "1,2,3"]);
    }
}
