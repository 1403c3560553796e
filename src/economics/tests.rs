use super::*;
use crate::catalogue::hardware_flag::hardware;
use crate::catalogue::machine::Machine;
use crate::catalogue::store::Catalogue;
use crate::fact::{Fact, Origin};
use crate::units::{Money, TokenRate, Watts};
use proptest::prelude::*;
use std::sync::LazyLock;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::embedded);

/// Terms of a user, by name.
pub(super) fn stated(figures: &[(Term, f64)]) -> Stated {
    let user = |value| Fact::new(value, Origin::User("here".to_owned()));
    Stated {
        figures: figures.iter().map(|(term, value)| (*term, user(*value))).collect(),
        ..Stated::default()
    }
}

/// A machine of the catalogue, bought at a price and drawing so much.
pub(super) fn bought(name: &str, usd: f64, watts: f64) -> Machine {
    let mut machine = hardware(name, &CATALOGUE).unwrap();
    let user = |place: &str| Origin::User(place.to_owned());
    machine.price.purchase = Some(Fact::new(Money::new(usd), user("the rig")));
    machine.price.rent_per_hour = None;
    machine.price.wall_power = Some(Fact::new(Watts::new(watts), user("the rig")));
    machine
}

fn hour_of(machine: &Machine, stated: &Stated) -> Hour {
    Pricing { catalogue: &CATALOGUE, stated }.hour(machine).unwrap()
}

fn cents(amount: Money) -> f64 {
    (amount.get() * 100.0).round() / 100.0
}

#[track_caller]
fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * a.abs().max(b.abs()), "{a} is not {b}");
}

#[test]
fn defaults_have_sources_and_lie_in_their_ranges() {
    for name in ["8xh200-sxm", "16xh100-sxm-80gb", "rtx-4090", "epyc-9654"] {
        let machine = hardware(name, &CATALOGUE).unwrap();
        let terms = Terms::of(&machine, &Stated::default(), &CATALOGUE);
        for term in Term::ALL {
            assert!(!term.unit().is_empty());
            let Some(figure) = terms.get(*term) else {
                assert!(matches!(term, Term::StaffPerMonth | Term::Tax | Term::GridGramsPerKwh), "{term}");
                continue;
            };
            term.check(figure.fact.value).unwrap();
            let (low, high) = figure.range.unwrap();
            assert!(low <= figure.fact.value && figure.fact.value <= high, "{name}: {term} {figure:?}");
            assert!(
                matches!(&figure.fact.origin, Origin::Catalogue(why) | Origin::Assumed(why) if why.len() > 10)
            );
        }
    }
}

#[test]
fn an_owned_node_is_the_sum_of_its_parts() {
    // $300,000 over 4 years of 8766 h at 95 % uptime, a tenth left: 270000 / 33310.8 = 8.10548 $/h.
    // 10 kW at $0.10: 1.00; PUE 1.5: 0.50. Space 10 kW · $150 / (730.5 · 0.95) = 2.16146.
    // Maintenance 5 % of 300000 a year: 15000 / 8327.7 = 1.80122.
    let machine = bought("8xh200-sxm", 300_000.0, 10_000.0);
    let terms = [
        (Term::LifeYears, 4.0),
        (Term::Residual, 0.1),
        (Term::Uptime, 0.95),
        (Term::PowerPerKwh, 0.10),
        (Term::Pue, 1.5),
        (Term::ColocationPerKwMonth, 150.0),
        (Term::Maintenance, 0.05),
    ];
    let hour = hour_of(&machine, &stated(&terms));
    let part = |kind| (hour.part(kind).get() * 1e5).round() / 1e5;
    close(part(PartKind::Capital), 8.10548);
    close(part(PartKind::Power), 1.0);
    close(part(PartKind::Cooling), 0.5);
    close(part(PartKind::Colocation), 2.16146);
    close(part(PartKind::Maintenance), 1.80122);
    assert_eq!(hour.holding, Holding::Own);
    close(cents(hour.total()), 13.57);
    // Tax of 20 % on all of it; staff of $730.5 · 0.95 per month is a dollar an hour, untaxed.
    let more = [&terms[..], &[(Term::Tax, 0.2), (Term::StaffPerMonth, 730.5 * 0.95)]].concat();
    let taxed = hour_of(&machine, &stated(&more));
    close(taxed.total().get(), hour.total().get() * 1.2 + 1.0);
    close(hour.per_month().get(), hour.total().get() * 730.5 * 0.95);
}

#[test]
fn interest_is_an_annuity() {
    // $100,000 at 10 % over 2 years: annuity 100000 · 0.1 / (1 - 1/1.21) = 57619.05 a year, of which
    // 50000 is the purchase itself.
    let machine = bought("rtx-4090", 100_000.0, 500.0);
    let hour = hour_of(&machine, &stated(&[(Term::LifeYears, 2.0), (Term::FinanceRate, 0.1)]));
    close((hour.part(PartKind::Finance).get() * 8766.0 * 100.0).round() / 100.0, 7619.05);
    close(hour.part(PartKind::Capital).get() * 8766.0, 50_000.0);
    assert_eq!(hour.part(PartKind::Colocation), Money::ZERO);
}

#[test]
fn a_spot_offer_pays_for_its_interruptions() {
    let machine = hardware("8xh100-sxm-80gb", &CATALOGUE).unwrap();
    let terms = Stated { holding: Some(Holding::Spot), ..stated(&[(Term::SpotLost, 0.2)]) };
    let hour = hour_of(&machine, &terms);
    // Of five paid hours four are of use: a quarter on top.
    close(hour.part(PartKind::Interruptions).get(), hour.part(PartKind::Rent).get() * 0.25);
    let on_demand = hour_of(&machine, &Stated { holding: Some(Holding::OnDemand), ..Stated::default() });
    assert!(hour.part(PartKind::Rent) < on_demand.total());
    assert_eq!(on_demand.fact(), machine.price.rent_per_hour.unwrap());
}

#[test]
fn what_has_no_price_says_which() {
    let missing = |name: &str, holding| {
        let machine = hardware(name, &CATALOGUE).unwrap();
        let stated = Stated { holding: Some(holding), ..Stated::default() };
        Pricing { catalogue: &CATALOGUE, stated: &stated }.hour(&machine).unwrap_err().to_string()
    };
    assert_eq!(missing("8xb300-sxm", Holding::Own), "no purchase price of 8xb300-sxm is known");
    assert_eq!(missing("rtx-3060-12-gb", Holding::Spot), "no spot price of rtx-3060-12-gb is known");
    assert!(missing("epyc-9654", Holding::OnDemand).contains("no on-demand price"));
    let mut machine = bought("m3-ultra-80gpu:512GB", 9499.0, 250.0);
    machine.price.wall_power = None;
    let stated = Stated::default();
    let error = Pricing { catalogue: &CATALOGUE, stated: &stated }.hour(&machine).unwrap_err();
    assert!(matches!(error, NoPrice::Power(_)), "{error}");
}

#[test]
fn quotes_list_every_offer_with_source_and_date() {
    let machine = hardware("8xh100-sxm-80gb", &CATALOGUE).unwrap();
    let found = quotes(&machine, &CATALOGUE).unwrap();
    for holding in [Holding::OnDemand, Holding::Reserved, Holding::Spot, Holding::Own] {
        assert!(found.iter().any(|quote| quote.quote.holding == holding), "{holding}");
    }
    for MachineQuote { quote, price } in &found {
        assert!(!quote.source.is_empty() && price.get() > 0.0, "{quote:?}");
        close(price.get(), quote.per_device().get() * 8.0);
    }
    // The whole server of 300 to 350 thousand, and eight devices of 25 to 30.
    let own =
        Pricing { catalogue: &CATALOGUE, stated: &Stated::default() }.price(&machine, Holding::Own).unwrap();
    assert_eq!((own.fact.value.get(), own.range.unwrap()), (325e3, (Money::new(300e3), Money::new(350e3))));
    // Half a rack is not for sale.
    let rack = accelerator_quotes("gb200", 8.0, &CATALOGUE).unwrap();
    assert!(rack.iter().all(|quote| quote.quote.holding != Holding::Own));
}

#[test]
fn amounts_are_in_the_currency_of_who_states_them() {
    let machine = bought("rtx-4090", 2000.0, 500.0);
    let euros = Stated { currency: Some("EUR:0.8".parse().unwrap()), ..stated(&[(Term::PowerPerKwh, 0.32)]) };
    let terms = Terms::of(&machine, &euros, &CATALOGUE);
    close(terms.value(Term::PowerPerKwh).unwrap(), 0.40);
    assert_eq!(terms.shown(Money::new(10.0)), "8.00 EUR");
    // A file in yen below a flag in euros: 160 yen are a dollar are 0.8 euros.
    let yen =
        Stated { currency: Some("JPY:160".parse().unwrap()), ..stated(&[(Term::StaffPerMonth, 160.0)]) };
    close(euros.over(yen).figures[&Term::StaffPerMonth].value, 0.8);
    for wrong in ["EUR", "EUR:", "EUR:-1", "E:1", "EUR:nan", "EURO:0.9", "EUR:0"] {
        assert!(wrong.parse::<Currency>().is_err(), "{wrong}");
    }
}

#[test]
fn terms_read_from_a_file_with_all_its_problems() {
    let good = "[terms]\nhold = \"reserved-3yr\"\npue = 1.2\ncurrency = { code = \"eur\", per_usd = 0.9, date = \"2026-11-20\" }\n";
    let read = Stated::from_file("t.toml", good).unwrap();
    assert_eq!(read.holding, Some(Holding::ReservedThreeYears));
    assert_eq!(read.figures[&Term::Pue].origin, Origin::User("pue of t.toml".to_owned()));
    let bad =
        "[terms]\nhold = \"lease\"\npue = 0.3\nlive_years = 4\ncurrency = { code = \"E\", per_usd = 1 }\n";
    let problems = Stated::from_file("t.toml", bad).unwrap_err().problems;
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(problems.iter().any(|p| p.hint.as_deref() == Some("did you mean `life_years`?")));
}

#[test]
fn a_million_tokens_at_a_rate() {
    // 1000 tok/s = 3.6 M tokens per hour; $36 per hour is $10 per million.
    let cost = per_million(Money::new(36.0), TokenRate::new(1000.0)).unwrap();
    close(cost.get(), 10.0);
    assert_eq!(per_million(Money::new(36.0), TokenRate::ZERO), None);
}

#[test]
fn an_hour_split_by_machine_time() {
    // $36 an hour, a quarter of the time in prompts: $9 over 3.6 M input tokens (1000 tok/s), $27
    // over 0.9 M output tokens (250 tok/s).
    let rates =
        TokenRates { input: TokenRate::new(1000.0), cached: TokenRate::ZERO, output: TokenRate::new(250.0) };
    let prices = split(Money::new(36.0), rates, MachineTime::of_prefill(0.25));
    close(prices.input.unwrap().get(), 2.5);
    close(prices.output.unwrap().get(), 30.0);
    assert_eq!(prices.cached, None);
    // Half the load: twice the price of each.
    let half = split(Money::new(36.0), rates.at(0.5), MachineTime::of_prefill(0.25));
    close(half.output.unwrap().get(), 60.0);
    // Three quarters of the input cached, half the cache memory held for it, a fifth of the machine
    // being cache memory: a tenth of $36 over 2.7 M tokens.
    let rates = TokenRates { cached: TokenRate::new(750.0), input: TokenRate::new(250.0), ..rates };
    let time = MachineTime { prefill: 0.25, loading: 0.0, held: 0.5, cache_memory: 0.2 };
    let prices = split(Money::new(36.0), rates, time);
    close(prices.cached.unwrap().get(), 3.6 / 2.7);
    close(prices.input.unwrap().get(), 0.9 * 9.0 / 0.9);
}

fn rates() -> impl Strategy<Value = TokenRates> {
    (0.0..1e5, 0.0..1e5, 0.1..1e4).prop_map(|(input, cached, output)| TokenRates {
        input: TokenRate::new(input),
        cached: TokenRate::new(cached),
        output: TokenRate::new(output),
    })
}

proptest! {
    #[test]
    fn splitting_conserves_the_hour(
        hour in 0.01..1e4, rates in rates(), prefill in 0.0..1.0, held in 0.0..1.0, memory in 0.0..0.9,
    ) {
        let time = MachineTime { prefill, loading: 0.0, held, cache_memory: memory };
        let prices = split(Money::new(hour), rates, time);
        let paid = |price: Option<Money>, rate: TokenRate| price.map_or(0.0, |p| p.get() * rate.get() * 3.6e-3);
        let sum = paid(prices.input, rates.input) + paid(prices.cached, rates.cached) + paid(prices.output, rates.output);
        prop_assert!((sum / hour - 1.0).abs() < 1e-9, "{sum} of {hour}");
        // The blend of a mix is what all tokens of it cost together.
        let blended = prices.blended(&rates.mix()).unwrap().get();
        let all = per_million(Money::new(hour), rates.total()).unwrap().get();
        prop_assert!((blended / all - 1.0).abs() < 1e-9);
    }

    #[test]
    fn dearer_power_is_never_cheaper_and_a_longer_life_never_dearer(
        price in 0.0..2.0, more in 0.0..2.0, life in 0.5..10.0, longer in 0.0..9.0, residual in 0.0..0.9,
    ) {
        let machine = bought("8xh200-sxm", 300_000.0, 10_000.0);
        let total = |power: f64, life: f64| {
            let terms = [(Term::PowerPerKwh, power), (Term::LifeYears, life), (Term::Residual, residual)];
            hour_of(&machine, &stated(&terms)).total().get()
        };
        prop_assert!(total(price + more, life) >= total(price, life));
        prop_assert!(total(price, life + longer) <= total(price, life));
    }

    #[test]
    fn interest_never_makes_it_cheaper(rate in 0.0001..0.5, life in 0.5..10.0, residual in 0.0..1.0) {
        let machine = bought("8xh200-sxm", 300_000.0, 10_000.0);
        let terms = |rate| stated(&[(Term::FinanceRate, rate), (Term::LifeYears, life), (Term::Residual, residual)]);
        let (free, dear) = (hour_of(&machine, &terms(0.0)), hour_of(&machine, &terms(rate)));
        prop_assert!(dear.total() >= free.total());
        // At least the interest on what is left in the machine all along.
        prop_assert!(dear.part(PartKind::Finance).get() * 8766.0 >= 300_000.0 * residual * rate * 0.999);
    }
}
