//! Specs as types, layered loading, and lookup by name.

pub(crate) mod assemble;
pub mod assumptions;
pub mod check;
pub mod decode;
pub mod hardware;
pub mod hardware_flag;
pub mod hub;
mod index;
pub mod layer;
pub mod machine;
pub mod model;
pub(crate) mod names;
pub mod nearest;
pub mod quote;
pub mod rig;
#[cfg(test)]
mod shipped;
pub mod store;
pub mod write;
