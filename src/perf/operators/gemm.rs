//! Matrix products: `m` rows times a matrix of `k` inputs and `n` outputs.

use super::OperatorsError;
use super::columns::{column, read};
use super::folder::Table;
use super::format::{Format, Rates};
use super::grid::{Grid, Scale, Timing};
use super::groups::{Gather, Groups};

/// Products of one device and engine.
#[derive(Clone, Debug)]
pub(super) struct Products {
    groups: Groups<Format, (Grid<3>, Rates)>,
}

/// Operations and bytes of a product; a place is outputs, inputs, rows.
fn amounts(format: Format, at: &[f64; 3]) -> (f64, f64) {
    let [n, k, m] = *at;
    (2.0 * m * n * k, n * k * format.weight_bytes() + m * (k * format.activation_bytes() + n * 2.0))
}

impl Products {
    /// Reads the tables, newest first.
    pub(super) fn load(tables: &[&Table]) -> Result<Option<Self>, OperatorsError> {
        let groups = Gather::of(tables, |path, gather| {
            let read = read(
                path,
                [column("n"), column("k"), column("m"), column("latency")],
                [column("gemm_dtype")],
            )?;
            let [n, k, m, latency] = read.numbers;
            let formats = read.words[0].each(Format::named);
            for row in 0..latency.len() {
                gather.add(formats[row], [n[row], k[row], m[row]], latency[row] * 1e-3);
            }
            Ok(())
        })?;
        let groups = groups.build(|format, points| {
            let rates = Rates::of(points.iter().map(|(at, seconds)| {
                let (flop, bytes) = amounts(*format, at);
                (flop, bytes, *seconds)
            }));
            Some((Grid::new([Scale::Log; 3], points)?, rates))
        });
        Ok(groups.map(|groups| Self { groups }))
    }

    /// Seconds of a product; `None` for a format nobody measured.
    pub(super) fn time(&self, format: Format, m: f64, n: f64, k: f64) -> Option<Timing> {
        let (grid, rates) = self.groups.get(&format)?;
        Some(grid.at(&[n, k, m], &work(format, *rates)))
    }

    /// The least seconds of a format.
    pub(super) fn launch(&self, format: Format) -> Option<f64> {
        self.groups.get(&format).map(|(grid, _)| grid.launch())
    }

    /// The formats with their grids and work.
    #[cfg(test)]
    pub(super) fn grids(&self) -> impl Iterator<Item = (&Grid<3>, impl Fn(&[f64; 3]) -> f64)> {
        self.groups.iter().map(|(format, (grid, rates))| (grid, work(*format, *rates)))
    }
}

/// Least seconds of a product.
fn work(format: Format, rates: Rates) -> impl Fn(&[f64; 3]) -> f64 {
    move |at| {
        let (flop, bytes) = amounts(format, at);
        rates.work(flop, bytes)
    }
}
