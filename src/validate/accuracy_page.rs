//! The accuracy page: what `docs/accuracy.md` says, written from judged rows.
//!
//! Nothing on it is typed by hand: the same rows give the same bytes, so a page that is out of
//! date shows as a difference. Headline regimes stand beside their aims, missed ones too.

use super::Judged;
use super::headline_table::write_headlines;
use super::markdown_table::Table;
use super::misses::{Explanations, unanswered, worst_groups};
use super::regimes::{Summary, summarise};
use super::report::{percent, plain_number, signed_percent};
use std::io::{self, Write};

/// Groups among the worst misses: of speed, and of sizes and memory.
const WORST_GROUPS: [usize; 2] = [25, 10];
/// Rows faster than physics that are listed.
const MOST_BEYOND: usize = 50;

/// How many constants stand behind the predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConstantCount {
    /// Fitted on end-to-end measurements.
    pub free: usize,
    /// How many of those the rows determine against their pull towards their parent.
    pub determined: usize,
    /// From datasheets and source code.
    pub given: usize,
}

/// What the page is written from.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Rows predicted with the shipped constants.
    pub fitted: &'a [Judged],
    /// Speed rows predicted with constants that never saw their model; may be empty.
    pub left_out_model: &'a [Judged],
    /// Speed rows predicted with constants that never saw their machine; may be empty.
    pub left_out_machine: &'a [Judged],
    /// The constants; `None` when nobody counted.
    pub constants: Option<ConstantCount>,
    /// Measurements with their rows.
    pub files: &'a [(String, usize)],
    /// The command that writes the page.
    pub command: &'a str,
}

/// Writes the page.
///
/// # Errors
/// What the output says.
pub fn write_page(out: &mut dyn Write, page: &Page<'_>) -> io::Result<()> {
    writeln!(out, "# How right the predictions are\n")?;
    writeln!(out, "Written by `{}`; do not edit.\n", page.command)?;
    method(out, page)?;
    write_headlines(out, page)?;
    writeln!(out, "![Predicted against measured speed](accuracy.svg)\n")?;
    regimes(out, page)?;
    misses(out, page)?;
    beyond_bound(out, page)?;
    not_answered(out, page)?;
    reproduce(out, page)
}

/// What is measured and how an error is computed.
fn method(out: &mut dyn Write, page: &Page<'_>) -> io::Result<()> {
    writeln!(
        out,
        "## What is measured\n\n\
         Every row of these files is a published measurement. It is turned into a question, answered without looking at\n\
         its value, and compared:\n"
    )?;
    for (name, rows) in page.files {
        writeln!(out, "- `{name}`: {rows} rows")?;
    }
    writeln!(
        out,
        "\nThe error of a row is |predicted / measured − 1|, rounding of the measurement free. Rows of one model, machine, engine\n\
         and metric form a group whose error is their median; a regime shows the median and the 90th percentile over its groups,\n\
         so a source with many rows weighs no more than one with few. Bias is the median signed error: positive = predicted too\n\
         much. A stated interval should hold 80 % of the measurements. Rows that cannot be predicted count as not answered.\n\n\
         *As fitted* means the shipped constants, some of which were fitted on such rows. *Model left out* and *machine left\n\
         out* mean constants fitted again without any row of that model, or of that machine: expect these for models and\n\
         machines nobody has measured.\n"
    )
}

/// Every regime, and rows in doubt beside them.
fn regimes(out: &mut dyn Write, page: &Page<'_>) -> io::Result<()> {
    let of = |wanted: fn(&Judged) -> bool| {
        page.fitted.iter().filter(|row| wanted(row)).cloned().collect::<Vec<Judged>>()
    };
    let speed = of(|row| row.facts.is_some_and(|facts| facts.is_sound()));
    let doubtful = of(|row| row.facts.is_some_and(|facts| !facts.is_sound()));
    let memory = of(|row| row.facts.is_none());
    let parts = [
        ("## Speed by regime", "As fitted.\n\n", speed, 1),
        (
            "## Rows in doubt",
            "More requests were sent than ran, or several tokens per step were or may have been generated. They are shown\n\
             beside the regimes and count in none. As fitted.\n\n",
            doubtful,
            1,
        ),
        ("## Sizes and memory", "", memory, 2),
    ];
    for (title, about, rows, decimals) in parts {
        if !rows.is_empty() {
            write!(out, "{title}\n\n{about}")?;
            summary_table(out, &summarise(&rows), decimals)?;
        }
    }
    Ok(())
}

fn summary_table(out: &mut dyn Write, summaries: &[Summary], decimals: usize) -> io::Result<()> {
    let mut table = Table::new(
        &["metric", "regime", "rows", "answered", "groups", "median", "p90", "bias", "in interval"],
        2,
    );
    for s in summaries {
        table.row([
            format!("`{}`", s.metric),
            s.regime.clone(),
            s.rows.to_string(),
            answered(s),
            s.groups.to_string(),
            percent(s.median_ape, decimals),
            percent(s.p90_ape, decimals),
            signed_percent(s.bias, decimals),
            percent(s.coverage, 0),
        ]);
    }
    table.write(out)
}

/// The worst groups with the reason where one is known.
fn misses(out: &mut dyn Write, page: &Page<'_>) -> io::Result<()> {
    let reasons = Explanations::shipped();
    writeln!(
        out,
        "## The worst misses\n\n\
         Groups by the factor between predicted and measured, as fitted, speed first, then sizes and memory; error is the median\n\
         signed error of the group.\n"
    )?;
    for (speed, most) in [true, false].into_iter().zip(WORST_GROUPS) {
        let counted = page.fitted.iter().filter(|row| match row.facts {
            Some(facts) => speed && facts.is_sound(),
            None => !speed,
        });
        let mut table = Table::new(&["group", "regime", "rows", "error", "reason"], 2);
        table.text.push(4);
        for miss in worst_groups(counted, most) {
            let reason = reasons.of(&miss.group).unwrap_or("not explained").to_owned();
            let error = signed_percent(Some(miss.error), 0);
            table.row([miss.group, miss.regime, miss.rows.to_string(), error, reason]);
        }
        table.write_unless_empty(out)?;
    }
    Ok(())
}

/// Rows faster than reading the weights allows.
fn beyond_bound(out: &mut dyn Write, page: &Page<'_>) -> io::Result<()> {
    writeln!(out, "## Faster than physics\n")?;
    if page.fitted.iter().all(|row| row.beyond_bound.is_none()) {
        return writeln!(out, "Not checked: the bound from reading the weights was not computed.\n");
    }
    let mut beyond: Vec<(&Judged, f64)> = page
        .fitted
        .iter()
        .filter_map(|row| Some((row, row.beyond_bound.filter(|ratio| *ratio > 1.0)?)))
        .collect();
    beyond.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.id.cmp(&b.0.id)));
    writeln!(
        out,
        "{} rows were measured faster than memory at its full bandwidth and arithmetic at its peak allow: the row is wrong, or it\n\
         says too little.\n",
        beyond.len()
    )?;
    let mut table = Table::new(&["row", "group", "measured", "over the bound"], 2);
    for (row, ratio) in beyond.into_iter().take(MOST_BEYOND) {
        let measured = plain_number(Some(row.measured));
        table.row([format!("`{}`", row.id), row.group.clone(), measured, format!("{ratio:.2} ×")]);
    }
    table.write_unless_empty(out)
}

/// Rows without a prediction by reason.
fn not_answered(out: &mut dyn Write, page: &Page<'_>) -> io::Result<()> {
    writeln!(out, "## Not answered\n")?;
    let reasons =
        unanswered(page.fitted.iter().filter_map(|row| row.predicted.as_ref().err()).map(String::as_str));
    if reasons.is_empty() {
        return writeln!(out, "Every row has a prediction.\n");
    }
    let mut table = Table::new(&["reason", "rows"], 1);
    for (reason, rows) in reasons {
        table.row([reason.to_owned(), rows.to_string()]);
    }
    table.write(out)
}

/// Constants, and the command.
fn reproduce(out: &mut dyn Write, page: &Page<'_>) -> io::Result<()> {
    writeln!(out, "## Constants\n")?;
    match page.constants {
        Some(ConstantCount { free, determined, given }) => writeln!(
            out,
            "{free} factors were fitted on whole runs with a pull towards their parent, of which rows determine about {determined};\n\
             {given} constants come from operator measurements, data sheets and source code.\n"
        )?,
        None => writeln!(out, "Not counted in this run.\n")?,
    }
    writeln!(
        out,
        "## How to reproduce\n\n```sh\n{}\n```\n\n\
         It writes this page and the picture, byte for byte; `plan validate --json` has every row with its prediction.",
        page.command
    )
}

/// Share of rows with a prediction.
pub(super) fn answered(summary: &Summary) -> String {
    let share = (summary.rows > 0).then(|| summary.answered as f64 / summary.rows as f64);
    percent(share, 0)
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{LOCAL, SERVED};
    use super::super::facts::{Doubt, Facts};
    use super::*;
    use crate::fact::Estimate;
    use crate::validate::Comparison;

    fn row(id: &str, ratio: Result<f64, &str>, facts: Option<Facts>) -> Judged {
        Judged {
            id: id.to_owned(),
            regime: facts.map_or_else(|| "stock".to_owned(), |facts| facts.regime()),
            also: Vec::new(),
            metric: if facts.is_some() { "decode_tps" } else { "file_bytes" }.to_owned(),
            group: format!("group-{id}"),
            measured: 100.0,
            precision: 0.0,
            comparison: Comparison::Relative,
            predicted: ratio
                .map(|r| Estimate { low: 90.0 * r, likely: 100.0 * r, high: 110.0 * r })
                .map_err(str::to_owned),
            facts,
            beyond_bound: None,
        }
    }

    fn written(page: &Page<'_>) -> String {
        let mut out = Vec::new();
        write_page(&mut out, page).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The lines of a section, its title included.
    fn section<'a>(page: &'a str, title: &str) -> &'a str {
        let start = page.find(title).expect("the page has the section");
        let end = page[start + 2..].find("\n## ").map_or(page.len(), |at| start + 2 + at);
        page[start..end].trim_end()
    }

    #[test]
    fn a_small_page() {
        let rows = [
            row("a", Ok(1.05), Some(LOCAL)),
            row("b", Ok(0.5), Some(SERVED)),
            row("c", Err("no | model"), Some(SERVED)),
            row("d", Ok(1.5), Some(Facts { doubt: Doubt::Queueing, ..SERVED })),
            row("e", Ok(1.0), None),
        ];
        let left_out = [row("a", Ok(1.07), Some(LOCAL))];
        let page = written(&Page {
            fitted: &rows,
            left_out_model: &left_out,
            left_out_machine: &[],
            constants: Some(ConstantCount { free: 9, determined: 7, given: 160 }),
            files: &[("measurements/local.csv".to_owned(), 5)],
            command: "plan validate --page docs",
        });
        insta::assert_snapshot!(page, @r#"
        # How right the predictions are

        Written by `plan validate --page docs`; do not edit.

        ## What is measured

        Every row of these files is a published measurement. It is turned into a question, answered without looking at
        its value, and compared:

        - `measurements/local.csv`: 5 rows

        The error of a row is |predicted / measured − 1|, rounding of the measurement free. Rows of one model, machine, engine
        and metric form a group whose error is their median; a regime shows the median and the 90th percentile over its groups,
        so a source with many rows weighs no more than one with few. Bias is the median signed error: positive = predicted too
        much. A stated interval should hold 80 % of the measurements. Rows that cannot be predicted count as not answered.

        *As fitted* means the shipped constants, some of which were fitted on such rows. *Model left out* and *machine left
        out* mean constants fitted again without any row of that model, or of that machine: expect these for models and
        machines nobody has measured.

        ## Headline regimes

        Median / 90th percentile of the error; the aim for left-out models and machines is a median.

        | regime | rows | answered | groups | aim | as fitted | as fitted reaches it | aim left out | model left out | machine left out | left out reaches it | in interval: fitted / model out / machine out |
        | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
        | decode, dense, one GPU or unified memory, depth < 4k | 1 | 100 % | 1 | 6 % / 15 % | 5.0 % / 5.0 % | ✓ yes | 8 % | 7.0 % / 7.0 % | – | ✓ yes | 100 % / 100 % / – |
        | decode, MoE, one GPU or unified memory, depth < 4k | 0 | – | 0 | 8 % / 20 % | – | – | 10 % | – | – | – | – / – / – |
        | decode, one GPU or unified memory, depth >= 4k | 0 | – | 0 | 8 % / 20 % | – | – | 12 % | – | – | – | – / – / – |
        | decode, CPU only and experts on CPU | 0 | – | 0 | 10 % / 30 % | – | – | 20 % | – | – | – | – / – / – |
        | prefill, GPU | 0 | – | 0 | 12 % / 35 % | – | – | 20 % | – | – | – | – / – / – |
        | prefill, CPU and hybrid | 0 | – | 0 | 20 % / 60 % | – | – | 30 % | – | – | – | – / – / – |
        | decode, several GPUs, layer split or TP (local engines) | 0 | – | 0 | 8 % / 25 % | – | – | 12 % | – | – | – | – / – / – |
        | batched output (local engines) | 0 | – | 0 | 10 % / 30 % | – | – | 15 % | – | – | – | – / – / – |
        | serving TPOT, aggregated, TP <= 8 | 2 | 50 % | 1 | 9 % / 25 % | 50.0 % / 50.0 % | ✗ no | 12 % | – | – | – | 0 % / – / – |
        | serving TPOT and throughput, attention-DP / EP / multi-node / disaggregated | 0 | – | 0 | 10 % / 30 % | – | – | 16 % | – | – | – | – / – / – |
        | offline maximum throughput | 0 | – | 0 | 14 % / 40 % | – | – | 20 % | – | – | – | – / – / – |
        | serving TTFT | 0 | – | 0 | 17 % / 50 % | – | – | 22 % | – | – | – | – / – / – |

        Not counted in any of the 12: 1 rows in doubt (below), and 0 rows outside: model not in the catalogue,
        layout not stated, or throughput of tensor parallelism at a stated load, which follows from the time per token.

        ![Predicted against measured speed](accuracy.svg)

        ## Speed by regime

        As fitted.

        | metric | regime | rows | answered | groups | median | p90 | bias | in interval |
        | --- | --- | --: | --: | --: | --: | --: | --: | --: |
        | `decode_tps` | all | 3 | 67 % | 2 | 27.5 % | 45.5 % | -22.5 % | 50 % |
        | `decode_tps` | dense gpu decode <4k | 1 | 100 % | 1 | 5.0 % | 5.0 % | +5.0 % | 100 % |
        | `decode_tps` | tp tpot dense 17-128 | 2 | 50 % | 1 | 50.0 % | 50.0 % | -50.0 % | 0 % |

        ## Rows in doubt

        More requests were sent than ran, or several tokens per step were or may have been generated. They are shown
        beside the regimes and count in none. As fitted.

        | metric | regime | rows | answered | groups | median | p90 | bias | in interval |
        | --- | --- | --: | --: | --: | --: | --: | --: | --: |
        | `decode_tps` | all | 1 | 100 % | 1 | 50.0 % | 50.0 % | +50.0 % | 0 % |
        | `decode_tps` | queueing tp tpot dense 17-128 | 1 | 100 % | 1 | 50.0 % | 50.0 % | +50.0 % | 0 % |

        ## Sizes and memory

        | metric | regime | rows | answered | groups | median | p90 | bias | in interval |
        | --- | --- | --: | --: | --: | --: | --: | --: | --: |
        | `file_bytes` | all | 1 | 100 % | 1 | 0.00 % | 0.00 % | +0.00 % | 100 % |
        | `file_bytes` | stock | 1 | 100 % | 1 | 0.00 % | 0.00 % | +0.00 % | 100 % |

        ## The worst misses

        Groups by the factor between predicted and measured, as fitted, speed first, then sizes and memory; error is the median
        signed error of the group.

        | group | regime | rows | error | reason |
        | --- | --- | --: | --: | --- |
        | group-b | serving TPOT, aggregated, TP <= 8 | 1 | -50 % | not explained |
        | group-a | decode, dense, one GPU or unified memory, depth < 4k | 1 | +5 % | not explained |

        ## Faster than physics

        Not checked: the bound from reading the weights was not computed.

        ## Not answered

        | reason | rows |
        | --- | --: |
        | no \| model | 1 |

        ## Constants

        9 factors were fitted on whole runs with a pull towards their parent, of which rows determine about 7;
        160 constants come from operator measurements, data sheets and source code.

        ## How to reproduce

        ```sh
        plan validate --page docs
        ```

        It writes this page and the picture, byte for byte; `plan validate --json` has every row with its prediction.
        "#);
    }

    #[test]
    fn rows_faster_than_physics_are_listed_once_the_bound_is_known() {
        let mut rows = [row("a", Ok(1.0), Some(LOCAL)), row("b", Ok(1.0), Some(LOCAL))];
        rows[0].beyond_bound = Some(0.7);
        rows[1].beyond_bound = Some(1.3);
        let page = written(&Page {
            fitted: &rows,
            left_out_model: &[],
            left_out_machine: &[],
            constants: None,
            files: &[],
            command: "plan",
        });
        insta::assert_snapshot!(section(&page, "## Faster than physics"), @r#"
        ## Faster than physics

        1 rows were measured faster than memory at its full bandwidth and arithmetic at its peak allow: the row is wrong, or it
        says too little.

        | row | group | measured | over the bound |
        | --- | --- | --: | --: |
        | `b` | group-b | 100 | 1.30 × |
        "#);
    }
}
