//! Time: of an operation, of a collective, of a forward step on a deployment.
//!
//! [`Estimator`] takes a [`deployment::Deployment`], resolves its constants once and answers with
//! the time of any step as a list of parts. Adding a device, an engine or a type of weights is
//! adding cells to the data files of [`constants`].

mod attention;
mod bound;
pub mod class;
mod collective;
pub mod constants;
mod cpu;
pub mod deployment;
pub mod drafts;
pub mod estimator;
mod experts;
mod gemm;
pub mod ground;
pub mod interval;
mod local;
mod mixer;
mod offload;
// The one place that knows whether tables can be read: the other module has the same names.
#[cfg(feature = "operators")]
pub mod operators;
#[cfg(not(feature = "operators"))]
#[path = "operators/absent.rs"]
pub mod operators;
mod ops;
mod parts;
mod peak;
pub mod rated;
mod resolve;
mod server;
mod serving;
mod simulated;
mod stage;
#[cfg(test)]
mod tests;
pub mod time;
mod version;

pub use drafts::{Draft, Drafting};
pub use estimator::{Estimator, Phase, Unpredictable};
pub use interval::{Architecture, Regime};
pub use resolve::Sources;
pub use serving::{Demand, Lengths, Pool, Serving, SteadyStates};
