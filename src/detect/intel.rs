//! Intel devices through the kernel's exports of the xe and i915 drivers.

use crate::detect::pci::{self, PciDevice};
use crate::detect::probe::ProbedGpu;
use crate::detect::source::Source;

pub(super) fn gpus(source: &mut Source) -> Vec<ProbedGpu> {
    let of_intel: Vec<PciDevice> =
        pci::devices(source).into_iter().filter(|device| device.vendor == "8086" && device.display).collect();
    // The functions beside the first are shares of the same device for virtual machines.
    let shared = |device: &&PciDevice| {
        let slot = device.address.trim_end_matches(|c: char| c != '.');
        let first = format!("{slot}0");
        device.address == first || of_intel.iter().all(|other| other.address != first)
    };
    of_intel.iter().filter(shared).map(|device| gpu(source, device)).collect()
}

fn gpu(source: &mut Source, device: &PciDevice) -> ProbedGpu {
    let folder = device.folder();
    // The graphics of the processor have this address on every Intel platform.
    let integrated = device.address.ends_with(":00:02.0");
    let (memory, probe) = memory(source, &folder);
    let name = pci::name(source, device).unwrap_or_else(|| format!("Intel device 0x{}", device.device));
    if memory.is_none() && !integrated {
        source.note(format!("{name}: the kernel driver does not report the memory"));
    }
    // The chip sits behind a bridge of its card and does not know the link to the host.
    ProbedGpu {
        name,
        vendor: "Intel".to_owned(),
        address: Some(device.address.clone()),
        pci_id: Some(format!("8086:{}", device.device)),
        probe,
        memory,
        integrated,
        ..ProbedGpu::default()
    }
}

/// Own memory: of all tiles under xe, local memory under i915.
fn memory(source: &mut Source, folder: &str) -> (Option<u64>, String) {
    let tiles: Vec<String> =
        source.names(folder).into_iter().filter(|name| name.starts_with("tile")).collect();
    let of_tiles: Vec<u64> = tiles
        .iter()
        .filter_map(|tile| {
            let text = source.read(&format!("{folder}/{tile}/physical_vram_size_bytes"))?;
            let digits = text.trim_start_matches("0x");
            if digits.len() < text.len() { u64::from_str_radix(digits, 16).ok() } else { text.parse().ok() }
        })
        .collect();
    if !of_tiles.is_empty() {
        return (Some(of_tiles.iter().sum()), "xe exports".to_owned());
    }
    let cards = source.names(&format!("{folder}/drm"));
    let local = cards.iter().find_map(|card| source.number(&format!("{folder}/drm/{card}/lmem_total_bytes")));
    (local.filter(|bytes| *bytes > 0), "i915 exports".to_owned())
}
