//! Attention that was measured as a whole module: latent, sparse, compressed.
//!
//! A module is everything from the norm to the output product with the weights of one model, on
//! the heads of one rank. Some engines were measured without products: [`Module::LatentKernel`].

use super::OperatorsError;
use super::columns::{column, column_or, read};
use super::folder::Table;
use super::format::{Cache, Format, Rates};
use super::grid::{Grid, Scale, Timing, apart};
use super::groups::{Gather, Groups};

/// A family of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Module {
    /// Latent attention (`DeepSeek` V3, Kimi).
    Latent,
    /// Latent attention without its products: scores and values only.
    LatentKernel,
    /// Latent attention on indexed tokens (`DeepSeek` V3.2, GLM-5).
    Indexed,
    /// The same on tokens another layer chose (GLM-5.2).
    IndexShared,
    /// Compressed by 4 and indexed (`DeepSeek` V4).
    Compressed,
    /// Compressed by 128 (`DeepSeek` V4).
    HeavilyCompressed,
    /// Grouped heads on chosen blocks (`MiniMax` M3).
    Blocks,
}

/// A module as one rank runs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Modular {
    /// The family.
    pub module: Module,
    /// Width of the residual stream, which tells models of a family apart.
    pub hidden: f64,
    /// Query heads of the rank.
    pub heads: f64,
    /// The type of the weights of its products.
    pub weights: Format,
    /// The type of its cache.
    pub cache: Cache,
}

/// What points of a grid agree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    module: Module,
    /// Width of the model measured; zero where there are no products.
    hidden: u32,
    weights: Format,
    cache: Cache,
}

impl Kind {
    /// How far a kind is from the one asked for: 1 for the very kind, none for another family or
    /// a model of less than half or more than twice the width.
    fn far(self, asked: &Modular) -> Option<f64> {
        if self.module != asked.module {
            return None;
        }
        let mut far = if self.cache == asked.cache { 1.0 } else { 4.0 };
        if self.module == Module::LatentKernel {
            return Some(far);
        }
        let wide = apart(f64::from(self.hidden), asked.hidden);
        if self.weights != asked.weights {
            far *= 1.1 * apart(self.weights.weight_bytes(), asked.weights.weight_bytes());
        }
        (wide <= 2.0).then_some(far * wide * wide)
    }
}

/// The widths of the models measured, by what their names contain.
const WIDTHS: [(&str, u32); 8] = [
    ("DeepSeek-V4-Pro", 7168),
    ("DeepSeek-V4-Flash", 4096),
    ("DeepSeek-V3", 7168),
    ("GLM-5", 6144),
    ("MiniMax-M3", 6144),
    ("Kimi-K3", 7168),
    ("Kimi-K2", 7168),
    ("DeepSeek-R1", 7168),
];

/// The width of a model by its name; the kernels carry none.
fn width(model: &str) -> Option<u32> {
    if model.is_empty() {
        return Some(0);
    }
    WIDTHS.iter().find(|(name, _)| model.contains(name)).map(|pair| pair.1)
}

/// The tables of a phase with the family each holds.
pub(super) const PREFILL: [(&str, Module); 6] = [
    ("mla_context_module", Module::Latent),
    ("context_mla", Module::LatentKernel),
    ("dsa_context_module", Module::Indexed),
    ("dsv4_csa_context_module", Module::Compressed),
    ("dsv4_hca_context_module", Module::HeavilyCompressed),
    ("msa_context_module", Module::Blocks),
];

/// The same of decode.
pub(super) const DECODE: [(&str, Module); 6] = [
    ("mla_generation_module", Module::Latent),
    ("generation_mla", Module::LatentKernel),
    ("dsa_generation_module", Module::Indexed),
    ("dsv4_csa_generation_module", Module::Compressed),
    ("dsv4_hca_generation_module", Module::HeavilyCompressed),
    ("msa_generation_module", Module::Blocks),
];

/// Operations of `tokens` that each see `seen` others, and bytes of their weights and caches, as
/// far as they tell places of one grid apart.
fn amounts(kind: Kind, heads: f64, batch: f64, new: f64, prefix: f64) -> (f64, f64) {
    let (tokens, context) = (batch * new, prefix + new);
    let mean = prefix + new / 2.0;
    // Entries attended to, and entries an indexer scores, of a mean context and of all of it.
    let (entries, index, kept) = match kind.module {
        Module::Latent | Module::LatentKernel => (mean, 0.0, context * 576.0),
        Module::Indexed => (mean.min(2048.0), mean, context.min(2048.0) * 576.0 + context * 132.0),
        Module::IndexShared => (mean.min(2048.0), 0.0, context.min(2048.0) * 576.0),
        Module::Compressed => (mean.min(128.0) + (mean / 4.0).min(1024.0), mean / 4.0, context * 33.0),
        Module::HeavilyCompressed => (mean.min(128.0) + mean / 128.0, 0.0, context * 4.6),
        Module::Blocks => (mean.min(2048.0), mean / 128.0, context.min(2048.0) * 2048.0),
    };
    // About 3 + heads / 8 times the square of 2048 weights: the products of the families differ
    // less than their attention.
    let weights = match kind.module {
        Module::LatentKernel => 0.0,
        Module::Latent
        | Module::Indexed
        | Module::IndexShared
        | Module::Compressed
        | Module::HeavilyCompressed
        | Module::Blocks => f64::from(kind.hidden) * (2048.0 + heads * 256.0),
    };
    let flop = tokens * (2.0 * weights + 2.0 * heads * entries * 1088.0 + index * 8192.0);
    let bytes = weights * kind.weights.weight_bytes() + batch * kept * kind.cache.bytes() + tokens * 4096.0;
    (flop, bytes)
}

/// Modules of one device and engine in decode: heads, batch, context.
#[derive(Clone, Debug)]
pub(super) struct Decode {
    groups: Groups<Kind, (Grid<3>, Rates)>,
}

/// Modules of one device and engine in prefill: prefix, heads, batch, new tokens.
#[derive(Clone, Debug)]
pub(super) struct Prefill {
    groups: Groups<Kind, (Grid<4>, Rates)>,
}

/// Gathers the points of tables as prefix, heads, batch, new tokens.
fn load<const N: usize>(
    tables: &[(&Table, Module)],
    at: impl Fn([f64; 4]) -> [f64; N],
) -> Result<Gather<Kind, N>, OperatorsError> {
    let files: Vec<&Table> = tables.iter().map(|(table, _)| *table).collect();
    Gather::of(&files, |path, gather| {
        let module = tables.iter().find(|(table, _)| table.path == *path).map(|(_, module)| *module);
        let Some(module) = module else { return Ok(()) };
        let read = read(
            path,
            [column("step"), column("num_heads"), column("batch_size"), column("isl"), column("latency")],
            [
                column_or("model", ""),
                column_or("gemm_type", "bfloat16"),
                column("kv_cache_dtype"),
                column_or("op_name", ""),
            ],
        )?;
        let [prefix, heads, batch, new, latency] = read.numbers;
        let [models, weights, caches, names] = read.words;
        let (widths, weights) = (models.each(width), weights.each(Format::named));
        let (caches, shared) = (caches.each(Cache::named), names.each(|name| name.ends_with("skip_indexer")));
        for row in 0..latency.len() {
            let module = match module {
                Module::Indexed if shared[row] => Module::IndexShared,
                other => other,
            };
            let kind = widths[row]
                .zip(weights[row])
                .zip(caches[row])
                .map(|((hidden, weights), cache)| Kind { module, hidden, weights, cache });
            gather.add(kind, at([prefix[row], heads[row], batch[row], new[row]]), latency[row] * 1e-3);
        }
        Ok(())
    })
}

impl Decode {
    /// Reads the tables, newest first.
    pub(super) fn load(tables: &[(&Table, Module)]) -> Result<Option<Self>, OperatorsError> {
        let gather = load(tables, |[prefix, heads, batch, new]| [heads, batch, prefix + new])?;
        let groups = gather.build(|kind, points| {
            let rates = Rates::of(points.iter().map(|(at, seconds)| {
                let (flop, bytes) = amounts(*kind, at[0], at[1], 1.0, at[2] - 1.0);
                (flop, bytes, *seconds)
            }));
            Some((Grid::new([Scale::Log; 3], points)?, rates))
        });
        Ok(groups.map(|groups| Self { groups }))
    }

    /// Seconds of one token in each of `batch` sequences that see `context` tokens.
    pub(super) fn time(&self, asked: &Modular, batch: f64, context: f64) -> Option<Timing> {
        let (kind, (grid, rates), far) = self.groups.nearest(|kind| kind.far(asked))?;
        let timing = grid.at(&[asked.heads, batch, context], &decode_work(*kind, *rates));
        Some(stands_in(timing, far))
    }

    /// The grids with their work.
    #[cfg(test)]
    pub(super) fn grids(&self) -> impl Iterator<Item = (&Grid<3>, impl Fn(&[f64; 3]) -> f64)> {
        self.groups.iter().map(|(kind, (grid, rates))| (grid, decode_work(*kind, *rates)))
    }
}

impl Prefill {
    /// Linear in the prefix, which may be zero.
    const SCALES: [Scale; 4] = [Scale::Linear, Scale::Log, Scale::Log, Scale::Log];

    /// Reads the tables, newest first.
    pub(super) fn load(tables: &[(&Table, Module)]) -> Result<Option<Self>, OperatorsError> {
        let groups = load(tables, |at| at)?.build(|kind, points| {
            let rates = Rates::of(points.iter().map(|(at, seconds)| {
                let (flop, bytes) = amounts(*kind, at[1], at[2], at[3], at[0]);
                (flop, bytes, *seconds)
            }));
            Some((Grid::new(Self::SCALES, points)?, rates))
        });
        Ok(groups.map(|groups| Self { groups }))
    }

    /// Seconds of `new` tokens in each of `batch` sequences after `prefix` cached ones.
    pub(super) fn time(&self, asked: &Modular, batch: f64, new: f64, prefix: f64) -> Option<Timing> {
        let (kind, (grid, rates), far) = self.groups.nearest(|kind| kind.far(asked))?;
        let timing = grid.at(&[prefix, asked.heads, batch, new], &prefill_work(*kind, *rates));
        Some(stands_in(timing, far))
    }

    /// The grids with their work.
    #[cfg(test)]
    pub(super) fn grids(&self) -> impl Iterator<Item = (&Grid<4>, impl Fn(&[f64; 4]) -> f64)> {
        self.groups.iter().map(|(kind, (grid, rates))| (grid, prefill_work(*kind, *rates)))
    }
}

fn decode_work(kind: Kind, rates: Rates) -> impl Fn(&[f64; 3]) -> f64 {
    move |at| {
        let (flop, bytes) = amounts(kind, at[0], at[1], 1.0, at[2] - 1.0);
        rates.work(flop, bytes)
    }
}

fn prefill_work(kind: Kind, rates: Rates) -> impl Fn(&[f64; 4]) -> f64 {
    move |at| {
        let (flop, bytes) = amounts(kind, at[1], at[2], at[3], at[0]);
        rates.work(flop, bytes)
    }
}

/// A time of another kind is taken as it is, and says how far the kind is.
fn stands_in(timing: Timing, far: f64) -> Timing {
    let basis = super::grid::Basis::Extrapolated { reach: far };
    if far > 1.0 { Timing { basis: timing.basis.and(basis), ..timing } } else { timing }
}
