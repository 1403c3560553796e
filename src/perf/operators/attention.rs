//! Attention with keys and values per head, without its projections.
//!
//! Heads are those of one rank. A window or head size nobody measured is answered by the nearest
//! one, scaled with the work of both at the same place.

use super::OperatorsError;
use super::columns::{column, column_or, read};
use super::folder::Table;
use super::format::{Cache, Rates};
use super::grid::{Grid, Scale, Timing, apart};
use super::groups::{Gather, Groups};

/// Heads of one rank and what they keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Query heads.
    pub query: f64,
    /// Key and value heads.
    pub kv: f64,
    /// Elements of a head.
    pub size: f64,
    /// Tokens looked back at; `None` for all.
    pub window: Option<f64>,
    /// The type of the cache.
    pub cache: Cache,
    /// The type multiplied in prefill.
    pub multiplied: Cache,
}

/// What points of a grid agree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    cache: Cache,
    multiplied: Cache,
    size: u32,
    /// Zero for all tokens.
    window: u32,
}

impl Kind {
    /// How far a kind is from the one asked for: 1 for the very kind, `whole` for one without a
    /// window where one is asked for.
    fn far(&self, heads: &Heads, whole: f64) -> Option<f64> {
        let mut far = apart(f64::from(self.size), heads.size);
        match (heads.window, self.window) {
            (None, 0) => {}
            (None, _) => return None,
            (Some(_), 0) => far *= whole,
            (Some(window), own) => far *= apart(f64::from(own), window),
        }
        if self.cache != heads.cache {
            far *= 4.0;
        }
        if self.multiplied != heads.multiplied {
            far *= 2.0;
        }
        Some(far)
    }

    /// The kind as heads, to compare work.
    fn heads(&self, heads: &Heads) -> Heads {
        Heads {
            size: f64::from(self.size),
            window: (self.window > 0).then(|| f64::from(self.window)),
            cache: self.cache,
            multiplied: self.multiplied,
            ..*heads
        }
    }

    fn columns(sizes: f64, windows: f64, cache: Option<Cache>, multiplied: Option<Cache>) -> Option<Self> {
        Some(Self { cache: cache?, multiplied: multiplied?, size: sizes as u32, window: windows as u32 })
    }
}

/// Operations and bytes of `new` tokens in each of `batch` sequences after `prefix` ones.
fn amounts(heads: &Heads, batch: f64, new: f64, prefix: f64) -> (f64, f64) {
    let seen = heads.window.map_or(prefix + new, |window| (prefix + new).min(window));
    // Each token sees those before it: the mean of the first and the last.
    let mean = if seen < prefix + new { seen } else { prefix + new / 2.0 };
    let flop = 4.0 * batch * new * heads.query * heads.size * mean.max(0.5);
    let moved = 2.0 * batch * new * heads.query * heads.size * 2.0;
    (flop, batch * seen * 2.0 * heads.kv * heads.size * heads.cache.bytes() + moved)
}

/// Attention of one device and engine in decode: kv heads, query heads, batch, context.
#[derive(Clone, Debug)]
pub(super) struct Decode {
    groups: Groups<Kind, (Grid<4>, Rates)>,
}

/// Attention of one device and engine in prefill: prefix, kv heads, query heads, batch, new tokens.
#[derive(Clone, Debug)]
pub(super) struct Prefill {
    groups: Groups<Kind, (Grid<5>, Rates)>,
}

const COLUMNS: usize = 8;

/// The columns of both tables.
const fn numbers() -> [super::columns::Column<f64>; COLUMNS] {
    [
        column("num_key_value_heads"),
        column("num_heads"),
        column("batch_size"),
        column("isl"),
        column("step"),
        column("head_dim"),
        column_or("window_size", 0.0),
        column("latency"),
    ]
}

impl Decode {
    /// Reads the tables, newest first.
    pub(super) fn load(tables: &[&Table]) -> Result<Option<Self>, OperatorsError> {
        let gather = Gather::of(tables, |path, gather| {
            let words = [column("kv_cache_dtype"), column_or("attn_dtype", "bfloat16")];
            let read = read(path, numbers(), words)?;
            let [kv, query, batch, isl, step, size, window, latency] = read.numbers;
            let caches = read.words[0].each(Cache::named);
            for row in 0..latency.len() {
                // Tables differ in what they multiply only in prefill.
                let kind = Kind::columns(size[row], window[row], caches[row], Some(Cache::Bf16));
                let at = [kv[row], query[row], batch[row], isl[row] + step[row]];
                gather.add(kind, at, latency[row] * 1e-3);
            }
            Ok(())
        })?;
        let groups = gather.build(|kind, points| {
            let rates = Rates::of(points.iter().map(|(at, seconds)| {
                let (flop, bytes) = Self::amounts(*kind, at);
                (flop, bytes, *seconds)
            }));
            Some((Grid::new([Scale::Log; 4], points)?, rates))
        });
        Ok(groups.map(|groups| Self { groups }))
    }

    fn amounts(kind: Kind, at: &[f64; 4]) -> (f64, f64) {
        let [kv, query, batch, context] = *at;
        amounts(&heads_of(kind, query, kv), batch, 1.0, context - 1.0)
    }

    /// Seconds of one token in each of `batch` sequences that see `context` tokens.
    pub(super) fn time(&self, heads: &Heads, batch: f64, context: f64) -> Option<Timing> {
        let heads = Heads { multiplied: Cache::Bf16, ..*heads };
        // A window not measured sees what a shorter context would: better than another window.
        let (kind, pair, far) = self.groups.nearest(|kind| kind.far(&heads, 1.01))?;
        let window = heads.window.filter(|_| kind.window == 0).unwrap_or(context);
        let context = context.min(window);
        let at = [heads.kv, heads.query, batch, context];
        let timing = pair.0.at(&at, &work4(*kind, pair.1));
        if far <= 1.0 {
            return Some(timing);
        }
        Some(as_of(pair, timing, *kind, &heads, |heads| amounts(heads, batch, 1.0, context - 1.0)))
    }

    /// The grids with their work.
    #[cfg(test)]
    pub(super) fn grids(&self) -> impl Iterator<Item = (&Grid<4>, impl Fn(&[f64; 4]) -> f64)> {
        self.groups.iter().map(|(kind, (grid, rates))| (grid, work4(*kind, *rates)))
    }
}

impl Prefill {
    /// Linear in the prefix, which may be zero.
    const SCALES: [Scale; 5] = [Scale::Linear, Scale::Log, Scale::Log, Scale::Log, Scale::Log];

    /// Reads the tables, newest first.
    pub(super) fn load(tables: &[&Table]) -> Result<Option<Self>, OperatorsError> {
        let gather = Gather::of(tables, |path, gather| {
            let words = [column("kv_cache_dtype"), column_or("attn_dtype", "bfloat16")];
            let read = read(path, numbers(), words)?;
            let [kv, query, batch, new, prefix, size, window, latency] = read.numbers;
            let (caches, multiplied) = (read.words[0].each(Cache::named), read.words[1].each(Cache::named));
            for row in 0..latency.len() {
                let kind = Kind::columns(size[row], window[row], caches[row], multiplied[row]);
                let at = [prefix[row], kv[row], query[row], batch[row], new[row]];
                gather.add(kind, at, latency[row] * 1e-3);
            }
            Ok(())
        })?;
        let groups = gather.build(|kind, points| {
            let rates = Rates::of(points.iter().map(|(at, seconds)| {
                let (flop, bytes) = Self::amounts(*kind, at);
                (flop, bytes, *seconds)
            }));
            Some((Grid::new(Self::SCALES, points)?, rates))
        });
        Ok(groups.map(|groups| Self { groups }))
    }

    fn amounts(kind: Kind, at: &[f64; 5]) -> (f64, f64) {
        let [prefix, kv, query, batch, new] = *at;
        amounts(&heads_of(kind, query, kv), batch, new, prefix)
    }

    /// Seconds of `new` tokens in each of `batch` sequences after `prefix` cached ones.
    pub(super) fn time(&self, heads: &Heads, batch: f64, new: f64, prefix: f64) -> Option<Timing> {
        let (kind, pair, far) = self.groups.nearest(|kind| kind.far(heads, 100.0))?;
        let at = [prefix, heads.kv, heads.query, batch, new];
        let timing = pair.0.at(&at, &work5(*kind, pair.1));
        if far <= 1.0 {
            return Some(timing);
        }
        Some(as_of(pair, timing, *kind, heads, |heads| amounts(heads, batch, new, prefix)))
    }

    /// The grids with their work.
    #[cfg(test)]
    pub(super) fn grids(&self) -> impl Iterator<Item = (&Grid<5>, impl Fn(&[f64; 5]) -> f64)> {
        self.groups.iter().map(|(kind, (grid, rates))| (grid, work5(*kind, *rates)))
    }
}

fn work4(kind: Kind, rates: Rates) -> impl Fn(&[f64; 4]) -> f64 {
    move |at| {
        let (flop, bytes) = Decode::amounts(kind, at);
        rates.work(flop, bytes)
    }
}

fn work5(kind: Kind, rates: Rates) -> impl Fn(&[f64; 5]) -> f64 {
    move |at| {
        let (flop, bytes) = Prefill::amounts(kind, at);
        rates.work(flop, bytes)
    }
}

/// The heads of a kind.
fn heads_of(kind: Kind, query: f64, kv: f64) -> Heads {
    let any = Heads { query, kv, size: 1.0, window: None, cache: kind.cache, multiplied: kind.multiplied };
    kind.heads(&any)
}

/// The time of a kind as that of the heads asked for.
fn as_of<const N: usize>(
    (grid, rates): &(Grid<N>, Rates),
    timing: Timing,
    kind: Kind,
    heads: &Heads,
    amounts: impl Fn(&Heads) -> (f64, f64),
) -> Timing {
    let work = |heads: &Heads| {
        let (flop, bytes) = amounts(heads);
        rates.work(flop, bytes)
    };
    grid.scaled(timing, work(&kind.heads(heads)), work(heads))
}
