//! The frontier as a table of points and as CSV, from one list of columns.

use crate::fact::Confidence;
use crate::plan::{Curve, Frontier, Point};
use crate::report::columns::{duration, whole};
use crate::report::table::{cell, lines, thin, wrap};
use crate::units::{significant, tokens};
use std::io::{self, Write};

/// One column of the list of points.
struct Column {
    label: &'static str,
    key: &'static str,
    right: bool,
    shown: fn(&Curve, &Point) -> String,
    raw: fn(&Curve, &Point) -> String,
}

/// The columns in the order they are printed.
const COLUMNS: &[Column] = &[
    Column {
        label: "users",
        key: "users",
        right: true,
        shown: |_, p| p.users.to_string(),
        raw: |_, p| p.users.to_string(),
    },
    Column {
        label: "wait",
        key: "waiting",
        right: true,
        shown: |_, p| if p.waiting == 0 { String::new() } else { p.waiting.to_string() },
        raw: |_, p| p.waiting.to_string(),
    },
    Column {
        label: "TTFT",
        key: "ttft_s",
        right: true,
        shown: |_, p| duration(p.ttft_s.likely.get()),
        raw: |_, p| p.ttft_s.likely.get().to_string(),
    },
    Column {
        label: "TPOT",
        key: "tpot_s",
        right: true,
        shown: |_, p| duration(p.tpot_s.likely.get()),
        raw: |_, p| p.tpot_s.likely.get().to_string(),
    },
    Column {
        label: "tok/s, user\n(10–90 %)",
        key: "user_tokens_per_s",
        right: true,
        shown: |_, p| {
            let e = p.user_tokens_per_s;
            format!("{} ({}–{})", significant(e.likely.get()), whole(e.low.get()), whole(e.high.get()))
        },
        raw: |_, p| p.user_tokens_per_s.likely.get().to_string(),
    },
    Column {
        label: "tok/s,\ndevice",
        key: "device_tokens_per_s",
        right: true,
        shown: |_, p| significant(p.device_tokens_per_s.likely.get()),
        raw: |_, p| p.device_tokens_per_s.likely.get().to_string(),
    },
    Column {
        label: "tok/s,\nall",
        key: "output_tokens_per_s",
        right: true,
        shown: |_, p| significant(p.output_tokens_per_s.likely.get()),
        raw: |_, p| p.output_tokens_per_s.likely.get().to_string(),
    },
    Column {
        label: "engine",
        key: "engine",
        right: false,
        shown: |c, _| c.engine.word().to_owned(),
        raw: |c, _| c.engine.word().to_owned(),
    },
    Column {
        label: "format",
        key: "format",
        right: false,
        shown: |c, _| c.format.clone(),
        raw: |c, _| c.format.clone(),
    },
    Column {
        label: "layout",
        key: "layout",
        right: false,
        shown: |c, _| {
            let unsure = if c.confidence == Confidence::Extrapolated { " ~" } else { "" };
            format!("{}{unsure}", c.layout)
        },
        raw: |c, _| c.layout.clone(),
    },
];

/// Writes the front, or every point with the front marked.
///
/// # Errors
/// When the writer fails.
pub fn render(frontier: &Frontier, all: bool, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let (question, sweep) = (&frontier.question, &frontier.sweep);
    let cached = match sweep.cached {
        0 => String::new(),
        cached => format!(", {} of them cached", tokens(cached)),
    };
    let drafted = question.workload.drafting.map_or_else(String::new, |drafting| {
        format!(", {} tokens drafted ahead by {}", drafting.tokens, drafting.method)
    });
    let asked = format!(
        "prompts of {} tokens{cached}, answers of {}{drafted}",
        tokens(sweep.input),
        tokens(sweep.output)
    );
    let points: usize = frontier.curves.iter().map(|curve| curve.points.len()).sum();
    let head = format!(
        "{} on {}: {asked}. {points} loads of {} placements.",
        frontier.model,
        question.machine,
        frontier.curves.len(),
    );
    writeln!(out, "{}", wrap(&head, width, "  "))?;
    if frontier.curves.is_empty() {
        writeln!(out, "Nothing fits with {} of context.", tokens(question.workload.context))?;
        return Ok(());
    }
    let mut shown: Vec<(&Curve, &Point)> = frontier
        .curves
        .iter()
        .flat_map(|curve| curve.points.iter().map(move |point| (curve, point)))
        .filter(|(_, point)| all || point.on_front)
        .collect();
    if !all {
        // Along the front: the fastest user first.
        shown.sort_by(|a, b| {
            b.1.user_tokens_per_s.likely.get().total_cmp(&a.1.user_tokens_per_s.likely.get())
        });
    }
    let mut page = thin(width);
    let mark = all.then(|| cell("front", false));
    page.set_header(mark.into_iter().chain(COLUMNS.iter().map(|c| cell(c.label, c.right))));
    for (curve, point) in shown {
        let mark = all.then(|| cell(if point.on_front { "*" } else { "" }, false));
        page.add_row(mark.into_iter().chain(COLUMNS.iter().map(|c| cell((c.shown)(curve, point), c.right))));
    }
    writeln!(out)?;
    out.write_all(lines(&page).as_bytes())?;
    let mut below =
        "The front: no other load gives a user and a device as many tokens per second.".to_owned();
    if !all {
        below.push_str(" --all shows every load.");
    }
    if frontier.curves.iter().any(|curve| curve.confidence == Confidence::Extrapolated) {
        below.push_str(" ~ extrapolated: nothing alike was measured.");
    }
    writeln!(out, "\n{}", wrap(&below, width, ""))?;
    for assumption in &frontier.assumptions {
        writeln!(out, "{}", wrap(&format!("· assumed: {assumption}"), width, "  "))?;
    }
    Ok(())
}

/// Writes every point as CSV, with the ends of the intervals.
///
/// # Errors
/// When the writer fails.
pub fn csv(frontier: &Frontier, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    let more = [
        "on_front",
        "confidence",
        "devices",
        "slots",
        "limit",
        "ttft_low_s",
        "ttft_high_s",
        "user_low_tokens_per_s",
        "user_high_tokens_per_s",
    ];
    csv.write_record(["id"].into_iter().chain(COLUMNS.iter().map(|c| c.key)).chain(more))?;
    for curve in &frontier.curves {
        for point in &curve.points {
            let rest = [
                point.on_front.to_string(),
                format!("{:?}", curve.confidence).to_lowercase(),
                curve.devices.to_string(),
                curve.slots.to_string(),
                point.limit.word().to_owned(),
                point.ttft_s.low.get().to_string(),
                point.ttft_s.high.get().to_string(),
                point.user_tokens_per_s.low.get().to_string(),
                point.user_tokens_per_s.high.get().to_string(),
            ];
            csv.write_record(
                std::iter::once(curve.id.clone())
                    .chain(COLUMNS.iter().map(|c| (c.raw)(curve, point)))
                    .chain(rest),
            )?;
        }
    }
    csv.flush()
}
