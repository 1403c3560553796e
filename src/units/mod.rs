//! Physical quantities as types: a number without a unit does not cross a function boundary.
//!
//! GB is 10^9 bytes and GiB is 2^30 bytes; both are parsed and kept apart. Printing goes through
//! [`std::fmt::Display`], three significant digits, one unit per quantity.

pub mod math;
mod parse;
mod print;
mod quantity;

pub use parse::{UnitError, parse_bytes, parse_count, parse_rate};
pub use print::{count, gib, significant};
pub use quantity::{Bandwidth, Bytes, Flop, FlopRate, Money, Seconds, TokenRate, Tokens, Watts};
