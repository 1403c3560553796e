//! The data files of constants, embedded and parsed once.

use super::Asked;
use super::Kind;
use crate::catalogue::decode::{BadFile, decode_text};
use crate::perf::class::{Backend, Class};
use crate::perf::deployment::Engine;
use crate::perf::interval::{Architecture, Phase, Regime};
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
        /// No value exceeds it: a share of a peak is at most one.
        pub(super) cap: Option<f64>,
        /// What calibration may move, coarse to fine; nothing if absent.
        pub(super) levels: Vec<Level>,
    }
}

words! {
    /// A column by which a constant may differ.
    pub enum Axis ("column of a constant") {
        /// Engine.
        Engine = "engine",
        /// Software below the engine.
        Backend = "backend",
        /// Class of device or processor.
        Class = "class",
        /// Kind.
        Kind = "kind",
        /// Year of the engine's build.
        Year = "year",
    }
}

table! {
    /// One level of what calibration may move: a factor for each combination of the columns, for
    /// everything where there are none.
    pub struct Level ("a level") {
        /// The columns.
        pub by: Vec<Axis>,
        /// How far a factor is expected to lie from one, on the scale of logarithms: what measured
        /// rows have to pull against, and what a combination without rows may differ by.
        pub sigma: f64,
    }
}

/// What a factor holds for; an open column holds for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Engine.
    pub engine: Option<Engine>,
    /// Software below it.
    pub backend: Option<Backend>,
    /// Class of device or processor.
    pub class: Option<Class>,
    /// Kind.
    pub kind: Option<Kind>,
    /// Year of the engine's build.
    pub year: Option<u64>,
}

impl Key {
    /// The part of a question that a level tells apart.
    pub fn of(level: &Level, asked: &Asked, kind: Option<Kind>) -> Self {
        let mut key = Self::default();
        for axis in &level.by {
            match axis {
                Axis::Engine => key.engine = Some(asked.engine),
                Axis::Backend => key.backend = Some(asked.backend),
                Axis::Class => key.class = Some(asked.class),
                Axis::Kind => key.kind = kind,
                Axis::Year => key.year = Some(asked.year),
            }
        }
        key
    }
}

table! {
    /// A fitted factor and what it holds for.
    pub(super) struct FittedFactor ("a fitted factor") {
        /// Engine.
        pub(super) engine: Option<Engine>,
        /// Software below it.
        pub(super) backend: Option<Backend>,
        /// Class of device or processor.
        pub(super) class: Option<Class>,
        /// Kind.
        pub(super) kind: Option<Kind>,
        /// Year of the engine's build.
        pub(super) year: Option<u64>,
        /// The factor.
        pub(super) factor: f64,
        /// Measured rows it enters.
        pub(super) rows: u64,
    }
}

table! {
    /// The fitted factors of a constant.
    pub(super) struct FittedTable ("fitted factors of a constant") {
        /// They multiply.
        pub(super) factors: Vec<FittedFactor>,
    }
}

table! {
    /// The file that calibration writes.
    pub(super) struct FittedFile ("a file of fitted factors") {
        /// What they were fitted to.
        pub(super) source: String,
        /// When.
        pub(super) date: String,
        /// Factors by constant.
        pub(super) constant: BTreeMap<String, FittedTable>,
    }
}

/// A factor in use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    /// What it holds for.
    pub key: Key,
    /// Its value.
    pub value: f64,
    /// Measured rows it enters.
    pub rows: u64,
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
    #[derive(Copy)]
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
    /// An interval of measured over predicted rates.
    pub struct Interval ("an interval") {
        /// Where it holds.
        pub regime: Regime,
        /// For what.
        pub phase: Phase,
        /// For which models.
        pub architecture: Architecture,
        /// Where rows of the model and of the machine took part in the fit.
        pub met: Ends,
        /// Where no row of the model did.
        pub new_model: Ends,
        /// Where no row of the machine did.
        pub new_machine: Ends,
        /// Measured rows behind it; with few it is mostly its parent.
        pub rows: u64,
    }
}

table! {
    /// The ends of an interval.
    pub struct Ends ("ends of an interval") {
        /// Ten per cent lie below.
        pub low: f64,
        /// Ten per cent lie above.
        pub high: f64,
    }
}

table! {
    /// Whose rows took part in the fit, in a regime.
    pub struct Met ("what was measured") {
        /// The regime.
        pub regime: Regime,
        /// Accelerators; where the processor works, the processor, after the accelerator beside it.
        pub machines: Vec<String>,
        /// Models by the layers, width, vocabulary and routed experts they are known by.
        pub models: BTreeMap<String, Vec<u64>>,
    }
}

table! {
    /// The file of intervals.
    pub struct Intervals ("a file of intervals") {
        /// Where the figures come from.
        pub source: String,
        /// When they were computed.
        pub date: String,
        /// How much wider an interval is where nothing alike was measured.
        pub extrapolated: f64,
        /// The intervals.
        pub interval: Vec<Interval>,
        /// Whose rows took part.
        pub met: Vec<Met>,
    }
}

impl Intervals {
    /// Every interval from 1/e to e, to learn by which power others would be raised.
    #[must_use]
    pub fn unit(&self) -> Self {
        let ends = Ends { low: std::f64::consts::E.recip(), high: std::f64::consts::E };
        let unit = |i: &Interval| Interval {
            met: ends.clone(),
            new_model: ends.clone(),
            new_machine: ends.clone(),
            ..i.clone()
        };
        Self { interval: self.interval.iter().map(unit).collect(), met: Vec::new(), ..self.clone() }
    }

    /// The interval of a rate in a regime.
    pub fn of(&self, regime: Regime, phase: Phase, architecture: Architecture) -> Option<&Interval> {
        self.interval.iter().find(|i| (i.regime, i.phase, i.architecture) == (regime, phase, architecture))
    }
}

/// A constant with its fitted factors.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub(super) name: String,
    pub(super) table: Table,
    pub(super) factors: Vec<Factor>,
    /// Where the figures of its file come from.
    pub(super) source: String,
}

/// All constants.
#[derive(Clone, Debug)]
pub struct Constants {
    /// In the order of their names.
    pub(super) list: Vec<Constant>,
    tuned: Vec<String>,
    pub(super) modules: Vec<Module>,
    intervals: Intervals,
    /// Where the fitted factors come from.
    fitted: String,
}

impl Constants {
    pub(super) fn constant(&self, name: &str) -> Option<&Constant> {
        let place = self.list.binary_search_by(|constant| constant.name.as_str().cmp(name)).ok()?;
        self.list.get(place)
    }

    fn table(&self, name: &str) -> Option<&Table> {
        self.constant(name).map(|constant| &constant.table)
    }

    /// What calibration may move of a constant.
    pub fn levels(&self, name: &str) -> &[Level] {
        self.table(name).map_or(&[], |table| &table.levels)
    }

    /// The factor of a constant for exactly this key.
    pub fn factor(&self, name: &str, key: &Key) -> Option<f64> {
        self.constant(name)?.factors.iter().find(|factor| factor.key == *key).map(|factor| factor.value)
    }

    /// Replaces or adds a factor.
    pub fn set_factor(&mut self, name: &str, factor: Factor) {
        let Ok(place) = self.list.binary_search_by(|constant| constant.name.as_str().cmp(name)) else {
            return;
        };
        let factors = &mut self.list[place].factors;
        match factors.iter_mut().find(|known| known.key == factor.key) {
            Some(known) => *known = factor,
            None => factors.push(factor),
        }
    }

    /// The same constants without any fitted factor.
    #[must_use]
    pub fn unfitted(&self) -> Self {
        let mut bare = self.clone();
        for constant in &mut bare.list {
            constant.factors.clear();
        }
        bare
    }

    /// Names of the constants calibration may move, with their factors.
    pub fn fitted(&self) -> impl Iterator<Item = (&str, &[Factor])> {
        let movable = self.list.iter().filter(|constant| !constant.table.levels.is_empty());
        movable.map(|constant| (constant.name.as_str(), constant.factors.as_slice()))
    }

    /// What the factors were fitted to.
    pub fn fitted_to(&self) -> &str {
        &self.fitted
    }

    /// Whether the expert kernels of servers are tuned for a family of models.
    pub(in crate::perf) fn is_tuned(&self, family: &str) -> bool {
        self.tuned.iter().any(|tuned| tuned == family)
    }

    /// The intervals.
    pub const fn intervals(&self) -> &Intervals {
        &self.intervals
    }

    /// Constants that calibration may not move, and those it may.
    pub fn counts(&self) -> (usize, usize) {
        let movable = self.list.iter().filter(|constant| !constant.table.levels.is_empty()).count();
        let cells: usize = self.list.iter().map(|constant| constant.table.cells.len()).sum();
        let general = self.list.iter().filter(|constant| constant.table.general.is_some()).count();
        (cells + general + self.modules.iter().map(|m| m.points.len() * 4).sum::<usize>(), movable)
    }

    /// The same constants with other intervals.
    #[must_use]
    pub fn with_intervals(mut self, intervals: Intervals) -> Self {
        self.intervals = intervals;
        self
    }

    /// The newest year that was measured of an engine.
    pub(in crate::perf) fn newest_year(&self, engine: Engine) -> u64 {
        let table = self.table("newest_year");
        let own = table.and_then(|table| table.cells.iter().find(|cell| cell.engine == Some(engine)));
        own.map(|cell| cell.value).or_else(|| table?.general).map_or(0, |year| year as u64)
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

/// The embedded files.
const FILES: [(&str, &str); 6] = [
    ("local.toml", include_str!("local.toml")),
    ("cpu.toml", include_str!("cpu.toml")),
    ("serving.toml", include_str!("serving.toml")),
    ("modules.toml", include_str!("modules.toml")),
    ("intervals.toml", include_str!("intervals.toml")),
    ("fitted.toml", include_str!("fitted.toml")),
];

/// The shipped constants.
///
/// # Panics
/// Never: a test parses the embedded files.
pub fn constants() -> &'static Constants {
    static CONSTANTS: OnceLock<Constants> = OnceLock::new();
    CONSTANTS.get_or_init(|| Constants::read(&[]).expect("the embedded constants parse"))
}

impl Constants {
    /// The shipped constants, with some of the files replaced by texts of the same name.
    ///
    /// # Errors
    /// All problems of the first bad file.
    pub fn read(replaced: &[(String, String)]) -> Result<Self, BadFile> {
        let text = |name: &str| {
            let own = replaced.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str());
            own.or_else(|| FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text))
        };
        parse(|name| text(name).unwrap_or_default())
    }

    /// Names of the files of constants.
    pub fn file_names() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(name, _)| *name)
    }
}

fn parse<'t>(text: impl Fn(&str) -> &'t str) -> Result<Constants, BadFile> {
    let (mut tables, mut tuned) = (BTreeMap::new(), Vec::new());
    for name in ["local.toml", "cpu.toml", "serving.toml"] {
        let file: File = decode_text(name, text(name), 1)?;
        tuned.extend(file.tuned);
        let source = format!("{name}: {} ({})", file.source, file.date);
        tables.extend(file.constant.into_iter().map(|(name, table)| (name, (table, source.clone()))));
    }
    let modules = decode_text::<Modules>("modules.toml", text("modules.toml"), 1)?.module;
    let intervals = decode_text("intervals.toml", text("intervals.toml"), 1)?;
    let mut fitted: FittedFile = decode_text("fitted.toml", text("fitted.toml"), 1)?;
    let constants = tables.into_iter().map(|(name, (table, source)): (String, (Table, String))| {
        let factors = fitted.constant.remove(&name).map_or_else(Vec::new, |table| table.factors);
        let factors = factors.into_iter().map(|f| Factor {
            key: Key { engine: f.engine, backend: f.backend, class: f.class, kind: f.kind, year: f.year },
            value: f.factor,
            rows: f.rows,
        });
        Constant { name, table, factors: factors.collect(), source }
    });
    let constants = constants.collect();
    let fitted = format!("{} ({})", fitted.source, fitted.date);
    Ok(Constants { list: constants, tuned, modules, intervals, fitted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_files_parse() {
        let constants = Constants::read(&[]).unwrap_or_else(|bad| panic!("{bad}: {:?}", bad.problems));
        assert!(constants.list.len() > 60);
        let all = Regime::ALL.len() * Phase::ALL.len() * Architecture::ALL.len();
        assert_eq!(constants.intervals.interval.len(), all);
        for module in &constants.modules {
            assert!(module.points.is_sorted_by_key(|point| point.heads), "{module:?}");
        }
    }
}
