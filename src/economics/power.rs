//! Power at the wall of a whole machine, of which only the limits of its parts are known.

use crate::catalogue::decode::decode_text;
use crate::catalogue::machine::Machine;
use crate::fact::{Fact, Origin};
use crate::table;
use crate::units::{Watts, significant};
use std::collections::BTreeMap;
use std::sync::LazyLock;

table! {
    /// A share with its range.
    pub(super) struct Share ("a share") {
        /// Central figure.
        pub value: f64,
        /// Lower end.
        pub low: f64,
        /// Upper end.
        pub high: f64,
        /// What it is a share of.
        pub unit: String,
        /// Why.
        pub origin: String,
    }
}

/// Shares of power limits as shipped.
static POWER: LazyLock<BTreeMap<String, Share>> = LazyLock::new(|| {
    decode_text("power.toml", include_str!("power.toml"), 1).expect("the shipped file is tested")
});

/// Power limits of the parts: devices and hosts; unknown when that of a device is.
fn limits(machine: &Machine) -> Option<(f64, f64)> {
    let (mut devices, mut hosts) = (0.0, 0.0);
    for node in &machine.nodes {
        for group in &node.devices {
            devices += group.accelerator.tdp_w? * f64::from(group.count * node.count);
        }
        let inside = node.devices.iter().any(|group| group.accelerator.is_unified());
        match node.host.tdp {
            Some(tdp) if !inside => hosts += tdp.get() * f64::from(node.count),
            None if node.devices.is_empty() => return None,
            Some(_) | None => {}
        }
    }
    Some((devices, hosts))
}

/// Power at the wall of all nodes while serving; unknown when the limit of a device is.
pub fn power(machine: &Machine) -> Option<Fact<Watts>> {
    drawn(machine, |share| share.value)
}

/// The most it can draw: what space and supply have to be there for.
pub fn peak_power(machine: &Machine) -> Option<Fact<Watts>> {
    drawn(machine, |share| share.high)
}

fn drawn(machine: &Machine, of: fn(&Share) -> f64) -> Option<Fact<Watts>> {
    if let Some(stated) = &machine.price.wall_power {
        return Some(stated.clone());
    }
    let (devices, hosts) = limits(machine)?;
    let (device_share, host_share) = (of(&POWER["devices"]), of(&POWER["host"]));
    let supply = POWER["supply"].value;
    let watts = (devices * device_share + hosts * host_share) / supply;
    let origin = Origin::Derived(format!(
        "{device_share} of {} W device limits and {host_share} of {} W processor limits, over a supply of {supply}",
        significant(devices),
        significant(hosts),
    ));
    Some(Fact::new(Watts::new(watts), origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_their_ranges() {
        for share in POWER.values() {
            assert!(share.low <= share.value && share.value <= share.high, "{share:?}");
        }
    }
}
