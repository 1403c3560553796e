//! The answer of the estimator: the time of a step as a list of parts, each with its limit.

use crate::perf::constants::Basis;
use crate::units::{Bytes, Flop, Seconds};
use crate::words;

words! {
    /// The resource that bounds a part.
    pub enum Limit ("limit") {
        /// Arithmetic of the device.
        Compute = "compute",
        /// Memory bandwidth of the device.
        Memory = "memory bandwidth",
        /// Links between devices.
        Link = "link",
        /// Processor or memory of the host.
        Host = "host",
        /// Disk.
        Disk = "disk",
        /// Launches, scheduling and other fixed times.
        Overhead = "overhead",
    }
}

/// A forward step: so many sequences, each adding tokens to those already cached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Sequences in the step, over the whole deployment (one replica).
    pub sequences: u64,
    /// New tokens of each.
    pub new: u64,
    /// Tokens each has cached already.
    pub depth: u64,
}

/// One part of a step: an operation over all layers that have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it is: `experts`, `attention`, `all-reduce`.
    pub label: &'static str,
    /// How many layers have it.
    pub layers: u32,
    /// Time it adds to the step.
    pub time: Seconds,
    /// What bounds it.
    pub limit: Limit,
    /// Operations per device.
    pub flop: Flop,
    /// Bytes moved per device.
    pub bytes: Bytes,
    /// The constants used and where they come from, for `explain`.
    pub basis: Basis,
}

/// The time of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepTime {
    /// Its parts; the step is their sum.
    pub parts: Vec<Part>,
}

impl StepTime {
    /// Time of the step.
    pub fn total(&self) -> Seconds {
        self.parts.iter().map(|part| part.time).sum()
    }

    /// The resource that takes most of the time.
    ///
    /// # Panics
    /// Never: there is at least one limit.
    pub fn limit(&self) -> Limit {
        let time_of = |limit: &Limit| -> f64 {
            self.parts.iter().filter(|part| part.limit == *limit).map(|part| part.time.get()).sum()
        };
        *Limit::ALL
            .iter()
            .max_by(|a, b| time_of(a).total_cmp(&time_of(b)))
            .expect("there is at least one limit")
    }
}
