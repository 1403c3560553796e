//! Machines priced under the terms of one question.

use crate::catalogue::machine::Machine;
use crate::catalogue::quote::Holding;
use crate::catalogue::store::Catalogue;
use crate::economics::hourly::{Hour, NoPrice, hour};
use crate::economics::quotes::{Priced, price};
use crate::economics::terms::{Stated, Terms};

/// Prices machines under what a user stated.
#[derive(Clone, Copy, Debug)]
pub struct Pricing<'a> {
    /// Where prices and defaults come from.
    pub catalogue: &'a Catalogue,
    /// What the user stated.
    pub stated: &'a Stated,
}

impl Pricing<'_> {
    /// The terms of a machine.
    pub fn terms(&self, machine: &Machine) -> Terms {
        Terms::of(machine, self.stated, self.catalogue)
    }

    /// How a machine is held: as the user said, else rented where a rent is known, else bought.
    pub fn holding(&self, machine: &Machine) -> Holding {
        let known = machine.price.rent_per_hour.is_some();
        self.stated.holding.unwrap_or(if known { Holding::OnDemand } else { Holding::Own })
    }

    /// The price of a machine held one way.
    ///
    /// # Errors
    /// Why there is none.
    pub fn price(&self, machine: &Machine, holding: Holding) -> Result<Priced, NoPrice> {
        price(machine, holding, self.catalogue)
    }

    /// An hour of a machine held one way.
    ///
    /// # Errors
    /// Which price is missing.
    pub fn hour_held(&self, machine: &Machine, holding: Holding) -> Result<Hour, NoPrice> {
        hour(machine, holding, &self.price(machine, holding)?, &self.terms(machine))
    }

    /// An hour of a machine.
    ///
    /// # Errors
    /// Which price is missing.
    pub fn hour(&self, machine: &Machine) -> Result<Hour, NoPrice> {
        self.hour_held(machine, self.holding(machine))
    }
}
