//! The answer on a terminal: verdict, ranked table, remarks; any width from 60 columns up.

use crate::plan::{Candidate, Plan};
use crate::report::columns::{COLUMNS, Column};
use crate::report::table::{cell, lines, text_width, thin, wrap};
use crate::report::verdict;
use std::io::{self, Write};

/// How the page looks.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Columns.
    pub width: usize,
    /// Options shown; the rest is counted.
    pub options: usize,
}

/// Writes the answer.
///
/// # Errors
/// When the writer fails.
pub fn render(plan: &Plan, page: Page, out: &mut dyn Write) -> io::Result<()> {
    for sentence in verdict::sentences(plan) {
        writeln!(out, "{}", wrap(&sentence, page.width, "  "))?;
    }
    if !plan.options.is_empty() {
        writeln!(out)?;
        out.write_all(options(plan, page).as_bytes())?;
        let hidden = plan.options.len() - chosen(plan, page).len();
        if hidden > 0 {
            writeln!(out, "… and {hidden} more options that fit (--all shows them)")?;
        }
    }
    let remarks = verdict::remarks(plan);
    if !remarks.is_empty() {
        writeln!(out)?;
    }
    for remark in remarks {
        writeln!(out, "{}", wrap(&format!("· {remark}"), page.width, "  "))?;
    }
    if let [best, ..] = plan.options.as_slice() {
        writeln!(out, "{}", wrap(&format!("· why: plan explain {} --hw …", best.id), page.width, "  "))?;
    }
    Ok(())
}

/// The options worth a line: of each format and engine the best and the one of
/// highest throughput, so that a page shows choices and not variants of one.
fn chosen(plan: &Plan, page: Page) -> Vec<&Candidate> {
    if page.options >= plan.options.len() {
        return plan.options.iter().collect();
    }
    let alike =
        |a: &Candidate, b: &Candidate| a.model == b.model && a.format == b.format && a.engine == b.engine;
    let rate = |option: &Candidate| option.throughput.output_tokens_per_s.likely.get();
    plan.options
        .iter()
        .enumerate()
        .filter(|(rank, option)| {
            let first = !plan.options[..*rank].iter().any(|other| alike(option, other));
            first || plan.options.iter().all(|other| !alike(option, other) || rate(other) <= rate(option))
        })
        .map(|(_, option)| option)
        .take(page.options)
        .collect()
}

/// The ranked table; columns of high rank go first when the page is narrow.
fn options(plan: &Plan, page: Page) -> String {
    let shown = chosen(plan, page);
    let one_model = plan.models.len() == 1;
    let mut columns: Vec<(&Column, Vec<String>)> = COLUMNS
        .iter()
        .filter(|c| !(one_model && c.key == "model"))
        .map(|c| (c, shown.iter().map(|option| (c.shown)(option)).collect::<Vec<_>>()))
        // A column nobody knows anything about takes room and says nothing.
        .filter(|(_, cells)| cells.iter().any(|cell| cell != crate::report::columns::UNKNOWN))
        .collect();
    let width_of = |columns: &[(&Column, Vec<String>)]| -> usize {
        let number = plan.options.len().to_string().len() + 2;
        let cells = |c: &Column, cells: &[String]| {
            cells.iter().map(|cell| text_width(cell)).max().unwrap_or(0).max(text_width(c.label)) + 2
        };
        number + columns.iter().map(|(c, values)| cells(c, values)).sum::<usize>()
    };
    // Between models the memory they take says more than how they are divided.
    let rank = |c: &Column| match c.key {
        "layout" if !one_model => 3,
        "weights_bytes" if !one_model => 1,
        _ => c.rank,
    };
    while width_of(&columns) > page.width && columns.iter().any(|(c, _)| rank(c) > 0) {
        let worst = columns.iter().enumerate().max_by_key(|(i, (c, _))| (rank(c), *i)).map(|(i, _)| i);
        if let Some(i) = worst {
            columns.remove(i);
        }
    }
    let mut table = thin(page.width);
    table.set_header(
        std::iter::once(cell("#", true)).chain(columns.iter().map(|(c, _)| cell(c.label, c.right))),
    );
    for row in 0..shown.len() {
        table.add_row(
            std::iter::once(cell((row + 1).to_string(), true))
                .chain(columns.iter().map(|(c, values)| cell(values[row].clone(), c.right))),
        );
    }
    lines(&table)
}
