//! How much of a demand one unit of a deployment serves within the service levels.
//!
//! A user who thinks for `Z` seconds between requests and waits `R` for an answer sends one every
//! `Z + R`. Who sends sees the others only (arrival theorem): with `L` the most requests a second that
//! keep the levels, `1 + L (Z + R)` users do. Histories of users who think stay in the cache as far as
//! it has room beside the requests under way, `s = (K - N) / (U - N)` of them with `K` sessions of
//! memory: of sessions that return at random all are as likely to be found (Che's approximation). What
//! is lost is computed again, so that `s` and the users that fit are found together.

use crate::catalogue::machine::Machine;
use crate::perf::Estimator;
use crate::perf::deployment::Model;
use crate::perf::estimator::Phase;
use crate::perf::rated::{Capacity, Rate, Rated};
use crate::placement::fit::largest_concurrency;
use crate::plan::PlanError;
use crate::plan::answer::Candidate;
use crate::plan::evaluate::{Certainty, Running};
use crate::plan::load::Replicas;
use crate::plan::options::{Found, Search};
use crate::plan::rebuilt;
use crate::plan::request::{Limits, Workload};
use crate::plan::size::ask::{Demand, SizeRequest};
use crate::serving::levels::Levels;
use crate::serving::profile::Profile;

/// Formats of each engine that are sized: the best that fits and the next.
const FORMATS: usize = 2;
/// Halvings of the range of requests a second.
const HALVINGS: usize = 40;
/// Rounds in which users and kept histories are made to agree.
const ROUNDS: usize = 6;

/// One option of one unit, ready to be asked about loads.
#[derive(Clone, Debug)]
pub(super) struct Sizable {
    /// The option, as a plan has it.
    pub candidate: Candidate,
    /// Replicas in one unit.
    pub replicas: u32,
    /// Sessions of mean length a replica holds.
    pub sessions: u64,
    /// Share of the users whose history is found in the cache, at the most users.
    pub survival: f64,
    /// What one replica serves at most within the levels asked for, as the demand counts; none where it
    /// keeps them for nobody.
    pub serves: Option<f64>,
    /// The same at the slow end of its interval.
    pub serves_slow: Option<f64>,
    /// A replica, likely and at the slow end of its interval.
    pub likely: Rated,
    /// At the slow end: 10 % of such predictions are slower.
    pub slow: Rated,
}

/// The means of a traffic as the load of a plan: memory for a session of nearly the longest kind.
pub(super) fn load(profile: &Profile, model: &Model) -> Workload {
    let most = model.spec.context.get();
    let context = profile.context.min(most).max(2);
    let output = (profile.output.round() as u64).clamp(1, context - 1);
    let prompt = (profile.input.round() as u64).clamp(1, context - output);
    Workload { context, prompt, output, cached: 0, users: 1, drafting: None }
}

/// Every option of a model on a machine that fits.
pub(super) fn options(
    model: &Model,
    machine: &Machine,
    request: &SizeRequest,
    profile: &Profile,
    limits: &Limits,
) -> Result<(Vec<Sizable>, u64), PlanError> {
    let running = Running::default();
    let search = Search {
        model,
        machine,
        load: load(profile, model),
        limits,
        running: &running,
        operators: None,
        enough: Some(if limits.formats.is_empty() { FORMATS } else { limits.formats.len() }),
    };
    let offers = crate::plan::offers(model, limits)?;
    let Found { options, considered, .. } = search.run(&offers);
    let sizable = options.into_iter().filter_map(|option| sizable(&search, option, request, profile));
    Ok((sizable.collect(), considered))
}

/// An option with its step times and the histories its cache keeps.
fn sizable(
    search: &Search<'_>,
    candidate: Candidate,
    request: &SizeRequest,
    profile: &Profile,
) -> Option<Sizable> {
    let weights = rebuilt::weights(search, &candidate)?;
    let (deployment, _) = rebuilt::deployment(search, &weights, &candidate)?;
    let estimator = Estimator::new(&deployment, search.sources()).ok()?;
    let held = largest_concurrency(&deployment, (profile.input + profile.output) as u64).max(1);
    let slots = Replicas::of(&deployment, held).slots;
    let certainty = Certainty::of(&deployment, &estimator);
    let slowness = certainty.slowness(Phase::Decode);
    let rated = |survival: f64| estimator.rated(profile, survival, slots);
    let mut survival = 1.0;
    let mut likely = rated(survival);
    for _ in 0..ROUNDS {
        let Some(Capacity { per_second, rate }) = likely.most(&request.levels, profile) else { break };
        let users = users(&likely, per_second, &rate, profile);
        let idle = users - rate.in_flight;
        let kept = if idle > 0.0 { ((held as f64 - rate.in_flight) / idle).clamp(0.0, 1.0) } else { 1.0 };
        if (kept - survival).abs() < 0.02 {
            break;
        }
        survival = f64::midpoint(survival, kept);
        likely = rated(survival);
    }
    let mut sizable = Sizable {
        serves: None,
        serves_slow: None,
        replicas: candidate.placement.replicas.max(1),
        candidate,
        sessions: held,
        survival,
        slow: likely.slowed(slowness),
        likely,
    };
    sizable.serves = sizable.most(false, &request.levels, request.demand, profile);
    if sizable.serves.is_some() {
        sizable.serves_slow = sizable.most(true, &request.levels, request.demand, profile);
    }
    Some(sizable)
}

/// Users who send so many requests a second.
fn users(replica: &Rated, per_second: f64, rate: &Rate, profile: &Profile) -> f64 {
    1.0 + per_second * (profile.think + replica.residence(rate))
}

impl Sizable {
    /// What one replica serves at most within levels; none where it keeps them for nobody.
    pub(super) fn most(&self, slow: bool, levels: &Levels, demand: Demand, profile: &Profile) -> Option<f64> {
        let replica = if slow { &self.slow } else { &self.likely };
        let Capacity { per_second, rate } = replica.most(levels, profile)?;
        Some(match demand {
            Demand::Users(_) => users(replica, per_second, &rate, profile),
            Demand::RequestsPerSecond(_) | Demand::TokensPerDay(_) => per_second,
        })
    }

    /// One replica under its part of a demand: requests a second and what they meet; none where more
    /// comes than it serves.
    pub(super) fn under(&self, demand: Demand, profile: &Profile) -> Option<(f64, Rate)> {
        if let Some(rate) = demand.rate(profile) {
            return Some((rate, self.likely.at(rate)?));
        }
        let Demand::Users(asking) = demand else { return None };
        let others = (asking - 1.0).max(0.0);
        let sent = |rate: &Rate| asking / (profile.think + self.likely.residence(rate));
        // What the others send falls with the time that all wait, which grows with it.
        let (mut low, mut high) = (1e-9, others.max(1e-9) / profile.think.max(1e-3) + 1e-9);
        let mut met = self.likely.at(low)?;
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            match self.likely.at(middle) {
                Some(rate) if middle * (profile.think + self.likely.residence(&rate)) <= others => {
                    (low, met) = (middle, rate);
                }
                Some(_) | None => high = middle,
            }
        }
        Some((sent(&met), met))
    }
}
