//! The data files of constants, embedded and parsed once.

use super::Kind;
use crate::catalogue::decode::{BadFile, Decode, decode_text};
use crate::perf::class::{Backend, Class};
use crate::perf::deployment::Engine;
use crate::perf::interval::{Phase, Regime};
use crate::{table, words};
use std::collections::BTreeMap;
use std::sync::OnceLock;

table! {
    /// A file of constants.
    pub(super) struct File ("a file of constants") {
        /// Where the figures come from.
        pub(super) source: String,
        /// When they were fitted or read.
        pub(super) date: String,
        /// Model families whose experts the kernels of servers are tuned for.
        pub(super) tuned: Vec<String>,
        /// The tables by name.
        pub(super) constant: BTreeMap<String, Table>,
    }
}

table! {
    /// One constant for everything it is known for.
    pub(super) struct Table ("a constant") {
        /// Unit of its values.
        pub(super) unit: String,
        /// What it is.
        pub(super) meaning: String,
        /// What holds where nothing nearer is known.
        pub(super) general: Option<f64>,
        /// Known values.
        pub(super) cells: Vec<Cell>,
    }
}

table! {
    /// A value and what it holds for; an open column holds for all.
    pub(super) struct Cell ("a value of a constant") {
        /// Engine.
        pub(super) engine: Option<Engine>,
        /// Software below the engine.
        pub(super) backend: Option<Backend>,
        /// Class of device or processor.
        pub(super) class: Option<Class>,
        /// Kind.
        pub(super) kind: Option<Kind>,
        /// Year of the engine's build.
        pub(super) year: Option<u64>,
        /// The value.
        pub(super) value: f64,
        /// Measured rows behind it.
        pub(super) rows: Option<u64>,
        /// How far single measurements lie from it.
        pub(super) spread: Option<String>,
    }
}

impl Cell {
    /// Distance of a kind that has nothing in common.
    pub(super) const UNLIKE: usize = 100;

    /// How far it is from a kind and a year: steps in the list of like kinds, then years.
    pub(super) fn distance(&self, kind: Option<Kind>, year: u64) -> (usize, u64) {
        let kinds = match (self.kind, kind) {
            (Some(Kind::Quantised), Some(kind)) => usize::from(kind.is_wide()),
            (Some(own), Some(kind)) if own != kind => {
                kind.alike().iter().position(|like| *like == own).map_or(Self::UNLIKE, |place| place + 1)
            }
            _ => 0,
        };
        (kinds, self.year.map_or(0, |own| own.abs_diff(year)))
    }

    /// Weight in a mean: measured rows, one where none are stated.
    pub(super) fn weight(&self) -> f64 {
        self.rows.unwrap_or(1).max(1) as f64
    }
}

words! {
    /// Families of attention modules that were measured as a whole.
    pub enum ModuleFamily ("attention module") {
        /// Latent attention.
        Mla = "mla",
        /// Latent attention with an indexer.
        Dsa = "dsa",
        /// Compressed by 4 with an indexer.
        Csa = "csa",
        /// Compressed by 128.
        Hca = "hca",
    }
}

table! {
    /// A measured attention module.
    pub struct Module ("an attention module") {
        /// Family.
        pub family: ModuleFamily,
        /// Phase.
        pub phase: Phase,
        /// Class of the device.
        pub class: Class,
        /// Engine whose kernels were measured; vLLM, and good for others, unless given.
        pub engine: Option<Engine>,
        /// Times by local heads, rising.
        pub points: Vec<Point>,
    }
}

table! {
    /// Times of a module with so many local heads, microseconds.
    pub struct Point ("times of a module") {
        /// Query heads on the device.
        pub heads: u64,
        /// Fixed.
        pub fixed: f64,
        /// Per sequence in decode, per 1000 tokens in prefill.
        pub row: f64,
        /// Per million cached tokens of all sequences in decode, per 10^9 pairs in prefill.
        pub entry: f64,
        /// Per million tokens of depth, whatever the number of sequences.
        pub depth: Option<f64>,
    }
}

table! {
    /// The file of modules.
    pub(super) struct Modules ("a file of attention modules") {
        /// Where the figures come from.
        pub(super) source: String,
        /// When they were measured.
        pub(super) date: String,
        /// The modules.
        pub(super) module: Vec<Module>,
    }
}

table! {
    /// An interval of measured over predicted.
    pub(super) struct Interval ("an interval") {
        /// Where it holds.
        pub(super) regime: Regime,
        /// For what.
        pub(super) phase: Phase,
        /// Ten per cent lie below.
        pub(super) low: f64,
        /// Ten per cent lie above.
        pub(super) high: f64,
    }
}

table! {
    /// The file of intervals.
    pub(super) struct Intervals ("a file of intervals") {
        /// Where the figures come from.
        pub(super) source: String,
        /// When they were computed.
        pub(super) date: String,
        /// How much wider an interval is where nothing alike was measured.
        pub(super) extrapolated: f64,
        /// The intervals.
        pub(super) interval: Vec<Interval>,
    }
}

/// All constants.
#[derive(Debug)]
pub struct Constants {
    tables: BTreeMap<String, Table>,
    tuned: Vec<String>,
    modules: Vec<Module>,
    intervals: Intervals,
}

impl Constants {
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// Whether the expert kernels of servers are tuned for a family of models.
    pub(in crate::perf) fn is_tuned(&self, family: &str) -> bool {
        self.tuned.iter().any(|tuned| tuned == family)
    }

    /// The interval of a rate in a regime, measured over predicted.
    pub(in crate::perf) fn interval(&self, regime: Regime, phase: Phase) -> (f64, f64) {
        let known = self.intervals.interval.iter().find(|i| (i.regime, i.phase) == (regime, phase));
        known.map_or((0.5, 2.0), |interval| (interval.low, interval.high))
    }

    /// How much wider an interval is where nothing alike was measured.
    pub(in crate::perf) const fn extrapolated(&self) -> f64 {
        self.intervals.extrapolated
    }

    /// The newest year that was measured.
    pub(in crate::perf) fn newest_year(&self) -> u64 {
        self.table("newest_year").and_then(|table| table.general).map_or(0, |year| year as u64)
    }

    /// The year of a build of an engine; the year before the first listed for older ones.
    pub(in crate::perf) fn year_of_build(&self, engine: Engine, build: u64) -> Option<u64> {
        let cells = &self.table("first_build")?.cells;
        let mut of_engine = cells.iter().filter(|cell| cell.engine == Some(engine)).peekable();
        let before = of_engine.peek()?.year? - 1;
        let reached = of_engine.filter(|cell| cell.value <= build as f64).filter_map(|cell| cell.year).max();
        Some(reached.unwrap_or(before))
    }

    /// The measured module of a family on a class; its own kernels before those of vLLM.
    pub fn module(
        &self,
        family: ModuleFamily,
        phase: Phase,
        class: Class,
        engine: Engine,
    ) -> Option<&Module> {
        let fits = |module: &&Module| (module.family, module.phase, module.class) == (family, phase, class);
        let fitting = self.modules.iter().filter(fits);
        fitting.clone().find(|module| module.engine == Some(engine)).or_else(|| {
            let mut general = fitting;
            general.find(|module| module.engine.is_none())
        })
    }
}

/// The shipped constants.
///
/// # Panics
/// Never: a test parses the embedded files.
pub fn constants() -> &'static Constants {
    static CONSTANTS: OnceLock<Constants> = OnceLock::new();
    CONSTANTS.get_or_init(|| parse().expect("the embedded constants parse"))
}

fn parse() -> Result<Constants, BadFile> {
    fn file<T: Decode>(name: &str, text: &str) -> Result<T, BadFile> {
        decode_text(name, text, 1)
    }
    let (mut tables, mut tuned) = (BTreeMap::new(), Vec::new());
    for (name, text) in [
        ("local.toml", include_str!("local.toml")),
        ("cpu.toml", include_str!("cpu.toml")),
        ("serving.toml", include_str!("serving.toml")),
    ] {
        let file = file::<File>(name, text)?;
        tuned.extend(file.tuned);
        tables.extend(file.constant);
    }
    let modules = file::<Modules>("modules.toml", include_str!("modules.toml"))?.module;
    let intervals = file("intervals.toml", include_str!("intervals.toml"))?;
    Ok(Constants { tables, tuned, modules, intervals })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_files_parse() {
        let constants = parse().unwrap_or_else(|bad| panic!("{bad}: {:?}", bad.problems));
        assert!(constants.tables.len() > 60);
        assert_eq!(constants.intervals.interval.len(), Regime::ALL.len() * Phase::ALL.len());
        for module in &constants.modules {
            assert!(module.points.is_sorted_by_key(|point| point.heads), "{module:?}");
        }
    }
}
