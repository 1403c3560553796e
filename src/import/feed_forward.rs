//! What follows the mixer of a layer: dense feed-forward, experts, or both.

use super::dialect::Dialect;
use super::fields::Fields;
use super::mixers::{layout, shares_cache};
use crate::catalogue::decode::Count;
use crate::catalogue::model::{Block, Dense, Experts};

/// Names the number of experts goes by.
const EXPERTS: &[&str] = &["n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts"];

/// Whether a layer routes tokens to experts.
pub(super) fn routes(fields: &Fields, dialect: &Dialect, layer: u64) -> bool {
    if fields.count(EXPERTS).is_none() || fields.flag("enable_moe_block") == Some(false) {
        return false;
    }
    let at = layer as usize;
    if let Some(letters) = layout(fields) {
        return letters.get(at) == Some(&'E');
    }
    if let Some(kinds) = fields.words("mlp_layer_types") {
        return kinds.get(at) == Some(&"sparse");
    }
    if let Some(kinds) = fields.numbers("moe_layer_freq") {
        return kinds.get(at) == Some(&1);
    }
    if let Some(layers) = fields.numbers("moe_layers") {
        return layers.contains(&layer);
    }
    if let Some(period) = fields.count(&["expert_layer_period"]) {
        return layer % period == fields.number(&["expert_layer_offset"]).unwrap_or(0);
    }
    if fields.numbers("mlp_only_layers").is_some_and(|layers| layers.contains(&layer)) {
        return false;
    }
    let first = fields.number(&["first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"]);
    let step = fields.count(&["decoder_sparse_step", "interleave_moe_layer_step"]).unwrap_or(1);
    layer >= first.unwrap_or(dialect.first_dense) && (layer + 1).is_multiple_of(step)
}

/// The feed-forward blocks of one layer.
pub(super) fn blocks(fields: &Fields, dialect: &Dialect, layer: u64) -> Vec<Block> {
    if let Some(letters) = layout(fields) {
        return match letters.get(layer as usize) {
            Some('E') => vec![Block::Experts(experts(fields, dialect, layer))],
            Some('-') => vec![Block::Dense(dense(fields, dialect, layer))],
            _ => Vec::new(),
        };
    }
    if !routes(fields, dialect, layer) {
        return vec![Block::Dense(dense(fields, dialect, layer))];
    }
    let experts = Block::Experts(experts(fields, dialect, layer));
    // Gemma 4 adds the experts to a dense feed-forward.
    if fields.flag("enable_moe_block") == Some(true) {
        return vec![Block::Dense(dense(fields, dialect, layer)), experts];
    }
    vec![experts]
}

/// The dense feed-forward of one layer.
pub(super) fn dense(fields: &Fields, dialect: &Dialect, layer: u64) -> Dense {
    let listed = fields.numbers("intermediate_size").and_then(|list| list.get(layer as usize).copied());
    let no_experts = fields.count(EXPERTS).is_none();
    let width = listed
        .or_else(|| fields.count(&["intermediate_size_mlp", "dense_intermediate_size", "ffn_hidden_size"]))
        // Granite calls its only feed-forward the shared one.
        .or_else(|| fields.count(&["shared_intermediate_size"]).filter(|_| no_experts))
        .unwrap_or_else(|| adjusted(fields));
    let double = fields.flag("use_double_wide_mlp") == Some(true) && shares_cache(fields, layer);
    Dense {
        width: Count::new(if double { 2 * width } else { width }),
        ungated: dialect.ungated,
        bias: fields.flag("mlp_bias") == Some(true),
    }
}

/// The inner width as written, or two thirds of it rounded up where the config says so (LFM2).
fn adjusted(fields: &Fields) -> u64 {
    let width = fields.need(&["intermediate_size", "block_ff_dim"]);
    if fields.flag("block_auto_adjust_ff_dim") != Some(true) {
        return width;
    }
    let multiple = fields.count(&["block_multiple_of"]).unwrap_or(256);
    (2 * width / 3).next_multiple_of(multiple)
}

/// The experts of one layer.
fn experts(fields: &Fields, dialect: &Dialect, layer: u64) -> Experts {
    let width =
        fields.need(&["moe_intermediate_size", "expert_ffn_hidden_size", "expert_dim", "intermediate_size"]);
    let zero = fields.count(&["zero_expert_num"]);
    let chosen = [
        "num_experts_per_tok",
        "num_experts_per_token",
        "experts_per_token",
        "moe_topk",
        "moe_k",
        "top_k_experts",
    ];
    // Where some experts do nothing, the router's own count is the one that includes them.
    let routed = zero.and_then(|_| fields.count(&["moe_topk"]));
    let latent = fields.count(&["moe_latent_size", "routed_expert_hidden_size", "moe_hidden_size"]);
    let normed = latent.filter(|_| fields.flag("latent_moe_use_norm") == Some(true));
    Experts {
        count: Count::new(fields.need(EXPERTS)),
        active: Count::new(routed.unwrap_or_else(|| fields.need(&chosen))),
        width: Count::new(width),
        latent: latent.map(Count::new),
        shared_width: shared_width(fields, width).map(Count::new),
        shared_gate: dialect.shared_gate,
        ungated: dialect.ungated,
        router_bias: dialect.router_bias,
        bias: dialect.expert_bias,
        hashed: layer < fields.number(&["num_hash_layers"]).unwrap_or(0),
        zero_experts: zero,
        other_params: normed,
    }
}

/// Inner width of all shared experts: stated, or their number times the width of an expert.
fn shared_width(fields: &Fields, width: u64) -> Option<u64> {
    let stated = fields.number(&[
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "share_expert_dim",
        "shared_intermediate_size",
    ]);
    let number = fields.number(&[
        "n_shared_experts",
        "num_shared_experts",
        "moe_num_shared_experts",
        "num_shared_expert",
    ]);
    // Llama 4 has one, and no key for it.
    let llama4 = fields.has("interleave_moe_layer_step").then_some(1);
    stated.or_else(|| Some(width * number.or(llama4)?)).filter(|width| *width > 0)
}
