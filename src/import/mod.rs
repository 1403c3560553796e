//! Other people's descriptions of a model to a model spec: a `config.json` of the hub, or totals.
//!
//! A source is read by one function that gives a [`ModelSpec`] or says everything that is missing.
//! A GGUF header lists its tensors too, which prove what its
//! metadata says; safetensors would join here as a further file.
//!
//! [`ModelSpec`]: crate::catalogue::model::ModelSpec

mod assemble;
mod checkpoint;
pub mod coarse;
pub mod config;
mod dialect;
mod extra;
mod feed_forward;
mod fields;
pub mod gguf;
pub mod hub;
#[cfg(test)]
mod known;
pub mod local;
mod mixers;
mod native;
mod prediction;
#[cfg(test)]
mod shipped;
pub mod source;
mod unread;

use crate::arithmetic::inventory::Inventory;
use crate::catalogue::model::ModelSpec;
use thiserror::Error;

/// A thousand times the largest model there is.
const MOST_PARAMETERS: u64 = 1_000_000_000_000_000;

/// What is wrong with the size of a model whose figures are each possible.
fn too_large(spec: &ModelSpec) -> Option<String> {
    let total = Inventory::of(spec).hub_total();
    (total > MOST_PARAMETERS).then(|| "its figures multiply to more parameters than any model has".to_owned())
}

/// Why a description could not be read, all reasons at once.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name}: {}", problems.join("; "))]
pub struct ImportError {
    /// What was read, as the user knows it.
    pub name: String,
    /// Every problem found.
    pub problems: Vec<String>,
}
