//! What the system and its drivers said, unchanged.

use crate::detect::modules::{ProbedModule, modules};
use crate::detect::{amd, apple, host, nvidia};
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
    #[serde(default)]
    pub system_vendor: Option<String>,
    /// The processors.
    pub cpu: ProbedCpu,
    /// The memory.
    pub ram: ProbedRam,
    /// The graphics devices, in the order of the driver.
    #[serde(default)]
    pub gpus: Vec<ProbedGpu>,
    /// What could not be asked, and why.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The processors as the system describes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedCpu {
    /// Name.
    pub brand: String,
    /// Sockets.
    #[serde(default)]
    pub sockets: Option<u32>,
    /// Physical cores of all sockets.
    #[serde(default)]
    pub cores: Option<u32>,
    /// Hardware threads of all sockets.
    pub threads: u32,
    /// Instruction sets that matter here.
    #[serde(default)]
    pub isa: Vec<String>,
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
    #[serde(default)]
    pub limit: Option<u64>,
    /// Populated modules, where the system tells.
    #[serde(default)]
    pub modules: Vec<ProbedModule>,
}

/// One graphics device as its driver describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedGpu {
    /// Name.
    pub name: String,
    /// Maker.
    pub vendor: String,
    /// PCI address.
    #[serde(default)]
    pub address: Option<String>,
    /// Memory in all.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Memory in use.
    #[serde(default)]
    pub used: Option<u64>,
    /// Memory the driver keeps for itself.
    #[serde(default)]
    pub reserved: Option<u64>,
    /// System memory the device may map besides its own.
    #[serde(default)]
    pub shared: Option<u64>,
    /// Highest PCIe generation of the link.
    #[serde(default)]
    pub pcie_gen: Option<u32>,
    /// Highest number of PCIe lanes.
    #[serde(default)]
    pub pcie_lanes: Option<u32>,
    /// Active scale-up links.
    #[serde(default)]
    pub scale_up_links: Option<u32>,
    /// Enforced power limit, watts.
    #[serde(default)]
    pub power_limit_w: Option<f64>,
    /// Whether the device is split into partitions.
    #[serde(default)]
    pub partitioned: bool,
    /// Cores of an integrated device, where they tell variants apart.
    #[serde(default)]
    pub cores: Option<u32>,
}

/// Reads this machine. What cannot be read is absent and noted; this never fails.
pub fn probe() -> Probe {
    let mut notes = Vec::new();
    let mut gpus = nvidia::gpus(&mut notes);
    gpus.extend(amd::gpus(&mut notes));
    let cpu = host::cpu();
    let ram = ProbedRam { modules: modules(), ..host::ram() };
    gpus.extend(apple::gpus(&cpu, &mut notes));
    if gpus.is_empty() {
        notes.push("no accelerator was found".to_owned());
    }
    Probe {
        recorded: String::new(),
        os: host::os(),
        arch: std::env::consts::ARCH.to_owned(),
        system_vendor: host::system_vendor(),
        cpu,
        ram,
        gpus,
        notes,
    }
}
