//! mlx-lm on Apple silicon: weights resident as stored, caches that grow in steps of 256 tokens,
//! windowed layers in rotating caches of window and chunk.

use crate::arithmetic::cache::Growth;
use crate::placement::cache::{in_blocks, sum};
use crate::placement::engine::{Charge, MemoryRules, facts};
use crate::placement::ledger::LedgerKind;
use crate::placement::seat::{Load, Seat};
use crate::units::Bytes;

/// The rules of mlx-lm.
pub(super) struct Mlx;

impl MemoryRules for Mlx {
    fn charge(&self, seat: &Seat<'_>, load: Load, _weights: Bytes, charges: &mut Vec<Charge>) {
        let engine = facts(seat.deployment.engine);
        let step = engine.block.get();
        let chunk = seat.deployment.batching.chunk;
        let cache = sum(seat, seat.sequences(load), |component| match component.growth {
            // A prompt chunk may make the rotating cache longer for a moment.
            Growth::Window(window) => {
                load.context.next_multiple_of(step).min(window + chunk.saturating_sub(1))
            }
            Growth::Fixed | Growth::PerToken | Growth::Ratio(_) => in_blocks(component, load.context, step),
        });
        charges.push(Charge::exact(LedgerKind::Cache, cache.kv, "grows in steps of 256 tokens"));
        charges.push(Charge::exact(LedgerKind::State, cache.state, "state of every sequence"));
        let logits = seat.sequences(load) as f64 * seat.widths.vocabulary as f64 * 4.0;
        let widest = chunk as f64 * 2.0 * seat.widths.served(1) + logits;
        charges.push(Charge::exact(
            LedgerKind::Activations,
            Bytes::new(widest),
            "widest layer of a prompt chunk, and the logits",
        ));
        charges.push(Charge::engine(
            LedgerKind::Runtime,
            engine.runtime_on(seat.vendor()),
            "Metal context and buffers",
        ));
    }
}
