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

mod files;
mod kind;

pub use files::{Constants, Module, ModuleFamily, Point, constants};
pub use kind::Kind;

use crate::fact::Confidence;
use crate::perf::class::{Backend, Class};
use crate::perf::deployment::Engine;
use files::{Cell, Table};
use std::fmt::Write;

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
    /// What is left of the confidence of a measured cell.
    pub const fn confidence(self) -> Confidence {
        match self {
            Self::Own => Confidence::Good,
            Self::Kind => Confidence::Moderate,
            Self::Neighbour | Self::Backend | Self::Engine | Self::General => Confidence::Extrapolated,
        }
    }

    /// The words that name it in a basis; none for the cell asked for.
    const fn words(self) -> &'static str {
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
    /// The closest cell of a table; none if the table does not exist or holds nothing near.
    pub fn find(&self, name: &str, asked: Asked, kind: Option<Kind>) -> Option<Found> {
        let table = self.table(name)?;
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
            .or_else(|| table.general.map(|value| Found { value, reach: Reach::General }))
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

/// Fetches constants for one deployment, keeping a record of what was used and how far it reached.
#[derive(Debug)]
pub struct Fetch {
    /// What is asked for.
    pub asked: Asked,
    farthest: Reach,
    basis: String,
}

impl Fetch {
    /// Starts a record.
    pub const fn new(asked: Asked) -> Self {
        Self { asked, farthest: Reach::Own, basis: String::new() }
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
        let found = constants().find(name, self.asked, kind).ok_or(Missing(name))?;
        // A general value is meant for everyone: it says nothing about this device.
        if found.reach != Reach::General {
            self.farthest = self.farthest.max(found.reach);
        }
        let separator = if self.basis.is_empty() { "" } else { ", " };
        let kind = kind.map_or(String::new(), |kind| format!("[{kind}]"));
        // Writing to a string cannot fail.
        let _ = write!(self.basis, "{separator}{name}{kind} {:.4}{}", found.value, found.reach.words());
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
    pub fn basis(&mut self) -> String {
        std::mem::take(&mut self.basis)
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
        let found =
            find("weight_read_efficiency", asked(Engine::LlamaCpp, Class::Ada, 2024), Some(Kind::K45));
        assert_eq!((found.value, found.reach), (0.9154, Reach::Own));
    }

    #[test]
    fn missing_kind_is_scaled_within_the_class() {
        // Ada has no q8 cell; GB10, Ampere and Blackwell read q8 1.12 times as fast as 4-bit K.
        let found = find("weight_read_efficiency", asked(Engine::LlamaCpp, Class::Ada, 2024), Some(Kind::Q8));
        assert_eq!(found.reach, Reach::Kind);
        assert!((found.value / 0.9154 - 1.12).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn missing_year_is_scaled_by_the_gain_of_others() {
        // Hopper was measured in 2024 only: 132.5 us, before graphs cut Ampere from 82.5 to 30.8.
        let found = find("t_layer", asked(Engine::LlamaCpp, Class::Hopper, 2026), None);
        assert_eq!(found.reach, Reach::Kind);
        assert!((30.0..90.0).contains(&found.value), "{found:?}");
    }

    #[test]
    fn unseen_classes_reach_their_neighbours() {
        let found =
            find("weight_read_efficiency", asked(Engine::LlamaCpp, Class::Rdna4, 2026), Some(Kind::K45));
        assert_eq!((found.value, found.reach), (0.8086, Reach::Neighbour));
        assert_eq!(found.reach.confidence(), Confidence::Extrapolated);
    }
}
