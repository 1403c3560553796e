//! Physical quantities as types: a number without a unit does not cross a function boundary.
//!
//! GB is 10^9 bytes and GiB is 2^30 bytes; both are parsed and kept apart. Printing goes through
//! [`std::fmt::Display`], three significant digits, one unit per quantity.
//!
//! ```
//! use plimsoll::units::{Bandwidth, Bytes, Seconds};
//! let reading: Seconds = Bytes::gb(40.0) / Bandwidth::gb_s(1000.0);
//! assert_eq!(reading, Seconds::ms(40.0));
//! ```

pub mod math;
mod parse;
mod print;
mod quantity;

pub use parse::{UnitError, parse_bytes, parse_count, parse_rate, parse_seconds, parse_tokens};
pub use print::{count, gib, grouped, significant, tokens};
pub use quantity::{Bandwidth, Bytes, Flop, FlopRate, Money, Seconds, TokenRate, Tokens, Watts};
