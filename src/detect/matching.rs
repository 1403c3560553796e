//! From reported names to catalogue ids: a name that may mean several products is not guessed.

use crate::catalogue::hardware::{Accelerator, chip_bytes};
use crate::catalogue::names;
use crate::catalogue::store::{Catalogue, Entry, Kind, LookupError};
use crate::detect::probe::{Probe, ProbedGpu, ProbedPartition};
use crate::units::Bytes;
use std::sync::Arc;

/// How far a reported memory may be from a product's to still be that product.
const MEMORY_TOLERANCE: f64 = 0.08;

/// Equal devices together, in the order of the first of each. One address is one device, whichever
/// probes saw it; partitions are devices of their own.
pub(super) fn grouped(gpus: &[ProbedGpu]) -> Vec<(ProbedGpu, u32)> {
    let mut groups: Vec<(ProbedGpu, u32)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for gpu in gpus {
        if let Some(address) = gpu.address.as_deref() {
            if seen.contains(&address) {
                continue;
            }
            seen.push(address);
        }
        if gpu.partitions.is_empty() {
            add(&mut groups, gpu.clone());
        }
        for partition in &gpu.partitions {
            let whole = gpu.clone();
            add(
                &mut groups,
                ProbedGpu { partitions: vec![partition.clone()], used: partition.used, ..whole },
            );
        }
    }
    groups
}

fn add(groups: &mut Vec<(ProbedGpu, u32)>, gpu: ProbedGpu) {
    let profile = |gpu: &ProbedGpu| gpu.partitions.first().map(|part| (part.name.clone(), part.memory));
    let same = |other: &ProbedGpu| {
        other.name == gpu.name
            && other.memory == gpu.memory
            && other.partitioned == gpu.partitioned
            && profile(other) == profile(&gpu)
    };
    match groups.iter_mut().find(|(other, _)| same(other)) {
        Some((most_used, count)) => {
            *count += 1;
            // The fullest device decides what fits on all of them.
            most_used.used = most_used.used.max(gpu.used);
        }
        None => groups.push((gpu, 1)),
    }
}

/// The catalogue id of a device: by its name, and by its memory where the name means several.
pub(super) fn device_id(
    gpu: &ProbedGpu,
    probe: &Probe,
    catalogue: &Catalogue,
) -> Result<Option<String>, LookupError> {
    // An integrated AMD device is told by the processor around it.
    let integrated = gpu.vendor == "AMD" && probe.cpu.brand.to_lowercase().contains("ryzen ai max");
    let base = if integrated { short_brand(&probe.cpu.brand) } else { gpu.name.clone() };
    let name = match gpu.cores {
        Some(cores) => format!("{base} {cores}gpu"),
        None => base,
    };
    // Lists of PCI names put variants of one chip side by side: `RX 7900 XT/7900 XTX`.
    let variants: Vec<String> = name
        .split('/')
        .flat_map(|variant| names::candidates(catalogue, Kind::Accelerator, variant.trim()))
        .collect();
    if let [only] = variants.as_slice() {
        return Ok(Some(only.clone()));
    }
    let Some(reported) = gpu.memory.map(|bytes| Bytes::new(bytes as f64)) else { return Ok(None) };
    let mut fitting: Vec<String> = Vec::new();
    for id in variants {
        let sold = catalogue.accelerator(&id)?.value.memory.map(chip_bytes);
        let near = sold.is_some_and(|sold| (reported / sold - 1.0).abs() <= MEMORY_TOLERANCE);
        if near && !fitting.contains(&id) {
            fitting.push(id);
        }
    }
    // Of products of this memory, the one that differs from the name by its memory size only.
    let wanted = names::words(&name);
    let only_size = |id: &&String| {
        let words = names::words(id);
        words.starts_with(&wanted)
            && words[wanted.len()..].iter().all(|w| w == "gb" || w.bytes().all(|b| b.is_ascii_digit()))
    };
    let by_size: Vec<&String> = fitting.iter().filter(only_size).collect();
    Ok(match (by_size.as_slice(), fitting.as_slice()) {
        ([one], _) => Some((*one).clone()),
        ([], [one]) => Some(one.clone()),
        _ => None,
    })
}

/// A processor's name without what systems add: `AMD EPYC 9654 96-Core Processor`, `12th Gen …`,
/// `… CPU @ 2.00GHz`, `… w/ Radeon 8060S`.
fn short_brand(brand: &str) -> String {
    let cut = ["@", " w/ ", " with "].iter().filter_map(|mark| brand.find(mark)).min().unwrap_or(brand.len());
    let kept: Vec<&str> = brand[..cut]
        .split_whitespace()
        .filter(|word| !word.to_lowercase().ends_with("-core") && !word.ends_with("th") && *word != "Gen")
        .collect();
    kept.join(" ")
}

pub(super) fn cpu_id(brand: &str, catalogue: &Catalogue) -> Option<String> {
    let short = short_brand(brand);
    // A hypervisor's name for a whole generation is no product.
    let telling = names::words(&short).iter().any(|word| word.bytes().any(|b| b.is_ascii_digit()));
    if !telling {
        return None;
    }
    match names::candidates(catalogue, Kind::Cpu, &short).as_slice() {
        [id] => Some(id.clone()),
        _ => None,
    }
}

/// A partition as a device: compute by the sevenths its profile names (quarters on the A30), memory
/// bandwidth by the eighths its memory is of the whole (NVIDIA MIG user guide, instance profiles).
/// Links between devices do not reach partitions.
pub(super) fn partition(
    device: &Entry<Accelerator>,
    whole: Option<Bytes>,
    part: &ProbedPartition,
) -> Option<Entry<Accelerator>> {
    let profile = part.name.split_whitespace().find(|word| word.contains("g."))?;
    let slices: f64 = profile.split_once("g.")?.0.parse().ok()?;
    let of = if device.id.starts_with("a30") { 4.0 } else { 7.0 };
    let memory = Bytes::new(part.memory? as f64);
    let whole = whole.or_else(|| device.value.memory.map(chip_bytes))?;
    let (compute, share) = ((slices / of).min(1.0), ((memory / whole * 8.0).round() / 8.0).clamp(0.125, 1.0));
    let mut value = (*device.value).clone();
    value.name = format!("{} MIG {profile}", value.name);
    value.memory = Some(memory);
    value.usable = None;
    value.bandwidth = value.bandwidth * share;
    value.link = None;
    let rates = &mut value.rates;
    for rate in [
        &mut rates.fp32,
        &mut rates.tf32,
        &mut rates.fp16,
        &mut rates.fp16_acc16,
        &mut rates.bf16,
        &mut rates.fp8,
        &mut rates.fp4,
        &mut rates.int8,
    ] {
        *rate = rate.map(|rate| rate * compute);
    }
    Some(Entry { id: device.id.clone(), value: Arc::new(value), layer: device.layer.clone() })
}
