//! A hub of this process.

#![allow(clippy::unwrap_used, reason = "a hub that fails fails its test")]

use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::scheme::Scheme;
use crate::catalogue::hub::Hub;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

const CONFIG: &str = r#"{"model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 128,
    "max_position_embeddings": 4096}"#;

/// Answers requests for the first bytes of files; anything else is not found, `gated` not allowed.
fn hub(files: BTreeMap<&'static str, Vec<u8>>) -> Hub {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let asked = lines.next().unwrap().unwrap();
            let path = asked.split(' ').nth(1).unwrap().to_owned();
            let range = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
            assert!(range.filter(|line| line.to_lowercase().starts_with("range: bytes=0-")).count() == 1);
            let name = path.split("/resolve/main/").nth(1).unwrap_or_default();
            let (status, body) = match files.get(name) {
                _ if path.starts_with("/maker/gated/") => ("401 Unauthorized", &b""[..]),
                Some(body) => ("206 Partial Content", body.as_slice()),
                None => ("404 Not Found", &b""[..]),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\ncontent-range: bytes 0-{}/{length}\r\nconnection: close\r\n\r\n",
                length.saturating_sub(1)
            );
            // Readers that have their header hang up.
            let _ = stream.write_all(&[head.as_bytes(), body].concat());
        }
    });
    Hub::new(Some(base), None)
}

/// A header of one tensor of so many bytes, and the bytes.
fn shard(name: &str, bytes: usize) -> Vec<u8> {
    let header =
        format!(r#"{{"{name}": {{"dtype": "U8", "shape": [{bytes}], "data_offsets": [0, {bytes}]}}}}"#);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; bytes]].concat()
}

#[test]
fn a_checkpoint_is_its_config_and_its_headers() {
    let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let hub = hub(BTreeMap::from([
        ("config.json", CONFIG.as_bytes().to_vec()),
        ("model.safetensors.index.json", index.as_bytes().to_vec()),
        ("model-1.safetensors", shard("model.embed_tokens.weight", 6400)),
        ("model-2.safetensors", shard("model.layers.1.mlp.up_proj.weight", 1_000_000)),
    ]));
    let spec = hub.fetch("maker/small").unwrap();
    let weights = Scheme::native().weigh(&spec, &Inventory::of(&spec));
    assert_eq!((spec.id.as_str(), weights.total().get()), ("small", 1_006_400.0));
    let error = |name: &str| hub.fetch(name).unwrap_err().to_string();
    assert!(error("maker/gated").contains("HF_TOKEN"));
    assert!(error("maker/small/none.gguf").contains("no such file"));
}

#[test]
fn a_gguf_file_is_its_header() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gguf/recorded");
    let hub = hub(BTreeMap::from([("small.gguf", std::fs::read(folder.join("qwen3.gguf")).unwrap())]));
    let spec = hub.fetch("maker/files/small.gguf");
    assert!(spec.is_ok_and(|spec| !spec.stored.is_empty()));
    let error = hub.fetch("maker/files").unwrap_err().to_string();
    assert!(error.contains("no `config.json`"), "{error}");
}

#[test]
fn a_hub_out_of_reach_says_so() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Hub::new(Some(format!("http://{free}")), None).fetch("maker/small").unwrap_err();
    assert!(error.to_string().contains("without a network"), "{error}");
}
