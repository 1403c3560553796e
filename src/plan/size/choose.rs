//! From options and prices to deployments: how many units, what they cost, what users see.

use crate::catalogue::model::{ApiOffer, ModelSpec};
use crate::economics::{Holding, Hour, MachineTime, Mix, PartKind, Pricing, TokenRates, split};
use crate::fact::Estimate;
use crate::perf::deployment::Model;
use crate::perf::rated::Rate;
use crate::plan::size::answer::{ApiBill, Failure, Load, Sized, SizedCost};
use crate::plan::size::ask::{Budget, Demand, SizeRequest};
use crate::plan::size::capacity::Sizable;
use crate::plan::size::machines::{DEVICES_ONLY, Unit};
use crate::serving::levels::{Level, Levels, USUAL_SHARE};
use crate::serving::profile::Profile;
use crate::units::{Money, Seconds, TokenRate};
use std::cmp::Ordering;

/// Most units of one deployment.
const MOST_UNITS: f64 = 100_000.0;

/// An option of a unit.
#[derive(Clone, Debug)]
pub(super) struct Found<'a> {
    pub model: &'a Model,
    pub profile: &'a Profile,
    pub unit: Unit,
    /// The machine of the unit in words.
    pub words: String,
    pub sizable: Sizable,
    /// An hour of a unit, by the ways to hold it that have a price.
    pub hours: Vec<(Holding, Hour)>,
}

impl Found<'_> {
    /// Whether the native weights leave half of the memory to caches: more nodes in a unit would not
    /// serve more of each.
    pub(super) fn holds_with_room(&self) -> bool {
        let candidate = &self.sizable.candidate;
        let groups = self.unit.machine.groups();
        let memory: f64 =
            groups.map(|(nodes, group)| f64::from(nodes * group.count) * group.memory.value.get()).sum();
        let each = candidate.weights_bytes.get() * f64::from(self.sizable.replicas);
        candidate.format == "native" && each <= memory / 2.0
    }
}

/// An option with the units that serve a demand and the way they are held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<'f> {
    pub found: &'f Found<'f>,
    pub hour: Option<&'f (Holding, Hour)>,
    /// How much is asked for, as it counts.
    pub asked: f64,
    /// What one replica serves at most, and at the slow end of its interval.
    pub each: f64,
    pub slow: Option<f64>,
    /// Units that serve the demand, and all of them.
    pub needed: u32,
    pub units: u32,
    /// What one replica serves in truth over that, where the simulation told.
    pub corrected: f64,
}

/// What a deployment is chosen for: the question, or a change of it.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub demand: Demand,
    pub levels: Levels,
    pub spare: u32,
    /// Ways to hold a machine that are considered.
    pub holdings: Vec<Holding>,
    /// Whether the levels are those the options were sized for.
    pub as_sized: bool,
}

/// How much of a demand there is, as it counts.
pub(super) fn amount(demand: Demand, profile: &Profile) -> f64 {
    match demand {
        Demand::Users(users) => users,
        Demand::RequestsPerSecond(_) | Demand::TokensPerDay(_) => demand.rate(profile).unwrap_or(0.0),
    }
}

impl<'f> Choice<'f> {
    /// The ways to serve a demand with an option; none where it keeps the levels for nobody.
    pub(super) fn of(found: &'f Found<'f>, ask: &Ask) -> Vec<Self> {
        let sizable = &found.sizable;
        let most = |slow| sizable.most(slow, &ask.levels, ask.demand, found.profile);
        let (each, slow) =
            if ask.as_sized { (sizable.serves, sizable.serves_slow) } else { (most(false), most(true)) };
        let Some(each) = each else { return Vec::new() };
        let unit = each * f64::from(sizable.replicas);
        let asked = amount(ask.demand, found.profile);
        let needed = (asked / unit).ceil().max(1.0);
        if needed > MOST_UNITS {
            return Vec::new();
        }
        let needed = needed as u32;
        let choice =
            |hour| Self { found, hour, asked, each, slow, needed, units: needed + ask.spare, corrected: 1.0 };
        let priced: Vec<Self> = found
            .hours
            .iter()
            .filter(|(holding, _)| ask.holdings.contains(holding))
            .map(|hour| choice(Some(hour)))
            .collect();
        if priced.is_empty() { vec![choice(None)] } else { priced }
    }

    /// All costs of a month; none where a price is missing.
    pub(super) fn per_month(&self) -> Option<f64> {
        Some(self.hour?.1.per_month().get() * f64::from(self.units))
    }

    /// How it is held.
    pub(super) fn held(&self) -> Option<Holding> {
        self.hour.map(|(holding, _)| *holding)
    }

    /// Accelerators of all units, or nodes where there are none.
    pub(super) fn devices(&self) -> u32 {
        let machine = &self.found.unit.machine;
        machine.device_count().max(machine.node_count()) * self.units
    }

    /// Units at the slow end of the interval, spare ones included.
    pub(super) fn units_if_slow(&self) -> Option<u32> {
        let unit = self.slow? * self.corrected * f64::from(self.found.sizable.replicas);
        let units = (self.asked / unit).ceil().max(f64::from(self.needed));
        (units <= MOST_UNITS).then_some(units as u32 + self.units - self.needed)
    }

    /// Cheaper at the slow end of the interval first, so that an option that rests on little does not win
    /// by its size; what keeps the levels only at its likely speed comes last. Then fewer devices, then by
    /// name.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let cost = |choice: &Self| choice.per_month().unwrap_or(f64::INFINITY);
        let sure = |choice: &Self| {
            let units = choice.units_if_slow().map_or(f64::INFINITY, f64::from);
            cost(choice) * units / f64::from(choice.units)
        };
        let (a, b) = (&self.found, &other.found);
        sure(self)
            .total_cmp(&sure(other))
            .then_with(|| cost(self).total_cmp(&cost(other)))
            .then_with(|| self.devices().cmp(&other.devices()))
            .then_with(|| a.unit.name.cmp(&b.unit.name))
            .then_with(|| a.sizable.candidate.id.cmp(&b.sizable.candidate.id))
    }

    /// The bound of the question that it breaks, in words.
    pub(super) fn breaks(&self, request: &SizeRequest, pricing: &Pricing<'_>) -> Option<String> {
        let bounds = &request.bounds;
        if let (Some(most), Some(watts)) =
            (bounds.power_kw, crate::economics::power(&self.found.unit.machine))
        {
            let kw = watts.value.get() * f64::from(self.units) / 1000.0;
            if kw > most {
                return Some(format!("draws {} kW", crate::units::significant(kw)));
            }
        }
        let (spent, what) = match bounds.budget? {
            Budget::PerMonth(most) => {
                (self.per_month().filter(|cost| *cost > most.get())?, "a month".to_owned())
            }
            Budget::Whole(most) => {
                let spent = self.committed(request, pricing)?.get();
                if spent <= most.get() {
                    return None;
                }
                let held = self.hour?.0;
                let what = if held == Holding::Own {
                    "to buy".to_owned()
                } else {
                    format!("rent over {} months", request.horizon_months)
                };
                (spent, what)
            }
        };
        Some(format!("${} {what}", crate::units::grouped(spent)))
    }

    /// The purchase, or the rent over the horizon.
    pub(super) fn committed(&self, request: &SizeRequest, pricing: &Pricing<'_>) -> Option<Money> {
        let (holding, _) = self.hour?;
        if *holding == Holding::Own {
            return self.purchase(pricing);
        }
        Some(Money::new(self.per_month()? * f64::from(request.horizon_months)))
    }

    /// The purchase of all units, with what joins their nodes.
    fn purchase(&self, pricing: &Pricing<'_>) -> Option<Money> {
        let machine = &self.found.unit.machine;
        let price = pricing.price(machine, Holding::Own).ok()?.fact.value;
        let (_, hour) = self.hour?;
        let capital = hour.part(PartKind::Capital);
        let network = if capital > Money::ZERO { hour.part(PartKind::Networking) / capital } else { 0.0 };
        Some(price * (f64::from(self.units) * (1.0 + network)))
    }

    /// The whole answer about it.
    pub(super) fn sized(&self, request: &SizeRequest, ask: &Ask, pricing: &Pricing<'_>) -> Sized {
        let Found { model, profile, unit, sizable, .. } = self.found;
        let candidate = &sizable.candidate;
        let replicas = sizable.replicas * self.units;
        let asked = amount(ask.demand, profile);
        let capacity = self.each * self.corrected * f64::from(replicas);
        let load = self.load(ask, self.units);
        let mut notes = candidate.notes.clone();
        if sizable.survival < 0.98 && profile.kept > profile.common {
            notes.push(format!(
                "the cache keeps the histories of {:.0} % of the users who pause; the rest is computed again",
                sizable.survival * 100.0
            ));
        }
        if unit.machine.assumptions.iter().any(|said| said.contains(DEVICES_ONLY)) {
            notes.push(
                "the purchase counts the devices only: the rest of the machine has no known price".to_owned(),
            );
        }
        Sized {
            model: model.spec.id.clone(),
            unit: unit.name.clone(),
            machine: unit.machine.to_string(),
            units: self.units,
            spare: ask.spare,
            units_if_slow: self.units_if_slow(),
            devices: self.devices(),
            option: candidate.id.clone(),
            format: candidate.format.clone(),
            engine: candidate.engine,
            layout: candidate.layout.clone(),
            replicas,
            capacity,
            capacity_simulated_over_estimated: self.corrected,
            utilisation: asked / capacity,
            histories_kept: sizable.survival,
            one_fails: self.without_one(ask, asked),
            cost: self.cost(request, ask, pricing, &load),
            load,
            simulated: None,
            quality: candidate.quality.as_ref().map(|quality| quality.value),
            confidence: candidate.confidence,
            notes,
        }
    }

    /// One replica under its part of the demand, on so many units.
    pub(super) fn under(&self, ask: &Ask, units: u32) -> Option<(f64, Rate)> {
        let replicas = f64::from(self.found.sizable.replicas * units);
        self.found.sizable.under(ask.demand.times(1.0 / replicas), self.found.profile)
    }

    /// What users see on so many units.
    fn load(&self, ask: &Ask, units: u32) -> Load {
        let Found { profile, sizable, .. } = self.found;
        let replicas = f64::from(sizable.replicas * units);
        let share = |level: Option<Level>| level.map_or(USUAL_SHARE, |level| level.share);
        let none = Estimate {
            low: Seconds::new(f64::INFINITY),
            likely: Seconds::new(f64::INFINITY),
            high: Seconds::new(f64::INFINITY),
        };
        let Some((per_second, rate)) = self.under(ask, units) else {
            return Load {
                requests_per_s: 0.0,
                in_flight: f64::INFINITY,
                ttft_s: none,
                tpot_s: none,
                end_to_end_s: none,
                goodput: None,
            };
        };
        let candidate = &sizable.candidate;
        let with = |likely: f64, low: f64, high: f64| Estimate {
            low: Seconds::new(likely * low),
            likely: Seconds::new(likely),
            high: Seconds::new(likely * high),
        };
        let first = candidate.ttft_s;
        let speed = candidate.decode_tokens_per_s;
        let (slow, fast) = (speed.likely / speed.low, speed.likely / speed.high);
        let replica = &sizable.likely;
        Load {
            requests_per_s: per_second * replicas,
            in_flight: per_second * replicas * sizable.likely.residence(&rate),
            ttft_s: with(
                replica.ttft_within(&rate, share(ask.levels.ttft), profile),
                first.low / first.likely,
                first.high / first.likely,
            ),
            tpot_s: with(replica.tpot_within(&rate, share(ask.levels.tpot)), fast, slow),
            end_to_end_s: with(replica.end_within(&rate, share(ask.levels.end_to_end), profile), fast, slow),
            goodput: None,
        }
    }

    /// What is left without one of the units.
    fn without_one(&self, ask: &Ask, asked: f64) -> Failure {
        if self.units < 2 {
            return Failure::Down;
        }
        let left = self.each * self.corrected * f64::from(self.found.sizable.replicas * (self.units - 1));
        if left >= asked {
            return Failure::Holds;
        }
        if self.under(ask, self.units - 1).is_none() {
            return Failure::Overloaded { serves: left / asked };
        }
        let load = self.load(ask, self.units - 1);
        Failure::Slower { ttft_s: load.ttft_s.likely, tpot_s: load.tpot_s.likely }
    }

    /// Share of the cache that holds the histories of users who pause.
    fn held_share(&self, ask: &Ask) -> f64 {
        let Found { profile, sizable, .. } = self.found;
        let Some((per_second, rate)) = self.under(ask, self.units) else { return 0.0 };
        if profile.kept <= profile.common {
            return 0.0;
        }
        let pausing = per_second * profile.think * (1.0 - 1.0 / profile.turns);
        let room = (sizable.sessions as f64 - rate.in_flight).max(0.0);
        (pausing * sizable.survival).min(room) / sizable.sessions as f64
    }

    /// Share of the memory of the devices that caches take.
    fn cache_memory(&self) -> f64 {
        let Found { sizable, unit, profile, .. } = self.found;
        let groups = unit.machine.groups();
        let memory: f64 =
            groups.map(|(nodes, group)| f64::from(nodes * group.count) * group.memory.value.get()).sum();
        let candidate = &sizable.candidate;
        let replicas = f64::from(sizable.replicas);
        let length = (profile.input + profile.output) / profile.context.max(1) as f64;
        let each = candidate.cache_bytes_per_session.get() * length;
        let caches = each * sizable.sessions as f64 * replicas;
        let all = memory.max(candidate.weights_bytes.get() * replicas + caches);
        if all > 0.0 { caches / all } else { 0.0 }
    }

    fn cost(
        &self,
        request: &SizeRequest,
        ask: &Ask,
        pricing: &Pricing<'_>,
        load: &Load,
    ) -> Option<SizedCost> {
        let Found { model, profile, unit, sizable, .. } = self.found;
        let (holding, hour) = self.hour?;
        let units = f64::from(self.units);
        let per_hour = hour.total() * units;
        let computed = sizable.likely.computed();
        let rates = |per_second: f64| TokenRates {
            input: TokenRate::new(per_second * computed),
            cached: TokenRate::new(per_second * (profile.input - computed).max(0.0)),
            output: TokenRate::new(per_second * profile.output),
        };
        let served = rates(load.requests_per_s);
        let share = self.under(ask, self.units).map_or(0.0, |(_, rate)| sizable.likely.prompt_share(&rate));
        let time = MachineTime {
            prefill: share,
            loading: 0.0,
            held: self.held_share(ask),
            cache_memory: self.cache_memory(),
        };
        let prices = split(per_hour, served, time);
        let mixed = Money::new(per_hour.get() / (served.total().get() * 3600.0) * 1e6);
        let full = self.each * self.corrected * f64::from(sizable.replicas * self.units)
            / amount(ask.demand, profile);
        let per_month = Money::new(self.per_month()?);
        let purchase = (*holding == Holding::Own).then(|| self.purchase(pricing)).flatten();
        let month = served.total().get() * 3600.0 * hour.hours_per_month;
        Some(SizedCost {
            holding: *holding,
            purchase,
            per_month,
            per_hour,
            parts: hour
                .parts
                .iter()
                .map(|part| crate::economics::Part { per_hour: part.per_hour * units, ..part.clone() })
                .collect(),
            committed: self.committed(request, pricing)?,
            per_million_input: prices.input,
            per_million_cached: prices.cached,
            per_million_output: prices.output,
            per_million_mixed: mixed,
            per_million_mixed_full: mixed / full.max(1.0),
            power: crate::economics::power(&unit.machine).map(|power| power.value * units),
            api: bill(
                &model.spec,
                &Mix::of_requests(profile.input, profile.output, profile.kept / profile.input),
                month,
                per_month,
                purchase,
                hour,
                units,
            ),
        })
    }
}

/// What the API offers of a model would take for so many tokens of a mix.
fn bill(
    model: &ModelSpec,
    mix: &Mix,
    tokens: f64,
    per_month: Money,
    purchase: Option<Money>,
    hour: &Hour,
    units: f64,
) -> Option<ApiBill> {
    let price = |offer: &ApiOffer| {
        let (input, output) = (offer.input?, offer.output?);
        let cached = offer.cached_input.unwrap_or(input);
        let per_million = mix.input * input + mix.cached * cached + mix.output * output;
        // Free offers have limits nobody can plan with.
        (per_million > 0.0).then_some(per_million * tokens / 1e6)
    };
    let mut offers: Vec<(f64, &ApiOffer)> =
        model.api.iter().filter_map(|offer| Some((price(offer)?, offer))).collect();
    offers.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.provider.cmp(&b.1.provider)));
    let (cheapest, who) = offers.first()?;
    let bound = hour.part(PartKind::Capital) + hour.part(PartKind::Finance) + hour.part(PartKind::Networking);
    let running = per_month.get() - bound.get() * units * hour.hours_per_month;
    let saved = cheapest - running;
    Some(ApiBill {
        offers: offers.len(),
        cheapest_per_month: Money::new(*cheapest),
        cheapest: match &who.date {
            Some(date) => format!("{}, {date}", who.provider),
            None => who.provider.clone(),
        },
        median_per_month: Money::new(offers[offers.len() / 2].0),
        dearest_per_month: Money::new(offers[offers.len() - 1].0),
        pays_back_months: purchase.filter(|_| saved > 0.0).map(|purchase| purchase.get() / saved),
        breaks_even_at: per_month.get() / cheapest,
    })
}
