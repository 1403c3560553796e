//! Speculative decoding: how many tokens a verify step yields, and on what that figure rests.
//!
//! A drafter proposes `k` tokens, the target checks them in one step and keeps the longest correct
//! prefix and one token of its own. With chance `a` that a token is accepted given those before it,
//! a step yields
//!
//! ```text
//! 1 + a + a² + … + a^k = (1 - a^(k+1)) / (1 - a)
//! ```
//!
//! (Leviathan, Kalman, Matias 2023, arXiv 2211.17192, equation 1), so that it is at least 1 and at
//! most `k + 1`. Published lengths are turned into the `a` that gives them; what is looked up is `a`,
//! in this order:
//!
//! 1. the model on the kind of text asked for;
//! 2. the model on mixed text;
//! 3. the model on another kind, times the mean ratio of the two kinds over the models that have both;
//! 4. the same three steps for its family, then for the drafting method.
//!
//! Of several rows the mean is taken. From the second step on it is an assumption, and its interval is
//! the spread of all models of the method. Wrong where drafts form a tree, where a draft length is
//! chosen at run time, and where sampling differs much from that of the rows.

mod data;
mod lookup;

pub use crate::serving::text::Text;
pub use data::{Drafts, Method, Row, drafts};
pub use lookup::{Accepted, Draft, Drafting, Standing, chance, expected_length};
