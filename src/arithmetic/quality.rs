//! What quantisation costs in quality, from `quant_quality.toml`.
//!
//! Measured is the rise of perplexity over the 16-bit model. Stock mixes have a figure of their
//! own; recipes, and mixes of large models, which bear few bits better, go by bits per weight and
//! size. Quality kept = 1 / (1 + slope · rise). What nobody measured stays unknown.

use crate::catalogue::decode::decode_text;
use crate::fact::{Fact, Origin};
use crate::table;
use std::collections::BTreeMap;
use std::sync::LazyLock;

table! {
    /// What quantisation costs.
    pub struct QuantQuality ("quality of quantisation") {
        /// Quality lost per perplexity gained.
        pub slope: f64,
        /// Where the slope comes from.
        pub slope_source: String,
        /// Where the figures of the mixes stand.
        pub stock_source: String,
        /// Rise of perplexity by mix.
        pub stock: BTreeMap<String, MixRise>,
        /// Rise of perplexity by bits per weight.
        pub recipes: Recipes,
        /// Accuracy kept by conversion.
        pub benchmarks: BTreeMap<String, Benchmarked>,
    }
}

table! {
    /// Rise of perplexity of a mix.
    pub struct MixRise ("rise of a mix") {
        /// Rise as a share.
        pub rise: f64,
        /// Models it was measured on.
        pub models: u64,
    }
}

table! {
    /// Rise of perplexity of recipes, by size of the model.
    pub struct Recipes ("rise of recipes") {
        /// Where the figures stand.
        pub source: String,
        /// Models below 3 B parameters.
        pub small: Vec<RecipeRise>,
        /// Models of 3 to 60 B parameters.
        pub medium: Vec<RecipeRise>,
        /// Larger models.
        pub large: Vec<RecipeRise>,
    }
}

table! {
    /// Rise of perplexity at some bits per weight.
    pub struct RecipeRise ("rise of a recipe") {
        /// Bits per weight.
        pub bits: f64,
        /// Rise as a share.
        pub rise: f64,
        /// Files it is the median of.
        pub files: u64,
        /// Models of these files.
        pub models: u64,
    }
}

table! {
    /// Accuracy kept on benchmarks.
    pub struct Benchmarked ("benchmarked conversion") {
        /// Share kept.
        pub kept: f64,
        /// Where it stands.
        pub source: String,
    }
}

static QUALITY: LazyLock<QuantQuality> = LazyLock::new(|| {
    decode_text("quant_quality.toml", include_str!("quant_quality.toml"), 1)
        .expect("the shipped file is tested")
});

/// Parameters from which a model counts as large.
const LARGE: f64 = 60e9;
/// Parameters below which a model counts as small.
const SMALL: f64 = 3e9;

/// Quality kept by a llama.cpp mix on a model of so many parameters; `bits` is what it mostly is.
pub(crate) fn of_mix(mix: &str, bits: f64, params: f64) -> Option<Fact<f64>> {
    if params >= LARGE {
        return of_bits(bits, params);
    }
    let known = QUALITY.stock.get(mix)?;
    let source = format!("perplexity of {mix} on {} models: {}", known.models, QUALITY.stock_source);
    Some(kept(known.rise, &source))
}

/// Quality kept at so many bits per weight, chosen per tensor.
pub(crate) fn of_bits(bits: f64, params: f64) -> Option<Fact<f64>> {
    let recipes = &QUALITY.recipes;
    let curve = match params {
        p if p < SMALL => &recipes.small,
        p if p < LARGE => &recipes.medium,
        _ => &recipes.large,
    };
    let source = format!("perplexity of recipes of {bits:.2} bits per weight: {}", recipes.source);
    rise_at(curve, bits).map(|rise| kept(rise, &source))
}

/// Quality kept by a conversion that was benchmarked.
pub(crate) fn of_conversion(name: &str) -> Option<Fact<f64>> {
    let known = QUALITY.benchmarks.get(name)?;
    Some(Fact::new(known.kept, Origin::Catalogue(known.source.clone())))
}

fn kept(rise: f64, source: &str) -> Fact<f64> {
    let why = format!("{source}; quality 1 / (1 + {} x rise), {}", QUALITY.slope, QUALITY.slope_source);
    Fact::new(1.0 / (1.0 + QUALITY.slope * rise), Origin::Derived(why))
}

/// The rise between the neighbouring points; unknown below the first, that of the last above it.
fn rise_at(curve: &[RecipeRise], bits: f64) -> Option<f64> {
    let above = curve.iter().position(|point| point.bits >= bits);
    match above {
        None => curve.last().map(|point| point.rise),
        // A little below the first point is still that point.
        Some(0) => curve.first().filter(|point| point.bits - bits < 0.3).map(|point| point.rise),
        Some(i) => {
            let (low, high) = (&curve[i - 1], &curve[i]);
            let share = (bits - low.bits) / (high.bits - low.bits);
            Some(low.rise + (high.rise - low.rise) * share)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_bits_never_keep_less() {
        for params in [1e9, 8e9, 400e9] {
            let mut last = 0.0;
            for step in 18..90 {
                let bits = f64::from(step) / 10.0;
                let Some(kept) = of_bits(bits, params) else { continue };
                assert!(kept.value >= last, "{bits} bits, {params} parameters");
                last = kept.value;
            }
        }
    }

    #[test]
    fn measured_and_unknown() {
        let q4 = of_mix("q4_k_m", 4.8, 8e9).unwrap().value;
        assert!((0.98..1.0).contains(&q4), "{q4}");
        assert!(of_mix("q2_k", 2.9, 8e9).unwrap().value < q4);
        assert!(of_mix("q2_k", 2.9, 8e9).unwrap().value < of_mix("q2_k", 2.9, 600e9).unwrap().value);
        assert_eq!(of_conversion("fp8"), None);
        assert_eq!(of_bits(1.0, 8e9), None);
    }
}
