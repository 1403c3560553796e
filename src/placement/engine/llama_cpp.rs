//! llama.cpp and its fork `ik_llama.cpp`.
//!
//! Everything is allocated at start: weights, the cache of the full context, one compute buffer
//! per device that holds the largest moment of the graph. Nothing is reserved beyond that.
//!
//! Current releases of upstream plan the buffer from their graph, which `graph` rebuilds with the
//! allocator of ggml. The fork, older releases and blocks without a graph there are met by the tensors
//! alive at the three wide moments of a graph
//! (`u` tokens of a micro-batch, 32-bit activations):
//! * output: `u · (vocabulary + hidden) · 4`;
//! * attention: `u · (2·hidden + queries + attended) · 4`, with the mask in 32 and 16 bit,
//!   `u · cells · 6`, or without flash attention the scores, `u · cells · heads · 4`, and the mask;
//! * experts: `u · (2·hidden + 2·chosen·expert + chosen·hidden) · 4` and the 16-bit mask; on the first
//!   device also the gate and up matrices of a layer whose experts lie in host memory.
//!
//! Upstream keeps its masks through the output. Logs of GLM-4.5 (1216 and 2080 MiB), Qwen3-30B
//! (1080 MiB), Qwen3-32B (5252 MiB) and Llama-3.1-8B (613 MiB) are met to the last MiB. Where it is
//! wrong: latents the fork expands, by 10 to 50 % over its builds, and scratch capped by `-amb`.

use crate::arithmetic::cache::{Component, Content, Growth};
use crate::arithmetic::inventory::Place;
use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::tensor::Role;
use crate::arithmetic::weights::Entry;
use crate::catalogue::model::Block;
use crate::perf::deployment::Offload;
use crate::placement::cache::{self, Cache};
use crate::placement::engine::graph::{self, Part, Reserve};
use crate::placement::engine::{Charge, Home, MemoryRules, facts};
use crate::placement::ledger::LedgerKind;
use crate::placement::seat::{Load, Seat};
use crate::placement::settings::{GraphPlan, LatentCache};
use crate::units::Bytes;

/// Copies of the inputs kept by a pipeline of several devices (`GGML_SCHED_MAX_COPIES`).
const PIPELINE_COPIES: f64 = 4.0;

/// Prompt tokens from which on matrices in host memory are copied to a device (`op_offload`).
const COPIED_FROM: u64 = 32;

/// The rules of llama.cpp; `fork` are those of `ik_llama.cpp`.
pub struct LlamaCpp {
    /// Whether it is `ik_llama.cpp`.
    pub fork: bool,
}

impl MemoryRules for LlamaCpp {
    fn home(&self, entry: &Entry, seat: &Seat<'_>) -> Home {
        match entry.place {
            Place::Lookup => Home::Host,
            Place::Prediction(_) if !seat.settings.prediction => Home::Nowhere,
            Place::Tower if !seat.settings.towers => Home::Nowhere,
            Place::Layers(_) | Place::Input | Place::Output | Place::Prediction(_) | Place::Tower => {
                Home::Device
            }
        }
    }

    fn keeps_input_on_host(&self) -> bool {
        true
    }

    fn charge(&self, seat: &Seat<'_>, load: Load, _weights: Bytes, charges: &mut Vec<Charge>) {
        let cache = self.cache(seat, load);
        charges.push(Charge::exact(
            LedgerKind::Cache,
            cache.kv,
            "cells of the full context, allocated at start",
        ));
        charges.push(Charge::exact(LedgerKind::State, cache.state, "32-bit state per sequence"));
        let buffer = self.compute_buffer(seat, load);
        charges.push(Charge::exact(
            LedgerKind::Activations,
            buffer,
            "widest moment of the graph of a micro-batch",
        ));
        let runtime = facts(seat.deployment.engine).runtime_on(seat.vendor());
        charges.push(Charge::engine(LedgerKind::Runtime, runtime, "driver context and libraries"));
    }

    fn charge_host(&self, seat: &Seat<'_>, load: Load, _weights: Bytes, charges: &mut Vec<Charge>) {
        let cache = self.cache(seat, load);
        charges.push(Charge::exact(LedgerKind::Cache, cache.kv, "cells of the layers on the CPU"));
        charges.push(Charge::exact(LedgerKind::State, cache.state, "32-bit state of the layers on the CPU"));
        let buffer = self.host_buffer(seat, load);
        charges.push(Charge::exact(LedgerKind::Activations, buffer, "inputs and masks of a micro-batch"));
        charges.push(Charge::exact(
            LedgerKind::Activations,
            output_buffer(seat.widths.vocabulary, load.sequences),
            "logits of every sequence in 32 bit",
        ));
    }
}

/// Logits kept on the host: `vocabulary · 4` bytes per output.
pub fn output_buffer(vocabulary: u64, outputs: u64) -> Bytes {
    Bytes::new((vocabulary * 4 * outputs) as f64)
}

impl LlamaCpp {
    /// Cache and state of the layers of a seat.
    pub fn cache(&self, seat: &Seat<'_>, load: Load) -> Cache {
        let block = facts(seat.deployment.engine).block.get();
        let (count, cells) = streams(seat, load);
        let pooled = if seat.settings.unified_cache { load.sequences } else { 1 };
        let mut found = cache::sum(seat, count, |component| match component.growth {
            Growth::Fixed => pooled,
            Growth::PerToken => cells,
            // The fork allocates windowed layers in full (its issue 1607).
            Growth::Window(_) if self.fork => cells,
            Growth::Window(window) => window_cells(seat, cells, window * pooled),
            Growth::Ratio(ratio) => cells.div_ceil(ratio).next_multiple_of(block),
        });
        found.kv = latent_layout(seat, count * cells, found.kv);
        found.kv += cache::predicted(seat, count, cells);
        found
    }

    /// The compute buffer of a device: from its graph where that is known, else from its widest
    /// moments.
    pub fn compute_buffer(&self, seat: &Seat<'_>, load: Load) -> Bytes {
        let part = match seat.group {
            None => Part::Whole,
            Some(_) => Part::Device { first: seat.stage == 0 },
        };
        match self.reserved(seat, load, part) {
            Some(buffer) => buffer + self.pipeline_copies(seat, load),
            None => self.moments(seat, load),
        }
    }

    /// The buffer of a part by its graph, unless the release plans otherwise or a block has none.
    fn reserved(&self, seat: &Seat<'_>, load: Load, part: Part) -> Option<Bytes> {
        if !self.one_output(seat) {
            return None;
        }
        let batching = &seat.deployment.batching;
        let (_, cells) = streams(seat, load);
        let spec = &seat.deployment.model.spec;
        let pooled = if seat.settings.unified_cache { load.sequences } else { 1 };
        let window = spec.block.values().find_map(|block| match block {
            Block::Grouped(attention) => attention.window,
            _ => None,
        });
        let reserve = Reserve {
            tokens: micro_batch(seat, load),
            sequences: load.sequences.max(1),
            cells,
            window_cells: window.map_or(cells, |window| window_cells(seat, cells, window.get() * pooled)),
            flash: batching.flash_attention,
            turned: batching.flash_attention && !matches!(seat.deployment.kv, KvFormat::F16 | KvFormat::F32),
            copied: if seat.stage == 0 { self.copied_experts(seat).get() as u64 } else { 0 },
        };
        graph::buffer(spec, part, seat.layers(), part != Part::Host && seat.last, reserve)
    }

    /// Whether the release reserves logits for one token of each sequence.
    fn one_output(&self, seat: &Seat<'_>) -> bool {
        !self.fork && seat.settings.graph == GraphPlan::OneOutput
    }

    /// Inputs kept once more for every further copy of a pipeline of several devices.
    fn pipeline_copies(&self, seat: &Seat<'_>, load: Load) -> Bytes {
        let full_offload = seat.deployment.placement.offload == Offload::None;
        if self.fork || !full_offload || seat.deployment.stages.len() < 2 {
            return Bytes::ZERO;
        }
        let (count, cells) = streams(seat, load);
        let (width, cells) = match (self.one_output(seat), seat.deployment.batching.flash_attention) {
            (true, true) => (2.0, cells),
            (true, false) => (4.0, cells),
            (false, _) => (4.0, count * cells),
        };
        let each = seat.widths.hidden as f64 * 4.0 + cells as f64 * width;
        Bytes::new((PIPELINE_COPIES - 1.0) * micro_batch(seat, load) as f64 * each)
    }

    /// The compute buffer of a device from its widest moments.
    fn moments(&self, seat: &Seat<'_>, load: Load) -> Bytes {
        let batching = &seat.deployment.batching;
        let widths = &seat.widths;
        let (count, stream_cells) = streams(seat, load);
        let one_output = self.one_output(seat);
        let cells = if one_output { stream_cells } else { count * stream_cells } as f64;
        let tokens = micro_batch(seat, load) as f64;
        let hidden = widths.hidden as f64;

        let half_mask = tokens * cells * 2.0;
        let mask = match (one_output, batching.flash_attention) {
            (true, true) => half_mask,
            (false, true) => tokens * cells * 4.0 + half_mask,
            (_, false) => tokens * cells * 4.0,
        };
        let scores = if batching.flash_attention || widths.heads == 0 {
            0.0
        } else {
            let scores = tokens * cells * widths.heads as f64 * 4.0;
            seat.settings.scratch_cap.map_or(scores, |cap| scores.min(cap.get()))
        };
        let decompressed = seat.settings.latent == LatentCache::Decompressed && widths.expanded > 0;
        let queries = if decompressed { widths.expanded } else { widths.attention };
        let mut attention = tokens * (2.0 * hidden + queries as f64) * 4.0 + mask + scores;
        if self.fork && batching.flash_attention && !decompressed {
            // A prompt expands the cached latents to keys and values of all heads: 32 bit from a
            // 16-bit cache, 16 bit from a quantised one.
            let width = if seat.deployment.kv == KvFormat::F16 { 4.0 } else { 2.0 };
            attention += cells * widths.expanded as f64 * width;
        }
        let kept_mask = if batching.flash_attention { half_mask } else { 0.0 };
        let experts = widths.chosen as f64 * (2.0 * widths.expert as f64 + hidden);
        let inner = experts.max(2.0 * widths.dense as f64).max(widths.linear as f64);
        let mut feed_forward = tokens * (2.0 * hidden + inner) * 4.0 + kept_mask;
        if seat.stage == 0 {
            feed_forward += self.copied_experts(seat).get();
        }

        let mut buffer = attention.max(feed_forward);
        if seat.last {
            let softcap = facts(seat.deployment.engine)
                .softcap_models
                .iter()
                .any(|prefix| seat.deployment.model.spec.id.starts_with(prefix.as_str()));
            let logits = widths.vocabulary as f64 * if softcap { 2.0 } else { 1.0 };
            let carried =
                if self.fork || seat.group.is_none() || !batching.flash_attention { 0.0 } else { mask };
            let outputs = if one_output { load.sequences.max(1) as f64 } else { tokens };
            buffer = buffer.max(outputs * (logits + hidden) * 4.0 + carried);
        }
        Bytes::new(buffer) + self.pipeline_copies(seat, load)
    }

    /// Expert matrices of a layer in host memory, copied to the first device to multiply a prompt:
    /// gate and up together. The fork copies only when the average expert sees enough tokens.
    fn copied_experts(&self, seat: &Seat<'_>) -> Bytes {
        match seat.deployment.placement.offload {
            Offload::Experts(_) | Offload::Layers(_) => {}
            Offload::None | Offload::All => return Bytes::ZERO,
        }
        let of = |role: Role| {
            let entries = seat.deployment.weights.entries.iter().filter(|entry| entry.tensor.role == role);
            entries
                .map(|entry| (entry.each, entry.tensor.copies))
                .fold((Bytes::ZERO, 1), |most, one| if one.0 > most.0 { one } else { most })
        };
        let ((gate, _), (up, experts)) = (of(Role::ExpertGate), of(Role::ExpertUp));
        let share = if self.fork { experts / seat.widths.chosen.max(1) } else { 1 };
        if seat.deployment.batching.chunk < COPIED_FROM * share {
            return Bytes::ZERO;
        }
        gate + up
    }

    /// The compute buffer of the host: inputs and the mask while devices compute, the graph itself
    /// when the CPU does.
    pub fn host_buffer(&self, seat: &Seat<'_>, load: Load) -> Bytes {
        if seat.deployment.stages.is_empty() {
            return self.compute_buffer(seat, load);
        }
        if let Some(buffer) = self.reserved(seat, load, Part::Host) {
            return buffer;
        }
        let (count, cells) = streams(seat, load);
        let tokens = micro_batch(seat, load) as f64;
        // The mask is F32 on the host until it is copied; builds since 2026 make it F16.
        let mask = (count * cells) as f64 * seat.settings.host_mask_width;
        let inputs = Bytes::new(tokens * (seat.widths.hidden as f64 * 4.0 + mask));
        if seat.layers().is_empty() {
            return inputs;
        }
        // Layers on the CPU need the moments of a layer there; the output lies on the last device.
        inputs.max(self.compute_buffer(&Seat { last: false, ..*seat }, load))
    }
}

/// Tokens of a micro-batch: no more than the cache holds.
fn micro_batch(seat: &Seat<'_>, load: Load) -> u64 {
    seat.deployment.batching.chunk.min(load.context * load.sequences).max(1)
}

/// Cells of a layer with a window: the window and a micro-batch, if that is less than all.
fn window_cells(seat: &Seat<'_>, cells: u64, window: u64) -> u64 {
    let block = facts(seat.deployment.engine).block.get();
    cells.min(window + seat.deployment.batching.chunk).next_multiple_of(block)
}

/// Cells of one sequence, or of the pool when it is shared.
fn streams(seat: &Seat<'_>, load: Load) -> (u64, u64) {
    let block = facts(seat.deployment.engine).block.get();
    if seat.settings.unified_cache {
        (1, (load.context * load.sequences).next_multiple_of(block))
    } else {
        (load.sequences, load.context.next_multiple_of(block))
    }
}

/// The cache of latent attention in the layouts older builds used.
fn latent_layout(seat: &Seat<'_>, cells: u64, latent: Bytes) -> Bytes {
    if seat.widths.expanded == 0 {
        return latent;
    }
    let of = |extra: fn(&Component, &Seat<'_>) -> f64| -> Bytes {
        let components = &seat.deployment.model.cache;
        let bytes: f64 = components
            .iter()
            .filter(|component| matches!(component.content, Content::Latent { .. }))
            .map(|component| component.layers.count_in(seat.layers()) as f64 * extra(component, seat))
            .sum();
        Bytes::new(bytes * cells as f64)
    };
    match seat.settings.latent {
        LatentCache::Latent => latent,
        // The copy holds the compressed part in 16 bit.
        LatentCache::Transposed => latent + of(|component, _| latent_rank(component) as f64 * 2.0),
        LatentCache::Decompressed => of(|_, seat| seat.widths.expanded as f64 * 2.0),
    }
}

/// Elements of a latent without its rotary part.
fn latent_rank(component: &Component) -> u64 {
    match component.content {
        Content::Latent { rope } => component.elements - rope,
        Content::KeyValue
        | Content::Shared { .. }
        | Content::IndexKey
        | Content::State
        | Content::Conv
        | Content::Pending => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::kv::KvFormat;
    use crate::perf::deployment::{Deployment, Engine, Model, Placement};
    use crate::placement::activations::Widths;
    use crate::placement::fixtures::{bf16, deployment, gemma_12b, kimi_k2, llama_8b, machine, model};
    use crate::placement::settings::Settings;

    const MIB: f64 = 1_048_576.0;
    const UPSTREAM: LlamaCpp = LlamaCpp { fork: false };
    const FORK: LlamaCpp = LlamaCpp { fork: true };

    /// Asks about the only device of a deployment, changed by `adjust`.
    fn ask<T>(
        model: &Model,
        adjust: impl Fn(&mut Deployment<'_>),
        question: impl Fn(&Seat<'_>, Load) -> T,
    ) -> T {
        let (weights, machine) = (bf16(model), machine("nvidia", Bytes::gib(32.0), 1));
        let mut asked = deployment(model, &weights, &machine, Engine::LlamaCpp, Placement::ONE);
        adjust(&mut asked);
        let settings = Settings::of(Engine::LlamaCpp);
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
        question(&seat, Load::of(&asked))
    }

    fn kv(model: &Model, context: u64, sequences: u64, chunk: u64, kv: KvFormat) -> Bytes {
        let set = |d: &mut Deployment<'_>| {
            d.kv = kv;
            d.batching.context = context;
            d.batching.sequences = sequences;
            d.batching.chunk = chunk;
        };
        ask(model, set, |seat, load| UPSTREAM.cache(seat, load).kv)
    }

    /// A model of equal layers without feed-forward.
    fn plain(layers: u32, attention: &str, hidden: u64, vocabulary: u64) -> Model {
        let shape = format!(
            "hidden = {hidden}\nvocabulary = {vocabulary}\n\
             layers = [{{ at = \"0-{}\", blocks = [\"a\"] }}]\nblock.a = {{ {attention} }}\n",
            layers - 1
        );
        model("plain", "plain", &shape)
    }

    #[test]
    fn full_attention_to_the_logged_digit() {
        // 36 layers, 256 + 256 elements in 16 bit, 4096 cells: 144.00 MiB.
        let small = plain(36, "kind = \"grouped\", heads = 8, kv_heads = 2, head_dim = 128", 1024, 1000);
        assert_eq!(kv(&small, 4096, 1, 512, KvFormat::F16), Bytes::mib(144.0));
        // Cells are padded to 256 per sequence.
        assert_eq!(kv(&small, 4000, 1, 512, KvFormat::F16), Bytes::mib(144.0));
        assert_eq!(kv(&small, 1000, 4, 512, KvFormat::F16), Bytes::mib(144.0));
    }

    #[test]
    fn latents_to_the_logged_digit() {
        // 61 layers of 576 elements: 32,768 cells in q8_0 are 1166.62 MiB, 65,536 twice that.
        let kimi = kimi_k2();
        assert!((kv(&kimi, 32_768, 1, 512, KvFormat::Q8_0).get() / MIB - 1166.62).abs() < 0.01);
        assert!((kv(&kimi, 65_536, 1, 512, KvFormat::Q8_0).get() / MIB - 2333.25).abs() < 0.01);
        // 78 layers, 512 cells, 16 bit: 43.88 MiB.
        let latent =
            "kind = \"latent\", heads = 64, kv_rank = 512, nope_dim = 192, rope_dim = 64, value_dim = 256";
        assert!(
            (kv(&plain(78, latent, 6144, 154_880), 512, 1, 512, KvFormat::F16).get() / MIB - 43.88).abs()
                < 0.01
        );
    }

    #[test]
    fn windows_keep_the_window_and_a_micro_batch() {
        // 43 layers of 512 elements that are key and value: 128 + 4096 cells padded to 4352,
        // 182.75 MiB (V4-Flash).
        let windowed = "kind = \"compressed\", heads = 64, head_dim = 512, rope_dim = 64, q_rank = 1024, \
                        out_groups = 8, out_rank = 1024, window = 128, ratio = 0";
        assert_eq!(
            kv(&plain(43, windowed, 4096, 129_280), 65_536, 1, 4096, KvFormat::F16),
            Bytes::mib(182.75)
        );
        // Gemma-3: 40 of 48 layers hold 1024 + 512 cells, 8 hold all; 8192 B per cell.
        let all = Bytes::new((8.0 * 32_768.0 + 40.0 * 1536.0) * 8192.0);
        assert_eq!(kv(&gemma_12b(), 32_768, 1, 512, KvFormat::F16), all);
    }

    #[test]
    fn recurrent_state_to_the_logged_digit() {
        // Qwen3.6-27B, 3 sequences: 16.88 + 432.00 MiB over 48 layers, whatever the context.
        let delta =
            "kind = \"delta\", key_heads = 16, value_heads = 48, key_dim = 128, value_dim = 128, conv = 4";
        let set = |d: &mut Deployment<'_>| d.batching.sequences = 3;
        let state = ask(&plain(48, delta, 5120, 248_320), set, |seat, load| UPSTREAM.cache(seat, load).state);
        assert!((state.get() / MIB - 448.88).abs() < 0.01, "{state}");
    }

    #[test]
    fn output_moment_of_the_compute_buffer() {
        // (micro-batch, vocabulary, hidden, logged MiB): GLM-5.1, GLM-4.5-Air, GLM-4.5, Kimi-K2,
        // DeepSeek-V3 in the fork.
        let logged = [
            (512, 154_880, 6144, 314.5),
            (512, 151_552, 4096, 304.0),
            (4096, 151_552, 5120, 2448.0),
            (512, 163_840, 7168, 334.0),
            (4096, 129_280, 7168, 2132.0),
        ];
        for (chunk, vocabulary, hidden, mib) in logged {
            let small =
                plain(1, "kind = \"grouped\", heads = 8, kv_heads = 2, head_dim = 128", hidden, vocabulary);
            let set = |d: &mut Deployment<'_>| d.batching.chunk = chunk;
            let buffer = ask(&small, set, |seat, load| FORK.compute_buffer(seat, load));
            assert_eq!(buffer, Bytes::mib(mib), "{vocabulary}");
        }
    }

    #[test]
    fn layer_moments_of_the_compute_buffer() {
        // GLM-4.5 on a device without the output, micro-batch 4096: 1216 MiB at 4096 cells (experts),
        // 2080 at 65,536 (attention).
        let glm = model(
            "glm-4.5",
            "glm-4.5",
            r#"hidden = 5120
            vocabulary = 151552
            layers = [{ at = "0-91", blocks = ["attention", "experts"] }]
            block.attention = { kind = "grouped", heads = 96, kv_heads = 8, head_dim = 128 }
            block.experts = { kind = "experts", count = 160, active = 8, width = 1536 }"#,
        );
        for (context, mib) in [(4096, 1216.0), (65_536, 2080.0)] {
            let set = |d: &mut Deployment<'_>| {
                d.batching.chunk = 4096;
                d.batching.context = context;
            };
            let middle =
                |seat: &Seat<'_>, load: Load| FORK.compute_buffer(&Seat { last: false, ..*seat }, load);
            assert_eq!(ask(&glm, set, middle), Bytes::mib(mib));
        }
    }

    #[test]
    fn upstream_keeps_its_masks_through_the_output() {
        // Llama-3.1-8B, micro-batch 1024, 16,384 cells: 613.01 MiB on the device, 80.01 on the host
        // with the mask in 32 bit.
        let set = |d: &mut Deployment<'_>| {
            d.batching.chunk = 1024;
            d.batching.context = 16_384;
        };
        let llama = llama_8b();
        let old = |settings: &Settings| Settings {
            graph: GraphPlan::EveryOutput,
            host_mask_width: 4.0,
            ..*settings
        };
        let device = |seat: &Seat<'_>, load: Load| {
            let settings = old(seat.settings);
            UPSTREAM.compute_buffer(&Seat { settings: &settings, ..*seat }, load)
        };
        assert_eq!(ask(&llama, set, device), Bytes::mib(613.0));
        let host = |seat: &Seat<'_>, load: Load| {
            let settings = old(seat.settings);
            UPSTREAM.host_buffer(&Seat { settings: &settings, end_layer: 0, ..*seat }, load)
        };
        assert_eq!(ask(&llama, set, host), Bytes::mib(80.0));
    }

    #[test]
    fn inputs_and_logits_of_the_host() {
        // GLM-5.1, micro-batch 512, 512 cells: 12.51 MiB of inputs; 154,880 logits: 0.59 MiB.
        let glm = plain(1, "kind = \"grouped\", heads = 8, kv_heads = 2, head_dim = 128", 6144, 154_880);
        let set = |d: &mut Deployment<'_>| d.batching.context = 512;
        let host = ask(&glm, set, |seat, load| FORK.host_buffer(&Seat { end_layer: 0, ..*seat }, load));
        assert!((host.get() / MIB - 12.51).abs() < 0.02, "{host}");
        assert!((output_buffer(154_880, 1).get() / MIB - 0.59).abs() < 0.005);
        assert!((output_buffer(129_280, 4).get() / MIB - 1.97).abs() < 0.005);
    }
}
