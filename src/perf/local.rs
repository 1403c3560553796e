//! One stage of a local engine on one accelerator: llama.cpp and its relatives, MLX, and vLLM on
//! workstation cards.
//!
//! ```text
//! decode of B sequences at depth L
//!   t = t_token + layers (t_layer + ...) + always-on bytes / (e BW)
//!       + D(B^x) expert bytes / (e em BW) + B KV / (ek BW) + 2 B state / (0.7 BW) + rows(B)
//! prefill of T tokens in m micro-batches of ub, M rows per expert
//!   t = 2 T weights / (gs P) + 2 T expert weights / (gs xs M/(M + M0) P) + attention / (as P)
//!       + m (D(ub) expert bytes / (e em BW) + layers t_ub) + t_token
//! ```
//!
//! P is the rate of the unit that multiplies the type (see [`super::peak`]). Servers read and multiply
//! at once: their products take the root of the squares of both. Constants are joint fits to published
//! measurements (see the data files), so they absorb what the formulas leave out. Wrong where kernels
//! differ from build to build, and for attention kinds without measured rows.

use super::constants::{Basis, Fetch, Kind, Missing, PerKind};
use super::ops::{ExpertLoad, Load, Owner};
use super::parts::{Cost, Parts};
use super::peak::Peaks;
use super::stage::Rows;
use super::time::Limit;
use crate::catalogue::machine::DeviceGroup;
use crate::perf::class::Class;
use crate::perf::deployment::Engine;
use crate::units::math;

/// Experts of one shape with their constants.
#[derive(Clone, Copy, Debug)]
struct Grouped {
    load: ExpertLoad,
    /// Seconds to read one expert of one layer on this rank.
    read: f64,
    /// Seconds per row and layer of the products of a token's experts, at full rate.
    multiply: f64,
    /// Share of the experts, or of each, on this rank.
    share: f64,
}

impl Grouped {
    fn new(
        load: ExpertLoad,
        share: f64,
        (peaks, bandwidth): (Peaks, f64),
        read: impl Fn(&mut Fetch<'_>, Kind) -> Result<f64, Missing>,
        fetch: &mut Fetch<'_>,
    ) -> Result<Self, Missing> {
        let kind = if load.kind.is_wide() { load.kind } else { Kind::Quantised };
        // The factor may exceed one where files hold fewer expert bytes than their label says; no read
        // is faster than the memory.
        let rate = (read(fetch, load.kind)? * fetch.of("expert_read_factor", kind)?).min(bandwidth);
        let products = fetch.of("gemm_rate", load.kind)? * fetch.of("expert_gemm_factor", load.kind)?;
        let product = peaks.seconds(load.kind, products, fetch.get("block_scaling")?);
        Ok(Self {
            load,
            read: load.bytes * share / rate,
            multiply: 2.0 * load.active * load.weights * share * product,
            share,
        })
    }
}

/// A mixer with its constants.
#[derive(Clone, Copy, Debug)]
struct Mixing {
    read: f64,
    multiply: f64,
}

/// A stage with its constants resolved.
#[derive(Clone, Debug)]
pub(super) struct LocalStage<'a> {
    load: Load<'a>,
    /// Seconds, bytes and operations of reading all always-on weights but the head.
    weights: Cost,
    head: Cost,
    /// Seconds and operations of multiplying one row with them.
    row: Cost,
    experts: Vec<Grouped>,
    mixers: Vec<Mixing>,
    /// Seconds per byte of state.
    state: f64,
    /// Seconds per operation on state.
    state_multiply: f64,
    t_token: f64,
    t_layers: f64,
    t_micro: f64,
    /// Seconds and bytes of the activations of one prompt token.
    activations: Cost,
    half_rows: f64,
    overlap: f64,
    /// Seconds of one further row in the matrix-vector path, and in the matrix-matrix path.
    further_row: f64,
    matrix_row: f64,
    pad: f64,
    /// Whether the kernels of the engine multiply while they read.
    overlaps: bool,
    chunk: f64,
    bases: Bases,
}

/// What each part rests on.
#[derive(Clone, Debug, Default)]
struct Bases {
    weights: Basis,
    experts: Basis,
    attention: Basis,
    fixed: Basis,
    rows: Basis,
    products: Basis,
}

/// Whether an engine reads ahead of the matrix unit: servers run one such kernel whatever the number of
/// rows.
const fn overlaps(engine: Engine) -> bool {
    match engine {
        Engine::LlamaCpp | Engine::IkLlamaCpp | Engine::Mlx | Engine::KTransformers => false,
        Engine::Vllm | Engine::Sglang | Engine::Atom | Engine::TensorRtLlm => true,
    }
}

/// Time of reading and multiplying that overlap, with a soft corner.
fn both(read: f64, multiply: f64) -> f64 {
    (read * read + multiply * multiply).sqrt()
}

/// Microseconds of launches of a decode step.
fn layers(load: &Load<'_>, fetch: &mut Fetch<'_>) -> Result<f64, Missing> {
    let mut time = load.layers * fetch.get("t_layer")?;
    if load.expert_layers() > 0.0 {
        time += load.expert_layers() * fetch.get("t_moe")?;
    }
    if load.recurrent_layers() > 0.0 {
        time += load.recurrent_layers() * fetch.get("t_state")?;
    }
    Ok(time)
}

/// What reading and multiplying the cache costs in every mixer, from a bandwidth and a peak.
fn mixers(load: &Load<'_>, bandwidth: f64, peak: f64, fetch: &mut Fetch<'_>) -> Result<Vec<Mixing>, Missing> {
    let mut all = Vec::with_capacity(load.mixers.len());
    for mixer in &load.mixers {
        if mixer.is_recurrent() {
            // Its state has constants of its own.
            all.push(Mixing { read: 0.0, multiply: 0.0 });
            continue;
        }
        let read = fetch.of("kv_read_efficiency", mixer.head)? * bandwidth;
        let multiply = fetch.of("attention_rate", mixer.head)? * peak;
        all.push(Mixing { read: 1.0 / read, multiply: 1.0 / multiply });
    }
    Ok(all)
}

/// Seconds that a micro-batch takes beside its products: launches, weights read again, and the last
/// tiles of every product, which keep the device waiting however many rows it has.
fn micro_batch(load: &Load<'_>, read: f64, fetch: &mut Fetch<'_>) -> Result<f64, Missing> {
    let inputs = load.products.iter().filter(|product| product.owner != Owner::Head);
    let inputs: f64 = inputs.map(|product| product.inputs * product.layers).sum();
    let tails = inputs * fetch.get("tile_tail")? * 1e-9;
    Ok(load.layers * fetch.get("t_micro_batch")? * 1e-6 + tails + read * fetch.get("prefill_reread")?)
}

/// Bytes of the activations of one prompt token: every product reads its inputs in single precision
/// and stores and reads them in 8 bit; its outputs are written, and read and written once more by the
/// operation that follows.
fn activation_bytes(load: &Load<'_>, share: f64) -> f64 {
    const INPUT: f64 = 6.0;
    const OUTPUT: f64 = 12.0;
    let of = |inputs: f64, outputs: f64| INPUT * inputs + OUTPUT * outputs;
    let dense = load.products.iter().filter(|product| product.owner != Owner::Head);
    let dense: f64 = dense.map(|product| product.layers * of(product.inputs, product.outputs)).sum();
    let experts = load.experts.iter().map(|experts| {
        let one = of(experts.inner, 2.0 * experts.width) + of(experts.width, experts.inner);
        experts.layers * experts.active * share * one
    });
    dense + experts.sum::<f64>()
}

impl<'a> LocalStage<'a> {
    /// Resolves the constants of a stage.
    pub(super) fn new(
        load: Load<'a>,
        group: &DeviceGroup,
        fetch: &mut Fetch<'_>,
        chunk: f64,
        flash: bool,
        expert_ranks: f64,
    ) -> Result<Self, Missing> {
        const US: f64 = 1e-6;
        let bandwidth = group.bandwidth.value.get();
        let peaks = Peaks::new(group, fetch)?;
        let peak = peaks.half;
        fetch.basis();
        let mut bases = Bases::default();

        let read = |fetch: &mut Fetch<'_>, kind: Kind| -> Result<f64, Missing> {
            Ok(fetch.of("weight_read_efficiency", kind)? * bandwidth)
        };
        let (mut weights, mut head, mut row) = (Cost::default(), Cost::default(), Cost::default());
        let (mut reads, mut products) = (PerKind::new(), PerKind::new());
        for product in &load.products {
            let bytes = product.bytes * product.layers;
            let flop = 2.0 * product.weights() * product.layers;
            let rate = reads.of(product.kind, || read(fetch, product.kind))?;
            let cost = Cost { time: bytes / rate, flop, bytes };
            if product.owner == Owner::Head {
                head = head.and(cost);
            } else {
                weights = weights.and(cost);
            }
        }
        let wide = fetch.minor("weight_read_efficiency", Kind::Bf16)? * bandwidth;
        weights = weights.and(Cost { time: load.vectors / wide, flop: 0.0, bytes: load.vectors });
        bases.weights = fetch.basis();
        let scaling = fetch.get("block_scaling")?;
        for product in load.products.iter().filter(|product| product.owner != Owner::Head) {
            let flop = 2.0 * product.weights() * product.layers;
            let share = products.of(product.kind, || fetch.of("gemm_rate", product.kind))?;
            let time = flop * peaks.seconds(product.kind, share, scaling);
            row = row.and(Cost { time, flop, bytes: 0.0 });
        }
        bases.products = fetch.basis();

        let share = 1.0 / expert_ranks;
        let experts: Vec<Grouped> = load
            .experts
            .iter()
            .map(|shape| Grouped::new(*shape, share, (peaks, bandwidth), read, fetch))
            .collect::<Result<_, _>>()?;
        let (half_rows, overlap) = if experts.is_empty() {
            (0.0, 1.0)
        } else {
            (fetch.minor("expert_half_rows", None)?, fetch.minor("expert_overlap_exponent", None)?)
        };
        bases.experts = fetch.basis();

        let flash = if flash { 1.0 } else { fetch.get("attention_without_flash")? };
        let mixers = mixers(&load, bandwidth, flash * peaks.attention, fetch)?;
        let state = 2.0 / (fetch.get("local_state_memory")? * bandwidth);
        let state_multiply = 1.0 / (fetch.get("local_state_compute")? * peak);
        bases.attention = fetch.basis();

        let t_layers = layers(&load, fetch)? * US;
        let t_token = fetch.get("t_token")? * US;
        let overlaps = overlaps(fetch.asked.engine);
        let t_micro = micro_batch(&load, if overlaps { 0.0 } else { weights.time }, fetch)?;
        let bytes = activation_bytes(&load, share);
        let activations =
            Cost { time: bytes * fetch.get("activation_traffic")? / bandwidth, flop: 0.0, bytes: 0.0 };
        bases.fixed = fetch.basis();

        let moe = load.expert_layers() > 0.0;
        let row_rate = fetch.minor("row_rate", if moe { Kind::Moe } else { Kind::Dense })?;
        let pad = fetch.minor("row_pad", None)?;
        let active: f64 =
            experts.iter().map(|e| e.load.active * e.load.weights * e.share * e.load.layers).sum();
        let further_row = (row.flop + 2.0 * active) / (row_rate * peak);
        let matrix_row = row.time + experts.iter().map(|e| e.multiply * e.load.layers).sum::<f64>();
        bases.rows = fetch.basis();

        Ok(Self {
            load,
            weights,
            head,
            row,
            experts,
            mixers,
            state,
            state_multiply,
            t_token,
            t_layers,
            t_micro,
            activations,
            half_rows,
            overlap,
            further_row,
            matrix_row,
            pad,
            overlaps,
            chunk,
            bases,
        })
    }

    /// Fixed time of a token that only one stage of a pipeline pays.
    pub(super) fn token(&self, parts: &mut Parts) {
        parts.add("sampling and launch", 0.0, Limit::Overhead, Cost::fixed(self.t_token), &self.bases.fixed);
    }

    /// A step over sequences that have `depth` tokens cached.
    pub(super) fn decode(&self, rows: Rows, depth: u64, parts: &mut Parts) {
        let (sequences, tokens) = (rows.sequences, rows.total());
        let layers = self.load.layers;
        parts.add("layer launches", layers, Limit::Overhead, Cost::fixed(self.t_layers), &self.bases.fixed);
        parts.add(
            "always-on weights",
            layers,
            Limit::Memory,
            self.weights.with_rows(tokens),
            &self.bases.weights,
        );
        parts.add("output matrix", 1.0, Limit::Memory, self.head.with_rows(tokens), &self.bases.weights);
        for experts in &self.experts {
            let load = &experts.load;
            let touched = load.distinct(math::pow(tokens, self.overlap)) * load.layers;
            let cost = Cost {
                time: touched * experts.read,
                flop: 2.0 * tokens * load.active * load.weights * experts.share * load.layers,
                bytes: touched * load.bytes * experts.share,
            };
            parts.add("experts", load.layers, Limit::Memory, cost, &self.bases.experts);
        }
        for (mixer, constants) in self.load.mixers.iter().zip(&self.mixers) {
            let bytes = mixer.read(depth + 1) * sequences * mixer.layers;
            let flop = mixer.block.family().mixing(self.load.hidden, 1, depth).attention_flop;
            let flop = flop * mixer.share * tokens * mixer.layers;
            let cost = Cost { time: bytes * constants.read, flop, bytes };
            parts.add("cache", mixer.layers, Limit::Memory, cost, &self.bases.attention);
            let bytes = mixer.state * sequences * mixer.layers;
            let cost = Cost { time: bytes * self.state, flop: 0.0, bytes: 2.0 * bytes };
            parts.add("state", mixer.layers, Limit::Memory, cost, &self.bases.attention);
        }
        if tokens > 1.0 && self.overlaps {
            let experts = self.experts.iter().map(|experts| {
                experts.load.distinct(math::pow(tokens, self.overlap)) * experts.load.layers * experts.read
            });
            let read = self.weights.time + experts.sum::<f64>();
            let cost = Cost::fixed(both(read, tokens * self.matrix_row) - read);
            parts.add("further rows", layers, Limit::Compute, cost, &self.bases.rows);
        } else if tokens > 1.0 {
            // Matrix-vector kernels pay for every row; matrix-matrix kernels for a padded tile.
            let vector = (tokens - 1.0) * self.further_row;
            let matrix = tokens.max(self.pad) * self.matrix_row;
            let cost = Cost::fixed(vector * matrix / (vector + matrix));
            parts.add("further rows", layers, Limit::Compute, cost, &self.bases.rows);
        }
    }

    /// `new` tokens for each of `sequences` after `depth`, in micro-batches.
    pub(super) fn prefill(&self, sequences: f64, new: u64, depth: u64, parts: &mut Parts) {
        let layers = self.load.layers;
        let tokens = sequences * new as f64;
        let chunk = tokens.min(self.chunk);
        let chunks = (tokens / chunk).ceil();
        parts.add(
            "layer launches",
            layers,
            Limit::Overhead,
            Cost::fixed(self.t_micro * chunks),
            &self.bases.fixed,
        );
        let activations = self.activations.times(tokens);
        parts.add("activations", layers, Limit::Memory, activations, &self.bases.fixed);
        let mut products = self.row.times(tokens);
        if self.overlaps {
            products.time = both(products.time, self.weights.time * chunks);
        }
        parts.add("matrix products", layers, Limit::Compute, products, &self.bases.products);
        parts.add("output matrix", 1.0, Limit::Memory, self.head.with_rows(sequences), &self.bases.weights);
        for experts in &self.experts {
            let load = &experts.load;
            let rows = chunk * load.active / load.count;
            let slow = (rows + self.half_rows) / rows;
            let multiply = tokens * experts.multiply * slow * load.layers;
            let cost = Cost {
                time: multiply,
                flop: 2.0 * tokens * load.active * load.weights * experts.share * load.layers,
                bytes: 0.0,
            };
            parts.add("experts", load.layers, Limit::Compute, cost, &self.bases.experts);
            let touched = load.distinct(chunk) * load.layers * chunks;
            let read = touched * experts.read;
            let read = if self.overlaps { both(read, multiply) - multiply } else { read };
            let cost = Cost { time: read, flop: 0.0, bytes: touched * load.bytes * experts.share };
            parts.add("experts", load.layers, Limit::Memory, cost, &self.bases.experts);
        }
        for (mixer, constants) in self.load.mixers.iter().zip(&self.mixers) {
            let mixing = mixer.block.family().mixing(self.load.hidden, new, depth);
            let scale = sequences * mixer.layers;
            let flop = mixer.fitted_flop(self.load.hidden, new, depth) * scale;
            let cost = Cost { time: flop * constants.multiply, flop, bytes: 0.0 };
            parts.add("attention", mixer.layers, Limit::Compute, cost, &self.bases.attention);
            let flop = mixing.state_flop * mixer.share * scale;
            let cost = Cost { time: flop * self.state_multiply, flop, bytes: 0.0 };
            parts.add("state", mixer.layers, Limit::Compute, cost, &self.bases.attention);
        }
    }

    /// The load, for what lies beside the device.
    pub(super) const fn load(&self) -> &Load<'a> {
        &self.load
    }
}

/// Whether the class follows these formulas under a serving engine too: cards for which servers
/// were measured end to end, not operator by operator.
pub(super) const fn serves_locally(class: Class) -> bool {
    !class.is_datacenter()
}
