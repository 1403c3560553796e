//! The terms money is counted under: how a machine is held, what power and space cost, how long it
//! lives. Who says nothing gets the figures of `terms.toml`, each with its source.
//!
//! Amounts of money a user states are in the currency the user states, US dollars unless told
//! otherwise; everything is computed in US dollars.

use crate::catalogue::decode::{Decode, Problems, decode_text, field, mismatch, unknown_keys};
use crate::catalogue::machine::Machine;
use crate::catalogue::quote::Holding;
use crate::catalogue::store::Catalogue;
use crate::economics::currency::Currency;
use crate::fact::{Fact, Origin};
use crate::units::Money;
use crate::{table, words};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use toml::Spanned;
use toml::de::DeValue;

words! {
    /// A term that is one number; `terms.toml` has its unit and its default.
    pub enum Term ("term") {
        /// Price of power.
        PowerPerKwh = "power_per_kwh",
        /// Power of the building over power of the machine.
        Pue = "pue",
        /// Years a purchase is written off over.
        LifeYears = "life_years",
        /// Share of the purchase left at the end of its life.
        Residual = "residual",
        /// Interest per year on what is bound in the machine.
        FinanceRate = "finance_rate",
        /// Share of the hours of its life in which it can be used.
        Uptime = "uptime",
        /// Rent of space for a kW of machine, per month, without power.
        ColocationPerKwMonth = "colocation_per_kw_month",
        /// Network between nodes as a share of the purchase.
        Networking = "networking",
        /// Repairs and support per year as a share of the purchase.
        Maintenance = "maintenance",
        /// People, per month.
        StaffPerMonth = "staff_per_month",
        /// Tax on what is bought that is not refunded.
        Tax = "tax",
        /// Share of paid spot hours lost to interruptions.
        SpotLost = "spot_lost",
        /// Carbon dioxide of the power, grams per kWh.
        GridGramsPerKwh = "grid_g_per_kwh",
    }
}

table! {
    /// A default of a term.
    struct Given ("a default") {
        /// Entry of the catalogue it is read from.
        figure: Option<String>,
        /// The value, where it is not.
        value: Option<f64>,
        /// Lower end.
        low: Option<f64>,
        /// Upper end.
        high: Option<f64>,
        /// Where the ends come from, where the entry has none.
        range: Option<String>,
        /// Why the value.
        reason: Option<String>,
    }
}

table! {
    /// What is known of a term.
    struct Rule ("a term") {
        unit: String,
        money: bool,
        least: f64,
        most: f64,
        data_centre: Option<Given>,
        elsewhere: Option<Given>,
        /// For machines of several nodes in a data centre.
        nodes: Option<Given>,
    }
}

static RULES: LazyLock<BTreeMap<String, Rule>> = LazyLock::new(|| {
    decode_text("terms.toml", include_str!("terms.toml"), 1).expect("the shipped file is tested")
});

/// A value of a term that is none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{value}` is out of range: expected {least} to {most}, {unit}")]
pub struct OutOfRange {
    /// As written.
    pub value: f64,
    /// The least that is accepted.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// What it is.
    pub unit: &'static str,
}

impl Term {
    fn rule(self) -> &'static Rule {
        &RULES[self.word()]
    }

    /// The unit, in words.
    pub fn unit(self) -> &'static str {
        &self.rule().unit
    }

    /// Whether it is an amount of money.
    pub fn is_money(self) -> bool {
        self.rule().money
    }

    /// The value, if it can be one.
    ///
    /// # Errors
    /// When it is out of the range that makes sense.
    pub fn check(self, value: f64) -> Result<f64, OutOfRange> {
        let rule = self.rule();
        if value.is_finite() && (rule.least..=rule.most).contains(&value) {
            return Ok(value);
        }
        Err(OutOfRange { value, least: rule.least, most: rule.most, unit: self.unit() })
    }
}

/// Terms a user states; the rest is left to the defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stated {
    /// How the machine is held.
    pub holding: Option<Holding>,
    /// Numbers, money in the currency.
    pub figures: BTreeMap<Term, Fact<f64>>,
    /// The currency of amounts stated and shown.
    pub currency: Option<Currency>,
}

impl Stated {
    /// These terms where they say something, else those of `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        // Amounts stay in the currency they were stated in, so those below are converted.
        let rate = |stated: &Option<Currency>| stated.as_ref().map_or(1.0, |currency| currency.per_usd);
        let factor = if self.currency.is_some() { rate(&self.currency) / rate(&below.currency) } else { 1.0 };
        let mut figures = below.figures;
        for (_, fact) in figures.iter_mut().filter(|(term, _)| term.is_money()) {
            fact.value *= factor;
        }
        figures.extend(self.figures);
        Self { holding: self.holding.or(below.holding), figures, currency: self.currency.or(below.currency) }
    }

    /// Reads a file whose table `[terms]` states some.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn from_file(file: &str, text: &str) -> Result<Self, crate::catalogue::decode::BadFile> {
        let mut stated = decode_text::<TermsFile>(file, text, 1)?.terms;
        for (term, fact) in &mut stated.figures {
            fact.origin = Origin::User(format!("{} of {file}", term.word()));
        }
        Ok(stated)
    }
}

table! {
    /// A file of terms.
    struct TermsFile ("a file of terms") {
        terms: Stated,
    }
}

impl serde::Serialize for Stated {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.figures.iter().map(|(term, fact)| (term.word(), fact.value)))
    }
}

impl Decode for Stated {
    fn expected() -> String {
        "a table of terms such as { hold = \"own\", power_per_kwh = 0.12 }".to_owned()
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            mismatch(value, &Self::expected(), problems);
            return None;
        };
        let words = Term::ALL.iter().map(|term| term.word());
        let known: Vec<&str> = ["hold", "currency"].into_iter().chain(words).collect();
        unknown_keys(table, &known, "the terms", problems);
        let span = value.span();
        let holding = field::<Option<Holding>>(table, &span, "hold", "the terms", problems);
        let currency = field::<Option<Currency>>(table, &span, "currency", "the terms", problems);
        let mut figures = BTreeMap::new();
        for term in Term::ALL {
            let Some(written) = table.get(term.word()) else { continue };
            let Some(number) = f64::decode(written, problems) else { continue };
            match term.check(number) {
                Ok(number) => {
                    let origin = Origin::User(term.word().to_owned());
                    figures.insert(*term, Fact::new(number, origin));
                }
                Err(error) => problems.push(written.span(), error.to_string(), "not a value it can have"),
            }
        }
        Some(Self { holding: holding?, figures, currency: currency? })
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

/// A value with the range it may have.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The value counted with and where it comes from; US dollars where it is money.
    pub fact: Fact<f64>,
    /// The ends of its range, where one is known; a user's own figure has none.
    pub range: Option<(f64, f64)>,
}

/// The terms one machine is counted under.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// How it is held, where the user said.
    pub holding: Option<Holding>,
    figures: BTreeMap<Term, Figure>,
    /// The currency to show.
    pub currency: Option<Currency>,
}

impl Terms {
    /// The terms of a machine: as stated, else of the machine's own file, else the defaults for
    /// machines of its kind.
    pub fn of(machine: &Machine, stated: &Stated, catalogue: &Catalogue) -> Self {
        let per_usd = stated.currency.as_ref().map_or(1.0, |currency| currency.per_usd);
        let mut figures = BTreeMap::new();
        for term in Term::ALL {
            let rule = term.rule();
            let own = stated.figures.get(term).map(|fact| {
                let value = if rule.money { fact.value / per_usd } else { fact.value };
                Figure { fact: Fact::new(value, fact.origin.clone()), range: None }
            });
            let machines_own = match term {
                Term::PowerPerKwh => machine.price.power_per_kwh.as_ref(),
                _ => None,
            };
            let of_machine = machines_own
                .map(|fact| Figure { fact: Fact::new(fact.value.get(), fact.origin.clone()), range: None });
            let given = match (in_data_centre(machine), machine.node_count() > 1) {
                (true, true) => rule.nodes.as_ref().or(rule.data_centre.as_ref()),
                (true, false) => rule.data_centre.as_ref(),
                (false, _) => rule.elsewhere.as_ref(),
            };
            let default = || given.and_then(|given| given.resolve(catalogue));
            if let Some(figure) = own.or(of_machine).or_else(default) {
                figures.insert(*term, figure);
            }
        }
        Self { holding: stated.holding, figures, currency: stated.currency.clone() }
    }

    /// A term with its range; none where nothing is stated or assumed.
    pub fn get(&self, term: Term) -> Option<&Figure> {
        self.figures.get(&term)
    }

    /// The value of a term.
    pub fn value(&self, term: Term) -> Option<f64> {
        self.get(term).map(|figure| figure.fact.value)
    }

    /// The same terms with one changed.
    #[must_use]
    pub fn with(&self, term: Term, value: f64) -> Self {
        let mut changed = self.clone();
        let origin = Origin::Derived(format!("{} at {value}", term.word()));
        changed.figures.insert(term, Figure { fact: Fact::new(value, origin), range: None });
        changed
    }

    /// An amount as text in the currency to show.
    pub fn shown(&self, amount: Money) -> String {
        self.currency.as_ref().map_or_else(|| amount.to_string(), |currency| currency.shown(amount))
    }
}

impl Given {
    fn resolve(&self, catalogue: &Catalogue) -> Option<Figure> {
        let Some(id) = &self.figure else {
            let value = self.value?;
            let reason = self.reason.clone().unwrap_or_default();
            return Some(Figure {
                fact: Fact::new(value, Origin::Assumed(reason)),
                range: self.low.zip(self.high),
            });
        };
        let entry = catalogue.economic_figure(id).ok()?.value;
        let range = self.low.or(entry.low).zip(self.high.or(entry.high));
        let value = entry.value.or_else(|| range.map(|(low, high)| f64::midpoint(low, high)))?;
        let dated = entry.date.as_ref().map_or_else(String::new, |date| format!(", {date}"));
        let ends = self.range.as_ref().map_or_else(String::new, |range| format!("; range: {range}"));
        let origin = Origin::Catalogue(format!("{}: {}{dated}{ends}", entry.scope, entry.source));
        Some(Figure { fact: Fact::new(value, origin), range })
    }
}

/// Whether a machine is of a kind that stands in a data centre.
pub(super) fn in_data_centre(machine: &Machine) -> bool {
    machine.groups().any(|(_, group)| {
        group.accelerator.memory_type.as_deref().is_some_and(|kind| kind.to_uppercase().starts_with("HBM"))
    })
}
