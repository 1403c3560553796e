//! Operator times measured by others, where the user has them.
//!
//! The tables of the package aiconfigurator-core hold the time of products, attention, experts and
//! collectives as run by three engines on some NVIDIA devices. Nothing of them is shipped:
//! [`Operators::open`] takes the folder where they are installed, [`Operators::read`] reads those
//! of one device and engine, and [`DeviceTables`] answers with a time and how it was obtained
//! ([`Basis`]): measured, interpolated, or scaled from the nearest point.
//!
//! Limits: every operator was timed alone, so launch gaps and what overlaps in a step are not in
//! the times, and some tables hold what the host takes to launch where that is longer
//! (`stage.rs` tells them apart); of two kernels measured for one place the faster counts as the engine's choice.

#[cfg(test)]
mod accuracy;
mod attention;
mod columns;
mod device;
mod exchange;
mod experts;
mod folder;
mod format;
mod gemm;
mod grid;
mod groups;
mod module;
mod stage;
#[cfg(test)]
mod stage_tests;
#[cfg(test)]
mod tests;

pub use attention::Heads;
pub use device::{DeviceTables, Operators};
pub use exchange::{Collective, Direction, Exchange, Launch, Way};
pub use experts::{Experts, Routing};
pub use folder::Table;
pub use format::{Cache, Format};
pub use grid::{Basis, Timing};
pub use module::{Modular, Module};
pub(in crate::perf) use stage::StageTables;

use std::path::PathBuf;

/// Why tables could not be read.
#[derive(Debug, thiserror::Error)]
pub enum OperatorsError {
    /// The folder holds none.
    #[error("no operator tables in `{}`: expected <system>/<family>/<framework>/<version>/*_perf.parquet", dir.display())]
    NoTables {
        /// The folder given.
        dir: PathBuf,
    },
    /// The file does not open.
    #[error("could not open `{}`: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no sound Parquet.
    #[error("`{}` is not a Parquet file we can read: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What the reader says.
        why: String,
    },
    /// More than any table we know.
    #[error("`{}` has more {what} than an operator table", file.display())]
    TooLarge {
        /// The file or folder.
        file: PathBuf,
        /// What there is too much of.
        what: &'static str,
    },
    /// A column is missing.
    #[error("`{}` has no column `{column}`", file.display())]
    NoColumn {
        /// The file.
        file: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// A column holds something else.
    #[error("column `{column}` of `{}` does not hold {expected}", file.display())]
    WrongColumn {
        /// The file.
        file: PathBuf,
        /// The column.
        column: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
}
