//! This machine as a profile, in two steps with a seam between them.
//!
//! [`probe()`] asks the system and the drivers and returns what they said as a plain value, without
//! interpreting it. [`profile()`] turns such a value into a machine: names are matched to the
//! catalogue, silence is filled by assumptions. A recorded probe replays any machine anywhere.

mod amd;
mod apple;
mod host;
mod modules;
mod nvidia;
mod probe;
mod profile;
#[cfg(test)]
mod replay;
mod rig_file;

pub use modules::ProbedModule;
pub use probe::{Probe, ProbedCpu, ProbedGpu, ProbedRam, probe};
pub use profile::{Match, Profile, profile};
pub use rig_file::rig_toml;
