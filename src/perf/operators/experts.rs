//! The grouped products of routed experts on one rank, routing of tokens included.
//!
//! A layer nobody measured is answered by the nearest one, by the product of the ratios of its
//! four counts, scaled with work.

use super::OperatorsError;
use super::columns::{column, read};
use super::folder::Table;
use super::format::{Format, Rates};
use super::grid::{Grid, Scale, Timing, apart};
use super::groups::{Gather, Groups};

/// How unevenly a benchmark routed its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Routing {
    /// Every expert the same.
    Even,
    /// By a power law of exponent 1.01.
    Skewed,
    /// By a power law of exponent 1.2.
    HeavilySkewed,
}

impl Routing {
    /// The routing a table's word names.
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "balanced" | "uniform" => Self::Even,
            "power_law_1.01" => Self::Skewed,
            "power_law_1.2" => Self::HeavilySkewed,
            _ => return None,
        })
    }
}

/// A layer of routed experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experts {
    /// Type of the weights.
    pub format: Format,
    /// How tokens choose.
    pub routing: Routing,
    /// Width of a token.
    pub hidden: f64,
    /// Width of an expert.
    pub inner: f64,
    /// Experts of the layer over all ranks.
    pub count: f64,
    /// Experts of a token.
    pub active: f64,
    /// Ranks that each hold a share of every expert.
    pub tp: f64,
    /// Ranks that each hold a share of the experts, whole ones.
    pub ep: f64,
}

impl Experts {
    fn shape(&self) -> [f64; 4] {
        [self.hidden, self.inner, self.count, self.active]
    }
}

/// What points of a grid agree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Layer {
    format: Format,
    routing: Routing,
    hidden: u32,
    inner: u32,
    count: u32,
    active: u32,
}

/// Operations and bytes of a layer on one rank; a place is ep, tp, tokens.
fn amounts(format: Format, [hidden, inner, count, active]: [f64; 4], at: &[f64; 3]) -> (f64, f64) {
    let [ep, tp, tokens] = *at;
    let weights = 3.0 * hidden * inner / tp;
    let rows = tokens * active / ep;
    let touched = rows.min(count / ep);
    (2.0 * rows * weights, touched * weights * format.weight_bytes() + rows * hidden * 4.0)
}

impl Layer {
    fn shape(&self) -> [f64; 4] {
        [self.hidden, self.inner, self.count, self.active].map(f64::from)
    }

    fn work(&self, rates: Rates) -> impl Fn(&[f64; 3]) -> f64 {
        let (format, shape) = (self.format, self.shape());
        move |at| {
            let (flop, bytes) = amounts(format, shape, at);
            rates.work(flop, bytes)
        }
    }
}

/// Experts of one device and engine: ep, tp, tokens.
#[derive(Clone, Debug)]
pub(super) struct Routed {
    groups: Groups<Layer, (Grid<3>, Rates)>,
}

impl Routed {
    /// Reads the tables, newest first.
    pub(super) fn load(tables: &[&Table]) -> Result<Option<Self>, OperatorsError> {
        let gather = Gather::of(tables, |path, gather| {
            let read = read(
                path,
                [
                    column("hidden_size"),
                    column("inter_size"),
                    column("num_experts"),
                    column("topk"),
                    column("moe_ep_size"),
                    column("moe_tp_size"),
                    column("num_tokens"),
                    column("latency"),
                ],
                [column("moe_dtype"), column("distribution")],
            )?;
            let [hidden, inner, count, active, ep, tp, tokens, latency] = read.numbers;
            let formats = read.words[0].each(Format::named);
            let routings = read.words[1].each(Routing::named);
            for row in 0..latency.len() {
                let layer = formats[row].zip(routings[row]).map(|(format, routing)| Layer {
                    format,
                    routing,
                    hidden: hidden[row] as u32,
                    inner: inner[row] as u32,
                    count: count[row] as u32,
                    active: active[row] as u32,
                });
                gather.add(layer, [ep[row], tp[row], tokens[row]], latency[row] * 1e-3);
            }
            Ok(())
        })?;
        let groups = gather.build(|layer, points| {
            let rates = Rates::of(points.iter().map(|(at, seconds)| {
                let (flop, bytes) = amounts(layer.format, layer.shape(), at);
                (flop, bytes, *seconds)
            }));
            Some((Grid::new([Scale::Log; 3], points)?, rates))
        });
        Ok(groups.map(|groups| Self { groups }))
    }

    /// Seconds of a layer on its busiest rank for `tokens` of all ranks; `None` for a format
    /// nobody measured.
    pub(super) fn time(&self, asked: &Experts, tokens: f64) -> Option<Timing> {
        let [hidden, inner, count, active] = asked.shape().map(|count| count as u32);
        let (format, routing) = (asked.format, asked.routing);
        let very = Layer { format, routing, hidden, inner, count, active };
        match self.groups.get(&very) {
            Some((grid, rates)) => Some(grid.at(&[asked.ep, asked.tp, tokens], &very.work(*rates))),
            None => self.nearest(asked, tokens, |_| true),
        }
    }

    /// The time of the nearest of some layers, scaled.
    fn nearest(&self, asked: &Experts, tokens: f64, among: impl Fn(&Layer) -> bool) -> Option<Timing> {
        let (shape, at) = (asked.shape(), [asked.ep, asked.tp, tokens]);
        let far = |layer: &Layer| {
            let routed = if layer.routing == asked.routing { 1.0 } else { 1.05 };
            let ratios = layer.shape().into_iter().zip(shape).map(|(a, b)| apart(a, b));
            (layer.format == asked.format && among(layer)).then(|| ratios.product::<f64>() * routed)
        };
        let (layer, (grid, rates), _) = self.groups.nearest(far)?;
        let own = layer.work(*rates);
        let (flop, bytes) = amounts(asked.format, shape, &at);
        Some(grid.scaled(grid.at(&at, &own), own(&at), rates.work(flop, bytes)))
    }

    /// Every so many-th point as a question, with its seconds and the answer of the other layers.
    #[cfg(test)]
    pub(super) fn without_layers(&self, every: usize) -> Vec<(f64, Option<Timing>)> {
        let mut answers = Vec::new();
        for (layer, (grid, _)) in self.groups.iter() {
            let [hidden, inner, count, active] = layer.shape();
            let (format, routing) = (layer.format, layer.routing);
            for (at, seconds) in grid.points().into_iter().step_by(every) {
                let asked = Experts { format, routing, hidden, inner, count, active, ep: at[0], tp: at[1] };
                let counts = |of: &Layer| [of.hidden, of.inner, of.count, of.active];
                let other = |other: &Layer| counts(other) != counts(layer);
                answers.push((seconds, self.nearest(&asked, at[2], other)));
            }
        }
        answers
    }

    /// The grids with their work.
    #[cfg(test)]
    pub(super) fn grids(&self) -> impl Iterator<Item = (&Grid<3>, impl Fn(&[f64; 3]) -> f64)> {
        self.groups.iter().map(|(layer, (grid, rates))| (grid, layer.work(*rates)))
    }
}
