//! What lives where: the ways to divide a model, the memory of every rank, and what fits.
//!
//! [`search`] lists the ways, [`legal`] says which of them an engine can run, [`ledger`] is the
//! account of one deployment and [`fit`] the largest context and concurrency it leaves room
//! for. Each engine has one file of rules and one file of figures under [`engine`].

pub mod account;
pub mod activations;
pub mod cache;
pub mod engine;
pub mod fit;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod ledger;
pub mod legal;
pub mod name;
pub mod search;
pub mod seat;
pub mod settings;
pub mod shards;
#[cfg(test)]
mod worked;
