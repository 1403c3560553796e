//! Properties of sizings: what must hold for any demand.

use plimsoll::catalogue::store::Catalogue;
use plimsoll::economics::{Holding, Stated};
use plimsoll::plan::Limits;
use plimsoll::plan::size::{Bounds, Budget, Demand, SizeRequest, Sized, Sizing, size};
use plimsoll::serving::levels::{Level, Levels};
use plimsoll::serving::workload::{Source, shipped};
use plimsoll::units::{Money, Seconds};
use std::sync::Arc;

fn question(model: &str, hardware: &[&str], demand: Demand, catalogue: &Catalogue) -> SizeRequest {
    let level = |seconds| Some(Level { most_s: Seconds::new(seconds), share: 0.95 });
    SizeRequest {
        models: vec![(*catalogue.model(model).expect("a model of the catalogue").value).clone()],
        demand,
        source: Arc::new(Source::Spec(Box::new(shipped("chat").expect("a shipped workload")))),
        levels: Levels { ttft: level(1.0), tpot: level(0.05), ..Levels::default() },
        limits: Limits { formats: vec!["fp8".to_owned()], ..Limits::default() },
        bounds: Bounds {
            hardware: hardware.iter().map(|part| (*part).to_owned()).collect(),
            ..Bounds::default()
        },
        stated: Stated::default(),
        horizon_months: 36,
        months: Vec::new(),
    }
}

fn answer(request: &SizeRequest, catalogue: &Catalogue) -> Sizing {
    size(request, catalogue).expect("a question that makes sense")
}

fn per_month(sized: &Sized) -> f64 {
    sized.cost.as_ref().expect("priced").per_month.get()
}

/// The cheapest at the likely speed: the list is ordered by the slow end.
fn cheapest(sizing: &Sizing) -> f64 {
    sizing.deployments.iter().map(per_month).fold(f64::INFINITY, f64::min)
}

#[test]
fn a_sizing_serves_the_demand_and_its_costs_add_up() {
    let catalogue = Catalogue::embedded();
    let request = question("llama-3.1-8b", &["l40s", "rtx-4090"], Demand::Users(3000.0), &catalogue);
    let sizing = answer(&request, &catalogue);
    assert!(!sizing.deployments.is_empty(), "{:?}", sizing.why_none);
    assert_eq!(sizing, answer(&request, &catalogue), "the same question has the same answer");
    let simulated = sizing.deployments.iter().filter_map(|sized| Some((sized, sized.simulated.as_ref()?)));
    let mut walked = 0;
    for (sized, load) in simulated {
        walked += 1;
        assert!(load.ttft_s.likely <= Seconds::new(1.0), "{sized:?}");
        assert!(load.tpot_s.likely <= Seconds::new(0.05), "{sized:?}");
        // Little: users = rate x (think + stay).
        let stay = load.in_flight / load.requests_per_s;
        let users = load.requests_per_s * (sizing.question.think_s + stay);
        assert!((users / 3000.0 - 1.0).abs() < 0.15, "{users} users: {load:?}");
    }
    assert!(walked >= 2);
    for sized in &sizing.deployments {
        assert!(sized.utilisation <= 1.0 + 1e-9, "{sized:?}");
        assert!(sized.units_if_slow.is_none_or(|slow| slow >= sized.units), "{sized:?}");
        let cost = sized.cost.as_ref().expect("priced");
        let parts: f64 = cost.parts.iter().map(|part| part.per_hour.get()).sum();
        assert!((parts / cost.per_hour.get() - 1.0).abs() < 1e-9, "{cost:?}");
        assert_eq!(cost.purchase.is_some(), cost.holding == Holding::Own, "{cost:?}");
        assert!(cost.per_million_mixed_full <= cost.per_million_mixed, "{cost:?}");
    }
}

#[test]
fn more_asked_never_costs_less_and_less_promised_never_more() {
    let catalogue = Catalogue::embedded();
    let asked = |users| question("llama-3.1-8b", &["l40s"], Demand::Users(users), &catalogue);
    let base = cheapest(&answer(&asked(2000.0), &catalogue));
    assert!(cheapest(&answer(&asked(6000.0), &catalogue)) > base);
    let mut slower = asked(2000.0);
    slower.levels.tpot = slower.levels.tpot.map(|level| Level { most_s: level.most_s * 2.0, ..level });
    assert!(cheapest(&answer(&slower, &catalogue)) <= base * (1.0 + 1e-9));
    let mut spare = asked(2000.0);
    spare.bounds.spare = 1;
    let spared = answer(&spare, &catalogue);
    assert!(cheapest(&spared) > base);
    assert!(spared.deployments.iter().all(|sized| sized.spare == 1 && sized.units > 1));
}

#[test]
fn a_budget_holds_or_the_answer_says_what_it_buys_and_what_it_would_take() {
    let catalogue = Catalogue::embedded();
    let mut request = question("llama-3.1-8b", &["l40s", "rtx-4090"], Demand::Users(3000.0), &catalogue);
    let free = cheapest(&answer(&request, &catalogue));
    request.bounds.budget = Some(Budget::PerMonth(Money::new(free * 3.0)));
    let within = answer(&request, &catalogue);
    assert!(!within.deployments.is_empty());
    assert!(within.deployments.iter().all(|sized| per_month(sized) <= free * 3.0 * (1.0 + 1e-9)));
    request.bounds.budget = Some(Budget::PerMonth(Money::new(free / 3.0)));
    let too_little = answer(&request, &catalogue);
    assert!(too_little.deployments.is_empty() && too_little.why_none.is_some());
    let bought = too_little.affordable.expect("a third of it buys something");
    assert!(bought.keeps_levels && bought.serves > 0.1 && bought.serves < 1.0, "{}", bought.serves);
    assert!(per_month(&bought.deployment) <= free / 3.0 * (1.0 + 1e-9));
    assert!(too_little.beyond.iter().any(|beyond| !beyond.breaks.is_empty()));
}

#[test]
fn what_is_bought_for_a_growing_demand_stays() {
    let catalogue = Catalogue::embedded();
    let mut request = question("llama-3.1-8b", &["rtx-4090"], Demand::Users(800.0), &catalogue);
    request.stated.holding = Some(Holding::Own);
    request.months = vec![1.0, 2.0, 4.0, 1.0];
    let growth = answer(&request, &catalogue).growth;
    assert_eq!(growth.len(), 4);
    assert!(growth.windows(2).all(|pair| pair[0].units <= pair[1].units), "{growth:?}");
    assert_eq!(growth.iter().map(|month| month.added).sum::<u32>(), growth[3].units);
}

#[test]
fn tokens_a_day_are_requests_a_second() {
    let catalogue = Catalogue::embedded();
    let asked = |demand| question("llama-3.1-8b", &["l40s"], demand, &catalogue);
    let by_rate = answer(&asked(Demand::RequestsPerSecond(20.0)), &catalogue);
    let tokens = 20.0 * 86_400.0 * (by_rate.question.input + by_rate.question.output);
    let by_day = answer(&asked(Demand::TokensPerDay(tokens)), &catalogue);
    assert!((cheapest(&by_rate) / cheapest(&by_day) - 1.0).abs() < 1e-9);
}
