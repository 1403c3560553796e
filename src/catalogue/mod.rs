//! Specs as types, layered loading, and lookup by name.

pub mod decode;
pub mod hardware;
pub mod model;
pub mod nearest;
