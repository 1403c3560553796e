//! `KTransformers`: attention, shared experts and cache on the device, routed experts in host
//! memory.

use crate::placement::cache::{in_blocks, sum};
use crate::placement::engine::vllm::activations;
use crate::placement::engine::{Charge, MemoryRules, facts};
use crate::placement::ledger::LedgerKind;
use crate::placement::seat::{Load, Seat};
use crate::units::Bytes;

/// The rules of `KTransformers`.
pub(super) struct KTransformers;

impl MemoryRules for KTransformers {
    fn charge(&self, seat: &Seat<'_>, load: Load, _weights: Bytes, charges: &mut Vec<Charge>) {
        let engine = facts(seat.deployment.engine);
        let block = engine.block.get();
        let cache = sum(seat, seat.sequences(load), |component| in_blocks(component, load.context, block));
        charges.push(Charge::exact(LedgerKind::Cache, cache.kv, "pages of all sequences"));
        charges.push(Charge::exact(LedgerKind::State, cache.state, "state of every sequence"));
        charges.push(Charge::exact(
            LedgerKind::Activations,
            activations(seat, load),
            "widest layer of a full chunk",
        ));
        charges.push(Charge::engine(
            LedgerKind::Runtime,
            engine.runtime_on(seat.vendor()),
            "context, and one layer of experts during prefill",
        ));
    }

    fn charge_host(&self, seat: &Seat<'_>, _load: Load, weights: Bytes, charges: &mut Vec<Charge>) {
        // DeepSeek-V3 in Q4_K_M takes 382 GB of one socket and 1 TB of two.
        let copies = seat.deployment.host().sockets.saturating_sub(1);
        charges.push(Charge::weights(
            weights * f64::from(copies),
            "a copy of the experts for every further socket",
        ));
    }
}
