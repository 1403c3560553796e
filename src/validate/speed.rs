//! Published speed measurements, local and serving, against the estimator.
//!
//! A row becomes a deployment: model, format, machine, engine and its version, division, chunk. The
//! measured value is read last. What the row does not say takes the engine's default, never a value
//! that would suit the measurement.

use super::csv_file::{Faults, Row};
use super::facts::{Doubt, Facts, Figure, Layout, Place};
use super::speed_row::{Question, question};
use super::{Comparison, Judge, Judged};
use crate::catalogue::hardware::Accelerator;
use crate::catalogue::store::Catalogue;
use crate::fact::Estimate;
use crate::perf::{Estimator, Phase};
use crate::units::Seconds;

/// The shipped rows of single machines: name and text. Up to three of each model, device, engine,
/// metric and depth, chosen by the hash that is their id and not by how well they are predicted.
pub const LOCAL: (&str, &str) =
    ("measurements/local.csv", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/measurements/local.csv")));

/// The shipped rows of serving, up to four of each model, device, engine, format, mode and metric.
pub const SERVING: (&str, &str) = (
    "measurements/serving.csv",
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/measurements/serving.csv")),
);

/// Judges measurements of single machines.
pub struct LocalSpeed<'a> {
    /// Where models and hardware are looked up.
    pub catalogue: &'a Catalogue,
}

/// Judges measurements of datacenter serving.
pub struct ServingSpeed<'a> {
    /// Where models and hardware are looked up.
    pub catalogue: &'a Catalogue,
}

impl Judge for LocalSpeed<'_> {
    fn kind(&self) -> &'static str {
        "local speed"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["model", "weights_format", "metric", "value", "depth_tokens", "flash_attention"]
    }

    fn judge(&self, row: &Row<'_>, faults: &mut Faults) -> Option<Judged> {
        let depth = row.optional("depth_tokens", faults)?.unwrap_or(0.0);
        let metric = row.text("metric");
        let device = self.catalogue.accelerator(row.text("accelerator")).ok();
        let unified = device.is_some_and(|device| is_shared(&device.value));
        let place = match row.text("offload") {
            "all-cpu" => Place::Cpu,
            "none" | "" if unified => Place::Unified,
            "none" | "" => Place::Gpu,
            _ => Place::Hybrid,
        };
        let facts = Facts {
            serving: false,
            moe: is_moe(row, self.catalogue),
            place,
            figure: Figure::of(metric),
            depth,
            devices: row.text("accelerator_count").parse().unwrap_or(1),
            concurrency: row.text("concurrency").parse().ok(),
            layout: Layout::of_split(row.text("split")),
            doubt: Doubt::None,
        };
        let device = if place == Place::Cpu { row.text("cpu") } else { row.text("accelerator") };
        let group = [row.text("model"), device, row.text("engine"), metric].join(" ");
        let mut judged = judged(row, faults, facts, group, self.catalogue)?;
        if row.flagged("self-reported") {
            judged.also.push(format!("self-reported {}", facts.figure.phase()));
        }
        Some(judged)
    }
}

impl Judge for ServingSpeed<'_> {
    fn kind(&self) -> &'static str {
        "serving speed"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["model", "weights_format", "metric", "value", "mode", "dp_attention", "length_note"]
    }

    fn judge(&self, row: &Row<'_>, faults: &mut Faults) -> Option<Judged> {
        let users = row.optional("concurrency", faults)?;
        let number = |column| row.text(column).parse::<u32>().unwrap_or(1);
        let domain = if row.text("accelerator").starts_with("gb") { 72 } else { 8 };
        let layout = if row.text("mode") == "disaggregated" {
            Layout::Disaggregated
        } else if row.text("tp").is_empty() {
            Layout::Unstated
        } else if number("tp") * number("pp") > domain {
            Layout::MultiNode
        } else if number("dp_attention") > 1 {
            Layout::AttentionDp
        } else if number("ep") > 1 {
            Layout::Expert
        } else {
            Layout::Tensor
        };
        let doubt = match row.text("speculative") {
            _ if row.flagged("queueing") => Doubt::Queueing,
            "none" => Doubt::None,
            "unknown" if !predicts_ahead(row, self.catalogue) => Doubt::None,
            _ => Doubt::Speculative,
        };
        let facts = Facts {
            serving: true,
            moe: is_moe(row, self.catalogue),
            place: Place::Gpu,
            figure: Figure::of(row.text("metric")),
            depth: row.optional("depth_tokens", faults)?.unwrap_or(0.0),
            devices: number("accelerator_count"),
            concurrency: users,
            layout,
            doubt,
        };
        let columns = ["model", "accelerator", "engine", "weights_format", "mode", "metric"];
        let group = columns.map(|column| row.text(column)).join(" ");
        judged(row, faults, facts, group, self.catalogue)
    }
}

/// Whether CPU and device share the memory.
fn is_shared(device: &Accelerator) -> bool {
    let memory = device.memory_type.as_deref().unwrap_or("");
    device.is_unified() || memory.contains("unified") || memory.contains("shared")
}

/// Whether the model has routed experts; `None` for one that is not in the catalogue.
fn is_moe(row: &Row<'_>, catalogue: &Catalogue) -> Option<bool> {
    catalogue.model(row.text("model")).ok().map(|model| model.value.is_moe())
}

/// Whether the checkpoint has layers that predict several tokens.
fn predicts_ahead(row: &Row<'_>, catalogue: &Catalogue) -> bool {
    catalogue.model(row.text("model")).is_ok_and(|model| model.value.mtp.is_some())
}

fn judged(
    row: &Row<'_>,
    faults: &mut Faults,
    facts: Facts,
    group: String,
    catalogue: &Catalogue,
) -> Option<Judged> {
    let serving = facts.serving;
    let predicted = question(row, catalogue, serving).and_then(|question| answer(&question, serving));
    let measured = row.number("value", faults)?;
    Some(Judged {
        id: row.text("id").to_owned(),
        regime: facts.regime(),
        also: facts.wider(),
        metric: row.text("metric").to_owned(),
        group,
        measured,
        precision: 0.0,
        comparison: Comparison::Relative,
        predicted,
        facts: Some(facts),
        beyond_bound: None,
    })
}

/// The prediction of a row, in the unit of its metric.
fn answer(question: &Question, serving: bool) -> Result<Estimate<f64>, String> {
    let deployment = question.deployment();
    let estimator = Estimator::on(&deployment, question.backend).map_err(|error| error.to_string())?;
    let Question { sequences, input, output, depth, devices, .. } = *question;
    let middle = depth + output / 2;
    let loaded = || estimator.serving(sequences, input, output);
    let (phase, is_rate, likely) = match question.metric.as_str() {
        "decode_tps" if !serving => {
            (Phase::Decode, true, 1.0 / estimator.decode(sequences, middle).total().get())
        }
        "output_tps" if !serving => {
            (Phase::Throughput, true, sequences as f64 / estimator.decode(sequences, depth).total().get())
        }
        "prefill_tps" if !serving => {
            let time = estimator.prefill(input, depth, sequences).total().get();
            (Phase::Prefill, true, (input * sequences) as f64 / time)
        }
        "tpot_ms" => (Phase::Decode, false, loaded().tpot.in_ms()),
        "interactivity_tps" => (Phase::Decode, true, 1.0 / loaded().tpot.get()),
        "ttft_ms" => {
            let load = loaded();
            let mean = if question.is_mean { load.burst } else { Seconds::ZERO };
            (Phase::FirstToken, false, (load.ttft + mean).in_ms())
        }
        "output_tps" => (Phase::Throughput, true, loaded().output_rate.get()),
        "output_tps_per_gpu" => (Phase::Throughput, true, loaded().output_rate.get() / devices),
        "total_tps_per_gpu" => {
            let load = loaded();
            (Phase::Throughput, true, (load.output_rate.get() + load.input_rate.get()) / devices)
        }
        other => return Err(format!("the metric {other} is not estimated")),
    };
    let (low, high) = estimator.ratios(phase);
    Ok(if is_rate {
        Estimate { low: likely * low, likely, high: likely * high }
    } else {
        Estimate { low: likely / high, likely, high: likely / low }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::judge_text;
    use crate::validate::regimes::{median, summary};
    use std::collections::BTreeMap;

    /// Every row of a file with its prediction.
    fn judged_rows((file, text): (&str, &str)) -> Vec<Judged> {
        let catalogue = Catalogue::embedded();
        let (local, serving) = (LocalSpeed { catalogue: &catalogue }, ServingSpeed { catalogue: &catalogue });
        judge_text(file, text, &[&serving, &local]).unwrap_or_else(|bad| panic!("{bad:?}"))
    }

    #[test]
    fn medians_do_not_get_worse() {
        let rows = [judged_rows(LOCAL), judged_rows(SERVING)].concat();
        for (regime, most) in [
            ("all decode", 0.06),
            ("all prefill", 0.15),
            ("several devices decode", 0.05),
            ("all tpot", 0.155),
            ("all ttft", 0.25),
            ("all throughput", 0.17),
        ] {
            let rows: Vec<&Judged> = rows.iter().filter(|row| row.also.iter().any(|r| r == regime)).collect();
            let errors = summary(regime, "", &rows);
            let found = errors.median_ape.unwrap();
            assert!(found <= most, "{regime}: median error {found}");
            // Stated intervals hold eight of ten.
            assert!(errors.coverage.unwrap() > 0.7, "{regime}: {:?} inside", errors.coverage);
        }
    }

    /// Prints errors by regime of the measurements file named in `SPEED_ROWS`: groups weigh alike,
    /// error of a group = median of its rows.
    #[test]
    #[ignore = "reads a measurements file and prints"]
    #[allow(clippy::print_stdout, clippy::disallowed_methods)]
    fn errors_by_regime() {
        let Ok(path) = std::env::var("SPEED_ROWS") else { return };
        let text = std::fs::read_to_string(&path).unwrap();
        let rows = judged_rows((&path, &text));
        let mut regimes: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &rows {
            for regime in row.also.iter().chain([&row.regime]) {
                regimes.entry(regime).or_default().push(row);
            }
            if let Err(why) = &row.predicted {
                *reasons.entry(why).or_default() += 1;
            }
        }
        let percent = |value: Option<f64>| 100.0 * value.unwrap_or(f64::NAN);
        for (regime, rows) in &regimes {
            let errors = summary(regime, "", rows);
            println!(
                "{regime:44} {:5}/{:<5} {:3} groups  median {:5.1} %  p90 {:6.1} %  bias {:+.1} %  inside {:.0} %",
                errors.answered,
                errors.rows,
                errors.groups,
                percent(errors.median_ape),
                percent(errors.p90_ape),
                percent(errors.bias),
                percent(errors.coverage),
            );
        }
        for (why, count) in reasons {
            println!("{count:6} unanswered: {why}");
        }
        let Ok(part) = std::env::var("SPEED_GROUPS") else { return };
        for (regime, rows) in regimes.iter().filter(|(regime, _)| regime.contains(&part)) {
            let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            for row in rows {
                groups.entry(&row.group).or_default().extend(row.signed_error());
            }
            for (group, errors) in groups.iter().filter(|(_, errors)| !errors.is_empty()) {
                let bias = percent(median(errors.iter().copied()));
                println!("{regime} | {group} | {} rows | {bias:+.0} %", errors.len());
            }
        }
    }
}
