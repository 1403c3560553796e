//! Checkpoints as the public package writes them, and broken ones.

use super::*;
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::scheme::Scheme;
use crate::import::source::import;
use safetensors::tensor::{Dtype, TensorView};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plimsoll-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const CONFIG: &str = r#"{"model_type": "qwen3_moe", "hidden_size": 64, "num_hidden_layers": 3,
    "vocab_size": 100, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "intermediate_size": 128, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2,
    "max_position_embeddings": 4096, "torch_dtype": "bfloat16"}"#;

/// The tensors of the config as its maker would name them; the experts of the second layer in 8 bits.
fn tensors() -> Vec<(String, Dtype, Vec<usize>)> {
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), Dtype::BF16, vec![100, 64]),
        ("lm_head.weight".to_owned(), Dtype::BF16, vec![100, 64]),
        ("model.norm.weight".to_owned(), Dtype::BF16, vec![64]),
    ];
    for layer in 0..3 {
        let mut add = |name: &str, dtype, shape: &[usize]| {
            all.push((format!("model.layers.{layer}.{name}"), dtype, shape.to_vec()));
        };
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            add(&format!("{norm}.weight"), Dtype::BF16, &[64]);
        }
        for (name, rows, cols) in [("q", 64, 64), ("k", 32, 64), ("v", 32, 64), ("o", 64, 64)] {
            add(&format!("self_attn.{name}_proj.weight"), Dtype::BF16, &[rows, cols]);
        }
        add("self_attn.q_norm.weight", Dtype::BF16, &[16]);
        add("self_attn.k_norm.weight", Dtype::BF16, &[16]);
        add("mlp.gate.weight", Dtype::BF16, &[4, 64]);
        let dtype = if layer == 1 { Dtype::F8_E4M3 } else { Dtype::BF16 };
        for expert in 0..4 {
            for (name, shape) in [("gate", [32, 64]), ("up", [32, 64]), ("down", [64, 32])] {
                add(&format!("mlp.experts.{expert}.{name}_proj.weight"), dtype, &shape);
            }
        }
    }
    all
}

/// A file as the public package writes it, and the bytes of its tensors.
fn file(tensors: &[(String, Dtype, Vec<usize>)]) -> (Vec<u8>, u64) {
    let size = |dtype: &Dtype, shape: &[usize]| dtype.bitsize() / 8 * shape.iter().product::<usize>();
    let most = vec![0; tensors.iter().map(|(_, dtype, shape)| size(dtype, shape)).max().unwrap()];
    let views = tensors.iter().map(|(name, dtype, shape)| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), &most[..size(dtype, shape)]).unwrap())
    });
    let bytes = tensors.iter().map(|(_, dtype, shape)| size(dtype, shape) as u64).sum();
    (safetensors::serialize(views, None).unwrap(), bytes)
}

#[test]
fn one_file_is_exact_to_the_byte_and_by_layer() {
    let folder = Folder::new("checkpoint-one");
    let (bytes, total) = file(&tensors());
    folder.write("config.json", CONFIG.as_bytes());
    folder.write("model.safetensors", &bytes);
    for path in [folder.0.clone(), folder.0.join("model.safetensors")] {
        let spec = import(&path, None).unwrap();
        let weights = Scheme::native().weigh(&spec, &Inventory::of(&spec));
        assert!((weights.total().get() - total as f64).abs() < 0.5, "{} {total}", weights.total().get());
        let experts = spec.held.iter().filter(|one| one.part == Part::Experts);
        let experts: Vec<(String, u64)> =
            experts.map(|one| (one.at.as_ref().unwrap().to_string(), one.bytes)).collect();
        assert_eq!(experts, [("1".to_owned(), 4 * 3 * 2048), ("0, 2".to_owned(), 4 * 3 * 4096)]);
    }
}

#[test]
fn shards_of_an_index_are_one_checkpoint() {
    let folder = Folder::new("checkpoint-shards");
    let all = tensors();
    let (first, second) = all.split_at(20);
    let total = file(first).1 + file(second).1;
    let shard = |number| format!("model-0000{number}-of-00002.safetensors");
    let map = |tensors: &[(String, Dtype, Vec<usize>)], number| -> Vec<String> {
        tensors.iter().map(|(name, ..)| format!("{name:?}: {:?}", shard(number))).collect()
    };
    let index = format!("{{\"weight_map\": {{{}}}}}", [map(first, 1), map(second, 2)].concat().join(", "));
    folder.write("config.json", CONFIG.as_bytes());
    folder.write("model.safetensors.index.json", index.as_bytes());
    folder.write(&shard(1), &file(first).0);
    let spec = import(&folder.0, None).unwrap();
    let caveat = spec.config.caveat.unwrap();
    assert!(spec.held.is_empty() && caveat.contains("1 of 2 files are missing"), "{caveat}");
    folder.write(&shard(2), &file(second).0);
    for path in [folder.0.clone(), folder.0.join("model.safetensors.index.json"), folder.0.join(shard(2))] {
        let spec = import(&path, None).unwrap();
        let weights = Scheme::native().weigh(&spec, &Inventory::of(&spec));
        assert!((weights.total().get() - total as f64).abs() < 0.5);
    }
}

#[test]
fn a_file_alone_says_what_it_holds() {
    let folder = Folder::new("checkpoint-alone");
    folder.write("weights.safetensors", &file(&tensors()).0);
    let said = import(&folder.0.join("weights.safetensors"), None).unwrap_err().to_string();
    assert!(said.contains("of 3 layers") && said.contains("config.json"), "{said}");
}

#[test]
fn broken_headers_are_refused_by_what_is_wrong() {
    let with = |header: &str, data: usize| {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
    };
    let tensor = |dtype: &str, shape: &str, from: u64, to: u64| {
        format!(r#"{{"a": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": [{from}, {to}]}}}}"#)
    };
    let folder = Folder::new("checkpoint-broken");
    for (bytes, words) in [
        (Vec::new(), "ends before its header"),
        (b"1234".to_vec(), "ends before its header"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "git-lfs"),
        (u64::MAX.to_le_bytes().to_vec(), "none longer than"),
        (1000_u64.to_le_bytes().to_vec(), "the file only 8"),
        (with("[]", 0), "a table of tensors"),
        (with("{", 0), "EOF"),
        (with("{} {}", 0), "trailing"),
        (with(r#"{"a": 3}"#, 0), "TensorInfo"),
        (with(&tensor("F32", "[2]", 8, 0), 8), "before it begins"),
        (with(&tensor("F32", "[3]", 0, 8), 8), "has 8 bytes where"),
        (with(&tensor("F32", "[4294967296, 4294967296, 2]", 0, 8), 8), "more weights than"),
        (with(&tensor("F32", "[2]", 4, 12), 12), "begin at byte 4"),
        (with(&tensor("F32", "[-2]", 0, 8), 8), "invalid value"),
        (with(&"[".repeat(5000), 0), "a table of tensors"),
        (with(&format!(r#"{{"a": {}1"#, "[".repeat(5000)), 0), "invalid type"),
    ] {
        folder.write("broken.safetensors", &bytes);
        let said = import(&folder.0.join("broken.safetensors"), None).unwrap_err().to_string();
        assert!(said.contains(words), "{words}: {said}");
    }
    folder.write("model.safetensors.index.json", br#"{"weight_map": {"a": "../../etc/passwd"}}"#);
    folder.write("config.json", CONFIG.as_bytes());
    let said = import(&folder.0, None).unwrap_err().to_string();
    assert!(said.contains("not a name in this folder"), "{said}");
}
