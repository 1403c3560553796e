//! The headline regimes beside their aims, as the accuracy page shows them.

use super::accuracy_page::{Page, answered};
use super::headline::{HEADLINES, Standing, headline_of, standings};
use super::markdown_table::Table;
use super::regimes::Summary;
use super::report::percent;
use std::io::{self, Write};

/// Writes the section: every headline regime, reached or not, and what counts in none.
pub(super) fn write_headlines(out: &mut dyn Write, page: &Page<'_>) -> io::Result<()> {
    writeln!(
        out,
        "## Headline regimes\n\nMedian / 90th percentile of the error; the aim for left-out models and machines is a median.\n"
    )?;
    let model = standings(page.left_out_model);
    let machine = standings(page.left_out_machine);
    let mut table = Table::new(
        &[
            "regime",
            "rows",
            "answered",
            "groups",
            "aim",
            "as fitted",
            "as fitted reaches it",
            "aim left out",
            "model left out",
            "machine left out",
            "left out reaches it",
            "in interval: fitted / model out / machine out",
        ],
        1,
    );
    for ((fitted, model), machine) in standings(page.fitted).iter().zip(&model).zip(&machine) {
        let left_out = [&model.found, &machine.found];
        table.row([
            fitted.name.to_owned(),
            fitted.found.rows.to_string(),
            answered(&fitted.found),
            fitted.found.groups.to_string(),
            pair(Some(fitted.aim.median), Some(fitted.aim.p90), 0),
            pair(fitted.found.median_ape, fitted.found.p90_ape, 1),
            fitted_verdict(fitted).to_owned(),
            percent(Some(fitted.aim.left_out), 0),
            pair(model.found.median_ape, model.found.p90_ape, 1),
            pair(machine.found.median_ape, machine.found.p90_ape, 1),
            left_out_verdict(left_out, fitted.aim.left_out).to_owned(),
            [&fitted.found, &model.found, &machine.found].map(|found| percent(found.coverage, 0)).join(" / "),
        ]);
    }
    table.write(out)?;
    let speed = page.fitted.iter().filter_map(|row| row.facts.as_ref());
    let (doubtful, outside) =
        speed.filter(|facts| headline_of(facts).is_none()).fold((0, 0), |(doubtful, outside), facts| {
            if facts.is_sound() { (doubtful, outside + 1) } else { (doubtful + 1, outside) }
        });
    writeln!(
        out,
        "Not counted in any of the {}: {doubtful} rows in doubt (below), and {outside} rows outside: model not in the catalogue,\n\
         layout not stated, or throughput of tensor parallelism at a stated load, which follows from the time per token.\n",
        HEADLINES.len()
    )
}

/// Whether the shipped constants reach the aim, in words.
fn fitted_verdict(standing: &Standing) -> &'static str {
    let (Some(median), Some(p90)) = (standing.found.median_ape, standing.found.p90_ape) else { return "–" };
    match (median <= standing.aim.median, p90 <= standing.aim.p90) {
        (true, true) => "✓ yes",
        (true, false) => "✗ median yes, p90 no",
        (false, true) => "✗ median no, p90 yes",
        (false, false) => "✗ no",
    }
}

/// Whether rows left out reach the aim, in words; the worse of both counts.
fn left_out_verdict(found: [&Summary; 2], aim: f64) -> &'static str {
    let worst = found.into_iter().filter_map(|summary| summary.median_ape).max_by(f64::total_cmp);
    worst.map_or("–", |worst| if worst <= aim { "✓ yes" } else { "✗ no" })
}

/// Two shares in one cell; one `–` when both are unknown.
fn pair(first: Option<f64>, second: Option<f64>, decimals: usize) -> String {
    if first.is_none() && second.is_none() {
        return "–".to_owned();
    }
    format!("{} / {}", percent(first, decimals), percent(second, decimals))
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::LOCAL;
    use super::*;
    use crate::fact::Estimate;
    use crate::validate::{Comparison, Judged};

    fn row(ratio: f64) -> Judged {
        Judged {
            id: "r".to_owned(),
            regime: LOCAL.regime(),
            also: Vec::new(),
            metric: "decode_tps".to_owned(),
            group: "g".to_owned(),
            measured: 100.0,
            precision: 0.0,
            comparison: Comparison::Relative,
            predicted: Ok(Estimate { low: 90.0 * ratio, likely: 100.0 * ratio, high: 110.0 * ratio }),
            facts: Some(LOCAL),
            beyond_bound: None,
        }
    }

    #[test]
    fn verdicts_are_words_and_the_worse_of_both_counts() {
        let verdicts = |ratio, left_out: f64| {
            let rows = [row(ratio)];
            let out = [row(left_out)];
            (fitted_verdict(&standings(&rows)[0]), {
                let (model, machine) = (standings(&rows), standings(&out));
                left_out_verdict([&model[0].found, &machine[0].found], 0.08)
            })
        };
        assert_eq!(verdicts(1.05, 1.05), ("✓ yes", "✓ yes"));
        assert_eq!(verdicts(1.05, 1.09), ("✓ yes", "✗ no"));
        assert_eq!(verdicts(1.1, 1.05), ("✗ median no, p90 yes", "✗ no"));
        assert_eq!(fitted_verdict(&standings(&[])[0]), "–");
    }
}
