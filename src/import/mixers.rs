//! What mixes the tokens in each layer: which kind, and its block.

use super::dialect::Dialect;
use super::fields::Fields;
use crate::catalogue::decode::Count;
use crate::catalogue::model::{
    Block, BlockSelection, ChannelDelta, CompressedAttention, DeltaRule, Gate, GroupedAttention, Indexer,
    LatentAttention, Mamba1, Mamba2, QkNorm, ShortConv,
};

/// How a layer mixes its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mixer {
    /// Attention to all tokens.
    Full,
    /// Attention to a sliding window.
    Window,
    /// Attention within a chunk.
    Chunk,
    /// Attention to the tokens of an image.
    Cross,
    /// A delta rule.
    Linear,
    /// A state space.
    Mamba,
    /// A state space and attention side by side.
    Parallel,
    /// A short convolution.
    Conv,
    /// Nothing: the layer is a feed-forward only.
    None,
}

/// How each of `count` layers mixes its tokens.
pub(super) fn kinds(fields: &Fields, dialect: &Dialect, count: u64) -> Vec<Mixer> {
    let every = |rule: &dyn Fn(u64) -> Mixer| (0..count).map(rule).collect();
    if fields.has("compress_ratios") {
        return vec![Mixer::Full; count as usize];
    }
    if let Some(letters) = layout(fields) {
        return checked(fields, "hybrid_override_pattern", letters.into_iter().map(letter).collect(), count);
    }
    if let Some(words) = fields.words("layer_types") {
        let named = words.iter().map(|word| named(fields, word)).collect();
        return checked(fields, "layer_types", named, count);
    }
    if let Some(full) = fields.table("linear_attn_config").and_then(|table| table.numbers("full_attn_layers"))
    {
        // Counted from 1.
        return every(&|layer| if full.contains(&(layer + 1)) { Mixer::Full } else { Mixer::Linear });
    }
    if let (Some(interval), true) =
        (fields.count(&["full_attention_interval"]), fields.has("linear_num_key_heads"))
    {
        return every(&|layer| {
            if (layer + 1).is_multiple_of(interval) { Mixer::Full } else { Mixer::Linear }
        });
    }
    if let Some(period) = fields.count(&["attn_layer_period"]) {
        let offset = fields.number(&["attn_layer_offset"]).unwrap_or(0);
        return every(&|layer| if layer % period == offset { Mixer::Full } else { Mixer::Mamba });
    }
    if let Some(full) = fields.numbers("full_attn_idxs") {
        return every(&|layer| if full.contains(&layer) { Mixer::Full } else { Mixer::Conv });
    }
    if let Some(pattern) = fields.numbers("hybrid_layer_pattern") {
        let kinds = pattern.iter().map(|kind| if *kind == 1 { Mixer::Window } else { Mixer::Full }).collect();
        return checked(fields, "hybrid_layer_pattern", kinds, count);
    }
    if let Some(cross) = fields.numbers("cross_attention_layers") {
        return every(&|layer| if cross.contains(&layer) { Mixer::Cross } else { Mixer::Full });
    }
    if fields.has("mamba_d_ssm") {
        return every(&|_| Mixer::Parallel);
    }
    windows(fields, dialect, count)
}

/// Windows where no list says which layers have them.
fn windows(fields: &Fields, dialect: &Dialect, count: u64) -> Vec<Mixer> {
    let chunked = fields.count(&["attention_chunk_size"]).is_some() && !fields.has("sliding_window");
    let bounded = window(fields).is_some() && fields.flag("use_sliding_window") != Some(false);
    let narrow = if chunked { Mixer::Chunk } else { Mixer::Window };
    let every = fields.count(&["sliding_window_pattern"]).or(dialect.full_every);
    match every {
        _ if !chunked && !bounded => vec![Mixer::Full; count as usize],
        Some(every) => (0..count)
            .map(|layer| if (layer + 1).is_multiple_of(every) { Mixer::Full } else { narrow })
            .collect(),
        None => {
            fields.assume("every layer has the window: no list says otherwise");
            vec![narrow; count as usize]
        }
    }
}

/// The window, unless it is as long as the context and never binds.
fn window(fields: &Fields) -> Option<u64> {
    let context = fields.count(&["max_position_embeddings"]).unwrap_or(u64::MAX);
    fields.count(&["sliding_window"]).filter(|window| *window < context)
}

/// Cuts a list to the layers there are; a shorter one is a problem.
fn checked(fields: &Fields, key: &str, mut kinds: Vec<Mixer>, count: u64) -> Vec<Mixer> {
    if (kinds.len() as u64) < count {
        fields.problem(format!("`{key}` names {} layers of {count}", kinds.len()));
    }
    kinds.resize(count as usize, Mixer::Full);
    kinds
}

/// The layers of a model whose layers hold one block each (Nemotron), as its letters: `M` state
/// space, `*` attention, `E` experts, `-` dense feed-forward.
pub(super) fn layout(fields: &Fields) -> Option<Vec<char>> {
    letters(fields, "hybrid_override_pattern", "layers_block_type")
}

/// The same for the blocks of a prediction layer.
pub(super) fn prediction_layout(fields: &Fields) -> Option<Vec<char>> {
    letters(fields, "mtp_hybrid_override_pattern", "mtp_layers_block_type")
}

/// Letters written as a text, or as a list of words.
fn letters(fields: &Fields, text: &str, list: &str) -> Option<Vec<char>> {
    if let Some(letters) = fields.text(text) {
        return Some(letters.chars().collect());
    }
    let words = fields.words(list)?;
    let letter = |word: &&str| match *word {
        "mamba" => Some('M'),
        "attention" => Some('*'),
        "moe" => Some('E'),
        "mlp" => Some('-'),
        _ => {
            fields.problem(format!("`{list}` names `{word}`, a kind of layer not known here"));
            None
        }
    };
    Some(words.iter().filter_map(letter).collect())
}

/// What a letter mixes with.
fn letter(letter: char) -> Mixer {
    match letter {
        'M' => Mixer::Mamba,
        '*' => Mixer::Full,
        _ => Mixer::None,
    }
}

/// A word of `layer_types`.
fn named(fields: &Fields, word: &str) -> Mixer {
    match word {
        "full_attention" | "attention" | "indexed_attention" | "global" => Mixer::Full,
        "sliding_attention" | "sliding_window_attention" | "local" => Mixer::Window,
        "chunked_attention" => Mixer::Chunk,
        "linear_attention" => Mixer::Linear,
        "mamba" | "mamba2" => Mixer::Mamba,
        "conv" => Mixer::Conv,
        _ => {
            fields.problem(format!("`layer_types` names `{word}`, a kind of layer not known here"));
            Mixer::Full
        }
    }
}

/// A count, raised to one.
fn count(n: u64) -> Count {
    Count::new(n)
}

/// The blocks that mix tokens in one layer.
pub(super) fn blocks(fields: &Fields, dialect: &Dialect, mixer: Mixer, layer: u64) -> Vec<Block> {
    match mixer {
        Mixer::None => Vec::new(),
        Mixer::Linear => vec![linear(fields)],
        Mixer::Mamba => vec![mamba(fields)],
        Mixer::Conv => vec![Block::ShortConv(ShortConv { taps: count(fields.need(&["conv_L_cache"])) })],
        Mixer::Parallel => vec![mamba(fields), grouped(fields, dialect, Mixer::Full, layer)],
        Mixer::Full | Mixer::Window | Mixer::Chunk | Mixer::Cross => {
            vec![if fields.has("compress_ratios") {
                compressed(fields, layer)
            } else if fields.count(&["kv_lora_rank"]).is_some() {
                latent(fields, dialect, layer)
            } else {
                grouped(fields, dialect, mixer, layer)
            }]
        }
    }
}

/// Grouped-query attention of one layer.
fn grouped(fields: &Fields, dialect: &Dialect, mixer: Mixer, layer: u64) -> Block {
    let heads = fields.need(&["num_attention_heads"]);
    let kv_heads = fields.count(&["num_key_value_heads"]).unwrap_or(heads);
    let head_dim = fields.count(&["head_dim"]).unwrap_or_else(|| fields.need(&["hidden_size"]) / heads);
    let value_dim = fields.count(&["v_head_dim"]);
    // Some models shape windowed or global layers differently.
    let other = fields.table("attention_other_setting");
    let other_heads = other.as_ref().and_then(|table| table.count(&["num_attention_heads"]));
    let (heads, kv_heads, head_dim, value_dim) = match mixer {
        Mixer::Window => (
            fields.count(&["swa_num_attention_heads"]).or(other_heads).unwrap_or(heads),
            fields.count(&["swa_num_key_value_heads"]).unwrap_or(kv_heads),
            fields.count(&["swa_head_dim"]).unwrap_or(head_dim),
            fields.count(&["swa_v_head_dim"]).or(value_dim),
        ),
        Mixer::Full if fields.has("global_head_dim") => (
            heads,
            fields.count(&["num_global_key_value_heads"]).unwrap_or(kv_heads),
            fields.need(&["global_head_dim"]),
            value_dim,
        ),
        _ => (heads, kv_heads, head_dim, value_dim),
    };
    if !heads.is_multiple_of(kv_heads) {
        fields.problem(format!("{heads} query heads cannot share {kv_heads} key-value heads"));
    }

    let bias = fields.flag("attention_bias");
    let pairs = fields.count(&["cla_share_factor"]).filter(|_| fields.flag("use_cla") == Some(true));
    let in_pair = pairs.is_some_and(|pairs| !layer.is_multiple_of(pairs));
    let at_end = shares_cache(fields, layer);
    let sinks = match mixer {
        Mixer::Window => fields.flag("add_swa_attention_sink_bias"),
        _ => fields.flag("add_full_attention_sink_bias"),
    };
    let cross = mixer == Mixer::Cross;
    Block::Grouped(GroupedAttention {
        heads: count(heads),
        kv_heads: count(kv_heads),
        head_dim: count(head_dim),
        value_dim: value_dim.filter(|dim| *dim != head_dim).map(count),
        window: match mixer {
            Mixer::Window => Some(count(fields.need(&["sliding_window"]))),
            Mixer::Chunk => Some(count(fields.need(&["attention_chunk_size"]))),
            _ => None,
        },
        chunked: mixer == Mixer::Chunk,
        qkv_bias: fields.flag("qkv_bias").or(bias).unwrap_or(dialect.qkv_bias),
        out_bias: dialect.out_bias && bias == Some(true),
        qk_norm: match fields.flag("use_qk_norm") {
            Some(false) => None,
            _ if cross => Some(QkNorm::Head),
            _ => dialect.qk_norm,
        },
        gate: dialect.gate.filter(|_| fields.flag("attn_output_gate") != Some(false)),
        sinks: sinks.unwrap_or(dialect.sinks),
        keys_as_values: mixer == Mixer::Full && fields.flag("attention_k_eq_v") == Some(true),
        shares_cache: at_end || in_pair,
        // The files keep the matrices of the last layers; those of paired layers were never made.
        stores_unused_kv: at_end,
        cross,
        blocks: block_selection(fields, layer),
        // The gates of attention and feed-forward on cross-attention layers, one value each.
        other_params: cross.then_some(2),
    })
}

/// Whether a layer is one of the last, which read the cache of an earlier one (Gemma).
pub(super) fn shares_cache(fields: &Fields, layer: u64) -> bool {
    let sharing = fields.count(&["num_kv_shared_layers"]);
    let layers = fields.count(&["num_hidden_layers"]);
    sharing.zip(layers).is_some_and(|(sharing, layers)| layer + sharing >= layers)
}

/// Block selection of `MiniMax` M3, on the layers that have it.
fn block_selection(fields: &Fields, layer: u64) -> Option<BlockSelection> {
    let table = fields.table("sparse_attention_config")?;
    let sparse = table.numbers("sparse_attention_freq").and_then(|list| list.get(layer as usize).copied());
    (sparse == Some(1)).then(|| BlockSelection {
        size: count(table.need(&["sparse_block_size"])),
        top: count(table.need(&["sparse_topk_blocks"])),
        index_heads: count(table.need(&["sparse_num_index_heads"])),
        index_dim: count(table.need(&["sparse_index_dim"])),
    })
}

/// Latent attention of one layer.
fn latent(fields: &Fields, dialect: &Dialect, layer: u64) -> Block {
    let gated = fields.flag("mla_use_output_gate") == Some(true);
    Block::Latent(LatentAttention {
        heads: count(fields.need(&["num_attention_heads"])),
        q_rank: fields.count(&["q_lora_rank"]).map(count),
        kv_rank: count(fields.need(&["kv_lora_rank"])),
        nope_dim: count(fields.need(&["qk_nope_head_dim"])),
        rope_dim: fields.number(&["qk_rope_head_dim"]).unwrap_or_else(|| {
            fields.problem("lacks `qk_rope_head_dim`");
            0
        }),
        value_dim: count(fields.need(&["v_head_dim"])),
        gate: gated.then_some(Gate::Elementwise).or(dialect.gate),
        indexer: indexer(fields, layer),
        bias: fields.flag("attention_bias") == Some(true),
        other_params: None,
    })
}

/// The sparse indexer of one layer, own or shared with an earlier one.
fn indexer(fields: &Fields, layer: u64) -> Option<Indexer> {
    let top = fields.count(&["index_topk"])?;
    let types = fields.words("indexer_types");
    if let Some(pooled) = fields.count(&["index_kpool"]) {
        fields.assume(format!("index keys are counted one per token, though the config pools {pooled}"));
    }
    let shared = types.and_then(|types| types.get(layer as usize).copied()) == Some("shared");
    Some(Indexer {
        heads: count(fields.need(&["index_n_heads"])),
        dim: count(fields.need(&["index_head_dim"])),
        top: count(top),
        shared,
    })
}

/// Compressed attention of one layer, or of the prediction layer after the last.
fn compressed(fields: &Fields, layer: u64) -> Block {
    let ratios = fields.numbers("compress_ratios");
    if ratios.is_none() {
        fields.problem("`compress_ratios` is not a list of figures");
    }
    // Layers beyond the list, as prediction layers may be, see the window only.
    let ratio = ratios.and_then(|list| list.get(layer as usize).copied()).unwrap_or(0);
    Block::Compressed(CompressedAttention {
        heads: count(fields.need(&["num_attention_heads"])),
        head_dim: count(fields.need(&["head_dim"])),
        rope_dim: count(fields.need(&["qk_rope_head_dim"])),
        q_rank: count(fields.need(&["q_lora_rank"])),
        out_groups: count(fields.need(&["o_groups"])),
        out_rank: count(fields.need(&["o_lora_rank"])),
        window: count(fields.need(&["sliding_window"])),
        ratio,
        // Entries of four tokens are many enough to choose from; those of 128 are all attended.
        indexer: indexer(fields, layer).filter(|_| ratio == 4),
    })
}

/// The delta rule, with a decay per head or per channel.
fn linear(fields: &Fields) -> Block {
    if fields.has("linear_num_key_heads") {
        return Block::Delta(DeltaRule {
            key_heads: count(fields.need(&["linear_num_key_heads"])),
            value_heads: count(fields.need(&["linear_num_value_heads"])),
            key_dim: count(fields.need(&["linear_key_head_dim"])),
            value_dim: count(fields.need(&["linear_value_head_dim"])),
            conv: count(fields.need(&["linear_conv_kernel_dim"])),
        });
    }
    let inner = fields.table("linear_attn_config");
    let read = |short: &str, long: &str| {
        let inside = inner.as_ref().and_then(|table| table.count(&[short]));
        count(inside.unwrap_or_else(|| fields.need(&[long])))
    };
    Block::ChannelDelta(ChannelDelta {
        heads: read("num_heads", "linear_num_heads"),
        head_dim: read("head_dim", "linear_head_dim"),
        conv: read("short_conv_kernel_size", "linear_conv_kernel_dim"),
        full_rank_gate: inner.as_ref().and_then(|table| table.flag("use_full_rank_gate")) == Some(true),
        other_params: None,
    })
}

/// A state space: Mamba-2 has heads, Mamba-1 has none.
fn mamba(fields: &Fields) -> Block {
    let conv = fields.need(&["mamba_d_conv", "conv_kernel"]);
    let state = fields.need(&["mamba_d_state", "ssm_state_size"]);
    if let Some(heads) = fields.count(&["mamba_n_heads", "mamba_num_heads"]) {
        let width = heads * fields.need(&["mamba_d_head", "mamba_head_dim"]);
        return Block::Mamba2(Mamba2 {
            inner: count(fields.count(&["mamba_d_ssm"]).unwrap_or(width)),
            heads: count(heads),
            groups: count(fields.need(&["mamba_n_groups", "n_groups"])),
            state: count(state),
            conv: count(conv),
            norm: fields.flag("mamba_rms_norm").unwrap_or(true),
            conv_bias: fields.flag("use_conv_bias").or(fields.flag("mamba_conv_bias")).unwrap_or(true),
        });
    }
    let hidden = fields.need(&["hidden_size"]);
    Block::Mamba1(Mamba1 {
        inner: count(hidden * fields.need(&["mamba_expand"])),
        state: count(state),
        // The rank that "auto" stands for.
        dt_rank: count(fields.count(&["mamba_dt_rank"]).unwrap_or(hidden.div_ceil(16))),
        conv: count(conv),
        inner_norms: true,
    })
}
