//! What a `config.json` does not say because the code of its architecture knows it.
//!
//! The common keys are read one way for all models. This table holds the differences: each row
//! names the `model_type`s it is for and what deviates from the plain case.

use crate::catalogue::model::{Gate, QkNorm};
use crate::catalogue::nearest::nearest;

/// The unwritten rules of an architecture.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a plain yes or no of an architecture")]
pub(super) struct Dialect {
    /// Values of `model_type`.
    pub(super) types: &'static [&'static str],
    /// Family the specs are filed under; the `model_type` itself unless given.
    pub(super) family: Option<&'static str>,
    /// Normalisation of queries and keys; `use_qk_norm` overrides.
    pub(super) qk_norm: Option<QkNorm>,
    /// Biases on queries, keys and values where `attention_bias` is silent.
    pub(super) qkv_bias: bool,
    /// Whether `attention_bias` means the output projection too.
    pub(super) out_bias: bool,
    /// Gate on the attention output.
    pub(super) gate: Option<Gate>,
    /// A learned logit per head.
    pub(super) sinks: bool,
    /// Norm vectors per layer.
    pub(super) norms: u64,
    /// A selection bias per expert.
    pub(super) router_bias: bool,
    /// A gate on the shared experts.
    pub(super) shared_gate: bool,
    /// Whether embedding and output matrix are one where `tie_word_embeddings` is silent.
    pub(super) tied: bool,
    /// Leading dense layers where the config is silent.
    pub(super) first_dense: u64,
    /// Every n-th layer sees all tokens where only a window is given.
    pub(super) full_every: Option<u64>,
    /// How the prediction layers are made.
    pub(super) mtp: Prediction,
    /// Two matrices per feed-forward.
    pub(super) ungated: bool,
    /// Bias vectors in the experts.
    pub(super) expert_bias: bool,
}

/// How prediction layers differ from the last layer, as the files on the hub show.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a plain yes or no of an architecture")]
pub(super) struct Prediction {
    /// A dense feed-forward instead of experts.
    pub(super) dense: bool,
    /// Attention to a window instead of all tokens.
    pub(super) window: bool,
    /// A copy of the embedding of their own.
    pub(super) own_embedding: bool,
    /// A copy of the output matrix of their own.
    pub(super) own_head: bool,
}

impl Prediction {
    /// Made like the last layer.
    const LAST: Self = Self { dense: false, window: false, own_embedding: false, own_head: false };
    /// Like the last layer, with copies of embedding and output matrix.
    const COPIES: Self = Self { own_embedding: true, own_head: true, ..Self::LAST };
    /// With a dense feed-forward.
    const DENSE: Self = Self { dense: true, ..Self::LAST };
}

/// The plain case, Llama; also what an unknown architecture is read by.
pub(super) const PLAIN: Dialect = Dialect {
    types: &["llama"],
    family: None,
    qk_norm: None,
    qkv_bias: false,
    out_bias: true,
    gate: None,
    sinks: false,
    norms: 2,
    router_bias: false,
    shared_gate: false,
    tied: false,
    first_dense: 0,
    full_every: None,
    mtp: Prediction::LAST,
    ungated: false,
    expert_bias: false,
};

/// A plain architecture with normalised heads.
const HEAD_NORM: Dialect = Dialect { qk_norm: Some(QkNorm::Head), ..PLAIN };

/// Experts chosen with a learned bias, as in `DeepSeek` V3.
const V3: Dialect = Dialect { router_bias: true, out_bias: false, ..PLAIN };

/// All architectures with rules of their own.
const DIALECTS: &[Dialect] = &[
    PLAIN,
    Dialect {
        types: &["mistral", "mixtral", "mistral3", "ministral", "ministral3"],
        family: Some("mistral"),
        ..PLAIN
    },
    Dialect { types: &["mistral4", "mistral_large3", "mistral_large4"], family: Some("mistral"), ..V3 },
    Dialect {
        types: &[
            "granite",
            "granitemoe",
            "internlm3",
            "ernie4_5",
            "smollm3",
            "phi3",
            "solar_open",
            "granitemoehybrid",
            "jamba",
            "falcon_h1",
        ],
        ..PLAIN
    },
    // LayerNorm with offsets: two vectors per norm.
    Dialect { types: &["phimoe"], family: Some("phi"), norms: 4, ..PLAIN },
    Dialect {
        types: &["qwen2", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"],
        family: Some("qwen2.5"),
        qkv_bias: true,
        out_bias: false,
        ..PLAIN
    },
    Dialect {
        types: &["qwen2_moe"],
        family: Some("qwen2.5"),
        qkv_bias: true,
        out_bias: false,
        shared_gate: true,
        ..PLAIN
    },
    Dialect { types: &["qwen3", "qwen3_moe"], family: Some("qwen3"), ..HEAD_NORM },
    Dialect {
        types: &["qwen3_vl", "qwen3_vl_text", "qwen3_vl_moe", "qwen3_vl_moe_text"],
        family: Some("qwen3-vl"),
        ..HEAD_NORM
    },
    Dialect {
        types: &["qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"],
        family: Some("qwen3.5"),
        gate: Some(Gate::Elementwise),
        shared_gate: true,
        ..HEAD_NORM
    },
    Dialect { types: &["seed_oss"], qkv_bias: true, out_bias: false, ..PLAIN },
    Dialect {
        types: &["olmo2", "olmo3", "olmoe"],
        family: Some("olmo"),
        qk_norm: Some(QkNorm::Full),
        ..PLAIN
    },
    Dialect { types: &["gemma"], tied: true, ..PLAIN },
    Dialect { types: &["gemma2"], family: Some("gemma"), norms: 4, tied: true, full_every: Some(2), ..PLAIN },
    Dialect {
        types: &["gemma3", "gemma3_text"],
        family: Some("gemma"),
        norms: 4,
        tied: true,
        full_every: Some(6),
        ..HEAD_NORM
    },
    Dialect {
        types: &["gemma3n", "gemma3n_text"],
        family: Some("gemma"),
        norms: 4,
        tied: true,
        full_every: Some(5),
        ..HEAD_NORM
    },
    Dialect { types: &["gemma4", "gemma4_text"], family: Some("gemma4"), norms: 4, tied: true, ..HEAD_NORM },
    Dialect { types: &["glm", "chatglm"], family: Some("glm-4"), qkv_bias: true, out_bias: false, ..PLAIN },
    Dialect { types: &["glm4"], family: Some("glm-4"), out_bias: false, norms: 4, ..PLAIN },
    Dialect {
        types: &["glm4_moe", "glm4_moe_lite", "glm4v_moe", "glm4v_moe_text"],
        family: Some("glm-4.5"),
        qk_norm: Some(QkNorm::Head),
        mtp: Prediction::COPIES,
        ..V3
    },
    Dialect { types: &["glm_moe_dsa"], family: Some("glm-5"), ..V3 },
    Dialect { types: &["glm5_next", "glm5_next_text"], family: Some("glm5-next"), first_dense: 3, ..V3 },
    Dialect { types: &["deepseek_v2"], family: Some("deepseek-v2"), out_bias: false, ..PLAIN },
    Dialect {
        types: &["deepseek_v3", "deepseek_v32"],
        family: Some("deepseek-v3"),
        mtp: Prediction::COPIES,
        ..V3
    },
    Dialect { types: &["deepseek_v4", "deepseek_v41"], family: Some("deepseek-v4"), ..V3 },
    Dialect { types: &["kimi_k2", "kimi_k25"], family: Some("kimi-k2"), ..V3 },
    Dialect { types: &["kimi_linear"], family: Some("kimi-linear"), ..V3 },
    // Two norms per layer, and four vectors that weigh the outputs of earlier layers.
    Dialect { types: &["kimi_k3"], family: Some("kimi-k3"), norms: 6, ..V3 },
    Dialect {
        types: &["cohere", "cohere2"],
        family: Some("cohere2"),
        norms: 1,
        tied: true,
        full_every: Some(4),
        ..PLAIN
    },
    Dialect {
        types: &["ernie4_5_moe"],
        family: Some("ernie4.5"),
        router_bias: true,
        mtp: Prediction::DENSE,
        ..PLAIN
    },
    Dialect { types: &["exaone4"], family: Some("exaone"), ..HEAD_NORM },
    Dialect {
        types: &["exaone_moe"],
        family: Some("exaone"),
        router_bias: true,
        first_dense: 1,
        mtp: Prediction::DENSE,
        ..HEAD_NORM
    },
    Dialect {
        types: &["gpt_oss"],
        sinks: true,
        router_bias: true,
        expert_bias: true,
        full_every: Some(2),
        ..PLAIN
    },
    Dialect {
        types: &["hunyuan", "hunyuan_v1_moe", "hunyuan_v1_dense"],
        family: Some("hunyuan"),
        tied: true,
        ..HEAD_NORM
    },
    Dialect { types: &["hy_v3"], family: Some("hunyuan"), router_bias: true, first_dense: 1, ..HEAD_NORM },
    Dialect {
        types: &["bailing_moe", "bailing_moe_v2"],
        family: Some("ling"),
        router_bias: true,
        ..HEAD_NORM
    },
    Dialect { types: &["bailing_hybrid"], family: Some("ling"), ..V3 },
    Dialect {
        types: &["lfm2", "lfm2_moe"],
        family: Some("lfm2"),
        router_bias: true,
        tied: true,
        ..HEAD_NORM
    },
    Dialect { types: &["llama4", "llama4_text"], family: Some("llama4"), full_every: Some(4), ..PLAIN },
    Dialect { types: &["mllama", "mllama_text_model"], family: Some("llama"), ..PLAIN },
    Dialect { types: &["longcat_flash"], family: Some("longcat"), norms: 4, router_bias: true, ..PLAIN },
    Dialect { types: &["mimo_v2_flash", "mimo_v2"], family: Some("mimo-v2"), ..V3 },
    Dialect { types: &["minimax_m2"], qk_norm: Some(QkNorm::Full), router_bias: true, ..PLAIN },
    Dialect { types: &["minimax_m3"], router_bias: true, ..HEAD_NORM },
    Dialect { types: &["muse_glimmer_text"], family: Some("muse"), gate: Some(Gate::Elementwise), ..PLAIN },
    Dialect {
        types: &["muse_spark_text"],
        family: Some("muse"),
        gate: Some(Gate::Elementwise),
        norms: 6,
        router_bias: true,
        ..HEAD_NORM
    },
    Dialect { types: &["nemotron_h"], norms: 1, router_bias: true, ungated: true, ..PLAIN },
    Dialect {
        types: &["step3p5", "step3p7"],
        family: Some("step-3"),
        mtp: Prediction { window: true, own_head: true, ..Prediction::DENSE },
        gate: Some(Gate::Head),
        router_bias: true,
        ..HEAD_NORM
    },
];

/// The rules of a `model_type`.
pub(super) fn known(model_type: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().find(|dialect| dialect.types.contains(&model_type))
}

/// The `model_type` of a class such as `Qwen3NextForCausalLM`: its name without its task.
pub(super) fn of_class(class: &str) -> Option<&'static str> {
    let name = class.split("For").next()?.to_lowercase();
    let mut types = DIALECTS.iter().flat_map(|dialect| dialect.types.iter().copied());
    types.find(|kind| kind.replace('_', "") == name)
}

/// The known `model_type` most like this one.
pub(super) fn nearest_type(model_type: &str) -> Option<&'static str> {
    nearest(model_type, DIALECTS.iter().flat_map(|dialect| dialect.types.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_listed_once() {
        let mut types: Vec<&str> =
            DIALECTS.iter().flat_map(|dialect| dialect.types.iter().copied()).collect();
        let count = types.len();
        types.sort_unstable();
        types.dedup();
        assert_eq!(types.len(), count);
    }

    #[test]
    fn classes_name_their_type() {
        assert_eq!(of_class("Qwen3NextForCausalLM"), Some("qwen3_next"));
        assert_eq!(of_class("Gemma3ForConditionalGeneration"), Some("gemma3"));
        assert_eq!((of_class("ForCausalLM"), of_class("")), (None, None));
    }

    #[test]
    fn unknown_types_name_the_nearest() {
        assert!(known("qwen3_moe").is_some() && known("qwen3_mo").is_none());
        assert_eq!(nearest_type("qwen3_mo"), Some("qwen3_moe"));
    }
}
