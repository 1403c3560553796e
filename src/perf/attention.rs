//! Attention of a layer on a datacenter accelerator.
//!
//! Latent and compressed families were measured as whole modules (norm, projections, attention,
//! output) on three classes: those times replace the products of the module. Elsewhere the bytes of
//! the cache and the operations of the family are divided by measured rates: grouped-query decode
//! reads the cache at a share of the bandwidth, prefill multiplies at a rate that grows with the
//! work of a layer.

use super::constants::{Fetch, Kind, Missing, Module, ModuleFamily, Point};
use super::interval::Phase;
use super::mixer::Mixer;
use super::parts::Cost;
use super::stage::Rows;
use crate::arithmetic::kv::KvFormat;
use crate::catalogue::machine::DeviceGroup;
use crate::catalogue::model::Block;
use crate::units::math;

const US: f64 = 1e-6;

/// The measured module of a family on this device.
#[derive(Clone, Copy, Debug)]
struct Measured {
    decode: Option<Point>,
    prefill: Option<Point>,
    /// Bandwidth and peak of the device measured over those of this one.
    bandwidth: f64,
    peak: f64,
}

/// Attention of one mixer with its constants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attention {
    measured: Option<Measured>,
    t0: f64,
    /// Seconds per byte of cache.
    per_byte: f64,
    /// Seconds per operation of attention in decode.
    per_flop: f64,
    /// Seconds per operation in prefill at 10^10, 10^11, 10^12 operations of a layer.
    prefill: [f64; 3],
    /// Seconds per operation of indexers.
    index: f64,
    state_byte: f64,
    state_flop: f64,
}

impl Attention {
    /// Resolves the constants of a mixer.
    pub(super) fn new(
        mixer: &Mixer<'_>,
        group: &DeviceGroup,
        kv: KvFormat,
        fetch: &mut Fetch<'_>,
    ) -> Result<Self, Missing> {
        let bandwidth = group.bandwidth.value.get();
        let rates = &group.accelerator.rates;
        let peak = rates.bf16.or(rates.fp16).ok_or(Missing("a matrix rate of the accelerator"))? * 1e12;
        let narrow = !matches!(kv, KvFormat::F32 | KvFormat::F16);
        let latent = mixer.head == Kind::Mla;
        let kind = if narrow { Kind::Fp8 } else { Kind::Bf16 };
        let (t0, memory, compute) = if latent {
            let padded = (fetch.get("latent_heads")? / mixer.heads).max(1.0);
            (
                fetch.get("latent_t0")?,
                fetch.of("latent_memory", kind)?,
                fetch.of("latent_compute", kind)? / padded,
            )
        } else {
            (fetch.get("attention_t0")?, fetch.of("attention_memory", kind)?, 1.0)
        };
        let latent_prefill = fetch.get("latent_prefill")? * (mixer.heads / 64.0).min(1.0);
        let gain = if narrow { fetch.get("attention_fp8_gain")? } else { 1.0 };
        let mut prefill = [0.0; 3];
        for (rate, name) in prefill.iter_mut().zip([
            "attention_prefill_1e10",
            "attention_prefill_1e11",
            "attention_prefill_1e12",
        ]) {
            let share = if latent { latent_prefill } else { fetch.get(name)? };
            *rate = 1.0 / (share * gain * peak);
        }
        Ok(Self {
            measured: measured(mixer, group, fetch)?,
            t0: if mixer.is_recurrent() { fetch.get("recurrent_t0")? * US } else { t0 * US },
            per_byte: 1.0 / (memory * bandwidth),
            per_flop: 1.0 / (compute * peak),
            prefill,
            index: 1.0 / (latent_prefill * peak),
            state_byte: 1.0 / (fetch.get("state_memory")? * bandwidth),
            state_flop: 1.0 / (fetch.get("state_compute")? * peak),
        })
    }

    /// Whether the time of a decode step includes the products of the module.
    pub(super) fn decodes_whole(&self) -> bool {
        self.measured.is_some_and(|measured| measured.decode.is_some())
    }

    /// The same for prefill.
    pub(super) fn prefills_whole(&self) -> bool {
        self.measured.is_some_and(|measured| measured.prefill.is_some())
    }

    /// One layer of a decode step; the tokens of a sequence share what they read. Says also whether
    /// reading dominates.
    pub(super) fn decode(&self, mixer: &Mixer<'_>, hidden: u64, rows: Rows, depth: u64) -> (Cost, bool) {
        let sequences = rows.sequences;
        let bytes = mixer.read(depth + 1) * sequences;
        let mixing = mixer.block.family().mixing(hidden, 1, depth);
        let flop = (mixing.attention_flop * mixer.share + mixing.index_flop) * rows.total();
        if let Some((point, measured)) = self.measured.and_then(|measured| Some((measured.decode?, measured)))
        {
            let entries = sequences * depth as f64 / 1e6;
            let moving = point.row * rows.total()
                + point.entry * entries
                + point.depth.unwrap_or(0.0) * depth as f64 / 1e6;
            let time = (point.fixed + moving * measured.bandwidth) * US;
            return (Cost { time, flop, bytes }, moving > point.fixed);
        }
        let state = 2.0 * mixer.state * sequences;
        let (read, multiply) =
            (bytes * self.per_byte, if mixer.head == Kind::Mla { flop * self.per_flop } else { 0.0 });
        let time = self.t0 + (read * read + multiply * multiply).sqrt() + state * self.state_byte;
        (Cost { time, flop, bytes: bytes + state }, read + state * self.state_byte > self.t0)
    }

    /// One layer, `new` tokens for each of `sequences` after `depth`.
    pub(super) fn prefill(
        &self,
        mixer: &Mixer<'_>,
        hidden: u64,
        (sequences, new, depth): (f64, u64, u64),
    ) -> Cost {
        let mixing = mixer.block.family().mixing(hidden, new, depth);
        let flop = mixing.attention_flop * mixer.share * sequences;
        let index = mixing.index_flop * sequences;
        let state = mixing.state_flop * mixer.share * sequences;
        let all = flop + index + state;
        if let Some((point, measured)) =
            self.measured.and_then(|measured| Some((measured.prefill?, measured)))
        {
            let tokens = sequences * new as f64;
            let pairs = tokens * (depth as f64 + new as f64 / 2.0);
            let moving = point.row * tokens / 1e3 + point.entry * pairs / 1e9;
            return Cost { time: (point.fixed + moving * measured.peak) * US, flop: all, bytes: 0.0 };
        }
        let time = self.t0 + flop * self.prefill_rate(flop) + index * self.index + state * self.state_flop;
        Cost { time, flop: all, bytes: 0.0 }
    }

    /// Seconds per operation at so much work, linear in its logarithm between the points.
    fn prefill_rate(&self, flop: f64) -> f64 {
        let [small, medium, large] = self.prefill;
        let place = math::ln(flop.max(1.0)) / std::f64::consts::LN_10;
        let between = |from: f64, to: f64, way: f64| 1.0 / (1.0 / from + (1.0 / to - 1.0 / from) * way);
        match place {
            ..10.0 => small,
            10.0..11.0 => between(small, medium, place - 10.0),
            11.0..12.0 => between(medium, large, place - 11.0),
            _ => large,
        }
    }
}

/// The module measured for a block on the class of a device, scaled to the device.
fn measured(
    mixer: &Mixer<'_>,
    group: &DeviceGroup,
    fetch: &mut Fetch<'_>,
) -> Result<Option<Measured>, Missing> {
    let family = match mixer.block {
        Block::Latent(latent) if latent.indexer.is_some() => ModuleFamily::Dsa,
        Block::Latent(_) => ModuleFamily::Mla,
        Block::Compressed(compressed) if compressed.indexer.is_some() => ModuleFamily::Csa,
        Block::Compressed(compressed) if compressed.ratio > 0 => ModuleFamily::Hca,
        _ => return Ok(None),
    };
    let asked = fetch.asked;
    let constants = fetch.constants();
    let find = |phase| {
        let module = constants.module(family, phase, asked.class, asked.engine)?;
        Some(at_heads(module, mixer.heads))
    };
    let (decode, prefill) = (find(Phase::Decode), find(Phase::Prefill));
    if decode.is_none() && prefill.is_none() {
        return Ok(None);
    }
    let rates = &group.accelerator.rates;
    let peak = rates.bf16.ok_or(Missing("a matrix rate of the accelerator"))?;
    Ok(Some(Measured {
        decode,
        prefill,
        bandwidth: fetch.get("module_bandwidth")? * 1e9 / group.bandwidth.value.get(),
        peak: fetch.get("module_peak")? / peak,
    }))
}

/// The times of a module for so many local heads, linear between the points measured.
fn at_heads(module: &Module, heads: f64) -> Point {
    let points = &module.points;
    let last = points.len() - 1;
    let above = points.iter().position(|point| point.heads as f64 >= heads).unwrap_or(last);
    let (from, to) = (&points[above.saturating_sub(1)], &points[above]);
    let span = (to.heads - from.heads) as f64;
    // Beyond the points the nearest one stands.
    let way = if span > 0.0 { ((heads - from.heads as f64) / span).clamp(0.0, 1.0) } else { 0.0 };
    let mix = |a: f64, b: f64| a + (b - a) * way;
    Point {
        heads: heads as u64,
        fixed: mix(from.fixed, to.fixed),
        row: mix(from.row, to.row),
        entry: mix(from.entry, to.entry),
        depth: Some(mix(from.depth.unwrap_or(0.0), to.depth.unwrap_or(0.0))),
    }
}
