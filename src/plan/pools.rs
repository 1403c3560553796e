//! Prefill and decode on workers of their own, on machines of several nodes or many devices.
//!
//! Workers of either kind are tensor groups of 4, 8, 16, … devices that fit, and for routed experts
//! groups that each hold all attention weights and share the experts. A pair of kinds takes the counts
//! `np : nd` that balance prompts per second: `np Rp = nd Rd` with `Rp = 1 / prefill(prompt)` of a full
//! chunk and `Rd = slots / (output decode(slots))`; the machine is filled as far as whole workers go.
//! Of the partners of a decode worker the one of the highest rate walks through a run, until more users
//! only queue for prefill.

use crate::catalogue::machine::Topology;
use crate::perf::deployment::{Deployment, Engine, Placement, Stage};
use crate::perf::{Estimator, Pool, Sources};
use crate::placement::fit::{largest_concurrency, verdict};
use crate::placement::ledger::Ledger;
use crate::placement::legal::legal;
use crate::placement::name;
use crate::placement::search::{Layout, exact};
use crate::placement::settings::Settings;
use crate::plan::answer::Candidate;
use crate::plan::evaluate::Certainty;
use crate::plan::frontier::{Curve, Point, Sweep, swept};
use crate::plan::load::{Replicas, Requests, Served};
use crate::plan::options::Search;
use crate::plan::rebuilt;
use crate::units::{Bandwidth, Bytes};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Devices from which pools of their own are worth trying inside one node.
const MANY_DEVICES: u32 = 16;
/// Devices of the smallest worker.
const SMALLEST: u32 = 4;
/// Gain of a doubling of users below which they only queue for prefill.
const QUEUEING: f64 = 1.05;
/// Users and requests of the largest run walked through.
const MOST_USERS: u64 = 2048;
const MOST_REQUESTS: u64 = 8192;

/// Workers of two kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Split {
    /// Workers that take prompts.
    pub prefill: Division,
    /// Workers that write answers.
    pub decode: Division,
}

/// Equal workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Division {
    /// How many.
    pub count: u32,
    /// Devices of each.
    pub devices: u32,
    /// How each is divided.
    pub layout: String,
}

/// A worker: a deployment of one replica with its estimator.
struct Worker<'a> {
    deployment: Deployment<'a>,
    estimator: Estimator<'a>,
    /// Sessions it holds.
    slots: u64,
    devices: u32,
    /// Prompts per second of prefill alone, and answers per second of decode alone when full.
    prompts: f64,
    answers: f64,
    /// Cache of one session of the context asked for.
    cache: Bytes,
}

/// Counts of two kinds of workers and the requests per second they do together.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Balance {
    prefill: u32,
    decode: u32,
    rate: f64,
}

/// The curves of the best pairs of every server and format among some options.
pub(super) fn curves(search: &Search<'_>, options: &[Candidate], sweep: &Sweep) -> Vec<Curve> {
    let (nodes, devices) = (search.machine.node_count(), search.machine.device_count());
    let fixed = search.limits.tp.or(search.limits.pp).or(search.limits.dp).is_some();
    if fixed || (nodes < 2 && devices < MANY_DEVICES) {
        return Vec::new();
    }
    let mut kinds: Vec<&Candidate> = Vec::new();
    for option in options.iter().filter(|option| separates(option.engine)) {
        if !kinds.iter().any(|known| known.engine == option.engine && known.format == option.format) {
            kinds.push(option);
        }
    }
    kinds.into_par_iter().flat_map_iter(|option| of_engine(search, option, sweep)).collect()
}

/// Whether an engine is run with pools of its own.
const fn separates(engine: Engine) -> bool {
    match engine {
        Engine::Vllm | Engine::Sglang | Engine::TensorRtLlm => true,
        Engine::Atom | Engine::LlamaCpp | Engine::IkLlamaCpp | Engine::Mlx | Engine::KTransformers => false,
    }
}

/// The best pairs of one engine and format.
fn of_engine(search: &Search<'_>, option: &Candidate, sweep: &Sweep) -> Vec<Curve> {
    let Some(weights) = rebuilt::weights(search, option) else { return Vec::new() };
    let total = search.machine.device_count();
    let requests = sweep.requests(search);
    let settings = Settings::of(option.engine);
    let workers: Vec<Worker<'_>> = divisions(search, total)
        .into_iter()
        .filter_map(|layout| {
            let mut deployment = search.deployment(option.engine, &settings, &weights, layout);
            deployment.kv = option.kv_format;
            worker(search, deployment, &requests)
        })
        .collect();
    let partner = |decode: &Worker<'_>| {
        workers
            .iter()
            .enumerate()
            .filter_map(|(at, prefill)| Some((balance(total, prefill, decode)?, at)))
            .max_by(|a, b| a.0.rate.total_cmp(&b.0.rate).then(b.1.cmp(&a.1)))
    };
    let pairs = workers.iter().filter_map(|decode| Some((partner(decode)?, decode)));
    pairs
        .map(|((balance, at), decode)| pair(search, option, sweep, balance, (&workers[at], decode)))
        .collect()
}

/// Divisions of a worker: 4, 8, 16, … devices, fewer than all of the machine.
fn divisions(search: &Search<'_>, total: u32) -> Vec<Layout> {
    let island = search
        .machine
        .groups()
        .map(|(_, group)| match group.topology.value {
            Topology::Switched | Topology::Mesh | Topology::Bridged => {
                search.machine.scale_up_domain.max(group.count)
            }
            Topology::Single | Topology::Pcie | Topology::PcieHost => group.count,
        })
        .max()
        .unwrap_or(1);
    let mut found = Vec::new();
    for width in
        std::iter::successors(Some(SMALLEST), |width| width.checked_mul(2)).take_while(|w| *w < total)
    {
        let mut ways = Vec::new();
        if width <= island {
            ways.push(Placement { tp: width, ..Placement::ONE });
        }
        if search.model.spec.is_moe() {
            ways.push(Placement { dp: width, expert_parallel: true, ..Placement::ONE });
        }
        for way in ways {
            let layout = exact(search.model, search.machine, way);
            found.extend(layout.map(|layout| Layout { placement: way, ..layout }));
        }
    }
    found
}

/// A worker with its rates; none if it cannot run or does not fit.
fn worker<'a>(
    search: &Search<'_>,
    mut deployment: Deployment<'a>,
    requests: &Requests,
) -> Option<Worker<'a>> {
    deployment.batching.sequences = 1;
    legal(&deployment).ok()?;
    let ledger = Ledger::of(&deployment);
    if !verdict(&ledger).fits() {
        return None;
    }
    let estimator = Estimator::new(&deployment, search.sources()).ok()?;
    let slots = Replicas::of(&deployment, largest_concurrency(&deployment, search.load.context)).slots;
    let token = estimator.token_time(slots as f64, requests.depth(), requests.draft).get();
    // As many prompts as groups of attention share a step.
    let groups = u64::from(deployment.placement.dp.max(1));
    let prompts = groups as f64 / estimator.prefill_time(requests.input, requests.cached, groups).get();
    Some(Worker {
        devices: deployment.placement.devices(),
        answers: slots as f64 / (requests.output as f64 * token),
        cache: ledger.cache_per_session(),
        deployment,
        estimator,
        slots,
        prompts,
    })
}

/// The counts that do the most requests per second with whole workers; of equal ones the fewest for
/// prompts.
fn balance(total: u32, prefill: &Worker<'_>, decode: &Worker<'_>) -> Option<Balance> {
    balanced(total, (prefill.devices, prefill.prompts), (decode.devices, decode.answers))
}

/// The same from devices and rates of both kinds.
fn balanced(total: u32, prefill: (u32, f64), decode: (u32, f64)) -> Option<Balance> {
    let most = total.checked_sub(decode.0)? / prefill.0;
    let mut best: Option<Balance> = None;
    for count in 1..=most {
        let left = (total - count * prefill.0) / decode.0;
        let rate = (f64::from(count) * prefill.1).min(f64::from(left) * decode.1);
        if best.is_none_or(|best| rate > best.rate) {
            best = Some(Balance { prefill: count, decode: left, rate });
        }
    }
    best
}

/// One pair under growing load.
fn pair(
    search: &Search<'_>,
    option: &Candidate,
    sweep: &Sweep,
    balance: Balance,
    (prefill, decode): (&Worker<'_>, &Worker<'_>),
) -> Curve {
    let requests = sweep.requests(search);
    let (context, prompt) = (search.load.context.max(1) as f64, (requests.input + requests.cached) as f64);
    let cache = decode.cache * (prompt / context).min(1.0);
    let transfer = Sources::shipped().transfer(
        cache,
        between(search, &decode.deployment.stages),
        prefill.devices.min(decode.devices),
    );
    let pool = |worker, count| Pool { worker, count: u64::from(count) };
    let slots = decode.slots * u64::from(balance.decode);
    let certainty = Certainty::of(&decode.deployment, &decode.estimator).drafted(requests.draft);
    let devices = balance.prefill * prefill.devices + balance.decode * decode.devices;
    let points =
        swept(slots, sweep.users_max).into_iter().filter(|users| *users <= MOST_USERS).map(|users| {
            let demand = requests.demand(users, decode.slots);
            let demand =
                crate::perf::Demand { requests: demand.requests.min(MOST_REQUESTS).max(2 * users), ..demand };
            let each = Estimator::separate(
                pool(&prefill.estimator, balance.prefill),
                pool(&decode.estimator, balance.decode),
                transfer,
                &demand,
            );
            let served = Served {
                users,
                waiting: users.saturating_sub(slots),
                users_each: users.div_ceil(u64::from(balance.decode)),
                total: each.output_rate,
                each,
            };
            Point::new(&served, devices, &certainty)
        });
    let mut kept: Vec<Point> = Vec::new();
    for point in points {
        let rate = |point: &Point| point.output_tokens_per_s.likely.get();
        let doubled = kept.last().filter(|last| point.users == 2 * last.users);
        let queues = doubled.is_some_and(|last| rate(&point) < QUEUEING * rate(last));
        if queues && sweep.users_max.is_none() {
            break;
        }
        kept.push(point);
    }
    let division = |worker: &Worker<'_>, count| Division {
        count,
        devices: worker.devices,
        layout: name::words(&worker.deployment.placement, option.engine),
    };
    let split =
        Split { prefill: division(prefill, balance.prefill), decode: division(decode, balance.decode) };
    let slug = |worker: &Worker<'_>| name::slug(&worker.deployment.placement, option.engine);
    Curve {
        id: format!(
            "{}/{}/{}/prefill-{}x-{}+decode-{}x-{}/kv-{}",
            option.model,
            option.format,
            option.engine,
            balance.prefill,
            slug(prefill),
            balance.decode,
            slug(decode),
            option.kv_format,
        ),
        format: option.format.clone(),
        engine: option.engine,
        layout: format!(
            "prefill {}× {}, decode {}× {}",
            split.prefill.count, split.prefill.layout, split.decode.count, split.decode.layout
        ),
        split: Some(split),
        devices,
        slots,
        confidence: certainty.confidence,
        points: kept,
    }
}

/// The rate at which a cache leaves a device: the network between nodes, else the fabric.
fn between(search: &Search<'_>, stages: &[Stage]) -> Bandwidth {
    let group =
        stages.first().and_then(|stage| search.machine.groups().nth(stage.group)).map(|(_, group)| group);
    let network = search.machine.network.as_ref().map(|rate| rate.value);
    let link =
        group.and_then(|group| group.accelerator.link.as_ref()?.bandwidth).map(|both_ways| both_ways / 2.0);
    let host = group.map(|group| group.host_link.value);
    network.or(link).or(host).unwrap_or(Bandwidth::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_the_ratio_of_rates() {
        // Workers of 4 devices on 16: a prompt worker does 3 requests a second, an answer worker 1.
        // 1 : 3 does 3 of either.
        let found = balanced(16, (4, 3.0), (4, 1.0)).unwrap();
        assert_eq!(found, Balance { prefill: 1, decode: 3, rate: 3.0 });
        // The other way round three take prompts.
        assert_eq!(balanced(16, (4, 1.0), (4, 3.0)).unwrap(), Balance { prefill: 3, decode: 1, rate: 3.0 });
        // Larger answer workers leave the rest to prompts as far as they pay.
        assert_eq!(balanced(16, (4, 1.0), (8, 2.0)).unwrap(), Balance { prefill: 2, decode: 1, rate: 2.0 });
        assert_eq!(balanced(4, (4, 1.0), (4, 1.0)), None);
    }
}
