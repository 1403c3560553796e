//! What was read beside what was concluded, as text for a bug report.

use crate::detect::probe::{Probe, ProbedGpu};
use crate::detect::profile::Profile;
use crate::detect::readings::Readings;
use crate::units::Bytes;
use std::fmt::Write as _;

/// The conclusions with what each rests on, then every reading. Nothing in it names the machine, its
/// user or its owner: such things are not read.
pub fn explain(profile: &Profile, probe: &Probe, readings: &Readings) -> String {
    let mut text = format!("# plan detect --explain, version {}\n", env!("CARGO_PKG_VERSION"));
    if !probe.recorded.is_empty() {
        let _ = writeln!(text, "# {}", probe.recorded);
    }
    let _ = write!(text, "\n## Concluded\n\n{} on {}", probe.os, probe.arch);
    for layer in &probe.environment {
        let _ = write!(text, ", {layer}");
    }
    text.push('\n');
    devices(&mut text, profile, probe);
    host(&mut text, profile, probe);
    if !profile.machine.assumptions.is_empty() {
        text.push_str("\n## Assumed or left out\n\n");
        for sentence in &profile.machine.assumptions {
            let _ = writeln!(text, "- {sentence}");
        }
    }
    let _ = write!(text, "\n## Read\n\n{}", readings.to_text());
    text
}

fn devices(text: &mut String, profile: &Profile, probe: &Probe) {
    for found in &profile.matches {
        let id = found.id.as_deref().unwrap_or("not in the catalogue, or several products");
        let _ = writeln!(text, "{} x `{}` -> {id}", found.count, found.reported);
    }
    for gpu in &probe.gpus {
        device(text, gpu);
    }
    for (_, group) in profile.machine.groups() {
        let _ = writeln!(text, "{} x {} is planned with", group.count, group.id);
        let _ = writeln!(text, "  memory {}  ({})", group.memory.value, group.memory.origin);
        let _ = writeln!(text, "  bandwidth {}  ({})", group.bandwidth.value, group.bandwidth.origin);
        let _ = writeln!(text, "  joined {}  ({})", group.topology.value, group.topology.origin);
        let _ = writeln!(text, "  host link {}  ({})", group.host_link.value, group.host_link.origin);
    }
}

fn device(text: &mut String, gpu: &ProbedGpu) {
    let bytes = |bytes: Option<u64>| {
        bytes.map_or_else(|| "unknown".to_owned(), |bytes| Bytes::new(bytes as f64).to_string())
    };
    let count = |count: Option<u32>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let address = gpu.address.as_deref().unwrap_or("no address");
    let pci_id = gpu.pci_id.as_deref().unwrap_or("no id");
    let _ = writeln!(text, "device {address} {pci_id} `{}` by {}", gpu.name, gpu.probe);
    let _ = writeln!(
        text,
        "  memory {}, in use {}, reserved {}, of the system {}",
        bytes(gpu.memory),
        bytes(gpu.used),
        bytes(gpu.reserved),
        bytes(gpu.shared)
    );
    let _ = writeln!(
        text,
        "  PCIe {} x{} now, {} x{} at most; {} scale-up link(s){}",
        count(gpu.pcie_gen_now),
        count(gpu.pcie_lanes_now),
        count(gpu.pcie_gen),
        count(gpu.pcie_lanes),
        count(gpu.scale_up_links),
        if gpu.peers.is_empty() { String::new() } else { format!(" to {}", gpu.peers.join(" ")) }
    );
    if let Some(watts) = gpu.power_limit_w {
        let _ = writeln!(text, "  power limit {watts:.0} W");
    }
    for part in &gpu.partitions {
        let _ = writeln!(text, "  partition `{}` memory {}", part.name, bytes(part.memory));
    }
}

fn host(text: &mut String, profile: &Profile, probe: &Probe) {
    let host = profile.machine.host();
    let (cpu, ram) = (&probe.cpu, &probe.ram);
    let unknown = |count: Option<u32>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let isa = if cpu.isa.is_empty() { "unknown".to_owned() } else { cpu.isa.join(" ") };
    let _ = writeln!(
        text,
        "processor: {} socket(s), {} core(s), {} thread(s) this program may use; instruction sets {isa}",
        unknown(cpu.sockets),
        unknown(cpu.cores),
        cpu.threads
    );
    for cache in &cpu.caches {
        let size = Bytes::new(cache.bytes as f64);
        let kind = cache.kind.to_lowercase();
        let _ = writeln!(
            text,
            "  cache of level {} ({kind}): {size}, shared by {} thread(s)",
            cache.level, cache.threads
        );
    }
    for (index, node) in cpu.numa.iter().enumerate() {
        let memory = Bytes::new(node.memory as f64);
        let _ = writeln!(text, "  NUMA node {index}: {} thread(s), {memory}", node.threads);
    }
    let _ = writeln!(text, "memory: {}  ({}), in use {}", host.ram.value, host.ram.origin, host.in_use.value);
    if let Some(limit) = ram.limit {
        let limit = Bytes::new(limit as f64);
        let _ = writeln!(text, "  limit of the control group {limit} of {}", Bytes::new(ram.total as f64));
    }
    if ram.modules.is_empty() {
        text.push_str(
            "  modules: unknown; firmware tables need rights, and neither udev nor EDAC lists them\n",
        );
    }
    for module in &ram.modules {
        let speed = module.mt_s.map_or_else(|| "speed unknown".to_owned(), |mt_s| format!("{mt_s} MT/s"));
        let kind = if module.kind.is_empty() { "type unknown" } else { &module.kind };
        let size = Bytes::new(module.size as f64);
        let _ = writeln!(text, "  module {size} {kind} {speed} `{}` `{}`", module.locator, module.bank);
    }
    let _ = writeln!(text, "memory bandwidth: {}  ({})", host.bandwidth.value, host.bandwidth.origin);
    for disk in &probe.disks {
        let size = |bytes: Option<u64>| {
            bytes.map_or_else(|| "unknown".to_owned(), |bytes| Bytes::new(bytes as f64).to_string())
        };
        let here = match (&disk.file_system, disk.free) {
            (Some(file_system), Some(free)) => {
                format!(", holds the current folder ({file_system}, {} free)", Bytes::new(free as f64))
            }
            _ => String::new(),
        };
        let model = disk.model.as_deref().map_or_else(String::new, |model| format!(" `{model}`"));
        let _ = writeln!(text, "disk {} ({}){model}: {}{here}", disk.device, disk.kind, size(disk.size));
    }
    if let Some(read) = &host.disk {
        let _ = writeln!(text, "disk read: {}  ({})", read.value, read.origin);
    }
    for port in &probe.ports {
        let state = if port.active { "up" } else { "down" };
        let _ = writeln!(text, "port {} ({}): {} Gb/s, {state}", port.name, port.kind, port.gbit);
    }
}
