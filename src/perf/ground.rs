//! How much measured ground stands under an engine on a family of models.
//!
//! Constants carry over between models; whether the kernels of a family are as good in one engine
//! as in another does not. Without rows the speed is an extrapolation, whatever the device.

use crate::catalogue::decode::decode_text;
use crate::catalogue::model::{Block, ModelSpec};
use crate::fact::Confidence;
use crate::perf::deployment::{Engine, Placement};
use crate::table;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Rows that make a family well known.
const MANY_ROWS: u64 = 30;

table! {
    /// Rows by engine and family.
    pub struct Ground ("measured ground") {
        /// Engine, family, rows.
        pub rows: BTreeMap<String, BTreeMap<String, u64>>,
    }
}

/// As shipped.
static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    decode_text("ground.toml", include_str!("constants/ground.toml"), 1).expect("the shipped file is tested")
});

/// The family of a model by its kinds of blocks: `grouped+experts`.
pub fn family(spec: &ModelSpec) -> String {
    let mut kinds = BTreeSet::new();
    for (_, blocks) in spec.groups() {
        kinds.extend(blocks.into_iter().filter_map(|block| match block {
            Block::Grouped(_) => Some("grouped"),
            Block::Latent(latent) if latent.indexer.is_some() => Some("latent-indexed"),
            Block::Latent(_) => Some("latent"),
            Block::Compressed(_) => Some("compressed"),
            Block::Delta(_) => Some("delta"),
            Block::ChannelDelta(_) => Some("channel-delta"),
            Block::Mamba1(_) => Some("mamba1"),
            Block::Mamba2(_) => Some("mamba2"),
            Block::ShortConv(_) => Some("short-conv"),
            Block::Dense(_) | Block::Experts(_) | Block::Hyper(_) => None,
        }));
    }
    let mut name = kinds.into_iter().collect::<Vec<_>>().join("+");
    if spec.is_moe() {
        name.push_str("+experts");
    }
    name
}

/// The most confidence a speed of this model on this engine, divided this way, can have.
pub fn confidence(spec: &ModelSpec, engine: Engine, placement: &Placement) -> Confidence {
    let rows = GROUND.rows.get(engine.word()).and_then(|families| families.get(&family(spec))).copied();
    let split_by_tensor = matches!(engine, Engine::LlamaCpp | Engine::IkLlamaCpp) && placement.tp > 1;
    match rows {
        // Three rows in all stand behind a tensor split of llama.cpp.
        _ if split_by_tensor => Confidence::Extrapolated,
        Some(rows) if rows >= MANY_ROWS => Confidence::Good,
        Some(_) => Confidence::Moderate,
        None => Confidence::Extrapolated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::store::Catalogue;

    #[test]
    fn families_are_named_by_their_blocks() {
        let catalogue = Catalogue::embedded();
        let of = |id: &str| family(&catalogue.model(id).unwrap().value);
        assert_eq!(of("llama-3.1-8b"), "grouped");
        assert_eq!(of("deepseek-v3"), "latent+experts");
        assert_eq!(of("glm-5.1"), "latent-indexed+experts");
        assert_eq!(of("deepseek-v4-pro"), "compressed+experts");
        assert_eq!(of("qwen3-next-80b-a3b"), "delta+grouped+experts");
    }

    #[test]
    fn every_family_listed_belongs_to_a_model_and_an_engine() {
        let catalogue = Catalogue::embedded();
        let known: BTreeSet<String> =
            catalogue.model_ids().map(|id| family(&catalogue.model(id).unwrap().value)).collect();
        for (engine, families) in &GROUND.rows {
            assert!(Engine::from_word(engine).is_some(), "{engine}");
            for family in families.keys() {
                assert!(known.contains(family), "{engine}: {family}");
            }
        }
    }

    #[test]
    fn an_engine_without_rows_is_an_extrapolation() {
        let catalogue = Catalogue::embedded();
        let v4 = catalogue.model("deepseek-v4-pro").unwrap().value;
        let one = Placement::ONE;
        assert_eq!(confidence(&v4, Engine::TensorRtLlm, &one), Confidence::Extrapolated);
        assert_eq!(confidence(&v4, Engine::Vllm, &one), Confidence::Moderate);
    }
}
