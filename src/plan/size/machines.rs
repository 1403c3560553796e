//! The machines of the catalogue that can be bought or rented: one unit of a deployment each.
//!
//! Complete systems as they are sold; accelerators that somebody rents out or sells, in nodes of 1, 2,
//! 4 and 8. Where a model needs more than a node, units of several nodes follow from these.

use crate::catalogue::hardware_flag::hardware;
use crate::catalogue::machine::Machine;
use crate::catalogue::store::{Catalogue, LookupError};
use crate::plan::size::ask::Bounds;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// What a machine says of a purchase price that counts its devices only.
pub(super) const DEVICES_ONLY: &str = "counts the devices only";
/// Devices of a node.
const COUNTS: [u32; 4] = [1, 2, 4, 8];

/// A machine that is bought or rented whole.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// What to ask for: `8xh200-sxm`, `gb200-nvl72`.
    pub name: String,
    /// The machine.
    pub machine: Machine,
    /// Whether its host is one somebody sells, not one that was assumed.
    pub whole: bool,
}

impl Unit {
    /// Whether what it costs to buy is known: of devices that go into a board made for them the board
    /// and the rest of the node are most of what is missing from the price of devices.
    pub(super) fn is_sold(&self) -> bool {
        let devices_only = self.machine.assumptions.iter().any(|said| said.contains(DEVICES_ONLY));
        !devices_only || !self.machine.groups().any(|(_, group)| group.accelerator.has_fabric())
    }

    /// So many nodes of a unit of one node as one unit.
    pub(super) fn times(&self, nodes: u32) -> Self {
        if self.whole {
            return Self {
                name: format!("{nodes}x {}", self.name),
                machine: self.machine.times(nodes),
                ..*self
            };
        }
        let (count, device) = self.name.split_once('x').unwrap_or(("1", &self.name));
        let devices = count.parse::<u32>().unwrap_or(1) * nodes;
        Self {
            name: format!("{devices}x{device}/{nodes} nodes"),
            machine: self.machine.times(nodes),
            ..*self
        }
    }
}

/// All units within bounds, in order of their names.
pub(super) fn units(catalogue: &Catalogue, bounds: &Bounds) -> Result<Vec<Unit>, LookupError> {
    let mut rented: BTreeSet<String> = BTreeSet::new();
    for offer in catalogue.offers()? {
        if offer.value.count >= 1.0 {
            rented.insert(offer.value.accelerator.clone());
        }
    }
    let mut names: Vec<(String, bool)> = catalogue.system_ids().map(|id| (id.to_owned(), true)).collect();
    for id in catalogue.accelerator_ids() {
        let device = catalogue.accelerator(id)?.value;
        let sold = device.price.iter().any(|price| price.likely().is_some());
        if (sold || rented.contains(id))
            && !device.is_unified()
            && !bounds.excludes_device(&device.vendor, id)
        {
            names.extend(COUNTS.map(|count| (format!("{count}x{id}"), false)));
        }
    }
    let mut units: Vec<Unit> = names
        .into_par_iter()
        .filter_map(|(name, whole)| {
            let machine = hardware(&name, catalogue).ok()?;
            (!bounds.excludes(&name, &machine)).then_some(Unit { name, machine, whole })
        })
        .collect();
    units.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(units)
}

impl Bounds {
    fn excludes_device(&self, vendor: &str, id: &str) -> bool {
        let vendor_is_out =
            !self.vendors.is_empty() && !self.vendors.iter().any(|v| v.eq_ignore_ascii_case(vendor));
        vendor_is_out
            || (!self.hardware.is_empty() && !self.hardware.iter().any(|part| id.contains(part.as_str())))
    }

    /// Whether a machine is not wanted.
    fn excludes(&self, name: &str, machine: &Machine) -> bool {
        let named = |id: &str| {
            self.hardware.is_empty() || self.hardware.iter().any(|part| id.contains(part.as_str()))
        };
        let wanted = |vendor: &str| {
            self.vendors.is_empty() || self.vendors.iter().any(|v| v.eq_ignore_ascii_case(vendor))
        };
        !machine
            .groups()
            .all(|(_, group)| wanted(&group.accelerator.vendor) && (named(&group.id) || named(name)))
    }
}
