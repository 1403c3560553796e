//! Intervals from residuals: the 10 and 90 % quantiles of measured over predicted rates.
//!
//! Every row enters three times: as fitted, with its model left out and with its machine left out, so
//! that the interval holds for what was seen and for what was not. A cell of few rows is mostly its
//! parent: weight `n / (n + 15)` for its own quantiles, on the scale of logarithms.

use crate::perf::constants::{Interval, Intervals};
use crate::perf::estimator::Phase;
use crate::perf::{Architecture, Regime};
use crate::units::math;
use crate::validate::Judged;
use crate::validate::facts::{Facts, Figure, Layout, Place};
use crate::validate::regimes::quantile;

/// Rows at which a cell counts as much as its parent.
const PARENT: f64 = 15.0;

/// The cell whose interval a row is judged by; none for rows in doubt.
fn cell(row: &Judged) -> Option<(Regime, Phase, Architecture)> {
    let facts: &Facts = row.facts.as_ref().filter(|facts| facts.is_sound())?;
    let regime = match (facts.serving, facts.place, facts.layout) {
        (true, _, Layout::Expert | Layout::AttentionDp | Layout::MultiNode | Layout::Disaggregated) => {
            Regime::WideServer
        }
        (true, ..) => Regime::Server,
        (false, Place::Cpu | Place::Hybrid, _) => Regime::Host,
        (false, Place::Unified | Place::Gpu, _) => Regime::Device,
    };
    let phase = match (facts.figure, row.metric.as_str()) {
        (Figure::Tpot, _) => Phase::Decode,
        (Figure::Throughput, _) => Phase::Throughput,
        (Figure::Ttft, "ttft_ms") => Phase::FirstToken,
        (Figure::Ttft, _) => Phase::Prefill,
    };
    Some((regime, phase, if facts.moe? { Architecture::Moe } else { Architecture::Dense }))
}

/// Logarithm of measured over predicted rate.
fn log_ratio(row: &Judged) -> Option<f64> {
    let ratio = math::ln(row.measured / row.predicted.as_ref().ok()?.likely);
    Some(if row.metric.ends_with("_ms") { -ratio } else { ratio })
}

/// The power a row's interval was raised to because its constants came from elsewhere.
fn widening(
    row: &Judged,
    own: &Intervals,
    (regime, phase, architecture): (Regime, Phase, Architecture),
) -> f64 {
    let is = |i: &&Interval| (i.regime, i.phase, i.architecture) == (regime, phase, architecture);
    let (Some(interval), Ok(predicted)) = (own.interval.iter().find(is), &row.predicted) else { return 1.0 };
    math::ln(predicted.high / predicted.low) / math::ln(interval.high / interval.low)
}

/// The intervals of rows judged with `own` ones.
pub fn intervals(rows: &[&[Judged]], own: &Intervals, source: &str, date: &str) -> Intervals {
    type Cell = (Regime, Phase, Architecture);
    let all: Vec<(Cell, f64)> = rows
        .iter()
        .flat_map(|rows| rows.iter())
        .filter_map(|row| {
            let cell = cell(row)?;
            Some((cell, log_ratio(row)? / widening(row, own, cell).max(1.0)))
        })
        .collect();
    let ends = |is: &dyn Fn(&Cell) -> bool| -> (Option<(f64, f64)>, usize) {
        let logs: Vec<f64> = all.iter().filter(|(cell, _)| is(cell)).map(|(_, log)| *log).collect();
        let count = logs.len();
        (quantile(logs.clone(), 0.1).zip(quantile(logs, 0.9)), count)
    };
    let mut interval = Vec::new();
    for phase in Phase::ALL {
        let (root, _) = ends(&|cell| cell.1 == *phase);
        for regime in Regime::ALL {
            for architecture in Architecture::ALL {
                let (parent, parents) = ends(&|cell| (cell.0, cell.1) == (*regime, *phase));
                let parent = shrunk(parent, parents, root.unwrap_or((-0.5, 0.5)));
                let (found, count) = ends(&|cell| *cell == (*regime, *phase, *architecture));
                let (low, high) = shrunk(found, count, parent);
                interval.push(Interval {
                    regime: *regime,
                    phase: *phase,
                    architecture: *architecture,
                    // An interval always holds the prediction itself.
                    low: math::exp(low).min(0.99),
                    high: math::exp(high).max(1.01),
                    rows: (count / rows.len().max(1)) as u64,
                });
            }
        }
    }
    Intervals { source: source.to_owned(), date: date.to_owned(), extrapolated: own.extrapolated, interval }
}

/// Own quantiles pulled to those of the parent.
fn shrunk(own: Option<(f64, f64)>, count: usize, parent: (f64, f64)) -> (f64, f64) {
    let Some((low, high)) = own else { return parent };
    let weight = count as f64 / (count as f64 + PARENT);
    (low * weight + parent.0 * (1.0 - weight), high * weight + parent.1 * (1.0 - weight))
}

/// The rows with their intervals replaced.
pub fn respread(rows: &mut [Judged], own: &Intervals, new: &Intervals) {
    for row in rows {
        let Some(cell) = cell(row) else { continue };
        let power = widening(row, own, cell).max(1.0);
        let is = |i: &&Interval| (i.regime, i.phase, i.architecture) == cell;
        let (Some(interval), Ok(predicted)) = (new.interval.iter().find(is), &mut row.predicted) else {
            continue;
        };
        let (low, high) = (math::pow(interval.low, power), math::pow(interval.high, power));
        (predicted.low, predicted.high) = if row.metric.ends_with("_ms") {
            (predicted.likely / high, predicted.likely / low)
        } else {
            (predicted.likely * low, predicted.likely * high)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_mostly_their_parent() {
        let (low, high) = shrunk(Some((-0.1, 0.1)), 15, (-0.5, 0.3));
        assert!((low + 0.3).abs() < 1e-12 && (high - 0.2).abs() < 1e-12);
        assert_eq!(shrunk(None, 0, (-0.5, 0.3)), (-0.5, 0.3));
    }
}
