//! Plimsoll plans hardware for large language models: what fits, how fast it runs, what a token
//! costs, and how sure that is.

pub mod catalogue;
pub mod cli;
pub mod fact;
pub mod units;
