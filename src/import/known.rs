//! Short copies of published configs against the specs shipped for the same models.

use super::config::from_config;
use crate::catalogue::model::ModelSpec;
use crate::catalogue::store::Catalogue;
use serde_json::{Value, json};

/// Imports a config and compares its shape with the shipped spec of that name.
fn same_shape(id: &str, config: &Value) {
    let imported = from_config(&config.to_string(), id).unwrap();
    let shipped = Catalogue::embedded().model(id).unwrap().value;
    let shape = |spec: &ModelSpec| {
        (spec.layers.clone(), spec.block.clone(), spec.hidden, spec.vocabulary, spec.tied_embeddings)
    };
    assert_eq!(shape(&imported), shape(&shipped), "{id}");
}

/// `count` words, every `n`-th of them `full`, the others `other`.
fn every(n: usize, full: &str, other: &str, count: usize) -> Vec<String> {
    (1..=count).map(|layer| if layer % n == 0 { full } else { other }.to_owned()).collect()
}

#[test]
fn compressed_attention() {
    let ratios: Vec<u64> =
        (0..61).map(|layer| if layer >= 2 && layer % 2 == 0 { 4 } else { 128 }).chain([0]).collect();
    same_shape(
        "deepseek-v4-pro",
        &json!({
            "model_type": "deepseek_v4", "hidden_size": 7168, "num_hidden_layers": 61, "vocab_size": 129_280,
            "num_attention_heads": 128, "num_key_value_heads": 1, "head_dim": 512, "qk_rope_head_dim": 64,
            "q_lora_rank": 1536, "o_groups": 16, "o_lora_rank": 1024, "sliding_window": 128,
            "compress_ratios": ratios, "index_n_heads": 64, "index_head_dim": 128, "index_topk": 1024,
            "n_routed_experts": 384, "n_shared_experts": 1, "num_experts_per_tok": 6,
            "moe_intermediate_size": 3072, "num_hash_layers": 3, "hc_mult": 4, "num_nextn_predict_layers": 1,
            "max_position_embeddings": 1_048_576, "tie_word_embeddings": false
        }),
    );
}

#[test]
fn channel_delta_and_latent() {
    same_shape(
        "kimi-linear-48b-a3b",
        &json!({
            "model_type": "kimi_linear", "hidden_size": 2304, "num_hidden_layers": 27, "vocab_size": 163_840,
            "num_attention_heads": 32, "num_key_value_heads": 32, "kv_lora_rank": 512, "q_lora_rank": null,
            "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "intermediate_size": 9216,
            "num_experts": 256, "num_experts_per_token": 8, "num_shared_experts": 1,
            "moe_intermediate_size": 1024, "first_k_dense_replace": 1,
            "linear_attn_config": {
                "full_attn_layers": [4, 8, 12, 16, 20, 24, 27], "head_dim": 128, "num_heads": 32,
                "short_conv_kernel_size": 4
            },
            "max_position_embeddings": 1_048_576, "tie_word_embeddings": false
        }),
    );
}

#[test]
fn delta_and_gated_attention() {
    same_shape(
        "qwen3-coder-next-80b-a3b",
        &json!({
            "model_type": "qwen3_next", "hidden_size": 2048, "num_hidden_layers": 48, "vocab_size": 151_936,
            "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256,
            "full_attention_interval": 4, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
            "linear_value_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
            "num_experts": 512, "num_experts_per_tok": 10, "moe_intermediate_size": 512,
            "shared_expert_intermediate_size": 512, "max_position_embeddings": 262_144
        }),
    );
}

#[test]
fn windows_sinks_and_biases() {
    same_shape(
        "gpt-oss-20b",
        &json!({
            "model_type": "gpt_oss", "hidden_size": 2880, "num_hidden_layers": 24, "vocab_size": 201_088,
            "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "attention_bias": true,
            "sliding_window": 128, "intermediate_size": 2880, "num_local_experts": 32,
            "num_experts_per_tok": 4, "max_position_embeddings": 131_072
        }),
    );
}

#[test]
fn shared_caches_under_a_text_config() {
    same_shape(
        "gemma-4-e2b",
        &json!({
            "model_type": "gemma4",
            "text_config": {
                "model_type": "gemma4_text", "hidden_size": 1536, "num_hidden_layers": 35,
                "vocab_size": 262_144, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256,
                "global_head_dim": 512, "sliding_window": 512, "intermediate_size": 6144,
                "layer_types": every(5, "full_attention", "sliding_attention", 35),
                "num_kv_shared_layers": 20, "use_double_wide_mlp": true, "hidden_size_per_layer_input": 256,
                "max_position_embeddings": 131_072
            }
        }),
    );
}

#[test]
fn two_attentions_per_layer() {
    same_shape(
        "longcat-flash",
        &json!({
            "model_type": "longcat_flash", "hidden_size": 6144, "num_layers": 28, "vocab_size": 131_072,
            "num_attention_heads": 64, "ffn_hidden_size": 12_288, "q_lora_rank": 1536, "kv_lora_rank": 512,
            "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "moe_topk": 12,
            "n_routed_experts": 512, "zero_expert_num": 256, "expert_ffn_hidden_size": 2048,
            "max_position_embeddings": 131_072
        }),
    );
}
