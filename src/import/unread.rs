//! Keys of a config that are not understood and could matter to size or cache.
//!
//! Most keys of a config say how to tokenise, sample, train or scale, which changes neither bytes nor
//! work. These are listed here; every other key that has a value and was not looked for is named.

use super::fields::Fields;

/// Ends of keys that number tokens, name activations, or state small figures of norms and training.
const ENDS: &[&str] = &[
    "_token_id",
    "_token_ids",
    "_token_index",
    "_placeholder",
    "_eps",
    "_epsilon",
    "_act",
    "_act_fn",
    "_activation",
    "_activation_func",
    "_act_dtype",
    "_dtype",
    "dropout",
    "_prob",
    "_pdrop",
    "_drop",
    "_coef",
    "_coeff",
    "_theta",
    "_scale",
    "_scaling",
    "_scaling_factor",
    "_softcapping",
    "_softcap",
    "_multiplier",
    "_alpha",
    "_beta",
    "_limit",
    "_std",
    "_range",
    "_penalty",
    "_cache_implementation",
    "_attn_implementation",
    "_version",
];

/// Beginnings of keys about positions, initial values, sampling, training, and notes of tools.
const STARTS: &[&str] =
    &["_", "rope_", "rotary_", "init", "time_step_", "topk_", "num_beam", "output_", "use_cache", "label"];

/// Keys whose whole name tells, or that other keys repeat.
const WORDS: &[&str] = &[
    // What the file is, and how code runs it.
    "architectures",
    "auto_map",
    "chunk_size",
    "chunk_size_feed_forward",
    "ep_size",
    "expand",
    "id2label",
    "ignore_index",
    "is_decoder",
    "is_encoder_decoder",
    "model_type",
    "name_or_path",
    "num_logits_to_keep",
    "pretraining_tp",
    "problem_type",
    "return_dict",
    "task_specific_params",
    "tokenizer_class",
    "transformers.js_config",
    "use_bidirectional_attention",
    "use_flash_attn",
    "use_mamba_kernels",
    "use_unified_vision_chunk",
    "unsloth_fixed",
    // Positions.
    "mla_use_nope",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "position_embedding_type",
    // Sampling and training.
    "encoder_no_repeat_ngram_size",
    "max_length",
    "max_window_layers",
    "min_length",
    "no_repeat_ngram_size",
    "norm_topk_prob",
    "num_return_sequences",
    "rescale_prenorm_residual",
    "seq_aux",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    // How a router scores: its size is that of its experts.
    "indexer_rope_interleave",
    "moe_renormalize",
    "moe_router_topk_scaling_factor",
    "moe_shared_expert_overlap",
    "n_group",
    "num_expert_group",
    "scoring_func",
    "use_grouped_topk",
    "use_moe_router_bias",
    "use_routing_bias",
    // Repeats of what other keys say.
    "hc_sinkhorn_iters",
    "index_share_for_mtp_iteration",
    "index_skip_topk_offset",
    "index_topk_freq",
    "output_gate_type",
    "qk_head_dim",
    "qk_norm_type",
    "text_config",
    "use_gemma_norm",
    "vision_soft_tokens_per_image",
];

/// Keys read where no other says the same: a config that gives both repeats itself.
const READ_ELSEWHERE: &[&str] = &[
    "attention_chunk_size",
    "expert_ffn_hidden_size",
    "experts_per_token",
    "first_k_dense_replace",
    "full_attention_interval",
    "head_dim",
    "intermediate_size",
    "intermediate_size_mlp",
    "moe_intermediate_size",
    "moe_layer_freq",
    "moe_topk",
    "num_dense_layers",
    "num_experts_per_tok",
    "num_key_value_heads",
    "num_layers",
    "sliding_window_size",
    "vocab_size_per_layer_input",
];

/// What could matter and was not understood, in a line; at most eight keys are named.
pub(super) fn unread(fields: &Fields) -> Option<String> {
    const NAMED: usize = 8;
    let unread: Vec<&str> = fields.unread().into_iter().filter(|key| !is_harmless(key)).collect();
    let named: Vec<String> = unread
        .iter()
        .take(NAMED)
        .map(|key| format!("`{}`", key.chars().take(60).collect::<String>()))
        .collect();
    let more = unread.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!unread.is_empty()).then(|| format!("not understood and not counted: {}{rest}", named.join(", ")))
}

/// Whether a key changes neither bytes nor work.
fn is_harmless(key: &str) -> bool {
    WORDS.contains(&key)
        || READ_ELSEWHERE.contains(&key)
        || STARTS.iter().any(|start| key.starts_with(start))
        || ENDS.iter().any(|end| key.ends_with(end))
}
