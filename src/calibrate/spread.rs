//! Intervals from residuals: the 10 and 90 % quantiles of measured over predicted rates.
//!
//! Three of each: of rows as fitted, with their model left out and with their machine left out, so
//! that a question about a stranger gets the range that strangers showed. A cell of few rows is
//! mostly its parent: weight `n / (n + 15)` for its own quantiles, on the scale of logarithms.

use crate::perf::constants::{Ends, Interval, Intervals, Met};
use crate::perf::estimator::Phase;
use crate::perf::interval::Acquaintance;
use crate::perf::{Architecture, Regime};
use crate::units::math;
use crate::validate::Judged;
use crate::validate::regimes::quantile;
use crate::validate::speed::{Observation, Standing};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Rows at which a cell counts as much as its parent.
const PARENT: f64 = 15.0;

/// Where the residual of every sound row belongs, by its id.
pub type Standings = BTreeMap<String, Standing>;

/// Where the residuals of rows belong.
pub fn standings<'o>(rows: impl Iterator<Item = &'o Observation>) -> Standings {
    let rows: Vec<&Observation> = rows.collect();
    rows.par_iter().filter_map(|row| Some((row.id.clone(), row.standing()?))).collect()
}

/// Rows judged three ways with [unit intervals](Intervals::unit).
#[derive(Clone, Copy, Debug)]
pub struct Residuals<'r> {
    /// By the fit to all rows.
    pub fitted: &'r [Judged],
    /// With their model left out.
    pub model: &'r [Judged],
    /// With their machine left out.
    pub machine: &'r [Judged],
}

/// The power an interval is raised to because constants came from elsewhere, known from the unit
/// interval of a row.
fn power(row: &Judged) -> Option<f64> {
    let predicted = row.predicted.as_ref().ok()?;
    Some(math::ln(predicted.high / predicted.low) / 2.0)
}

/// Logarithm of measured over predicted rate, as if nothing were widened.
fn log_ratio(row: &Judged) -> Option<f64> {
    let ratio = math::ln(row.measured / row.predicted.as_ref().ok()?.likely) / power(row)?;
    Some(if row.metric.ends_with("_ms") { -ratio } else { ratio })
}

/// The intervals of residuals; whom the fit has met is whose rows it saw.
pub fn intervals(
    residuals: Residuals<'_>,
    standings: &Standings,
    own: &Intervals,
    (source, date): (&str, &str),
) -> Intervals {
    let spreads =
        [residuals.fitted, residuals.model, residuals.machine].map(|rows| Spread::of(rows, standings));
    let mut interval = Vec::new();
    for &phase in Phase::ALL {
        for &regime in Regime::ALL {
            for &architecture in Architecture::ALL {
                let [met, new_model, new_machine] =
                    [0, 1, 2].map(|way: usize| spreads[way].ends(regime, phase, architecture));
                interval.push(Interval {
                    regime,
                    phase,
                    architecture,
                    // A stranger is never known better than whom we met.
                    new_model: wider(&new_model, &met),
                    new_machine: wider(&new_machine, &met),
                    met,
                    rows: spreads[0].count(regime, phase, architecture),
                });
            }
        }
    }
    Intervals {
        source: source.to_owned(),
        date: date.to_owned(),
        extrapolated: own.extrapolated,
        interval,
        met: met(standings),
    }
}

fn wider(one: &Ends, other: &Ends) -> Ends {
    Ends { low: one.low.min(other.low), high: one.high.max(other.high) }
}

/// Whose rows took part, by regime.
fn met(standings: &Standings) -> Vec<Met> {
    let of = |regime: &Regime| {
        let rows = standings.values().filter(|standing| standing.regime == *regime);
        let machines: BTreeSet<&String> = rows.clone().map(|standing| &standing.machine).collect();
        // The first name of a shape stands for all that share it.
        let names: BTreeMap<&Vec<u64>, &String> =
            rows.map(|standing| (&standing.model.1, &standing.model.0)).rev().collect();
        Met {
            regime: *regime,
            machines: machines.into_iter().cloned().collect(),
            models: names.into_iter().map(|(shape, name)| (name.clone(), shape.clone())).collect(),
        }
    };
    Regime::ALL.iter().map(of).collect()
}

/// Residuals of one way of judging.
struct Spread<'s>(Vec<(&'s Standing, f64)>);

impl<'s> Spread<'s> {
    fn of(rows: &[Judged], standings: &'s Standings) -> Self {
        Self(rows.iter().filter_map(|row| Some((standings.get(&row.id)?, log_ratio(row)?))).collect())
    }

    fn logs(&self, is: impl Fn(&Standing) -> bool) -> Vec<f64> {
        self.0.iter().filter(|(standing, _)| is(standing)).map(|(_, log)| *log).collect()
    }

    fn count(&self, regime: Regime, phase: Phase, architecture: Architecture) -> u64 {
        self.logs(|s| (s.regime, s.phase, s.architecture) == (regime, phase, architecture)).len() as u64
    }

    fn ends(&self, regime: Regime, phase: Phase, architecture: Architecture) -> Ends {
        let root = shrunk(&self.logs(|s| s.phase == phase), (-0.5, 0.5));
        let parent = shrunk(&self.logs(|s| (s.regime, s.phase) == (regime, phase)), root);
        let of_cell = self.logs(|s| (s.regime, s.phase, s.architecture) == (regime, phase, architecture));
        let (low, high) = shrunk(&of_cell, parent);
        // An interval always holds the prediction itself.
        Ends { low: math::exp(low).min(0.99), high: math::exp(high).max(1.01) }
    }
}

/// The quantiles of residuals pulled to those of the parent.
fn shrunk(logs: &[f64], parent: (f64, f64)) -> (f64, f64) {
    let Some((low, high)) = quantile(logs.to_vec(), 0.1).zip(quantile(logs.to_vec(), 0.9)) else {
        return parent;
    };
    let weight = logs.len() as f64 / (logs.len() as f64 + PARENT);
    (low * weight + parent.0 * (1.0 - weight), high * weight + parent.1 * (1.0 - weight))
}

/// Rows judged with unit intervals, with those of `new` in their place.
pub fn respread(rows: &mut [Judged], standings: &Standings, new: &Intervals, acquaintance: Acquaintance) {
    for row in rows {
        let interval = standings.get(&row.id).and_then(|s| new.of(s.regime, s.phase, s.architecture));
        let (Some(interval), Some(power)) = (interval, power(row)) else { continue };
        let Ok(predicted) = &mut row.predicted else { continue };
        let (low, high) = acquaintance.ends(interval);
        let (low, high) = (math::pow(low, power), math::pow(high, power));
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
        let logs: Vec<f64> = (0..15).map(|i| -0.125 + 0.25 * f64::from(i) / 14.0).collect();
        let (low, high) = shrunk(&logs, (-0.5, 0.3));
        let own = quantile(logs.clone(), 0.1).unwrap();
        assert!((low - (own - 0.5) / 2.0).abs() < 1e-12 && (high - (0.3 - own) / 2.0).abs() < 1e-12);
        assert_eq!(shrunk(&[], (-0.5, 0.3)), (-0.5, 0.3));
    }
}
