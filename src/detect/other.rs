//! Accelerators that are neither NVIDIA, AMD nor Intel graphics: told by their PCI ids.

use crate::detect::pci;
use crate::detect::probe::ProbedGpu;
use crate::detect::source::Source;

pub(super) fn accelerators(source: &mut Source) -> Vec<ProbedGpu> {
    let mut found = Vec::new();
    for device in pci::devices(source) {
        let graphics = ["10de", "1002", "8086"].contains(&device.vendor.as_str());
        let maker = pci::maker(&device);
        // Displays of servers and hypervisors compute nothing.
        if graphics || (device.display && maker.is_none()) {
            continue;
        }
        let name = pci::name(source, &device)
            .unwrap_or_else(|| format!("accelerator {}:{}", device.vendor, device.device));
        let (pcie_gen, pcie_lanes) = pci::link(source, &device.folder(), "max");
        found.push(ProbedGpu {
            name,
            vendor: maker.unwrap_or_else(|| format!("PCI vendor {}", device.vendor)),
            address: Some(device.address.clone()),
            pci_id: Some(format!("{}:{}", device.vendor, device.device)),
            probe: "PCI ids".to_owned(),
            pcie_gen,
            pcie_lanes,
            ..ProbedGpu::default()
        });
    }
    found
}
