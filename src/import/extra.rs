//! Weights a config implies outside the layers: per-layer embeddings, their projections, biases.

use super::fields::Fields;
use crate::catalogue::model::ExtraWeights;

/// Weights outside the layers.
pub(super) fn weights(fields: &Fields, kind: &str, layers: u64) -> Vec<ExtraWeights> {
    let hidden = fields.need(&["hidden_size"]);
    let vocabulary = fields.need(&["vocab_size"]);
    let mut list = Vec::new();
    let mut push = |name: &str, params: u64, lookup: bool, every_token: bool| {
        list.push(ExtraWeights { name: name.to_owned(), params, lookup, every_token, outside_total: false });
    };
    if let Some(width) = fields.count(&["hidden_size_per_layer_input"]) {
        let rows = fields.count(&["vocab_size_per_layer_input"]).unwrap_or(vocabulary);
        push("per-layer embedding", rows * layers * width, true, false);
        // Per layer a gate, a projection back and a norm; once a projection for all layers.
        let per_layer = 2 * hidden * width + hidden;
        push("per-layer projections", layers * per_layer + hidden * layers * width + width, false, true);
    }
    if let Some(streams) = fields.count(&["altup_num_inputs"]) {
        let rank = fields.need(&["laurel_rank"]);
        let laurel = 2 * hidden * rank + hidden;
        let mixing = hidden * streams + streams.pow(3) + streams.pow(2) + 2 * hidden;
        let around = 2 * (streams - 1) * hidden * hidden;
        push("alternating updates and low-rank residuals", layers * (laurel + mixing) + around, false, true);
    }
    if kind.starts_with("gemma4") {
        push("layer scalars", layers, false, true);
    }
    if fields.flag("lm_head_bias") == Some(true) {
        push("biases of final norm and output", vocabulary + hidden, false, true);
    }
    if fields.has("attn_res_block_size") {
        push("final attention residual", 2 * hidden, false, true);
    }
    if fields.has("cross_attention_layers") {
        push("embedding rows of images", 8 * hidden, false, false);
    }
    list
}
