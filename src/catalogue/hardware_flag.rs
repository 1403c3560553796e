//! Hardware as one argument: a rig file, a catalogue system, or a count of devices.
//!
//! `my-rig.toml`, `dgx-h200`, `2x dgx-spark`, `8xh200-sxm`, `16xb200/2 nodes`, `rtx-4090`,
//! `1x rtx-5090, 2x rtx-3090` (one node), `m4-max-40gpu 64GB` (a chip sold with several sizes),
//! `2x epyc-9654` (no accelerator). What the text does not say is assumed and told in
//! [`Machine::assumptions`].

use crate::catalogue::assemble::{Assembler, GroupSays, HostClass, HostSays, catalogue_origin};
use crate::catalogue::decode::{BadFile, Count, utf8_text};
use crate::catalogue::hardware::{Accelerator, Machine, MachinePrice, Node, System, Topology, chip_bytes};
use crate::catalogue::names;
use crate::catalogue::rig;
use crate::catalogue::store::{Catalogue, Entry, Kind, LookupError, Unknown};
use crate::fact::{Fact, Origin};
use crate::units::{Bytes, Watts, parse_bytes};
use std::io;
use std::path::Path;
use thiserror::Error;

/// Most devices one question may ask for.
const MOST_DEVICES: u32 = 100_000;

/// Why a text is not hardware.
#[derive(Debug, Error)]
pub enum HardwareError {
    /// A name that is not in the catalogue, or means several products.
    #[error("unknown hardware `{name}`")]
    Unknown {
        /// What was written.
        name: String,
        /// Names that may have been meant.
        near: Vec<String>,
    },
    /// A rig file, or catalogue text, with problems.
    #[error(transparent)]
    Bad(#[from] BadFile),
    /// A rig file that could not be read.
    #[error("could not read {path}: {source}")]
    Io {
        /// The path as written.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// An empty text.
    #[error("no hardware is named")]
    Empty,
    /// A folder where a file is expected.
    #[error("`{path}` is a folder, not a rig file")]
    Folder {
        /// The path as written.
        path: String,
    },
    /// A text of the wrong form.
    #[error("`{text}` is not hardware: {why}")]
    Form {
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<LookupError> for HardwareError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Unknown(unknown) => unknown.into(),
            LookupError::Bad(bad) => Self::Bad(bad),
        }
    }
}

impl From<Unknown> for HardwareError {
    fn from(unknown: Unknown) -> Self {
        Self::Unknown { name: unknown.name, near: unknown.near }
    }
}

/// A machine from what a person writes after `--hw`.
///
/// # Errors
/// When a file cannot be read or has problems, when a name is unknown or means several products,
/// or when counts make no sense.
///
/// ```
/// use plimsoll::catalogue::hardware_flag::hardware;
/// use plimsoll::catalogue::store::Catalogue;
/// let machine = hardware("2x rtx-4090", &Catalogue::embedded()).expect("a machine");
/// let (_, group) = machine.groups().next().expect("one group of devices");
/// assert_eq!(group.count, 2);
/// ```
pub fn hardware(text: &str, catalogue: &Catalogue) -> Result<Machine, HardwareError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(HardwareError::Empty);
    }
    let folder = || HardwareError::Folder { path: text.to_owned() };
    // A folder that bears the name of a product does not hide it, one that can only be a path does.
    let is_folder = Path::new(text).is_dir();
    let is_path = text.contains(['/', '\\']) || text.starts_with('.');
    let is_toml = Path::new(text).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    if is_folder && (is_path || is_toml) {
        return Err(folder());
    }
    if is_toml || (is_path && Path::new(text).is_file()) {
        let bytes =
            std::fs::read(text).map_err(|source| HardwareError::Io { path: text.to_owned(), source })?;
        return Ok(rig::machine(text, &utf8_text(text, bytes)?, catalogue)?);
    }
    match described(text, catalogue) {
        Err(HardwareError::Unknown { .. }) if is_folder => Err(folder()),
        found => found,
    }
}

/// A machine from systems or counted devices.
fn described(text: &str, catalogue: &Catalogue) -> Result<Machine, HardwareError> {
    let (parts, nodes) = split_nodes(text)?;
    let parts: Vec<(u32, &str)> = parts.split([',', '+']).map(counted).collect::<Result<_, _>>()?;
    if parts.iter().map(|(count, _)| u64::from(*count)).sum::<u64>() > u64::from(MOST_DEVICES) {
        return Err(form(text, format!("more than {MOST_DEVICES} devices")));
    }
    if let [(count, name)] = parts[..] {
        let slug = name.to_lowercase().replace([' ', '_'], "-");
        if catalogue.system_ids().any(|id| id == slug) {
            let system = catalogue.system(&slug)?;
            return system_machine(&system, nodes.unwrap_or(count).max(count), catalogue);
        }
    }
    devices_machine(text, &parts, nodes, catalogue)
}

/// Splits off `/2 nodes`.
fn split_nodes(text: &str) -> Result<(&str, Option<u32>), HardwareError> {
    let Some((parts, nodes)) = text.rsplit_once('/') else { return Ok((text, None)) };
    let digits = nodes.trim().trim_end_matches(|c: char| c.is_alphabetic() || c == ' ');
    match digits.parse() {
        Ok(count) if (1..=MOST_DEVICES).contains(&count) => Ok((parts, Some(count))),
        _ => Err(form(text, "after `/` a number of nodes is expected, as in `16xb200/2 nodes`")),
    }
}

fn form(text: &str, why: impl Into<String>) -> HardwareError {
    HardwareError::Form { text: text.to_owned(), why: why.into() }
}

/// Splits `8xh200`, `8 x h200` or `h200` into count and name.
fn counted(part: &str) -> Result<(u32, &str), HardwareError> {
    let part = part.trim();
    let digits = part.bytes().take_while(u8::is_ascii_digit).count();
    let rest = part[digits..].trim_start();
    let name = rest.strip_prefix(['x', 'X', '×', '*']).map(str::trim_start);
    let (count, name) = match name {
        Some(name) if digits > 0 && !name.is_empty() => (
            part[..digits]
                .parse()
                .map_err(|_| form(part, format!("the count is larger than {MOST_DEVICES}")))?,
            name,
        ),
        Some("") if digits > 0 => {
            return Err(form(part, "after the count a device is expected, as in `8xh200-sxm`"));
        }
        _ => (1, part),
    };
    if name.is_empty() {
        return Err(form(part, "expected a device, a system or a file, as in `8xh200-sxm`"));
    }
    if count == 0 {
        return Err(form(part, "the count is zero; leave it out for one"));
    }
    if count > MOST_DEVICES {
        return Err(form(part, format!("more than {MOST_DEVICES} devices")));
    }
    Ok((count, name))
}

/// Nodes of a system of devices: equal ones first, a smaller last one where the count leaves a rest.
fn node_counts(
    total: u32,
    per_node: u32,
    nodes: Option<u32>,
    text: &str,
) -> Result<Vec<(u32, u32)>, HardwareError> {
    if let Some(nodes) = nodes {
        if !total.is_multiple_of(nodes) {
            return Err(form(
                text,
                format!(
                    "{total} devices do not divide into {nodes} equal nodes; a rig file can describe unequal ones"
                ),
            ));
        }
        return Ok(vec![(nodes, total / nodes)]);
    }
    let (full, rest) = (total / per_node, total % per_node);
    let mut counts = Vec::new();
    if full > 0 {
        counts.push((full, per_node));
    }
    if rest > 0 {
        counts.push((1, rest));
    }
    Ok(counts)
}

/// Equal devices of a machine, with their memory where the text states it.
#[derive(Clone)]
struct Part {
    count: u32,
    device: Entry<Accelerator>,
    memory: Option<Bytes>,
}

/// The device a name means; a size after the name is its memory unless it belongs to the name.
fn device_and_memory(catalogue: &Catalogue, name: &str) -> Result<(String, Option<Bytes>), Unknown> {
    let whole = names::resolve(catalogue, Kind::Accelerator, name);
    if let Ok(id) = whole {
        return Ok((id, None));
    }
    let start =
        name.trim_end_matches(char::is_alphabetic).trim_end().trim_end_matches(|c: char| c.is_ascii_digit());
    let (rest, size) = name.split_at(start.len());
    let size = size.to_uppercase().replace("IB", "iB");
    match (parse_bytes(&size), names::resolve(catalogue, Kind::Accelerator, rest)) {
        (Ok(memory), Ok(id)) => Ok((id, Some(memory))),
        // What the name without the size may mean says more than the whole.
        (Ok(_), Err(unknown)) if whole.as_ref().is_err_and(|whole| whole.near.is_empty()) => Err(unknown),
        _ => whole.map(|id| (id, None)),
    }
}

/// A machine of counted devices.
fn devices_machine(
    text: &str,
    parts: &[(u32, &str)],
    nodes: Option<u32>,
    catalogue: &Catalogue,
) -> Result<Machine, HardwareError> {
    let mut devices: Vec<Part> = Vec::new();
    for &(count, name) in parts {
        match device_and_memory(catalogue, name) {
            Ok((id, memory)) => devices.push(Part { count, device: catalogue.accelerator(&id)?, memory }),
            Err(unknown) => {
                if parts.len() == 1
                    && let Ok(id) = names::resolve(catalogue, Kind::Cpu, name)
                {
                    return cpu_machine(text, &id, count, nodes, catalogue);
                }
                return Err(with_systems(unknown, catalogue));
            }
        }
    }
    let total: u32 = devices.iter().map(|part| part.count).sum();
    let mut assembler = Assembler::new(catalogue)?;
    let Some(main) = devices.first().map(|part| part.device.clone()) else {
        return Err(form(text, "expected a device, a system or a file, as in `8xh200-sxm`"));
    };
    let class = HostClass::of(&main.id, &main.value, total);
    let default_per_node =
        if class == HostClass::Unified { 1 } else { assembler.assumed.devices_per_node(&main.id) };
    let split = if devices.len() == 1 {
        node_counts(total, default_per_node, nodes, text)?
    } else {
        if nodes.is_some_and(|nodes| nodes > 1) {
            return Err(form(
                text,
                "several kinds of device stand in one node; write a rig file for more nodes",
            ));
        }
        vec![(1, total)]
    };
    let node_total: u32 = split.iter().map(|(nodes, _)| nodes).sum();
    if node_total > 1 && nodes.is_none() {
        assembler.note(format!(
            "{total} devices are assumed to stand in {node_total} nodes of {default_per_node}"
        ));
    }
    let mut built = Vec::new();
    for (count, per_node) in split {
        let class = if devices.len() == 1 { HostClass::of(&main.id, &main.value, per_node) } else { class };
        let parts: Vec<Part> = match &devices[..] {
            [part] => vec![Part { count: per_node, ..part.clone() }],
            several => several.to_vec(),
        };
        built.push(plain_node(&mut assembler, class, count, &parts)?);
    }
    let network = if node_total > 1 {
        Some(assembler.network(None, &Origin::User(text.to_owned()), class)?)
    } else {
        None
    };
    Ok(assembler.finish(text.to_owned(), built, network, MachinePrice::default())?)
}

/// A node that says nothing but its devices.
fn plain_node(
    assembler: &mut Assembler<'_>,
    class: HostClass,
    count: u32,
    parts: &[Part],
) -> Result<Node, HardwareError> {
    let user =
        |memory: Bytes| Fact::new(chip_bytes(memory), Origin::User("memory after the name".to_owned()));
    let first = parts.first();
    // Where the device shares the host's memory, its memory is all there is.
    let ram = first.filter(|part| part.device.value.is_unified()).and_then(|part| {
        let sold = part.device.value.memory.map(chip_bytes);
        let installed = part.memory.map(user).or_else(|| {
            Some(Fact::new(sold?, catalogue_origin(&part.device.layer, &part.device.value.source)))
        })?;
        if part.memory.is_none() && class == HostClass::Unified {
            assembler.note(format!(
                "{}: {} of memory are assumed, the most it is sold with; write `{} 64GB` for another size",
                part.device.value.name, installed.value, part.device.id
            ));
        }
        Some(Fact::new(installed.value * f64::from(part.count), installed.origin))
    });
    let host = assembler.host(class, first.map(|part| &part.device), HostSays { ram, ..HostSays::default() });
    let cpu = host.cpu_id.as_deref().and_then(|id| assembler.catalogue.cpu(id).ok());
    let total: u32 = parts.iter().map(|part| part.count).sum();
    let mut groups = Vec::new();
    for Part { count, device, memory } in parts {
        if let (Some(stated), Some(sold)) = (memory.map(chip_bytes), device.value.memory.map(chip_bytes))
            && stated > sold
        {
            return Err(form(&device.id, format!("the device has at most {sold} of memory, not {stated}")));
        }
        let says = GroupSays { memory: memory.map(user), ..GroupSays::default() };
        let Some(mut group) = assembler.group(device, *count, cpu.as_ref().map(|cpu| &*cpu.value), says)
        else {
            let why = format!(
                "the chip is sold with several memory sizes; write for example `{} 64GB`, a system or a rig file",
                device.id
            );
            return Err(form(&device.id, why));
        };
        // A lone card among others still has to reach them.
        if *count == 1 && total > 1 {
            let sentence = "cards of different kinds exchange data through host memory".to_owned();
            group.topology = Fact::new(Topology::PcieHost, Origin::Assumed(sentence));
        }
        groups.push(group);
    }
    Ok(Node { count, devices: groups, host })
}

/// A machine without accelerators: sockets of one processor in one node or several.
fn cpu_machine(
    text: &str,
    id: &str,
    sockets: u32,
    nodes: Option<u32>,
    catalogue: &Catalogue,
) -> Result<Machine, HardwareError> {
    let mut assembler = Assembler::new(catalogue)?;
    let cpu = catalogue.cpu(id)?;
    let count = nodes.unwrap_or(1);
    if !sockets.is_multiple_of(count) {
        return Err(form(text, format!("{sockets} processors do not divide into {count} equal nodes")));
    }
    let most = cpu.value.sockets_max.map_or(2, Count::get);
    if u64::from(sockets / count) > most {
        return Err(form(text, format!("a node holds at most {most} of {}", cpu.value.name)));
    }
    let says = HostSays { cpu: Some(cpu), sockets: Some(sockets / count), ..HostSays::default() };
    let class = HostClass::Workstation;
    let host = assembler.host(class, None, says);
    let network =
        if count > 1 { Some(assembler.network(None, &Origin::User(text.to_owned()), class)?) } else { None };
    let node = Node { count, devices: Vec::new(), host };
    Ok(assembler.finish(text.to_owned(), vec![node], network, MachinePrice::default())?)
}

/// A catalogue system, `times` over.
///
/// # Errors
/// When the system names entries that are not in the catalogue.
pub fn system_machine(
    system: &Entry<System>,
    times: u32,
    catalogue: &Catalogue,
) -> Result<Machine, HardwareError> {
    let mut assembler = Assembler::new(catalogue)?;
    let (spec, source) = (&system.value, catalogue_origin(&system.layer, &system.value.source));
    let device = catalogue.accelerator(&spec.accelerator)?;
    let total = u32::try_from(spec.count.get()).unwrap_or(u32::MAX);
    let system_nodes = spec.nodes.map_or(1, |nodes| u32::try_from(nodes.get()).unwrap_or(1));
    let per_node = (total / system_nodes).max(1);
    let class = HostClass::of(&device.id, &device.value, per_node);
    let memories: Vec<Option<Bytes>> = if spec.node_memory.is_empty() {
        vec![spec.ram.map(|ram| chip_bytes(ram) / f64::from(system_nodes)); 1]
    } else {
        spec.node_memory.iter().map(|memory| Some(chip_bytes(*memory))).collect()
    };
    let each = if spec.node_memory.is_empty() { system_nodes } else { 1 };
    let mut nodes: Vec<Node> = Vec::new();
    for ram in memories {
        let fact = ram.map(|ram| Fact::new(ram, source.clone()));
        let host = assembler.host(class, Some(&device), system_host(spec, fact.clone(), &source, catalogue));
        let cpu = host.cpu_id.as_deref().and_then(|id| catalogue.cpu(id).ok());
        let memory = fact.filter(|_| class == HostClass::Unified);
        let says = GroupSays { memory, ..GroupSays::default() };
        let Some(group) = assembler.group(&device, per_node, cpu.as_ref().map(|cpu| &*cpu.value), says)
        else {
            return Err(form(&system.id, "the system does not say how much memory it has"));
        };
        let node = Node { count: each * times, devices: vec![group], host };
        match nodes.last_mut() {
            Some(last) if last.devices == node.devices && last.host == node.host => last.count += node.count,
            _ => nodes.push(node),
        }
    }
    let many = nodes.iter().map(|node| node.count).sum::<u32>() > 1;
    let network = if many { Some(assembler.network(spec.network.as_ref(), &source, class)?) } else { None };
    let whole = spec
        .price
        .iter()
        .filter(|price| price.basis == "purchase")
        .find_map(|price| Some(Fact::new(price.likely()? * f64::from(times), source.clone())));
    let wall_power =
        spec.power_w.map(|watts| Fact::new(Watts::new(watts * f64::from(times)), source.clone()));
    let price = MachinePrice { purchase: whole, wall_power, ..MachinePrice::default() };
    let name = if times > 1 { format!("{times}x {}", system.id) } else { system.id.clone() };
    Ok(assembler.finish(name, nodes, network, price)?)
}

/// The host of a catalogue system. Its processor is text, and may only count cores; a system that
/// says nothing has the processor of another one with the same unified device.
fn system_host(spec: &System, ram: Option<Fact<Bytes>>, source: &Origin, catalogue: &Catalogue) -> HostSays {
    let unstated = HostSays { ram, ..HostSays::default() };
    let Some(text) = &spec.cpu else {
        let sibling = catalogue.system_ids().filter_map(|id| catalogue.system(id).ok()).find(|other| {
            other.value.accelerator == spec.accelerator
                && other.value.cpu.is_some()
                && other.value.count.get() == 1
        });
        return match sibling {
            Some(other) => {
                let source = catalogue_origin(&other.layer, &other.value.source);
                system_host(&other.value, unstated.ram, &source, catalogue)
            }
            None => unstated,
        };
    };
    // Counts are of the whole system; `36x Grace` of an 18-node rack is two per node.
    let nodes = spec.nodes.map_or(1, |nodes| u32::try_from(nodes.get()).unwrap_or(1));
    let plain = text.split('(').next().unwrap_or(text);
    let (count, name) = counted(plain).unwrap_or((1, plain));
    let sockets = (count / nodes).max(1);
    if let Ok(id) = names::resolve(catalogue, Kind::Cpu, name)
        && let Ok(cpu) = catalogue.cpu(&id)
    {
        return HostSays { cpu: Some(cpu), sockets: Some(sockets), ..unstated };
    }
    // `32c` is a count of cores, not a name.
    let cores = name.split_once('c').and_then(|(digits, _)| digits.trim().parse::<u32>().ok());
    HostSays { cores: cores.map(|cores| Fact::new(cores, source.clone())), ..unstated }
}

/// Adds system names to the suggestions for an unknown device.
fn with_systems(unknown: Unknown, catalogue: &Catalogue) -> HardwareError {
    let mut near = unknown.near;
    let systems = crate::catalogue::nearest::ranked(&unknown.name, catalogue.system_ids());
    near.extend(systems.into_iter().map(str::to_owned));
    near.truncate(5);
    HardwareError::Unknown { name: unknown.name, near }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(text: &str) -> Machine {
        hardware(text, &Catalogue::embedded()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    fn shape(text: &str) -> (u32, u32, u32) {
        let machine = machine(text);
        (machine.node_count(), machine.device_count(), machine.scale_up_domain)
    }

    #[test]
    fn counts_and_nodes() {
        assert_eq!(shape("8xh200-sxm"), (1, 8, 8));
        assert_eq!(shape("8xH200 SXM"), (1, 8, 8));
        assert_eq!(shape("16xb200/2 nodes"), (2, 16, 8));
        assert_eq!(shape("16xb200"), (2, 16, 8));
        assert_eq!(shape("12xh100-sxm"), (2, 12, 8));
        assert_eq!(shape("72xgb300"), (18, 72, 72));
        assert_eq!(shape("gb200-nvl72"), (18, 72, 72));
        assert_eq!(shape("2x dgx-h100"), (2, 16, 8));
        assert_eq!(shape("2xdgx-spark"), (2, 2, 1));
        assert_eq!(shape("rtx 3090"), (1, 1, 1));
        assert_eq!(shape("1x rtx-5090, 2x rtx-3090"), (1, 3, 3));
        assert_eq!(shape("2x epyc-9654"), (1, 0, 0));
        assert_eq!(shape("mac-studio-m3-ultra-x4-1.5tb"), (4, 4, 1));
    }

    #[test]
    fn memory_is_what_the_driver_reports() {
        let memory = |text: &str| machine(text).nodes[0].devices[0].memory.value;
        // nvidia-smi on an H200 prints 143771 MiB.
        assert_eq!(memory("h200-sxm"), Bytes::mib(143_771.0));
        assert_eq!(memory("rtx-3090"), Bytes::gib(24.0) * 0.98);
        assert_eq!(memory("mac-studio-m3-ultra-512gb"), Bytes::gib(512.0) * 0.84);
        assert_eq!(machine("mac-studio-m3-ultra-512gb").host().ram.value, Bytes::gib(512.0));
        assert_eq!(memory("m4-max-40gpu 64GB"), Bytes::gib(64.0) * 0.74);
        assert_eq!(memory("M2-Ultra-76gpu-192GiB"), Bytes::gib(192.0) * 0.84);
        assert_eq!(memory("2x m4-pro-20gpu 24 GB"), Bytes::gib(24.0) * 0.74);
        assert_eq!(machine("mi300a").host().ram.value, Bytes::gib(128.0));
        assert!(machine("rtx-3090").assumptions.iter().any(|said| said.contains("98 %")));
    }

    #[test]
    fn hosts_of_unified_systems() {
        let host = |text: &str| machine(text).host().clone();
        assert_eq!(host("mac-studio-m3-ultra-512gb").cpu_id.as_deref(), Some("apple-m3-ultra"));
        assert_eq!(host("mac-studio-m3-ultra-512gb").cores.value, 32);
        assert_eq!(host("dgx-spark-x2").cores.value, 20);
        assert_eq!(host("gb200-nvl72").sockets, 2);
        assert_eq!(host("4xvr200-rubin").cpu_id.as_deref(), Some("nvidia-vera"));
        assert_eq!(host("vr-nvl72").cpu_id.as_deref(), Some("nvidia-vera"));
    }

    #[test]
    fn topology_and_links() {
        let group = |text: &str| machine(text).nodes[0].devices[0].clone();
        assert_eq!(group("8xh200-sxm").topology.value, Topology::Switched);
        assert_eq!(group("8xmi300x").topology.value, Topology::Mesh);
        assert_eq!(group("2x rtx-3090").topology.value, Topology::PcieHost);
        assert_eq!(group("8xl40s").topology.value, Topology::Pcie);
        assert_eq!(group("h200-sxm").topology.value, Topology::Single);
        assert!((group("h200-sxm").host_link.value.in_gb_s() - 63.0).abs() < 1e-9);
        // Two cards on a desktop board get eight lanes of PCIe 4.0 each.
        assert!((group("2x rtx-3090").host_link.value.in_gb_s() - 15.75).abs() < 1e-9);
        assert!((group("4x rtx-3090").host_link.value.in_gb_s() - 31.5).abs() < 1e-9);
        assert!((group("4xgb300").host_link.value.in_gb_s() - 450.0).abs() < 1e-9);
        let network = machine("16xb200").network.unwrap().value;
        // 400 Gb/s are 50 GB/s.
        assert!((network.in_gb_s() - 50.0).abs() < 1e-9);
    }

    #[test]
    fn prices_are_known_or_absent() {
        let rent = machine("8xh200-sxm").price.rent_per_hour.unwrap();
        // Eight providers list H200 from $2.25 to $6.35; the middle two are $4.29 and $4.54.
        assert!((rent.value.get() / 8.0 - 4.415).abs() < 0.001, "{rent:?}");
        assert!(matches!(rent.origin, Origin::Derived(rule) if rule.contains("median")));
        // A node of eight is sold as one: 300 to 350 thousand dollars.
        let purchase = machine("16xh100-sxm").price.purchase.unwrap();
        assert!((purchase.value.get() - 650_000.0).abs() < 1.0, "{purchase:?}");
        assert_eq!(machine("rx-6600").price.rent_per_hour, None);
        assert_eq!(machine("2x epyc-9654").price.purchase, None);
    }

    #[test]
    fn refusals_say_what_to_write() {
        let catalogue = Catalogue::embedded();
        let near = |text: &str| match hardware(text, &catalogue) {
            Err(HardwareError::Unknown { near, .. }) => near,
            other => panic!("{text}: {other:?}"),
        };
        assert!(near("8xh100").contains(&"h100-sxm-80gb".to_owned()));
        assert!(near("dgx-h20").contains(&"dgx-h200".to_owned()));
        assert!(near("rtx 3091").iter().any(|name| name.starts_with("rtx-309")));
        for text in [
            "0xh200",
            "8x",
            "3xh200-sxm/2 nodes",
            "h200-sxm/x",
            "m4-10gpu",
            "999999999999xh200-sxm",
            "5000000xt4",
        ] {
            assert!(matches!(hardware(text, &catalogue), Err(HardwareError::Form { .. })), "{text}");
        }
        assert!(matches!(hardware("no-such-rig.toml", &catalogue), Err(HardwareError::Io { .. })));
        assert!(matches!(hardware(" ", &catalogue), Err(HardwareError::Empty)));
        assert!(matches!(hardware("..", &catalogue), Err(HardwareError::Folder { .. })));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "([0-9]{1,7}|x|h200-sxm|rtx-3090|dgx-h100|epyc-9654|mi300a|m4-10gpu|64GB|/|,| |nodes){0,9}") {
            drop(hardware(&text, &Catalogue::embedded()).map(|machine| machine.device_count()));
        }
    }
}
