//! What a model needs: tensors, cache, and the work of a step; no machine, no time.

pub mod cache;
pub mod conversion;
pub mod dynamic;
pub mod family;
pub mod formats;
pub mod gguf;
mod held;
pub mod inventory;
pub mod kv;
pub mod mix;
pub mod offer;
pub mod published_sizes;
pub mod quality;
pub mod scheme;
#[cfg(test)]
#[allow(clippy::float_cmp, reason = "whole bytes are exact")]
mod shipped;
pub mod stored;
pub mod tensor;
#[cfg(test)]
mod weighed;
pub mod weights;
