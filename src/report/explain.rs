//! Why a number: the memory ledger and the parts of a step as trees with their origins.

use crate::plan::{Amount, Candidate, Term};
use crate::report::columns::duration;
use crate::report::table::wrap;
use crate::units::significant;
use std::io::{self, Write};

/// Writes the trees of one option.
///
/// # Errors
/// When the writer fails.
pub fn render(option: &Candidate, width: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", option.id)?;
    writeln!(
        out,
        "{}",
        wrap(
            &format!("weights {} as {}: {}", option.weights_bytes, option.format, option.weights_origin),
            width,
            "  "
        )
    )?;
    for term in &option.memory {
        writeln!(out)?;
        tree(term, 0, width, out)?;
    }
    for (title, term) in
        [("decode, one stream", &option.decode_step), ("prefill, one prompt", &option.prefill_step)]
    {
        writeln!(out, "\n{title}: {}", shown(term.amount))?;
        for part in &term.parts {
            tree(part, 1, width, out)?;
        }
    }
    if let Some(quality) = &option.quality {
        writeln!(out, "\nquality kept {:.1} %", quality.value * 100.0)?;
        writeln!(out, "  {}", wrap(&quality.origin.to_string(), width.saturating_sub(2), "  "))?;
    }
    if let Some(rate) = &option.cost.per_hour {
        writeln!(out, "\ncost ${} per hour", significant(rate.value.get()))?;
        writeln!(out, "  {}", wrap(&rate.origin.to_string(), width.saturating_sub(2), "  "))?;
    }
    Ok(())
}

/// An amount with its unit.
fn shown(amount: Amount) -> String {
    match amount {
        Amount::Bytes(bytes) => bytes.to_string(),
        Amount::Seconds(seconds) => duration(seconds.get()),
    }
}

/// A term and its parts, indented; the amount first so that columns align.
fn tree(term: &Term, level: usize, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let indent = "  ".repeat(level);
    let limit = term.limit.map_or_else(String::new, |limit| format!(" [{limit}]"));
    let basis = if term.basis.is_empty() { String::new() } else { format!(" — {}", term.basis) };
    let line = format!("{}{limit}{basis}", term.label);
    let hanging = " ".repeat(indent.len() + 14);
    let text = wrap(&line, width.saturating_sub(hanging.len()), "");
    writeln!(out, "{indent}{:>12}  {}", shown(term.amount), text.replace('\n', &format!("\n{hanging}")))?;
    for part in &term.parts {
        tree(part, level + 1, width, out)?;
    }
    Ok(())
}
