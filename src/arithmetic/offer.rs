//! Which schemes are worth offering for a model, and what each keeps of its quality.

use crate::arithmetic::conversion::Conversion;
use crate::arithmetic::formats::{format, named};
use crate::arithmetic::gguf::{Embeddings, keeps_experts};
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::mix::Mix;
use crate::arithmetic::quality;
use crate::arithmetic::scheme::{Family, Kind, Scheme};
use crate::arithmetic::weights::Weights;
use crate::catalogue::model::ModelSpec;
use crate::fact::{Fact, Origin};
use crate::units::Bytes;

/// Conversions and mixes to choose from, in descending quality.
const OFFERED: [&str; 22] = [
    "bf16", "q8_0", "mlx-8bit", "fp8", "q6_k", "mlx-6bit", "q5_k_m", "q4_k_m", "nvfp4", "mlx-4bit", "iq4_xs",
    "int4-awq", "q3_k_m", "iq3_m", "iq3_xxs", "q2_k", "iq2_m", "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s",
    "tq1_0",
];

/// A scheme must be smaller than the next better one of its family by so much to be worth its loss.
const WORTHWHILE: f64 = 0.97;

/// A scheme with the weights of a model in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The scheme.
    pub scheme: Scheme,
    /// The weights.
    pub weights: Weights,
}

impl Offer {
    /// Weighs a model in a scheme.
    pub fn of(scheme: Scheme, model: &ModelSpec, inventory: &Inventory) -> Self {
        let weights = scheme.weigh(model, inventory);
        Self { scheme, weights }
    }
}

/// Schemes worth offering for a model, best first: its native checkpoint, those that keep its
/// experts as they are, and what is smaller.
///
/// More bits than the model was trained in only repeat the same values: formats more than half a
/// bit above the native one are left out, and so is what is no smaller than a better one.
///
/// A file at hand is what it is: nothing else is offered for it.
pub fn candidates(model: &ModelSpec, inventory: &Inventory) -> Vec<Offer> {
    if !model.stored.is_empty() {
        return vec![Offer::of(Scheme::native(), model, inventory)];
    }
    let native = native_bits(model);
    let worth =
        |scheme: &Scheme| quality_rank(scheme) <= native + 0.6 && (scheme.name() != "tq1_0" || native < 2.5);
    let names = carriers(model).iter().copied().chain(OFFERED);
    let offered = names.filter_map(|name| Scheme::parse(name).ok()).filter(worth);
    let mut kept: Vec<(Family, Bytes)> = Vec::new();
    [Scheme::native()]
        .into_iter()
        .chain(offered)
        .map(|scheme| Offer::of(scheme, model, inventory))
        .filter(|offer| {
            let (family, bytes) = (offer.scheme.family(), offer.weights.total());
            let smaller = kept.iter().all(|(known, size)| *known != family || bytes < *size * WORTHWHILE);
            if smaller {
                kept.push((family, bytes));
            }
            smaller
        })
        .collect()
}

/// Schemes of other engines that hold experts trained in 4 bits unchanged.
fn carriers(model: &ModelSpec) -> &'static [&'static str] {
    match model.native.experts.as_deref() {
        Some("fp4" | "mxfp4") => &["mxfp4_moe", "mlx-mxfp4-q8"],
        // 32 integers with one 16-bit scale, as in the checkpoint.
        Some("int4-g32") => &["q4_0"],
        _ => &[],
    }
}

/// The native format most weights are in.
fn native_format(model: &ModelSpec) -> &str {
    model.native.experts.as_ref().filter(|_| model.is_moe()).unwrap_or(&model.native.default)
}

/// Its bits per weight.
fn native_bits(model: &ModelSpec) -> f64 {
    format(native_format(model)).map_or(16.0, |one| one.format.bits())
}

/// The format of a conversion most weights are in.
fn main_format(conversion: &Conversion) -> &str {
    conversion.experts.as_ref().unwrap_or(&conversion.matrices)
}

/// Bits per weight of the format most weights of a scheme are in, which orders schemes by quality
/// where nothing was measured: fewer bits of the same age of method keep less.
pub fn quality_rank(scheme: &Scheme) -> f64 {
    match &scheme.kind {
        Kind::Native => f64::INFINITY,
        Kind::Conversion(conversion) => format(main_format(conversion)).map_or(0.0, |one| one.format.bits()),
        Kind::Mix(recipe) => {
            // Between equals, the file with the larger embeddings.
            mix_rank(recipe.mix) + if recipe.embeddings == Embeddings::Mixed { 0.0 } else { 0.01 }
        }
        Kind::Ik { stored, .. } => stored.format.bits(),
        Kind::Dynamic(dynamic) => mix_rank(dynamic.mix) + 0.05,
        Kind::Average(bits) => *bits,
    }
}

/// Bits of the default type, and what the exceptions of the larger mixes add over all weights.
fn mix_rank(mix: Mix) -> f64 {
    let raised = match mix {
        Mix::Q3KL => 0.5,
        Mix::Q4KM | Mix::Q5KM | Mix::Q3KM => 0.3,
        Mix::Iq3M => 0.2,
        _ => 0.0,
    };
    named(mix.default_type()).format.bits() + raised
}

impl Scheme {
    /// Share of the model's quality kept, where measurements tell.
    pub fn quality(&self, model: &ModelSpec) -> Option<Fact<f64>> {
        let unharmed = |why: &str| Some(Fact::new(1.0, Origin::Derived(why.to_owned())));
        let bits = quality_rank(self);
        if self.kind == Kind::Native {
            return unharmed("the native checkpoint");
        }
        let carries = carriers(model).contains(&self.name().as_str());
        let keeps = self.family() == Family::Gguf && keeps_experts(model);
        let same = matches!(&self.kind, Kind::Conversion(own) if main_format(own) == native_format(model));
        if carries || keeps || same || bits >= 16.0 {
            return unharmed("most weights are stored as in the native checkpoint");
        }
        let params = model.published.as_ref().and_then(|published| published.total);
        let params = params.unwrap_or_else(|| Inventory::of(model).total()) as f64;
        match &self.kind {
            Kind::Native => None,
            Kind::Conversion(_) => quality::of_conversion(&self.name()),
            Kind::Mix(recipe) => quality::of_mix(recipe.mix.word(), bits, params),
            Kind::Dynamic(dynamic) => quality::of_bits(bits * dynamic.ratio(model).0, params),
            Kind::Ik { .. } | Kind::Average(_) => quality::of_bits(bits, params),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::store::Catalogue;

    fn offered(id: &str) -> Vec<String> {
        let model = Catalogue::embedded().model(id).unwrap().value;
        let offers = candidates(&model, &Inventory::of(&model));
        offers.iter().map(|offer| offer.scheme.name()).collect()
    }

    #[test]
    fn models_trained_in_few_bits_are_not_blown_up() {
        // Every label of gpt-oss keeps the experts of the checkpoint, so one is enough.
        assert_eq!(offered("gpt-oss-120b"), ["native", "mxfp4_moe", "mlx-mxfp4-q8"]);
        let kimi = offered("kimi-k2.6");
        assert_eq!(kimi[..2], ["native", "q4_0"]);
        assert!(!kimi.contains(&"q8_0".to_owned()) && !kimi.contains(&"q4_k_m".to_owned()), "{kimi:?}");
        let dense = offered("llama-3.1-8b");
        assert_eq!(dense[..4], ["native", "q8_0", "mlx-8bit", "fp8"]);
        assert!(!dense.contains(&"bf16".to_owned()));
    }

    #[test]
    fn the_same_format_keeps_everything_and_the_unmeasured_stays_unknown() {
        let kept = |id: &str, scheme: &str| {
            let model = Catalogue::embedded().model(id).unwrap().value;
            Scheme::parse(scheme).unwrap().quality(&model).map(|fact| fact.value)
        };
        assert_eq!(kept("deepseek-r1", "fp8"), Some(1.0));
        assert_eq!(kept("llama-3.1-8b", "fp8"), None);
        assert_eq!(kept("gpt-oss-120b", "q4_k_m"), Some(1.0));
        assert!(kept("llama-3.1-8b", "q4_k_m").unwrap() < 1.0);
    }

    #[test]
    fn within_a_family_quality_and_size_fall_together() {
        let model = Catalogue::embedded().model("glm-5.1").unwrap().value;
        let inventory = Inventory::of(&model);
        for &family in Family::ALL {
            let sizes: Vec<f64> = candidates(&model, &inventory)
                .iter()
                .filter(|offer| offer.scheme.family() == family)
                .map(|offer| offer.weights.total().get())
                .collect();
            assert!(sizes.is_sorted_by(|a, b| a > b), "{family}: {sizes:?}");
        }
    }
}
