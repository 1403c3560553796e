//! What a machine is made of: accelerators, processors, links, and the machine itself.
//!
//! [`Accelerator`], [`Cpu`] and [`Link`] are catalogue entries. [`Machine`] is the resolved
//! hardware of one question: every reference followed, every assumption written down.

use crate::catalogue::decode::Count;
use crate::fact::Fact;
use crate::units::{Bandwidth, Bytes, FlopRate, Money, Watts};
use crate::{table, words};
use serde::Serialize;
use std::sync::Arc;

words! {
    /// How an accelerator's memory relates to the host's.
    pub enum MemoryPool ("memory pool") {
        /// Memory of its own behind a link.
        Own = "own",
        /// One pool shared with the CPU.
        Unified = "unified",
    }
}

table! {
    /// One accelerator model.
    pub struct Accelerator ("an accelerator") {
        /// Name as drivers and vendors write it.
        pub name: String,
        /// Maker.
        pub vendor: String,
        /// Architecture, as the vendor calls it.
        pub arch: String,
        /// CUDA compute capability or the vendor's equivalent.
        pub compute_capability: Option<String>,
        /// Date of release.
        pub released: Option<String>,
        /// Marketed memory.
        pub memory: Bytes,
        /// What the driver reports as total, when known.
        pub usable: Option<Bytes>,
        /// Memory type.
        pub memory_type: Option<String>,
        /// Whether the memory is shared with the CPU.
        pub pool: Option<MemoryPool>,
        /// Peak memory bandwidth.
        pub bandwidth: Bandwidth,
        /// Peak dense rates in TFLOP/s (TOP/s for integers).
        pub rates: Rates,
        /// Board or package power limit, watts.
        pub tdp_w: Option<f64>,
        /// PCIe generation.
        pub pcie_gen: Option<Count>,
        /// PCIe lanes.
        pub pcie_lanes: Option<Count>,
        /// Scale-up link between devices.
        pub link: Option<DeviceLink>,
        /// Second-level cache.
        pub l2: Option<Bytes>,
        /// Prices of one device.
        pub price: Vec<Price>,
        /// `released`, `announced`, `rumoured`.
        pub status: Option<String>,
        /// Grade of the entry: A datasheet, B secondary, C estimate.
        pub grade: Option<String>,
        /// What a reader should know.
        pub note: Option<String>,
        /// Where the figures stand.
        pub source: String,
    }
}

table! {
    /// Peak dense rates by precision, TFLOP/s; blank where not known.
    pub struct Rates ("peak rates") {
        /// Single precision.
        pub fp32: Option<f64>,
        /// TF32 on matrix units.
        pub tf32: Option<f64>,
        /// Half precision, accumulating in single.
        pub fp16: Option<f64>,
        /// Half precision, accumulating in half.
        pub fp16_acc16: Option<f64>,
        /// bfloat16.
        pub bf16: Option<f64>,
        /// 8-bit float.
        pub fp8: Option<f64>,
        /// 4-bit float.
        pub fp4: Option<f64>,
        /// 8-bit integer.
        pub int8: Option<f64>,
    }
}

table! {
    /// The scale-up link of an accelerator.
    pub struct DeviceLink ("a device link") {
        /// `NVLink 4`, `Infinity Fabric`, …
        pub name: String,
        /// Both directions together, per device.
        pub bandwidth: Option<Bandwidth>,
        /// Most devices one fabric joins.
        pub domain: Option<Count>,
    }
}

table! {
    /// A price with its date.
    pub struct Price ("a price") {
        /// `msrp`, `street`, `purchase`.
        pub kind_of as "basis": String,
        /// US dollars.
        pub usd: f64,
        /// Date.
        pub date: Option<String>,
        /// Where it stands.
        pub source: Option<String>,
    }
}

table! {
    /// One processor model.
    pub struct Cpu ("a processor") {
        /// Name.
        pub name: String,
        /// Maker.
        pub vendor: String,
        /// Product family.
        pub family: Option<String>,
        /// Physical cores.
        pub cores: Count,
        /// Base clock, GHz.
        pub base_ghz: Option<f64>,
        /// Clock with all cores busy, GHz.
        pub all_core_ghz: Option<f64>,
        /// Highest clock, GHz.
        pub max_ghz: Option<f64>,
        /// Memory type.
        pub memory_type: Option<String>,
        /// Memory channels of one socket.
        pub channels: Option<Count>,
        /// Highest memory speed, MT/s.
        pub memory_mt_s: Option<Count>,
        /// Peak memory bandwidth of one socket.
        pub bandwidth: Option<Bandwidth>,
        /// Measured STREAM bandwidth.
        pub stream: Option<Bandwidth>,
        /// Where the STREAM figure stands.
        pub stream_source: Option<String>,
        /// Instruction sets that matter: `avx2`, `avx512`, `vnni`, `amx`, `neon`, `sve`.
        pub isa: Vec<String>,
        /// Most sockets in one node.
        pub sockets_max: Option<Count>,
        /// Power limit, watts.
        pub tdp_w: Option<f64>,
        /// Price in US dollars.
        pub price_usd: Option<f64>,
        /// PCIe generation and lanes.
        pub pcie: Option<String>,
        /// What a reader should know.
        pub note: Option<String>,
        /// Where the figures stand.
        pub source: String,
    }
}

table! {
    /// One kind of link.
    pub struct Link ("a link") {
        /// Name.
        pub name: String,
        /// `pcie`, `nvlink`, `ethernet`, `infiniband`, …
        pub class: String,
        /// Theoretical rate in one direction.
        pub one_way: Option<Bandwidth>,
        /// Theoretical rate of both directions.
        pub both_ways: Option<Bandwidth>,
        /// Measured rate in one direction.
        pub achieved: Option<Bandwidth>,
        /// What was measured.
        pub achieved_note: Option<String>,
        /// Latency, microseconds.
        pub latency_us: Option<f64>,
        /// Lanes or links.
        pub lanes: Option<Count>,
        /// Where the figures stand.
        pub source: String,
        /// Date.
        pub date: Option<String>,
        /// What a reader should know.
        pub note: Option<String>,
    }
}

/// How the devices of one node reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// A single device, nothing to reach.
    Single,
    /// A switched scale-up fabric (NVSwitch, UALink): every pair at full rate.
    Switched,
    /// Direct scale-up links between pairs.
    Bridged,
    /// PCIe with peer-to-peer transfers.
    Pcie,
    /// PCIe through host memory, no peer-to-peer.
    PcieHost,
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

impl Accelerator {
    /// Whether the memory is shared with the CPU.
    pub fn is_unified(&self) -> bool {
        self.pool == Some(MemoryPool::Unified)
    }

    /// Peak dense rate of a matrix multiplication in 16-bit floats.
    pub fn matrix_rate(&self) -> Option<FlopRate> {
        self.rates.bf16.or(self.rates.fp16).or(self.rates.fp32).map(FlopRate::tflops)
    }
}
