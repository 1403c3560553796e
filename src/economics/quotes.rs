//! What a whole machine costs on the market: every quote of its parts, and their spread.

use crate::catalogue::machine::Machine;
use crate::catalogue::quote::{Holding, Quote, market};
use crate::catalogue::store::{Catalogue, LookupError};
use crate::economics::hourly::NoPrice;
use crate::fact::{Fact, Origin};
use crate::units::Money;
use std::collections::BTreeMap;

/// A price of a whole machine: per hour, or of the purchase.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineQuote {
    /// Who asks what for how many devices.
    pub quote: Quote,
    /// The same for all devices of the machine, US dollars.
    pub price: Money,
}

/// A price with the ends of its spread, where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Priced {
    /// The price counted with, US dollars.
    pub fact: Fact<Money>,
    /// The lowest and the highest that is asked.
    pub range: Option<(Money, Money)>,
}

/// Devices of each kind, over all nodes.
fn devices(machine: &Machine) -> BTreeMap<&str, f64> {
    let mut found = BTreeMap::new();
    for (nodes, group) in machine.groups() {
        *found.entry(group.id.as_str()).or_insert(0.0) += f64::from(nodes * group.count);
    }
    found
}

/// Every quote for a machine: offers to rent, systems and devices to buy. Quotes of machines with
/// several kinds of devices are of one kind each.
///
/// # Errors
/// When an entry of the catalogue does not read.
pub fn quotes(machine: &Machine, catalogue: &Catalogue) -> Result<Vec<MachineQuote>, LookupError> {
    let mut all = Vec::new();
    for (id, count) in devices(machine) {
        all.extend(accelerator_quotes(id, count, catalogue)?);
    }
    Ok(all)
}

/// Every quote for so many devices.
///
/// # Errors
/// When an entry of the catalogue does not read.
pub fn accelerator_quotes(
    id: &str,
    count: f64,
    catalogue: &Catalogue,
) -> Result<Vec<MachineQuote>, LookupError> {
    let whole = |quote: &Quote| (count / quote.devices).fract().abs() < 1e-9;
    let quotes = catalogue.rents(id)?.into_iter().chain(catalogue.purchases(id)?);
    Ok(quotes
        // Half a system is not for sale; a rented node is shared by others.
        .filter(|quote| quote.holding.is_rented() || whole(quote))
        .map(|quote| MachineQuote { price: quote.per_device() * count, quote })
        .collect())
}

/// The price of a machine held this way: what its file or its description says, else the market.
///
/// # Errors
/// Why there is none.
pub fn price(machine: &Machine, holding: Holding, catalogue: &Catalogue) -> Result<Priced, NoPrice> {
    let stated = match holding {
        Holding::Own => machine.price.purchase.as_ref(),
        Holding::OnDemand => machine.price.rent_per_hour.as_ref(),
        Holding::Reserved | Holding::ReservedThreeYears | Holding::Spot => None,
    };
    match (stated, holding) {
        // Who states a price has no use for those of others.
        (Some(fact), _) if matches!(fact.origin, Origin::User(_)) => {
            Ok(Priced { fact: fact.clone(), range: None })
        }
        (Some(fact), Holding::Own) => {
            Ok(Priced { range: asked(machine, fact, catalogue), fact: fact.clone() })
        }
        (None, Holding::Own) => Err(NoPrice::Purchase(machine.name.clone())),
        (stated, _) => {
            let found = rent(machine, holding, catalogue);
            match (stated, found) {
                (Some(fact), found) => {
                    Ok(Priced { fact: fact.clone(), range: found.ok().and_then(|priced| priced.range) })
                }
                (None, found) => found,
            }
        }
    }
}

/// The rent of all devices at the median of providers.
fn rent(machine: &Machine, holding: Holding, catalogue: &Catalogue) -> Result<Priced, NoPrice> {
    let (mut low, mut likely, mut high) = (Money::ZERO, Money::ZERO, Money::ZERO);
    let mut rules = Vec::new();
    let none = |id: &str| NoPrice::Rent { holding, accelerator: id.to_owned() };
    for (id, count) in devices(machine) {
        let rents = catalogue.rents(id).map_err(|error| NoPrice::Unreadable(error.to_string()))?;
        let found = market(&rents, holding).ok_or_else(|| none(id))?;
        low += found.low * count;
        likely += found.median * count;
        high += found.high * count;
        rules.push(format!(
            "{count} x ${:.2} per {id} and hour, the median of {} providers' cheapest {holding} offers, ${:.2} to ${:.2}",
            found.median.get(),
            found.providers,
            found.low.get(),
            found.high.get(),
        ));
    }
    if rules.is_empty() {
        return Err(none("a machine without accelerators"));
    }
    Ok(Priced { fact: Fact::new(likely, Origin::Derived(rules.join("; "))), range: Some((low, high)) })
}

/// The lowest and the highest price asked for what a purchase is of: whole systems where it is of
/// some, else devices.
fn asked(machine: &Machine, purchase: &Fact<Money>, catalogue: &Catalogue) -> Option<(Money, Money)> {
    let found = quotes(machine, catalogue).ok()?;
    let kinds = devices(machine).len();
    let of = |devices_only: bool| {
        let mut ends: BTreeMap<&str, (Money, Money)> = BTreeMap::new();
        let matching = |found: &&MachineQuote| {
            found.quote.holding == Holding::Own && found.quote.devices_only == devices_only
        };
        for MachineQuote { quote, price } in found.iter().filter(matching) {
            let times = *price / quote.price;
            let (low, high) = quote.range.map_or((*price, *price), |(low, high)| (low * times, high * times));
            let entry = ends.entry(&quote.accelerator).or_insert((low, high));
            *entry = (entry.0.min(low), entry.1.max(high));
        }
        (ends.len() == kinds).then(|| {
            ends.values().fold((Money::ZERO, Money::ZERO), |sum, ends| (sum.0 + ends.0, sum.1 + ends.1))
        })
    };
    let (low, high) = of(false).or_else(|| of(true))?;
    Some((low.min(purchase.value), high.max(purchase.value)))
}
