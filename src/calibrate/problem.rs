//! What can be fitted to a set of rows: the factors their predictions rest on.

use crate::perf::Sources;
use crate::perf::constants::{Constants, Factor, Key, Lookup};
use crate::units::math;
use crate::validate::facts::{Doubt, Figure};
use crate::validate::speed::Observation;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// A factor of a constant.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The constant.
    pub constant: String,
    /// What it holds for.
    pub key: Key,
    /// How far its logarithm is expected to lie from zero.
    pub sigma: f64,
    /// The rows whose prediction rests on it.
    pub rows: Vec<usize>,
}

/// Rows and the parameters they can move.
pub struct Problem<'o> {
    /// The rows that are fitted.
    pub rows: Vec<&'o Observation>,
    /// Rows that are judged but not fitted: the many of a group beyond the first, in the order of
    /// their ids, and those in doubt of their own source.
    pub rest: Vec<&'o Observation>,
    /// What they can move.
    pub parameters: Vec<Parameter>,
    /// Weight of each row.
    pub weights: Vec<f64>,
}

/// Spread of single measurements around a right prediction, on the scale of logarithms: repeat runs
/// differ by a few per cent in decode and by half in the time to a first token.
fn noise(observation: &Observation) -> f64 {
    match (observation.facts.serving, observation.facts.figure) {
        (false, Figure::Tpot) => 0.08,
        (false, Figure::Throughput) => 0.10,
        (true, Figure::Tpot) => 0.12,
        (false, Figure::Ttft) | (true, Figure::Throughput) => 0.15,
        (true, Figure::Ttft) => 0.30,
    }
}

/// Rows of one group and regime that are fitted at most: rows of one sweep tell the same.
const MOST_OF_A_GROUP: usize = 12;

impl<'o> Problem<'o> {
    /// The problem of all rows that are sound and have a prediction.
    pub fn new(observations: &'o [Observation], constants: &Constants) -> Self {
        let sources = Sources { constants, ..Sources::shipped() };
        let sound = |observation: &&Observation| {
            observation.facts.doubt == Doubt::None && observation.predict(sources).is_ok()
        };
        let mut all: Vec<&Observation> = observations.par_iter().filter(sound).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        let mut taken: BTreeMap<(String, &str), usize> = BTreeMap::new();
        let (rows, rest): (Vec<&Observation>, Vec<&Observation>) = all.into_iter().partition(|row| {
            let count = taken.entry((row.facts.regime(), &row.group)).or_default();
            *count += 1;
            *count <= MOST_OF_A_GROUP && !row.doubtful
        });
        let lookups: Vec<Vec<Lookup>> =
            rows.par_iter().map(|observation| observation.lookups(sources)).collect();
        let mut parameters: BTreeMap<(&str, Key), Parameter> = BTreeMap::new();
        for (row, lookups) in lookups.iter().enumerate() {
            for lookup in lookups {
                for level in constants.levels(lookup.name) {
                    let key = Key::of(level, &lookup.asked, lookup.kind);
                    let parameter = parameters.entry((lookup.name, key)).or_insert_with(|| Parameter {
                        constant: lookup.name.to_owned(),
                        key,
                        sigma: level.sigma,
                        rows: Vec::new(),
                    });
                    if parameter.rows.last() != Some(&row) {
                        parameter.rows.push(row);
                    }
                }
            }
        }
        let mut sizes: BTreeMap<(String, &str), f64> = BTreeMap::new();
        for row in &rows {
            *sizes.entry((row.facts.regime(), &row.group)).or_default() += 1.0;
        }
        // Rows of one sweep are alike: many weigh as their square root.
        let weight = |row: &&Observation| {
            let size: f64 = sizes[&(row.facts.regime(), row.group.as_str())];
            1.0 / (noise(row) * noise(row) * size.sqrt())
        };
        let weights = rows.iter().map(weight).collect();
        Self { rows, rest, parameters: parameters.into_values().collect(), weights }
    }

    /// Constants with the factors `exp(values)`.
    pub fn constants(&self, base: &Constants, values: &[f64]) -> Constants {
        let mut constants = base.clone();
        for (parameter, value) in self.parameters.iter().zip(values) {
            set(&mut constants, parameter, *value);
        }
        constants
    }

    /// Logarithm of predicted over measured of every row.
    pub fn residuals(&self, constants: &Constants) -> Vec<f64> {
        let sources = Sources { constants, ..Sources::shipped() };
        self.rows.par_iter().map(|row| residual(row, sources)).collect()
    }

    /// How the residuals change with the logarithm of each factor: for each parameter the rows it
    /// moves and their slopes.
    pub fn slopes(&self, constants: &Constants, values: &[f64], residuals: &[f64]) -> Vec<Vec<(usize, f64)>> {
        const STEP: f64 = 0.02;
        let slope = |(parameter, value): (&Parameter, &f64)| {
            let mut moved = constants.clone();
            set(&mut moved, parameter, value + STEP);
            let sources = Sources { constants: &moved, ..Sources::shipped() };
            let rows = parameter.rows.iter().filter_map(|row| {
                let change = (residual(self.rows[*row], sources) - residuals[*row]) / STEP;
                (change != 0.0).then_some((*row, change))
            });
            rows.collect()
        };
        self.parameters.par_iter().zip(values).map(slope).collect()
    }
}

fn set(constants: &mut Constants, parameter: &Parameter, value: f64) {
    let factor = Factor { key: parameter.key, value: math::exp(value), rows: parameter.rows.len() as u64 };
    constants.set_factor(&parameter.constant, factor);
}

/// Logarithm of predicted over measured.
fn residual(row: &Observation, sources: Sources<'_>) -> f64 {
    row.predict(sources).map_or(0.0, |predicted| math::ln(predicted.likely / row.measured))
}
