//! Plimsoll plans hardware for large language models: what fits, how fast it runs, what a token
//! costs, and how sure that is.

pub mod arithmetic;
pub mod catalogue;
pub mod detect;
pub mod fact;
pub mod import;
pub mod perf;
pub mod placement;
pub mod units;
pub mod validate;
