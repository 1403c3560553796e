//! Weights of one rank: which tensors live on it, and what share of each.
//!
//! A rank of a stage holds the layers of that stage, divided over the `tp` ranks of its attention
//! group where the tensor can be divided; routed experts are divided over all `dp · tp` devices
//! of the stage. Shares are those of the worst rank: 384 experts on 9 devices count as 43.

use crate::arithmetic::inventory::Place;
use crate::arithmetic::tensor::{Role, Shard};
use crate::arithmetic::weights::Entry;
use crate::placement::engine::{Home, MemoryRules};
use crate::placement::seat::Seat;
use crate::units::Bytes;

/// Share of a tensor that the fullest rank of a stage holds.
pub fn share(entry: &Entry, seat: &Seat<'_>, rules: &dyn MemoryRules) -> f64 {
    let placement = &seat.deployment.placement;
    let ranks = u64::from(placement.expert_ranks());
    match entry.tensor.shard {
        Shard::Replicated if entry.place == Place::Tower && rules.divides_towers() => 1.0 / seat.tp() as f64,
        Shard::Replicated => 1.0,
        Shard::Split => 1.0 / rules.split_ways(entry, seat) as f64,
        Shard::KvHeads(heads) => fullest(heads, seat.tp()),
        Shard::Expert if placement.expert_parallel => fullest(entry.tensor.copies, ranks),
        Shard::Expert => 1.0 / ranks as f64,
    }
}

/// Share of `parts` whole parts dealt to `ranks` that the fullest rank holds; at least one part.
pub fn fullest(parts: u64, ranks: u64) -> f64 {
    parts.div_ceil(ranks) as f64 / parts as f64
}

/// Bytes of weights on one rank of a stage.
pub fn on_rank(seat: &Seat<'_>, rules: &dyn MemoryRules) -> Bytes {
    seat.deployment
        .weights
        .entries
        .iter()
        .filter(|entry| rules.home(entry, seat) == Home::Device)
        .map(|entry| {
            let share = share(entry, seat, rules) * rules.padding(entry, seat);
            entry.each * (copies_on(entry, seat, rules) * share)
        })
        .sum()
}

/// How often a tensor occurs on a stage, before it is divided over the ranks.
fn copies_on(entry: &Entry, seat: &Seat<'_>, rules: &dyn MemoryRules) -> f64 {
    let spec = &seat.deployment.model.spec;
    let first = seat.stage == 0;
    let occurrences = match &entry.place {
        Place::Layers(layers) => {
            let range = seat.layers();
            let on_stage = layers.count_in(range.clone());
            if entry.tensor.shard == Shard::Expert {
                let end = seat.widths.expert_layers_offloaded_end.clamp(range.start, range.end);
                on_stage - layers.count_in(range.start..end)
            } else {
                on_stage
            }
        }
        Place::Input => {
            let input = first && !rules.keeps_input_on_host();
            // A tied embedding is the output matrix too; an engine that looks up rows on the host
            // or on another stage needs it a second time.
            let output = seat.last && spec.tied_embeddings && is_table(entry);
            usize::from(input || output)
        }
        Place::Output => usize::from(seat.last),
        Place::Prediction(layers) => usize::from(seat.last) * usize::try_from(*layers).unwrap_or(0),
        Place::Tower | Place::Lookup => usize::from(first),
    };
    occurrences as f64
}

/// Whether an entry is the embedding table itself.
fn is_table(entry: &Entry) -> bool {
    entry.tensor.role == Role::Embedding
}

/// Bytes of weights that stay in host memory.
pub fn on_host(seat: &Seat<'_>, rules: &dyn MemoryRules) -> Bytes {
    let deployment = seat.deployment;
    let cpu_only = deployment.stages.is_empty();
    let offloaded = seat.widths.expert_layers_offloaded_end;
    let mut total = Bytes::ZERO;
    for entry in &deployment.weights.entries {
        let home = rules.home(entry, seat);
        let occurrences = match &entry.place {
            _ if home == Home::Nowhere => 0,
            Place::Layers(layers) => {
                // Stages hold a layer once, less the experts they leave to the host.
                let expert = entry.tensor.shard == Shard::Expert;
                let held = deployment.stages.iter().map(|stage| {
                    let first = if expert { stage.layers.start.max(offloaded) } else { stage.layers.start };
                    layers.count_in(first..stage.layers.end)
                });
                layers.len().saturating_sub(held.sum())
            }
            Place::Input => usize::from(cpu_only || rules.keeps_input_on_host()),
            Place::Lookup => usize::from(cpu_only || home == Home::Host),
            Place::Output | Place::Tower => usize::from(cpu_only),
            Place::Prediction(layers) => usize::from(cpu_only) * usize::try_from(*layers).unwrap_or(0),
        };
        total += entry.each * occurrences as f64;
    }
    total
}
