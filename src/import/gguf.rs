//! The header of a GGUF file to a model spec.
//!
//! The metadata says in its own words what a `config.json` says; it is put into those words and
//! read the same way. The table of tensors then proves the result: their parameters must sum to
//! the computed total. Layout of the header: the GGUF specification, versions 2 and 3.

use super::ImportError;
use super::config::from_config;
use crate::arithmetic::inventory::Inventory;
use crate::catalogue::model::{Grade, ModelSpec, NativeFormats};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, Read};

/// More than any header has; a broken file must not fill the memory.
const MOST_ITEMS: u64 = 4_000_000;

/// Architectures whose metadata is read, and the `model_type` they are.
const ARCHITECTURES: &[(&str, &str)] = &[
    ("llama", "llama"),
    ("mistral3", "mistral3"),
    ("qwen2", "qwen2"),
    ("qwen2moe", "qwen2_moe"),
    ("qwen3", "qwen3"),
    ("qwen3moe", "qwen3_moe"),
    ("gemma", "gemma"),
    ("gemma2", "gemma2"),
    ("gemma3", "gemma3"),
    ("phi3", "phi3"),
    ("deepseek2", "deepseek_v3"),
    ("glm4", "glm4"),
    ("glm4moe", "glm4_moe"),
    ("gpt-oss", "gpt_oss"),
    ("smollm3", "smollm3"),
    ("cohere2", "cohere2"),
    ("seed_oss", "seed_oss"),
];

/// Keys of the metadata below the name of the architecture, and those of a config.
const KEYS: &[(&str, &str)] = &[
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.sliding_window", "sliding_window"),
    ("attention.q_lora_rank", "q_lora_rank"),
    ("attention.kv_lora_rank", "kv_lora_rank"),
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
    ("expert_shared_count", "n_shared_experts"),
    ("leading_dense_block_count", "first_k_dense_replace"),
    ("nextn_predict_layers", "num_nextn_predict_layers"),
    ("vocab_size", "vocab_size"),
];

/// Names of the tensor types of GGUF, by their number.
const TYPES: &[(u32, &str)] = &[
    (0, "f32"),
    (1, "f16"),
    (2, "q4_0"),
    (3, "q4_1"),
    (6, "q5_0"),
    (7, "q5_1"),
    (8, "q8_0"),
    (10, "q2_k"),
    (11, "q3_k"),
    (12, "q4_k"),
    (13, "q5_k"),
    (14, "q6_k"),
    (16, "iq2_xxs"),
    (17, "iq2_xs"),
    (18, "iq3_xxs"),
    (19, "iq1_s"),
    (20, "iq4_nl"),
    (21, "iq3_s"),
    (22, "iq2_s"),
    (23, "iq4_xs"),
    (29, "iq1_m"),
    (30, "bf16"),
    (34, "tq1_0"),
    (35, "tq2_0"),
    (39, "mxfp4"),
];

/// A tensor of the table.
struct Stored {
    name: String,
    params: u64,
    kind: u32,
}

/// What the header holds.
struct Header {
    metadata: Map<String, Value>,
    tensors: Vec<Stored>,
}

/// Reads the header of a GGUF file; its tensors are not read.
///
/// # Errors
/// When the file is cut or no GGUF, or its architecture is not one read here.
pub fn from_gguf(file: &mut dyn Read, name: &str) -> Result<ModelSpec, ImportError> {
    let fail = |problem: String| ImportError { name: name.to_owned(), problems: vec![problem] };
    let header = header(file).map_err(|fault| match fault.kind() {
        io::ErrorKind::UnexpectedEof => fail("the file ends within its GGUF header".to_owned()),
        _ => fail(format!("not a readable GGUF header: {fault}")),
    })?;
    let architecture = header.metadata.get("general.architecture").and_then(Value::as_str).unwrap_or("");
    let Some((_, model_type)) = ARCHITECTURES.iter().find(|(known, _)| *known == architecture) else {
        let problem = format!("the GGUF architecture `{architecture}` is not read; give its `config.json`");
        return Err(fail(problem));
    };
    let config = config(&header, architecture, model_type);
    let mut spec = from_config(&config.to_string(), name)?;
    spec.native = formats(&header.tensors);
    judge(&mut spec, &header);
    Ok(spec)
}

/// The metadata in the words of a config.
fn config(header: &Header, architecture: &str, model_type: &str) -> Value {
    let get = |key: &str| header.metadata.get(&format!("{architecture}.{key}")).cloned();
    let number = |key: &str| get(key).and_then(|value| value.as_u64());
    let has = |name: &str| header.tensors.iter().any(|tensor| tensor.name == name);
    let mut config = Map::new();
    for (from, to) in KEYS {
        if let Some(value) = get(from) {
            config.insert((*to).to_owned(), value);
        }
    }
    let mut put = |key: &str, value: Value| {
        config.insert(key.to_owned(), value);
    };
    put("model_type", json!(model_type));
    // The blocks include prediction layers.
    let layers =
        number("block_count").map(|count| count - number("nextn_predict_layers").unwrap_or(0).min(count));
    put("num_hidden_layers", json!(layers));
    if get("vocab_size").is_none() {
        put("vocab_size", header.metadata.get("tokenizer.ggml.tokens").cloned().unwrap_or(Value::Null));
    }
    if number("attention.kv_lora_rank").is_some() {
        let rope = number("rope.dimension_count").unwrap_or(0);
        let key = number("attention.key_length_mla").or(number("attention.key_length"));
        put("qk_rope_head_dim", json!(rope));
        put("qk_nope_head_dim", json!(key.map(|key| key.saturating_sub(rope))));
        put("v_head_dim", json!(number("attention.value_length_mla").or(number("attention.value_length"))));
    } else {
        put("head_dim", json!(number("attention.key_length")));
        put("v_head_dim", json!(number("attention.value_length")));
    }
    put("tie_word_embeddings", json!(!has("output.weight")));
    put("attention_bias", json!(has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias")));
    if has("blk.0.attn_q.weight") {
        put("use_qk_norm", if has("blk.0.attn_q_norm.weight") { Value::Null } else { json!(false) });
    }
    Value::Object(config)
}

/// Formats by the type that holds most parameters of each part.
fn formats(tensors: &[Stored]) -> NativeFormats {
    let most = |holds: &dyn Fn(&str) -> bool| {
        let mut sizes: BTreeMap<u32, u64> = BTreeMap::new();
        for tensor in tensors.iter().filter(|tensor| holds(&tensor.name)) {
            *sizes.entry(tensor.kind).or_default() += tensor.params;
        }
        let kind = sizes.into_iter().max_by_key(|(_, params)| *params)?.0;
        TYPES.iter().find(|(number, _)| *number == kind).map(|(_, name)| (*name).to_owned())
    };
    NativeFormats {
        default: most(&|_| true).unwrap_or_else(|| "f16".to_owned()),
        experts: most(&|name| name.contains("_exps.")),
        attention: most(&|name| name.contains(".attn_")),
        dense: most(&|name| name.contains(".ffn_") && !name.contains("_exps.")),
        embedding: most(&|name| name.starts_with("token_embd")),
        tower: None,
        note: Some("for each part the type of most of its tensors; the file may mix others".to_owned()),
    }
}

/// Compares the computed total with the table, and says how far it can be trusted.
fn judge(spec: &mut ModelSpec, header: &Header) {
    let in_file: u64 = header.tensors.iter().map(|tensor| tensor.params).fold(0, u64::saturating_add);
    let inventory = Inventory::of(spec);
    let split = header.metadata.get("split.count").and_then(Value::as_u64).unwrap_or(1) > 1;
    let off = in_file.abs_diff(inventory.total()).min(in_file.abs_diff(inventory.hub_total()));
    spec.config.note = Some("read from the header of a GGUF file".to_owned());
    let doubt = if split {
        "the file is one of several, so that its tensors do not prove the shape".to_owned()
    } else if off as f64 <= 0.001 * in_file as f64 {
        spec.config.grade = Grade::Proven;
        return;
    } else {
        format!("the file holds {in_file} parameters and its shape gives {}", inventory.total())
    };
    spec.config.grade = Grade::Partial;
    let before = spec.config.caveat.take();
    spec.config.caveat = Some(before.into_iter().chain([doubt]).collect::<Vec<_>>().join("; "));
}

/// Parses the header.
fn header(file: &mut dyn Read) -> io::Result<Header> {
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if &magic != b"GGUF" {
        return Err(broken("it does not begin with GGUF"));
    }
    let version = u32_of(file)?;
    if !(2..=3).contains(&version) {
        return Err(broken("its version is neither 2 nor 3"));
    }
    let (tensor_count, key_count) = (count_of(file)?, count_of(file)?);
    let mut metadata = Map::new();
    for _ in 0..key_count {
        let key = text_of(file)?;
        let kind = u32_of(file)?;
        metadata.insert(key, value_of(file, kind)?);
    }
    let mut tensors = Vec::new();
    for _ in 0..tensor_count {
        let name = text_of(file)?;
        let dimensions = u32_of(file)?;
        if dimensions > 4 {
            return Err(broken("a tensor has more than four dimensions"));
        }
        let mut params: u64 = 1;
        for _ in 0..dimensions {
            params = params.saturating_mul(u64_of(file)?);
        }
        let kind = u32_of(file)?;
        u64_of(file)?;
        tensors.push(Stored { name, params, kind });
    }
    Ok(Header { metadata, tensors })
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn bytes_of<const N: usize>(file: &mut dyn Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn u32_of(file: &mut dyn Read) -> io::Result<u32> {
    Ok(u32::from_le_bytes(bytes_of(file)?))
}

fn u64_of(file: &mut dyn Read) -> io::Result<u64> {
    Ok(u64::from_le_bytes(bytes_of(file)?))
}

/// A number of items, refused beyond what headers have.
fn count_of(file: &mut dyn Read) -> io::Result<u64> {
    let count = u64_of(file)?;
    if count > MOST_ITEMS { Err(broken("a list is too long")) } else { Ok(count) }
}

fn text_of(file: &mut dyn Read) -> io::Result<String> {
    let length = count_of(file)?;
    let mut bytes = Vec::new();
    // Grows with what is there, not with what is claimed.
    if file.take(length).read_to_end(&mut bytes)? as u64 != length {
        return Err(broken("it ends within a text"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A value of the metadata. Of a list of texts only the length is kept, of a list of figures the
/// largest (layers without the part count 0).
fn value_of(file: &mut dyn Read, kind: u32) -> io::Result<Value> {
    Ok(match kind {
        0 => json!(bytes_of::<1>(file)?[0]),
        1 => json!(i8::from_le_bytes(bytes_of(file)?)),
        2 => json!(u16::from_le_bytes(bytes_of(file)?)),
        3 => json!(i16::from_le_bytes(bytes_of(file)?)),
        4 => json!(u32_of(file)?),
        5 => json!(i32::from_le_bytes(bytes_of(file)?)),
        6 => json!(f32::from_le_bytes(bytes_of(file)?)),
        7 => json!(bytes_of::<1>(file)?[0] != 0),
        8 => Value::String(text_of(file)?),
        9 => {
            let item = u32_of(file)?;
            if item == 9 {
                return Err(broken("a list of lists"));
            }
            let length = count_of(file)?;
            let mut largest = 0;
            for _ in 0..length {
                largest = value_of(file, item)?.as_u64().unwrap_or(0).max(largest);
            }
            json!(if item == 8 { length } else { largest })
        }
        10 => json!(u64_of(file)?),
        11 => json!(i64::from_le_bytes(bytes_of(file)?)),
        12 => json!(f64::from_le_bytes(bytes_of(file)?)),
        _ => return Err(broken("a value of unknown type")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    /// A header of a small Llama with the tensors it should have.
    fn small(tensors: &[(&str, u64, u64)]) -> Vec<u8> {
        let figures = [
            ("context_length", 4096_u32),
            ("embedding_length", 64),
            ("block_count", 1),
            ("feed_forward_length", 128),
            ("attention.head_count", 4),
            ("attention.head_count_kv", 2),
        ];
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((tensors.len() as u64).to_le_bytes());
        out.extend((figures.len() as u64 + 2).to_le_bytes());
        text(&mut out, "general.architecture");
        out.extend(8_u32.to_le_bytes());
        text(&mut out, "llama");
        for (key, figure) in figures {
            text(&mut out, &format!("llama.{key}"));
            out.extend(4_u32.to_le_bytes());
            out.extend(figure.to_le_bytes());
        }
        text(&mut out, "tokenizer.ggml.tokens");
        out.extend([9_u32.to_le_bytes(), 8_u32.to_le_bytes()].concat());
        out.extend(10_u64.to_le_bytes());
        for _ in 0..10 {
            text(&mut out, "word");
        }
        for (name, cols, rows) in tensors {
            text(&mut out, name);
            out.extend(2_u32.to_le_bytes());
            out.extend([cols.to_le_bytes(), rows.to_le_bytes()].concat());
            out.extend(12_u32.to_le_bytes());
            out.extend(0_u64.to_le_bytes());
        }
        out
    }

    const TENSORS: [(&str, u64, u64); 11] = [
        ("token_embd.weight", 64, 10),
        ("output.weight", 64, 10),
        ("output_norm.weight", 64, 1),
        ("blk.0.attn_norm.weight", 64, 1),
        ("blk.0.ffn_norm.weight", 64, 1),
        ("blk.0.attn_q.weight", 64, 64),
        ("blk.0.attn_k.weight", 64, 32),
        ("blk.0.attn_v.weight", 64, 32),
        ("blk.0.attn_output.weight", 64, 64),
        ("blk.0.ffn_up.weight", 64, 256),
        ("blk.0.ffn_down.weight", 128, 64),
    ];

    #[test]
    fn tensors_prove_the_shape() {
        let spec = from_gguf(&mut small(&TENSORS).as_slice(), "small").unwrap();
        assert_eq!((spec.config.grade, spec.config.caveat.as_deref()), (Grade::Proven, None));
        assert_eq!((spec.vocabulary.get(), spec.layer_count()), (10, 1));
        assert_eq!(spec.native.default, "q4_k");
        assert!(!spec.tied_embeddings);
        let less = from_gguf(&mut small(&TENSORS[..9]).as_slice(), "small").unwrap();
        assert_eq!(less.config.grade, Grade::Partial);
        assert!(less.config.caveat.unwrap().contains("parameters"));
    }

    #[test]
    fn cut_files_are_refused() {
        let whole = small(&TENSORS);
        for length in 0..whole.len() {
            assert!(from_gguf(&mut &whole[..length], "cut").is_err(), "{length}");
        }
        assert!(from_gguf(&mut b"GGUX".as_slice(), "x").is_err());
    }
}
