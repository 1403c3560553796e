//! From what a machine said to what it is. Pure: the same probe and catalogue give the same machine.

use crate::catalogue::assemble::{Assembler, GroupSays, HostClass, HostSays, channel_rate};
use crate::catalogue::decode::Count;
use crate::catalogue::hardware::{Accelerator, Cpu, Machine, MachinePrice, Node, Topology, chip_bytes};
use crate::catalogue::names;
use crate::catalogue::store::{Catalogue, Entry, Kind, LookupError};
use crate::detect::modules::channels;
use crate::detect::probe::{Probe, ProbedGpu};
use crate::fact::{Fact, Origin};
use crate::units::{Bandwidth, Bytes};

/// How far a reported memory may be from a product's to still be that product.
const MEMORY_TOLERANCE: f64 = 0.08;

/// What a reported name was taken for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Match {
    /// The name the system or driver gave.
    pub reported: String,
    /// How many.
    pub count: u32,
    /// The catalogue id, if one is meant without doubt.
    pub id: Option<String>,
}

/// A detected machine, with what each name was taken for.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The machine.
    pub machine: Machine,
    /// Processor and devices as reported, with their catalogue ids.
    pub matches: Vec<Match>,
}

/// The machine a probe describes. Devices the catalogue does not know are left out and said so:
/// a wrong device would be worse than none.
///
/// # Errors
/// When catalogue text does not read.
pub fn profile(probe: &Probe, catalogue: &Catalogue) -> Result<Profile, LookupError> {
    let mut assembler = Assembler::new(catalogue)?;
    for note in &probe.notes {
        assembler.note(note.clone());
    }
    let cpu_id = cpu_id(&probe.cpu.brand, catalogue);
    let cpu = cpu_id.as_deref().map(|id| catalogue.cpu(id)).transpose()?;
    let mut matches =
        vec![Match { reported: probe.cpu.brand.clone(), count: probe.cpu.sockets.unwrap_or(1), id: cpu_id }];
    let mut devices: Vec<(Entry<Accelerator>, u32, ProbedGpu)> = Vec::new();
    for (gpu, count) in grouped(&probe.gpus) {
        let id = device_id(&gpu, probe, catalogue)?;
        match &id {
            Some(id) => devices.push((catalogue.accelerator(id)?, count, gpu.clone())),
            None => assembler.note(format!(
                "`{}` is not in the catalogue, or means several products, and is left out; describe it in a rig file",
                gpu.name
            )),
        }
        matches.push(Match { reported: gpu.name.clone(), count, id });
    }
    let total: u32 = devices.iter().map(|(_, count, _)| count).sum();
    let first = devices.first().map(|(device, ..)| device.clone());
    let class = first.as_ref().map_or(HostClass::Workstation, |d| HostClass::of(&d.id, &d.value, total));
    let says = host_says(probe, cpu, first.as_ref(), &mut assembler);
    let host = assembler.host(class, first.as_ref(), says);
    let cpu = host.cpu_id.as_deref().and_then(|id| catalogue.cpu(id).ok());
    let mut groups = Vec::new();
    for (device, count, gpu) in &devices {
        let says = group_says(gpu, device, *count, probe, &mut assembler);
        match assembler.group(device, *count, cpu.as_ref().map(|cpu| &*cpu.value), says) {
            Some(group) => groups.push(group),
            None => assembler.note(format!("the memory of `{}` is not known, so it is left out", gpu.name)),
        }
    }
    let node = Node { count: 1, devices: groups, host };
    let machine = assembler.finish("this machine".to_owned(), vec![node], None, MachinePrice::default())?;
    Ok(Profile { machine, matches })
}

/// Equal devices together, in the order of the first of each.
fn grouped(gpus: &[ProbedGpu]) -> Vec<(ProbedGpu, u32)> {
    let mut groups: Vec<(ProbedGpu, u32)> = Vec::new();
    for gpu in gpus {
        let same = |other: &ProbedGpu| {
            other.name == gpu.name && other.memory == gpu.memory && other.partitioned == gpu.partitioned
        };
        match groups.iter_mut().find(|(other, _)| same(other)) {
            Some((most_used, count)) => {
                *count += 1;
                // The fullest device decides what fits on all of them.
                most_used.used = most_used.used.max(gpu.used);
            }
            None => groups.push((gpu.clone(), 1)),
        }
    }
    groups
}

/// The catalogue id of a device: by its name, and by its memory where the name means several.
fn device_id(gpu: &ProbedGpu, probe: &Probe, catalogue: &Catalogue) -> Result<Option<String>, LookupError> {
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

fn cpu_id(brand: &str, catalogue: &Catalogue) -> Option<String> {
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

fn detected<T>(value: T, what: &str) -> Fact<T> {
    Fact::new(value, Origin::Detected(what.to_owned()))
}

fn host_says(
    probe: &Probe,
    cpu: Option<Entry<Cpu>>,
    device: Option<&Entry<Accelerator>>,
    assembler: &mut Assembler<'_>,
) -> HostSays {
    let total = probe.ram.limit.unwrap_or(probe.ram.total).min(probe.ram.total);
    let virtual_machine = probe.system_vendor.as_deref().is_some_and(is_hypervisor);
    let unified = device.is_some_and(|device| device.value.is_unified());
    let bandwidth =
        if unified { None } else { ram_bandwidth(probe, cpu.as_ref().map(|cpu| &*cpu.value), assembler) };
    if cpu.is_none() && !unified {
        assembler.note(format!("the processor `{}` is not in the catalogue", probe.cpu.brand));
    }
    if virtual_machine {
        assembler.note(
            "this is a virtual machine: cores may be shared, and links and memory modules cannot be read",
        );
    }
    let of_ram = if probe.ram.limit.is_some() { "limit of the container" } else { "memory of the system" };
    HostSays {
        cpu,
        cpu_name: Some(detected(probe.cpu.brand.clone(), "name of the processor")),
        cores: Some(detected(cores(probe), "cores of the processor")),
        sockets: Some(sockets(probe)),
        clock_ghz: None,
        isa: probe.cpu.isa.clone(),
        // A total of zero is a question the system did not answer.
        ram: (total > 0).then(|| detected(Bytes::new(total as f64), of_ram)),
        in_use: (total > 0).then(|| detected(Bytes::new(probe.ram.used.min(total) as f64), "memory in use")),
        bandwidth,
        disk: None,
        disk_free: None,
    }
}

/// Populated channels and their speed, as the modules tell. A hypervisor's modules are made up.
fn populated_channels(probe: &Probe, cpu: Option<&Cpu>) -> Option<(u64, u64)> {
    if probe.system_vendor.as_deref().is_some_and(is_hypervisor) {
        return None;
    }
    let (channels, mt_s) = channels(&probe.ram.modules)?;
    let wired = cpu.and_then(|cpu| cpu.channels).map(|channels| channels.get() * u64::from(sockets(probe)));
    Some((channels.min(wired.unwrap_or(u64::MAX)), mt_s))
}

fn sockets(probe: &Probe) -> u32 {
    probe.cpu.sockets.unwrap_or(1).max(1)
}

/// Physical cores; half the threads where the system does not count them.
fn cores(probe: &Probe) -> u32 {
    probe.cpu.cores.unwrap_or_else(|| probe.cpu.threads.div_ceil(2)).max(1)
}

/// Memory bandwidth of all sockets: of the modules, else of a fully populated board.
fn ram_bandwidth(probe: &Probe, cpu: Option<&Cpu>, assembler: &mut Assembler<'_>) -> Option<Fact<Bandwidth>> {
    if let Some((channels, mt_s)) = populated_channels(probe, cpu) {
        let what = format!("{channels} populated channels at {mt_s} MT/s");
        return Some(detected(channel_rate(channels, mt_s), &what));
    }
    let cpu = cpu?;
    let name = &cpu.name;
    let (seen, of_sockets) = (cores(probe), cpu.cores.map_or(0, Count::get) * u64::from(sockets(probe)));
    // A guest with some of the cores gets no more than their share of the channels.
    let share = if of_sockets == 0 { 1.0 } else { (f64::from(seen) / of_sockets as f64).min(1.0) };
    let rate = cpu.bandwidth? * f64::from(sockets(probe)) * share;
    let sentence = if share < 1.0 {
        format!(
            "{seen} of {of_sockets} cores of {name} are seen: their share of the memory channels, {rate}, is assumed"
        )
    } else {
        format!(
            "every memory channel of {name} is assumed to be populated at its rated speed, {rate}: the modules \
             cannot be read"
        )
    };
    Some(assembler.assume(rate, sentence))
}

/// Firmware makers that are hypervisors or clouds.
fn is_hypervisor(vendor: &str) -> bool {
    ["QEMU", "VMware", "Amazon EC2", "Google", "Microsoft", "Xen", "innotek", "OpenStack", "KVM"]
        .iter()
        .any(|name| vendor.contains(name))
}

fn group_says(
    gpu: &ProbedGpu,
    device: &Entry<Accelerator>,
    count: u32,
    probe: &Probe,
    assembler: &mut Assembler<'_>,
) -> GroupSays {
    let unified = device.value.is_unified();
    let left = |total: u64| Bytes::new(total.saturating_sub(gpu.reserved.unwrap_or(0)) as f64);
    let own =
        gpu.memory.map(|total| detected(left(total), "memory the driver reports, less what it reserves"));
    let memory = if device.value.vendor == "AMD" && unified {
        // The firmware's carve-out and what the kernel may map besides it are one pool.
        gpu.memory.zip(gpu.shared).map(|(own, shared)| {
            detected(Bytes::new((own + shared) as f64), "carve-out and mappable memory of the kernel driver")
        })
    } else {
        own
    };
    let memory = memory.or_else(|| {
        if !unified {
            return None;
        }
        let ram = Bytes::new(probe.ram.limit.unwrap_or(probe.ram.total) as f64);
        if device.value.vendor == "NVIDIA" {
            return Some(detected(ram, "memory of the system, which the device shares"));
        }
        // The installed size: the operating system keeps a little back before it counts.
        Some(Fact::new(
            Bytes::gib(ram.in_gib().ceil()),
            Origin::Derived("memory of the system, rounded up".to_owned()),
        ))
    });
    if gpu.partitioned {
        assembler.note(format!("`{}` is partitioned (MIG): the figures are of the whole device", gpu.name));
    }
    if let (Some(limit), Some(tdp)) = (gpu.power_limit_w, device.value.tdp_w)
        && limit < tdp * 0.95
    {
        assembler.note(format!(
            "`{}` is limited to {limit:.0} of {tdp:.0} W: prefill will be slower than planned",
            gpu.name
        ));
    }
    let linked = gpu.scale_up_links.is_some_and(|links| links > 0) && count > 1;
    let topology = linked.then(|| {
        let kind = if device.value.has_fabric() { Topology::Switched } else { Topology::Bridged };
        detected(kind, "active scale-up links")
    });
    let host_link = gpu.pcie_gen.zip(gpu.pcie_lanes).filter(|_| !unified).and_then(|(generation, lanes)| {
        let link = assembler.catalogue.link(&format!("pcie{generation}-x{lanes}")).ok()?;
        Some(detected(link.value.one_way?, "highest PCIe link of the device"))
    });
    let in_use = gpu.used.filter(|_| !unified).map(|bytes| Bytes::new(bytes as f64));
    GroupSays { memory, in_use, bandwidth: None, topology, host_link, price: None }
}
