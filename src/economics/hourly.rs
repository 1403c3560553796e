//! What an hour of a machine costs, part by part.
//!
//! Rented: the price, and what interruptions of a spot offer cost on top. Owned, per hour in which it
//! can be used (physics 10):
//!
//! ```text
//! capital      P · (1 - r) / (L · H · u)            P purchase, r residual, L life in years
//! finance      (annuity - P · (1 - r) / L) / (H · u) annuity = (P - r · P / (1+i)^L) · i / (1 - (1+i)^-L)
//! networking   the share n of P, written off alike; its interest is in `finance`
//! power        kW · price
//! cooling      kW · price · (PUE - 1)
//! colocation   kW at most · price per month / (H / 12 · u)
//! maintenance  m · P / (H · u)
//! staff        price per month / (H / 12 · u)
//! tax          on all of it but staff and interest
//! ```
//!
//! with `H` = 8766 hours a year and `u` the uptime. A price that is not known makes no hour, never a
//! free one. Idle hours cost the same: what tokens cost at a utilisation is for `tokens`.

use crate::catalogue::machine::Machine;
use crate::catalogue::quote::Holding;
use crate::economics::power::{peak_power, power};
use crate::economics::quotes::Priced;
use crate::economics::terms::{Term, Terms};
use crate::fact::{Fact, Origin};
use crate::units::math::pow;
use crate::units::{Money, Watts, significant};
use crate::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hours of a year.
pub const HOURS_PER_YEAR: f64 = 8766.0;
/// Hours of a month.
pub const HOURS_PER_MONTH: f64 = HOURS_PER_YEAR / 12.0;

/// Why an hour has no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPrice {
    /// Nobody says what it costs to buy.
    #[error("no purchase price of {0} is known")]
    Purchase(String),
    /// Nobody rents it out this way.
    #[error("no {holding} price of {accelerator} is known")]
    Rent {
        /// How it was to be rented.
        holding: Holding,
        /// What.
        accelerator: String,
    },
    /// The power it draws is not known.
    #[error("the power {0} draws is not known: the power limit of a part is missing")]
    Power(String),
    /// A term without a value.
    #[error("`{0}` is not known")]
    Term(Term),
    /// An entry of the catalogue that does not read.
    #[error("prices do not read: {0}")]
    Unreadable(String),
}

words! {
    /// A part of the cost of an hour.
    pub enum PartKind ("part of the cost") {
        /// Paid to who rents it out.
        Rent = "rent",
        /// Paid for hours lost to interruptions.
        Interruptions = "interruptions",
        /// Purchase less what is left, over its life.
        Capital = "capital",
        /// Interest.
        Finance = "finance",
        /// Network between nodes.
        Networking = "networking",
        /// Power of the machine.
        Power = "power",
        /// Power of the building around it.
        Cooling = "cooling",
        /// Rent of space.
        Colocation = "colocation",
        /// Repairs and support.
        Maintenance = "maintenance",
        /// People.
        Staff = "staff",
        /// Tax.
        Tax = "tax",
    }
}

/// One part of the cost of an hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Which.
    pub kind: PartKind,
    /// US dollars per hour.
    pub per_hour: Money,
    /// What it was computed from.
    pub origin: Origin,
}

/// What an hour costs: the sum of its parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hour {
    /// How the machine is held.
    pub holding: Holding,
    /// The parts, none of them zero.
    pub parts: Vec<Part>,
    /// Hours of a month in which it can be used.
    pub hours_per_month: f64,
}

impl Hour {
    /// US dollars per hour.
    pub fn total(&self) -> Money {
        self.parts.iter().map(|part| part.per_hour).sum()
    }

    /// US dollars per month.
    pub fn per_month(&self) -> Money {
        self.total() * self.hours_per_month
    }

    /// One part, US dollars per hour; zero where it is not counted.
    pub fn part(&self, kind: PartKind) -> Money {
        self.parts.iter().filter(|part| part.kind == kind).map(|part| part.per_hour).sum()
    }

    /// What goes with the power drawn, US dollars per hour.
    pub fn energy(&self) -> Money {
        self.part(PartKind::Power) + self.part(PartKind::Cooling)
    }

    /// The sum with what it is made of.
    pub fn fact(&self) -> Fact<Money> {
        let origin = match self.parts.as_slice() {
            [only] => only.origin.clone(),
            parts => {
                let listed: Vec<String> = parts
                    .iter()
                    .map(|part| {
                        let basis = match &part.origin {
                            Origin::Derived(basis) => basis.clone(),
                            other => other.to_string(),
                        };
                        format!("{} ${}/h ({basis})", part.kind, significant(part.per_hour.get()))
                    })
                    .collect();
                let held = if self.holding == Holding::Own { "owned" } else { "rented" };
                Origin::Derived(format!("{held}: {}", listed.join(", ")))
            }
        };
        Fact::new(self.total(), origin)
    }
}

/// What an hour of a machine costs at a price, drawing what it usually does.
///
/// # Errors
/// What is not known.
pub fn hour(machine: &Machine, holding: Holding, price: &Priced, terms: &Terms) -> Result<Hour, NoPrice> {
    let drawn = power(machine);
    hour_drawing(machine, holding, price, terms, drawn.as_ref())
}

/// The same for a machine that draws so much at the wall; not used where it is rented.
///
/// # Errors
/// What is not known.
pub fn hour_drawing(
    machine: &Machine,
    holding: Holding,
    price: &Priced,
    terms: &Terms,
    drawn: Option<&Fact<Watts>>,
) -> Result<Hour, NoPrice> {
    let mut parts = Parts::default();
    let mut uptime = 1.0;
    if holding == Holding::Own {
        uptime = needed(terms, Term::Uptime)?;
        own(machine, price, terms, drawn, uptime, &mut parts)?;
    } else {
        parts.add(PartKind::Rent, price.fact.value.get(), price.fact.origin.clone());
        if holding == Holding::Spot {
            // Of n paid hours n · (1 - lost) are of use.
            let lost = needed(terms, Term::SpotLost)?;
            let extra = price.fact.value.get() * lost / (1.0 - lost);
            parts.derive(
                PartKind::Interruptions,
                extra,
                format!("{lost} of the paid hours lost{}", of(terms, Term::SpotLost)),
            );
        }
    }
    let interest: f64 = parts.of(PartKind::Finance);
    let bought = parts.sum() - interest;
    if let Some(staff) = terms.value(Term::StaffPerMonth) {
        parts.derive(
            PartKind::Staff,
            staff / (HOURS_PER_MONTH * uptime),
            format!("${staff} per month{}", of(terms, Term::StaffPerMonth)),
        );
    }
    if let Some(tax) = terms.value(Term::Tax) {
        parts.derive(
            PartKind::Tax,
            tax * bought,
            format!("{tax} of ${}/h{}", significant(bought), of(terms, Term::Tax)),
        );
    }
    Ok(Hour { holding, parts: parts.0, hours_per_month: HOURS_PER_MONTH * uptime })
}

/// The parts of an owned machine.
fn own(
    machine: &Machine,
    price: &Priced,
    terms: &Terms,
    drawn: Option<&Fact<Watts>>,
    uptime: f64,
    parts: &mut Parts,
) -> Result<(), NoPrice> {
    let value = |term| needed(terms, term);
    let (life, residual, rate) = (value(Term::LifeYears)?, value(Term::Residual)?, value(Term::FinanceRate)?);
    let purchase = price.fact.value.get();
    let hours = HOURS_PER_YEAR * uptime;
    let written_off = (1.0 - residual) / life;
    let left = if residual > 0.0 { format!(" less {residual} left") } else { String::new() };
    parts.derive(
        PartKind::Capital,
        purchase * written_off / hours,
        format!("${} over {life} years{left}; {}", significant(purchase), price.fact.origin),
    );
    let network = value(Term::Networking)?;
    parts.derive(
        PartKind::Networking,
        network * purchase * written_off / hours,
        format!("{network} of the purchase on top{}", of(terms, Term::Networking)),
    );
    if rate > 0.0 {
        let grown = pow(1.0 + rate, life);
        let annuity = (1.0 - residual / grown) * rate / (1.0 - 1.0 / grown);
        parts.derive(
            PartKind::Finance,
            purchase * (1.0 + network) * (annuity - written_off) / hours,
            format!("{rate} interest a year as an annuity{}", of(terms, Term::FinanceRate)),
        );
    }
    let drawn = drawn.ok_or_else(|| NoPrice::Power(machine.name.clone()))?;
    let kw = drawn.value.get() / 1000.0;
    let (kwh, pue) = (value(Term::PowerPerKwh)?, value(Term::Pue)?);
    parts.derive(
        PartKind::Power,
        kw * kwh,
        format!("{} W at ${kwh}/kWh{}", significant(drawn.value.get()), of(terms, Term::PowerPerKwh)),
    );
    parts.derive(PartKind::Cooling, kw * kwh * (pue - 1.0), format!("PUE {pue}{}", of(terms, Term::Pue)));
    let space = value(Term::ColocationPerKwMonth)?;
    if space > 0.0 {
        let most = peak_power(machine).unwrap_or_else(|| drawn.clone());
        let most_kw = most.value.get().max(drawn.value.get()) / 1000.0;
        parts.derive(
            PartKind::Colocation,
            most_kw * space / (HOURS_PER_MONTH * uptime),
            format!(
                "{} kW at ${space} per kW and month{}",
                significant(most_kw),
                of(terms, Term::ColocationPerKwMonth)
            ),
        );
    }
    let maintenance = value(Term::Maintenance)?;
    parts.derive(
        PartKind::Maintenance,
        maintenance * purchase / hours,
        format!("{maintenance} of the purchase a year{}", of(terms, Term::Maintenance)),
    );
    Ok(())
}

/// A term that has to be known.
fn needed(terms: &Terms, term: Term) -> Result<f64, NoPrice> {
    terms.value(term).ok_or(NoPrice::Term(term))
}

/// Where a term comes from, unless it is only a habit of ours.
fn of(terms: &Terms, term: Term) -> String {
    terms.get(term).map_or_else(String::new, |figure| match &figure.fact.origin {
        Origin::User(place) => format!(", {place}"),
        _ => String::new(),
    })
}

/// Parts under construction; those of nothing are left out.
#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn add(&mut self, kind: PartKind, per_hour: f64, origin: Origin) {
        // A rate of interest far below a thousandth may leave a difference of nothing.
        if per_hour > 1e-12 {
            self.0.push(Part { kind, per_hour: Money::new(per_hour), origin });
        }
    }

    fn derive(&mut self, kind: PartKind, per_hour: f64, basis: String) {
        self.add(kind, per_hour, Origin::Derived(basis));
    }

    fn sum(&self) -> f64 {
        self.0.iter().map(|part| part.per_hour.get()).sum()
    }

    fn of(&self, kind: PartKind) -> f64 {
        self.0.iter().filter(|part| part.kind == kind).map(|part| part.per_hour.get()).sum()
    }
}
