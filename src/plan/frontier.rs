//! The frontier of throughput against interactivity: every placement of a plan's options under
//! 1, 2, 4, … users up to what its memory holds, and on large machines prefill and decode on workers
//! of their own.
//!
//! Interactivity is tokens per second of one user after the first token, `1 / TPOT`; throughput is
//! output tokens per second of all users, over the devices of the whole machine. A point is on the
//! front when no other is at least as good in both and better in one. Steady loads in closed form;
//! lengths differ by 11 % to either side of the mean.

use crate::catalogue::store::Catalogue;
use crate::fact::{Confidence, Estimate};
use crate::perf::deployment::{Engine, Model};
use crate::perf::time::Limit;
use crate::perf::{Estimator, Phase};
use crate::plan::answer::{Candidate, Question, SCHEMA};
use crate::plan::evaluate::{Certainty, Running};
use crate::plan::load::{Replicas, Requests, Served, doublings};
use crate::plan::options::Search;
use crate::plan::pools::{self, Split};
use crate::plan::request::{Models, Request, Workload};
use crate::plan::{PlanError, offers, question, rebuilt};
use crate::units::{Seconds, TokenRate};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Formats of each engine that are compared unless the user names them: the best that fits.
const FORMATS: usize = 1;

/// What is swept beside the number of users.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sweep {
    /// Prompt tokens of a request.
    pub input: u64,
    /// Tokens of the prompt found in the prefix cache.
    pub cached: u64,
    /// Tokens generated per request.
    pub output: u64,
    /// Most users; up to what fits if absent.
    pub users_max: Option<u64>,
}

impl Sweep {
    /// What every request is like.
    pub(super) fn requests(&self, search: &Search<'_>) -> Requests {
        let draft = search.load.draft(&search.model.spec);
        Requests { input: self.input - self.cached, cached: self.cached, output: self.output, draft }
    }
}

/// Curves of all placements and the front over them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Frontier {
    /// Version of this form.
    pub schema: u32,
    /// Id of the model.
    pub model: String,
    /// What was asked.
    pub question: Question,
    /// What was swept.
    pub sweep: Sweep,
    /// One per placement: those on the front first, then by id.
    pub curves: Vec<Curve>,
    /// What was assumed.
    pub assumptions: Vec<String>,
}

/// One placement under growing load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Curve {
    /// Id of the option, or of the pair of pools.
    pub id: String,
    /// Format of the weights.
    pub format: String,
    /// The engine.
    pub engine: Engine,
    /// How the model is divided, in words.
    pub layout: String,
    /// Prefill and decode on workers of their own; absent where one does both.
    pub split: Option<Split>,
    /// Devices the rate is divided by: those in use.
    pub devices: u32,
    /// Sessions that fit at once, all replicas together.
    pub slots: u64,
    /// How far from measured ground it stands.
    pub confidence: Confidence,
    /// By users, rising.
    pub points: Vec<Point>,
}

/// One load of one placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Users.
    pub users: u64,
    /// Users of them that wait for a place.
    pub waiting: u64,
    /// Mean time to the first token, waiting included.
    pub ttft_s: Estimate<Seconds>,
    /// Mean time per output token after the first.
    pub tpot_s: Estimate<Seconds>,
    /// Output tokens per second of one user after the first.
    pub user_tokens_per_s: Estimate<TokenRate>,
    /// Output tokens per second of one device; of the machine where it has none.
    pub device_tokens_per_s: Estimate<TokenRate>,
    /// Output tokens per second of all users.
    pub output_tokens_per_s: Estimate<TokenRate>,
    /// What bounds it.
    pub limit: Limit,
    /// Whether no other point is at least as good in both rates.
    pub on_front: bool,
}

impl Point {
    /// A load with its intervals.
    pub(super) fn new(served: &Served, devices: u32, certainty: &Certainty) -> Self {
        let total = certainty.rate(served.total, Phase::Throughput);
        let user = TokenRate::new(1.0 / served.each.tpot.get());
        Self {
            users: served.users,
            waiting: served.waiting,
            ttft_s: certainty.time(served.each.ttft, Phase::FirstToken),
            tpot_s: certainty.time(served.each.tpot, Phase::Decode),
            user_tokens_per_s: certainty.rate(user, Phase::Decode),
            device_tokens_per_s: total.map(|rate| rate / f64::from(devices.max(1))),
            output_tokens_per_s: total,
            limit: served.each.limit,
            on_front: false,
        }
    }

    /// What is compared: rates of a user and of a device.
    fn rates(&self) -> (f64, f64) {
        (self.user_tokens_per_s.likely.get(), self.device_tokens_per_s.likely.get())
    }
}

/// Sweeps the load over every placement of a model on a machine.
///
/// # Errors
/// As [`plan`](crate::plan::plan), and for prompts that would be cached whole.
pub fn frontier(request: &Request, sweep: &Sweep, catalogue: &Catalogue) -> Result<Frontier, PlanError> {
    let Models::One(spec) = &request.models else { return Err(PlanError::OneModel) };
    if sweep.cached >= sweep.input {
        return Err(PlanError::AllCached { input: sweep.input, cached: sweep.cached });
    }
    let Sweep { input: prompt, cached, output, .. } = *sweep;
    let load = Workload { prompt, cached, output, ..request.workload };
    let request = Request { workload: load, ..request.clone() };
    crate::plan::specs(&request, catalogue)?;
    let model = Model::new((**spec).clone());
    let offers = offers(&model, &request.limits)?;
    let running = Running::default();
    let search = Search {
        model: &model,
        machine: &request.machine,
        load,
        limits: &request.limits,
        running: &running,
        enough: request.limits.formats.is_empty().then_some(FORMATS),
        operators: request.operators.as_deref(),
    };
    let found = search.run(&offers);
    if found.considered == 0
        && let Some(refusal) = crate::plan::refusal::refusal(&search, &offers)
    {
        return Err(refusal);
    }
    let mut curves: Vec<Curve> =
        found.options.par_iter().filter_map(|option| curve(&search, option, sweep)).collect();
    curves.extend(pools::curves(&search, &found.options, sweep));
    mark(&mut curves);
    let best = |curve: &Curve| curve.points.iter().filter(|point| point.on_front).count();
    curves.sort_by(|a, b| (best(b) > 0).cmp(&(best(a) > 0)).then_with(|| a.id.cmp(&b.id)));
    Ok(Frontier {
        schema: SCHEMA,
        model: spec.id.clone(),
        question: question(&request),
        sweep: *sweep,
        curves,
        assumptions: request.machine.assumptions.clone(),
    })
}

/// Users of a sweep: doublings up to what fits, that itself, and doublings beyond it where more are
/// asked for.
pub(super) fn swept(slots: u64, users_max: Option<u64>) -> Vec<u64> {
    let most = users_max.unwrap_or(slots).max(1);
    let mut users: Vec<u64> = doublings(most).chain((slots < most).then_some(slots)).collect();
    users.sort_unstable();
    users.dedup();
    users
}

/// One placement under growing load.
fn curve(search: &Search<'_>, option: &Candidate, sweep: &Sweep) -> Option<Curve> {
    let weights = rebuilt::weights(search, option)?;
    let (deployment, _) = rebuilt::deployment(search, &weights, option)?;
    let estimator = Estimator::new(&deployment, search.sources()).ok()?;
    let requests = sweep.requests(search);
    let certainty = Certainty::of(&deployment, &estimator).drafted(requests.draft);
    let held = option.largest_concurrency / u64::from(option.placement.replicas.max(1));
    let replicas = Replicas::of(&deployment, held);
    let (served, devices) = (replicas.under(&estimator, &requests), option.placement.devices());
    let points = swept(replicas.all_slots(), sweep.users_max)
        .into_iter()
        .map(|users| Point::new(&served.serve(users), devices, &certainty));
    Some(Curve {
        id: option.id.clone(),
        format: option.format.clone(),
        engine: option.engine,
        layout: option.layout.clone(),
        split: None,
        devices,
        slots: replicas.all_slots(),
        confidence: certainty.confidence,
        points: points.collect(),
    })
}

/// Marks the points that no other beats; of equal ones the first.
fn mark(curves: &mut [Curve]) {
    let mut order: Vec<(usize, usize)> = curves
        .iter()
        .enumerate()
        .flat_map(|(c, curve)| (0..curve.points.len()).map(move |p| (c, p)))
        .collect();
    let rates = |(c, p): (usize, usize)| curves[c].points[p].rates();
    order.sort_by(|a, b| {
        let ((user_a, device_a), (user_b, device_b)) = (rates(*a), rates(*b));
        user_b.total_cmp(&user_a).then(device_b.total_cmp(&device_a)).then(a.cmp(b))
    });
    // From the fastest user on, a point is on the front when its devices do more than all before.
    let mut most = f64::NEG_INFINITY;
    let mut front = Vec::new();
    for place in order {
        let (_, device) = rates(place);
        if device > most {
            most = device;
            front.push(place);
        }
    }
    for (c, p) in front {
        curves[c].points[p].on_front = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(user: f64, device: f64) -> Point {
        let rate =
            |x| Estimate { low: TokenRate::new(x), likely: TokenRate::new(x), high: TokenRate::new(x) };
        let time = Estimate { low: Seconds::ZERO, likely: Seconds::ZERO, high: Seconds::ZERO };
        Point {
            users: 1,
            waiting: 0,
            ttft_s: time,
            tpot_s: time,
            user_tokens_per_s: rate(user),
            device_tokens_per_s: rate(device),
            output_tokens_per_s: rate(device),
            limit: Limit::Memory,
            on_front: false,
        }
    }

    fn curve(points: Vec<Point>) -> Curve {
        Curve {
            id: String::new(),
            format: String::new(),
            engine: Engine::Vllm,
            layout: String::new(),
            split: None,
            devices: 1,
            slots: 1,
            confidence: Confidence::Good,
            points,
        }
    }

    #[test]
    fn the_front_keeps_what_nothing_beats() {
        // (80, 9) is beaten by (80, 10), (40, 20) by (50, 20), (10, 30) by (20, 40); equals count once.
        let mut curves = vec![
            curve(vec![point(100.0, 5.0), point(80.0, 10.0), point(40.0, 20.0), point(10.0, 30.0)]),
            curve(vec![point(80.0, 9.0), point(50.0, 20.0), point(50.0, 20.0), point(20.0, 40.0)]),
        ];
        mark(&mut curves);
        let marks = |curve: &Curve| curve.points.iter().map(|p| p.on_front).collect::<Vec<_>>();
        assert_eq!(marks(&curves[0]), [true, true, false, false]);
        assert_eq!(marks(&curves[1]), [false, true, false, true]);
    }

    #[test]
    fn a_sweep_passes_what_fits_on_its_way_to_what_is_asked() {
        assert_eq!(swept(12, None), [1, 2, 4, 8, 12]);
        assert_eq!(swept(12, Some(32)), [1, 2, 4, 8, 12, 16, 32]);
        assert_eq!(swept(12, Some(3)), [1, 2, 3]);
    }
}
