//! A row of a memory file as a deployment: its weights, placement, stages and launch settings.

use crate::arithmetic::formats;
use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::scheme::{Family, Scheme};
use crate::arithmetic::weights::Weights;
use crate::perf::deployment::{Deployment, Engine, Model, Offload, Placement, Stage};
use crate::placement::settings::{GraphCapture, GraphPlan, LatentCache, Settings, release};
use crate::units::Bytes;
use crate::validate::csv_file::{Faults, Row};

/// The numbers of a set-up.
pub(super) struct Setup {
    pub(super) devices: u32,
    pub(super) tp: u32,
    pub(super) pp: u32,
    pub(super) context: u64,
    pub(super) sequences: Option<u64>,
    pub(super) chunk: Option<u64>,
}

impl Setup {
    pub(super) fn read(row: &Row<'_>, faults: &mut Faults) -> Option<Self> {
        let mut whole = |column| -> Option<Option<u64>> {
            Some(row.optional(column, faults)?.map(|number| number.max(0.0) as u64))
        };
        let devices = whole("accelerator_count")?.map(|n| n as u32);
        let tp = whole("tp")?.map_or(1, |n| n as u32);
        let pp = whole("pp")?.map_or(1, |n| n as u32);
        Some(Self {
            devices: devices.unwrap_or(tp * pp),
            tp,
            pp,
            context: whole("context_tokens")?.unwrap_or(0),
            sequences: whole("sequences")?,
            chunk: whole("ubatch_tokens")?,
        })
    }
}

/// The weights of a row; quantities that do not depend on them may leave the format open.
pub(super) fn weights(row: &Row<'_>, model: &Model) -> Result<Weights, String> {
    let family = match row.text("engine") {
        "mlx" => Family::Mlx,
        "llama.cpp" | "ik_llama.cpp" => Family::Gguf,
        _ => Family::Safetensors,
    };
    let label = row.stated("weights_format").unwrap_or(if family == Family::Gguf { "q8_0" } else { "bf16" });
    let uniform = row.flagged("every weight matrix in this type").then(|| formats::format(label)).flatten();
    let label = uniform.map_or(label.to_owned(), |named| format!("mixed-{}bpw", named.format.bits()));
    let scheme = Scheme::parse_in(&label, family).map_err(|unknown| unknown.to_string())?;
    Ok(scheme.weigh(&model.spec, &model.inventory))
}

/// The number a note starts with: `17448304640 per GPU`.
pub(super) fn first_number(note: Option<&str>) -> Option<f64> {
    note?.split_whitespace().next()?.parse().ok()
}

pub(super) fn kv_format(row: &Row<'_>) -> Result<KvFormat, String> {
    match row.text("kv_format") {
        "" | "f16" | "bf16" => Ok(KvFormat::F16),
        text if text.contains('/') => Err("keys and values in different formats".to_owned()),
        text => KvFormat::from_word(text).ok_or_else(|| format!("cache format `{text}` is not one we know")),
    }
}

/// `max_num_batched_tokens` where it is not stated: 2048 since chunked prefill became the default,
/// the longest sequence before.
pub(super) fn default_chunk(row: &Row<'_>, setup: &Setup) -> u64 {
    if stated_release(row).is_some_and(|version| version < (0, 8)) { setup.context.max(2048) } else { 2048 }
}

pub(super) fn stated_release(row: &Row<'_>) -> Option<(u32, u32)> {
    release(row.text("engine_version"))
}

pub(super) fn settings(row: &Row<'_>, setup: &Setup, deployment: &Deployment<'_>) -> Settings {
    let notes = row.text("notes");
    let number = |key: &str| first_number(row.note(key));
    let latent = match row.note("mla") {
        _ if notes.contains("cache layout latent+transposed") => LatentCache::Transposed,
        _ if notes.contains("cache layout decompressed") => LatentCache::Decompressed,
        Some("0") => LatentCache::Decompressed,
        Some("1") => LatentCache::Transposed,
        _ => LatentCache::Latent,
    };
    let defaults = Settings::for_deployment(deployment);
    Settings {
        memory_fraction: number("gpu_memory_utilization").or(number("mem_fraction_static")),
        // The default of `max_num_seqs`.
        sequences: matches!(deployment.engine, Engine::Vllm | Engine::Sglang)
            .then(|| setup.sequences.unwrap_or(256)),
        graphs: if notes.contains("enforce_eager") { GraphCapture::Off } else { defaults.graphs },
        towers: defaults.towers && !notes.contains("language-model-only"),
        prediction: notes.contains("full+mtp"),
        latent,
        scratch_cap: number("amb").map(Bytes::mib),
        // Rows of llama.cpp state no build and date from before June 2026.
        graph: GraphPlan::EveryOutput,
        host_mask_width: 4.0,
        ..defaults
    }
}

pub(super) fn placement(
    row: &Row<'_>,
    setup: &Setup,
    model: &Model,
    llama: bool,
) -> Result<Placement, String> {
    let layers = model.spec.layer_count();
    let offload = match row.text("offload") {
        "all-cpu" => Offload::All,
        "experts-cpu" => Offload::Experts(model.spec.expert_layers()),
        // Some experts are on the host, none by whole layers.
        "partial" => Offload::Experts(0),
        text => match text.strip_prefix("layers:").map(str::parse::<u32>) {
            Some(Ok(on_device)) => Offload::Layers(layers.saturating_sub(on_device)),
            Some(Err(_)) => return Err(format!("offload `{text}` is not one we know")),
            None => Offload::None,
        },
    };
    let cp = row.note("dcp").and_then(|text| text.parse().ok()).unwrap_or(1);
    let pp = match () {
        () if offload == Offload::All => 1,
        () if llama => setup.devices.max(1),
        () => setup.pp,
    };
    Ok(Placement { pp, tp: setup.tp, cp, offload, ..Placement::ONE })
}

/// The stages of `layer:24,24,23,22`, or equal ones.
pub(super) fn stages(row: &Row<'_>, model: &Model, placement: Placement) -> Result<Vec<Stage>, String> {
    let layers = model.spec.layer_count();
    let first = match placement.offload {
        Offload::All => return Ok(Vec::new()),
        Offload::Layers(on_cpu) => on_cpu,
        Offload::None | Offload::Experts(_) => 0,
    };
    let counts: Vec<u32> = if let Some(list) = row.text("split").strip_prefix("layer:") {
        let count = |text: &str| text.parse().map_err(|_| format!("split `{list}` is not a list of layers"));
        list.split(',').map(count).collect::<Result<_, _>>()?
    } else {
        let (left, pp) = (layers - first, placement.pp);
        (0..pp).map(|stage| left / pp + u32::from(stage < left % pp)).collect()
    };
    let mut end = first;
    let stages = counts.into_iter().map(|count| {
        end += count;
        Stage { group: 0, layers: end - count..end.min(layers) }
    });
    Ok(stages.collect())
}
