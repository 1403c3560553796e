//! This machine as a profile, in three steps with a seam between each.
//!
//! [`read_machine()`] asks the kernel, the system and the drivers and keeps what they said, word for
//! word, as [`Readings`]: a value that is saved, shown and replayed. From the readings follows a
//! [`Probe`], the same statements in our terms and without judgement. [`profile()`] turns that into
//! a machine: names are matched to the catalogue, silence is filled by assumptions.

mod amd;
mod apple;
mod cpu;
mod disks;
mod explain;
mod fabric;
mod intel;
mod matching;
mod measure;
mod memory;
mod modules;
mod nvidia;
mod other;
mod pci;
mod probe;
mod profile;
mod readings;
#[cfg(test)]
mod replay;
mod rig_file;
mod source;

pub use explain::explain;
pub use measure::{DiskRead, Measured, measure, today};
pub use modules::ProbedModule;
pub use probe::{
    Probe, ProbedCache, ProbedCpu, ProbedDisk, ProbedGpu, ProbedNode, ProbedPartition, ProbedPort, ProbedRam,
    probe, read_machine, replay,
};
pub use profile::{Match, Profile, profile};
pub use readings::{Readings, ReadingsError};
pub use rig_file::rig_toml;
