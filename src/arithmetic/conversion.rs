//! Checkpoints of the hub: one format per class of tensors.
//!
//! The native checkpoint and its conversions (FP8, NVFP4, AWQ, MLX …) differ from GGUF mixes in
//! that a format goes by the class of a tensor and never by its layer. What no conversion touches
//! — norms, routers, short convolutions, small projections — stays in 16 bit.

use crate::arithmetic::formats::{format, named};
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::tensor::{Class, Role, Tensor};
use crate::arithmetic::weights::{Entry, Named};
use crate::catalogue::decode::decode_text;
use crate::catalogue::model::{ModelSpec, NativeFormats};
use crate::table;
use crate::units::Bytes;
use std::collections::BTreeMap;
use std::sync::LazyLock;

table! {
    /// Formats by class of tensor, and where the rule stands.
    pub struct Conversion ("a conversion") {
        /// Every projection no other key names.
        pub matrices: String,
        /// Routed experts.
        pub experts: Option<String>,
        /// Attention and other mixers.
        pub attention: Option<String>,
        /// Attention and other mixers of models with experts.
        pub attention_beside_experts: Option<String>,
        /// Attention and other mixers of models with recurrent layers.
        pub attention_beside_recurrent: Option<String>,
        /// Dense feed-forward and shared experts.
        pub dense: Option<String>,
        /// Embedding and output matrix; 16 bit unless given.
        pub embedding: Option<String>,
        /// Vision and audio towers; 16 bit unless given.
        pub tower: Option<String>,
        /// Half width of the 10-90 % interval of the size, where repositories differ.
        pub spread: Option<f64>,
        /// Where the rule stands.
        pub source: String,
    }
}

static CONVERSIONS: LazyLock<BTreeMap<String, Conversion>> = LazyLock::new(|| {
    decode_text("conversions.toml", include_str!("conversions.toml"), 1).expect("the shipped file is tested")
});

/// The names of all conversions.
pub fn names() -> impl Iterator<Item = &'static str> {
    CONVERSIONS.keys().map(String::as_str)
}

impl Conversion {
    /// The conversion of a name: from `conversions.toml`, or an MLX or EXL3 format for all matrices.
    pub fn of(name: &str) -> Option<Self> {
        if let Some(conversion) = CONVERSIONS.get(name) {
            return Some(conversion.clone());
        }
        let grouped = if name.contains("-g") { name.to_owned() } else { format!("{name}-g64") };
        let stored = format(&grouped).filter(|_| name.starts_with("mlx-")).or_else(|| {
            let bits = name.strip_prefix("exl3-")?.strip_suffix("bpw")?;
            format(&format!("exl3-{bits}"))
        })?;
        let mut all = Self::uniform(stored.name, &stored.format.source);
        if name.starts_with("mlx-") {
            // mlx-lm quantises the embedding and the output matrix too.
            all.embedding = Some(stored.name.to_owned());
        }
        Some(all)
    }

    /// What the native checkpoint of a model holds.
    pub fn native(formats: &NativeFormats) -> Self {
        let wide = |name: &str| format(name).is_some_and(|one| one.format.bits() >= 16.0);
        Self {
            matrices: formats.default.clone(),
            experts: formats.experts.clone(),
            attention: formats.attention.clone(),
            attention_beside_experts: None,
            attention_beside_recurrent: None,
            spread: None,
            dense: formats.dense.clone(),
            embedding: formats
                .embedding
                .clone()
                .or_else(|| wide(&formats.default).then(|| formats.default.clone())),
            tower: formats.tower.clone(),
            source: formats.note.clone().unwrap_or_else(|| "native checkpoint".to_owned()),
        }
    }

    /// One format for all projections.
    fn uniform(name: &str, source: &str) -> Self {
        Self {
            matrices: name.to_owned(),
            experts: None,
            attention: None,
            attention_beside_experts: None,
            attention_beside_recurrent: None,
            spread: None,
            dense: None,
            embedding: None,
            tower: None,
            source: source.to_owned(),
        }
    }

    /// Names of formats that `formats.toml` lacks.
    pub fn unknown(&self) -> Vec<&str> {
        let optional = [
            &self.experts,
            &self.attention,
            &self.attention_beside_experts,
            &self.attention_beside_recurrent,
            &self.dense,
            &self.embedding,
            &self.tower,
        ];
        let names =
            [self.matrices.as_str()].into_iter().chain(optional.into_iter().flatten().map(String::as_str));
        names.filter(|name| format(name).is_none()).collect()
    }

    /// All tensors of the model with their formats.
    pub fn entries(&self, model: &ModelSpec, inventory: &Inventory) -> Vec<Entry> {
        let moe = model.is_moe();
        let recurrent = inventory.items.iter().any(|item| item.tensor.class == Class::Linear);
        inventory
            .items
            .iter()
            .map(|item| {
                let (tensor, stored) = (item.tensor, self.stored(&item.tensor, moe, recurrent));
                let each = Bytes::new(stored.format.row(tensor.cols) * (tensor.rows * tensor.copies) as f64);
                Entry { tensor, place: item.place.clone(), stored, each }
            })
            .collect()
    }

    fn stored(&self, tensor: &Tensor, moe: bool, recurrent: bool) -> Named {
        let kept = || if self.matrices == "f32" { named("f32") } else { named("bf16") };
        let of = |name: &Option<String>| {
            let name = name.as_ref().unwrap_or(&self.matrices);
            format(name).unwrap_or_else(kept)
        };
        let or_kept = |name: &Option<String>| name.as_deref().and_then(format).unwrap_or_else(kept);
        match tensor.role {
            Role::Vector
            | Role::Router
            | Role::SharedRouter
            | Role::Conv
            | Role::LinearSmall
            | Role::IndexWeight
            | Role::Mix => return kept(),
            Role::RouteTable => return named("i32"),
            _ => {}
        }
        match tensor.class {
            Class::Embedding | Class::Head | Class::Lookup => or_kept(&self.embedding),
            Class::Tower => or_kept(&self.tower),
            Class::Experts => of(&self.experts),
            Class::Attention | Class::Indexer | Class::Compressor | Class::Linear => {
                if moe && self.attention_beside_experts.is_some() {
                    of(&self.attention_beside_experts)
                } else if recurrent && self.attention_beside_recurrent.is_some() {
                    of(&self.attention_beside_recurrent)
                } else {
                    of(&self.attention)
                }
            }
            Class::Dense | Class::Shared => of(&self.dense),
            Class::Router | Class::Norms | Class::Hyper => kept(),
            Class::Other => of(&None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_conversion_names_known_formats() {
        for name in names() {
            let conversion = Conversion::of(name).unwrap();
            assert_eq!(conversion.unknown(), Vec::<&str>::new(), "{name}");
        }
    }

    #[test]
    fn mlx_groups_are_64_unless_named() {
        assert_eq!(Conversion::of("mlx-4bit").unwrap().matrices, "mlx-4bit-g64");
        assert_eq!(Conversion::of("mlx-8bit-g32").unwrap().matrices, "mlx-8bit-g32");
        assert_eq!(Conversion::of("exl3-4bpw").unwrap().matrices, "exl3-4");
        assert!(Conversion::of("mlx-7bit").is_none());
    }
}
