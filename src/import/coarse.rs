//! A model of which only total and active parameters are known.
//!
//! Its shape is that of the published model nearest in size; experts and feed-forward take what is
//! left, so that both totals are met to the parameter. The caveat says what was assumed.

use super::ImportError;
use super::config::slug;
use crate::arithmetic::inventory::Inventory;
use crate::catalogue::decode::Count;
use crate::catalogue::model::{
    Block, Dense, Experts, ExtraWeights, Grade, GroupedAttention, LayerGroup, LayerSet, ModelSpec,
    NativeFormats, Provenance,
};
use crate::units;
use std::collections::BTreeMap;

/// A published shape: name, total parameters, layers, width.
type Shape = (&'static str, u64, u32, u64);

/// Dense models, by size.
const DENSE: &[Shape] = &[
    ("Qwen3 0.6B", 600_000_000, 28, 1024),
    ("Llama 3.2 1B", 1_240_000_000, 16, 2048),
    ("Llama 3.2 3B", 3_210_000_000, 28, 3072),
    ("Llama 3.1 8B", 8_030_000_000, 32, 4096),
    ("Qwen3 14B", 14_800_000_000, 40, 5120),
    ("Qwen3 32B", 32_800_000_000, 64, 5120),
    ("Llama 3.1 70B", 70_600_000_000, 80, 8192),
    ("Mistral Large 2", 122_600_000_000, 88, 12_288),
    ("Llama 3.1 405B", 405_900_000_000, 126, 16_384),
];

/// Models with experts, by size.
const SPARSE: &[Shape] = &[
    ("OLMoE 1B-7B", 6_900_000_000, 16, 2048),
    ("gpt-oss 20B", 20_900_000_000, 24, 2880),
    ("Qwen3.5 35B-A3B", 34_700_000_000, 40, 2048),
    ("GLM-4.5 Air", 106_900_000_000, 46, 4096),
    ("Qwen3.5 397B-A17B", 396_300_000_000, 60, 4096),
    ("DeepSeek V3", 671_000_000_000, 61, 7168),
    ("Kimi K2", 1_026_400_000_000, 61, 7168),
    ("Kimi K3", 2_779_500_000_000, 93, 7168),
];

/// Entries of an assumed vocabulary, as of Llama 3 and later.
const VOCABULARY: u64 = 128_256;
/// Key-value heads and width of a head most models of any size have.
const KV_HEADS: u64 = 8;
const HEAD_DIM: u64 = 128;
/// Experts chosen per token, the most frequent number.
const CHOSEN: u64 = 8;
/// Tokens of context assumed.
const CONTEXT: u64 = 131_072;

/// A plausible model of so many parameters, of which a token uses `active` (all, if equal).
///
/// # Errors
/// When no model has such totals.
pub fn coarse(total: u64, active: u64) -> Result<ModelSpec, ImportError> {
    let name = if active == total { short(total) } else { format!("{}-A{}", short(total), short(active)) };
    let fail = |problem: &str| ImportError { name: name.clone(), problems: vec![problem.to_owned()] };
    if active > total {
        return Err(fail("more active parameters than there are"));
    }
    if !(50_000_000..=1_000_000_000_000_000).contains(&total) {
        return Err(fail("only models of 50 M to 1000 T parameters can be assumed a shape"));
    }
    let shapes = if active == total { DENSE } else { SPARSE };
    let distance = |shape: &&Shape| {
        let ratio = shape.1 as f64 / total as f64;
        ratio.max(1.0 / ratio)
    };
    let mut nearest: Vec<&Shape> = shapes.iter().collect();
    nearest.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    let made = nearest.into_iter().find_map(|shape| {
        if active == total { dense(&name, shape, total) } else { sparse(&name, shape, total, active) }
    });
    made.ok_or_else(|| fail("too few active parameters for the attention of any known shape"))
}

/// `750B`, `1.6T`: without blanks, as models are named.
fn short(params: u64) -> String {
    let text = units::count(params as f64);
    let (digits, suffix) = text.split_once(' ').unwrap_or((&text, ""));
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{digits}{suffix}")
}

/// A dense model, its output matrix shared with the embedding so that all parameters are active.
fn dense(name: &str, shape: &Shape, total: u64) -> Option<ModelSpec> {
    let (_, _, layers, hidden) = *shape;
    let per_width = 3 * hidden * u64::from(layers);
    let make = |width: u64, rest: u64| {
        let block = Block::Dense(Dense { width: Count::new(width), ungated: false, bias: false });
        spec(name, shape, true, ("dense", block), &[("remaining weights", rest, true)])
    };
    let around = Inventory::of(&make(1, 0)).total() - per_width;
    let left = total.checked_sub(around)?;
    let width = whole_blocks(left / per_width)?;
    Some(make(width, left - width * per_width))
}

/// A model with experts: as few of them as leave room for attention among the active weights.
fn sparse(name: &str, shape: &Shape, total: u64, active: u64) -> Option<ModelSpec> {
    let (_, _, layers, hidden) = *shape;
    let per_width = 3 * hidden * u64::from(layers);
    let make = |count: u64, width: u64, rest: u64, idle: u64| {
        // What every token uses beyond attention and its experts goes into shared experts.
        let shared = rest / per_width / 32 * 32;
        let rest = rest - shared * per_width;
        let experts = Experts {
            count: Count::new(count),
            active: Count::new(CHOSEN),
            width: Count::new(width),
            latent: None,
            shared_width: (shared > 0).then(|| Count::new(shared)),
            shared_gate: false,
            ungated: false,
            router_bias: false,
            bias: false,
            hashed: false,
            zero_experts: None,
            other_params: None,
        };
        let extra = [("weights every token uses", rest, true), ("remaining expert weights", idle, false)];
        spec(name, shape, false, ("experts", Block::Experts(experts)), &extra)
    };
    // Of the weights, a token does not use so many: the experts it does not choose.
    let unused = total - active;
    let sizes = |model: &ModelSpec| {
        let inventory = Inventory::of(model);
        (inventory.active(), inventory.total() - inventory.active())
    };
    [16, 32, 64, 128, 256, 384, 512, 1024, 2048, 4096].into_iter().find_map(|about| {
        let width = whole_blocks(unused / (per_width * (about - CHOSEN)))?;
        let count = CHOSEN + unused / (per_width * width);
        // The embedding is not used either, and may take the place of an expert.
        (CHOSEN + 1..=count).rev().take(3).find_map(|count| {
            let (used, idle) = sizes(&make(count, width, 0, 0));
            Some(make(count, width, active.checked_sub(used)?, unused.checked_sub(idle)?))
        })
    })
}

/// A width below, in the steps real widths have, so that block formats divide it.
fn whole_blocks(width: u64) -> Option<u64> {
    let step = if width >= 256 { 256 } else { 32 };
    Some(width / step * step).filter(|width| *width > 0)
}

/// The spec around a feed-forward.
fn spec(
    name: &str,
    shape: &Shape,
    tied: bool,
    (word, feed_forward): (&str, Block),
    extra: &[(&str, u64, bool)],
) -> ModelSpec {
    let (like, _, layers, hidden) = *shape;
    let attention = GroupedAttention {
        heads: Count::new((hidden / HEAD_DIM).next_multiple_of(KV_HEADS)),
        kv_heads: Count::new(KV_HEADS),
        head_dim: Count::new(HEAD_DIM),
        value_dim: None,
        window: None,
        chunked: false,
        qkv_bias: false,
        out_bias: false,
        qk_norm: None,
        gate: None,
        sinks: false,
        keys_as_values: false,
        shares_cache: false,
        stores_unused_kv: false,
        cross: false,
        blocks: None,
        other_params: None,
    };
    let per_token = u64::from(layers) * KV_HEADS * HEAD_DIM * 2 * 2;
    let caveat = format!(
        "only the parameter counts are given: {layers} layers of width {hidden} as in {like}, full attention with \
         {KV_HEADS} key-value heads ({} kB of cache per token) and a context of {} are assumed",
        per_token / 1000,
        units::tokens(CONTEXT)
    );
    ModelSpec {
        id: slug(name),
        name: name.to_owned(),
        hub: None,
        aliases: Vec::new(),
        family: "assumed".to_owned(),
        released: None,
        licence: None,
        context: Count::new(CONTEXT),
        hidden: Count::new(hidden),
        vocabulary: Count::new(VOCABULARY),
        tied_embeddings: tied,
        config: Provenance {
            grade: Grade::Coarse,
            sources: Vec::new(),
            note: None,
            caveat: Some(caveat),
            cache_unknown: false,
        },
        published: None,
        native: NativeFormats {
            default: "bf16".to_owned(),
            experts: None,
            attention: None,
            dense: None,
            embedding: None,
            tower: None,
            note: Some("assumed".to_owned()),
        },
        layers: vec![LayerGroup {
            at: LayerSet::new((0..layers).collect()),
            blocks: vec!["attention".to_owned(), word.to_owned()],
            norms: None,
        }],
        block: BTreeMap::from([
            ("attention".to_owned(), Block::Grouped(attention)),
            (word.to_owned(), feed_forward),
        ]),
        mtp: None,
        tower: Vec::new(),
        extra: extra
            .iter()
            .filter(|(_, params, _)| *params > 0)
            .map(|(name, params, every_token)| ExtraWeights {
                name: (*name).to_owned(),
                params: *params,
                lookup: false,
                every_token: *every_token,
                outside_total: false,
            })
            .collect(),
        stored: Vec::new(),
        held: Vec::new(),
        quality: Vec::new(),
        api: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::check::faults;

    #[test]
    fn both_totals_are_met_to_the_parameter() {
        for (total, active) in [
            (750_000_000_000, 40_000_000_000),
            (30_000_000_000, 3_000_000_000),
            (1_600_000_000_000, 49_000_000_001),
            (46_700_000_000, 12_900_000_000),
            (70_000_000_000, 70_000_000_000),
            (1_234_567_890, 1_234_567_890),
        ] {
            let spec = coarse(total, active).unwrap();
            let inventory = Inventory::of(&spec);
            assert_eq!((inventory.total(), inventory.active()), (total, active), "{}", spec.id);
            assert_eq!(faults(&spec), []);
        }
    }

    #[test]
    fn names_and_caveat() {
        let spec = coarse(750_000_000_000, 40_000_000_000).unwrap();
        assert_eq!(spec.id, "750b-a40b");
        assert!(spec.config.caveat.unwrap().contains("as in DeepSeek V3"));
    }

    #[test]
    fn impossible_totals_are_refused() {
        assert!(coarse(1_000_000_000, 2_000_000_000).is_err());
        assert!(coarse(1_000_000_000_000, 100_000_000).is_err());
        assert!(coarse(10, 10).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_totals_give_them_or_an_error(total in 1u64..10_000_000_000_000, share in 1u64..=100) {
            let active = total / 100 * share;
            if let Ok(spec) = coarse(total, active) {
                let inventory = Inventory::of(&spec);
                proptest::prop_assert_eq!((inventory.total(), inventory.active()), (total, active));
            }
        }
    }
}
