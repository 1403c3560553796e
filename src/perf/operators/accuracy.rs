//! What the package itself says of interpolation: the error where a coordinate is left out.
//!
//! Run with the folder of the package, as `PLIMSOLL_OPERATORS=DIR cargo test --lib --features
//! operators leave_one_out -- --ignored --nocapture`.

use super::grid::Grid;
use super::*;
use crate::perf::deployment::Engine;
use std::path::Path;

/// Relative errors of one operator along one axis, within the grid and at its border.
#[derive(Default)]
struct Errors {
    within: Vec<f64>,
    border: Vec<f64>,
}

impl Errors {
    /// Predicts some points of a grid with their coordinate on an axis left out.
    fn add<const N: usize>(&mut self, axis: usize, grid: &Grid<N>, work: &impl Fn(&[f64; N]) -> f64) {
        let points = grid.points();
        for (at, seconds) in points.iter().step_by((points.len() / 500).max(1)) {
            assert_eq!(grid.at(at, work), Timing { seconds: *seconds, basis: Basis::Measured });
            let guess = grid.without(axis, at, work);
            let error = (guess.seconds / seconds - 1.0).abs();
            match guess.basis {
                Basis::Measured => {}
                Basis::Interpolated => self.within.push(error),
                Basis::Extrapolated { .. } => self.border.push(error),
            }
        }
    }

    fn line(errors: &mut [f64]) -> String {
        errors.sort_by(f64::total_cmp);
        let at = |share: usize| errors.get(errors.len() * share / 100).map_or(f64::NAN, |e| e * 100.0);
        format!("{:6} {:6.1} {:6.1}", errors.len(), at(50), at(90))
    }
}

/// Reports the error of every operator when a coordinate is left out, over the package whose folder
/// was in `PLIMSOLL_OPERATORS` when this was compiled. Percent: count, median, 90th percentile.
#[test]
#[ignore = "needs the package"]
fn leave_one_out() {
    let Some(dir) = option_env!("PLIMSOLL_OPERATORS") else { return };
    let operators = Operators::open(Path::new(dir)).unwrap();
    let mut report = std::collections::BTreeMap::<(&str, &str), Errors>::new();
    for system in ["a100_sxm", "h100_sxm", "h200_sxm", "b200_sxm", "gb300", "l40s", "rtx_pro_6000_server"] {
        for engine in [Engine::Vllm, Engine::Sglang, Engine::TensorRtLlm] {
            let start = std::time::Instant::now();
            let Some(tables) = operators.device(system, engine, None).unwrap() else { continue };
            eprintln!("{system} {engine:?} read in {:.1?}", start.elapsed());
            macro_rules! along {
                ($tables:expr, $name:literal, $axes:expr) => {
                    for (grid, work) in $tables.iter().flat_map(|tables| tables.grids()) {
                        for (axis, name) in $axes.into_iter().enumerate() {
                            report.entry(($name, name)).or_default().add(axis, grid, &work);
                        }
                    }
                };
            }
            along!(tables.products, "gemm", ["outputs", "inputs", "rows"]);
            along!(tables.decode, "attention decode", ["kv heads", "heads", "batch", "context"]);
            along!(tables.prefill, "attention prefill", ["prefix", "kv heads", "heads", "batch", "new"]);
            along!(tables.module_decode, "module decode", ["heads", "batch", "context"]);
            along!(tables.module_prefill, "module prefill", ["prefix", "heads", "batch", "new"]);
            along!(tables.experts, "experts", ["ep", "tp", "tokens"]);
            for (seconds, answer) in tables.experts.iter().flat_map(|experts| experts.without_layers(37)) {
                let errors = report.entry(("experts", "layer")).or_default();
                errors.border.extend(answer.map(|answer| (answer.seconds / seconds - 1.0).abs()));
            }
            along!(tables.collectives, "collective", ["ranks", "bytes"]);
            along!(tables.exchanges, "exchange", ["ranks", "tokens"]);
        }
    }
    for ((operator, axis), mut errors) in report {
        let (within, border) = (Errors::line(&mut errors.within), Errors::line(&mut errors.border));
        eprintln!("{operator:18} {axis:9} within {within}   border {border}");
    }
}
