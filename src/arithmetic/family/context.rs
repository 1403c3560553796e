//! How many entries the queries of a step attend, summed over the queries.
//!
//! A step adds `new` tokens after `depth` cached ones. Attention is causal: the `i`-th new token
//! sees `depth + i` tokens, itself among them. The sums are exact, so that one step of many tokens
//! costs the same as many steps of one.

/// Sum over the queries of the tokens they see: `new * depth + new (new + 1) / 2`.
pub(crate) fn all(new: u64, depth: u64) -> f64 {
    let (new, depth) = (new as f64, depth as f64);
    new * depth + new * (new + 1.0) / 2.0
}

/// Sum over the queries of `min(cap, tokens seen)`: a window, or a selection of the best.
pub(crate) fn capped(new: u64, depth: u64, cap: u64) -> f64 {
    let growing = cap.saturating_sub(depth).min(new);
    all(growing, depth) + (new - growing) as f64 * cap as f64
}

/// Sum over the queries of the tokens since the start of their chunk.
pub(crate) fn chunked(new: u64, depth: u64, chunk: u64) -> f64 {
    // Tokens seen by the first `n` tokens of a sequence.
    let first = |n: u64| (n / chunk) as f64 * all(chunk, 0) + all(n % chunk, 0);
    first(depth + new) - first(depth)
}

/// Sum over the queries of `min(cap, floor(tokens seen / ratio))`: compressed entries.
pub(crate) fn compressed(new: u64, depth: u64, ratio: u64, cap: Option<u64>) -> f64 {
    // Entries seen by the first `n` tokens: `ratio` tokens see each count, the first see none.
    let first = |n: u64| {
        let free = n.min(cap.map_or(u64::MAX, |cap| (cap + 1) * ratio - 1));
        let (full, rest) = ((free + 1) / ratio, (free + 1) % ratio);
        let full_sum = ratio as f64 * (full as f64) * (full as f64 - 1.0) / 2.0;
        full_sum + rest as f64 * full as f64 + (n - free) as f64 * cap.unwrap_or(0) as f64
    };
    first(depth + new) - first(depth)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "sums of whole numbers are exact")]
mod tests {
    use super::*;

    /// Adds up one query after the other.
    fn slowly(new: u64, depth: u64, seen: impl Fn(u64) -> u64) -> f64 {
        (1..=new).map(|i| seen(depth + i) as f64).sum()
    }

    proptest::proptest! {
        #[test]
        fn closed_forms_equal_the_sums(new in 0u64..300, depth in 0u64..300, cap in 1u64..50, ratio in 1u64..9) {
            proptest::prop_assert_eq!(all(new, depth), slowly(new, depth, |t| t));
            proptest::prop_assert_eq!(capped(new, depth, cap), slowly(new, depth, |t| t.min(cap)));
            proptest::prop_assert_eq!(chunked(new, depth, cap), slowly(new, depth, |t| (t - 1) % cap + 1));
            let some = slowly(new, depth, |t| (t / ratio).min(cap));
            proptest::prop_assert_eq!(compressed(new, depth, ratio, Some(cap)), some);
            proptest::prop_assert_eq!(compressed(new, depth, ratio, None), slowly(new, depth, |t| t / ratio));
        }
    }
}
