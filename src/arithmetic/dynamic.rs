//! Unsloth's dynamic mixes (`ud-`): a stock mix times the ratio its label usually has.
//!
//! The ratio is a median over many models per label, with and without experts; `dynamic.toml`
//! says how far single models stray from it.

use crate::arithmetic::mix::Mix;
use crate::catalogue::decode::decode_text;
use crate::catalogue::model::ModelSpec;
use crate::fact::Origin;
use crate::table;
use std::collections::BTreeMap;
use std::sync::LazyLock;

table! {
    /// The dynamic mixes and what is known about them.
    pub struct DynamicMixes ("dynamic mixes") {
        /// Where the ratios come from.
        pub source: String,
        /// How far models stray.
        pub residual: String,
        /// Half width of the interval of a label with a ratio.
        pub spread: f64,
        /// Half width of the interval of a label without one.
        pub unknown_spread: f64,
        /// By label, without `ud-`.
        pub label: BTreeMap<String, DynamicMix>,
    }
}

table! {
    /// One dynamic mix.
    pub struct DynamicMix ("a dynamic mix") {
        /// The stock mix it is taken as.
        pub mix: Mix,
        /// Published over stock size of models without experts.
        pub dense: Option<f64>,
        /// Published over stock size of models with experts.
        pub experts: Option<f64>,
    }
}

static DYNAMIC: LazyLock<DynamicMixes> = LazyLock::new(|| {
    decode_text("dynamic.toml", include_str!("dynamic.toml"), 1).expect("the shipped file is tested")
});

/// What is known about a label, written without `ud-`.
pub(crate) fn label(name: &str) -> Option<&'static DynamicMix> {
    DYNAMIC.label.get(name)
}

impl DynamicMix {
    /// Published over stock size for a model like this, how far single models stray, and where
    /// that comes from.
    pub fn ratio(&self, model: &ModelSpec) -> (f64, f64, Origin) {
        let ratio = if model.is_moe() { self.experts } else { self.dense };
        let Some(ratio) = ratio else {
            let why = format!("Unsloth dynamic mix taken as {}: its types are not published", self.mix);
            return (1.0, DYNAMIC.unknown_spread, Origin::Assumed(why));
        };
        let DynamicMixes { source, residual, spread, .. } = &*DYNAMIC;
        let fit = format!("Unsloth dynamic mix as {} times {ratio}: {source}; {residual}", self.mix);
        (ratio, *spread, Origin::Fitted(fit))
    }
}
