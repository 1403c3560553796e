//! NVIDIA devices through the driver's management library.

use crate::detect::probe::ProbedGpu;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

/// Most links one device has, over all generations.
const MOST_LINKS: u32 = 36;

pub(super) fn gpus(notes: &mut Vec<String>) -> Vec<ProbedGpu> {
    let nvml = match Nvml::init() {
        Ok(nvml) => nvml,
        Err(NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound) => {
            notes.push(
                "the NVIDIA management library (NVML) is not installed: no NVIDIA device can be seen"
                    .to_owned(),
            );
            return Vec::new();
        }
        Err(error) => {
            notes.push(format!("the NVIDIA driver does not answer: {error}"));
            return Vec::new();
        }
    };
    let count = nvml.device_count().unwrap_or_else(|error| {
        notes.push(format!("the NVIDIA driver does not count its devices: {error}"));
        0
    });
    (0..count)
        .filter_map(|index| match nvml.device_by_index(index) {
            Ok(device) => Some(gpu(&device, index, notes)),
            Err(error) => {
                notes.push(format!("NVIDIA device {index} does not answer: {error}"));
                None
            }
        })
        .collect()
}

fn gpu(device: &Device<'_>, index: u32, notes: &mut Vec<String>) -> ProbedGpu {
    let memory = device.memory_info();
    if let Err(error) = &memory {
        // Unified memory parts answer "not supported"; the memory is then the system's.
        notes.push(format!("NVIDIA device {index} does not report its memory: {error}"));
    }
    // Some drivers succeed with zero where they mean that it is not supported.
    let memory = memory.ok().filter(|memory| memory.total > 0);
    let links = (0..MOST_LINKS)
        .map_while(|link| device.link_wrapper_for(link).is_active().ok())
        .filter(|active| *active)
        .count();
    ProbedGpu {
        name: device.name().unwrap_or_else(|_| format!("NVIDIA device {index}")),
        vendor: "NVIDIA".to_owned(),
        address: device.pci_info().ok().map(|pci| pci.bus_id),
        memory: memory.as_ref().map(|memory| memory.total),
        used: memory.as_ref().map(|memory| memory.used),
        reserved: memory.as_ref().map(|memory| memory.reserved),
        shared: None,
        // An idle device lowers its link; the highest is what a transfer gets.
        pcie_gen: device.max_pcie_link_gen().ok(),
        pcie_lanes: device.max_pcie_link_width().ok(),
        scale_up_links: u32::try_from(links).ok(),
        power_limit_w: device.enforced_power_limit().ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
        partitioned: device.mig_mode().is_ok_and(|mode| mode.current == 1),
        cores: None,
    }
}
