//! What is taken for granted where a machine does not say: `hardware-profiles/assumptions.toml`.

use crate::catalogue::decode::{BadFile, Count, decode_text};
use crate::catalogue::hardware::{Accelerator, chip_bytes};
use crate::table;
use crate::units::Bytes;
use std::collections::BTreeMap;

const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/hardware-profiles/assumptions.toml"));

table! {
    /// All assumptions.
    pub struct Assumptions ("the assumptions") {
        /// Share of installed memory a driver reports.
        pub visible: VisibleShare,
        /// Share of unified memory that a device may use.
        pub unified: Vec<UnifiedShare>,
        /// Hosts by class of machine.
        pub host: BTreeMap<String, HostDefault>,
        /// Processors that are not in the catalogue.
        pub unknown_cpu: Vec<UnknownCpu>,
        /// Clocks of processors that publish none for all cores.
        pub all_core_clock: AllCoreClock,
        /// Devices of one node by accelerator id, and `default`.
        pub per_node: BTreeMap<String, Count>,
        /// Machines without accelerators.
        pub cpu_only: CpuOnly,
    }
}

table! {
    /// Share of installed memory a driver reports.
    pub struct VisibleShare ("the visible share") {
        /// The share.
        pub share: f64,
        /// Where it was observed.
        pub source: String,
    }
}

table! {
    /// Share of unified memory a device may use, from a size upwards.
    pub struct UnifiedShare ("a share of unified memory") {
        /// Maker of the device.
        pub vendor: String,
        /// Smallest installed size it holds for.
        pub from: Bytes,
        /// The share.
        pub share: f64,
        /// Where it was observed.
        pub source: String,
    }
}

table! {
    /// The host of a class of machines.
    pub struct HostDefault ("a default host") {
        /// Catalogue id of the processor.
        pub cpu: String,
        /// Sockets.
        pub sockets: Count,
        /// Memory of one node.
        pub ram: Bytes,
        /// Memory the system uses.
        pub in_use: Bytes,
        /// Link between nodes.
        pub network: String,
        /// Why this host.
        pub why: String,
    }
}

table! {
    /// A processor that is not in the catalogue.
    pub struct UnknownCpu ("an unknown processor") {
        /// Fewest cores it holds for.
        pub from_cores: Count,
        /// Memory channels.
        pub channels: Count,
        /// Memory speed, MT/s.
        pub mt_s: Count,
        /// Clock with all cores busy, GHz.
        pub clock_ghz: f64,
        /// Why.
        pub why: String,
    }
}

table! {
    /// The clock with all cores busy, from the base clock to the highest.
    pub struct AllCoreClock ("an all-core clock") {
        /// Share of the way from base to highest.
        pub share: f64,
        /// Where it was observed.
        pub source: String,
    }
}

table! {
    /// A machine without accelerators.
    pub struct CpuOnly ("a processor-only machine") {
        /// Memory per channel.
        pub ram_per_channel: Bytes,
    }
}

impl Assumptions {
    /// The shipped assumptions.
    ///
    /// # Errors
    /// When the shipped file does not read, which a test rules out.
    pub fn shipped() -> Result<Self, BadFile> {
        decode_text("hardware-profiles/assumptions.toml", TEXT, 1)
    }

    /// Devices of one node as such accelerators are built.
    pub fn devices_per_node(&self, id: &str) -> u32 {
        let count = self.per_node.get(id).or_else(|| self.per_node.get("default"));
        count.map_or(8, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
    }

    /// Share of `installed` unified memory that a device may use, and where it was observed.
    pub fn unified_share(&self, accelerator: &Accelerator, installed: Bytes) -> (f64, &str) {
        let fitting =
            |share: &&UnifiedShare| share.vendor == accelerator.vendor && chip_bytes(share.from) <= installed;
        let best = self.unified.iter().rfind(fitting);
        best.map_or((self.visible.share, self.visible.source.as_str()), |share| {
            (share.share, share.source.as_str())
        })
    }

    /// What a processor of that many cores has at least.
    pub fn unknown_cpu(&self, cores: u64) -> Option<&UnknownCpu> {
        self.unknown_cpu.iter().rfind(|cpu| cpu.from_cores.get() <= cores.max(1))
    }
}
