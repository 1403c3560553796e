//! Models and machines of the unit tests, written out so that every expected figure can be
//! checked by hand.

use crate::arithmetic::cache::components;
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::weights::{Decoding, Entry, Format, Named, Weights};
use crate::catalogue::decode::decode_text;
use crate::catalogue::hardware::{Accelerator, DeviceGroup, Host, Machine, MachinePrice, Node, Topology};
use crate::catalogue::model::ModelSpec;
use crate::fact::{Fact, Origin};
use crate::perf::deployment::{Batching, Deployment, Engine, Model, Placement, Stage};
use crate::units::{Bandwidth, Bytes};
use std::sync::{Arc, LazyLock};

/// A model from the middle part of its file.
pub(crate) fn model(id: &str, family: &str, shape: &str) -> Model {
    let text = format!(
        "id = \"{id}\"\nname = \"{id}\"\nfamily = \"{family}\"\ncontext = 1_000_000\n\
         config = {{ grade = \"published\" }}\nnative = {{ default = \"bf16\" }}\n{shape}"
    );
    let spec = decode_text::<ModelSpec>(id, &text, 1).unwrap_or_else(|bad| panic!("{:?}", bad.problems));
    Model { inventory: Inventory::of(&spec), cache: components(&spec), spec }
}

/// Llama-3.1-8B.
pub(crate) fn llama_8b() -> Model {
    model(
        "llama-3.1-8b",
        "llama",
        r#"hidden = 4096
        vocabulary = 128256
        layers = [{ at = "0-31", blocks = ["attention", "ffn"] }]
        block.attention = { kind = "grouped", heads = 32, kv_heads = 8, head_dim = 128 }
        block.ffn = { kind = "dense", width = 14336 }"#,
    )
}

/// Kimi-K2: latent attention of 512 + 64 elements in 61 layers, experts behind the first.
pub(crate) fn kimi_k2() -> Model {
    model(
        "kimi-k2",
        "kimi-k2",
        r#"hidden = 7168
        vocabulary = 163840
        layers = [{ at = "0", blocks = ["attention", "ffn"] }, { at = "1-60", blocks = ["attention", "experts"] }]
        block.attention = { kind = "latent", heads = 64, q_rank = 1536, kv_rank = 512, nope_dim = 128, rope_dim = 64, value_dim = 128 }
        block.ffn = { kind = "dense", width = 18432 }
        block.experts = { kind = "experts", count = 384, active = 8, width = 2048, shared_width = 2048 }"#,
    )
}

/// Gemma-3-12B: five windowed layers to each full one.
pub(crate) fn gemma_12b() -> Model {
    model(
        "gemma-3-12b",
        "gemma",
        r#"hidden = 3840
        vocabulary = 262208
        tied_embeddings = true
        layers = [{ at = "5-47/6", blocks = ["full", "ffn"] }, { at = "0-4, 6-10, 12-16, 18-22, 24-28, 30-34, 36-40, 42-46", blocks = ["windowed", "ffn"] }]
        block.full = { kind = "grouped", heads = 16, kv_heads = 8, head_dim = 256 }
        block.windowed = { kind = "grouped", heads = 16, kv_heads = 8, head_dim = 256, window = 1024 }
        block.ffn = { kind = "dense", width = 15360 }"#,
    )
}

/// Qwen3-Next-80B: three recurrent layers to each full one.
pub(crate) fn qwen3_next() -> Model {
    model(
        "qwen3-next-80b-a3b",
        "qwen3-next",
        r#"hidden = 2048
        vocabulary = 151936
        layers = [{ at = "3-47/4", blocks = ["full", "experts"] }, { at = "0-2, 4-6, 8-10, 12-14, 16-18, 20-22, 24-26, 28-30, 32-34, 36-38, 40-42, 44-46", blocks = ["linear", "experts"] }]
        block.full = { kind = "grouped", heads = 16, kv_heads = 2, head_dim = 256 }
        block.linear = { kind = "delta", key_heads = 16, value_heads = 32, key_dim = 128, value_dim = 128, conv = 4 }
        block.experts = { kind = "experts", count = 512, active = 10, width = 512, shared_width = 512 }"#,
    )
}

/// Every tensor in 16 bit.
pub(crate) fn bf16(model: &Model) -> Weights {
    static FORMAT: LazyLock<Format> = LazyLock::new(|| Format {
        gguf: None,
        block: 1,
        bytes: 2.0,
        row_bytes: None,
        decoding: Decoding::Float16,
        source: String::new(),
    });
    let entries = model
        .inventory
        .items
        .iter()
        .map(|item| Entry {
            tensor: item.tensor,
            place: item.place.clone(),
            stored: Named { name: "bf16", format: &FORMAT },
            each: Bytes::new(item.tensor.params() as f64 * 2.0),
        })
        .collect();
    Weights {
        scheme: "bf16".to_owned(),
        entries,
        origin: Origin::Derived("16 bit".to_owned()),
        header: Bytes::ZERO,
        spread: 0.0,
    }
}

/// A node with so many devices of one kind.
pub(crate) fn machine(vendor: &str, memory: Bytes, count: u32) -> Machine {
    let known = |reason: &str| Origin::Assumed(reason.to_owned());
    let text = format!(
        "name = \"{vendor} card\"\nvendor = \"{vendor}\"\narch = \"x\"\ncompute_capability = \"9.0\"\n\
         memory = \"80 GB\"\nbandwidth = \"1 TB/s\"\nrates = {{}}\nsource = \"test\"\n"
    );
    let accelerator: Accelerator =
        decode_text("card", &text, 1).unwrap_or_else(|bad| panic!("{:?}", bad.problems));
    let group = DeviceGroup {
        id: "card".to_owned(),
        accelerator: Arc::new(accelerator),
        count,
        memory: Fact::new(memory, known("test")),
        in_use: Bytes::ZERO,
        bandwidth: Fact::new(Bandwidth::gb_s(1000.0), known("test")),
        topology: Fact::new(Topology::Pcie, known("test")),
        host_link: Fact::new(Bandwidth::gb_s(25.0), known("test")),
        price: None,
    };
    let host = Host {
        cpu_id: None,
        cpu_name: Fact::new("cpu".to_owned(), known("test")),
        cores: Fact::new(16, known("test")),
        sockets: 1,
        clock_ghz: Fact::new(3.0, known("test")),
        isa: vec!["avx2".to_owned()],
        ram: Fact::new(Bytes::gib(512.0), known("test")),
        in_use: Fact::new(Bytes::ZERO, known("test")),
        bandwidth: Fact::new(Bandwidth::gb_s(100.0), known("test")),
        tdp: None,
        disk: None,
        disk_free: None,
    };
    Machine {
        name: "test".to_owned(),
        nodes: vec![Node { count: 1, devices: vec![group], host }],
        network: None,
        scale_up_domain: count,
        price: MachinePrice::default(),
        assumptions: Vec::new(),
    }
}

/// A deployment of `placement` with equal stages on the only device group.
pub(crate) fn deployment<'a>(
    model: &'a Model,
    weights: &'a Weights,
    machine: &'a Machine,
    engine: Engine,
    placement: Placement,
) -> Deployment<'a> {
    let layers = model.spec.layer_count();
    let each = layers.div_ceil(placement.pp);
    let stages = (0..placement.pp)
        .map(|stage| Stage { group: 0, layers: stage * each..((stage + 1) * each).min(layers) })
        .collect();
    Deployment {
        model,
        weights,
        kv: KvFormat::F16,
        machine,
        engine,
        engine_version: None,
        placement,
        stages,
        batching: Batching { chunk: 512, sequences: 1, context: 4096, flash_attention: true, draft: None },
    }
}
