//! The figures of an engine: what it runs on and the constants of its memory rules, one TOML file
//! per engine, each figure with its source.

use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::weights::Decoding;
use crate::catalogue::decode::{Count, decode_text};
use crate::perf::deployment::Engine;
use crate::table;
use crate::units::Bytes;
use std::sync::LazyLock;

table! {
    /// What an engine can run and the constants of its memory rules.
    pub struct EngineFacts ("an engine") {
        /// Name as its makers write it.
        pub name: String,
        /// Where the figures of this file stand, unless a table names its own source.
        pub source: String,
        /// Makers of accelerators it runs on, lower case.
        pub vendors: Vec<String>,
        /// Whether it runs without an accelerator.
        pub cpu_only: bool,
        /// Whether it needs an accelerator together with an x86 host.
        pub needs_x86_host: bool,
        /// Whether it runs mixture-of-experts models only.
        pub experts_only: bool,
        /// Whether it divides layers over devices by tensor.
        pub tensor_parallel: bool,
        /// Whether it divides a model into stages of layers.
        pub pipeline_parallel: bool,
        /// Whether attention groups may hold their own sequences.
        pub attention_dp: bool,
        /// Whether experts may be dealt out whole.
        pub expert_parallel: bool,
        /// Whether ranks may share the cache of one sequence.
        pub context_parallel: bool,
        /// Whether routed experts may stay in host memory.
        pub offload_experts: bool,
        /// Whether whole layers may stay in host memory.
        pub offload_layers: bool,
        /// Whether one instance may use devices of different kinds.
        pub mixed_devices: bool,
        /// Kinds of blocks it cannot run, words of the model files.
        pub missing_blocks: Vec<String>,
        /// Formats of weights it runs.
        pub weights: Vec<WeightSupport>,
        /// Formats of the cache it offers.
        pub kv_formats: Vec<KvFormat>,
        /// Whether towers of a multimodal checkpoint are loaded.
        pub loads_towers: bool,
        /// Whether prediction layers are loaded although nothing asks for them.
        pub loads_prediction: bool,
        /// Share of a device it may fill.
        pub memory_fraction: Option<f64>,
        /// Prompt tokens processed together by default.
        pub chunk: Count,
        /// The same on devices from a size on, where it differs.
        pub large_device: Option<LargeDevice>,
        /// Tokens of a cache block.
        pub block: Count,
        /// Bytes per element of recurrent state.
        pub state_width: f64,
        /// Bytes per element of convolution inputs.
        pub conv_width: f64,
        /// Model families whose state it keeps in 16 bit.
        pub half_state_families: Vec<String>,
        /// Models (beginnings of their ids) whose logits are capped, which doubles the logits buffer.
        pub softcap_models: Vec<String>,
        /// Cache blocks a recurrent layer takes per sequence, where state lives in blocks.
        pub state_blocks: Option<u64>,
        /// Memory a process takes on a device before any tensor, by maker of the device.
        pub runtime: Vec<PerVendor>,
        /// Expert widths of these formats are padded to so many per rank.
        pub expert_padding: Vec<Padding>,
        /// By how much loaded weights exceed the checkpoint on some devices.
        pub surplus: Vec<Surplus>,
        /// Memory of collectives once there is more than one rank.
        pub collectives: Option<Sized>,
        /// Memory of one captured graph, by maker of the device.
        pub graph: Option<Graphs>,
    }
}

table! {
    /// Support of one way of storing weights.
    pub struct WeightSupport ("support of a weight format") {
        /// How the format is decoded.
        pub decoding: Decoding,
        /// Formats of this decoding it runs, `int4-*` for a beginning; all but those of MLX unless given.
        pub only: Vec<String>,
        /// Lowest compute capability of an NVIDIA device.
        pub min_compute_capability: Option<f64>,
        /// Makers this support is limited to; all of the engine unless given.
        pub vendors: Vec<String>,
    }
}

table! {
    /// An amount of memory that differs between makers of devices.
    pub struct PerVendor ("an amount per maker") {
        /// Maker, lower case.
        pub vendor: String,
        /// How much.
        pub bytes: Bytes,
        /// Where it stands, or which rows it was fitted to.
        pub source: String,
    }
}

table! {
    /// Padding of experts to the tiles of a kernel.
    pub struct Padding ("padding of experts") {
        /// Format of the weights.
        pub format: String,
        /// The inner width of an expert on a rank is a multiple of this.
        pub multiple: Count,
        /// Where it stands.
        pub source: String,
    }
}

table! {
    /// Batching of large devices.
    pub struct LargeDevice ("batching of large devices") {
        /// From this memory on.
        pub memory: Bytes,
        /// Prompt tokens processed together.
        pub chunk: Count,
    }
}

table! {
    /// How much larger weights are once loaded.
    pub struct Surplus ("a surplus of loaded weights") {
        /// Maker of the device, lower case.
        pub vendor: String,
        /// Share of the weights.
        pub share: f64,
        /// Where it stands, or which rows it was fitted to.
        pub source: String,
    }
}

table! {
    /// An amount of memory.
    pub struct Sized ("an amount") {
        /// How much.
        pub bytes: Bytes,
        /// Where it stands.
        pub source: String,
    }
}

table! {
    /// Memory of captured graphs.
    pub struct Graphs ("captured graphs") {
        /// Largest batch captured unless the deployment holds fewer sequences.
        pub largest: Count,
        /// Memory of one graph by maker.
        pub each: Vec<PerVendor>,
        /// Memory of one graph of a model with recurrent layers, where it is more.
        pub recurrent: Option<Sized>,
    }
}

impl EngineFacts {
    /// Memory a process takes on a device of a maker; the first entry serves unknown makers.
    pub fn runtime_on(&self, vendor: &str) -> Bytes {
        per_vendor(&self.runtime, vendor)
    }

    /// Share by which loaded weights exceed the checkpoint on devices of a maker.
    pub fn surplus_on(&self, vendor: &str) -> f64 {
        let found = self.surplus.iter().find(|surplus| surplus.vendor.eq_ignore_ascii_case(vendor));
        found.map_or(0.0, |surplus| surplus.share)
    }
}

/// The amount for a maker, or the largest known one: an unknown maker must not look free.
pub fn per_vendor(list: &[PerVendor], vendor: &str) -> Bytes {
    let largest = || list.iter().fold(Bytes::ZERO, |most, entry| most.max(entry.bytes));
    let own = list.iter().find(|entry| entry.vendor.eq_ignore_ascii_case(vendor));
    own.map_or_else(largest, |entry| entry.bytes)
}

/// The registry of data.
pub fn facts(engine: Engine) -> &'static EngineFacts {
    macro_rules! shipped {
        ($file:literal) => {{
            static FACTS: LazyLock<EngineFacts> = LazyLock::new(|| {
                decode_text($file, include_str!($file), 1)
                    .expect("shipped engine files are checked by a test")
            });
            &FACTS
        }};
    }
    match engine {
        Engine::LlamaCpp => shipped!("llama_cpp.toml"),
        Engine::IkLlamaCpp => shipped!("ik_llama_cpp.toml"),
        Engine::Vllm => shipped!("vllm.toml"),
        Engine::Sglang => shipped!("sglang.toml"),
        Engine::Atom => shipped!("atom.toml"),
        Engine::TensorRtLlm => shipped!("tensorrt_llm.toml"),
        Engine::Mlx => shipped!("mlx.toml"),
        Engine::KTransformers => shipped!("ktransformers.toml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_engine_file_is_valid() {
        for engine in Engine::ALL {
            let facts = facts(*engine);
            assert!(!facts.source.is_empty() && !facts.weights.is_empty(), "{engine}");
            assert!(!facts.kv_formats.is_empty() && !facts.vendors.is_empty(), "{engine}");
        }
    }
}
