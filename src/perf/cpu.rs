//! Layers and experts on the processor.
//!
//! One row: `t = sqrt((bytes / (ce BW))² + (weights / (cores f r))²) + layers 21 us + KV / (ck BW)`.
//! Prompts: `2 T weights / (cores f cp) + m 0.39 bytes / (ce BW) + attention / (cores f ca)`.
//! BW is the nominal bandwidth of the sockets in use, two of them at the share their engine
//! reaches; r and cp depend on type and instruction set by up to ten times, so that a processor or
//! type without a row in the data is a guess within a factor of three.

use super::constants::{Basis, Fetch, Kind, Missing};
use super::ops::{Load, Owner};
use super::parts::{Cost, Parts};
use super::stage::Rows;
use super::time::Limit;
use crate::catalogue::machine::Host;
use crate::fact::Origin;

const US: f64 = 1e-6;

/// Rates of the processor for one kind of weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Bytes per second.
    pub read: f64,
    /// Weights per second with one row.
    pub row: f64,
    /// Operations per second in prefill.
    pub products: f64,
}

/// The processors of a node.
#[derive(Debug)]
pub(super) struct Processor<'c> {
    /// Bytes per second of the sockets in use.
    pub bandwidth: f64,
    /// Cycles per second of all cores.
    pub cycles: f64,
    /// The record of constants.
    pub fetch: Fetch<'c>,
}

impl<'c> Processor<'c> {
    /// The processors of a host, with the constants of its class.
    pub(super) fn new(host: &Host, mut fetch: Fetch<'c>) -> Result<Self, Missing> {
        let share = if host.sockets > 1 { fetch.get("two_socket_share")? } else { 1.0 };
        // The other constants are shares of the nominal bandwidth, which no measurement reaches.
        let reached = match host.bandwidth.origin {
            Origin::Measured(_) => fetch.get("stream_share")?,
            _ => 1.0,
        };
        Ok(Self {
            bandwidth: host.bandwidth.value.get() / reached * share,
            cycles: f64::from(host.cores.value) * host.clock_ghz.value * 1e9,
            fetch,
        })
    }

    /// Rates for one kind of weights, dense or of routed experts.
    pub(super) fn rates(&mut self, kind: Kind, moe: bool) -> Result<Rates, Missing> {
        let place = if moe { Kind::Moe } else { Kind::Dense };
        let grouped = if moe { self.fetch.get("cpu_moe_products")? } else { 1.0 };
        Ok(Rates {
            read: self.fetch.of("cpu_read_efficiency", place)? * self.bandwidth,
            row: self.fetch.of("cpu_weights_per_cycle", kind)? * self.cycles,
            products: self.fetch.of("cpu_flop_per_cycle_dense", kind)? * grouped * self.cycles,
        })
    }
}

/// Weights of one kind.
#[derive(Clone, Copy, Debug)]
struct Group {
    rates: Rates,
    bytes: f64,
    weights: f64,
}

impl Group {
    /// Reading the weights and multiplying so many rows, overlapping as far as both allow.
    fn rows(&self, bytes: f64, weights: f64, rows: f64) -> f64 {
        let read = bytes / self.rates.read;
        // Many rows run at the rate of prefill, few at that of one.
        let multiply =
            rows * weights / self.rates.row.max(self.rates.products / 2.0).min(self.rates.row * rows);
        (read * read + multiply * multiply).sqrt()
    }
}

/// Layers on the processor with their constants.
#[derive(Clone, Debug)]
pub(super) struct CpuStage<'a> {
    load: Load<'a>,
    dense: Vec<Group>,
    head: Vec<Group>,
    experts: Vec<Group>,
    t_layer: f64,
    reread: f64,
    /// Seconds per byte of cache, per mixer.
    cache: Vec<f64>,
    /// Seconds per operation of attention, per mixer.
    attention: Vec<f64>,
    chunk: f64,
    basis: Basis,
}

impl<'a> CpuStage<'a> {
    /// Resolves the constants of layers on the processor.
    pub(super) fn new(load: Load<'a>, processor: &mut Processor<'_>, chunk: f64) -> Result<Self, Missing> {
        // Always-on layers of a model with experts share the scattered reads of its experts.
        let moe = load.expert_layers() > 0.0;
        let (mut dense, mut head) = (Vec::new(), Vec::new());
        for product in &load.products {
            let group = Group {
                rates: processor.rates(product.kind, moe)?,
                bytes: product.bytes * product.layers,
                weights: product.weights() * product.layers,
            };
            if product.owner == Owner::Head { head.push(group) } else { dense.push(group) }
        }
        let mut experts = Vec::new();
        for shape in &load.experts {
            experts.push(Group {
                rates: processor.rates(shape.kind, true)?,
                bytes: shape.bytes,
                weights: shape.weights,
            });
        }
        let (bandwidth, cycles) = (processor.bandwidth, processor.cycles);
        let fetch = &mut processor.fetch;
        let (mut cache, mut attention) = (Vec::new(), Vec::new());
        for mixer in &load.mixers {
            let kind = if mixer.head == Kind::Mla { Kind::Mla } else { Kind::Gqa };
            cache.push(1.0 / (fetch.of("cpu_kv_efficiency", kind)? * bandwidth));
            attention.push(1.0 / (fetch.of("cpu_attention_flop_per_cycle", kind)? * cycles));
        }
        let t_layer = fetch.get("cpu_t_layer")? * US;
        let reread = fetch.get("cpu_prefill_reread")?;
        let basis = fetch.basis();
        Ok(Self { load, dense, head, experts, t_layer, reread, cache, attention, chunk, basis })
    }

    /// A step over sequences that have `depth` tokens cached.
    pub(super) fn decode(&self, rows: Rows, depth: u64, parts: &mut Parts) {
        let (cached, sequences) = (rows.sequences, rows.total());
        let layers = self.load.layers;
        let mut add = |label, layers, cost| parts.also(label, layers, Limit::Host, cost, &self.basis);
        add("layers on the processor: barriers", layers, Cost::fixed(layers * self.t_layer));
        for (label, groups) in [("always-on weights", &self.dense), ("output matrix", &self.head)] {
            for group in groups {
                let time = group.rows(group.bytes, group.weights, sequences);
                add(label, layers, Cost { time, flop: 2.0 * sequences * group.weights, bytes: group.bytes });
            }
        }
        for (shape, group) in self.load.experts.iter().zip(&self.experts) {
            let touched = shape.distinct(sequences) * group.bytes;
            let time = group.rows(touched, shape.active * group.weights, sequences);
            let flop = 2.0 * sequences * shape.active * group.weights;
            add("experts", shape.layers, Cost { time, flop, bytes: touched }.times(shape.layers));
        }
        for ((mixer, per_byte), per_flop) in self.load.mixers.iter().zip(&self.cache).zip(&self.attention) {
            let bytes = (mixer.read(depth + 1) + 2.0 * mixer.state) * cached * mixer.layers;
            // Recurrences stream their state; only growing caches are read by slow kernels.
            let time = if mixer.is_recurrent() {
                let flop = mixer.block.family().mixing(self.load.hidden, 1, depth).state_flop;
                flop * sequences * mixer.layers * per_flop
            } else {
                bytes * per_byte
            };
            add("cache", mixer.layers, Cost { time, flop: 0.0, bytes });
        }
    }

    /// `new` tokens for each of `sequences` after `depth`, in micro-batches.
    pub(super) fn prefill(&self, sequences: f64, new: u64, depth: u64, parts: &mut Parts) {
        let tokens = sequences * new as f64;
        let chunk = tokens.min(self.chunk);
        let chunks = (tokens / chunk).ceil();
        let mut add = |label, layers, cost| parts.also(label, layers, Limit::Host, cost, &self.basis);
        for group in &self.dense {
            let flop = 2.0 * tokens * group.weights;
            let bytes = chunks * group.bytes;
            let time = flop / group.rates.products + self.reread * bytes / group.rates.read;
            add("matrix products", self.load.layers, Cost { time, flop, bytes });
        }
        for group in &self.head {
            let time = group.rows(group.bytes, group.weights, sequences);
            add(
                "output matrix",
                1.0,
                Cost { time, flop: 2.0 * sequences * group.weights, bytes: group.bytes },
            );
        }
        for (shape, group) in self.load.experts.iter().zip(&self.experts) {
            let flop = 2.0 * tokens * shape.active * group.weights;
            let bytes = chunks * shape.distinct(chunk) * group.bytes;
            let time = flop / group.rates.products + self.reread * bytes / group.rates.read;
            add("experts", shape.layers, Cost { time, flop, bytes }.times(shape.layers));
        }
        for (mixer, per_flop) in self.load.mixers.iter().zip(&self.attention) {
            let mixing = mixer.block.family().mixing(self.load.hidden, new, depth);
            let flop = mixer.fitted_flop(self.load.hidden, new, depth) + mixing.state_flop;
            let cost = Cost { time: flop * per_flop, flop, bytes: 0.0 };
            add("attention", mixer.layers, cost.times(sequences * mixer.layers));
        }
    }
}
