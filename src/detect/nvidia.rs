//! NVIDIA devices through the driver's management library; without it, as the kernel and bus list
//! them.

use crate::detect::pci;
use crate::detect::probe::{ProbedGpu, ProbedPartition};
use crate::detect::source::Source;
use nvml_wrapper::enum_wrappers::device::Clock;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use serde::{Deserialize, Serialize};

/// Most links one device has, over all generations.
const MOST_LINKS: u32 = 36;

const IN_PROC: &str = "/proc/driver/nvidia/gpus";

/// What the library answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// Version of the driver.
    #[serde(default)]
    driver: Option<String>,
    #[serde(default)]
    devices: Vec<ProbedGpu>,
    #[serde(default)]
    notes: Vec<String>,
}

pub(super) fn gpus(source: &mut Source) -> Vec<ProbedGpu> {
    let answer: Answer = source.call("nvml", || Some(ask())).unwrap_or_default();
    answer.notes.into_iter().for_each(|note| source.note(note));
    if answer.devices.is_empty() { without_library(source) } else { answer.devices }
}

fn ask() -> Answer {
    let mut answer = Answer::default();
    let nvml = match Nvml::init() {
        Ok(nvml) => nvml,
        Err(NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound) => {
            answer.notes.push("the NVIDIA management library (NVML) is not installed".to_owned());
            return answer;
        }
        Err(error) => {
            answer.notes.push(format!("the NVIDIA driver does not answer: {error}"));
            return answer;
        }
    };
    answer.driver = nvml.sys_driver_version().ok();
    let count = nvml.device_count().unwrap_or_else(|error| {
        answer.notes.push(format!("the NVIDIA driver does not count its devices: {error}"));
        0
    });
    for index in 0..count {
        match nvml.device_by_index(index) {
            Ok(device) => answer.devices.push(gpu(&device, index, &mut answer.notes)),
            Err(error) => answer.notes.push(format!("NVIDIA device {index} does not answer: {error}")),
        }
    }
    answer
}

fn gpu(device: &Device<'_>, index: u32, notes: &mut Vec<String>) -> ProbedGpu {
    let memory = device.memory_info();
    if let Err(error) = &memory {
        // Unified memory parts answer "not supported"; the memory is then the system's.
        notes.push(format!("NVIDIA device {index} does not report its memory: {error}"));
    }
    // Some drivers succeed with zero where they mean that it is not supported.
    let memory = memory.ok().filter(|memory| memory.total > 0);
    let mut peers = Vec::new();
    let mut links = 0;
    for link in 0..MOST_LINKS {
        let link = device.link_wrapper_for(link);
        let Ok(active) = link.is_active() else { break };
        if active {
            links += 1;
            peers.extend(link.remote_pci_info().ok().map(|pci| short_address(&pci.bus_id)));
        }
    }
    peers.sort_unstable();
    peers.dedup();
    let pci = device.pci_info().ok();
    let mig = device.mig_mode().is_ok_and(|mode| mode.current == 1);
    ProbedGpu {
        name: device.name().unwrap_or_else(|_| format!("NVIDIA device {index}")),
        vendor: "NVIDIA".to_owned(),
        address: pci.as_ref().map(|pci| short_address(&pci.bus_id)),
        // The device is in the upper half of the number, the vendor in the lower.
        pci_id: pci.map(|pci| format!("{:04x}:{:04x}", pci.pci_device_id & 0xffff, pci.pci_device_id >> 16)),
        probe: "NVML".to_owned(),
        memory: memory.as_ref().map(|memory| memory.total),
        used: memory.as_ref().map(|memory| memory.used),
        reserved: memory.as_ref().map(|memory| memory.reserved),
        // An idle device lowers its link; the highest is what a transfer gets.
        pcie_gen: device.max_pcie_link_gen().ok(),
        pcie_lanes: device.max_pcie_link_width().ok(),
        pcie_gen_now: device.current_pcie_link_gen().ok(),
        pcie_lanes_now: device.current_pcie_link_width().ok(),
        scale_up_links: Some(links),
        peers,
        power_limit_w: device.enforced_power_limit().ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
        partitioned: mig,
        partitions: if mig { partitions(device) } else { Vec::new() },
        compute: device.cuda_compute_capability().ok().map(|cc| format!("{}.{}", cc.major, cc.minor)),
        bus_bits: device.memory_bus_width().ok(),
        memory_mhz: device.max_clock_info(Clock::Memory).ok(),
        ..ProbedGpu::default()
    }
}

/// The instances a device is split into.
fn partitions(device: &Device<'_>) -> Vec<ProbedPartition> {
    (0..device.mig_device_count().unwrap_or(0))
        .filter_map(|index| device.mig_device_by_index(index).ok())
        .map(|instance| {
            let memory = instance.memory_info().ok().filter(|memory| memory.total > 0);
            ProbedPartition {
                name: instance.name().unwrap_or_default(),
                memory: memory.as_ref().map(|memory| memory.total),
                used: memory.map(|memory| memory.used),
            }
        })
        .collect()
}

/// The kernel writes the domain with four digits, the library with eight.
fn short_address(address: &str) -> String {
    let lower = address.to_lowercase();
    lower.strip_prefix("0000").filter(|rest| rest.len() == 12).map_or(lower.clone(), str::to_owned)
}

/// Devices that are there although the library does not show them: their driver's files, else the
/// bus. Their memory is then the product's.
fn without_library(source: &mut Source) -> Vec<ProbedGpu> {
    let on_bus: Vec<_> = pci::devices(source).into_iter().filter(|device| device.vendor == "10de").collect();
    let mut found = Vec::new();
    for address in source.names(IN_PROC) {
        let path = format!("{IN_PROC}/{address}/information");
        // The other lines name the single device.
        let model = source
            .read_kept(&path, |text| text.lines().find(|line| line.starts_with("Model:")).map(str::to_owned));
        let Some(model) = model else { continue };
        let pci_id = on_bus.iter().find(|device| device.address == address);
        found.push(ProbedGpu {
            name: model.trim_start_matches("Model:").trim().to_owned(),
            pci_id: pci_id.map(|device| format!("10de:{}", device.device)),
            address: Some(address),
            probe: "files of the NVIDIA driver".to_owned(),
            ..ProbedGpu::default()
        });
    }
    for device in on_bus {
        if found.iter().any(|gpu| gpu.address.as_ref() == Some(&device.address)) {
            continue;
        }
        let name = pci::name(source, &device).unwrap_or_else(|| format!("NVIDIA device 0x{}", device.device));
        found.push(ProbedGpu {
            name,
            pci_id: Some(format!("10de:{}", device.device)),
            address: Some(device.address.clone()),
            probe: "PCI ids".to_owned(),
            ..ProbedGpu::default()
        });
    }
    for gpu in &mut found {
        "NVIDIA".clone_into(&mut gpu.vendor);
        let folder = format!("/sys/bus/pci/devices/{}", gpu.address.as_deref().unwrap_or_default());
        (gpu.pcie_gen, gpu.pcie_lanes) = pci::link(source, &folder, "max");
        source.note(format!(
            "{}: the driver does not answer, so its memory is taken from the catalogue",
            gpu.name
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_way_to_write_an_address() {
        assert_eq!(super::short_address("00000000:65:00.0"), "0000:65:00.0");
        assert_eq!(super::short_address("0000:65:00.0"), "0000:65:00.0");
        assert_eq!(super::short_address("00010000:0F:00.0"), "00010000:0f:00.0");
    }
}
