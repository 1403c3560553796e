//! What an hour costs, rented or owned, and what a token costs at a rate.
//!
//! Rented: the offer's price. Owned: purchase over the useful life, plus power at the wall times
//! the price of power times PUE. A machine with neither price has no cost, not a cost of zero.
//! Space, staff and idle hours are not charged; a duty below one divides the result.

use crate::catalogue::decode::decode_text;
use crate::catalogue::machine::Machine;
use crate::catalogue::store::Catalogue;
use crate::fact::{Fact, Origin};
use crate::table;
use crate::units::{Money, TokenRate, Watts, significant};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Hours of a year.
const HOURS_PER_YEAR: f64 = 8766.0;

table! {
    /// A share with its range.
    pub struct Share ("a share") {
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

/// General figures of cost a machine may not state itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Price of power per kWh.
    pub power: Option<Fact<Money>>,
    /// Power of the building over power of the machine.
    pub pue: Option<Fact<f64>>,
    /// Years a machine is written off over.
    pub life_years: Option<Fact<f64>>,
}

impl Defaults {
    /// The catalogue's figures for machines of this kind: data centre, or home and office.
    pub fn of(machine: &Machine, catalogue: &Catalogue) -> Self {
        let figure = |id: &str| -> Option<Fact<f64>> {
            let entry = catalogue.economic_figure(id).ok()?;
            let dated = entry.value.date.as_ref().map_or_else(String::new, |date| format!(", {date}"));
            let origin = Origin::Catalogue(format!("{}: {}{dated}", entry.value.scope, entry.value.source));
            Some(Fact::new(entry.value.value?, origin))
        };
        let (power, pue) = if in_data_centre(machine) {
            ("power_price_us_commercial", "pue_industry_average")
        } else {
            ("power_price_us_residential", "pue_home")
        };
        Self {
            power: figure(power).map(|f| Fact::new(Money::new(f.value), f.origin)),
            pue: figure(pue),
            life_years: figure("useful_life_default"),
        }
    }
}

/// Whether the machine is of a kind that stands in a data centre.
fn in_data_centre(machine: &Machine) -> bool {
    machine.groups().any(|(_, group)| {
        group.accelerator.memory_type.as_deref().is_some_and(|kind| kind.to_uppercase().starts_with("HBM"))
    })
}

/// Power at the wall of all nodes while serving; unknown when the limit of a device is.
pub fn power(machine: &Machine) -> Option<Fact<Watts>> {
    if let Some(stated) = &machine.price.wall_power {
        return Some(stated.clone());
    }
    let mut devices = 0.0;
    let mut hosts = 0.0;
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
    let watts = (devices * POWER["devices"].value + hosts * POWER["host"].value) / POWER["supply"].value;
    let origin = Origin::Derived(format!(
        "{} of {} W device limits and {} of {} W processor limits, over a supply of {}",
        POWER["devices"].value,
        significant(devices),
        POWER["host"].value,
        significant(hosts),
        POWER["supply"].value,
    ));
    Some(Fact::new(Watts::new(watts), origin))
}

/// US dollars per hour of the whole machine, if a price is known.
pub fn per_hour(machine: &Machine, defaults: &Defaults) -> Option<Fact<Money>> {
    if let Some(rent) = &machine.price.rent_per_hour {
        return Some(rent.clone());
    }
    let purchase = machine.price.purchase.as_ref()?;
    let life = defaults.life_years.as_ref()?;
    let capital = purchase.value.get() / (life.value * HOURS_PER_YEAR);
    let price = machine.price.power_per_kwh.as_ref().or(defaults.power.as_ref())?;
    let pue = defaults.pue.as_ref()?;
    let watts = power(machine)?;
    let energy = watts.value.get() / 1000.0 * price.value.get() * pue.value;
    Some(Fact::new(
        Money::new(capital + energy),
        Origin::Derived(format!(
            "owned: ${} over {} years (${}/h) and {} W at ${}/kWh with PUE {} (${}/h); purchase {}",
            significant(purchase.value.get()),
            life.value,
            significant(capital),
            significant(watts.value.get()),
            price.value.get(),
            pue.value,
            significant(energy),
            purchase.origin,
        )),
    ))
}

/// US dollars per million tokens at a rate.
pub fn per_million(per_hour: Money, rate: TokenRate) -> Option<Money> {
    (rate.get() > 0.0).then(|| Money::new(per_hour.get() / (rate.get() * 3600.0) * 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_tokens_at_a_rate() {
        // 1000 tok/s = 3.6 M tokens per hour; $36 per hour is $10 per million.
        let cost = per_million(Money::new(36.0), TokenRate::new(1000.0)).unwrap();
        assert!((cost.get() - 10.0).abs() < 1e-9);
        assert_eq!(per_million(Money::new(36.0), TokenRate::ZERO), None);
    }

    #[test]
    fn shares_are_in_their_ranges() {
        for share in POWER.values() {
            assert!(share.low <= share.value && share.value <= share.high, "{share:?}");
        }
    }
}
