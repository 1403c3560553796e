//! A discrete-event simulation of replicas that serve a [`Traffic`], iteration by iteration.
//!
//! What a step with `T` prompt tokens in the fullest group of attention takes, while `n` sequences decode:
//!
//! - `prefill(T) + decode(n) - overlap min(decode(1), prefill(T))` in a mixed engine, and all `n` gain a
//!   token; prompts and sequences share the budget of tokens;
//! - `prefill(T) + step` where prompts go first, and nobody gains a token;
//! - `decode(n)` without prompts; such steps are taken together up to the next event, so that a run costs
//!   a few events per request, whatever its length.
//!
//! Groups of attention step together, so that a step with one prompt takes as long as one with a prompt
//! in every group; fewer prompts than groups are held back for up to `hold` decode steps. Requests run
//! while there are slots and, where the cache has a limit, blocks for their prompts. Those that decode
//! take a block whenever one is full; where none is left, the least important and last admitted request
//! gives its blocks back and is computed again later. Blocks of finished requests stay until their place is
//! needed, the longest unused go first.
//!
//! Everything that happens has a moment in one queue; what happens at one moment has an order of its own,
//! so that the same inputs give the same bytes. Chance is in the traffic alone.
//!
//! Limits: a prompt takes all its blocks when it begins, not piece by piece. A worker that hands a prompt
//! on frees its blocks at once, and workers that decode after it look for no prefixes. A session that goes on
//! otherwise than its last answer loses the blocks beyond. The gap between tokens of requests that begin
//! while prompts of others run is counted from the last of these prompts.

mod blocks;
mod config;
mod events;
mod meter;
mod outcome;
mod prefixes;
mod replica;
mod requests;
mod router;
#[cfg(test)]
mod tests;
mod waiting;
mod world;

pub(crate) use config::PrefillPool;
pub use config::{Cache, Cluster, Failure, Reserve, Router};
pub(crate) use outcome::Answered;
pub use outcome::{Counts, Gaps, Percentiles, Simulated, Times};

use super::traffic::Traffic;
use super::{Load, Policy, StepsAtDepth};
use requests::Requests;
use world::{Setting, World};

/// Runs a traffic on a cluster until all of it is answered.
pub(crate) fn simulate(
    times: &impl StepsAtDepth,
    policy: &Policy,
    cluster: &Cluster,
    prefill: Option<&PrefillPool>,
    traffic: &Traffic,
) -> Simulated {
    World::new(Setting { times, policy, cluster, prefill }, Requests::of(traffic)).run()
}

/// The same for a load of equal users, or for its lengths at given moments, on one replica.
pub(crate) fn simulate_load(
    times: &impl StepsAtDepth,
    policy: &Policy,
    load: &Load,
    moments: Option<&[f64]>,
) -> Simulated {
    let cluster = Cluster::one(load.slots);
    let requests = Requests::of_load(load, policy, moments);
    World::new(Setting { times, policy, cluster: &cluster, prefill: None }, requests).run()
}
