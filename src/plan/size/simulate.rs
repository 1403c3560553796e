//! The best deployments walked through, request by request: the percentiles the closed form estimates.

use crate::fact::Estimate;
use crate::perf::Estimator;
use crate::plan::evaluate::Running;
use crate::plan::options::Search;
use crate::plan::rebuilt;
use crate::plan::size::answer::Load;
use crate::plan::size::ask::{Demand, SizeRequest};
use crate::plan::size::capacity;
use crate::plan::size::choose::{Ask, Choice};
use crate::serving::levels::{Level, USUAL_SHARE};
use crate::serving::simulation::{Cache, Cluster, Percentiles, Router, Simulated};
use crate::serving::workload::Run;
use crate::units::Seconds;

/// Replicas walked through at most; more behave as these do.
const MOST_REPLICAS: u32 = 16;
/// Requests of a run at least and at most.
const REQUESTS: (f64, f64) = (2000.0, 40_000.0);
/// Sessions of every user, of which the first is not counted.
const SESSIONS: f64 = 3.0;
/// Tokens of a block of the cache.
const BLOCK: u32 = 16;
/// Seed of all runs: the same question has the same answer.
const SEED: u64 = 20_261_124;
/// Fewer and more units than the closed form asks for, over those.
const RANGE: (f64, f64) = (0.5, 4.0);

/// A deployment as the simulation sees it: what it answers with how many units.
pub(super) struct Walked {
    /// Units that serve the demand.
    pub needed: u32,
    /// The run with all units.
    pub load: Load,
    /// Whether it keeps the levels.
    pub keeps: bool,
}

/// The fewest units within the range that keep the levels, and what users see on them and the spare ones.
pub(super) fn walked(choice: &Choice<'_>, ask: &Ask, request: &SizeRequest) -> Option<Walked> {
    let found = choice.found;
    let running = Running::default();
    let search = Search {
        model: found.model,
        machine: &found.unit.machine,
        load: capacity::load(found.profile, found.model),
        limits: &request.limits,
        running: &running,
        operators: None,
        enough: None,
    };
    let candidate = &found.sizable.candidate;
    let weights = rebuilt::weights(&search, candidate)?;
    let (deployment, _) = rebuilt::deployment(&search, &weights, candidate)?;
    let estimator = Estimator::new(&deployment, search.sources()).ok()?;
    let run = |units: u32| simulated(&estimator, choice, ask, request, units);
    let keeps = |units: u32| run(units).keeps(&ask.levels);
    let limit = |factor: f64| (f64::from(choice.needed) * factor).ceil() as u32;
    let (mut low, mut high) = (limit(RANGE.0).max(1), limit(RANGE.1));
    let mut needed = choice.needed;
    if keeps(needed) {
        high = needed;
    } else {
        low = needed + 1;
        needed = high;
    }
    while low < high {
        let middle = low.midpoint(high);
        if keeps(middle) {
            (high, needed) = (middle, middle);
        } else {
            low = middle + 1;
        }
    }
    let outcome = run(needed + ask.spare);
    let keeps = outcome.keeps(&ask.levels);
    Some(Walked { needed, load: load(choice, ask, &outcome, needed + ask.spare), keeps })
}

/// The share of a demand that the replicas walked through have, and how many those are.
fn part(replicas: u32) -> (u32, f64) {
    let walked = replicas.clamp(1, MOST_REPLICAS);
    (walked, f64::from(walked) / f64::from(replicas.max(1)))
}

fn simulated(
    estimator: &Estimator<'_>,
    choice: &Choice<'_>,
    ask: &Ask,
    request: &SizeRequest,
    units: u32,
) -> Simulated {
    let found = choice.found;
    let (profile, sizable) = (found.profile, &found.sizable);
    let (replicas, share) = part(sizable.replicas * units);
    let limit = Some(found.model.spec.context.get());
    let demand = ask.demand.times(share);
    let cycle = profile.think + sizable.likely.alone(profile);
    let fill = profile.turns * cycle;
    let users = match demand {
        Demand::Users(users) => users,
        // As many users as send so many requests: they are at work from the start, while sessions that come
        // at a rate fill the replicas slowly.
        demand => {
            let rate = demand.rate(profile).unwrap_or(0.0);
            let each = demand.times(1.0 / f64::from(replicas));
            let met = sizable.under(each, profile);
            rate * met.map_or(cycle, |(_, rate)| profile.think + sizable.likely.residence(&rate))
        }
    };
    let users = users.round().max(1.0);
    let requests = (users * profile.turns * SESSIONS).clamp(REQUESTS.0, REQUESTS.1.max(2.0 * users));
    let run = Run::Users { users: users as u32, requests: requests as u64 };
    // Ages of sessions are mixed once each user has had one, or half of the run where that is shorter.
    let warm_up = fill.min(requests / users * cycle / 2.0);
    let traffic = request.source.traffic(run, limit, SEED);
    let tokens = sizable.sessions as f64 * (profile.input + profile.output);
    let cluster = Cluster {
        replicas,
        slots: sizable.likely.slots(),
        cache: Some(Cache::of_tokens(tokens as u64, BLOCK)),
        router: Router::SessionAffinity,
        failures: Vec::new(),
        warm_up,
    };
    estimator.simulate(&cluster, &traffic, None)
}

/// What users see in a run, with the interval of the closed form around it.
fn load(choice: &Choice<'_>, ask: &Ask, outcome: &Simulated, units: u32) -> Load {
    let (_, share) = part(choice.found.sizable.replicas * units);
    let candidate = &choice.found.sizable.candidate;
    let around = |likely: f64, low: f64, high: f64| Estimate {
        low: Seconds::new(likely * low),
        likely: Seconds::new(likely),
        high: Seconds::new(likely * high),
    };
    let (first, speed) = (candidate.ttft_s, candidate.decode_tokens_per_s);
    let (fast, slow) = (speed.likely / speed.high, speed.likely / speed.low);
    let times = &outcome.all;
    let answered = outcome.output_rate / choice.found.profile.output;
    Load {
        requests_per_s: answered / share,
        in_flight: outcome.in_flight / share,
        ttft_s: around(
            within(&times.ttft, ask.levels.ttft),
            first.low / first.likely,
            first.high / first.likely,
        ),
        tpot_s: around(within(&times.tpot, ask.levels.tpot), fast, slow),
        end_to_end_s: around(within(&times.end_to_end, ask.levels.end_to_end), fast, slow),
        goodput: Some(outcome.goodput(&ask.levels)),
    }
}

/// The percentile nearest to the share of a level.
fn within(times: &Percentiles, level: Option<Level>) -> f64 {
    match level.map_or(USUAL_SHARE, |level| level.share) {
        share if share > 0.97 => times.p99,
        share if share > 0.925 => times.p95,
        share if share > 0.7 => times.p90,
        _ => times.p50,
    }
}
