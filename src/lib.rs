//! Plimsoll plans hardware for large language models: what fits, how fast it runs, what a token
//! costs, and how sure that is.
//!
//! One function answers: [`plan::plan`] takes a [`plan::Request`] and a
//! [`Catalogue`](catalogue::store::Catalogue), and gives a [`plan::Plan`] that every command and
//! format renders.
//!
//! ```
//! use plimsoll::catalogue::hardware_flag::hardware;
//! use plimsoll::catalogue::store::Catalogue;
//! use plimsoll::economics::Stated;
//! use plimsoll::plan::{Limits, Models, Request, Workload, plan};
//! use plimsoll::ranking::Objective;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let catalogue = Catalogue::embedded();
//! let model = catalogue.model("qwen3-30b-a3b")?.value;
//! let request = Request {
//!     models: Models::One(Box::new((*model).clone())),
//!     machine: hardware("rtx-4090", &catalogue)?,
//!     workload: Workload { context: 32_768, prompt: 4096, cached: 0, output: 1024, users: 1, drafting: None },
//!     workload_name: None,
//!     limits: Limits::default(),
//!     objective: Objective::Balanced,
//!     terms: Stated::default(),
//!     operators: None,
//! };
//! let plan = plan(&request, &catalogue)?;
//! let best = plan.options.first().expect("a quantised one fits into 24 GB");
//! let speed = best.decode_tokens_per_s;
//! assert!(speed.low <= speed.likely && speed.likely <= speed.high);
//! # Ok(())
//! # }
//! ```

pub mod arithmetic;
pub mod calibrate;
pub mod catalogue;
pub mod cli;
pub mod detect;
pub mod economics;
pub mod fact;
pub mod import;
pub mod perf;
pub mod placement;
pub mod plan;
pub mod ranking;
pub mod report;
pub mod serving;
pub mod units;
pub mod validate;
