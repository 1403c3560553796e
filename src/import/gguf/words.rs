//! The metadata of a GGUF file in the words of a `config.json`.
//!
//! Keys are those of `gguf-py/gguf/constants.py`; what they leave out, the table of tensors shows:
//! which layers route to experts, attend, or keep a state, and which matrices have biases.

use super::header::{Header, TensorInfo};
use crate::import::dialect::known;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Layers looked at one by one; a model that claims more is refused later.
const MOST_LAYERS: u64 = 2001;

/// Architectures whose `model_type` is spelled otherwise; the others are called the same.
const ARCHITECTURES: &[(&str, &str)] = &[
    ("qwen2moe", "qwen2_moe"),
    ("qwen3moe", "qwen3_moe"),
    ("qwen3next", "qwen3_next"),
    ("qwen3vl", "qwen3_vl"),
    ("qwen3vlmoe", "qwen3_vl_moe"),
    ("qwen35", "qwen3_5"),
    ("qwen35moe", "qwen3_5_moe"),
    ("deepseek2", "deepseek_v3"),
    ("deepseek32", "deepseek_v32"),
    ("deepseek4", "deepseek_v4"),
    ("glm-dsa", "glm_moe_dsa"),
    ("glm4moe", "glm4_moe"),
    ("gpt-oss", "gpt_oss"),
    ("command-r", "cohere"),
    ("granitehybrid", "granitemoehybrid"),
    ("nemotron_h_moe", "nemotron_h"),
    ("falcon-h1", "falcon_h1"),
    ("exaone-moe", "exaone_moe"),
    ("ernie4_5-moe", "ernie4_5_moe"),
    ("hunyuan-moe", "hunyuan_v1_moe"),
    ("hunyuan-dense", "hunyuan_v1_dense"),
    ("bailingmoe", "bailing_moe"),
    ("bailingmoe2", "bailing_moe_v2"),
    ("lfm2moe", "lfm2_moe"),
    ("minimax-m2", "minimax_m2"),
    ("kimi-linear", "kimi_linear"),
    ("mimo2", "mimo_v2"),
    ("step35", "step3p5"),
];

/// Keys below the name of the architecture, and those of a config.
const KEYS: &[(&str, &str)] = &[
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("vocab_size", "vocab_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.sliding_window", "sliding_window"),
    ("attention.q_lora_rank", "q_lora_rank"),
    ("attention.kv_lora_rank", "kv_lora_rank"),
    ("attention.shared_kv_layers", "num_kv_shared_layers"),
    ("attention.indexer.head_count", "index_n_heads"),
    ("attention.indexer.key_length", "index_head_dim"),
    ("attention.indexer.top_k", "index_topk"),
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
    ("expert_shared_count", "n_shared_experts"),
    ("nextn_predict_layers", "num_nextn_predict_layers"),
    ("embedding_length_per_layer_input", "hidden_size_per_layer_input"),
    ("shortconv.l_cache", "conv_L_cache"),
    ("moe_latent_size", "moe_latent_size"),
];

/// A file seen through its metadata and its table.
struct Words<'a> {
    header: &'a Header,
    tensors: &'a [TensorInfo],
    names: HashSet<&'a str>,
    architecture: &'a str,
    layers: u64,
    config: Map<String, Value>,
}

/// The metadata in the words of a config.
pub(super) fn config(header: &Header) -> Value {
    let architecture = header.architecture();
    let number = |key: &str| header.number(&format!("{architecture}.{key}"));
    // The blocks include prediction layers.
    let nextn = number("nextn_predict_layers").unwrap_or(0);
    let layers = number("block_count").unwrap_or(0).saturating_sub(nextn);
    let tensors = header.tensors.as_slice();
    let names = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let few = layers.min(MOST_LAYERS);
    let mut words = Words { header, tensors, names, architecture, layers: few, config: Map::new() };
    words.put("num_hidden_layers", json!(layers));
    words.shared_keys();
    words.attention();
    words.windows();
    words.experts();
    words.mixers();
    Value::Object(words.config)
}

/// The `model_type` an architecture is known by.
fn model_type(architecture: &str) -> &str {
    ARCHITECTURES.iter().find(|(name, _)| *name == architecture).map_or(architecture, |(_, kind)| kind)
}

/// Whether the importer has rules for an architecture.
pub(super) fn is_known(architecture: &str) -> bool {
    known(model_type(architecture)).is_some()
}

impl Words<'_> {
    fn value(&self, key: &str) -> Option<&Value> {
        self.header.metadata.get(&format!("{}.{key}", self.architecture))
    }

    fn number(&self, key: &str) -> Option<u64> {
        one(self.value(key)?)?.as_u64()
    }

    fn put(&mut self, key: &str, value: Value) {
        self.config.insert(key.to_owned(), value);
    }

    /// Whether a layer holds a tensor.
    fn holds(&self, layer: u64, name: &str) -> bool {
        self.names.contains(format!("blk.{layer}.{name}").as_str())
    }

    /// The first tensor of a name in any layer.
    fn any(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| in_layer(&tensor.name) == Some(name))
    }

    /// The layers that hold a tensor of this name.
    fn holders(&self, name: &str) -> Vec<u64> {
        let numbers = self.tensors.iter().filter(|tensor| in_layer(&tensor.name) == Some(name));
        let numbers = numbers.filter_map(|tensor| layer(&tensor.name));
        numbers.filter(|layer| *layer < self.layers).collect()
    }

    fn shared_keys(&mut self) {
        let present: Vec<(&str, Value)> =
            KEYS.iter().filter_map(|(from, to)| Some((*to, one(self.value(from)?)?))).collect();
        for (key, value) in present {
            self.put(key, value);
        }
        // Inner widths that differ between layers stay a list.
        if let Some(Value::Array(list)) = self.value("feed_forward_length")
            && list.windows(2).any(|pair| pair[0] != pair[1])
        {
            let list = Value::Array(list.clone());
            self.put("intermediate_size", list);
        }
        let v2 = self.architecture == "deepseek2" && self.any("exp_probs_b.bias").is_none();
        let kind = if v2 { "deepseek_v2" } else { model_type(self.architecture) };
        let kind = json!(kind);
        self.put("model_type", kind);
        if self.number("vocab_size").is_none() {
            let embedding = self.tensors.iter().find(|tensor| tensor.name == "token_embd.weight");
            let rows = embedding.and_then(|tensor| tensor.shape.get(1)).copied();
            let rows = rows.or(self.header.number("tokenizer.ggml.tokens"));
            self.put("vocab_size", json!(rows));
        }
        let own_output = self.tensors.iter().any(|tensor| tensor.name == "output.weight");
        self.put("tie_word_embeddings", json!(!own_output));
    }

    fn attention(&mut self) {
        if self.number("attention.kv_lora_rank").is_some() {
            let rope = self.number("rope.dimension_count").unwrap_or(0);
            let key = self.number("attention.key_length_mla").or(self.number("attention.key_length"));
            let value = self.number("attention.value_length_mla").or(self.number("attention.value_length"));
            self.put("qk_rope_head_dim", json!(rope));
            self.put("qk_nope_head_dim", json!(key.map(|key| key.saturating_sub(rope))));
            self.put("v_head_dim", json!(value));
        } else {
            let kv_heads = self.number("attention.head_count_kv").or(self.number("attention.head_count"));
            // Without a key, the matrices show the width of a head.
            let shown = |name: &str| {
                let rows = *self.any(name)?.shape.get(1)?;
                kv_heads.filter(|heads| *heads > 0 && rows.is_multiple_of(*heads)).map(|heads| rows / heads)
            };
            let key = self.number("attention.key_length").or_else(|| shown("attn_k.weight"));
            let value = self.number("attention.value_length").or_else(|| shown("attn_v.weight"));
            if let Some(swa) = self.number("attention.key_length_swa").filter(|swa| Some(*swa) != key) {
                // Layers with a window have the plain width, those without one their own.
                self.put("head_dim", json!(swa));
                self.put("global_head_dim", json!(key));
            } else {
                self.put("head_dim", json!(key));
                self.put("v_head_dim", json!(value));
            }
        }
        let biased = self.any("attn_q.bias").or_else(|| self.any("attn_qkv.bias")).is_some();
        self.put("qkv_bias", json!(biased));
        let out_biased = self.any("attn_output.bias").is_some();
        self.put("attention_bias", json!(out_biased));
        let queries = self.any("attn_q.weight").is_some();
        if queries && self.any("attn_q_norm.weight").is_none() {
            self.put("use_qk_norm", json!(false));
        }
    }

    /// Which layers have the window: every n-th has none, or one flag per layer.
    fn windows(&mut self) {
        match self.value("attention.sliding_window_pattern") {
            Some(Value::Array(flags)) => {
                let flags = flags.iter().take(self.layers as usize);
                let windowed = |flag: &Value| flag.as_bool().unwrap_or(flag.as_u64() == Some(1));
                let words: Vec<&str> = flags
                    .map(|flag| if windowed(flag) { "sliding_attention" } else { "full_attention" })
                    .collect();
                self.put("layer_types", json!(words));
            }
            Some(every) => {
                let every = every.clone();
                self.put("sliding_window_pattern", every);
            }
            None => {}
        }
        if self.number("attention.sliding_window") == Some(0) {
            self.config.remove("sliding_window");
        }
    }

    fn experts(&mut self) {
        let routed = self.holders("ffn_gate_inp.weight");
        if self.config.get("num_experts").and_then(Value::as_u64).is_none_or(|count| count == 0) {
            for key in ["num_experts", "num_experts_per_tok", "moe_intermediate_size", "n_shared_experts"] {
                self.config.remove(key);
            }
            return;
        }
        // The table shows widths that the keys leave out.
        let width = self.any("ffn_up_exps.weight").and_then(|tensor| tensor.shape.get(1)).copied();
        if let Some(width) = width {
            self.put("moe_intermediate_size", json!(width));
        }
        let shared = self.any("ffn_up_shexp.weight").and_then(|tensor| tensor.shape.get(1)).copied();
        if let Some(shared) = shared {
            self.put("shared_expert_intermediate_size", json!(shared));
        } else {
            self.config.remove("shared_expert_intermediate_size");
            self.config.remove("n_shared_experts");
        }
        self.put("moe_layers", json!(routed));
    }

    /// Layers that keep a state, and its shape.
    fn mixers(&mut self) {
        let states = self.holders("ssm_out.weight");
        let convs = self.holders("shortconv.in_proj.weight");
        if states.is_empty() && convs.is_empty() {
            return;
        }
        let delta = ["ssm_beta.weight", "ssm_ba.weight"].iter().any(|name| self.any(name).is_some());
        let channel = self.any("ssm_f_a.weight").is_some();
        let get = |key: &str| self.number(&format!("ssm.{key}"));
        let (inner, state, heads) = (get("inner_size"), get("state_size"), get("time_step_rank"));
        let (groups, conv) = (get("group_count"), get("conv_kernel"));
        let per_head = inner.zip(heads).and_then(|(inner, heads)| inner.checked_div(heads));
        if self.any("ssm_in.weight").is_some() && self.architecture.starts_with("nemotron_h") {
            let pattern = self.pattern();
            self.put("hybrid_override_pattern", json!(pattern));
        } else if channel {
            let width = self.number("kda.head_dim").or(state);
            let attends: Vec<u64> = self.holders("attn_output.weight");
            let full: Vec<u64> =
                attends.into_iter().filter(|layer| !states.contains(layer)).map(|layer| layer + 1).collect();
            let config = json!({ "full_attn_layers": full, "num_heads": self.number("attention.head_count"),
                "head_dim": width, "short_conv_kernel_size": conv });
            self.put("linear_attn_config", config);
        } else if !self.architecture.starts_with("falcon-h1") {
            let word = if delta { "linear_attention" } else { "mamba" };
            let words: Vec<&str> = (0..self.layers)
                .map(|layer| match (states.contains(&layer), convs.contains(&layer)) {
                    (true, _) => word,
                    (_, true) => "conv",
                    _ => "full_attention",
                })
                .collect();
            self.put("layer_types", json!(words));
        }
        if delta {
            for (key, value) in [
                ("linear_num_key_heads", groups),
                ("linear_num_value_heads", heads),
                ("linear_key_head_dim", state),
                ("linear_value_head_dim", per_head),
                ("linear_conv_kernel_dim", conv),
            ] {
                self.put(key, json!(value));
            }
        } else if self.any("ssm_x.weight").is_some() {
            let hidden = self.number("embedding_length");
            let expand = inner.zip(hidden).and_then(|(inner, hidden)| inner.checked_div(hidden));
            for (key, value) in [
                ("mamba_d_conv", conv),
                ("mamba_d_state", state),
                ("mamba_expand", expand),
                ("mamba_dt_rank", heads),
            ] {
                self.put(key, json!(value));
            }
        } else if self.any("ssm_in.weight").is_some() {
            for (key, value) in [
                ("conv_kernel", conv),
                ("ssm_state_size", state),
                ("mamba_num_heads", heads),
                ("mamba_head_dim", per_head),
                ("n_groups", groups),
            ] {
                self.put(key, json!(value));
            }
            let normed = self.any("ssm_norm.weight").is_some();
            self.put("mamba_rms_norm", json!(normed));
            if self.architecture.starts_with("falcon-h1") {
                self.put("mamba_d_ssm", json!(inner));
            }
        }
    }

    /// The letters of layers that hold one block each.
    fn pattern(&self) -> String {
        (0..self.layers)
            .map(|layer| match () {
                () if self.holds(layer, "ssm_in.weight") => 'M',
                () if self.holds(layer, "attn_output.weight") => '*',
                () if self.holds(layer, "ffn_gate_inp.weight") => 'E',
                () => '-',
            })
            .collect()
    }
}

/// A value that is one for all layers, or the largest of a list (layers without the part count 0).
fn one(value: &Value) -> Option<Value> {
    match value {
        Value::Array(list) => list.iter().filter_map(Value::as_u64).max().map(|most| json!(most)),
        Value::Null => None,
        other => Some(other.clone()),
    }
}

/// The name of a tensor without its layer: `attn_q.weight` of `blk.0.attn_q.weight`.
pub(super) fn in_layer(name: &str) -> Option<&str> {
    name.strip_prefix("blk.")?.split_once('.').map(|(_, rest)| rest)
}

/// The layer of a tensor.
pub(super) fn layer(name: &str) -> Option<u64> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}
