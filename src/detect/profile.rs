//! From what a machine said to what it is. Pure: the same probe and catalogue give the same machine.

use crate::catalogue::assemble::{Assembler, GroupSays, HostClass, HostSays, channel_rate};
use crate::catalogue::decode::Count;
use crate::catalogue::hardware::{Accelerator, Cpu, Machine, MachinePrice, Node, Topology};
use crate::catalogue::store::{Catalogue, Entry, LookupError};
use crate::detect::matching::{cpu_id, device_id, grouped, partition};
use crate::detect::modules::channels;
use crate::detect::probe::{Probe, ProbedDisk, ProbedGpu};
use crate::fact::{Fact, Origin};
use crate::units::{Bandwidth, Bytes};

/// The processor of superchips.
const GRACE: &str = "nvidia-grace";

/// Whether a device sits on a module with its processor.
fn is_superchip(id: &str) -> bool {
    ["gh200", "gb200", "gb300"].iter().any(|name| id.starts_with(name))
}

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
            Some(id) => devices.push((part_of(&gpu, catalogue.accelerator(id)?), count, gpu.clone())),
            None if gpu.integrated => assembler.note(format!(
                "`{}` is part of the processor and shares its memory: it is left out, the processor is planned",
                gpu.name
            )),
            None => assembler.note(format!(
                "`{}` is not in the catalogue, or means several products, and is left out; describe it in a rig file",
                gpu.name
            )),
        }
        let part = gpu.partitions.first().map(|part| part.name.clone()).filter(|name| !name.is_empty());
        matches.push(Match { reported: part.unwrap_or(gpu.name), count, id });
    }
    // The cores of Grace are named after their design.
    let superchip = devices.iter().any(|(device, ..)| is_superchip(&device.id));
    let cpu = match cpu {
        None if superchip && probe.cpu.brand.contains("Neoverse-V2") => {
            matches[0].id = Some(GRACE.to_owned());
            Some(catalogue.cpu(GRACE)?)
        }
        known => known,
    };
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

/// The device, or the partition of it this program may use.
fn part_of(gpu: &ProbedGpu, device: Entry<Accelerator>) -> Entry<Accelerator> {
    let whole = gpu.memory.map(|bytes| Bytes::new(bytes as f64));
    gpu.partitions.first().and_then(|part| partition(&device, whole, part)).unwrap_or(device)
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
    let total = probe.ram.limit.unwrap_or(u64::MAX).min(own_memory(probe));
    let virtual_machine = is_virtual(probe);
    let apart = probe.ram.total.saturating_sub(own_memory(probe));
    if apart > 0 {
        assembler.note(format!(
            "{} of memory stand on NUMA nodes without processors (memory of a device, or on an expansion card): they \
             are not counted as memory of the host",
            Bytes::new(apart as f64)
        ));
    }
    environment_notes(probe, assembler);
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
        disk: probe.disks.iter().find(|disk| disk.free.is_some()).and_then(|disk| disk_read(disk, assembler)),
        disk_free: probe.disks.iter().find_map(|disk| disk.free).map(|free| Bytes::new(free as f64)),
    }
}

/// Memory of the system that stands beside processors. Where the driver shows the memory of a device
/// to the kernel, as on GH200, the total counts it too.
fn own_memory(probe: &Probe) -> u64 {
    let apart: u64 = probe.cpu.numa.iter().filter(|node| node.threads == 0).map(|node| node.memory).sum();
    probe.ram.total.saturating_sub(apart)
}

/// What a reader should know of the layers between this program and the hardware.
fn environment_notes(probe: &Probe, assembler: &mut Assembler<'_>) {
    for layer in &probe.environment {
        match layer.as_str() {
            "WSL" => assembler.note(
                "this is WSL: it sees the part of the memory that Windows gives it, and not what Windows programs hold",
            ),
            "virtual machine" => {}
            container => assembler.note(format!(
                "this is a {container}: devices it was not given cannot be seen"
            )),
        }
    }
    if probe.cpu.numa.iter().filter(|node| node.threads > 0).count() > sockets(probe) as usize {
        assembler.note(
            "a socket is split into several NUMA nodes: bind the threads and spread the memory over them",
        );
    }
}

/// What the disk's link carries; `None` for disks whose kind promises nothing.
fn disk_read(disk: &ProbedDisk, assembler: &mut Assembler<'_>) -> Option<Fact<Bandwidth>> {
    let (id, lanes) = match (disk.kind.as_str(), disk.pcie_gen) {
        ("nvme", Some(generation)) => (format!("nvme-gen{generation}"), disk.pcie_lanes.unwrap_or(4)),
        ("ssd", _) => ("sata3-ssd".to_owned(), 4),
        _ => return None,
    };
    let link = assembler.catalogue.link(&id).ok()?;
    let rate = link.value.one_way? * (f64::from(lanes.min(4)) / 4.0);
    let sentence = format!(
        "the disk is assumed to read as fast as its link, {rate}; `plan detect --measure` measures it"
    );
    Some(assembler.assume(rate, sentence))
}

/// Whether a hypervisor stands below, as firmware, processor or kernel say.
fn is_virtual(probe: &Probe) -> bool {
    let layers = ["virtual machine", "WSL"];
    probe.system_vendor.as_deref().is_some_and(is_hypervisor)
        || probe.environment.iter().any(|layer| layers.contains(&layer.as_str()))
}

/// Populated channels and their speed, as the modules tell. A hypervisor's modules are made up.
fn populated_channels(probe: &Probe, cpu: Option<&Cpu>) -> Option<(u64, Option<u64>)> {
    if is_virtual(probe) {
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
    match populated_channels(probe, cpu) {
        Some((channels, Some(mt_s))) => {
            let what = format!("{channels} populated channels at {mt_s} MT/s");
            return Some(detected(channel_rate(channels, mt_s), &what));
        }
        Some((channels, None)) => {
            let rated = cpu.and_then(|cpu| cpu.memory_mt_s).map(Count::get);
            if let Some(mt_s) = rated {
                let sentence = format!(
                    "the speed of the memory modules cannot be read: the {channels} populated channels are assumed to \
                     run at the {mt_s} MT/s the processor is rated for"
                );
                return Some(assembler.assume(channel_rate(channels, mt_s), sentence));
            }
        }
        None => {}
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
    let of_part = gpu.partitions.first().and_then(|part| part.memory);
    let own = match of_part {
        Some(bytes) => Some(detected(Bytes::new(bytes as f64), "memory of the partition")),
        None => {
            gpu.memory.map(|total| detected(left(total), "memory the driver reports, less what it reserves"))
        }
    };
    let memory = if device.value.vendor == "AMD" && unified {
        // The firmware's carve-out and what the kernel may map besides it are one pool.
        gpu.memory.zip(gpu.shared).map(|(own, shared)| {
            detected(Bytes::new((own + shared) as f64), "carve-out and mappable memory of the kernel driver")
        })
    } else {
        own
    };
    let limited = gpu.wired_limit.map(|bytes| detected(Bytes::new(bytes as f64), "iogpu.wired_limit_mb"));
    let memory = limited.or(memory).or_else(|| {
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
    if gpu.partitioned && of_part.is_none() {
        assembler.note(format!(
            "`{}` is partitioned (MIG) but no partition can be seen: the figures are of the whole device",
            gpu.name
        ));
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
        let kind = match (device.value.has_fabric(), device.value.vendor.as_str()) {
            (true, "AMD") => Topology::Mesh,
            (true, _) => Topology::Switched,
            (false, _) => Topology::Bridged,
        };
        detected(kind, "active scale-up links")
    });
    let lanes = gpu.pcie_lanes.map(|most| gpu.pcie_lanes_now.map_or(most, |now| now.min(most)));
    // The bus of a device on the processor's own link is not the way its data goes.
    let on_bus = !unified && !is_superchip(&device.id);
    let host_link = gpu.pcie_gen.zip(lanes).filter(|_| on_bus).and_then(|(generation, lanes)| {
        let link = assembler.catalogue.link(&format!("pcie{generation}-x{lanes}")).ok()?;
        Some(detected(link.value.one_way?, "highest PCIe link of the device"))
    });
    let in_use = gpu.used.filter(|_| !unified).map(|bytes| Bytes::new(bytes as f64));
    GroupSays { memory, in_use, bandwidth: None, topology, host_link, price: None }
}
