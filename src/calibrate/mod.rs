//! Fits the factors of constants to published measurements, and says how well that carries over.
//!
//! [`Problem`] finds which factors a set of rows can move: those of the levels every constant
//! declares, for what the rows ask. [`fit`] minimises the squared logarithm of predicted over
//! measured plus `(ln factor / sigma)²`, the pull towards the parent. What a fit is worth is judged
//! on models and machines that were [left out](left_out) of it.

mod fit;
mod problem;
mod solve;
pub mod spread;
pub mod write;

pub use fit::{Fit, fit, left_out};
pub use problem::{Parameter, Problem};
