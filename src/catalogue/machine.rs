//! The hardware of one question, fully resolved.
//!
//! A [`Machine`] comes from a rig file, a flag, a catalogue system or detection; whoever plans on
//! it never asks which. Each figure carries its origin, and what was assumed is also said in words.

use crate::catalogue::hardware::Accelerator;
use crate::fact::Fact;
use crate::units::{Bandwidth, Bytes, Money, Watts};
use crate::words;
use std::sync::Arc;

words! {
    /// How the devices of one node reach each other.
    pub enum Topology ("topology") {
        /// A single device, nothing to reach.
        Single = "single",
        /// A switched scale-up fabric (NVSwitch, UALink): every pair at full rate.
        Switched = "switched",
        /// Direct scale-up links from every device to every other; one pair gets only its share.
        Mesh = "mesh",
        /// Direct scale-up links between pairs.
        Bridged = "bridged",
        /// PCIe with peer-to-peer transfers.
        Pcie = "pcie",
        /// PCIe through host memory, no peer-to-peer.
        PcieHost = "pcie-host",
    }
}

/// A group of equal devices in a node.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceGroup {
    /// Catalogue id of the accelerator.
    pub id: String,
    /// The accelerator.
    pub accelerator: Arc<Accelerator>,
    /// How many in one node.
    pub count: u32,
    /// Memory the driver offers per device.
    pub memory: Fact<Bytes>,
    /// Memory others already use, per device.
    pub in_use: Bytes,
    /// Memory bandwidth, measured where the user measured it.
    pub bandwidth: Fact<Bandwidth>,
    /// How the devices reach each other.
    pub topology: Fact<Topology>,
    /// Link to the host, one direction, per device.
    pub host_link: Fact<Bandwidth>,
    /// Price of one device, if known.
    pub price: Option<Fact<Money>>,
}

/// The processor side of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// Catalogue id of the processor, if it is in the catalogue.
    pub cpu_id: Option<String>,
    /// Name of the processor.
    pub cpu_name: Fact<String>,
    /// Physical cores of all sockets.
    pub cores: Fact<u32>,
    /// Sockets.
    pub sockets: u32,
    /// All-core clock, GHz.
    pub clock_ghz: Fact<f64>,
    /// Instruction sets.
    pub isa: Vec<String>,
    /// Memory of the node.
    pub ram: Fact<Bytes>,
    /// Memory the system and others use.
    pub in_use: Fact<Bytes>,
    /// Peak memory bandwidth of all sockets.
    pub bandwidth: Fact<Bandwidth>,
    /// Power limit of all sockets, if known.
    pub tdp: Option<Watts>,
    /// Sequential read of the disk the weights lie on.
    pub disk: Option<Fact<Bandwidth>>,
    /// Free space on that disk.
    pub disk_free: Option<Bytes>,
}

/// A number of equal nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// How many.
    pub count: u32,
    /// Devices of each, in groups of equal ones; empty for a CPU-only node.
    pub devices: Vec<DeviceGroup>,
    /// Processor and memory of each.
    pub host: Host,
}

/// What a machine costs.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct MachinePrice {
    /// Rent of the whole machine, US dollars per hour.
    pub rent_per_hour: Option<Fact<Money>>,
    /// Purchase of the whole machine, US dollars.
    pub purchase: Option<Fact<Money>>,
    /// Price of power, US dollars per kWh.
    pub power_per_kwh: Option<Fact<Money>>,
    /// Wall power under load, if stated.
    pub wall_power: Option<Fact<Watts>>,
}

/// The hardware of one question, fully resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// How the user wrote it, or the file's name.
    pub name: String,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Network between nodes, one direction, per device; absent for one node.
    pub network: Option<Fact<Bandwidth>>,
    /// Devices joined by one scale-up fabric; crosses nodes in a rack-scale system.
    pub scale_up_domain: u32,
    /// Prices.
    pub price: MachinePrice,
    /// What was assumed, as sentences for the reader.
    pub assumptions: Vec<String>,
}

impl Machine {
    /// Number of nodes.
    pub fn node_count(&self) -> u32 {
        self.nodes.iter().map(|node| node.count).sum()
    }

    /// Devices of all nodes.
    pub fn device_count(&self) -> u32 {
        self.nodes.iter().map(|n| n.count * n.devices.iter().map(|g| g.count).sum::<u32>()).sum()
    }

    /// Every group of equal devices with the number of nodes that hold it.
    pub fn groups(&self) -> impl Iterator<Item = (u32, &DeviceGroup)> {
        self.nodes.iter().flat_map(|node| node.devices.iter().map(move |group| (node.count, group)))
    }

    /// The host of the first node; a machine always has one.
    pub fn host(&self) -> &Host {
        &self.nodes[0].host
    }
}

/// Devices a node holds before one more node is the nearer step.
const NODE_SIZE: u32 = 8;

impl Machine {
    /// The machine with so many times its hardware: devices while one node has room for them, else
    /// nodes. What is known of prices grows alike.
    #[must_use]
    pub fn times(&self, times: u32) -> Self {
        let mut more = self.clone();
        let in_node: u32 = self.nodes[0].devices.iter().map(|group| group.count).sum();
        let unified = self.groups().any(|(_, group)| group.accelerator.is_unified());
        let grows_inside = self.node_count() == 1 && in_node > 0 && in_node * times <= NODE_SIZE && !unified;
        for node in &mut more.nodes {
            if grows_inside {
                for group in &mut node.devices {
                    if group.count == 1 && group.topology.value == Topology::Single {
                        group.topology = Fact::new(
                            Topology::Pcie,
                            crate::fact::Origin::Assumed(
                                "a second device of the same node is reached over PCIe".to_owned(),
                            ),
                        );
                    }
                    group.count *= times;
                }
            } else {
                node.count *= times;
            }
        }
        if !grows_inside && more.network.is_none() {
            more.network = Some(Fact::new(
                NODE_NETWORK,
                crate::fact::Origin::Assumed("nodes joined by 400 Gb/s per device".to_owned()),
            ));
        }
        let factor = f64::from(times);
        let scale = |fact: &mut Option<Fact<Money>>| {
            if let Some(fact) = fact {
                fact.value = fact.value * factor;
            }
        };
        scale(&mut more.price.rent_per_hour);
        scale(&mut more.price.purchase);
        if let Some(power) = &mut more.price.wall_power {
            power.value = power.value * factor;
        }
        more
    }
}

/// What joins nodes that are only thought of.
const NODE_NETWORK: Bandwidth = Bandwidth::gb_s(50.0);

impl std::fmt::Display for Machine {
    /// `8× NVIDIA H200 SXM`, `2 nodes of 8× …`, `AMD EPYC 9355 with 768 GiB`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        for node in &self.nodes {
            let devices: Vec<String> = node
                .devices
                .iter()
                .map(|group| format!("{}× {}", group.count, group.accelerator.name))
                .collect();
            let inside = if devices.is_empty() {
                format!("{} ({} of memory)", node.host.cpu_name.value, node.host.ram.value)
            } else {
                devices.join(" + ")
            };
            parts.push(if node.count > 1 { format!("{} nodes of {inside}", node.count) } else { inside });
        }
        f.write_str(&parts.join(" and "))
    }
}
