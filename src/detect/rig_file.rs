//! A detected machine as a rig file: every figure with where it came from, and what could not be
//! found as a line to fill in.

use crate::catalogue::assemble::channel_rate;
use crate::catalogue::hardware::{Accelerator, DeviceGroup};
use crate::detect::matching::grouped;
use crate::detect::modules::channels;
use crate::detect::probe::{Probe, ProbedGpu};
use crate::detect::profile::Profile;
use crate::fact::{Fact, Origin};
use crate::units::{Bandwidth, Bytes};
use std::fmt::Write as _;

/// Column of the comments.
const COMMENT: usize = 44;

/// Lines of a file, each with the origin of what it says.
struct Lines(String);

impl Lines {
    fn says(&mut self, key: &str, value: &str, from: impl std::fmt::Display) {
        let line = format!("{key:9} = {value}");
        let _ = writeln!(self.0, "{line:COMMENT$}# {from}");
    }

    /// A line to fill in.
    fn asks(&mut self, key: &str, example: &str, why: impl std::fmt::Display) {
        let line = format!("# {key} = {example}");
        let _ = writeln!(self.0, "{line:COMMENT$}# {why}");
    }

    fn title(&mut self, text: &str) {
        let _ = write!(self.0, "\n{text}\n");
    }
}

/// A size a reader takes as reported: a whole number of GiB would be read as the size a product is
/// sold with, of which drivers keep a part.
fn reported(bytes: Bytes) -> String {
    let mib = bytes.get() / 1_048_576.0;
    let gib = mib / 1024.0;
    if (gib - gib.round()).abs() < 1e-6 { format!("\"{:.1} MiB\"", mib - 0.1) } else { mebibytes(bytes) }
}

fn mebibytes(bytes: Bytes) -> String {
    format!("\"{:.0} MiB\"", bytes.get() / 1_048_576.0)
}

fn rate(rate: Bandwidth) -> String {
    format!("\"{:.3} GB/s\"", rate.in_gb_s())
}

/// The detected machine as a rig file a person may correct.
pub fn rig_toml(profile: &Profile, probe: &Probe) -> String {
    let mut lines = Lines(
        "# Written by `plan detect`; correct what is wrong and fill in what is missing.\n\
         # After each figure: where it came from.\n"
            .to_owned(),
    );
    lines.0.push_str("name = \"this machine\"\n");
    let active: Vec<_> = probe.ports.iter().filter(|port| port.active).collect();
    match active.iter().max_by(|a, b| a.gbit.total_cmp(&b.gbit)) {
        Some(port) => lines.asks(
            "network",
            &format!("\"{} Gb/s\"", port.gbit),
            format_args!(
                "{} {}, {} port(s) up; used with `count`, the number of such nodes",
                port.kind,
                port.name,
                active.len()
            ),
        ),
        None => lines.asks("network", "\"ib-ndr\"", "no port that is up was found"),
    }
    let gpus: Vec<(ProbedGpu, u32)> = grouped(&probe.gpus);
    let mut groups = profile.machine.groups().map(|(_, group)| group);
    for (found, (gpu, _)) in profile.matches.iter().skip(1).zip(&gpus) {
        if found.id.is_none() {
            let why = if gpu.integrated { "part of the processor" } else { "not in the catalogue" };
            let _ = write!(lines.0, "\n# {why}: {} x {}\n", found.count, found.reported);
            continue;
        }
        if let Some(group) = groups.next() {
            lines.title("[[accelerator]]");
            device(&mut lines, group, gpu, &found.reported);
        }
    }
    host(&mut lines, profile, probe);
    lines.title("[price]");
    lines.asks("purchase", "0", "US dollars of the whole machine; not known");
    lines.asks("power_per_kwh", "0.15", "US dollars; not known");
    lines.0
}

fn device(lines: &mut Lines, group: &DeviceGroup, gpu: &ProbedGpu, reported_as: &str) {
    let at = gpu.address.as_deref().map_or_else(String::new, |address| format!(" at {address}"));
    lines.says("id", &format!("\"{}\"", group.id), format_args!("{reported_as}{at}, seen by {}", gpu.probe));
    lines.says("count", &group.count.to_string(), "devices of this name and memory");
    if matches!(group.memory.origin, Origin::Catalogue(_)) {
        lines.asks("memory", &reported(group.memory.value), "not reported; the catalogue's figure is used");
    } else {
        lines.says("memory", &reported(group.memory.value), &group.memory.origin);
    }
    if group.in_use > Bytes::ZERO {
        lines.says("in_use", &mebibytes(group.in_use), format_args!("detected: by {}", gpu.probe));
    }
    if matches!(group.topology.origin, Origin::Detected(_)) {
        let topology = format!("\"{}\"", group.topology.value);
        lines.says("topology", &topology, &group.topology.origin);
    } else if group.count > 1 {
        lines.asks("topology", &format!("\"{}\"", group.topology.value), &group.topology.origin);
    }
    if matches!(group.host_link.origin, Origin::Detected(_)) {
        lines.says("host_link", &rate(group.host_link.value), &group.host_link.origin);
    } else if !group.accelerator.is_unified() {
        lines.asks("host_link", "\"pcie4-x16\"", "not reported; follows from device and processor");
    }
    if needs_description(group, gpu) {
        description(lines, &group.accelerator, group.memory.value);
    } else {
        let of_catalogue = format!("catalogue: {}; write what you measure", group.bandwidth.value);
        lines.asks("bandwidth", "\"… GB/s\"", of_catalogue);
    }
}

/// Whether the catalogue's entry does not describe the device: a partition, or a card with more
/// memory than the product is sold with.
fn needs_description(group: &DeviceGroup, gpu: &ProbedGpu) -> bool {
    let sold = group.accelerator.memory;
    !gpu.partitions.is_empty() || sold.is_some_and(|sold| group.memory.value > sold * 1.08)
}

fn description(lines: &mut Lines, device: &Accelerator, memory: Bytes) {
    let rates = &device.rates;
    let named = [
        ("fp32", rates.fp32),
        ("tf32", rates.tf32),
        ("fp16", rates.fp16),
        ("fp16_acc16", rates.fp16_acc16),
        ("bf16", rates.bf16),
        ("fp8", rates.fp8),
        ("fp4", rates.fp4),
        ("int8", rates.int8),
    ];
    let known: Vec<String> =
        named.iter().filter_map(|(name, rate)| Some(format!("{name} = {:.3}", (*rate)?))).collect();
    let spec = format!(
        "{{ name = \"{}\", vendor = \"{}\", arch = \"{}\", memory = {}, bandwidth = {}, rates = {{ {} }}, source = \"detected\" }}",
        device.name,
        device.vendor,
        device.arch,
        reported(memory),
        rate(device.bandwidth),
        known.join(", ")
    );
    lines.says("spec", &spec, "derived: the catalogue's device with this memory, compute and bandwidth");
}

fn host(lines: &mut Lines, profile: &Profile, probe: &Probe) {
    let host = profile.machine.host();
    lines.title("[cpu]");
    match &host.cpu_id {
        Some(id) => lines.says("id", &format!("\"{id}\""), format_args!("`{}`", probe.cpu.brand)),
        None => lines.says("name", &format!("{:?}", host.cpu_name.value), "not in the catalogue"),
    }
    let sockets = if probe.cpu.sockets.is_some() { "detected: package ids of the kernel" } else { "assumed" };
    lines.says("sockets", &host.sockets.to_string(), sockets);
    lines.says("cores", &host.cores.value.to_string(), &host.cores.origin);
    if !probe.cpu.isa.is_empty() {
        lines.says("isa", &format!("{:?}", probe.cpu.isa), "detected: flags of the processor");
    }
    lines.asks(
        "clock_ghz",
        &format!("{:.2}", host.clock_ghz.value),
        format_args!("clock with all cores busy, not readable; {}", host.clock_ghz.origin),
    );
    lines.title("[ram]");
    lines.says("size", &mebibytes(host.ram.value), &host.ram.origin);
    lines.says("in_use", &mebibytes(host.in_use.value), &host.in_use.origin);
    match &host.bandwidth.origin {
        Origin::Measured(how) => {
            lines.says("bandwidth", &rate(host.bandwidth.value), format_args!("measured: {how}"));
            lines.says("measured", &dated(how), "date of the measurement");
        }
        Origin::Detected(_) => {
            if let Some((_, Some(mt_s))) = channels(&probe.ram.modules) {
                // As many channels as the profile counted, which the processor bounds.
                let counted = host.bandwidth.value / channel_rate(1, mt_s);
                lines.says("channels", &format!("{counted:.0}"), "detected: populated memory modules");
                lines.says("mt_s", &mt_s.to_string(), "detected: speed the modules run at");
            }
        }
        origin => {
            lines.asks("channels", "2", "populated channels of all sockets, not readable");
            lines.asks("mt_s", "4800", "speed of one module, not readable");
            lines.asks("bandwidth", &rate(host.bandwidth.value), origin);
        }
    }
    lines.title("[disk]");
    disk(lines, host.disk.as_ref(), probe);
    if let Some(free) = host.disk_free {
        lines.says(
            "free",
            &format!("\"{:.1} GB\"", free.get() / 1e9),
            "detected: of the current folder's file system",
        );
    }
    if let Some(vendor) = &probe.system_vendor {
        let _ = write!(lines.0, "\n# firmware: {vendor}\n");
    }
}

fn disk(lines: &mut Lines, read: Option<&Fact<Bandwidth>>, probe: &Probe) {
    let kind =
        probe.disks.iter().find(|disk| disk.free.is_some()).map_or("unknown", |disk| disk.kind.as_str());
    match read {
        Some(Fact { value, origin: Origin::Measured(how) }) => {
            lines.says("read", &rate(*value), format_args!("measured: {how}"));
            lines.says("measured", &dated(how), "date of the measurement");
        }
        Some(fact) => lines.says("read", &rate(fact.value), format_args!("{} ({kind})", fact.origin)),
        None => lines.asks(
            "read",
            "\"3 GB/s\"",
            format_args!("not known of a disk of kind {kind}; --measure measures it"),
        ),
    }
}

/// The date a measurement begins with, as a text.
fn dated(how: &str) -> String {
    format!("\"{}\"", how.split([',', ' ']).next().unwrap_or_default())
}
