//! A table in Markdown: text to the left, numbers to the right.

use std::io::{self, Write};

/// A Markdown table.
pub(super) struct Table {
    header: Vec<&'static str>,
    /// Columns with text; the others hold numbers.
    pub(super) text: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows whose first `text` columns hold text.
    pub(super) fn new(header: &[&'static str], text: usize) -> Self {
        Self { header: header.to_vec(), text: (0..text).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect());
    }

    /// Writes the table and an empty line; nothing without rows.
    pub(super) fn write_unless_empty(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.rows.is_empty() { Ok(()) } else { self.write(out) }
    }

    /// Writes the table and an empty line.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let rules: Vec<&str> = (0..self.header.len())
            .map(|column| if self.text.contains(&column) { "---" } else { "--:" })
            .collect();
        writeln!(out, "| {} |\n| {} |", self.header.join(" | "), rules.join(" | "))?;
        for row in &self.rows {
            writeln!(out, "| {} |", row.join(" | "))?;
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_in_cells_do_not_divide_them() {
        let mut table = Table::new(&["what", "n"], 1);
        table.row(["a | b".to_owned(), "1".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "| what | n |\n| --- | --: |\n| a \\| b | 1 |\n\n");
        let mut out = Vec::new();
        Table::new(&["what"], 1).write_unless_empty(&mut out).unwrap();
        assert!(out.is_empty());
    }
}
