//! AMD devices through the kernel's exports; no library and no rights are needed.
//!
//! The bus tells which devices there are, the amdgpu driver their memory, and the compute driver
//! (KFD) what it would compute on and how devices are joined.

use crate::detect::pci::{self, PciDevice};
use crate::detect::probe::ProbedGpu;
use crate::detect::source::Source;

const NODES: &str = "/sys/class/kfd/kfd/topology/nodes";

/// Type of a link between devices over Infinity Fabric (`HSA_IOLINK_TYPE_XGMI`, kernel `kfd_crat.h`).
const XGMI: u64 = 11;

/// A device as the compute driver lists it.
struct Node {
    address: String,
    pci_id: String,
    memory: Option<u64>,
    xgmi: u32,
    gfx: u64,
}

pub(super) fn gpus(source: &mut Source) -> Vec<ProbedGpu> {
    let nodes = nodes(source);
    let on_bus: Vec<PciDevice> = pci::devices(source).into_iter().filter(|d| d.vendor == "1002").collect();
    let mut found: Vec<ProbedGpu> = on_bus.iter().map(|device| gpu(source, device, &nodes)).collect();
    // Where the bus is hidden, the compute driver still lists its devices.
    for node in nodes.iter().filter(|node| on_bus.iter().all(|device| device.address != node.address)) {
        let (vendor, device) = node.pci_id.split_once(':').unwrap_or_default();
        let device = PciDevice {
            address: node.address.clone(),
            vendor: vendor.to_owned(),
            device: device.to_owned(),
            revision: "00".to_owned(),
            display: true,
        };
        let name = pci::name(source, &device).unwrap_or_else(|| format!("AMD device 0x{}", device.device));
        found.push(ProbedGpu {
            name,
            vendor: "AMD".to_owned(),
            address: Some(node.address.clone()),
            pci_id: Some(node.pci_id.clone()),
            probe: "KFD topology".to_owned(),
            memory: node.memory,
            scale_up_links: Some(node.xgmi),
            compute: Some(gfx_name(node.gfx)),
            integrated: pci::is_integrated_amd(&device),
            ..ProbedGpu::default()
        });
    }
    found
}

fn gpu(source: &mut Source, device: &PciDevice, nodes: &[Node]) -> ProbedGpu {
    let folder = device.folder();
    let listed = source.read(&format!("{folder}/product_name")).or_else(|| pci::name(source, device));
    let name = listed.unwrap_or_else(|| format!("AMD device 0x{}", device.device));
    let own: Vec<&Node> = nodes.iter().filter(|node| node.address == device.address).collect();
    let memory = source.number(&format!("{folder}/mem_info_vram_total"));
    if memory.is_none() {
        source.note(format!("{name}: the kernel driver does not report the memory"));
    }
    if own.len() > 1 {
        source.note(format!("{name}: shown as {} partitions of one device; it is counted once", own.len()));
    }
    let (pcie_gen, pcie_lanes) = pci::link(source, &folder, "max");
    let (pcie_gen_now, pcie_lanes_now) = pci::link(source, &folder, "current");
    let monitors = source.names(&format!("{folder}/hwmon"));
    let microwatts =
        monitors.iter().find_map(|monitor| source.number(&format!("{folder}/hwmon/{monitor}/power1_cap")));
    ProbedGpu {
        name,
        vendor: "AMD".to_owned(),
        address: Some(device.address.clone()),
        pci_id: Some(format!("1002:{}", device.device)),
        probe: if memory.is_some() { "amdgpu exports" } else { "PCI ids" }.to_owned(),
        memory: memory.or_else(|| own.iter().map(|node| node.memory).sum()),
        used: source.number(&format!("{folder}/mem_info_vram_used")),
        shared: source.number(&format!("{folder}/mem_info_gtt_total")),
        shared_used: source.number(&format!("{folder}/mem_info_gtt_used")),
        integrated: pci::is_integrated_amd(device),
        pcie_gen,
        pcie_lanes,
        pcie_gen_now,
        pcie_lanes_now,
        scale_up_links: own.first().map(|node| node.xgmi),
        power_limit_w: microwatts.map(|microwatts| microwatts as f64 / 1e6),
        compute: own.first().map(|node| gfx_name(node.gfx)),
        ..ProbedGpu::default()
    }
}

/// Properties that matter; the rest names the single device.
fn properties(text: &str) -> Option<String> {
    let wanted = ["simd_count", "gfx_target_version", "vendor_id", "device_id", "location_id", "domain"];
    keep(text, &wanted)
}

fn keep(text: &str, wanted: &[&str]) -> Option<String> {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.split_whitespace().next().is_some_and(|key| wanted.contains(&key)))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn nodes(source: &mut Source) -> Vec<Node> {
    let mut found = Vec::new();
    for name in source.names(NODES) {
        let folder = format!("{NODES}/{name}");
        let Some(text) = source.read_kept(&format!("{folder}/properties"), properties) else { continue };
        let of = |key: &str| value(&text, key);
        // A node without compute units is a processor.
        if of("simd_count").unwrap_or(0) == 0 {
            continue;
        }
        let location = of("location_id").unwrap_or(0);
        let address = format!(
            "{:04x}:{:02x}:{:02x}.{}",
            of("domain").unwrap_or(0),
            location >> 8,
            location >> 3 & 31,
            location & 7
        );
        let banks = source.names(&format!("{folder}/mem_banks"));
        let sizes: Vec<u64> = banks
            .iter()
            .filter_map(|bank| {
                let path = format!("{folder}/mem_banks/{bank}/properties");
                let text = source.read_kept(&path, |text| keep(text, &["heap_type", "size_in_bytes"]))?;
                // Heaps 1 and 2 are the device's own memory, seen by the host or not.
                let own = value(&text, "heap_type").is_some_and(|heap| heap == 1 || heap == 2);
                own.then(|| value(&text, "size_in_bytes")).flatten()
            })
            .collect();
        let links = source.names(&format!("{folder}/io_links"));
        let xgmi = links
            .iter()
            .filter(|link| {
                let path = format!("{folder}/io_links/{link}/properties");
                let text = source.read_kept(&path, |text| keep(text, &["type"]));
                text.and_then(|text| value(&text, "type")) == Some(XGMI)
            })
            .count();
        found.push(Node {
            address,
            pci_id: format!("{:04x}:{:04x}", of("vendor_id").unwrap_or(0), of("device_id").unwrap_or(0)),
            memory: (!sizes.is_empty()).then(|| sizes.iter().sum()),
            xgmi: u32::try_from(xgmi).unwrap_or(0),
            gfx: of("gfx_target_version").unwrap_or(0),
        });
    }
    found
}

/// 110501 is `gfx1151`: major, minor and stepping, the last two in hexadecimal.
fn gfx_name(version: u64) -> String {
    format!("gfx{}{:x}{:x}", version / 10_000, version / 100 % 100, version % 100)
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_of_compute() {
        assert_eq!(super::gfx_name(110_501), "gfx1151");
        assert_eq!(super::gfx_name(90_010), "gfx90a");
        assert_eq!(super::gfx_name(90_402), "gfx942");
    }
}
