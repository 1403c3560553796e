//! Routed experts in host memory beside an accelerator that does the rest.
//!
//! Decode: hand-over per layer and the processor's roofline on the experts touched, nothing
//! overlapped. Prefill, per micro-batch: the processor multiplies, or the experts are streamed to
//! the accelerator, whichever is faster (smooth minimum). `KTransformers` never streams.

use super::constants::{Basis, Fetch, Missing};
use super::cpu::{Processor, Rates};
use super::ops::ExpertLoad;
use super::parts::{Cost, Parts};
use super::peak::Peaks;
use super::time::Limit;
use crate::perf::deployment::Engine;
use crate::units::math;

/// Experts of one shape in host memory.
#[derive(Clone, Copy, Debug)]
struct Remote {
    load: ExpertLoad,
    rates: Rates,
    /// Operations per second of the accelerator on streamed experts, at full rate.
    device: f64,
}

/// All experts in host memory of a stage.
#[derive(Clone, Debug)]
pub(super) struct HostExperts {
    remote: Vec<Remote>,
    hop: f64,
    reread: f64,
    half_rows: f64,
    /// Bytes per second to the accelerator; none where the engine never streams.
    stream: Option<f64>,
    chunk: f64,
    basis: Basis,
}

impl HostExperts {
    /// Resolves the constants; none if no experts are in host memory.
    pub(super) fn new(
        experts: &[ExpertLoad],
        processor: &mut Processor<'_>,
        device: &mut Fetch<'_>,
        peaks: Peaks,
        link: f64,
        chunk: f64,
    ) -> Result<Option<Self>, Missing> {
        let engine = processor.fetch.asked.engine;
        let read_factor = processor.fetch.get("hybrid_read_factor")?;
        let product_factor = processor.fetch.get("hybrid_cpu_prefill_factor")?;
        let mut remote = Vec::new();
        for load in experts.iter().filter(|load| load.host_layers > 0.0) {
            let rates = processor.rates(load.kind, true)?;
            let share = device.of("gemm_rate", load.kind)? * device.of("expert_gemm_factor", load.kind)?;
            let rate = 1.0 / peaks.seconds(load.kind, share, device.get("block_scaling")?);
            let rates =
                Rates { read: rates.read * read_factor, products: rates.products * product_factor, ..rates };
            remote.push(Remote { load: *load, rates, device: rate });
        }
        if remote.is_empty() {
            return Ok(None);
        }
        let stream = match engine {
            Engine::KTransformers => None,
            Engine::LlamaCpp
            | Engine::IkLlamaCpp
            | Engine::Mlx
            | Engine::Vllm
            | Engine::Sglang
            | Engine::Atom
            | Engine::TensorRtLlm => Some(processor.fetch.get("pcie_share")? * link),
        };
        Ok(Some(Self {
            hop: processor.fetch.get("hybrid_hop")? * 1e-6,
            reread: processor.fetch.get("cpu_prefill_reread")?,
            half_rows: device.get("expert_half_rows")?,
            remote,
            stream,
            chunk,
            basis: processor
                .fetch
                .basis()
                .zip(device.basis())
                .map(|(host, device)| format!("{host}; {device}").into()),
        }))
    }

    /// One token for each of `sequences`.
    pub(super) fn decode(&self, sequences: f64, parts: &mut Parts) {
        for Remote { load, rates, .. } in &self.remote {
            let layers = load.host_layers;
            parts.add(
                "hand-over to the processor",
                layers,
                Limit::Host,
                Cost::fixed(self.hop * layers),
                &self.basis,
            );
            let bytes = load.distinct(sequences) * load.bytes;
            let weights = load.active * load.weights;
            let read = bytes / rates.read;
            let row = rates.row.max(rates.products / 2.0).min(rates.row * sequences);
            let multiply = sequences * weights / row;
            let time = (read * read + multiply * multiply).sqrt();
            let cost = Cost { time, flop: 2.0 * sequences * weights, bytes };
            parts.add("experts in host memory", layers, Limit::Host, cost.times(layers), &self.basis);
        }
    }

    /// So many prompt tokens, in micro-batches.
    pub(super) fn prefill(&self, tokens: f64, parts: &mut Parts) {
        let chunk = tokens.min(self.chunk);
        let chunks = (tokens / chunk).ceil();
        for Remote { load, rates, device } in &self.remote {
            let flop = 2.0 * chunk * load.active * load.weights;
            let bytes = load.distinct(chunk) * load.bytes;
            let processor = flop / rates.products + self.reread * bytes / rates.read;
            let rows = chunk * load.active / load.count;
            let stream =
                self.stream.map(|link| bytes / link + flop / device * (rows + self.half_rows) / rows);
            let (time, limit) = match stream {
                None => (processor, Limit::Host),
                Some(stream) => {
                    let fourth = |x: f64| 1.0 / (x * x * x * x);
                    let both = math::pow(fourth(processor) + fourth(stream), -0.25);
                    (both, if stream < processor { Limit::Link } else { Limit::Host })
                }
            };
            let cost = Cost { time, flop, bytes }.times(chunks * load.host_layers);
            parts.add("experts in host memory", load.host_layers, limit, cost, &self.basis);
        }
    }
}
