//! Prices of hardware as somebody quotes them: offers to rent, systems and devices to buy.

use crate::catalogue::hardware::{Accelerator, Offer, Price, System};
use crate::catalogue::store::{Catalogue, LookupError};
use crate::units::Money;
use crate::words;
use std::collections::BTreeMap;

words! {
    /// How a machine is held.
    pub enum Holding ("way to hold a machine") {
        /// Bought.
        Own = "own",
        /// Rented without commitment.
        OnDemand = "on-demand",
        /// Rented for a year.
        Reserved = "reserved",
        /// Rented for three years.
        ReservedThreeYears = "reserved-3yr",
        /// Rented until somebody pays more.
        Spot = "spot",
    }
}

impl Holding {
    /// Whether it is paid for by the hour.
    pub const fn is_rented(self) -> bool {
        !matches!(self, Self::Own)
    }
}

/// What somebody asks for hardware.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Quote {
    /// Bought, or how it is rented.
    pub holding: Holding,
    /// Catalogue id of the offer, the system or the accelerator.
    pub id: String,
    /// Who asks it; the maker of a system, the kind of a price of devices.
    pub provider: String,
    /// Catalogue id of the accelerator.
    pub accelerator: String,
    /// Devices it is for; below one for a partition.
    pub devices: f64,
    /// US dollars per hour, or of the purchase, for that many devices.
    pub price: Money,
    /// The ends of its range, where it has one.
    pub range: Option<(Money, Money)>,
    /// Whether it is of a range over the market, not of somebody who sells.
    pub index: bool,
    /// Whether the rest of the machine is still to be paid.
    pub devices_only: bool,
    /// Where it holds.
    pub region: Option<String>,
    /// When it was read.
    pub date: Option<String>,
    /// Where it stands.
    pub source: String,
    /// What a reader should know.
    pub note: Option<String>,
}

impl Quote {
    /// The price of one device.
    pub fn per_device(&self) -> Money {
        self.price / self.devices
    }

    /// Whether somebody sells whole devices at it, and when is known.
    fn counts(&self) -> bool {
        // A partition, a range over the market and an undated price are no offers to rent.
        !self.index && self.devices >= 1.0 && self.date.is_some()
    }

    fn of_offer(id: &str, offer: &Offer, holding: Holding, price: f64) -> Self {
        Self {
            holding,
            id: id.to_owned(),
            provider: offer.provider.clone(),
            accelerator: offer.accelerator.clone(),
            devices: offer.count,
            price: Money::new(price),
            range: None,
            index: offer.kind != "cloud",
            devices_only: false,
            region: offer.region.clone(),
            date: offer.date.clone(),
            source: offer.source.clone(),
            note: offer.note.clone(),
        }
    }

    /// A price of a system; none where it is of a range only half known.
    pub(crate) fn of_system(id: &str, system: &System, price: &Price) -> Option<Self> {
        Some(Self {
            provider: system.vendor.clone(),
            devices_only: price.basis != "purchase",
            ..Self::to_buy(id, &system.accelerator, system.count.get() as f64, price, &system.source)?
        })
    }

    /// A price of one device.
    pub(crate) fn of_device(id: &str, accelerator: &Accelerator, price: &Price) -> Option<Self> {
        Some(Self {
            // A package with processor and memory is still no machine.
            devices_only: true,
            ..Self::to_buy(id, id, 1.0, price, &accelerator.source)?
        })
    }

    fn to_buy(id: &str, accelerator: &str, devices: f64, price: &Price, source: &str) -> Option<Self> {
        Some(Self {
            holding: Holding::Own,
            id: id.to_owned(),
            provider: price.basis.clone(),
            accelerator: accelerator.to_owned(),
            devices,
            price: price.likely()?,
            range: price.low.zip(price.high).map(|(low, high)| (Money::new(low), Money::new(high))),
            index: false,
            devices_only: false,
            region: None,
            date: price.date.clone(),
            source: price.source.clone().unwrap_or_else(|| source.to_owned()),
            note: None,
        })
    }
}

impl Catalogue {
    /// Every price of every offer of an accelerator.
    ///
    /// # Errors
    /// When the text of an offer does not read.
    pub fn rents(&self, accelerator: &str) -> Result<Vec<Quote>, LookupError> {
        let mut quotes = Vec::new();
        for offer in self.offers_for(accelerator, None)? {
            let spec = &*offer.value;
            let prices = [
                (Holding::OnDemand, spec.on_demand),
                (Holding::Reserved, spec.reserved_1yr),
                (Holding::ReservedThreeYears, spec.reserved_3yr),
                (Holding::Spot, spec.spot),
            ];
            quotes.extend(prices.into_iter().filter_map(|(holding, price)| {
                (spec.count > 0.0).then_some(Quote::of_offer(&offer.id, spec, holding, price?))
            }));
        }
        Ok(quotes)
    }

    /// Every price of every system of an accelerator, and of the accelerator alone.
    ///
    /// # Errors
    /// When the text of an entry does not read.
    pub fn purchases(&self, accelerator: &str) -> Result<Vec<Quote>, LookupError> {
        let mut quotes = Vec::new();
        for id in self.system_ids() {
            let system = self.system(id)?.value;
            if system.accelerator == accelerator {
                quotes.extend(system.price.iter().filter_map(|price| Quote::of_system(id, &system, price)));
            }
        }
        // A device a user describes is in no catalogue, and has no price there.
        if let Ok(device) = self.accelerator(accelerator) {
            let prices = device.value.price.iter();
            quotes.extend(prices.filter_map(|price| Quote::of_device(accelerator, &device.value, price)));
        }
        Ok(quotes)
    }
}

/// What a device costs on the market, per hour or to buy.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Market {
    /// The cheapest provider.
    pub low: Money,
    /// The median of providers.
    pub median: Money,
    /// The dearest.
    pub high: Money,
    /// How many providers.
    pub providers: usize,
}

/// The market of one way to hold a device: a provider counts once, with its cheapest, as who lists
/// ten regions is not ten providers.
pub fn market(quotes: &[Quote], holding: Holding) -> Option<Market> {
    let mut cheapest: BTreeMap<&str, Money> = BTreeMap::new();
    for quote in quotes.iter().filter(|quote| quote.holding == holding && quote.counts()) {
        let lowest = cheapest.entry(&quote.provider).or_insert(quote.per_device());
        *lowest = lowest.min(quote.per_device());
    }
    let mut prices: Vec<f64> = cheapest.into_values().map(Money::get).collect();
    prices.sort_by(f64::total_cmp);
    let (low, high) = (*prices.first()?, *prices.last()?);
    Some(Market {
        low: Money::new(low),
        median: Money::new(median(&prices)),
        high: Money::new(high),
        providers: prices.len(),
    })
}

/// The middle of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}
