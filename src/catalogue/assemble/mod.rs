//! Puts machines together: devices, hosts, links and prices from catalogue entries and assumptions.
//!
//! Rig files, flags, catalogue systems and detection all build their [`Machine`] here, so that the
//! same silence is always filled by the same assumption, and each one is said in a sentence.

mod device;
mod host;
mod price;

pub(crate) use device::GroupSays;
pub(crate) use host::{HostSays, channel_rate};

use crate::catalogue::assumptions::Assumptions;
use crate::catalogue::decode::Count;
use crate::catalogue::hardware::{Accelerator, Machine, MachinePrice, Node};
use crate::catalogue::store::{Catalogue, Layer, LookupError};
use crate::fact::{Fact, Origin};
use crate::units::Bandwidth;

/// The class of host that usually carries such devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostClass {
    Desktop,
    Workstation,
    Node,
    Rack,
    VeraRack,
    Superchip,
    Unified,
}

impl HostClass {
    const fn key(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Workstation => "workstation",
            Self::Node => "node",
            Self::Rack => "rack",
            Self::VeraRack => "rack-vera",
            Self::Superchip => "superchip",
            Self::Unified => "unified",
        }
    }

    /// The class of a node with `count` devices.
    pub(crate) fn of(id: &str, accelerator: &Accelerator, count: u32) -> Self {
        let domain = accelerator.link.as_ref().and_then(|link| link.domain).map_or(1, Count::get);
        if accelerator.is_unified() && !accelerator.has_fabric() {
            Self::Unified
        } else if id.starts_with("gh200") {
            Self::Superchip
        } else if accelerator.has_fabric() && accelerator.vendor == "NVIDIA" && domain >= 72 {
            if accelerator.arch == "Rubin" { Self::VeraRack } else { Self::Rack }
        } else if accelerator.has_fabric() {
            Self::Node
        } else if count > 2 || is_professional(accelerator) {
            Self::Workstation
        } else {
            Self::Desktop
        }
    }
}

/// Whether a PCIe card is sold for workstations and servers rather than for games.
fn is_professional(accelerator: &Accelerator) -> bool {
    let game = ["GeForce", "Radeon RX", "Intel Arc A", "Intel Arc B", "TITAN"];
    !game.iter().any(|word| accelerator.name.contains(word))
}

/// Builds one machine and collects what it had to assume.
pub(crate) struct Assembler<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) assumed: Assumptions,
    notes: Vec<String>,
}

impl<'a> Assembler<'a> {
    pub(crate) fn new(catalogue: &'a Catalogue) -> Result<Self, LookupError> {
        Ok(Self { catalogue, assumed: catalogue.assumptions()?, notes: Vec::new() })
    }

    /// Adds a sentence for the reader, once.
    pub(crate) fn note(&mut self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        if !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }

    /// An assumed value, with its sentence noted.
    pub(crate) fn assume<T>(&mut self, value: T, sentence: impl Into<String>) -> Fact<T> {
        let sentence = sentence.into();
        self.note(sentence.clone());
        Fact::new(value, Origin::Assumed(sentence))
    }

    /// Finishes a machine: fabric, prices nobody stated, and the sentences.
    pub(crate) fn finish(
        mut self,
        name: String,
        nodes: Vec<Node>,
        network: Option<Fact<Bandwidth>>,
        stated: MachinePrice,
    ) -> Result<Machine, LookupError> {
        let scale_up_domain = scale_up_domain(&nodes);
        let mut price = stated;
        let owned = price.purchase.as_ref().is_some_and(|fact| matches!(fact.origin, Origin::User(_)));
        let rented = price.rent_per_hour.as_ref().is_some_and(|fact| matches!(fact.origin, Origin::User(_)));
        // Who says what the machine costs has said how it is paid for.
        if price.rent_per_hour.is_none() && !owned {
            price.rent_per_hour = self.usual_rent(&nodes)?;
        }
        if price.purchase.is_none() && !rented {
            price.purchase = match self.system_price(&nodes)? {
                Some(known) => Some(known),
                None => self.device_prices(&nodes),
            };
        }
        Ok(Machine { name, nodes, network, scale_up_domain, price, assumptions: self.notes })
    }
}

/// Devices one fabric joins: those of a node, or more where the fabric spans nodes.
fn scale_up_domain(nodes: &[Node]) -> u32 {
    let per_node = |node: &Node| node.devices.iter().map(|group| group.count).sum::<u32>();
    let widest = nodes.iter().map(per_node).max().unwrap_or(0);
    let total: u32 = nodes.iter().map(|node| node.count * per_node(node)).sum();
    let spans = nodes.iter().flat_map(|node| &node.devices).filter_map(|group| {
        let accelerator = &group.accelerator;
        let domain = accelerator.link.as_ref()?.domain?.get();
        let spanning = accelerator.has_fabric() && !group.id.starts_with("gh200");
        (spanning && domain > u64::from(group.count)).then(|| u32::try_from(domain).unwrap_or(u32::MAX))
    });
    spans.max().map_or(widest, |domain| if domain > 8 { domain.min(total) } else { widest })
}

/// The origin of a catalogue figure, naming a layer of the user.
pub(crate) fn catalogue_origin(layer: &Layer, source: &str) -> Origin {
    match layer {
        Layer::Shipped => Origin::Catalogue(source.to_owned()),
        Layer::User(_) => Origin::Catalogue(format!("{source} (layer {layer})")),
    }
}
