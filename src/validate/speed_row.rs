//! A row of a speed measurement as a question to the estimator.

use super::csv_file::Row;
use crate::arithmetic::cache::components;
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::scheme::{Family, Scheme};
use crate::arithmetic::tensor::Shard;
use crate::arithmetic::weights::{Entry, Weights};
use crate::catalogue::hardware_flag::hardware;
use crate::catalogue::machine::Machine;
use crate::catalogue::rig;
use crate::catalogue::store::Catalogue;
use crate::fact::Origin;
use crate::perf::class::Backend;
use crate::perf::deployment::{Batching, Deployment, Engine, Model, Offload, Placement, Stage};
use crate::units::Bytes;
use std::fmt::Write;

/// Everything a row asks, with what it owns.
pub(super) struct Question {
    model: Model,
    weights: Weights,
    machine: Machine,
    kv: KvFormat,
    engine: Engine,
    version: Option<String>,
    placement: Placement,
    batching: Batching,
    /// Named software below the engine.
    pub backend: Option<Backend>,
    /// Whether a mean over all requests was measured, those of the start included.
    pub is_mean: bool,
    /// What was measured.
    pub metric: String,
    /// Sequences in flight.
    pub sequences: u64,
    /// Prompt tokens of each.
    pub input: u64,
    /// Generated tokens of each.
    pub output: u64,
    /// Tokens cached before.
    pub depth: u64,
    /// Devices of the deployment.
    pub devices: f64,
}

impl Question {
    /// The deployment it asks about.
    pub(super) fn deployment(&self) -> Deployment<'_> {
        let layers = self.model.spec.layer_count();
        let first = match self.placement.offload {
            Offload::Layers(on_host) => on_host.min(layers),
            Offload::All => layers,
            Offload::None | Offload::Experts(_) => 0,
        };
        let count = if self.placement.offload == Offload::All { 0 } else { self.placement.pp };
        let share = |stage: u32| first + (layers - first) * stage / count.max(1);
        Deployment {
            model: &self.model,
            weights: &self.weights,
            kv: self.kv,
            machine: &self.machine,
            engine: self.engine,
            engine_version: self.version.clone(),
            placement: self.placement,
            stages: (0..count).map(|s| Stage { group: 0, layers: share(s)..share(s + 1) }).collect(),
            batching: self.batching,
        }
    }
}

/// Reads a row; says why where it cannot be asked.
pub(super) fn question(row: &Row<'_>, catalogue: &Catalogue, serving: bool) -> Result<Question, String> {
    if serving && row.text("mode") == "disaggregated" {
        return Err("separate prefill and decode pools are not estimated".to_owned());
    }
    if !matches!(row.text("speculative"), "" | "none" | "unknown") {
        return Err("speculation is not estimated".to_owned());
    }
    let engine = engine(row.text("engine"))?;
    let spec = catalogue.model(row.text("model")).map_err(|error| error.to_string())?.value;
    let inventory = Inventory::of(&spec);
    let weights = weights(row, engine, &spec, &inventory)?;
    let placement = placement(row, spec.expert_layers(), spec.layer_count(), serving)?;
    let model = Model { cache: components(&spec), inventory, spec: (*spec).clone() };
    let machine = machine(row, catalogue, &placement, serving)?;
    let count = |column: &str| row.text(column).parse::<f64>().ok().map(|n| n as u64);
    // Sweeps draw lengths uniformly between 80 and 100 % of the stated ones.
    let drawn = if row.text("length_note").starts_with("uniform") { 0.9 } else { 1.0 };
    let length = |column, usual: u64| (count(column).unwrap_or(usual) as f64 * drawn) as u64;
    if serving && (count("concurrency").is_none() || count("input_tokens").is_none()) {
        return Err("load or lengths are not stated".to_owned());
    }
    let metric = row.text("metric").to_owned();
    Ok(Question {
        kv: kv(row, engine, serving)?,
        version: version(row),
        batching: Batching {
            chunk: chunk(row, engine),
            sequences: count("concurrency").unwrap_or(1),
            context: spec.context.get(),
            flash_attention: row.text("flash_attention") != "0",
        },
        backend: row.note("backend").and_then(Backend::from_word).filter(|b| *b != Backend::Cpu),
        sequences: count("concurrency").unwrap_or(1).max(1),
        input: length("input_tokens", 512),
        output: if metric == "prefill_tps" { 0 } else { length("output_tokens", 128) },
        depth: count("depth_tokens").unwrap_or(0),
        devices: f64::from(placement.devices().max(1)),
        is_mean: row.note("statistic") == Some("mean"),
        metric,
        model,
        weights,
        machine,
        engine,
        placement,
    })
}

fn engine(name: &str) -> Result<Engine, String> {
    Ok(match name {
        "llama.cpp" | "llama.cpp-rpc" | "ollama" | "lmstudio" => Engine::LlamaCpp,
        "mlx-lm" | "rapid-mlx" | "mlxcel" | "mlx-swift-lm" => Engine::Mlx,
        other => Engine::from_word(other).ok_or_else(|| format!("the engine {other} is not known"))?,
    })
}

/// The version as printed, or the date of the row where it prints none we can read.
fn version(row: &Row<'_>) -> Option<String> {
    let version = row.text("engine_version");
    let readable = version.contains('(') || version.starts_with('b') || version.contains('.');
    let own_number = !matches!(row.text("engine"), "ollama" | "lmstudio");
    let chosen = if readable && own_number { version } else { row.text("source_date") };
    (!chosen.is_empty()).then(|| chosen.to_owned())
}

/// Micro-batch or chunk: as stated, else the engine's default.
fn chunk(row: &Row<'_>, engine: Engine) -> u64 {
    let stated = row.note("ub").and_then(|ub| ub.parse().ok());
    stated.unwrap_or(match engine {
        Engine::LlamaCpp | Engine::IkLlamaCpp => 512,
        Engine::Mlx => 2048,
        Engine::KTransformers | Engine::Vllm | Engine::TensorRtLlm => 8192,
        Engine::Sglang => 16384,
    })
}

fn kv(row: &Row<'_>, engine: Engine, serving: bool) -> Result<KvFormat, String> {
    let stated = row.text("kv_format");
    // Keys and values may differ; the keys are read first.
    let keys = stated.split('/').next().unwrap_or_default();
    match keys {
        // Recipes of this engine keep the cache in 8 bit beside weights of 8 bit and less.
        "" if serving && engine == Engine::TensorRtLlm && row.text("weights_format") != "bf16" => {
            Ok(KvFormat::Fp8)
        }
        "" | "bf16" => Ok(KvFormat::F16),
        "int8" => Ok(KvFormat::Q8_0),
        other => KvFormat::from_word(other).ok_or_else(|| format!("the cache format {other} is not known")),
    }
}

fn weights(
    row: &Row<'_>,
    engine: Engine,
    spec: &crate::catalogue::model::ModelSpec,
    inventory: &Inventory,
) -> Result<Weights, String> {
    let name = row.text("weights_format");
    let gguf = matches!(engine, Engine::LlamaCpp | Engine::IkLlamaCpp | Engine::KTransformers);
    let scheme = if gguf { Scheme::parse_in(name, Family::Gguf) } else { Scheme::parse(name) };
    let weights = scheme.map_err(|error| error.to_string())?.weigh(spec, inventory);
    let file = row.note("size_gib").and_then(|size| size.parse().ok()).map(Bytes::gib);
    Ok(match file {
        Some(file) => fit_to_file(weights, file),
        None => weights,
    })
}

/// Scales the stored bytes to the size of the file: the experts take the difference, or all
/// matrices where there are none or they cannot.
fn fit_to_file(mut weights: Weights, file: Bytes) -> Weights {
    let is_expert = |shard| shard == Shard::Expert;
    let total = weights.total();
    let experts: Bytes = weights.entries.iter().filter(|e| is_expert(e.tensor.shard)).map(Entry::bytes).sum();
    let rest = (file - (total - experts)) / experts.max(Bytes::new(1.0));
    let by_experts = (0.5..2.0).contains(&rest);
    let factor = if by_experts { rest } else { file / total };
    for entry in &mut weights.entries {
        if !by_experts || is_expert(entry.tensor.shard) {
            entry.each = entry.each * factor;
        }
    }
    weights.origin = Origin::Derived("scaled to the size of the file".to_owned());
    weights
}

fn placement(row: &Row<'_>, expert_layers: u32, layers: u32, serving: bool) -> Result<Placement, String> {
    let number = |column: &str| row.text(column).parse::<u32>().ok();
    let devices = number("accelerator_count").unwrap_or(1).max(1);
    if serving {
        let tp = number("tp").ok_or("the layout is not stated")?;
        let (pp, dp) = (number("pp").unwrap_or(1), number("dp_attention").unwrap_or(1).max(1));
        if tp == 0 || tp % dp != 0 {
            return Err(format!("{tp} ranks do not divide into {dp} groups"));
        }
        let expert_parallel = number("ep").unwrap_or(1) > 1;
        return Ok(Placement { pp, dp, tp: tp / dp, expert_parallel, ..Placement::ONE });
    }
    let offload = match row.text("offload") {
        "" | "none" => Offload::None,
        "all-cpu" => Offload::All,
        "experts-cpu" => Offload::Experts(expert_layers),
        other => match other.split_once(':').map(|(what, n)| (what, n.parse::<u32>())) {
            Some(("experts-cpu", Ok(n))) => Offload::Experts(n),
            Some(("layers", Ok(n))) => Offload::Layers(layers.saturating_sub(n)),
            _ => return Err(format!("the offload {other} is not known")),
        },
    };
    let (pp, tp) = match row.text("split") {
        "tensor" | "row" => (1, devices),
        _ => (devices, 1),
    };
    Ok(Placement { pp, tp, offload, ..Placement::ONE })
}

/// Speed of plain modules where a processor takes several kinds and the row does not say.
fn standard_speed(row: &Row<'_>, catalogue: &Catalogue) -> Option<String> {
    let cpu = catalogue.cpu(row.text("cpu")).ok()?;
    let first = cpu.value.memory_type.as_deref()?.split('/').next()?;
    first.trim().rsplit('-').next().filter(|speed| speed.parse::<u32>().is_ok()).map(str::to_owned)
}

/// The machine as a rig file would describe it.
fn machine(
    row: &Row<'_>,
    catalogue: &Catalogue,
    placement: &Placement,
    serving: bool,
) -> Result<Machine, String> {
    let device = row.text("accelerator");
    let count = row.text("accelerator_count").parse::<u32>().unwrap_or(0).max(placement.devices());
    if serving {
        return hardware(&format!("{count}x{device}"), catalogue).map_err(|error| error.to_string());
    }
    let nodes = row.note("nodes").and_then(|n| n.parse::<u32>().ok()).unwrap_or(1);
    let (mut rig, mut host) = (String::new(), String::new());
    if nodes > 1 {
        let _ = writeln!(rig, "count = {nodes}\nnetwork = \"10 GbE\"");
    }
    let shared = catalogue.accelerator(device).is_ok_and(|found| found.value.is_unified());
    // The size of the memory does not enter the speed.
    let size = row.stated("ram_gb").unwrap_or(if shared { "128" } else { "1024" });
    if shared {
        let each = (count / nodes).max(1);
        let _ =
            writeln!(rig, "accelerator = [{{ id = \"{device}\", count = {each}, memory = \"{size} GB\" }}]");
    } else if !device.is_empty() {
        let _ = writeln!(rig, "accelerator = \"{}x {device}\"", (count / nodes).max(1));
    }
    if let Some(cpu) = row.stated("cpu").filter(|_| !shared) {
        let _ = writeln!(host, "[cpu]\nid = \"{cpu}\"");
        if let Some(sockets) = row.note("sockets") {
            let _ = writeln!(host, "sockets = {sockets}");
        }
    }
    let speed = row.stated("ram_mt_s").map(str::to_owned).or_else(|| standard_speed(row, catalogue));
    let channels = row.stated("ram_channels").zip(speed);
    if !shared && (row.stated("ram_gb").is_some() || channels.is_some()) {
        let _ = writeln!(host, "[ram]\nsize = \"{size} GB\"");
        if let Some((channels, speed)) = channels {
            let _ = writeln!(host, "channels = {channels}\nmt_s = {speed}");
        }
    }
    let text = rig + &host;
    let mut machine = rig::machine("row", &text, catalogue)
        .map_err(|bad| bad.problems.iter().map(|p| p.message.clone()).collect::<Vec<_>>().join("; "))?;
    if let Some(threads) = row.note("threads").and_then(|n| n.parse::<u32>().ok()) {
        for node in &mut machine.nodes {
            node.host.cores.value = node.host.cores.value.min(threads.max(1));
        }
    }
    Ok(machine)
}
