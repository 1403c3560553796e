//! Schemes: the names people give to weights in a format, and the tensors behind each name.
//!
//! | name | what it is |
//! | --- | --- |
//! | `native` | the checkpoint as its maker ships it |
//! | `fp8`, `nvfp4`, `int4-awq`, `mlx-4bit`, `exl3-4bpw` | a conversion: [`crate::arithmetic::conversion`] |
//! | `q4_k_m`, `iq2_xxs`, `q4_k_l` | a llama.cpp mix: [`crate::arithmetic::mix`] |
//! | `iq4_ks`, `smol-iq3_k`, `iq2_k_r4` | a recipe with types of `ik_llama.cpp` |
//! | `ud-q4_k_xl` | a mix Unsloth chooses per layer, without published rule |
//! | `mixed-4.5bpw` | a private mix of so many bits per weight |

use crate::arithmetic::conversion::{self, Conversion};
use crate::arithmetic::dynamic::{self, DynamicMix};
use crate::arithmetic::formats::{format, named};
use crate::arithmetic::gguf::{self, Embeddings, Recipe};
use crate::arithmetic::held;
use crate::arithmetic::inventory::{Inventory, Place};
use crate::arithmetic::mix::Mix;
use crate::arithmetic::published_sizes::published_size;
use crate::arithmetic::stored;
use crate::arithmetic::tensor::{Class, Role};
use crate::arithmetic::weights::{Entry, Named, Weights};
use crate::catalogue::model::ModelSpec;
use crate::catalogue::nearest::ranked;
use crate::fact::Origin;
use crate::units::Bytes;
use crate::words;
use std::fmt;

pub use crate::arithmetic::offer::{Offer, candidates, quality_rank};

words! {
    /// Which kind of file a scheme is, and so which engines read it.
    pub enum Family ("family of weight formats") {
        /// Checkpoints of the hub: vLLM, `SGLang`, TensorRT-LLM.
        Safetensors = "safetensors",
        /// llama.cpp and its relatives.
        Gguf = "gguf",
        /// MLX.
        Mlx = "mlx",
        /// `ExLlama`.
        Exl = "exl",
    }
}

/// A scheme that is none of the known ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown weight format `{name}`")]
pub struct Unknown {
    /// What was asked for.
    pub name: String,
    /// Names that may have been meant.
    pub near: Vec<String>,
}

/// How the tensors of a model are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheme {
    name: String,
    pub(super) kind: Kind,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// As its maker ships it.
    Native,
    /// By class of tensor.
    Conversion(Box<Conversion>),
    /// A llama.cpp mix.
    Mix(Recipe),
    /// A recipe with types of `ik_llama.cpp`: experts in the named type, `down` projections one step
    /// larger unless the recipe is a small one.
    Ik { stored: Named, small: bool },
    /// A dynamic mix of Unsloth, named after its main type.
    Dynamic(&'static DynamicMix),
    /// A private mix of so many bits per weight.
    Average(f64),
}

impl Scheme {
    /// The scheme of a name, lower case or not.
    ///
    /// # Errors
    /// A name that is none of the known ones.
    pub fn parse(name: &str) -> Result<Self, Unknown> {
        let lower = name.trim().to_lowercase();
        let kind = kind_of(&lower).ok_or_else(|| Unknown {
            name: name.to_owned(),
            near: ranked(&lower, known().iter().map(String::as_str)).into_iter().map(str::to_owned).collect(),
        })?;
        Ok(Self { name: lower, kind })
    }

    /// The scheme of a name in a kind of file: `bf16` and `mxfp4` exist in several.
    ///
    /// # Errors
    /// A name that is none of the known ones.
    pub fn parse_in(name: &str, family: Family) -> Result<Self, Unknown> {
        let lower = name.trim().to_lowercase();
        if family == Family::Gguf {
            let mix = if lower == "mxfp4" { Some(Mix::Mxfp4Moe) } else { Mix::from_word(&lower) };
            if let Some(mix) = mix {
                return Ok(Self { name: lower, kind: Kind::Mix(Recipe::of(mix)) });
            }
        }
        Self::parse(name)
    }

    /// The native checkpoint.
    pub fn native() -> Self {
        Self { name: "native".to_owned(), kind: Kind::Native }
    }

    /// The same name made by another recipe.
    #[must_use]
    pub fn made_by(self, recipe: Recipe) -> Self {
        Self { kind: Kind::Mix(recipe), ..self }
    }

    /// The name, lower case.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// The recipe behind a llama.cpp mix.
    pub fn recipe(&self) -> Option<Recipe> {
        match &self.kind {
            Kind::Mix(recipe) => Some(*recipe),
            Kind::Native | Kind::Conversion(_) | Kind::Ik { .. } | Kind::Dynamic(_) | Kind::Average(_) => {
                None
            }
        }
    }

    /// Which kind of file it is.
    pub fn family(&self) -> Family {
        match &self.kind {
            Kind::Conversion(_) if self.name.starts_with("mlx-") || self.name == "mxfp4-q8" => Family::Mlx,
            Kind::Conversion(_) if self.name.starts_with("exl") => Family::Exl,
            Kind::Conversion(_) if self.name.starts_with("ds4-") || self.name == "mxfp4-f16" => Family::Gguf,
            Kind::Native | Kind::Conversion(_) => Family::Safetensors,
            Kind::Mix(_) | Kind::Ik { .. } | Kind::Dynamic(_) | Kind::Average(_) => Family::Gguf,
        }
    }

    /// The tensors of a model in this scheme: by rule, or where no rule is published scaled to the
    /// published size of the file.
    pub fn weigh(&self, model: &ModelSpec, inventory: &Inventory) -> Weights {
        let weights = self.weigh_by_rule(model, inventory);
        let known = match self.kind {
            Kind::Dynamic(_) | Kind::Ik { .. } => published_size(&model.id, &self.name),
            Kind::Native | Kind::Conversion(_) | Kind::Mix(_) | Kind::Average(_) => None,
        };
        let Some(size) = known else { return weights };
        let total = size.bytes - weights.header;
        let origin = Origin::Catalogue(format!("published size, {}", size.source));
        Weights { origin, spread: size.rounding / size.bytes, ..weights.scaled_to(total) }
    }

    /// The tensors of a model in this scheme, never looking at published sizes.
    pub fn weigh_by_rule(&self, model: &ModelSpec, inventory: &Inventory) -> Weights {
        let exact = |entries: Vec<Entry>, rule: String| self.weights(entries, Origin::Derived(rule), 0.0);
        match &self.kind {
            Kind::Native if !model.stored.is_empty() => {
                exact(stored::entries(model), "tensor table of the file".to_owned())
            }
            Kind::Native if !model.held.is_empty() => {
                let entries = Conversion::native(&model.native).entries(model, inventory);
                exact(held::fit(entries, &model.held, named("bf16")), "headers of the checkpoint".to_owned())
            }
            Kind::Native => {
                let conversion = Conversion::native(&model.native);
                exact(conversion.entries(model, inventory), format!("native formats: {}", conversion.source))
            }
            Kind::Conversion(conversion) => {
                let mut entries = conversion.entries(model, inventory);
                if self.family() == Family::Mlx {
                    // mlx-lm leaves the prediction layers out.
                    entries.retain(|one| !matches!(one.place, Place::Prediction(_)));
                }
                let weights = exact(entries, conversion.source.clone());
                Weights { spread: conversion.spread.unwrap_or(0.0), ..weights }
            }
            Kind::Mix(recipe) => {
                let entries = recipe.entries(model, inventory);
                let header = gguf::header(model, &entries);
                let rule = format!("llama.cpp mix {}", recipe.mix);
                Weights { header, spread: gguf::mix_spread(), ..exact(entries, rule) }
            }
            Kind::Ik { stored, small } => self.ik(*stored, *small, model, inventory),
            Kind::Dynamic(mix) => self.dynamic(mix, model, inventory),
            Kind::Average(bits) => self.average(*bits, model, inventory),
        }
    }

    fn weights(&self, entries: Vec<Entry>, origin: Origin, spread: f64) -> Weights {
        Weights { scheme: self.name.clone(), entries, origin, header: Bytes::ZERO, spread }
    }

    /// Experts in the named type, the rest in 8 bits (dense models: 6 bits around the named type).
    fn ik(&self, stored: Named, small: bool, model: &ModelSpec, inventory: &Inventory) -> Weights {
        let moe = model.is_moe();
        let mut entries = Recipe::of(Mix::Q8_0).entries(model, inventory);
        for one in &mut entries {
            let to = match (one.tensor.role, one.tensor.class) {
                (Role::Vector, _) => continue,
                (Role::Embedding | Role::Output, _) => named("q6_k"),
                (Role::ExpertDown, _) if !small => larger(stored),
                (_, Class::Experts) => stored,
                // Beside experts the rest is small and kept in 8 bits; a dense model is all rest.
                _ if moe => continue,
                _ => stored,
            };
            if one.is_quantised() {
                restore(one, to);
            }
        }
        let rule = "ik_llama.cpp recipe: experts in the named type, down projections one step larger, the rest 6 to 8 bits";
        let header = gguf::header(model, &entries);
        Weights { header, ..self.weights(entries, Origin::Assumed(rule.to_owned()), gguf::recipe_spread()) }
    }

    /// The mix it is named after times the usual ratio of its label.
    fn dynamic(&self, dynamic: &DynamicMix, model: &ModelSpec, inventory: &Inventory) -> Weights {
        let recipe = Recipe { resaved: true, ..Recipe::of(dynamic.mix) };
        let mut entries = recipe.entries(model, inventory);
        let header = gguf::header(model, &entries);
        let (mut ratio, spread, origin) = dynamic.ratio(model);
        // Experts trained in few bits stay as they are: more bits would repeat the same values.
        if let Some(native) = model.native.experts.as_deref().and_then(format) {
            let wider = |one: &&mut Entry| {
                let routed = matches!(one.tensor.role, Role::ExpertGate | Role::ExpertUp | Role::ExpertDown);
                routed && one.stored.format.bits() > native.format.bits()
            };
            entries.iter_mut().filter(wider).for_each(|one| restore(one, native));
            ratio = 1.0;
        }
        let weights = Weights { header, ..self.weights(entries, origin, spread) };
        let total = weights.total() * ratio;
        weights.scaled_to(total)
    }

    /// The mix nearest in bits, scaled to the stated average over all parameters.
    fn average(&self, bits: f64, model: &ModelSpec, inventory: &Inventory) -> Weights {
        let distance = |mix: &Mix| (named(mix.default_type()).format.bits() - bits).abs();
        let mixes = Mix::ALL.iter().copied();
        let nearest = mixes.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(Mix::Q4KM);
        let entries = Recipe::of(nearest).entries(model, inventory);
        let params: f64 = entries.iter().map(|one| (one.times() * one.tensor.params()) as f64).sum();
        let header = gguf::header(model, &entries);
        let stated = Origin::User(format!("{bits} bits per weight"));
        let weights = Weights { header, ..self.weights(entries, stated, 0.0) };
        weights.scaled_to(Bytes::new(params * bits / 8.0))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// Stores a tensor in another format.
fn restore(one: &mut Entry, stored: Named) {
    one.stored = stored;
    let (tensor, format) = (&one.tensor, stored.format);
    one.each = Bytes::new(format.row(tensor.cols) * (tensor.rows * tensor.copies) as f64);
}

/// The `ik_llama.cpp` type one step above.
fn larger(stored: Named) -> Named {
    let ladder = [
        "iq1_kt", "iq2_kt", "iq2_ks", "iq2_k", "iq2_kl", "iq3_kt", "iq3_ks", "iq3_k", "iq4_kss", "iq4_ks",
        "iq4_k", "iq5_ks", "iq5_k", "iq6_k",
    ];
    let above = ladder.iter().map(|name| named(name)).find(|one| one.format.bits() > stored.format.bits());
    above.unwrap_or(stored)
}

/// What a lower-case name stands for.
fn kind_of(name: &str) -> Option<Kind> {
    if name == "native" {
        return Some(Kind::Native);
    }
    if let Some(bits) = name.strip_prefix("mixed-").and_then(|rest| rest.strip_suffix("bpw")) {
        return bits.parse().ok().filter(|bits| (1.0..=32.0).contains(bits)).map(Kind::Average);
    }
    if let Some(rest) = name.strip_prefix("ud-") {
        return dynamic::label(rest).map(Kind::Dynamic);
    }
    if let Some(conversion) = Conversion::of(name) {
        return Some(Kind::Conversion(Box::new(conversion)));
    }
    let (base, small) = name.strip_prefix("smol-").map_or((name, false), |rest| (rest, true));
    let base = base.strip_suffix("_r4").or_else(|| base.strip_suffix("_r8")).unwrap_or(base);
    if let Some(recipe) = recipe_of(base).filter(|_| !small) {
        return Some(Kind::Mix(recipe));
    }
    let stored = format(base).filter(|one| base.starts_with("iq") && one.format.block >= 32)?;
    Some(Kind::Ik { stored, small })
}

/// The recipe of a llama.cpp label, with the suffixes publishers add.
fn recipe_of(name: &str) -> Option<Recipe> {
    if let Some(mix) = Mix::from_word(name) {
        return Some(Recipe::of(mix));
    }
    let large = |mix| Some(Recipe { embeddings: Embeddings::Large, ..Recipe::of(mix) });
    match name {
        // Short for the medium mix.
        "q3_k" => Some(Recipe::of(Mix::Q3KM)),
        "q4_k" => Some(Recipe::of(Mix::Q4KM)),
        "q5_k" => Some(Recipe::of(Mix::Q5KM)),
        "q2_k_l" => large(Mix::Q2K),
        "q3_k_xl" => large(Mix::Q3KL),
        "q4_k_l" => large(Mix::Q4KM),
        "q5_k_l" => large(Mix::Q5KM),
        "q6_k_l" => large(Mix::Q6K),
        "q8_0_l" => large(Mix::Q8_0),
        _ => None,
    }
}

/// Names to suggest.
fn known() -> Vec<String> {
    let mixes = Mix::ALL.iter().map(|mix| mix.word().to_owned());
    let conversions = conversion::names().map(str::to_owned);
    let others = [
        "native",
        "ud-q4_k_xl",
        "ud-q2_k_xl",
        "ud-q8_k_xl",
        "mlx-4bit",
        "mlx-6bit",
        "mlx-8bit",
        "exl3-4bpw",
        "q4_k_l",
    ];
    mixes.chain(conversions).chain(others.map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_measurements_is_known() {
        for name in [
            "f16",
            "bf16",
            "fp8",
            "fp4",
            "fp4+fp8",
            "nvfp4",
            "int8",
            "int4",
            "int4-awq",
            "int4-gptq",
            "int4-autoround",
            "mxfp4",
            "mxfp4-f16",
            "mxfp4-q8",
            "mxfp4_moe",
            "mlx-4bit",
            "mlx-5bit-g32",
            "mlx-mxfp4-q4",
            "mlx-nvfp4",
            "native",
            "ds4-q2",
            "q4_0",
            "q4_k_m",
            "q3_k_xl",
            "q2_k_s",
            "q4_k_r4",
            "iq4_xs",
            "iq2_xs_r4",
            "iq1_s_r4",
            "iq4_ks_r4",
            "iq4_kss",
            "iq3_kt",
            "iq6_k",
            "smol-iq3_k",
            "smol-iq4_nl",
            "ud-q8_k_xl",
            "ud-iq1_m",
            "ud-tq1_0",
            "ud-q6_k_l",
            "mixed-4.852bpw",
            "exl3-4bpw",
        ] {
            assert!(Scheme::parse(name).is_ok(), "{name}");
        }
        let unknown = Scheme::parse("q4_km").unwrap_err();
        assert!(unknown.near.contains(&"q4_k_m".to_owned()), "{unknown:?}");
        for bad in ["", "ud-", "mixed-99bpw", "iq9_k", "smol-q4_k_m"] {
            assert!(Scheme::parse(bad).is_err(), "{bad}");
        }
    }
}
