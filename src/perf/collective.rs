//! Collectives between the ranks of a group, and hand-over between pipeline stages.
//!
//! All-reduce of S bytes over n ranks: `alpha + 2 (n-1)/n S / bus`, alpha under graph capture.
//! The fabric decides both: a switched scale-up fabric, a bridge between two devices, `PCIe` with or
//! without peer-to-peer transfers, the network between nodes. Sizes between 0.1 and 2 MB lie on a
//! ramp that the line underestimates by up to a factor of two.

use super::constants::{Fetch, Kind, Missing};
use super::parts::Cost;
use crate::catalogue::machine::{DeviceGroup, Machine, Topology};

const US: f64 = 1e-6;
const GB_S: f64 = 1e9;

/// What joins a number of ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fabric {
    /// Scale-up links at full rate between all.
    Switched,
    /// A bridge between two devices.
    Bridged,
    /// `PCIe` with peer-to-peer transfers.
    Pcie,
    /// `PCIe` through host memory.
    Host,
    /// The network between nodes.
    Network,
}

impl Fabric {
    /// The weakest fabric among so many consecutive devices of a group.
    pub(super) fn of(machine: &Machine, group: &DeviceGroup, ranks: u32) -> Self {
        let in_node = ranks <= group.count.max(1);
        if !in_node {
            return if ranks <= machine.scale_up_domain { Self::Switched } else { Self::Network };
        }
        match group.topology.value {
            Topology::Single | Topology::Switched | Topology::Mesh => Self::Switched,
            Topology::Bridged if ranks <= 2 => Self::Bridged,
            Topology::Bridged | Topology::Pcie => Self::Pcie,
            Topology::PcieHost => Self::Host,
        }
    }
}

/// All-reduce over a group of ranks.
#[derive(Clone, Copy, Debug)]
pub(super) struct AllReduce {
    alpha: f64,
    /// Seconds per byte of the message.
    per_byte: f64,
}

impl AllReduce {
    /// The all-reduce of `ranks`; nothing to do for one.
    pub(super) fn new(
        machine: &Machine,
        group: &DeviceGroup,
        ranks: u32,
        fetch: &mut Fetch<'_>,
    ) -> Result<Option<Self>, Missing> {
        if ranks < 2 {
            return Ok(None);
        }
        let kind = Kind::of_count(ranks);
        let (alpha, bus) = match Fabric::of(machine, group, ranks) {
            Fabric::Switched => (fetch.of("switched_alpha", kind)?, fetch.of("switched_bus", kind)? * GB_S),
            Fabric::Bridged => {
                let link = group.accelerator.link.as_ref().and_then(|link| link.bandwidth);
                let both_ways = link.ok_or(Missing("the rate of the bridge between devices"))?.get();
                (fetch.of("switched_alpha", kind)?, both_ways / 2.0 * fetch.get("bridge_share")?)
            }
            Fabric::Pcie => (fetch.of("pcie_alpha", kind)?, fetch.of("pcie_bus", kind)? * GB_S),
            Fabric::Host => (fetch.get("host_alpha")?, fetch.get("host_bus")? * GB_S),
            Fabric::Network => (fetch.get("network_alpha")?, network(machine)? * fetch.get("network_share")?),
        };
        let ranks = f64::from(ranks);
        Ok(Some(Self { alpha: alpha * US, per_byte: 2.0 * (ranks - 1.0) / ranks / bus }))
    }

    /// One all-reduce.
    pub(super) fn cost(&self, bytes: f64) -> Cost {
        Cost { time: self.alpha + bytes * self.per_byte, flop: 0.0, bytes }
    }
}

/// Rate of the network per device, bytes per second.
fn network(machine: &Machine) -> Result<f64, Missing> {
    machine
        .network
        .as_ref()
        .map(|rate| rate.value.get())
        .ok_or(Missing("the rate of the network between nodes"))
}

/// Dispatch of tokens to experts on other ranks and the combination of their results.
#[derive(Clone, Copy, Debug)]
pub(super) struct AllToAll {
    alpha: f64,
    /// Seconds per local token.
    per_token: f64,
}

impl AllToAll {
    /// The exchange of tokens of `inner` elements, each going to `active` experts over `ranks`:
    /// `a + 3 T h dd / bus`, dd = distinct devices of a token, one byte out and two back.
    pub(super) fn new(
        machine: &Machine,
        group: &DeviceGroup,
        ranks: u32,
        (inner, active): (f64, f64),
        fetch: &mut Fetch<'_>,
    ) -> Result<Self, Missing> {
        let devices = super::ops::distinct(f64::from(ranks), 1.0, active);
        let mut alpha = fetch.get("alltoall_alpha")? * US;
        let mut per_token = 3.0 * inner * devices / (fetch.get("alltoall_bus")? * GB_S);
        if Fabric::of(machine, group, ranks) == Fabric::Network {
            alpha += fetch.get("alltoall_remote")? * US;
            let islands =
                (f64::from(ranks) / f64::from(machine.scale_up_domain.max(group.count).max(1))).ceil();
            let remote = super::ops::distinct(islands, 1.0, active) * (islands - 1.0) / islands;
            per_token += 3.0 * inner * remote / (network(machine)? * fetch.get("network_share")?);
        }
        Ok(Self { alpha, per_token })
    }

    /// Both directions for so many local tokens.
    pub(super) fn cost(&self, tokens: f64) -> Cost {
        Cost::fixed(self.alpha + tokens * self.per_token)
    }
}

/// Hand-over of activations to the next stage: latency and bytes over the link.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandOver {
    alpha: f64,
    per_byte: f64,
}

impl HandOver {
    /// Between stages of a server: over the host link or the network, whichever is met.
    pub(super) fn server(
        machine: &Machine,
        group: &DeviceGroup,
        ranks: u32,
        fetch: &mut Fetch<'_>,
    ) -> Result<Self, Missing> {
        let alpha = fetch.get("hand_over")? * US;
        let rate = match Fabric::of(machine, group, ranks) {
            Fabric::Network => network(machine)? * fetch.get("network_share")?,
            Fabric::Switched | Fabric::Bridged => {
                match group.accelerator.link.as_ref().and_then(|link| link.bandwidth) {
                    Some(both_ways) => both_ways.get() / 2.0,
                    None => group.host_link.value.get(),
                }
            }
            Fabric::Pcie | Fabric::Host => group.host_link.value.get(),
        };
        Ok(Self { alpha, per_byte: 1.0 / rate })
    }

    /// Between the parts of a layer split, as measured end to end.
    pub(super) fn local(
        machine: &Machine,
        group: &DeviceGroup,
        stages: u32,
        fetch: &mut Fetch<'_>,
    ) -> Result<Self, Missing> {
        let across = stages > group.count && machine.node_count() > 1;
        let alpha = fetch.of("layer_split_hop", if across { Kind::Network } else { Kind::Local })? * US;
        Ok(Self { alpha, per_byte: 1.0 / group.host_link.value.get() })
    }

    /// One hand-over.
    pub(super) fn cost(&self, bytes: f64) -> Cost {
        Cost { time: self.alpha + bytes * self.per_byte, flop: 0.0, bytes }
    }
}
