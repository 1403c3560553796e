//! Tables for the terminal: thin, aligned, cut to the width of the page.

use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

/// A table without borders, a rule below its heading.
pub fn thin(width: usize) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    table
}

/// A heading or figure aligned at its end, or a text at its start.
pub fn cell(text: impl Into<String>, right: bool) -> Cell {
    let alignment = if right { CellAlignment::Right } else { CellAlignment::Left };
    Cell::new(text.into()).set_alignment(alignment)
}

/// The table as lines without trailing blanks.
pub fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Columns a text takes on the terminal.
pub fn text_width(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// Wraps a text at blanks; following lines are indented.
pub fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut shown = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > width {
            shown.push('\n');
            shown.push_str(indent);
            column = indent.chars().count();
        } else if column > 0 {
            shown.push(' ');
            column += 1;
        }
        shown.push_str(word);
        column += len;
    }
    shown
}
