//! vLLM: a share of the device is the budget; what weights, activations and graphs leave of it is
//! the pool of cache blocks.
//!
//! Layers of different kinds (full, windowed, recurrent) form groups of equal numbers of layers;
//! a block spans one group, and all groups draw on one pool of equal blocks. A sequence takes
//! `ceil(tokens / block)` blocks of a full group, `ceil((window − 1 + chunk) / block) + 1` at most
//! of a windowed one, and a fixed number of a recurrent one; recurrent models enlarge the block
//! until its page holds a state. Logged pools of gemma-3-12b, Qwen3-Next and Qwen3.6 are
//! reproduced to the block.

use crate::arithmetic::cache::{Content, Growth};
use crate::arithmetic::tensor::Shard;
use crate::arithmetic::weights::Entry;
use crate::perf::deployment::Engine;
use crate::placement::cache::{Cache, entry_bytes, is_state, predicted, sum};
use crate::placement::engine::{Charge, MemoryRules, facts, per_vendor};
use crate::placement::ledger::LedgerKind;
use crate::placement::seat::{Load, Seat};
use crate::placement::settings::GraphCapture;
use crate::units::Bytes;

/// Bytes the sampler holds per logit: the logit, its sorted copy with index, probabilities, their
/// sum and a mask. Fitted to the profile of Llama-3-8B with 256 sequences (vLLM PR 10511: 1.26 GiB
/// at one and at two ranks alike).
const SAMPLER_WIDTH: f64 = 41.0;

/// The rules of vLLM.
pub struct Vllm;

impl MemoryRules for Vllm {
    /// Logged for Qwen3.6-27B at TP2: half of the tower on each rank.
    fn divides_towers(&self) -> bool {
        true
    }

    fn padding(&self, entry: &Entry, seat: &Seat<'_>) -> f64 {
        let padding = facts(Engine::Vllm).expert_padding.iter().find(|p| p.format == entry.stored.name);
        let placement = &seat.deployment.placement;
        match padding {
            Some(padding) if entry.tensor.shard == Shard::Expert => {
                let ways = if placement.expert_parallel { 1 } else { placement.expert_ranks() };
                let width = seat.widths.expert.div_ceil(u64::from(ways)).max(1);
                width.next_multiple_of(padding.multiple.get()) as f64 / width as f64
            }
            _ => 1.0,
        }
    }

    fn charge(&self, seat: &Seat<'_>, load: Load, weights: Bytes, charges: &mut Vec<Charge>) {
        let engine = facts(seat.deployment.engine);
        let cache = cache(seat, load);
        let dealt = load.context.div_ceil(u64::from(seat.deployment.placement.cp));
        let ahead = predicted(seat, seat.sequences(load), dealt.next_multiple_of(engine.block.get()));
        charges.push(Charge::exact(
            LedgerKind::Cache,
            cache.kv + ahead,
            "whole blocks of every group of layers",
        ));
        charges.push(Charge::exact(LedgerKind::State, cache.state, "blocks of recurrent layers"));
        charges.push(Charge::exact(
            LedgerKind::Activations,
            activations(seat, load),
            "widest layer of a full chunk, or the sampler over all sequences",
        ));
        charges.push(Charge::exact(
            LedgerKind::Runtime,
            rotary_table(seat),
            "sines and cosines of every position the model allows, 16 bit",
        ));
        charges.push(Charge::engine(
            LedgerKind::Weights,
            weights * engine.surplus_on(seat.vendor()),
            "loaded weights exceed the checkpoint",
        ));
        charges.push(Charge::engine(
            LedgerKind::Runtime,
            engine.runtime_on(seat.vendor()),
            "libraries beyond the first snapshot",
        ));
        if let Some(buffers) = engine.collectives.as_ref().filter(|_| ranks(seat) > 1) {
            charges.push(Charge::engine(LedgerKind::Communication, buffers.bytes, "buffers of collectives"));
        }
        let graphs = graphs(seat, load);
        charges.push(Charge::engine(LedgerKind::Graphs, graphs, "one per captured batch size"));
        let outside = outside_budget(seat);
        charges.push(Charge::engine(
            LedgerKind::Reserve,
            match seat.settings.graphs {
                GraphCapture::InBudget | GraphCapture::Off => outside,
                GraphCapture::OnTop => (outside - graphs).max(Bytes::ZERO),
            },
            "share of the device outside the budget (--gpu-memory-utilization)",
        ));
    }
}

/// The part of a device outside the budget, beside what others already use.
fn outside_budget(seat: &Seat<'_>) -> Bytes {
    let engine = facts(seat.deployment.engine);
    let fraction = seat.settings.memory_fraction.or(engine.memory_fraction).unwrap_or(1.0);
    seat.group
        .map_or(Bytes::ZERO, |group| (group.memory.value * (1.0 - fraction) - group.in_use).max(Bytes::ZERO))
}

/// Devices that work together.
fn ranks(seat: &Seat<'_>) -> u32 {
    let placement = &seat.deployment.placement;
    placement.tp * placement.dp * placement.pp
}

/// What is left outside the budget once graphs are captured; negative where capture fails.
///
/// Before 0.21 graphs were no part of the budget: the pool takes all of it, and graphs must find
/// room in the rest of the device and in what profiling gave back. Buffers of collectives, which
/// no profile sees, lie there too.
pub fn headroom(seat: &Seat<'_>, load: Load) -> Bytes {
    if seat.settings.graphs != GraphCapture::OnTop {
        return outside_budget(seat);
    }
    let collectives = facts(seat.deployment.engine).collectives.as_ref().filter(|_| ranks(seat) > 1);
    outside_budget(seat) + activations(seat, load)
        - graphs(seat, load)
        - collectives.map_or(Bytes::ZERO, |buffers| buffers.bytes)
}

/// The table of rotary embeddings, on every rank, counted with the weights as loaded: positions ·
/// rotary width · 2 B (32 MiB for Llama-3.1, exact). Windowed and full layers of one model may
/// have tables of their own; one is counted.
pub fn rotary_table(seat: &Seat<'_>) -> Bytes {
    Bytes::new((seat.deployment.model.spec.context.get() * seat.widths.rotary * 2) as f64)
}

/// Peak of the profiling run above the weights.
pub fn activations(seat: &Seat<'_>, load: Load) -> Bytes {
    let chunk = seat.deployment.batching.chunk as f64 * 2.0 * seat.widths.served(seat.tp());
    let logits = seat.prepared(load) as f64 * seat.widths.vocabulary as f64 * SAMPLER_WIDTH;
    Bytes::new(if seat.last { chunk.max(logits) } else { chunk })
}

/// Captured graphs: piecewise ones for 1, 2, 4 and every 8 up to twice the sequences (at most the
/// largest batch), and full ones up to the sequences.
pub fn graphs(seat: &Seat<'_>, load: Load) -> Bytes {
    let Some(graph) =
        facts(seat.deployment.engine).graph.as_ref().filter(|_| seat.settings.graphs != GraphCapture::Off)
    else {
        return Bytes::ZERO;
    };
    let sequences = seat.prepared(load);
    let largest = graph.largest.get();
    let sizes = |most: u64| 3 + most.min(largest) / 8;
    let recurrent = graph.recurrent.as_ref().filter(|_| seat.deployment.model.cache.iter().any(is_state));
    let each = per_vendor(&graph.each, seat.vendor());
    each.max(recurrent.map_or(Bytes::ZERO, |amount| amount.bytes))
        * (sizes(2 * sequences) + sizes(sequences)) as f64
}

/// Cache and state of a rank that holds the whole load.
pub fn cache(seat: &Seat<'_>, load: Load) -> Cache {
    let placement = &seat.deployment.placement;
    let context = load.context.div_ceil(u64::from(placement.cp));
    let chunk = seat.deployment.batching.chunk;
    let base = facts(seat.deployment.engine).block.get();
    let sequences = seat.sequences(load);
    match Groups::of(seat, base) {
        Some(groups) => groups.cache(seat, sequences, context, chunk),
        // One kind of layer: plain blocks.
        None => sum(seat, sequences, |component| match component.growth {
            Growth::Fixed => 1,
            // Index keys are not dealt out: every rank scores all of them.
            Growth::PerToken if component.content == Content::IndexKey => load.context.next_multiple_of(base),
            Growth::PerToken => context.next_multiple_of(base),
            Growth::Window(window) => windowed(window, context, chunk, base) * base,
            Growth::Ratio(ratio) => context.next_multiple_of(base.max(ratio)) / ratio,
        }),
    }
}

/// Blocks of a windowed layer: the window and the chunk in flight, and one for the seam.
fn windowed(window: u64, context: u64, chunk: u64, block: u64) -> u64 {
    let kept = (window.saturating_sub(1) + chunk).min(context);
    (kept.div_ceil(block) + 1).min(context.div_ceil(block))
}

/// Layers of several kinds that share one pool of blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Groups {
    /// Tokens of a block.
    block: u64,
    /// Bytes of a block in one layer.
    page: f64,
    /// Layers a block spans.
    layers: u64,
}

impl Groups {
    /// The common block of a seat, where it has layers of several kinds that can share one.
    ///
    /// Only models whose growing layers hold equal entries are unified; V4 and index keys have
    /// pools of their own and are summed one by one.
    fn of(seat: &Seat<'_>, base: u64) -> Option<Self> {
        let mut token = 0.0_f64;
        let mut state = 0.0;
        let mut kinds: Vec<(Growth, u64)> = Vec::new();
        for component in &seat.deployment.model.cache {
            let layers = component.layers.count_in(seat.layers()) as u64;
            if layers == 0 {
                continue;
            }
            match component.growth {
                Growth::Ratio(_) => return None,
                Growth::Fixed => {
                    state += entry_bytes(component, seat);
                    // State and convolution of a layer lie in one page.
                    if !kinds.iter().any(|(growth, _)| *growth == Growth::Fixed) {
                        kinds.push((Growth::Fixed, layers));
                    }
                }
                Growth::PerToken | Growth::Window(_) => {
                    let bytes = entry_bytes(component, seat);
                    if token != 0.0 && (bytes - token).abs() > 0.5 {
                        return None;
                    }
                    token = bytes;
                    kinds.push((component.growth, layers));
                }
            }
        }
        if kinds.len() < 2 || token == 0.0 {
            return None;
        }
        let block = base.max(((state / token).ceil() as u64).next_multiple_of(base));
        let least = kinds.iter().map(|(_, layers)| *layers).min()?;
        let most = kinds.iter().map(|(_, layers)| *layers).max()?;
        // Nearly equal numbers of layers are padded up instead of being cut into small groups.
        let layers = if most * 4 < least * 5 { most } else { least };
        Some(Self { block, page: token * block as f64, layers })
    }

    fn cache(self, seat: &Seat<'_>, sequences: u64, context: u64, chunk: u64) -> Cache {
        let mut cache = Cache::default();
        let mut state_counted = false;
        for component in &seat.deployment.model.cache {
            let layers = component.layers.count_in(seat.layers()) as u64;
            if layers == 0 || (is_state(component) && std::mem::replace(&mut state_counted, true)) {
                continue;
            }
            let blocks = match component.growth {
                Growth::Fixed => seat.settings.state_blocks,
                Growth::PerToken => context.div_ceil(self.block),
                Growth::Window(window) => {
                    let kept = (window.saturating_sub(1) + chunk).min(context);
                    kept.div_ceil(self.block) + 1
                }
                Growth::Ratio(_) => unreachable!("compressed caches are not unified"),
            };
            let spans = layers.div_ceil(self.layers) * self.layers;
            let bytes = Bytes::new((sequences * blocks * spans) as f64 * self.page);
            if is_state(component) {
                cache.state += bytes;
            } else {
                cache.kv += bytes;
            }
        }
        cache
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::deployment::Model;
    use crate::perf::deployment::Placement;
    use crate::placement::activations::Widths;
    use crate::placement::fixtures::{
        bf16, deployment, gemma_12b, kimi_k2, llama_8b, machine, model, qwen3_next,
    };
    use crate::placement::settings::Settings;

    /// Cache and state of the first rank.
    fn held(model: &Model, placement: Placement, chunk: u64, state_blocks: u64, load: Load) -> Cache {
        let (weights, machine) = (bf16(model), machine("nvidia", Bytes::gib(32.0), 8));
        let mut asked = deployment(model, &weights, &machine, Engine::Vllm, placement);
        asked.batching.chunk = chunk;
        let settings = Settings { state_blocks, ..Settings::of(Engine::Vllm) };
        let seat = Seat {
            deployment: &asked,
            settings: &settings,
            widths: Widths::of(&model.spec, 0),
            group: asked.stages.first().map(|stage| asked.device_group(stage)),
            first_layer: 0,
            end_layer: model.spec.layer_count(),
            stage: 0,
            last: true,
        };
        cache(&seat, load)
    }

    fn tp(tp: u32) -> Placement {
        Placement { tp, ..Placement::ONE }
    }

    #[test]
    fn windowed_groups_share_blocks_of_one_page() {
        // gemma-3-12b on one R9700, vLLM 0.13: a pool of 17,448,304,640 B is 16,640 blocks of 1 MiB
        // (8 layers · 16 tokens · 8192 B). A sequence of 9900 takes 619 + 5·193 = 1584, one of
        // 32,768 takes 2048 + 965 = 3013: printed as 10.51 and 5.52 sequences.
        for (context, blocks, printed) in [(9900, 1584.0, 10.51), (32_768, 3013.0, 5.52)] {
            let held = held(&gemma_12b(), tp(1), 2048, 1, Load { sequences: 1, context });
            assert_eq!(held.kv, Bytes::mib(blocks));
            let concurrency = 17_448_304_640.0 / held.kv.get();
            assert!((concurrency - printed).abs() < 0.006, "{concurrency}");
        }
    }

    #[test]
    fn recurrent_layers_enlarge_the_block() {
        // Qwen3-Next at TP2: a state of 24,576 + 524,288 B needs 536 tokens of 1024 B, rounded to
        // blocks of 544; 12 layers each: 6,684,672 B. 16,384 tokens take 31 + 3 blocks. A pool of
        // 7,612,829,532 B is 1138 blocks = 33.47 sequences, as vLLM 0.13 printed.
        let held = held(&qwen3_next(), tp(2), 2048, 1, Load { sequences: 1, context: 16_384 });
        assert_eq!(held.kv + held.state, Bytes::new(34.0 * 6_684_672.0));
        let concurrency = (7_612_829_532.0_f64 / 6_684_672.0).floor() / 34.0;
        assert!((concurrency - 33.47).abs() < 0.005, "{concurrency}");
    }

    #[test]
    fn latents_are_copied_by_tensor_and_dealt_by_context_parallelism() {
        // 61 layers · 576 · 2 B = 70,272 B per token on every rank of TP8.
        let load = Load { sequences: 1, context: 65_536 };
        let copied = held(&kimi_k2(), tp(8), 2048, 1, load);
        assert_eq!(copied.kv, Bytes::new(70_272.0 * 65_536.0));
        let dealt = held(&kimi_k2(), Placement { cp: 8, ..tp(8) }, 2048, 1, load);
        assert_eq!(dealt.kv, Bytes::new(70_272.0 * 8192.0));
    }

    #[test]
    fn heads_are_divided_then_copied() {
        // 32 layers · 8 heads · 128 · 2 · 2 B = 131,072 B per token.
        let load = Load { sequences: 3, context: 1000 };
        let tokens = 3.0 * 1008.0;
        for (ranks, bytes) in [(1, 131_072.0), (2, 65_536.0), (8, 16_384.0), (16, 16_384.0)] {
            let held = held(&llama_8b(), tp(ranks), 2048, 1, load);
            assert_eq!(held.kv, Bytes::new(tokens * bytes), "tp {ranks}");
        }
    }

    #[test]
    fn logged_bytes_per_token() {
        // MiniMax-M2.5 at TP4: 62 layers · 2 of 8 heads · 128 · 2 · 2 B = 63,488 B a token; logged
        // 23.62 GiB for 399,424 tokens = 63,496.
        let minimax = model(
            "minimax-m2.5",
            "minimax-m2",
            r#"hidden = 3072
            vocabulary = 200064
            layers = [{ at = "0-61", blocks = ["a"] }]
            block.a = { kind = "grouped", heads = 48, kv_heads = 8, head_dim = 128 }"#,
        );
        let all = held(&minimax, tp(4), 2048, 1, Load { sequences: 1, context: 399_424 }).kv;
        assert_eq!(all, Bytes::new(399_424.0 * 63_488.0));
        assert!((all.in_gib() - 23.62).abs() < 0.005, "{all}");
        // Kimi-K2-Thinking: 46.80 GiB hold 715,072 tokens.
        let kimi = held(&kimi_k2(), tp(8), 2048, 1, Load { sequences: 1, context: 715_072 }).kv;
        assert!((kimi.in_gib() - 46.80).abs() < 0.005, "{kimi}");
    }

    #[test]
    fn the_sampler_of_many_sequences_is_the_peak() {
        // Llama-3-8B with 256 sequences: 1.26 GiB, whether on one rank or on two (PR 10511).
        for ranks in [1, 2] {
            let (model, machine) = (llama_8b(), machine("nvidia", Bytes::gib(79.2), 2));
            let weights = bf16(&model);
            let mut asked = deployment(&model, &weights, &machine, Engine::Vllm, tp(ranks));
            asked.batching.chunk = 8192;
            let settings = Settings { sequences: Some(256), ..Settings::of(Engine::Vllm) };
            let account = crate::placement::account::Account::new(&asked, &settings);
            let peak = activations(&account.seats()[0].0, Load { sequences: 1, context: 8192 });
            assert!((peak.in_gib() - 1.26).abs() < 0.02, "{peak}");
        }
    }
}
