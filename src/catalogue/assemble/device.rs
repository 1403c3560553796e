//! A group of equal devices: memory the driver gives, how the devices are joined, their host link.

use super::price::latest_price;
use super::{Assembler, catalogue_origin, is_professional};
use crate::catalogue::decode::Count;
use crate::catalogue::hardware::{Accelerator, Cpu, DeviceGroup, Topology, chip_bytes};
use crate::catalogue::store::Entry;
use crate::fact::{Fact, Origin};
use crate::units::{Bandwidth, Bytes, Money};
use std::sync::Arc;

/// What a machine says about a group of devices beyond their catalogue entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupSays {
    /// Installed or driver-reported memory.
    pub(crate) memory: Option<Fact<Bytes>>,
    /// Memory others use.
    pub(crate) in_use: Option<Bytes>,
    /// Measured bandwidth.
    pub(crate) bandwidth: Option<Fact<Bandwidth>>,
    /// How the devices reach each other.
    pub(crate) topology: Option<Fact<Topology>>,
    /// Link to the host.
    pub(crate) host_link: Option<Fact<Bandwidth>>,
    /// Price of one device.
    pub(crate) price: Option<Fact<Money>>,
}

impl Assembler<'_> {
    /// A group of equal devices; `None` when the memory is neither sold in one size nor stated.
    pub(crate) fn group(
        &mut self,
        device: &Entry<Accelerator>,
        count: u32,
        cpu: Option<&Cpu>,
        says: GroupSays,
    ) -> Option<DeviceGroup> {
        let accelerator = &device.value;
        let source = catalogue_origin(&device.layer, &accelerator.source);
        let memory = self.visible_memory(device, says.memory.as_ref())?;
        let topology = says.topology.unwrap_or_else(|| self.topology(device, count));
        let host_link = says.host_link.unwrap_or_else(|| self.host_link(device, count, cpu));
        let price = says.price.or_else(|| latest_price(&accelerator.price));
        Some(DeviceGroup {
            id: device.id.clone(),
            accelerator: Arc::clone(accelerator),
            count,
            memory,
            in_use: says.in_use.unwrap_or(Bytes::ZERO),
            bandwidth: says.bandwidth.unwrap_or_else(|| Fact::new(accelerator.bandwidth, source)),
            topology,
            host_link,
            price,
        })
    }

    /// Memory the driver offers. A stated size that is the installed one of a product (a whole
    /// number of GiB or of marketed GB) loses what drivers keep; any other figure, and any that a
    /// probe read from this machine, is the driver's.
    fn visible_memory(
        &mut self,
        device: &Entry<Accelerator>,
        stated: Option<&Fact<Bytes>>,
    ) -> Option<Fact<Bytes>> {
        let accelerator = &device.value;
        let marketed = accelerator.memory.map(chip_bytes);
        if let Some(stated) = stated {
            let gib = chip_bytes(stated.value).in_gib();
            let installed = (gib - gib.round()).abs() < 1e-6;
            if !installed || matches!(stated.origin, Origin::Detected(_)) {
                return Some(stated.clone());
            }
        }
        let installed = stated.map(|fact| chip_bytes(fact.value)).or(marketed)?;
        if let Some(usable) = accelerator.usable
            && Some(installed) == marketed
        {
            return Some(Fact::new(usable, catalogue_origin(&device.layer, &accelerator.source)));
        }
        let name = &accelerator.name;
        if accelerator.is_unified() && !accelerator.has_fabric() {
            let (share, observed) = self.assumed.unified_share(accelerator, installed);
            let sentence = format!(
                "{name}: the GPU may use {:.0} % of {installed} of unified memory ({observed})",
                share * 100.0
            );
            return Some(self.assume(installed * share, sentence));
        }
        let share = self.assumed.visible.share;
        let sentence = format!("{name}: the driver reports {:.0} % of {installed} installed", share * 100.0);
        Some(self.assume(installed * share, sentence))
    }

    /// How the devices of a node reach each other when it does not say.
    fn topology(&mut self, device: &Entry<Accelerator>, count: u32) -> Fact<Topology> {
        let accelerator = &device.value;
        let source = catalogue_origin(&device.layer, &accelerator.source);
        if count <= 1 {
            return Fact::new(Topology::Single, Origin::Derived("one device".to_owned()));
        }
        if let Some(link) = accelerator.link.as_ref().filter(|_| accelerator.has_fabric()) {
            let mesh = ["xgmi", "xelink", "ici", "neuronlink", "roce"]
                .iter()
                .any(|word| link.name.starts_with(word));
            return Fact::new(if mesh { Topology::Mesh } else { Topology::Switched }, source);
        }
        let name = &accelerator.name;
        if accelerator.link.as_ref().is_some_and(|link| link.name.contains("bridge")) {
            self.note(format!(
                "{name}: no bridge between the cards is assumed; state `topology = \"bridged\"` if there is one"
            ));
        }
        if accelerator.vendor == "NVIDIA" && !is_professional(accelerator) {
            let sentence = format!(
                "{name}: transfers between cards go through host memory, the driver of GeForce cards \
                 allows no peer-to-peer"
            );
            self.assume(Topology::PcieHost, sentence)
        } else {
            self.assume(Topology::Pcie, format!("{name}: the cards reach each other over PCIe, peer to peer"))
        }
    }

    /// Lanes of each card: desktop processors, told by their two memory channels, have sixteen for
    /// all cards together, which boards divide by halves.
    fn lanes_each(&mut self, accelerator: &Accelerator, count: u32, cpu: Option<&Cpu>) -> u64 {
        let lanes = accelerator.pcie_lanes.map_or(16, Count::get);
        let desktop = cpu.filter(|cpu| cpu.channels.is_some_and(|channels| channels.get() <= 2));
        let Some(cpu) = desktop.filter(|_| count > 1) else { return lanes };
        let shared = (16 / u64::from(count).next_power_of_two()).max(1);
        if shared >= lanes {
            return lanes;
        }
        self.note(format!(
            "{} has 16 PCIe lanes for cards: x{shared} for each of {count} is assumed",
            cpu.name
        ));
        shared
    }

    /// Rate of one direction between a device and its host.
    fn host_link(&mut self, device: &Entry<Accelerator>, count: u32, cpu: Option<&Cpu>) -> Fact<Bandwidth> {
        let accelerator = &device.value;
        if accelerator.is_unified() {
            let rule = "unified memory: the host reads at the device's rate".to_owned();
            return Fact::new(accelerator.bandwidth, Origin::Derived(rule));
        }
        let coherent = match cpu.map(|cpu| cpu.name.as_str()) {
            Some(name) if name.contains("Grace") => Some("nvlink-c2c"),
            Some(name) if name.contains("Vera") => Some("nvlink-c2c-vera"),
            _ => None,
        };
        let host_gen = cpu.and_then(|cpu| pcie_generation(cpu.pcie.as_deref()?));
        let device_gen = accelerator.pcie_gen.map(Count::get);
        let lanes = self.lanes_each(accelerator, count, cpu);
        let generation = match (device_gen, host_gen) {
            (Some(device), Some(host)) => Some(device.min(host)),
            (one, other) => one.or(other),
        };
        // A link of few lanes is the same share of the full one.
        let (id, share) = match (coherent, generation) {
            (Some(id), _) => (id.to_owned(), 1.0),
            (None, Some(generation)) => (format!("pcie{generation}-x16"), lanes as f64 / 16.0),
            (None, None) => {
                let sentence =
                    format!("{}: the link to the host is not known; PCIe 3.0 is assumed", accelerator.name);
                self.note(sentence);
                ("pcie3-x16".to_owned(), lanes as f64 / 16.0)
            }
        };
        let link = self.catalogue.link(&id).ok();
        match link.and_then(|link| Some((link.value.one_way?, link))) {
            Some((rate, link)) => {
                let of_lanes = if coherent.is_some() { String::new() } else { format!(", {lanes} lanes") };
                let source = format!("{}{of_lanes}: {}", link.value.name, link.value.source);
                Fact::new(rate * share, catalogue_origin(&link.layer, &source))
            }
            None => self.assume(
                Bandwidth::gb_s(1.0),
                format!("{}: the link `{id}` is not in the catalogue; 1 GB/s is assumed", accelerator.name),
            ),
        }
    }
}

/// `PCIe 5.0 x128` is generation 5.
fn pcie_generation(text: &str) -> Option<u64> {
    let digits = text.trim_start_matches("PCIe").trim_start();
    digits.split(['.', ' ']).next()?.parse().ok()
}
