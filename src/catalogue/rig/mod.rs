//! The user's machine file, `my-rig.toml`: resolved against the catalogue and checked for sense.
//!
//! Every problem is reported at once with its place. Figures that cannot be true (more memory than
//! the card has, more channels than the processor) are refused; what is not said is assumed.

mod check;
mod node;
mod resolve;
pub mod spec;
#[cfg(test)]
mod tests;

pub use resolve::machine;
