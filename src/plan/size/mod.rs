//! From a demand to machines and money: the cheapest deployments that keep the service levels.
//!
//! Every option of every machine of the catalogue is asked how much it serves within the levels
//! (`capacity`, in closed form); priced in every way it can be held (`choose`); and the cheapest are walked
//! through request by request (`simulate`), which decides how many units they need.

mod answer;
mod ask;
mod capacity;
mod choose;
mod machines;
mod simulate;

pub use answer::{
    Affordable, ApiBill, Beyond, Change, Failure, Load, Month, SizeQuestion, Sized, SizedCost, Sizing,
};
pub use ask::{Bounds, Budget, Demand, SizeRequest};

use crate::catalogue::store::Catalogue;
use crate::economics::{Holding, Pricing};
use crate::perf::deployment::Model;
use crate::plan::answer::SCHEMA;
use crate::plan::request::Limits;
use crate::plan::{PlanError, facts};
use crate::serving::levels::{Level, Levels};
use crate::serving::profile::Profile;
use choose::{Ask, Choice, Found};
use machines::{Unit, units};
use rayon::prelude::*;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Nodes of a unit that are tried where one node does not hold the native weights.
const NODES: [u32; 3] = [2, 4, 8];
/// Deployments that are walked through.
const WALKED: usize = 3;
/// Deployments of each list that are told.
const TOLD: usize = 40;
/// Share of the cost above which a change is not told.
const WORTH: f64 = 0.97;
/// Ways to hold a machine that are compared unless the user says one.
const USUAL: [Holding; 2] = [Holding::Own, Holding::OnDemand];

/// The cheapest deployments for a demand. Pure: the same question has the same answer.
///
/// # Errors
/// When a format is unknown, when no request fits the model, or when data do not read; "nothing serves it"
/// is an answer.
pub fn size(request: &SizeRequest, catalogue: &Catalogue) -> Result<Sizing, PlanError> {
    let pricing = Pricing { catalogue, stated: &request.stated };
    let machines = units(catalogue, &request.bounds)?;
    let mut models = Vec::new();
    for spec in &request.models {
        let model = Model::new(spec.clone());
        let profile = request.source.profile(Some(spec.context.get())).ok_or_else(|| {
            let asked = request.source.profile(None).map_or(0, |profile| profile.context);
            PlanError::ContextTooLong { model: spec.id.clone(), most: spec.context.get(), asked }
        })?;
        models.push((model, profile));
    }
    let (mut found, mut considered) = (Vec::new(), 0);
    for (model, profile) in &models {
        let (options, looked) = options(model, profile, &machines, request, &pricing)?;
        found.extend(options);
        considered += looked;
    }
    let ask = Ask {
        demand: request.demand,
        levels: request.levels,
        spare: request.bounds.spare,
        holdings: request.stated.holding.map_or_else(|| USUAL.to_vec(), |holding| vec![holding]),
        as_sized: true,
    };
    let choices = chosen(&found, &ask);
    let broken: Vec<Option<String>> = choices.iter().map(|c| c.breaks(request, &pricing)).collect();
    let priced = |choice: &Choice<'_>| choice.hour.is_some();
    let good: Vec<Choice<'_>> =
        choices.iter().zip(&broken).filter(|(c, b)| priced(c) && b.is_none()).map(|(c, _)| *c).collect();
    let tell = |choice: &Choice<'_>| choice.sized(request, &ask, &pricing);

    let (best, rest) = good.split_at(WALKED.min(good.len()));
    let mut deployments: Vec<Sized> =
        best.par_iter().map(|choice| walk(choice, &ask, request, &pricing)).collect();
    let mut rest: Vec<&Choice<'_>> = rest.iter().take(TOLD).collect();
    let mut told: Vec<Sized> = rest.iter().map(|choice| tell(choice)).collect();
    // The first must have been walked through, whatever the simulation makes of the others.
    for _ in 0..WALKED {
        sort(&mut deployments);
        let beats = |sized: &Sized| deployments.first().is_none_or(|first| order(sized, first).is_lt());
        let Some(at) = told.iter().position(beats) else { break };
        told.remove(at);
        deployments.push(walk(rest.remove(at), &ask, request, &pricing));
    }
    deployments.extend(told);
    sort(&mut deployments);
    let beyond: Vec<Beyond> = choices
        .iter()
        .zip(&broken)
        .filter_map(|(choice, broken)| Some((choice, broken.clone()?)))
        .filter(|(choice, _)| priced(choice))
        .take(TOLD)
        .map(|(choice, breaks)| Beyond { deployment: tell(choice), breaks })
        .collect();
    let affordable = if good.is_empty() {
        affordable(&found, &ask, request, &pricing).or_else(|| fastest(&found, &ask, request, &pricing))
    } else {
        None
    };
    let changes = deployments.first().map_or_else(Vec::new, |best| changes(&found, &ask, best, &deployments));
    let growth = good.first().map_or_else(Vec::new, |best| {
        growth(best, deployments.first().map_or(best.needed, |d| d.units - d.spare), &ask, &request.months)
    });
    let (_, profile) = &models[0];
    Ok(Sizing {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data: Catalogue::data_version().to_owned(),
        question: question(request, profile),
        models: models.iter().map(|(model, _)| facts(model)).collect(),
        why_none: good.is_empty().then(|| why_none(&found, &choices, &machines)),
        deployments,
        unpriced: choices.iter().filter(|c| !priced(c)).take(TOLD).map(tell).collect(),
        beyond,
        affordable,
        changes,
        growth,
        notes: notes(request),
        machines: machines.len() as u64,
        considered,
    })
}

/// Every option of a model on every unit, with its prices.
fn options<'a>(
    model: &'a Model,
    profile: &'a Profile,
    machines: &[Unit],
    request: &SizeRequest,
    pricing: &Pricing<'_>,
) -> Result<(Vec<Found<'a>>, u64), PlanError> {
    let each: Vec<(Vec<Found<'a>>, u64)> = machines
        .par_iter()
        .map(|unit| on_unit(model, profile, unit, request, pricing))
        .collect::<Result<_, _>>()?;
    Ok(each.into_iter().fold((Vec::new(), 0), |(mut all, count), (found, looked)| {
        all.extend(found);
        (all, count + looked)
    }))
}

/// Every option of a model on a unit, or on several nodes of it where one does not hold its native weights.
fn on_unit<'a>(
    model: &'a Model,
    profile: &'a Profile,
    unit: &Unit,
    request: &SizeRequest,
    pricing: &Pricing<'_>,
) -> Result<(Vec<Found<'a>>, u64), PlanError> {
    // The host of a machine that is not sold whole is a guess: nothing may rest on its memory.
    let limits = Limits { no_offload: !unit.whole || request.limits.no_offload, ..request.limits.clone() };
    let joins = unit.machine.groups().any(|(_, group)| group.accelerator.has_fabric() && group.count >= 8);
    let (mut all, mut considered) = (Vec::<Found<'a>>::new(), 0);
    for times in std::iter::once(1).chain(NODES.into_iter().filter(|_| joins)) {
        let unit = if times == 1 { unit.clone() } else { unit.times(times) };
        let (options, looked) = capacity::options(model, &unit.machine, request, profile, &limits)?;
        considered += looked;
        // What keeps the levels for nobody still says what a budget buys.
        let told = request.bounds.budget.is_some();
        let useful = options
            .into_iter()
            .filter(|sizable| told || sizable.serves.is_some())
            .filter(|sizable| request.bounds.admits_quality(&sizable.candidate));
        let mut useful = useful.peekable();
        if useful.peek().is_some() {
            let hours: Vec<_> = Holding::ALL
                .iter()
                .filter(|holding| **holding != Holding::Own || unit.is_sold())
                .filter_map(|holding| Some((*holding, pricing.hour_held(&unit.machine, *holding).ok()?)))
                .collect();
            let words = unit.machine.to_string();
            all.extend(useful.map(|sizable| Found {
                words: words.clone(),
                model,
                profile,
                unit: unit.clone(),
                sizable,
                hours: hours.clone(),
            }));
        }
        if all.iter().any(Found::holds_with_room) {
            break;
        }
    }
    Ok((all, considered))
}

/// The best option of each model on each unit, for each way to hold it, cheapest first.
fn chosen<'f>(found: &'f [Found<'f>], ask: &Ask) -> Vec<Choice<'f>> {
    let mut choices: Vec<Choice<'f>> =
        found.par_iter().flat_map_iter(|found| Choice::of(found, ask)).collect();
    choices.sort_by(Choice::compare);
    let mut seen = BTreeSet::new();
    choices.retain(|choice| {
        // The same devices under several names are one machine.
        let found = choice.found;
        seen.insert((found.model.spec.id.as_str(), found.words.as_str(), choice.held()))
    });
    choices
}

/// A deployment with the units the simulation asks for.
fn walk(choice: &Choice<'_>, ask: &Ask, request: &SizeRequest, pricing: &Pricing<'_>) -> Sized {
    let Some(walked) = simulate::walked(choice, ask, request) else {
        return choice.sized(request, ask, pricing);
    };
    let moved = Choice {
        needed: walked.needed,
        units: walked.needed + ask.spare,
        corrected: f64::from(choice.needed) / f64::from(walked.needed),
        ..*choice
    };
    let mut sized = moved.sized(request, ask, pricing);
    let (closed, simulated) = (choice.needed, walked.needed);
    if !walked.keeps {
        sized.notes.push(
            "simulated, it does not keep the levels with four times the units: do not rely on it".to_owned(),
        );
    } else if closed != simulated {
        sized.notes.push(format!(
            "the closed form asks for {closed} units, the simulation for {simulated}: believe the simulation, which sees \
             requests wait for each other"
        ));
    }
    sized.simulated = Some(walked.load);
    sized
}

/// Cheapest first at the slow end of the interval, as choices are.
fn sort(deployments: &mut [Sized]) {
    deployments.sort_by(order);
}

fn order(a: &Sized, b: &Sized) -> Ordering {
    let cost = |sized: &Sized| {
        let units = sized.units_if_slow.map_or(f64::INFINITY, f64::from) / f64::from(sized.units);
        let per_month = sized.cost.as_ref().map_or(f64::INFINITY, |cost| cost.per_month.get());
        (per_month * units, per_month)
    };
    let ((sure_a, a_cost), (sure_b, b_cost)) = (cost(a), cost(b));
    sure_a.total_cmp(&sure_b).then(a_cost.total_cmp(&b_cost)).then_with(|| a.option.cmp(&b.option))
}

/// The most of the demand that the budget buys: whole units within it.
fn affordable(
    found: &[Found<'_>],
    ask: &Ask,
    request: &SizeRequest,
    pricing: &Pricing<'_>,
) -> Option<Affordable> {
    request.bounds.budget?;
    let one = Ask { demand: request.demand.times(1e-9), spare: 0, ..ask.clone() };
    let within = |choice: &Choice<'_>| choice.hour.is_some() && choice.breaks(request, pricing).is_none();
    let best = chosen(found, &one).into_iter().filter(|choice| within(choice)).map(|choice| {
        // Doublings, then halvings: costs rise with units.
        let (mut low, mut high) = (1_u32, 2);
        while high < 4096 && within(&Choice { units: high, ..choice }) {
            (low, high) = (high, high * 2);
        }
        while high - low > 1 {
            let middle = low.midpoint(high);
            if within(&Choice { units: middle, ..choice }) { low = middle } else { high = middle }
        }
        let choice = Choice { needed: low, units: low, ..choice };
        (f64::from(low * choice.found.sizable.replicas) * choice.each, choice)
    });
    let (serves, choice) = best.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.compare(&a.1)))?;
    let asked = match request.demand {
        Demand::Users(users) => users,
        demand => demand.rate(choice.found.profile)?,
    };
    let part = Ask { demand: request.demand.times((serves / asked).min(1.0)), spare: 0, ..ask.clone() };
    Some(Affordable {
        serves: serves / asked,
        keeps_levels: true,
        deployment: choice.sized(request, &part, pricing),
    })
}

/// The machine within the budget that is fastest for one user, where none keeps the levels even for one.
fn fastest(
    found: &[Found<'_>],
    ask: &Ask,
    request: &SizeRequest,
    pricing: &Pricing<'_>,
) -> Option<Affordable> {
    request.bounds.budget?;
    let alone = Ask {
        demand: Demand::Users(1.0),
        levels: Levels::default(),
        spare: 0,
        as_sized: false,
        ..ask.clone()
    };
    let speed = |choice: &Choice<'_>| choice.found.sizable.candidate.decode_tokens_per_s.low.get();
    let choice = chosen(found, &alone)
        .into_iter()
        .filter(|choice| choice.hour.is_some() && choice.breaks(request, pricing).is_none())
        .max_by(|a, b| speed(a).total_cmp(&speed(b)).then_with(|| b.compare(a)))?;
    Some(Affordable { serves: 0.0, keeps_levels: false, deployment: choice.sized(request, &alone, pricing) })
}

/// Changes of the question and the cost they leave, the smallest change first.
fn changes(found: &[Found<'_>], ask: &Ask, best: &Sized, simulated: &[Sized]) -> Vec<Change> {
    let Some(cost) = best.cost.as_ref().map(|cost| cost.per_month.get()) else { return Vec::new() };
    // What the simulation added or saved on an option holds for a change of the question too.
    let corrected = |choice: &Choice<'_>| {
        let (option, unit) = (&choice.found.sizable.candidate.id, &choice.found.unit.name);
        let of_unit = |sized: &&Sized| sized.unit == *unit && sized.simulated.is_some();
        let same = simulated.iter().find(|sized| of_unit(sized) && sized.option == *option);
        let known = same.or_else(|| simulated.iter().find(of_unit));
        let factor = known.map_or(1.0, |sized| sized.capacity_simulated_over_estimated);
        let needed = (f64::from(choice.needed) / factor).ceil().max(1.0) as u32;
        needed + ask.spare
    };
    let relaxed = |level: Option<Level>| level.map(|level| Level { most_s: level.most_s * 2.0, ..level });
    let held = |holding| Ask { holdings: vec![holding], ..ask.clone() };
    let levels = |levels: Levels| Ask { levels, as_sized: false, ..ask.clone() };
    let now = best.cost.as_ref().map(|cost| cost.holding);
    let mut tried: Vec<(String, Ask)> = [
        ("renting with a commitment of three years", Holding::ReservedThreeYears),
        ("renting with a commitment of one year", Holding::Reserved),
        ("renting spot machines, which can be taken away", Holding::Spot),
        ("buying", Holding::Own),
    ]
    .into_iter()
    .filter(|(_, holding)| Some(*holding) != now)
    .map(|(change, holding)| (change.to_owned(), held(holding)))
    .collect();
    if ask.spare > 0 {
        tried.push(("no spare".to_owned(), Ask { spare: 0, ..ask.clone() }));
    }
    if ask.levels.tpot.is_some() {
        let twice = Levels { tpot: relaxed(ask.levels.tpot), ..ask.levels };
        tried.push(("twice the time per token".to_owned(), levels(twice)));
    }
    if ask.levels.ttft.is_some() {
        let twice = Levels { ttft: relaxed(ask.levels.ttft), ..ask.levels };
        tried.push(("twice the time to the first token".to_owned(), levels(twice)));
    }
    tried.push(("half the demand".to_owned(), Ask { demand: ask.demand.times(0.5), ..ask.clone() }));
    tried
        .into_par_iter()
        .filter_map(|(change, ask)| {
            let best = chosen(found, &ask).into_iter().find(|choice| choice.hour.is_some())?;
            let units = corrected(&best);
            let per_month = Choice { units, ..best }.per_month()?;
            (per_month < WORTH * cost).then(|| Change {
                change,
                deployment: format!(
                    "{} × {}, {} with {}",
                    units,
                    best.found.unit.name,
                    best.found.sizable.candidate.format,
                    best.found.sizable.candidate.engine
                ),
                per_month: crate::units::Money::new(per_month),
                left: per_month / cost,
            })
        })
        .collect()
}

/// Units and costs of each month of a growing demand, on the deployment that is cheapest now.
fn growth(best: &Choice<'_>, needed: u32, ask: &Ask, months: &[f64]) -> Vec<Month> {
    // What the simulation added or saved on the closed form holds for the other months as well.
    let corrected = f64::from(needed) / f64::from(best.needed);
    let mut before = 0;
    let months = months.iter().enumerate().filter_map(|(month, factor)| {
        let ask = Ask { demand: ask.demand.times(*factor), ..ask.clone() };
        let then = Choice::of(best.found, &ask).into_iter().find(|choice| choice.held() == best.held())?;
        let units = (f64::from(then.needed) * corrected).ceil() as u32 + ask.spare;
        // What is bought stays; what is rented follows the demand.
        let units = if best.held() == Some(Holding::Own) { units.max(before) } else { units };
        let added = units.saturating_sub(before);
        before = units;
        let per_month = Choice { units, ..then }.per_month()?;
        Some(Month {
            month: month as u32 + 1,
            factor: *factor,
            units,
            added,
            per_month: crate::units::Money::new(per_month),
        })
    });
    months.collect()
}

fn question(request: &SizeRequest, profile: &Profile) -> SizeQuestion {
    SizeQuestion {
        demand: request.demand,
        workload: request.source.name().to_owned(),
        input: profile.input,
        reusable: profile.kept,
        output: profile.output,
        think_s: profile.think,
        context: profile.context,
        levels: request.levels,
        budget: request.bounds.budget,
        horizon_months: request.horizon_months,
        spare: request.bounds.spare,
    }
}

/// Why nothing serves the demand within the bounds.
fn why_none(found: &[Found<'_>], choices: &[Choice<'_>], machines: &[Unit]) -> String {
    if machines.is_empty() {
        "no machine of the catalogue is of that kind".to_owned()
    } else if found.is_empty() {
        format!(
            "none of {} machines holds the model and keeps the service levels, even for one user: ask for slower \
             levels, a smaller model or a smaller format",
            machines.len()
        )
    } else if choices.iter().all(|choice| choice.hour.is_none()) {
        "no machine that serves it has a known price of this kind".to_owned()
    } else {
        "everything that serves it breaks a bound".to_owned()
    }
}

fn notes(request: &SizeRequest) -> Vec<String> {
    let mut notes = vec![
        "units are for the likely speed; `if slow` is for the slow end of the range, below which one prediction in ten \
         lies, and orders the list: what rests on little does not win"
            .to_owned(),
        "requests are spread evenly over replicas and each user stays with one, so that its history is found there"
            .to_owned(),
    ];
    if let Some(least) = request.bounds.quality {
        notes.push(format!(
            "formats known to keep less than {:.0} % of the quality are left out",
            least * 100.0
        ));
    }
    if matches!(request.demand, Demand::TokensPerDay(_)) {
        notes.push(
            "tokens per day are prompts, cached ones too, and answers, evenly over 24 hours: peaks need more"
                .to_owned(),
        );
    }
    notes
}
