//! Formats × contexts on a terminal.

use crate::plan::{FitCell, FitTable};
use crate::report::columns::{UNKNOWN, whole};
use crate::report::table::{cell, lines, thin, wrap};
use crate::units::{gib, significant, tokens};
use std::io::{self, Write};

/// Writes the table.
///
/// # Errors
/// When the writer fails.
pub fn render(table: &FitTable, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let load = table.question.workload;
    let title = format!(
        "{} on {}: which format fits, for {} at the same time",
        table.model,
        table.question.machine,
        if load.users == 1 { "1 user".to_owned() } else { format!("{} users", load.users) },
    );
    writeln!(out, "{}\n", wrap(&title, width, "  "))?;
    let mut page = thin(width);
    let contexts = table.contexts.iter().map(|context| cell(format!("ctx\n{}", tokens(*context)), true));
    page.set_header([cell("format", false), cell("disk\nGiB", true)].into_iter().chain(contexts).chain([
        cell("max\nctx", true),
        cell("users", true),
        cell("tok/s", true),
        cell("quality\n%", true),
        cell("how", false),
    ]));
    for row in &table.rows {
        let verdicts = row.cells.iter().map(|verdict| match verdict {
            FitCell::Fits => cell("fits", true),
            FitCell::Tight => cell("tight", true),
            FitCell::Short(bytes) => cell(format!("-{}", gib(*bytes)), true),
        });
        let figures = row.choice.as_ref().map_or_else(
            || vec![UNKNOWN.to_owned(); 5],
            |c| {
                let e = c.decode_tokens_per_s;
                vec![
                    tokens(c.largest_context),
                    c.users.to_string(),
                    format!(
                        "{} ({}–{})",
                        significant(e.likely.get()),
                        whole(e.low.get()),
                        whole(e.high.get())
                    ),
                    c.quality
                        .as_ref()
                        .map_or_else(|| UNKNOWN.to_owned(), |q| format!("{:.1}", q.value * 100.0)),
                    c.layout.clone(),
                ]
            },
        );
        let last = figures.len() - 1;
        page.add_row(
            [cell(row.format.clone(), false), cell(gib(row.weights_bytes), true)]
                .into_iter()
                .chain(verdicts)
                .chain(figures.into_iter().enumerate().map(|(i, text)| cell(text, i != last))),
        );
    }
    out.write_all(lines(&page).as_bytes())?;
    let below = "A number below zero is the GiB missing on the worst device. Users, speed and the way are those of the \
                 shortest context that fits.";
    writeln!(out, "\n{}", wrap(below, width, ""))?;
    for assumption in &table.assumptions {
        writeln!(out, "{}", wrap(&format!("· assumed: {assumption}"), width, "  "))?;
    }
    Ok(())
}
