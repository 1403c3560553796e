//! What an engine can run at all: devices, formats, divisions. Nothing here is about memory.

use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::tensor::Shard;
use crate::arithmetic::weights::{Decoding, Entry};
use crate::catalogue::machine::DeviceGroup;
use crate::catalogue::model::{Block, ModelSpec};
use crate::perf::deployment::{Deployment, Engine, Offload};
use crate::placement::engine::{EngineFacts, WeightSupport, facts};

/// Why an engine cannot run a deployment.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Illegal {
    /// Wrong maker of devices.
    #[error("{engine} does not run on {vendor} devices")]
    Vendor {
        /// The engine.
        engine: Engine,
        /// The maker.
        vendor: String,
    },
    /// No accelerator where one is needed.
    #[error("{engine} needs an accelerator")]
    NeedsDevice {
        /// The engine.
        engine: Engine,
    },
    /// Needs an x86 host.
    #[error("{engine} needs an x86 processor with AVX2")]
    NeedsX86 {
        /// The engine.
        engine: Engine,
    },
    /// Runs mixtures of experts only.
    #[error("{engine} runs mixture-of-experts models only")]
    NeedsExperts {
        /// The engine.
        engine: Engine,
    },
    /// Cannot divide a model this way.
    #[error("{engine} has no {what}")]
    Division {
        /// The engine.
        engine: Engine,
        /// The way.
        what: &'static str,
    },
    /// A kind of layer it lacks.
    #[error("{engine} cannot run layers of kind `{block}`")]
    Architecture {
        /// The engine.
        engine: Engine,
        /// The kind.
        block: &'static str,
    },
    /// A format of weights it lacks.
    #[error("{engine} does not load weights in {format}")]
    Weights {
        /// The engine.
        engine: Engine,
        /// The format.
        format: String,
    },
    /// A format of weights the device lacks.
    #[error("{engine} runs weights in {format} from compute capability {least:.1}; {device} has {has:.1}")]
    Capability {
        /// The engine.
        engine: Engine,
        /// The format.
        format: String,
        /// Lowest capability.
        least: f64,
        /// The device.
        device: String,
        /// Its capability.
        has: f64,
    },
    /// A format of the cache it lacks.
    #[error("{engine} does not offer a {format} cache")]
    Cache {
        /// The engine.
        engine: Engine,
        /// The format.
        format: KvFormat,
    },
    /// Tensor parallelism that cuts a head.
    #[error("tensor parallel {tp} does not divide {heads} heads")]
    Heads {
        /// Ranks.
        tp: u64,
        /// Query heads, or heads of a linear mixer.
        heads: u64,
    },
    /// Tensor parallelism that cuts a key-value head unevenly.
    #[error("tensor parallel {tp} neither divides nor is a multiple of {heads} key-value heads")]
    KeyValueHeads {
        /// Ranks.
        tp: u64,
        /// Key-value heads.
        heads: u64,
    },
    /// Experts that cannot be dealt out evenly.
    #[error("{ranks} devices do not divide {experts} experts")]
    Experts {
        /// Devices that share the experts.
        ranks: u64,
        /// Experts.
        experts: u64,
    },
    /// A slice of an expert that is no whole number of quantisation blocks.
    #[error("experts of width {width} cut {ways} ways are no whole blocks of {block} in {format}")]
    ExpertBlocks {
        /// Inner width of an expert.
        width: u64,
        /// Ways.
        ways: u64,
        /// Weights of a block.
        block: u64,
        /// The format.
        format: String,
    },
    /// More stages than layers.
    #[error("{pp} pipeline stages for {layers} layers")]
    Stages {
        /// Stages.
        pp: u32,
        /// Layers.
        layers: u32,
    },
    /// Context parallelism beyond the copies of the cache.
    #[error("context parallel {cp} does not divide the {copies} copies of the cache")]
    ContextParallel {
        /// Ranks that share a sequence.
        cp: u64,
        /// Copies tensor parallelism makes.
        copies: u64,
    },
    /// Devices of different kinds.
    #[error("{engine} needs devices of one kind")]
    MixedDevices {
        /// The engine.
        engine: Engine,
    },
}

/// Checks a deployment against everything an engine cannot do.
///
/// # Errors
/// The first reason found.
pub fn legal(deployment: &Deployment<'_>) -> Result<(), Illegal> {
    let engine = facts(deployment.engine);
    devices(deployment, engine)?;
    division(deployment, engine)?;
    architecture(&deployment.model.spec, deployment.engine, engine)?;
    if !engine.kv_formats.contains(&deployment.kv) {
        return Err(Illegal::Cache { engine: deployment.engine, format: deployment.kv });
    }
    weights(deployment, engine)?;
    heads(deployment)?;
    experts(deployment)
}

/// What is legal but worth a remark, as sentences.
pub fn remarks(deployment: &Deployment<'_>) -> Vec<String> {
    let tp = u64::from(deployment.placement.tp);
    let mut remarks = Vec::new();
    let most =
        deployment.model.cache.iter().map(|component| component.heads).filter(|heads| *heads > 1).min();
    if let Some(heads) = most.filter(|heads| tp > *heads) {
        remarks.push(format!("tensor parallel {tp} beyond {heads} key-value heads is replicated"));
    }
    let width = deployment.placement.tp * deployment.placement.dp;
    if width > 1 && width > deployment.machine.scale_up_domain.max(1) {
        remarks.push(format!(
            "{width} devices work together across a scale-up domain of {}",
            deployment.machine.scale_up_domain
        ));
    }
    remarks
}

fn devices(deployment: &Deployment<'_>, engine: &EngineFacts) -> Result<(), Illegal> {
    let name = deployment.engine;
    if deployment.stages.is_empty() && !engine.cpu_only {
        return Err(Illegal::NeedsDevice { engine: name });
    }
    let mut mixed = false;
    let mut first = None;
    for group in deployment.device_groups() {
        if !names_vendor(&engine.vendors, group) {
            return Err(Illegal::Vendor { engine: name, vendor: group.accelerator.vendor.clone() });
        }
        mixed |= *first.get_or_insert(&group.id) != &group.id;
    }
    if mixed && !engine.mixed_devices {
        return Err(Illegal::MixedDevices { engine: name });
    }
    if engine.needs_x86_host
        && !deployment.host().isa.iter().any(|isa| isa.starts_with("avx") || isa == "amx")
    {
        return Err(Illegal::NeedsX86 { engine: name });
    }
    if engine.experts_only && !deployment.model.spec.is_moe() {
        return Err(Illegal::NeedsExperts { engine: name });
    }
    Ok(())
}

/// Whether a list of makers, in lower case, has that of a device.
fn names_vendor(vendors: &[String], group: &DeviceGroup) -> bool {
    vendors.iter().any(|vendor| vendor.eq_ignore_ascii_case(&group.accelerator.vendor))
}

fn division(deployment: &Deployment<'_>, engine: &EngineFacts) -> Result<(), Illegal> {
    let placement = &deployment.placement;
    let experts_off = matches!(placement.offload, Offload::Experts(_));
    let layers_off = matches!(placement.offload, Offload::Layers(_) | Offload::All);
    let asked = [
        (placement.tp > 1, engine.tensor_parallel, "tensor parallelism"),
        (placement.pp > 1, engine.pipeline_parallel, "pipeline stages"),
        (placement.dp > 1, engine.attention_dp, "attention data parallelism"),
        (placement.expert_parallel, engine.expert_parallel, "expert parallelism"),
        (placement.cp > 1, engine.context_parallel, "decode context parallelism"),
        (experts_off, engine.offload_experts, "experts in host memory"),
        (layers_off, engine.offload_layers, "layers in host memory"),
    ];
    for (wanted, offered, what) in asked {
        if wanted && !offered {
            return Err(Illegal::Division { engine: deployment.engine, what });
        }
    }
    let layers = deployment.model.spec.layer_count();
    if placement.pp > layers {
        return Err(Illegal::Stages { pp: placement.pp, layers });
    }
    Ok(())
}

fn architecture(spec: &ModelSpec, name: Engine, engine: &EngineFacts) -> Result<(), Illegal> {
    let missing = spec
        .groups()
        .flat_map(|(_, blocks)| blocks)
        .map(kind)
        .find(|kind| engine.missing_blocks.iter().any(|missing| missing == kind));
    missing.map_or(Ok(()), |block| Err(Illegal::Architecture { engine: name, block }))
}

/// The word of a kind of block in the model files.
const fn kind(block: &Block) -> &'static str {
    match block {
        Block::Grouped(_) => "grouped",
        Block::Latent(_) => "latent",
        Block::Compressed(_) => "compressed",
        Block::Delta(_) => "delta",
        Block::ChannelDelta(_) => "channel-delta",
        Block::Mamba1(_) => "mamba1",
        Block::Mamba2(_) => "mamba2",
        Block::ShortConv(_) => "short-conv",
        Block::Dense(_) => "dense",
        Block::Experts(_) => "experts",
        Block::Hyper(_) => "hyper-connections",
    }
}

fn weights(deployment: &Deployment<'_>, engine: &EngineFacts) -> Result<(), Illegal> {
    let mut seen: Vec<&str> = Vec::new();
    for entry in &deployment.weights.entries {
        if seen.contains(&entry.stored.name) {
            continue;
        }
        seen.push(entry.stored.name);
        format(deployment, engine, entry)?;
    }
    Ok(())
}

fn format(deployment: &Deployment<'_>, engine: &EngineFacts, entry: &Entry) -> Result<(), Illegal> {
    let (name, decoding) = (entry.stored.name, entry.stored.format.decoding);
    let format = || format!("{name} ({decoding})");
    let serves = |support: &&WeightSupport| support.decoding == decoding && names(support, name);
    let Some(support) = engine.weights.iter().find(serves) else {
        return Err(Illegal::Weights { engine: deployment.engine, format: format() });
    };
    for group in deployment.device_groups() {
        if !support.vendors.is_empty() && !names_vendor(&support.vendors, group) {
            return Err(Illegal::Weights { engine: deployment.engine, format: format() });
        }
        let capability = || group.accelerator.compute_capability.as_deref()?.parse::<f64>().ok();
        if let Some(least) = support.min_compute_capability
            && group.accelerator.vendor.eq_ignore_ascii_case("nvidia")
            && let Some(has) = capability()
            && has < least
        {
            let device = group.accelerator.name.clone();
            return Err(Illegal::Capability {
                engine: deployment.engine,
                format: format(),
                least,
                device,
                has,
            });
        }
    }
    Ok(())
}

/// Whether a support covers a format by its name. Formats of MLX are for MLX alone.
fn names(support: &WeightSupport, format: &str) -> bool {
    let named = |name: &String| match name.strip_suffix('*') {
        Some(beginning) => format.starts_with(beginning),
        None => format == name,
    };
    support.only.iter().any(named) || (support.only.is_empty() && !format.starts_with("mlx"))
}

fn heads(deployment: &Deployment<'_>) -> Result<(), Illegal> {
    let tp = u64::from(deployment.placement.tp);
    if tp == 1 {
        return Ok(());
    }
    for block in deployment.model.spec.groups().flat_map(|(_, blocks)| blocks) {
        let (heads, kv_heads) = match block {
            Block::Grouped(b) => (b.heads.get(), Some(b.kv_heads.get())),
            Block::Latent(b) => (b.heads.get(), None),
            Block::Compressed(b) => (b.heads.get(), None),
            Block::Delta(b) => (b.value_heads.get(), Some(b.key_heads.get())),
            Block::ChannelDelta(b) => (b.heads.get(), None),
            Block::Mamba2(b) => (b.heads.get(), Some(b.groups.get())),
            Block::Mamba1(b) => (b.inner.get(), None),
            Block::ShortConv(_) | Block::Dense(_) | Block::Experts(_) | Block::Hyper(_) => continue,
        };
        if heads % tp != 0 {
            return Err(Illegal::Heads { tp, heads });
        }
        if let Some(heads) = kv_heads.filter(|heads| heads % tp != 0 && tp % heads != 0) {
            return Err(Illegal::KeyValueHeads { tp, heads });
        }
    }
    let cp = u64::from(deployment.placement.cp);
    if cp > 1 {
        let heads = deployment.model.cache.iter().map(|component| component.heads).max().unwrap_or(1);
        let copies = (tp / heads.min(tp)).max(1);
        if copies % cp != 0 {
            return Err(Illegal::ContextParallel { cp, copies });
        }
    }
    Ok(())
}

fn experts(deployment: &Deployment<'_>) -> Result<(), Illegal> {
    let placement = &deployment.placement;
    let ranks = u64::from(placement.expert_ranks());
    if ranks == 1 {
        return Ok(());
    }
    for block in deployment.model.spec.groups().flat_map(|(_, blocks)| blocks) {
        let Block::Experts(experts) = block else { continue };
        let (count, width) = (experts.count.get(), experts.width.get());
        if placement.expert_parallel {
            if count % ranks != 0 {
                return Err(Illegal::Experts { ranks, experts: count });
            }
        } else if let Some(entry) = quantised_experts(deployment) {
            let block = slice_block(entry);
            if width % ranks != 0 || (width / ranks) % block != 0 {
                let format = entry.stored.name.to_owned();
                return Err(Illegal::ExpertBlocks { width, ways: ranks, block, format });
            }
        }
    }
    Ok(())
}

/// The first routed expert tensor.
fn quantised_experts<'a>(deployment: &'a Deployment<'_>) -> Option<&'a Entry> {
    deployment.weights.entries.iter().find(|entry| entry.tensor.shard == Shard::Expert)
}

/// Weights of a block along the inner width: two-dimensional 8-bit blocks are square.
fn slice_block(entry: &Entry) -> u64 {
    let block = entry.stored.format.block;
    match entry.stored.format.decoding {
        Decoding::Fp8 if block > 1024 => 128,
        Decoding::Float32
        | Decoding::Float16
        | Decoding::Fp8
        | Decoding::Fp4
        | Decoding::Int8
        | Decoding::Int4
        | Decoding::Legacy
        | Decoding::KQuant
        | Decoding::IQuant
        | Decoding::Trellis => block,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::cache::components;
    use crate::arithmetic::inventory::Inventory;
    use crate::arithmetic::scheme::Scheme;
    use crate::catalogue::hardware_flag::hardware;
    use crate::catalogue::store::Catalogue;
    use crate::perf::deployment::{Batching, Model, Placement, Stage};

    /// Whether a model in a scheme is legal on a machine, everything on the first device group.
    fn ask(
        model: &str,
        scheme: &str,
        machine: &str,
        engine: Engine,
        placement: Placement,
    ) -> Result<(), Illegal> {
        let catalogue = Catalogue::embedded();
        let spec = catalogue.model(model).unwrap().value.as_ref().clone();
        let model = Model { inventory: Inventory::of(&spec), cache: components(&spec), spec };
        let weights = Scheme::parse(scheme).unwrap().weigh(&model.spec, &model.inventory);
        let machine = hardware(machine, &catalogue).unwrap();
        let layers = model.spec.layer_count();
        let stages = if placement.offload == Offload::All {
            Vec::new()
        } else {
            vec![Stage { group: 0, layers: 0..layers }]
        };
        legal(&Deployment {
            model: &model,
            weights: &weights,
            kv: KvFormat::F16,
            machine: &machine,
            engine,
            engine_version: None,
            placement,
            stages,
            batching: Batching {
                chunk: 2048,
                sequences: 1,
                context: 4096,
                flash_attention: true,
                draft: None,
            },
        })
    }

    fn tp(tp: u32) -> Placement {
        Placement { tp, ..Placement::ONE }
    }

    fn refused(asked: Result<(), Illegal>) -> String {
        asked.unwrap_err().to_string()
    }

    #[test]
    fn reasons_read_as_sentences() {
        let ask_vllm = |tp_size| ask("llama-3.3-70b", "bf16", "8x h200-sxm", Engine::Vllm, tp(tp_size));
        assert_eq!(ask_vllm(8), Ok(()));
        assert_eq!(refused(ask_vllm(6)), "tensor parallel 6 does not divide 64 heads");
        let gguf = ask("llama-3.3-70b", "q4_k_m", "8x h200-sxm", Engine::Vllm, tp(1));
        assert!(refused(gguf).starts_with("vllm does not load weights in q"));
        let safetensors = ask("llama-3.1-8b", "fp8", "1x rtx-4090", Engine::LlamaCpp, tp(1));
        assert!(refused(safetensors).starts_with("llama.cpp does not load weights in fp8"));
        let apple = ask("llama-3.1-8b", "bf16", "1x m3-ultra-80gpu", Engine::Vllm, tp(1));
        assert_eq!(refused(apple), "vllm does not run on Apple devices");
        let dense = ask("llama-3.1-8b", "q4_k_m", "1x rtx-4090", Engine::KTransformers, tp(1));
        assert_eq!(refused(dense), "ktransformers runs mixture-of-experts models only");
        let cpu = Placement { offload: Offload::All, ..Placement::ONE };
        assert_eq!(ask("llama-3.1-8b", "q4_k_m", "1x rtx-4090", Engine::LlamaCpp, cpu), Ok(()));
        let server = ask("llama-3.1-8b", "bf16", "1x rtx-4090", Engine::Vllm, cpu);
        assert_eq!(refused(server), "vllm needs an accelerator");
    }

    #[test]
    fn formats_need_their_hardware() {
        let nvfp4 = |machine, engine| ask("qwen3-32b", "nvfp4", machine, engine, tp(1));
        assert_eq!(nvfp4("1x b200-sxm", Engine::TensorRtLlm), Ok(()));
        assert!(refused(nvfp4("1x h200-sxm", Engine::TensorRtLlm)).contains("from compute capability 10.0"));
        let fp8 = |machine| ask("qwen3-32b", "fp8", machine, Engine::TensorRtLlm, tp(1));
        assert_eq!(fp8("1x h200-sxm"), Ok(()));
        assert!(refused(fp8("1x a100-sxm-80gb")).contains("from compute capability 8.9"));
        assert_eq!(ask("qwen3-32b", "mlx-4bit", "1x m3-ultra-80gpu", Engine::Mlx, tp(1)), Ok(()));
        assert!(ask("qwen3-32b", "mlx-4bit", "1x h200-sxm", Engine::Vllm, tp(1)).is_err());
    }

    #[test]
    fn experts_are_dealt_whole_or_cut_at_blocks() {
        let placed = |expert_parallel, dp| Placement { dp, expert_parallel, ..Placement::ONE };
        let ask = |placement| ask("deepseek-v3", "native", "16x h200-sxm", Engine::Vllm, placement);
        assert_eq!(ask(placed(true, 16)), Ok(()));
        assert_eq!(refused(ask(placed(true, 12))), "12 devices do not divide 256 experts");
        // 2048 / 16 = 128: one block. 2048 / 32 = 64: half a block.
        assert_eq!(ask(placed(false, 16)), Ok(()));
        assert!(refused(ask(placed(false, 32))).contains("no whole blocks of 128"));
    }

    #[test]
    fn every_native_checkpoint_runs_on_some_server() {
        let catalogue = Catalogue::embedded();
        let failed: Vec<String> = catalogue
            .model_ids()
            .filter_map(|id| {
                let verdict = ask(id, "native", "8x b200-sxm", Engine::Vllm, tp(1));
                verdict.err().map(|why| format!("{id}: {why}"))
            })
            .collect();
        assert_eq!(failed, Vec::<String>::new());
    }
}
