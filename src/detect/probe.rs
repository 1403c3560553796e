//! What the system and its drivers said, unchanged.

use crate::detect::modules::{ProbedModule, modules};
use crate::detect::readings::Readings;
use crate::detect::source::Source;
use crate::detect::{amd, apple, cpu, disks, fabric, intel, memory, nvidia, other};
use serde::{Deserialize, Serialize};

/// What was read from one machine. Amounts are bytes; what could not be read is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Where a recorded probe comes from; empty when read just now.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recorded: String,
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub arch: String,
    /// Who made the machine, as firmware says; hypervisors give themselves away here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_vendor: Option<String>,
    /// What stands between this program and the hardware: a container, WSL, a hypervisor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// The processors.
    pub cpu: ProbedCpu,
    /// The memory.
    pub ram: ProbedRam,
    /// The graphics devices, in the order of the driver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<ProbedGpu>,
    /// The disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<ProbedDisk>,
    /// The network ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ProbedPort>,
    /// What could not be asked, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The processors as the system describes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedCpu {
    /// Name.
    pub brand: String,
    /// Sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<u32>,
    /// Physical cores of all sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Hardware threads of all sockets.
    pub threads: u32,
    /// Instruction sets that matter here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub isa: Vec<String>,
    /// Caches of the first core.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<ProbedCache>,
    /// NUMA nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numa: Vec<ProbedNode>,
}

/// One cache.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedCache {
    /// Level.
    pub level: u32,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Hardware threads that share it.
    pub threads: u32,
}

/// One NUMA node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedNode {
    /// Hardware threads; none where it is memory only.
    pub threads: u32,
    /// Memory in bytes.
    pub memory: u64,
}

/// One disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedDisk {
    /// Name of the device.
    pub device: String,
    /// `nvme`, `ssd`, `hdd`, `virtual` or `unknown`.
    pub kind: String,
    /// Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Free space in bytes, of the file system that holds the current folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// That file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<String>,
    /// PCIe generation of an NVMe disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcie_gen: Option<u32>,
    /// PCIe lanes of an NVMe disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcie_lanes: Option<u32>,
}

/// One network port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedPort {
    /// Name of the device and port.
    pub name: String,
    /// `InfiniBand`, `RoCE` or `Ethernet`.
    pub kind: String,
    /// Rate, Gb/s.
    pub gbit: f64,
    /// Whether the link is up.
    pub active: bool,
}

/// The memory as the system describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedRam {
    /// All of it.
    pub total: u64,
    /// What programs hold, without caches.
    pub used: u64,
    /// Limit of the container, where there is one below the total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Populated modules, where the system tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<ProbedModule>,
}

/// One graphics device as its driver describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedGpu {
    /// Name.
    pub name: String,
    /// Maker.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub vendor: String,
    /// Which probe found it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub probe: String,
    /// PCI vendor and device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci_id: Option<String>,
    /// PCI address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Memory in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Memory in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// Memory the driver keeps for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<u64>,
    /// System memory the device may map besides its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<u64>,
    /// System memory it has mapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_used: Option<u64>,
    /// Most of the system's memory the device may hold, where a person set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wired_limit: Option<u64>,
    /// Whether it is part of the processor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub integrated: bool,
    /// Highest PCIe generation of the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcie_gen: Option<u32>,
    /// Highest number of PCIe lanes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcie_lanes: Option<u32>,
    /// PCIe generation now, which an idle device lowers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcie_gen_now: Option<u32>,
    /// PCIe lanes now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcie_lanes_now: Option<u32>,
    /// Active scale-up links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up_links: Option<u32>,
    /// What the scale-up links lead to, by PCI address: other devices, or switches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// Enforced power limit, watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_limit_w: Option<f64>,
    /// Whether the device is split into partitions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partitioned: bool,
    /// The partitions this program may see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<ProbedPartition>,
    /// Compute capability, or the vendor's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute: Option<String>,
    /// Width of the memory bus, bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus_bits: Option<u32>,
    /// Highest memory clock, MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mhz: Option<u32>,
    /// Cores of an integrated device, where they tell variants apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
}

/// A partition of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedPartition {
    /// Name, which ends in its profile: `3g.40gb`.
    pub name: String,
    /// Memory in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Memory in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}

/// Reads this machine. What cannot be read is absent and noted; this never fails, needs no rights,
/// and no part of it takes longer than its limit.
pub fn probe() -> Probe {
    read_machine().0
}

/// Reads this machine and keeps the readings it concluded from.
pub fn read_machine() -> (Probe, Readings) {
    let mut source = Source::live();
    let probe = ask(&mut source);
    (probe, source.readings)
}

/// What a recorded machine says.
pub fn replay(readings: &Readings) -> Probe {
    ask(&mut Source::replay(readings.clone()))
}

fn ask(source: &mut Source) -> Probe {
    let cpu = source.within_limit("the processor", cpu::cpu);
    let ram = source.within_limit("the memory", memory::ram);
    let modules = source.within_limit("the list of memory modules", modules);
    let environment = source.within_limit("the system", cpu::environment);
    let mut gpus = source.within_limit("the NVIDIA driver", nvidia::gpus);
    gpus.extend(source.within_limit("the AMD driver", amd::gpus));
    gpus.extend(source.within_limit("the Intel driver", intel::gpus));
    gpus.extend(source.within_limit("the Apple system", apple::gpus));
    gpus.extend(source.within_limit("the PCI bus", other::accelerators));
    let disks = source.within_limit("the list of disks", disks::disks);
    let ports = source.within_limit("the network", fabric::ports);
    if gpus.is_empty() {
        source.note("no accelerator was found");
    }
    Probe {
        recorded: source.readings.recorded.clone(),
        os: source.within_limit("the name of the system", cpu::os_name),
        arch: source.readings.arch.clone(),
        system_vendor: source.within_limit("the firmware", cpu::system_vendor),
        environment,
        cpu,
        ram: ProbedRam { modules, ..ram },
        gpus,
        disks,
        ports,
        notes: std::mem::take(&mut source.notes),
    }
}
