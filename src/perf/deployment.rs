//! One deployment: a model in a format on a machine, run by an engine, placed one way.

use crate::arithmetic::cache::{Component, components};
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::weights::Weights;
use crate::catalogue::machine::{DeviceGroup, Host, Machine};
use crate::catalogue::model::ModelSpec;
use crate::perf::drafts::Method;
use crate::words;
use serde::{Deserialize, Serialize};
use std::ops::Range;

words! {
    /// An inference engine.
    pub enum Engine ("engine") {
        /// llama.cpp (also Ollama and LM Studio).
        LlamaCpp = "llama.cpp",
        /// The `ik_llama.cpp` fork.
        IkLlamaCpp = "ik_llama.cpp",
        /// vLLM.
        Vllm = "vllm",
        /// SGLang.
        Sglang = "sglang",
        /// AMD's ATOM.
        Atom = "atom",
        /// TensorRT-LLM.
        TensorRtLlm = "tensorrt-llm",
        /// mlx-lm on Apple silicon.
        Mlx = "mlx",
        /// KTransformers: experts on the CPU.
        KTransformers = "ktransformers",
    }
}

/// What stays in host memory and is computed by the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Offload {
    /// Nothing but the input embedding where the engine keeps it there.
    None,
    /// Routed experts of so many layers.
    Experts(u32),
    /// The first so many layers, with their cache.
    Layers(u32),
    /// Everything; no accelerator is used.
    All,
}

/// How a model is divided over devices.
///
/// Devices in use = `replicas · pp · dp · tp`. Layer split of llama.cpp is `pp`, its tensor split
/// is `tp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Placement {
    /// Independent copies of the whole deployment.
    pub replicas: u32,
    /// Pipeline stages.
    pub pp: u32,
    /// Groups that each hold all attention weights and their own sequences (attention-DP).
    pub dp: u32,
    /// Tensor-parallel ranks of one group.
    pub tp: u32,
    /// Experts are divided whole over the `dp · tp` devices of a stage; else each is cut `tp` ways.
    pub expert_parallel: bool,
    /// Ranks of a tensor group that share one sequence's cache (decode context parallel).
    pub cp: u32,
    /// What stays in host memory.
    pub offload: Offload,
}

impl Placement {
    /// Everything on one device.
    pub const ONE: Self =
        Self { replicas: 1, pp: 1, dp: 1, tp: 1, expert_parallel: false, cp: 1, offload: Offload::None };

    /// Devices in use.
    pub const fn devices(&self) -> u32 {
        match self.offload {
            Offload::All => 0,
            Offload::None | Offload::Experts(_) | Offload::Layers(_) => {
                self.replicas * self.pp * self.dp * self.tp
            }
        }
    }

    /// Devices that share the experts of a layer.
    pub const fn expert_ranks(&self) -> u32 {
        self.dp * self.tp
    }
}

/// A pipeline stage: consecutive layers on equal devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Index of the device group in [`Machine::groups`].
    pub group: usize,
    /// Layers it runs on these devices; layers on the CPU belong to no stage.
    pub layers: Range<u32>,
}

/// A model with everything derived from its shape alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The shape.
    pub spec: ModelSpec,
    /// Its tensors.
    pub inventory: Inventory,
    /// What a sequence keeps.
    pub cache: Vec<Component>,
}

impl Model {
    /// Derives tensors and cache from a shape.
    pub fn new(spec: ModelSpec) -> Self {
        let inventory = Inventory::of(&spec);
        let cache = components(&spec);
        Self { spec, inventory, cache }
    }
}

/// How an engine is set up beyond placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Batching {
    /// Prompt tokens processed together: micro-batch of llama.cpp, chunk of the servers.
    pub chunk: u64,
    /// Most sequences in flight.
    pub sequences: u64,
    /// Longest sequence the engine is set up for, tokens.
    pub context: u64,
    /// Whether attention is computed in tiles without storing all scores.
    pub flash_attention: bool,
    /// Who drafts tokens ahead, if anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<Method>,
}

/// One deployment, fully decided.
#[derive(Clone, Debug)]
pub struct Deployment<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its weights as stored.
    pub weights: &'a Weights,
    /// Format of the cache.
    pub kv: KvFormat,
    /// The machine.
    pub machine: &'a Machine,
    /// The engine.
    pub engine: Engine,
    /// Release of the engine, when the question names one: `b4089`, `0.12.0`.
    pub engine_version: Option<String>,
    /// How the model is divided.
    pub placement: Placement,
    /// One per pipeline stage, in order; empty when everything is on the CPU.
    pub stages: Vec<Stage>,
    /// How the engine is set up.
    pub batching: Batching,
}

impl Deployment<'_> {
    /// The devices of a stage.
    ///
    /// # Panics
    /// When the stage names no group of this machine.
    pub fn device_group(&self, stage: &Stage) -> &DeviceGroup {
        self.machine
            .groups()
            .nth(stage.group)
            .map(|(_, group)| group)
            .expect("a stage names a group of its machine")
    }

    /// The groups of devices in use, neighbouring stages on one of them counted once.
    pub fn device_groups(&self) -> impl Iterator<Item = &DeviceGroup> {
        self.stages.chunk_by(|a, b| a.group == b.group).map(|run| self.device_group(&run[0]))
    }

    /// The host of the first node.
    pub fn host(&self) -> &Host {
        self.machine.host()
    }
}
