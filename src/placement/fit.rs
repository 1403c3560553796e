//! The verdict on a deployment, and the largest context and concurrency it leaves room for.
//!
//! Needed memory never falls when context or sequences grow (a property test guards it), so both
//! limits are found by bisection over the free memory of the fullest rank.

use crate::perf::deployment::Deployment;
use crate::placement::account::Account;
use crate::placement::ledger::{Ledger, LedgerKind, RankLedger};
use crate::placement::seat::Load;
use crate::placement::settings::Settings;
use crate::units::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Room left below this share of the fullest rank is tight: the scatter of buffers and drivers.
const TIGHT: f64 = 0.05;

/// Most sequences the search tries.
const MOST_SEQUENCES: u64 = 1 << 20;

/// Whether a deployment fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// With at least 5 % of the fullest rank left.
    Fits,
    /// With less than 5 % left.
    Tight,
    /// It does not fit.
    No {
        /// How much is missing on the fullest rank.
        short: Bytes,
        /// Which rank that is.
        rank: String,
    },
}

impl Verdict {
    /// Whether it can run.
    pub const fn fits(&self) -> bool {
        matches!(self, Self::Fits | Self::Tight)
    }
}

/// The verdict on an account.
pub fn verdict(ledger: &Ledger) -> Verdict {
    let Some(worst) = ledger.worst() else {
        return Verdict::Fits;
    };
    if worst.free() < Bytes::ZERO {
        return Verdict::No { short: Bytes::ZERO - worst.free(), rank: worst.name.clone() };
    }
    if ledger.accounts().any(is_tight) { Verdict::Tight } else { Verdict::Fits }
}

/// Whether less than the margin is left; what an engine holds back on purpose is margin too, and
/// an account with nothing on it is never tight.
fn is_tight(rank: &RankLedger) -> bool {
    rank.used() > Bytes::ZERO && rank.free() + rank.of(LedgerKind::Reserve) < rank.capacity * TIGHT
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fits => f.pad("fits"),
            Self::Tight => f.pad("tight"),
            Self::No { short, rank } => write!(f, "does not fit: short by {short} on {rank}"),
        }
    }
}

/// The longest context that fits for so many sequences, at most what the model is made for;
/// `None` when not even one token fits.
pub fn largest_context(deployment: &Deployment<'_>, sequences: u64) -> Option<u64> {
    let settings = Settings::for_deployment(deployment);
    let account = Account::new(deployment, &settings);
    largest_context_of(&account, sequences, deployment.model.spec.context.get())
}

/// As [`largest_context`], for an account at hand and contexts up to `most`.
pub fn largest_context_of(account: &Account<'_>, sequences: u64, most: u64) -> Option<u64> {
    largest(most, |context| account.free(Load { sequences, context }).get())
}

/// The most sequences of a context that fit at once; 0 when not even one does.
pub fn largest_concurrency(deployment: &Deployment<'_>, context: u64) -> u64 {
    let settings = Settings::for_deployment(deployment);
    let account = Account::new(deployment, &settings);
    largest_concurrency_of(&account, context)
}

/// As [`largest_concurrency`], for an account at hand.
pub fn largest_concurrency_of(account: &Account<'_>, context: u64) -> u64 {
    largest(MOST_SEQUENCES, |sequences| account.free(Load { sequences, context }).get()).unwrap_or(0)
}

/// The largest number of `1..=most` at which what is left, which falls, is not negative.
fn largest(most: u64, left: impl Fn(u64) -> f64) -> Option<u64> {
    let (mut low, mut high) = (1, most);
    let (mut at_low, mut at_high) = (left(low), left(high));
    if most == 0 || at_low < 0.0 {
        return None;
    }
    if at_high >= 0.0 {
        return Some(most);
    }
    // Memory grows nearly in a line, whose zero is almost the answer; halving between two such
    // steps bounds their number where it does not.
    let mut straight = true;
    while high - low > 1 {
        let share = if straight { at_low / (at_low - at_high) } else { 0.5 };
        let middle = (low + ((high - low) as f64 * share) as u64).clamp(low + 1, high - 1);
        let at_middle = left(middle);
        if at_middle >= 0.0 {
            (low, at_low) = (middle, at_middle);
        } else {
            (high, at_high) = (middle, at_middle);
        }
        straight = !straight;
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_finds_the_edge() {
        for edge in [1, 2, 3, 4, 7, 8, 9, 63, 64, 65, 1000] {
            let line = |n: u64| edge as f64 - n as f64;
            assert_eq!(largest(1000, line), Some(edge));
            assert_eq!(largest(1000, |n| if n <= edge { 0.0 } else { -1.0 }), Some(edge));
            // In steps of 64, and with a bend.
            assert_eq!(
                largest(1000, |n| line(n.next_multiple_of(64)).min(0.5)),
                (edge >= 64).then_some(edge / 64 * 64)
            );
            assert_eq!(largest(edge, |_| 1.0), Some(edge));
        }
        assert_eq!(largest(10, |_| -1.0), None);
        assert_eq!(largest(0, |_| 1.0), None);
    }
}
