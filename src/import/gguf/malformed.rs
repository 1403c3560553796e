//! Broken and hostile files: each is refused at its place, by what is wrong, in bounded memory.

use super::build::Build;
use super::{Fault, Header, from_gguf};
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Every broken file by its fault, with words the message must hold.
fn corpus() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let model = || Build::model("llama");
    let whole = model().bytes();
    let with_version = |version| Build { version, ..model() }.bytes();
    let tensor = |shape: &[u64], kind| Build::new().tensor("t", shape, kind).bytes();
    vec![
        ("empty", Vec::new(), &["byte 0", "ends"]),
        ("three bytes", b"GGU".to_vec(), &["ends"]),
        ("another magic", b"PK\x03\x04 and more".to_vec(), &["letters GGUF"]),
        ("old ggml file", b"tjgg\x01\0\0\0".to_vec(), &["old GGML", "convert"]),
        ("no version", b"GGUF".to_vec(), &["byte 4", "ends"]),
        ("version 1", with_version(1), &["version 1", "write the file anew"]),
        ("version 7", with_version(7), &["version 7"]),
        (
            "big-endian version 9",
            Build { version: 9, big_endian: true, ..Build::new() }.bytes(),
            &["version 9"],
        ),
        ("cut in the counts", whole[..12].to_vec(), &["ends"]),
        ("cut in the name of a key", whole[..40].to_vec(), &["key 1 of 8", "ends"]),
        ("cut in a value", whole[..60].to_vec(), &["general.architecture", "ends"]),
        ("cut in the table", whole[..whole.len() - 9].to_vec(), &["blk.0.ffn_down.weight", "ends"]),
        (
            "count of tensors",
            Build { tensor_count: Some(1 << 62), ..model() }.bytes(),
            &["byte 16", "tensors"],
        ),
        ("count of keys", Build { key_count: Some(u64::MAX), ..model() }.bytes(), &["byte 24", "keys"]),
        ("more keys than there are", Build { key_count: Some(40), ..model() }.bytes(), &["key "]),
        (
            "key longer than the file",
            [&whole[..24], &(1_u64 << 40).to_le_bytes()].concat(),
            &["no file has more than 1024"],
        ),
        ("overlong key", Build::new().number(&"k".repeat(2000), 1).bytes(), &["key 1", "2000 bytes"]),
        ("key twice", model().number("llama.block_count", 2).bytes(), &["`llama.block_count`", "twice"]),
        ("type of a value", Build::new().raw("odd", 13, &[0; 8]).bytes(), &["`odd`", "13 is no type"]),
        ("list of lists", Build::new().list("deep", 9, 1, &[0; 24]).bytes(), &["`deep`", "list of lists"]),
        ("type of an item", Build::new().list("odd", 77, 1, &[0; 24]).bytes(), &["`odd`", "77 is no type"]),
        ("list without end", Build::new().list("long", 12, 1 << 62, &[0; 64]).bytes(), &["`long`", "items"]),
        ("list longer than the file", Build::new().list("long", 0, 1 << 33, &[0; 64]).bytes(), &["`long`"]),
        ("texts longer than the file", Build::new().list("tokens", 8, 1 << 50, &[]).bytes(), &["`tokens`"]),
        (
            "text in a list longer than the file",
            Build::new().list("tokens", 8, 1, &u64::MAX.to_le_bytes()).bytes(),
            &["`tokens`", "ends"],
        ),
        (
            "text longer than the file",
            Build::new().raw("t", 8, &(1_u64 << 60).to_le_bytes()).bytes(),
            &["`t`"],
        ),
        ("alignment of 3", model().number("general.alignment", 3).bytes(), &["`general.alignment`", "3"]),
        ("alignment of 0", model().number("general.alignment", 0).bytes(), &["`general.alignment`"]),
        ("alignment as text", model().text("general.alignment", "32").bytes(), &["`general.alignment`"]),
        ("no dimensions", tensor(&[], 0), &["`t`", "0 dimensions"]),
        ("five dimensions", tensor(&[1, 1, 1, 1, 1], 0), &["`t`", "5 dimensions"]),
        ("dimension of 0", tensor(&[32, 0], 0), &["`t`", "dimension of 0"]),
        ("dimensions overflow", tensor(&[1 << 40, 1 << 40], 0), &["`t`", "63 bits"]),
        ("one dimension overflows", tensor(&[u64::MAX], 0), &["`t`", "63 bits"]),
        ("bytes overflow", tensor(&[1 << 62], 0), &["`t`"]),
        ("removed type", tensor(&[32], 4), &["`t`", "4 is no type"]),
        ("type of a tensor", tensor(&[32], 9999), &["`t`", "9999 is no type"]),
        ("part of a block", tensor(&[100, 4], 12), &["`t`", "q4_k", "256"]),
        (
            "overlong name",
            Build::new().tensor(&"n".repeat(300), &[32], 0).bytes(),
            &["tensor 1", "300 bytes"],
        ),
        (
            "tensor twice",
            model().tensor("output_norm.weight", &[64, 1], 1).bytes(),
            &["`output_norm.weight`", "twice"],
        ),
        (
            "offset beyond any file",
            Build::new().tensor_at("t", &[32], 0, 1 << 60).bytes(),
            &["`t`", "begin 0"],
        ),
        (
            "tensors overlap",
            Build::new().tensor("a", &[64], 0).tensor_at("b", &[64], 0, 128).bytes(),
            &["`b`", "begin 256"],
        ),
        ("gap between tensors", Build::new().tensor_at("a", &[64], 0, 32).bytes(), &["`a`", "begin 0"]),
        (
            "data larger than any file",
            Build::new().tensor("a", &[1 << 60], 0).tensor("b", &[1 << 60], 0).bytes(),
            &["`b`", "larger than any file"],
        ),
        ("no tensors", Build::new().text("general.architecture", "llama").bytes(), &["without tensors"]),
        ("no architecture", tensor(&[32, 4], 0), &["general.architecture"]),
        ("projector", Build::model("clip").bytes(), &["mmproj", "bytes beside"]),
        ("adapter", Build::model("llama").text("general.type", "adapter").bytes(), &["LoRA"]),
    ]
}

#[test]
fn broken_files_are_refused_by_what_is_wrong() {
    let corpus = corpus();
    assert!(corpus.len() >= 20);
    let mut wrong = Vec::new();
    for (fault, bytes, words) in corpus {
        let start = Instant::now();
        let message = match from_gguf(&mut bytes.as_slice(), "x") {
            Ok(_) => "taken".to_owned(),
            Err(error) => error.to_string(),
        };
        if !words.iter().all(|word| message.contains(word)) {
            wrong.push(format!("{fault}: {message}"));
        }
        // The length of the file, where it is known, only makes refusals earlier.
        let known = Header::read(&mut bytes.as_slice(), Some(bytes.len() as u64));
        if let Err(Fault { offset, .. }) = known {
            assert!(offset <= bytes.len() as u64, "{fault}");
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{fault}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Shapes no model has, in files that are sound: an error or a caveat, never a panic.
#[test]
fn absurd_figures_do_not_panic() {
    let figures = [0, 1, 3, 7, 2001, u32::MAX];
    let keys = [
        "context_length",
        "embedding_length",
        "block_count",
        "feed_forward_length",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.sliding_window",
        "attention.sliding_window_pattern",
        "attention.kv_lora_rank",
        "attention.q_lora_rank",
        "rope.dimension_count",
        "expert_count",
        "expert_used_count",
        "nextn_predict_layers",
        "ssm.inner_size",
        "ssm.time_step_rank",
        "full_attention_interval",
        "vocab_size",
    ];
    for architecture in ["llama", "qwen35", "deepseek2", "gemma3", "nemotron_h", "falcon-h1", "nobody-knows"]
    {
        for key in keys {
            for figure in figures {
                let mut build = Build::model_with(architecture, Some((key, figure)));
                for name in ["ssm_out.weight", "ssm_in.weight", "ssm_beta.weight", "ffn_gate_inp.weight"] {
                    build = build.tensor(&format!("blk.0.{name}"), &[64, 8], 0);
                }
                let _ = from_gguf(&mut build.bytes().as_slice(), "x");
            }
        }
    }
}

/// A file that never ends, of keys or tensors that are each sound.
struct Endless {
    next: Vec<u8>,
    number: u64,
    record: fn(u64) -> Vec<u8>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.next.is_empty() {
            self.number += 1;
            self.next = (self.record)(self.number);
        }
        let count = self.next.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.next[..count]);
        self.next.drain(..count);
        Ok(count)
    }
}

#[test]
fn what_is_kept_of_a_file_is_bounded() {
    let start =
        |tensors, keys| Build { tensor_count: Some(tensors), key_count: Some(keys), ..Build::new() }.bytes();
    // 65,536 keys of 1000 bytes would be 64 MB.
    let keys = Endless {
        next: start(0, 1 << 16),
        number: 0,
        record: |number| Build::new().number(&format!("{number:01000}"), 1).bytes()[24..].to_vec(),
    };
    // Lists of 4096 figures under each key.
    let lists = Endless {
        next: start(0, 1 << 16),
        number: 0,
        record: |number| Build::new().list(&format!("{number}"), 0, 4096, &[0; 4096]).bytes()[24..].to_vec(),
    };
    for mut endless in [keys, lists] {
        let fault = Header::read(&mut endless, None).unwrap_err();
        assert!(fault.problem.contains("more names and lists than"), "{fault}");
        assert!(fault.offset < 64 << 20, "{fault}");
    }
}
