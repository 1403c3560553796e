//! The constants of speed: read from data files, looked up with a stated order of fallbacks.
//!
//! A *cell* is one figure with what it holds for: engine, backend, device class, kind (type of
//! weights, width of heads, number of devices) and year of the build; a column left open holds for
//! all. [`Constants::find`] takes the closest cell:
//!
//! 1. the same engine, backend, class and kind;
//! 2. the same class in the nearest kind or year, times the mean ratio of the two over the classes
//!    that have both (1 where none has);
//! 3. the general value of the table, which holds for every class not listed;
//! 4. a neighbouring class, see [`Class::neighbours`];
//! 5. the mean over the classes of the backend, weighted by rows;
//! 6. another engine, in the same order;
//! 7. another backend.
//!
//! Each step down lowers the [`Confidence`] and is named in the basis of the part it enters.
//!
//! What published measurements tell beyond that is a product of *factors*, one for each level the
//! constant declares: `general · factor(engine) · factor(backend, class) · …`. Calibration fits them
//! with a pull towards one, so that few rows move a constant little, and a class, an engine or a
//! kind without rows is its parent.

mod files;
mod kind;
mod origin;

pub use files::{
    Axis, Constants, Ends, Factor, Interval, Intervals, Key, Level, Met, Module, ModuleFamily, Point,
    constants,
};
pub use kind::Kind;
pub(in crate::perf) use kind::PerKind;
pub use origin::{Provenance, Subject};

use crate::fact::Confidence;
use crate::perf::class::{Backend, Class};
use crate::perf::deployment::Engine;
use crate::units::significant;
use files::{Cell, Constant, Table};
use std::fmt::Write;
use std::sync::Arc;

/// What a constant is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Engine.
    pub engine: Engine,
    /// Software below it.
    pub backend: Backend,
    /// Class of the device or processor.
    pub class: Class,
    /// Year of the engine's build.
    pub year: u64,
}

/// How far a value was fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The cell asked for.
    Own,
    /// Another kind or year of the same class.
    Kind,
    /// A neighbouring class.
    Neighbour,
    /// The mean of the backend.
    Backend,
    /// Another engine.
    Engine,
    /// The general value.
    General,
}

impl Reach {
    /// How near a constant is when a level has no factor for what was asked.
    fn without(level: &Level) -> Self {
        if level.by.contains(&Axis::Class) {
            Self::Backend
        } else if level.by.contains(&Axis::Engine) || level.by.contains(&Axis::Backend) {
            Self::Engine
        } else {
            Self::Kind
        }
    }

    /// What is left of the confidence of a measured cell.
    pub const fn confidence(self) -> Confidence {
        match self {
            Self::Own => Confidence::Good,
            Self::Kind => Confidence::Moderate,
            Self::Neighbour | Self::Backend | Self::Engine | Self::General => Confidence::Extrapolated,
        }
    }

    /// The words that name it in a basis; none for the cell asked for.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Own => "",
            Self::Kind => " (from another kind or year of the class)",
            Self::Neighbour => " (from a neighbouring class)",
            Self::Backend => " (the mean of the backend)",
            Self::Engine => " (from another engine)",
            Self::General => " (general)",
        }
    }
}

/// A value and how far it was fetched from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The value, in the unit of its table.
    pub value: f64,
    /// How far it was fetched from.
    pub reach: Reach,
}

impl Constants {
    /// The closest cell of a constant times its factors; none if there is no such constant or nothing
    /// near.
    pub fn find(&self, name: &str, asked: Asked, kind: Option<Kind>) -> Option<Found> {
        let constant = self.constant(name)?;
        let base = constant.table.find(asked, kind)?;
        let (factor, reach) = constant.factors_for(&asked, kind);
        // A general value with factors of its own is as near as they are.
        let own = !constant.table.levels.is_empty() && base.reach == Reach::General;
        let value = (base.value * factor).min(constant.table.cap.unwrap_or(f64::INFINITY));
        Some(Found { value, reach: if own { reach } else { base.reach.max(reach) } })
    }
}

impl Constant {
    /// The product of the factors that hold, and how near the farthest of them is.
    fn factors_for(&self, asked: &Asked, kind: Option<Kind>) -> (f64, Reach) {
        let (mut product, mut reach) = (1.0, Reach::Own);
        for level in &self.table.levels {
            let key = Key::of(level, asked, kind);
            match self.factors.iter().find(|factor| factor.key == key) {
                Some(factor) => product *= factor.value,
                None => reach = reach.max(Reach::without(level)),
            }
        }
        (product, reach)
    }
}

impl Table {
    /// The closest cell.
    fn find(&self, asked: Asked, kind: Option<Kind>) -> Option<Found> {
        let table = self;
        let general = table.general.map(|value| Found { value, reach: Reach::General });
        // Most constants of servers know nothing nearer.
        if table.cells.is_empty() {
            return general;
        }
        let of = |engine: Option<Engine>, any_backend: bool| {
            let fits = move |cell: &&Cell| {
                let backend = any_backend || cell.backend.is_none_or(|backend| backend == asked.backend);
                cell.engine == engine && backend
            };
            closest(&table.cells.iter().filter(fits), asked, kind, table)
        };
        let others = |any_backend: bool| {
            let found = Engine::ALL.iter().find_map(|engine| of(Some(*engine), any_backend))?;
            Some(Found { reach: found.reach.max(Reach::Engine), ..found })
        };
        of(Some(asked.engine), false)
            .or_else(|| of(None, false))
            .or(general)
            .or_else(|| others(false))
            .or_else(|| others(true))
            .or_else(|| of(None, true))
    }
}

/// The closest of the cells of one engine.
fn closest<'a>(
    cells: &(impl Iterator<Item = &'a Cell> + Clone),
    asked: Asked,
    kind: Option<Kind>,
    table: &Table,
) -> Option<Found> {
    let in_class = |class: Class| {
        let near = cells.clone().filter(move |cell| {
            cell.class.is_none_or(|c| c == class) && cell.distance(kind, asked.year).0 < Cell::UNLIKE
        });
        near.min_by_key(|cell| cell.distance(kind, asked.year)).map(|cell| {
            let exact = cell.distance(kind, asked.year) == (0, 0);
            let value = cell.value * table.ratio(cell, kind, asked.year);
            Found { value, reach: if exact { Reach::Own } else { Reach::Kind } }
        })
    };
    let neighbour = || {
        let found = asked.class.neighbours().iter().find_map(|class| in_class(*class))?;
        Some(Found { reach: Reach::Neighbour, ..found })
    };
    let mean = || {
        let nearest = cells.clone().map(|cell| cell.distance(kind, asked.year)).min()?;
        let same = cells.clone().filter(|cell| cell.distance(kind, asked.year) == nearest);
        let (sum, weight) = same.fold((0.0, 0.0), |(sum, weight), cell| {
            (sum + cell.value * cell.weight(), weight + cell.weight())
        });
        Some(Found { value: sum / weight, reach: Reach::Backend })
    };
    let own = in_class(asked.class);
    if table.general.is_some() { own } else { own.or_else(neighbour).or_else(mean) }
}

impl Table {
    /// What the cell has to be multiplied with to stand for another kind and year: the mean ratio
    /// over the classes that have both.
    fn ratio(&self, cell: &Cell, kind: Option<Kind>, year: u64) -> f64 {
        let kind = cell.kind.and(kind).or(cell.kind);
        let year = cell.year.map(|_| year);
        self.mean_ratio(cell, (kind, cell.year)) * self.mean_ratio(cell, (cell.kind, year))
    }

    fn mean_ratio(&self, from: &Cell, (kind, year): (Option<Kind>, Option<u64>)) -> f64 {
        if (kind, year) == (from.kind, from.year) {
            return 1.0;
        }
        let (mut sum, mut weight) = (0.0, 0.0);
        for base in self.cells.iter().filter(|cell| cell.kind == from.kind && cell.year == from.year) {
            let twin = self.cells.iter().find(|cell| {
                (cell.engine, cell.backend, cell.class) == (base.engine, base.backend, base.class)
                    && (cell.kind, cell.year) == (kind, year)
            });
            if let Some(twin) = twin {
                let pairs = twin.weight().min(base.weight());
                sum += twin.value / base.value * pairs;
                weight += pairs;
            }
        }
        if weight > 0.0 { sum / weight } else { 1.0 }
    }
}

/// What a part of a step rests on, for `explain`; nothing where nobody asked.
pub type Basis = Option<Arc<str>>;

/// A constant that was looked up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lookup {
    /// Its name.
    pub name: &'static str,
    /// For what.
    pub asked: Asked,
    /// Of which kind.
    pub kind: Option<Kind>,
}

/// Fetches constants for one deployment; keeps a record of what was used if asked to, and always of
/// how far it reached.
#[derive(Clone, Debug)]
pub struct Fetch<'c> {
    constants: &'c Constants,
    /// What is asked for.
    pub asked: Asked,
    farthest: Reach,
    trace: Option<Trace>,
}

/// The record of a [`Fetch`].
#[derive(Clone, Debug, Default)]
struct Trace {
    basis: String,
    lookups: Vec<Lookup>,
}

impl<'c> Fetch<'c> {
    /// Starts, with a record if `traced`.
    pub fn new(constants: &'c Constants, asked: Asked, traced: bool) -> Self {
        Self { constants, asked, farthest: Reach::Own, trace: traced.then(Trace::default) }
    }

    /// The same constants asked for something else.
    #[must_use]
    pub fn beside(&self, class: Class) -> Self {
        Self { asked: Asked { class, ..self.asked }, farthest: Reach::Own, ..self.clone() }
    }

    /// All constants.
    pub const fn constants(&self) -> &'c Constants {
        self.constants
    }

    /// The value of a constant of any kind.
    ///
    /// # Errors
    /// The name, if no cell is near.
    pub fn get(&mut self, name: &'static str) -> Result<f64, Missing> {
        self.of(name, None)
    }

    /// The value of a constant for a kind.
    ///
    /// # Errors
    /// The name, if no cell is near.
    pub fn of(&mut self, name: &'static str, kind: impl Into<Option<Kind>>) -> Result<f64, Missing> {
        let kind = kind.into();
        let found = self.constants.find(name, self.asked, kind).ok_or(Missing(name))?;
        // A general value is meant for everyone: it says nothing about this device.
        if found.reach != Reach::General {
            self.farthest = self.farthest.max(found.reach);
        }
        if let Some(trace) = &mut self.trace {
            let separator = if trace.basis.is_empty() { "" } else { ", " };
            let word = kind.map_or(String::new(), |kind| format!("[{kind}]"));
            // Writing to a string cannot fail.
            let _ = write!(
                trace.basis,
                "{separator}{name}{word} {}{}",
                significant(found.value),
                found.reach.words()
            );
            trace.lookups.push(Lookup { name, asked: self.asked, kind });
        }
        Ok(found.value)
    }

    /// The same for a constant that enters little: its reach is named but does not lower the
    /// confidence.
    ///
    /// # Errors
    /// The name, if no cell is near.
    pub fn minor(&mut self, name: &'static str, kind: impl Into<Option<Kind>>) -> Result<f64, Missing> {
        let farthest = self.farthest;
        let value = self.of(name, kind);
        self.farthest = farthest;
        value
    }

    /// The record since the last call.
    pub fn basis(&mut self) -> Basis {
        self.trace.as_mut().map(|trace| std::mem::take(&mut trace.basis).into())
    }

    /// Everything looked up so far.
    pub fn lookups(&self) -> &[Lookup] {
        self.trace.as_ref().map_or(&[], |trace| &trace.lookups)
    }

    /// What a reader should know about where the constants come from; nothing where they are of the
    /// class and engine asked for.
    pub fn note(&self) -> Option<String> {
        let Asked { engine, class, .. } = self.asked;
        let from = self.farthest.words().trim_matches([' ', '(', ')']);
        (self.confidence() == Confidence::Extrapolated)
            .then(|| format!("not all constants of {class} under {engine} were measured: some {from}"))
    }

    /// What is left of the confidence.
    pub fn confidence(&self) -> Confidence {
        self.farthest.confidence()
    }
}

/// A constant nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(engine: Engine, class: Class, year: u64) -> Asked {
        Asked { engine, backend: class.backend(engine), class, year }
    }

    fn find(name: &str, asked: Asked, kind: Option<Kind>) -> Found {
        constants().find(name, asked, kind).unwrap()
    }

    #[test]
    fn own_cell_first() {
        let found = find("gemm_compute", asked(Engine::Vllm, Class::Hopper, 2026), Some(Kind::Bf16));
        assert_eq!((found.value, found.reach), (0.79, Reach::Own));
    }

    #[test]
    fn missing_kind_is_scaled_within_the_class() {
        // Hopper has no 4-bit cell of this constant: the nearest kind of the class stands in.
        let found = find("gemm_compute", asked(Engine::Vllm, Class::Hopper, 2026), Some(Kind::Fp4));
        assert_eq!(found.reach, Reach::Kind);
        assert!((0.3..0.8).contains(&found.value), "{found:?}");
    }

    #[test]
    fn factors_of_all_levels_multiply() {
        let asked = asked(Engine::LlamaCpp, Class::Ada, 2026);
        let constants = constants();
        let kind = Some(Kind::K45);
        let product: f64 = constants
            .levels("gemm_rate")
            .iter()
            .filter_map(|level| constants.factor("gemm_rate", &Key::of(level, &asked, kind)))
            .product();
        let bare = constants.unfitted().find("gemm_rate", asked, kind).unwrap().value;
        let found = find("gemm_rate", asked, kind);
        assert!((found.value / (bare * product) - 1.0).abs() < 1e-9, "{found:?}");
        assert_eq!(found.reach, Reach::Own);
    }

    #[test]
    fn graphs_cut_the_time_of_a_layer() {
        // Hopper was measured in 2024 only; what later builds gained elsewhere holds there too.
        let layer = |year| find("t_layer", asked(Engine::LlamaCpp, Class::Hopper, year), None).value;
        assert!(layer(2026) < 0.8 * layer(2024));
    }

    #[test]
    fn unseen_classes_are_their_parents_and_say_so() {
        let of =
            |class| find("weight_read_efficiency", asked(Engine::LlamaCpp, class, 2026), Some(Kind::K45));
        let (unseen, other) = (of(Class::Rdna4), of(Class::Rdna2));
        assert!((unseen.value - other.value).abs() < 1e-12);
        assert_eq!(unseen.reach, Reach::Backend);
        assert_eq!(unseen.reach.confidence(), Confidence::Extrapolated);
    }

    #[test]
    fn shares_of_a_peak_stay_below_their_cap() {
        for class in [Class::Ada, Class::Gb10, Class::M2] {
            let found = find("weight_read_efficiency", asked(Engine::LlamaCpp, class, 2026), Some(Kind::Q8));
            assert!(found.value <= 0.97, "{found:?}");
        }
    }
}
