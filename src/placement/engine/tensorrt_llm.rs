//! TensorRT-LLM: the cache takes a fraction of what is *left* after weights, activations and
//! runtime buffers, not of the device.

use crate::placement::cache::{in_blocks, predicted, sum};
use crate::placement::engine::vllm::{activations, graphs};
use crate::placement::engine::{Charge, MemoryRules, facts};
use crate::placement::ledger::LedgerKind;
use crate::placement::seat::{Load, Seat};
use crate::units::Bytes;

/// The rules of TensorRT-LLM.
pub(super) struct TensorRtLlm;

impl MemoryRules for TensorRtLlm {
    fn charge(&self, seat: &Seat<'_>, load: Load, weights: Bytes, charges: &mut Vec<Charge>) {
        let engine = facts(seat.deployment.engine);
        let block = engine.block.get();
        let cache = sum(seat, seat.sequences(load), |component| in_blocks(component, load.context, block));
        let ahead = predicted(seat, seat.sequences(load), load.context.next_multiple_of(block));
        charges.push(Charge::exact(
            LedgerKind::Cache,
            cache.kv + ahead,
            "blocks of all sequences; windowed layers keep their window",
        ));
        charges.push(Charge::exact(LedgerKind::State, cache.state, "state of every sequence"));
        let placement = &seat.deployment.placement;
        let several = placement.tp * placement.dp * placement.pp > 1;
        let collectives =
            engine.collectives.as_ref().filter(|_| several).map_or(Bytes::ZERO, |buffers| buffers.bytes);
        let runtime = engine.runtime_on(seat.vendor());
        let (activations, graphs) = (activations(seat, load), graphs(seat, load));
        charges.push(Charge::exact(LedgerKind::Activations, activations, "widest layer of a full chunk"));
        charges.push(Charge::engine(LedgerKind::Graphs, graphs, "one per captured batch size"));
        charges.push(Charge::engine(LedgerKind::Communication, collectives, "buffers of collectives"));
        charges.push(Charge::engine(LedgerKind::Runtime, runtime, "context and libraries"));
        let fraction = seat.settings.memory_fraction.or(engine.memory_fraction).unwrap_or(1.0);
        let room = seat.group.map_or(Bytes::ZERO, |group| group.memory.value - group.in_use);
        let left = room - weights - activations - graphs - collectives - runtime;
        charges.push(Charge::engine(
            LedgerKind::Reserve,
            left.max(Bytes::ZERO) * (1.0 - fraction),
            "share of the memory left that the cache does not take (free_gpu_memory_fraction)",
        ));
    }
}
