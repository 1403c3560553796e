//! "Does not fit" with a way out: the nearest changes that would make a format fit, each with its
//! speed and cost.

use crate::arithmetic::scheme::Offer;
use crate::catalogue::machine::Machine;
use crate::economics::Pricing;
use crate::plan::answer::{Candidate, Remedy};
use crate::plan::evaluate::Running;
use crate::plan::options::Search;
use crate::plan::request::{Limits, Workload};
use crate::ranking::{Objective, score};
use crate::units::tokens;

/// Contexts tried when the one asked for is too long.
const SHORTER: [u64; 4] = [65_536, 32_768, 8192, 2048];
/// Times the hardware is multiplied.
const MORE: [u32; 5] = [2, 3, 4, 6, 8];

/// The nearest changes for one format: host memory, fewer users, shorter context, more hardware.
///
/// `options` are those already found: one of this format fits only with the help of host memory.
pub(super) fn remedies(
    search: &Search<'_>,
    offer: &Offer,
    pricing: &Pricing<'_>,
    objective: Objective,
    options: &[Candidate],
) -> Vec<Remedy> {
    let helped = best_of(options.iter().filter(|option| option.format == offer.weights.scheme), objective);
    let mut found: Vec<Remedy> =
        helped.map(|option| remedy("host memory".to_owned(), option)).into_iter().collect();
    let alone = Limits { no_offload: search.machine.device_count() > 0, ..search.limits.clone() };
    let search = &Search { limits: &alone, ..*search };
    let load = search.load;
    if load.users > 1
        && let Some(best) = best(&Search { load: Workload { users: 1, ..load }, ..*search }, offer, objective)
    {
        let users = best.largest_concurrency;
        let change = if users == 1 { "1 user".to_owned() } else { format!("at most {users} users") };
        found.push(remedy(change, &best));
    }
    for context in SHORTER.into_iter().filter(|context| *context < load.context) {
        let prompt = load.prompt.min(context * 3 / 4);
        let shorter = Workload {
            context,
            prompt,
            cached: load.cached.min(prompt - 1),
            output: load.output.min(context / 4),
            ..load
        };
        if let Some(best) = best(&Search { load: shorter, ..*search }, offer, objective) {
            found.push(remedy(
                format!("a context of {}", tokens(best.largest_context.min(load.context))),
                &best,
            ));
            break;
        }
    }
    for times in MORE {
        let machine = search.machine.times(times);
        let (running, _) = Running::of(pricing, &machine);
        let bigger = Search { machine: &machine, running: &running, ..*search };
        if let Some(best) = best(&bigger, offer, objective) {
            found.push(remedy(describe(search.machine, &machine), &best));
            break;
        }
    }
    found
}

/// The best option of a changed search.
fn best(search: &Search<'_>, offer: &Offer, objective: Objective) -> Option<Candidate> {
    best_of(&search.run(std::slice::from_ref(offer)).options, objective).cloned()
}

/// The best of some options; equals by id.
fn best_of<'a>(
    options: impl IntoIterator<Item = &'a Candidate>,
    objective: Objective,
) -> Option<&'a Candidate> {
    options.into_iter().max_by(|a, b| {
        score(&a.merit(), objective).total_cmp(&score(&b.merit(), objective)).then_with(|| b.id.cmp(&a.id))
    })
}

/// A change with the option it leads to.
fn remedy(change: String, best: &Candidate) -> Remedy {
    Remedy {
        change,
        layout: best.layout.clone(),
        decode_tokens_per_s: best.decode_tokens_per_s,
        throughput_tokens_per_s: best.throughput.output_tokens_per_s.likely,
        per_hour: best.cost.per_hour.as_ref().map(|f| f.value),
    }
}

/// `2 nodes instead of 1`, `2 devices instead of 1`.
fn describe(before: &Machine, after: &Machine) -> String {
    if after.node_count() > before.node_count() {
        format!("{} nodes instead of {}", after.node_count(), before.node_count())
    } else {
        format!("{} devices instead of {}", after.device_count(), before.device_count())
    }
}
