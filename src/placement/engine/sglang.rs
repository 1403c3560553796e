//! `SGLang`: weights and cache share a static part of the device; the rest is for activations,
//! graphs and libraries.
//!
//! Reserved, in MiB: `512 + 1.5 · max(chunk, 2048) + tp · pp / 8 · 1024 + graphs`, and at least
//! 10 GiB on devices above 60 GiB. Graphs: 2 per sequence of the largest decode batch, 3 more per
//! sequence and attention group, and 1536 where latent attention also captures prefill.

use crate::arithmetic::cache::{Content, Growth};
use crate::arithmetic::tensor::Class;
use crate::arithmetic::weights::Entry;
use crate::placement::cache::{in_blocks, predicted, sum};
use crate::placement::engine::{Charge, MemoryRules, facts};
use crate::placement::ledger::LedgerKind;
use crate::placement::seat::{Load, Seat};
use crate::placement::settings::GraphCapture;
use crate::units::Bytes;

/// Largest decode batch captured by default, by memory of the device up to so many GiB
/// (few ranks, four or more ranks).
const CAPTURED: [(f64, u64, u64); 5] =
    [(20.0, 8, 8), (35.0, 48, 160), (60.0, 32, 160), (90.0, 256, 512), (160.0, 256, 512)];

/// The rules of `SGLang`.
pub(super) struct Sglang;

impl MemoryRules for Sglang {
    /// Attention groups hold copies of attention and embedding; feed-forward layers and the output
    /// matrix are divided over all devices of the stage.
    fn split_ways(&self, entry: &Entry, seat: &Seat<'_>) -> u64 {
        let all = u64::from(seat.deployment.placement.expert_ranks());
        match entry.tensor.class {
            Class::Dense | Class::Shared | Class::Head => all,
            Class::Embedding
            | Class::Attention
            | Class::Indexer
            | Class::Compressor
            | Class::Linear
            | Class::Router
            | Class::Experts
            | Class::Norms
            | Class::Hyper
            | Class::Other
            | Class::Tower
            | Class::Lookup => seat.tp(),
        }
    }

    fn charge(&self, seat: &Seat<'_>, load: Load, _weights: Bytes, charges: &mut Vec<Charge>) {
        let engine = facts(seat.deployment.engine);
        let block = engine.block.get();
        let sequences = seat.sequences(load);
        let cache = sum(seat, sequences, |component| match component.growth {
            // Windowed layers keep a pool of their own that follows the window.
            Growth::Window(window) => load.context.min(window + seat.deployment.batching.chunk),
            Growth::Fixed | Growth::PerToken | Growth::Ratio(_) => in_blocks(component, load.context, block),
        });
        let ahead = predicted(seat, sequences, load.context.next_multiple_of(block));
        charges.push(Charge::exact(LedgerKind::Cache, cache.kv + ahead, "tokens of all sequences"));
        charges.push(Charge::exact(LedgerKind::State, cache.state, "state slot of every sequence"));
        let capacity = seat.group.map_or(Bytes::ZERO, |group| group.memory.value);
        if let Some(fraction) = seat.settings.memory_fraction {
            charges.push(Charge::engine(
                LedgerKind::Reserve,
                capacity * (1.0 - fraction),
                "outside the static share (--mem-fraction-static)",
            ));
            return;
        }
        let reserved = reserved(seat, load, capacity);
        charges.push(Charge::engine(
            LedgerKind::Runtime,
            engine.runtime_on(seat.vendor()),
            "context and libraries",
        ));
        charges.push(Charge::engine(
            LedgerKind::Activations,
            reserved.activations,
            "1.5 MiB per token of the prefill chunk",
        ));
        charges.push(Charge::engine(
            LedgerKind::Communication,
            reserved.communication,
            "1 GiB per 8 ranks of a replica",
        ));
        charges.push(Charge::engine(LedgerKind::Graphs, reserved.graphs, "2 MiB per sequence captured"));
        let sum = engine.runtime_on(seat.vendor())
            + reserved.activations
            + reserved.communication
            + reserved.graphs;
        let least = if capacity.in_gib() > 60.0 { Bytes::gib(10.0) } else { Bytes::ZERO };
        charges.push(Charge::engine(
            LedgerKind::Reserve,
            (least - sum).max(Bytes::ZERO),
            "at least 10 GiB stay outside the static share of devices above 60 GiB",
        ));
    }
}

/// What the engine keeps out of its static share.
struct Reserved {
    activations: Bytes,
    communication: Bytes,
    graphs: Bytes,
}

fn reserved(seat: &Seat<'_>, load: Load, capacity: Bytes) -> Reserved {
    let placement = &seat.deployment.placement;
    // The engine calls all devices of a stage its tensor-parallel size.
    let world = f64::from(placement.expert_ranks() * placement.pp);
    let chunk = seat.deployment.batching.chunk.max(2048) as f64;
    let latent = seat.deployment.model.cache.iter().any(|c| matches!(c.content, Content::Latent { .. }));
    let many = placement.expert_ranks() >= 4;
    let default = CAPTURED
        .iter()
        .find(|(gib, ..)| capacity.in_gib() < *gib)
        .map_or(512, |(_, few, more)| if many { *more } else { *few });
    let captured = seat.prepared(load).min(default) as f64;
    let mut graphs = 0.0;
    if seat.settings.graphs != GraphCapture::Off {
        graphs += 2.0 * captured;
        if placement.dp > 1 {
            graphs += 3.0 * captured * f64::from(placement.dp);
        }
        if latent {
            graphs += 1536.0;
        }
    }
    Reserved {
        activations: Bytes::mib(1.5 * chunk),
        communication: Bytes::mib(world / 8.0 * 1024.0),
        graphs: Bytes::mib(graphs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::kv::KvFormat;
    use crate::perf::deployment::{Engine, Placement};
    use crate::placement::fixtures::{bf16, deployment, machine, model};
    use crate::placement::ledger::Ledger;

    #[test]
    fn latents_with_index_keys_to_the_logged_digit() {
        // DeepSeek-V3.2 in fp8: 61 layers · (656 + 132) B = 48,068 B a token; 975,424 tokens are the
        // logged 43.67 GiB, and 1,462,784 the 65.49 GiB really used (PR 11309).
        let v32 = model(
            "deepseek-v3.2",
            "deepseek-v3",
            r#"hidden = 7168
            vocabulary = 129280
            layers = [{ at = "0-60", blocks = ["a"] }]
            block.a = { kind = "latent", heads = 128, q_rank = 1536, kv_rank = 512, nope_dim = 128, rope_dim = 64, value_dim = 128, indexer = { heads = 64, dim = 128, top = 2048 } }"#,
        );
        let (weights, machine) = (bf16(&v32), machine("nvidia", Bytes::gib(140.4), 8));
        for (tokens, gib) in [(975_424, 43.67), (1_462_784, 65.49)] {
            let placement = Placement { tp: 8, ..Placement::ONE };
            let mut asked = deployment(&v32, &weights, &machine, Engine::Sglang, placement);
            asked.kv = KvFormat::Fp8;
            asked.batching.context = tokens;
            let cache = Ledger::of(&asked).ranks[0].of(LedgerKind::Cache);
            assert!((cache.in_gib() - gib).abs() < 0.006, "{cache}");
        }
    }

    #[test]
    fn reserved_by_hand() {
        // H200, TP8, chunk 8192, 256 sequences, no latents: 512 + 12,288 + 1024 + 2·256 MiB.
        let plain = model(
            "plain",
            "plain",
            r#"hidden = 4096
            vocabulary = 128256
            layers = [{ at = "0-31", blocks = ["a"] }]
            block.a = { kind = "grouped", heads = 32, kv_heads = 8, head_dim = 128 }"#,
        );
        let (weights, machine) = (bf16(&plain), machine("nvidia", Bytes::gib(140.4), 8));
        let mut asked =
            deployment(&plain, &weights, &machine, Engine::Sglang, Placement { tp: 8, ..Placement::ONE });
        asked.batching.chunk = 8192;
        asked.batching.sequences = 256;
        let rank = &Ledger::of(&asked).ranks[0];
        let kinds =
            [LedgerKind::Runtime, LedgerKind::Activations, LedgerKind::Communication, LedgerKind::Graphs];
        let reserved: Bytes = kinds.into_iter().map(|kind| rank.of(kind)).sum();
        assert_eq!(reserved, Bytes::mib(512.0 + 12_288.0 + 1024.0 + 512.0));
        assert_eq!(rank.of(LedgerKind::Reserve), Bytes::ZERO);
    }
}
