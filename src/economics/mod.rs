//! What an hour costs, rented or owned, and what a token costs at a rate.
//!
//! - [`Stated`] terms of a user become the [`Terms`] of a machine: every figure with its source.
//! - [`quotes`] lists what is asked for a machine; [`Pricing::hour`] adds up an [`Hour`] of it, part by
//!   part.
//! - [`TokenPrices`] split that hour over input, cached input and output.
//!
//! Prices come from the catalogue or the user; one that nobody states makes a cost unknown, not
//! zero, and [`NoPrice`] says which.

mod currency;
mod hourly;
mod power;
mod pricing;
mod quotes;
mod terms;
#[cfg(test)]
mod tests;
mod tokens;

pub use crate::catalogue::quote::{Holding, Market, Quote, market};
pub use currency::{Currency, NoCurrency};
pub use hourly::{HOURS_PER_MONTH, HOURS_PER_YEAR, Hour, NoPrice, Part, PartKind, hour, hour_drawing};
pub use power::{peak_power, power};
pub use pricing::Pricing;
pub use quotes::{MachineQuote, Priced, accelerator_quotes, price, quotes};
pub use terms::{Figure, OutOfRange, Stated, Term, Terms};
pub use tokens::{MachineTime, Mix, TokenPrices, TokenRates, per_million, split};
