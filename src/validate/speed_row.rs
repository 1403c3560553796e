//! A row of a speed measurement as a question to the estimator.

use super::csv_file::Row;
use crate::arithmetic::cache::components;
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::kv::{KvFormat, held};
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
use crate::perf::drafts::{Method, Text, chance};
use crate::perf::{Draft, Drafting, Lengths, Sources};
use crate::placement::account::Account;
use crate::placement::fit::{largest_concurrency, largest_concurrency_of};
use crate::placement::settings::Settings;
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
    /// Whether a mean over requests was measured; a median if not.
    pub is_mean: bool,
    /// How lengths differ from request to request.
    pub lengths: Lengths,
    /// Requests of the run.
    pub requests: u64,
    /// Tokens drafted ahead.
    pub draft: Option<Draft>,
    /// Whether all requests were queued from the start.
    pub is_offline: bool,
    /// Whether it is answered in closed form.
    pub closed_form: bool,
    /// Decode steps between two looks for new requests.
    pub poll: u64,
    /// Separate pools of workers.
    pub pools: Option<Workers>,
    /// Sequences a worker holds at once.
    pub slots: u64,
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

/// Workers of separate pools.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workers {
    /// Division of a prefill worker.
    pub prefill: Placement,
    /// Prefill workers.
    pub prefill_count: u64,
    /// Division of a decode worker.
    pub decode: Placement,
    /// Decode workers.
    pub decode_count: u64,
}

impl Question {
    /// The deployment it asks about; of a decode worker where there are separate pools.
    pub(super) fn deployment(&self) -> Deployment<'_> {
        self.divided(self.placement)
    }

    /// Bytes of the cache of one prompt.
    pub(super) fn prompt_cache(&self) -> Bytes {
        held(&self.model.cache, self.kv, self.input)
    }

    /// The machine.
    pub(super) const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The same divided in another way.
    pub(super) fn divided(&self, placement: Placement) -> Deployment<'_> {
        let layers = self.model.spec.layer_count();
        let first = match placement.offload {
            Offload::Layers(on_host) => on_host.min(layers),
            Offload::All => layers,
            Offload::None | Offload::Experts(_) => 0,
        };
        let count = if placement.offload == Offload::All { 0 } else { placement.pp };
        let share = |stage: u32| first + (layers - first) * stage / count.max(1);
        Deployment {
            model: &self.model,
            weights: &self.weights,
            kv: self.kv,
            machine: &self.machine,
            engine: self.engine,
            engine_version: self.version.clone(),
            placement,
            stages: (0..count).map(|s| Stage { group: 0, layers: share(s)..share(s + 1) }).collect(),
            batching: self.batching,
        }
    }
}

/// Reads a row; says why where it cannot be asked.
pub(super) fn question(row: &Row<'_>, catalogue: &Catalogue, serving: bool) -> Result<Question, String> {
    let engine = engine(row.text("engine"))?;
    let spec = catalogue.model(row.text("model")).map_err(|error| error.to_string())?.value;
    let inventory = Inventory::of(&spec);
    let weights = weights(row, engine, &spec, &inventory)?;
    let pools = if serving && row.text("mode") == "disaggregated" { Some(workers(row)?) } else { None };
    let placement = match pools {
        Some(workers) => workers.decode,
        None => placement(row, spec.expert_layers(), spec.layer_count(), serving)?,
    };
    let model = Model { cache: components(&spec), inventory, spec: (*spec).clone() };
    let larger = |pools: &Workers| {
        if pools.prefill.devices() > pools.decode.devices() { pools.prefill } else { pools.decode }
    };
    let machine = machine(row, catalogue, &pools.as_ref().map_or(placement, larger), serving)?;
    let count = |column: &str| row.text(column).parse::<f64>().ok().map(|n| n as u64);
    // Sweeps draw lengths uniformly between 80 and 100 % of the stated ones.
    let drawn = if row.text("length_note").starts_with("uniform") { 0.9 } else { 1.0 };
    let length = |column, usual: u64| (count(column).unwrap_or(usual) as f64 * drawn) as u64;
    if serving && count("input_tokens").is_none() {
        return Err("lengths are those of a dataset that the row does not state".to_owned());
    }
    let input = length("input_tokens", 512);
    let metric = row.text("metric").to_owned();
    let output = if metric == "prefill_tps" { 0 } else { length("output_tokens", 128) };
    let offline = count("concurrency").is_none();
    let users = count("concurrency").unwrap_or(1).max(1);
    let drafting = drafting(row, spec.mtp.is_some(), (serving, placement.dp > 1), users);
    let mut question = Question {
        lengths: if row.text("length_note").starts_with("exact")
            || row.text("length_note").starts_with("nominal")
        {
            Lengths::Fixed
        } else {
            Lengths::Uniform
        },
        requests: if offline { offline_requests(input, output) } else { users * 10 },
        draft: drafting.and_then(|drafting| drafting.draft(&spec)),
        pools,
        poll: poll(row, engine, users),
        is_offline: serving && offline,
        closed_form: false,
        // Local rows state what ran at once.
        slots: users,
        kv: kv(row, engine, serving)?,
        version: version(row),
        batching: Batching {
            chunk: chunk(row, engine),
            sequences: count("concurrency").unwrap_or(1),
            context: spec.context.get(),
            flash_attention: row.text("flash_attention") != "0",
            draft: drafting.map(|drafting| drafting.method),
        },
        backend: row.note("backend").and_then(Backend::from_word).filter(|b| *b != Backend::Cpu),
        sequences: users,
        input,
        output,
        depth: count("depth_tokens").unwrap_or(0),
        devices: f64::from(
            match pools {
                Some(_) => row.text("accelerator_count").parse().unwrap_or(0),
                None => placement.devices(),
            }
            .max(1),
        ),
        is_mean: row.note("statistic") == Some("mean"),
        metric,
        model,
        weights,
        machine,
        engine,
        placement,
    };
    if serving {
        question.slots = question.slots_of(offline);
    }
    Ok(question)
}

impl Question {
    /// Sequences the cache of the deployment holds, by the ledger that says what fits.
    fn slots_of(&self, offline: bool) -> u64 {
        let deployment = self.deployment();
        let reserved = if offline { 1.0 } else { Sources::shipped().admission(self.engine) };
        let context = self.input + (self.output as f64 * reserved) as u64;
        let usual = largest_concurrency(&deployment, context.max(1));
        // A row proves that its users were served: where the usual margins leave no room for them,
        // operators raise the share of memory the engine may fill.
        let raised = || {
            let settings =
                Settings { memory_fraction: Some(RAISED), ..Settings::for_deployment(&deployment) };
            largest_concurrency_of(&Account::new(&deployment, &settings), context.max(1))
        };
        let slots = if usual < self.sequences { usual.max(raised()) } else { usual };
        slots.max(u64::from(self.placement.dp))
    }
}

/// Share of memory an engine is given where the weights leave little.
const RAISED: f64 = 0.95;

/// The two pools of a row.
fn workers(row: &Row<'_>) -> Result<Workers, String> {
    let number = |column: &str| row.text(column).parse::<u32>().ok();
    let unknown = || "the number of prefill and decode workers is not stated".to_owned();
    let placement = |pool: &str| -> Result<Placement, String> {
        let of = |what: &str| number(&format!("{pool}_{what}"));
        let tp = of("tp").ok_or_else(unknown)?;
        let (pp, dp) = (of("pp").unwrap_or(1).max(1), of("dp").unwrap_or(1).max(1));
        if tp % dp != 0 {
            return Err(format!("{tp} ranks do not divide into {dp} groups"));
        }
        Ok(Placement { pp, dp, tp: tp / dp, expert_parallel: of("ep").unwrap_or(1) > 1, ..Placement::ONE })
    };
    Ok(Workers {
        prefill: placement("prefill")?,
        prefill_count: u64::from(number("prefill_workers").ok_or_else(unknown)?),
        decode: placement("decode")?,
        decode_count: u64::from(number("decode_workers").ok_or_else(unknown)?),
    })
}

/// Requests of published tables of offline throughput, by mean lengths (TensorRT-LLM's
/// `perf-overview.md`, which lists them with its command lines).
fn offline_requests(input: u64, output: u64) -> u64 {
    match (input, output) {
        (128, 128) => 30_000,
        (128, 2048) | (2048, 128) | (500, 2000) | (1000..=1024, 1000..=1024) => 3000,
        (128, 4096) | (2048, 2048) | (1000..=1024, 2000..=2048) | (5000, 500) => 1500,
        _ => 1000,
    }
}

/// Decode steps between two looks for new requests. The launch recipes that the `InferenceX` sweeps use
/// for DeepSeek with `SGLang` on B200 set `--scheduler-recv-interval` to 10 below 16 users and to 30
/// from there on (github `SemiAnalysisAI/InferenceX`, benchmark scripts).
fn poll(row: &Row<'_>, engine: Engine, users: u64) -> u64 {
    let recipe = engine == Engine::Sglang
        && row.text("accelerator").starts_with("b200")
        && row.text("model").starts_with("deepseek")
        && row.text("length_note").starts_with("uniform");
    match (recipe, users) {
        (false, _) => 1,
        (true, ..16) => 10,
        (true, _) => 30,
    }
}

/// Drafting as the row flags it. Serving sweeps send random tokens; local rows state what share of the
/// drafted tokens was accepted. Where a row does not say how far it drafts, sweeps draft 3 tokens for
/// few users and 1 for many or for several groups of attention.
fn drafting(row: &Row<'_>, predicts: bool, (serving, grouped): (bool, bool), users: u64) -> Option<Drafting> {
    let (method, tokens) = row.text("speculative").split_once(':')?;
    let method = match method {
        // SGLang runs prediction layers under the name of EAGLE.
        "mtp" | "eagle" if predicts => Method::Mtp,
        "eagle" | "eagle3" => Method::Eagle3,
        _ => return None,
    };
    let tokens = tokens.parse().unwrap_or(if users < 256 && !grouped { 3 } else { 1 });
    let stated = row.text("notes").split("; ").find_map(|note| note.strip_prefix("acceptance "));
    let stated = stated.and_then(|share| share.parse::<f64>().ok());
    Some(Drafting {
        method,
        tokens,
        text: if serving { Text::Random } else { Text::Mixed },
        acceptance: stated.map(|share| chance(1.0 + share * tokens as f64, tokens)),
    })
}

fn engine(name: &str) -> Result<Engine, String> {
    Ok(match name {
        "llama.cpp" | "llama.cpp-rpc" | "ollama" | "lmstudio" => Engine::LlamaCpp,
        "mlx-lm" | "rapid-mlx" | "mlxcel" | "mlx-swift-lm" => Engine::Mlx,
        other if other.starts_with("dynamo+") => return engine(&other["dynamo+".len()..]),
        "sglang+mori" => Engine::Sglang,
        other => Engine::from_word(other).ok_or_else(|| format!("the engine {other} is not known"))?,
    })
}

/// The version as printed, or the date of the row where it prints none we can read.
fn version(row: &Row<'_>) -> Option<String> {
    let version = row.text("engine_version");
    let readable = version.contains('(') || version.starts_with('b') || version.contains('.');
    // Builds of ik_llama.cpp are numbered otherwise than those of llama.cpp.
    let own_number = !matches!(row.text("engine"), "ollama" | "lmstudio" | "ik_llama.cpp")
        && !row.text("engine").starts_with("dynamo");
    let chosen = if readable && own_number { version } else { row.text("source_date") };
    (!chosen.is_empty()).then(|| chosen.to_owned())
}

/// Micro-batch or chunk: as stated, else the engine's default.
fn chunk(row: &Row<'_>, engine: Engine) -> u64 {
    let stated = row.note("ub").and_then(|ub| ub.parse().ok());
    // The pages of llama.cpp's own benches print `n_ubatch = 2048` above every table.
    let own_benches = row.text("source").contains("ggml-org/llama.cpp/blob/master/benches/");
    stated.unwrap_or(match engine {
        Engine::LlamaCpp | Engine::IkLlamaCpp if own_benches => 2048,
        Engine::LlamaCpp | Engine::IkLlamaCpp => 512,
        Engine::Mlx => 2048,
        Engine::KTransformers | Engine::Vllm | Engine::TensorRtLlm => 8192,
        Engine::Sglang | Engine::Atom => 16384,
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
    // Separate pools are estimated worker by worker.
    let largest = if row.text("mode") == "disaggregated" { placement.devices() } else { count };
    if serving {
        return hardware(&format!("{}x{device}", count.min(largest)), catalogue)
            .map_err(|error| error.to_string());
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
