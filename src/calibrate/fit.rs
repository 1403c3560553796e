//! Gauss-Newton with robust weights and a pull of every factor towards one.

use super::problem::Problem;
use super::solve::Symmetric;
use crate::perf::Sources;
use crate::perf::constants::Constants;
use crate::validate::Judged;
use crate::validate::speed::Observation;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// A finished fit.
pub struct Fit {
    /// Logarithm of each factor.
    pub values: Vec<f64>,
    /// Logarithm of predicted over measured of every row.
    pub residuals: Vec<f64>,
    /// Slopes of the residuals at the solution.
    slopes: Vec<Vec<(usize, f64)>>,
    /// Weights of the rows after outliers lost theirs.
    weights: Vec<f64>,
    /// Factors the rows determine: the trace of the matrix that maps data to fit.
    pub effective: f64,
}

/// Residuals beyond so many times their noise lose weight.
const ROBUST: f64 = 2.0;
/// Rounds of the fit without a unit, with the slopes of the fit with it.
const REFITS: usize = 2;
/// Largest change of a logarithm in one round.
const STRIDE: f64 = 0.7;

/// Fits all parameters from where `base` leaves them.
pub fn fit(problem: &Problem<'_>, base: &Constants, rounds: usize, mut told: impl FnMut(usize, f64)) -> Fit {
    let start = |parameter: &super::Parameter| {
        base.factor(&parameter.constant, &parameter.key).map_or(0.0, crate::units::math::ln)
    };
    let mut values: Vec<f64> = problem.parameters.iter().map(start).collect();
    let mut constants = problem.constants(base, &values);
    let mut residuals = problem.residuals(&constants);
    let mut slopes = problem.slopes(&constants, &values, &residuals);
    let mut weights = robust(problem, &residuals);
    let mut normal = Normal::new(problem, &slopes, &weights, |_| true);
    for round in 0..rounds {
        let before = cost(problem, &weights, &residuals, &values);
        let step = normal.step(problem, &values, &slopes, &weights, &residuals, |_| true);
        // A step that makes things worse is halved.
        let mut length = 1.0;
        for _ in 0..5 {
            let tried: Vec<f64> =
                values.iter().zip(&step).map(|(v, s)| v + (s * length).clamp(-STRIDE, STRIDE)).collect();
            let moved = problem.constants(base, &tried);
            let found = problem.residuals(&moved);
            if cost(problem, &weights, &found, &tried) <= before {
                (values, constants, residuals) = (tried, moved, found);
                break;
            }
            length /= 2.0;
        }
        told(round, cost(problem, &weights, &residuals, &values));
        slopes = problem.slopes(&constants, &values, &residuals);
        weights = robust(problem, &residuals);
        normal = Normal::new(problem, &slopes, &weights, |_| true);
    }
    let effective = normal.effective(problem);
    Fit { values, residuals, slopes, weights, effective }
}

/// Weights of the rows with those far off losing theirs: as one over the square of their distance, as
/// one over its fourth power in serving, where sweeps hold whole runs of other set-ups (cold starts,
/// cached prefixes, graphs off).
fn robust(problem: &Problem<'_>, residuals: &[f64]) -> Vec<f64> {
    let soft = |((row, weight), residual): ((&&Observation, &f64), &f64)| {
        // The weight carries the noise and the size of the group; the noise alone is near enough.
        let far = residual * residual * weight.min(150.0) / (ROBUST * ROBUST);
        let softer = 1.0 + far;
        weight / if row.facts.serving { softer * softer } else { softer }
    };
    problem.rows.iter().zip(&problem.weights).zip(residuals).map(soft).collect()
}

fn cost(problem: &Problem<'_>, weights: &[f64], residuals: &[f64], values: &[f64]) -> f64 {
    let data: f64 = weights.iter().zip(residuals).map(|(w, r)| w * r * r).sum();
    let pull = |(p, v): (&super::Parameter, &f64)| v / p.sigma * (v / p.sigma);
    data + problem.parameters.iter().zip(values).map(pull).sum::<f64>()
}

/// The normal equations.
struct Normal {
    matrix: Symmetric,
    data: Vec<f64>,
}

impl Normal {
    fn new(
        problem: &Problem<'_>,
        slopes: &[Vec<(usize, f64)>],
        weights: &[f64],
        keeps: impl Fn(usize) -> bool,
    ) -> Self {
        let size = slopes.len();
        let mut by_row: Vec<Vec<(usize, f64)>> = vec![Vec::new(); weights.len()];
        for (parameter, slopes) in slopes.iter().enumerate() {
            for (row, slope) in slopes {
                by_row[*row].push((parameter, *slope));
            }
        }
        let mut matrix = Symmetric::new(size);
        let mut data = vec![0.0; size];
        for (row, list) in by_row.iter().enumerate().filter(|(row, _)| keeps(*row)) {
            for (place, (a, slope)) in list.iter().enumerate() {
                for (b, other) in &list[..=place] {
                    matrix.add(*a, *b, weights[row] * slope * other);
                }
                data[*a] += weights[row] * slope * slope;
            }
        }
        for (place, parameter) in problem.parameters.iter().enumerate() {
            matrix.add(place, place, 1.0 / (parameter.sigma * parameter.sigma));
        }
        Self { matrix, data }
    }

    fn step(
        &self,
        problem: &Problem<'_>,
        values: &[f64],
        slopes: &[Vec<(usize, f64)>],
        weights: &[f64],
        residuals: &[f64],
        keeps: impl Fn(usize) -> bool,
    ) -> Vec<f64> {
        let right: Vec<f64> = problem
            .parameters
            .iter()
            .zip(values)
            .zip(slopes)
            .map(|((parameter, value), slopes)| {
                let kept = slopes.iter().filter(|(row, _)| keeps(*row));
                let pull: f64 = kept.map(|(row, slope)| weights[*row] * slope * residuals[*row]).sum();
                -pull - value / (parameter.sigma * parameter.sigma)
            })
            .collect();
        self.matrix.clone().solve(&right).unwrap_or_else(|| vec![0.0; right.len()])
    }

    /// An upper bound of the trace: each parameter alone against its pull.
    fn effective(&self, problem: &Problem<'_>) -> f64 {
        let share = |(parameter, data): (&super::Parameter, &f64)| {
            data / (data + 1.0 / (parameter.sigma * parameter.sigma))
        };
        problem.parameters.iter().zip(&self.data).map(share).sum()
    }
}

/// Every row predicted by constants that its own unit (its model, its machine) took no part in: the
/// fit without those rows, a few steps from the fit with them.
pub fn left_out<'o>(
    problem: &Problem<'o>,
    base: &Constants,
    fit: &Fit,
    unit: impl Fn(&'o Observation) -> &'o str + Sync,
) -> Vec<Judged> {
    let mut units: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, observation) in problem.rows.iter().enumerate() {
        units.entry(unit(observation)).or_default().push(row);
    }
    for observation in &problem.rest {
        units.entry(unit(observation)).or_default();
    }
    let judge = |(name, left): (&&str, &Vec<usize>)| -> Vec<Judged> {
        let keeps = |row: usize| left.binary_search(&row).is_err();
        let mut values = fit.values.clone();
        // What only these rows know falls back to its parent exactly.
        for (parameter, value) in problem.parameters.iter().zip(&mut values) {
            if parameter.rows.iter().all(|row| !keeps(*row)) {
                *value = 0.0;
            }
        }
        let normal = Normal::new(problem, &fit.slopes, &fit.weights, keeps);
        let cost = |residuals: &[f64], values: &[f64]| {
            let kept: Vec<f64> =
                residuals.iter().enumerate().map(|(row, r)| if keeps(row) { *r } else { 0.0 }).collect();
            cost(problem, &fit.weights, &kept, values)
        };
        // The whole first step is taken, better or not: to stay near the fit with these rows would let
        // it look at what it is judged by.
        let mut residuals = problem.residuals(&problem.constants(base, &values));
        for refit in 0..REFITS {
            let step = normal.step(problem, &values, &fit.slopes, &fit.weights, &residuals, keeps);
            let lengths: &[f64] = if refit == 0 { &[1.0] } else { &[1.0, 0.5, 0.25] };
            let reached = lengths.iter().find_map(|length| {
                let tried: Vec<f64> = values
                    .iter()
                    .zip(&step)
                    .map(|(value, step)| value + (step * length).clamp(-STRIDE, STRIDE))
                    .collect();
                let found = problem.residuals(&problem.constants(base, &tried));
                let better = cost(&found, &tried) < cost(&residuals, &values);
                (refit == 0 || better).then_some((tried, found))
            });
            match reached {
                Some(reached) => (values, residuals) = reached,
                None => break,
            }
        }
        let constants = problem.constants(base, &values);
        let sources = Sources { constants: &constants, ..Sources::shipped() };
        let own = |row: &&&'o Observation| unit(row) == *name;
        problem.rows.iter().chain(&problem.rest).filter(own).map(|row| row.judged(sources)).collect()
    };
    units.par_iter().flat_map_iter(judge).collect()
}

impl Fit {
    /// Every row with the prediction of the fit.
    pub fn judged(&self, problem: &Problem<'_>, constants: &Constants) -> Vec<Judged> {
        let sources = Sources { constants, ..Sources::shipped() };
        let judge = |row: &&Observation| row.judged(sources);
        problem.rows.par_iter().chain(&problem.rest).map(judge).collect()
    }
}
