//! Workloads: who asks what and how often, as laws of chance in a file, and the requests drawn from
//! them.
//!
//! A workload is a mix of classes of sessions. A session is requests that follow each other, each
//! repeating what was said before:
//!
//! ```text
//! prompt 1 = common + first
//! prompt k = prompt k-1 + kept share of answer k-1 + next
//! ```
//!
//! - [`read_workload`] reads a file, [`shipped`] finds one that came along by its name; [`read_trace`] reads
//!   recorded requests instead, and [`Source`] is either.
//! - [`WorkloadSpec::profile`] gives the means a closed form needs, of a small traffic that stands for all.
//! - [`WorkloadSpec::traffic`] draws the requests of a run for a simulation.
//!
//! Limits: lengths, turns and times are drawn independently of each other, and no class changes over
//! the day.

mod chance;
mod check;
mod law;
mod representative;
mod sample;
mod shipped;
mod source;
mod spec;
mod stated;
#[cfg(test)]
mod tests;
mod trace;

pub use check::read_workload;
pub use law::Law;
pub use sample::{Coming, Extent, Run};
pub use shipped::{names, shipped};
pub use source::Source;
pub use spec::{Arrivals, ClassSpec, History, LevelSpec, WorkloadSpec};
pub use stated::Stated;
pub use trace::{Trace, TraceError, read_trace};
