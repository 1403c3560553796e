//! Why a number: memory as a tree, steps as tables of parts, the constants behind them, and what
//! would help most.

use crate::plan::{Amount, Constant, Explanation, Lever, Peaks, Step, Term};
use crate::report::columns::{UNKNOWN, duration};
use crate::report::table::{cell, lines, thin, wrap};
use crate::units::{Bandwidth, FlopRate, significant};
use std::io::{self, Write};

/// Writes everything behind one option.
///
/// # Errors
/// When the writer fails.
pub fn render(explanation: &Explanation, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let option = &explanation.option;
    writeln!(out, "{}", option.id)?;
    let weights = format!("weights {} as {}: {}", option.weights_bytes, option.format, option.weights_origin);
    writeln!(out, "{}", wrap(&weights, width, "  "))?;
    let kinds: Vec<String> = explanation
        .layers
        .iter()
        .map(|kind| format!("{} of {}", kind.layers, kind.blocks.join(" + ")))
        .collect();
    writeln!(out, "{}", wrap(&format!("layers: {}", kinds.join(", ")), width, "  "))?;
    for term in &explanation.memory {
        writeln!(out)?;
        tree(term, 0, width, out)?;
    }
    for step in &explanation.steps {
        parts(step, width, out)?;
    }
    if let Some(peaks) = &explanation.peaks {
        writeln!(out, "\n{}", wrap(&shares_of(peaks), width, "  "))?;
    }
    for term in &explanation.loads {
        writeln!(out)?;
        tree(term, 0, width, out)?;
    }
    levers(explanation, width, out)?;
    constants(explanation, width, out)?;
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

/// A share as per cent.
fn percent(share: Option<f64>) -> String {
    share.map_or_else(
        || UNKNOWN.to_owned(),
        |share| {
            let percent = share * 100.0;
            if percent < 0.95 { "<1".to_owned() } else { format!("{percent:.0}") }
        },
    )
}

/// The parts of a step as a table, longest first.
fn parts(step: &Step, width: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{}: {}, bounded by {}", step.label, duration(step.seconds.get()), step.limit)?;
    let mut page = thin(width);
    page.set_header([
        cell("part", false),
        cell("layers", true),
        cell("time", true),
        cell("%", true),
        cell("limit", false),
        cell("% of\nbandwidth", true),
        cell("% of\narithmetic", true),
    ]);
    for part in &step.parts {
        let layers = if part.layers == 0 { UNKNOWN.to_owned() } else { part.layers.to_string() };
        page.add_row([
            cell(part.label.clone(), false),
            cell(layers, true),
            cell(duration(part.seconds.get()), true),
            cell(percent(Some(part.share)), true),
            cell(part.limit.word(), false),
            cell(percent(part.bandwidth_share), true),
            cell(percent(part.arithmetic_share), true),
        ]);
    }
    out.write_all(lines(&page).as_bytes())
}

/// What the shares are of.
fn shares_of(peaks: &Peaks) -> String {
    let host = format!("Shares of the host are of {} GB/s.", significant(peaks.host_bytes_per_s.in_gb_s()));
    if peaks.bandwidth_bytes_per_s == Bandwidth::ZERO {
        return host;
    }
    let tera = |rate: FlopRate| format!("{} TFLOP/s", significant(rate.in_tflops()));
    let mut rates = vec![format!("attention {}", tera(peaks.wide_flop_per_s))];
    rates.push(format!("products {}", tera(peaks.products_flop_per_s)));
    rates.push(format!("experts {}", tera(peaks.experts_flop_per_s)));
    format!(
        "Shares are of one device's peaks: {} GB/s; {}. {host}",
        significant(peaks.bandwidth_bytes_per_s.in_gb_s()),
        rates.join(", "),
    )
}

/// What would help, most first; what does not is named in one sentence.
fn levers(explanation: &Explanation, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let (useful, rest): (Vec<&Lever>, Vec<&Lever>) =
        explanation.levers.iter().partition(|lever| lever.helps());
    writeln!(out, "\nwhat would help most")?;
    if useful.is_empty() {
        writeln!(out, "  nothing that was tried gains 1 %")?;
    } else {
        let mut page = thin(width);
        page.set_header([
            cell("change", false),
            cell("tok/s, one", true),
            cell("tok/s, all", true),
            cell("TTFT", true),
            cell("leads to", false),
        ]);
        let gain = |gain: f64| format!("{:+.0} %", (gain - 1.0) * 100.0).replace("-0 %", "+0 %");
        for lever in useful {
            page.add_row([
                cell(lever.change.word(), false),
                cell(
                    format!("{} {}", significant(lever.decode_tokens_per_s.get()), gain(lever.stream_gain)),
                    true,
                ),
                cell(
                    format!(
                        "{} {}",
                        significant(lever.output_tokens_per_s.get()),
                        gain(lever.throughput_gain)
                    ),
                    true,
                ),
                cell(format!("{} {}", duration(lever.ttft_s.get()), gain(1.0 / lever.ttft_gain)), true),
                cell(lever.option.clone().unwrap_or_default(), false),
            ]);
        }
        out.write_all(lines(&page).as_bytes())?;
    }
    let rest: Vec<&str> = rest.iter().map(|lever| lever.change.word()).collect();
    if !rest.is_empty() {
        writeln!(out, "{}", wrap(&format!("No gain of 1 % from: {}.", rest.join(", ")), width, "  "))?;
    }
    Ok(())
}

/// The constants with their values, and where they come from.
fn constants(explanation: &Explanation, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let used = &explanation.constants;
    if used.is_empty() {
        return Ok(());
    }
    let mut sources: Vec<&str> = used.iter().map(|constant| constant.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    writeln!(out, "\nconstants")?;
    let mut page = thin(width);
    page.set_header([cell("name", false), cell("value", true), cell("unit", false), cell("origin", false)]);
    for constant in used {
        page.add_row([
            cell(constant.name.clone(), false),
            cell(significant(constant.value), true),
            cell(constant.unit.clone(), false),
            cell(origin(constant, &sources), false),
        ]);
    }
    out.write_all(lines(&page).as_bytes())?;
    for (number, source) in sources.iter().enumerate() {
        writeln!(out, "{}", wrap(&format!("[{}] {source}", number + 1), width, "    "))?;
    }
    if used.iter().any(|constant| (constant.fitted_factor - 1.0).abs() > 1e-9) {
        writeln!(out, "{}", wrap(&format!("fitted to {}", explanation.fitted_to), width, "    "))?;
    }
    Ok(())
}

/// `[2], from a neighbouring class, times a fitted 0.93 (412 rows)`.
fn origin(constant: &Constant, sources: &[&str]) -> String {
    let number = sources.iter().position(|source| *source == constant.source).map_or(0, |place| place + 1);
    let mut said = vec![format!("[{number}]")];
    if !constant.reach.is_empty() {
        said.push(constant.reach.clone());
    }
    if (constant.fitted_factor - 1.0).abs() > 1e-9 {
        said.push(format!(
            "times a fitted {} ({} rows)",
            significant(constant.fitted_factor),
            constant.fitted_rows
        ));
    }
    said.join(", ")
}
