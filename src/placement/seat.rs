//! One kind of rank: the devices of a pipeline stage, which all hold the same.

use crate::catalogue::hardware::DeviceGroup;
use crate::perf::deployment::Deployment;
use crate::placement::activations::Widths;
use crate::placement::settings::Settings;
use std::ops::Range;

/// How much the cache must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Sequences in flight, over one replica.
    pub sequences: u64,
    /// Tokens of each.
    pub context: u64,
}

/// A rank seen by the rules of an engine: its stage, its layers, its device.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// The deployment.
    pub deployment: &'a Deployment<'a>,
    /// Launch settings.
    pub settings: &'a Settings,
    /// Widest pieces of the model.
    pub widths: Widths,
    /// The device, absent for the part the CPU computes.
    pub group: Option<&'a DeviceGroup>,
    /// First layer it runs.
    pub first_layer: u32,
    /// One past its last layer.
    pub end_layer: u32,
    /// Position among the stages.
    pub stage: usize,
    /// Whether it is the last stage.
    pub last: bool,
}

impl Seat<'_> {
    /// Layers it runs.
    pub fn layers(&self) -> Range<u32> {
        self.first_layer..self.end_layer
    }

    /// Sequences of one attention group: those of the replica over its groups, rounded up.
    pub fn sequences(&self, load: Load) -> u64 {
        load.sequences.div_ceil(u64::from(self.deployment.placement.dp))
    }

    /// Sequences of one attention group the engine prepares for, graphs and sampler included.
    pub fn prepared(&self, load: Load) -> u64 {
        self.settings
            .sequences
            .map_or(self.sequences(load), |most| most.div_ceil(u64::from(self.deployment.placement.dp)))
    }

    /// Tensor-parallel ranks of an attention group.
    pub fn tp(&self) -> u64 {
        u64::from(self.deployment.placement.tp)
    }

    /// Whether the routed experts of a layer stay in host memory.
    pub fn experts_on_host(&self, layer: u32) -> bool {
        layer < self.widths.expert_layers_offloaded_end
    }

    /// Maker of the device, lower case; empty for the CPU.
    pub fn vendor(&self) -> &str {
        self.group.map_or("", |group| group.accelerator.vendor.as_str())
    }
}
