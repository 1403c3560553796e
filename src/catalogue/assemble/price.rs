//! Prices nobody stated: the rent of comparable offers, the price of a system that is sold.

use super::Assembler;
use crate::catalogue::decode::Count;
use crate::catalogue::hardware::{Node, Price, chip_bytes};
use crate::catalogue::quote::{Holding, market};
use crate::catalogue::store::LookupError;
use crate::fact::{Fact, Origin};
use crate::units::{Bytes, Money};

impl Assembler<'_> {
    /// Rent of all devices at the median over providers of their cheapest dated on-demand offer.
    pub(super) fn usual_rent(&mut self, nodes: &[Node]) -> Result<Option<Fact<Money>>, LookupError> {
        let mut total = Money::ZERO;
        let mut rules: Vec<String> = Vec::new();
        for (group, count) in
            nodes.iter().flat_map(|node| node.devices.iter().map(|g| (g, g.count * node.count)))
        {
            let Some(market) = market(&self.catalogue.rents(&group.id)?, Holding::OnDemand) else {
                return Ok(None);
            };
            total += market.median * f64::from(count);
            rules.push(format!(
                "{count} x ${:.2} per {} and hour, the median of {} providers' cheapest on-demand offers, ${:.2} to ${:.2}",
                market.median.get(),
                group.id,
                market.providers,
                market.low.get(),
                market.high.get(),
            ));
        }
        if rules.is_empty() {
            return Ok(None);
        }
        Ok(Some(Fact::new(total, Origin::Derived(rules.join("; ")))))
    }

    /// Purchase price of as many catalogue systems as make up these nodes, by the newest price.
    pub(super) fn system_price(&mut self, nodes: &[Node]) -> Result<Option<Fact<Money>>, LookupError> {
        let [node] = nodes else { return Ok(None) };
        let [group] = node.devices.as_slice() else { return Ok(None) };
        // A self-built rig is no product: only devices with a fabric or a package of their own are.
        if !group.accelerator.has_fabric() && !group.accelerator.is_unified() {
            return Ok(None);
        }
        let total = u64::from(group.count * node.count);
        let mut best: Option<(String, Fact<Money>)> = None;
        for id in self.catalogue.system_ids() {
            let system = self.catalogue.system(id)?;
            let spec = &system.value;
            let system_nodes = spec.nodes.map_or(1, Count::get);
            let same_nodes = spec.count.get() == system_nodes * u64::from(group.count);
            if spec.accelerator != group.id || !same_nodes || !total.is_multiple_of(spec.count.get()) {
                continue;
            }
            let memory = chip_bytes(spec.ram.unwrap_or(Bytes::ZERO)) / system_nodes as f64;
            if group.accelerator.is_unified() && memory != node.host.ram.value {
                continue;
            }
            for price in spec.price.iter().filter(|price| price.basis == "purchase") {
                let (Some(usd), Some(date)) = (price.likely(), price.date.clone()) else { continue };
                let times = total / spec.count.get();
                let rule = format!("{times} x {id} at {usd} ({date})");
                if best.as_ref().is_none_or(|(newest, _)| *newest < date) {
                    best = Some((date, Fact::new(usd * times as f64, Origin::Derived(rule))));
                }
            }
        }
        Ok(best.map(|(_, price)| price))
    }

    /// Purchase price of all devices, when each is known. The host is not in it, which is said.
    pub(super) fn device_prices(&mut self, nodes: &[Node]) -> Option<Fact<Money>> {
        let mut total = Money::ZERO;
        for node in nodes {
            for group in &node.devices {
                total += group.price.as_ref()?.value * f64::from(group.count * node.count);
            }
        }
        if total == Money::ZERO {
            return None;
        }
        let sentence =
            "the purchase price counts the devices only: the rest of the machine has no known price";
        self.note(sentence);
        Some(Fact::new(total, Origin::Derived(sentence.to_owned())))
    }
}

/// The price with the latest date, with its source.
pub(super) fn latest_price(prices: &[Price]) -> Option<Fact<Money>> {
    let best =
        prices.iter().filter(|price| price.likely().is_some()).max_by_key(|price| price.date.clone())?;
    let date = best.date.as_deref().unwrap_or("undated");
    let source = best.source.as_deref().unwrap_or("no source");
    Some(Fact::new(best.likely()?, Origin::Catalogue(format!("{} {date}, {source}", best.basis))))
}
