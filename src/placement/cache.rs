//! Bytes of the cache on one rank.
//!
//! Cache = Σ components · layers of the stage · cells · bytes of an entry · share of the rank.
//! How many cells an engine allocates for a sequence is its own rule; the rest is common:
//! heads are divided over `tp` and copied beyond their number, a latent (one head) lies on every
//! rank, decode context parallelism deals the tokens of a sequence to `cp` ranks.

use crate::arithmetic::cache::{Component, Content, Growth};
use crate::arithmetic::kv::bytes_per_entry;
use crate::placement::engine::facts;
use crate::placement::seat::Seat;
use crate::placement::shards::fullest;
use crate::units::Bytes;

/// Cache and recurrent state of one rank.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cache {
    /// Keys and values, latents, compressed entries, index keys.
    pub kv: Bytes,
    /// Recurrent state, convolution inputs, pending compressor inputs.
    pub state: Bytes,
}

/// Whether a component is state rather than cache: its size does not follow the tokens.
pub fn is_state(component: &Component) -> bool {
    match component.content {
        Content::State | Content::Conv | Content::Pending => true,
        Content::KeyValue | Content::Latent { .. } | Content::Shared { .. } | Content::IndexKey => false,
    }
}

/// Bytes of one entry of one layer on one rank.
pub fn entry_bytes(component: &Component, seat: &Seat<'_>) -> f64 {
    let engine = facts(seat.deployment.engine);
    let family = &seat.deployment.model.spec.family;
    let whole = match component.content {
        Content::State if engine.half_state_families.contains(family) => component.elements as f64 * 2.0,
        Content::State => component.elements as f64 * engine.state_width,
        Content::Conv => component.elements as f64 * engine.conv_width,
        Content::Pending => component.elements as f64 * 4.0,
        Content::KeyValue | Content::Latent { .. } | Content::Shared { .. } | Content::IndexKey => {
            bytes_per_entry(component, seat.deployment.kv).get()
        }
    };
    whole * fullest(component.heads, seat.tp())
}

/// Sums the components of a stage; `cells` says how many entries one sequence takes.
pub fn sum(seat: &Seat<'_>, sequences: u64, cells: impl Fn(&Component) -> u64) -> Cache {
    let mut cache = Cache::default();
    for component in &seat.deployment.model.cache {
        let layers = component.layers.count_in(seat.layers());
        if layers == 0 {
            continue;
        }
        let bytes = Bytes::new(layers as f64 * sequences as f64 * cells(component) as f64)
            * entry_bytes(component, seat);
        if is_state(component) {
            cache.state += bytes;
        } else {
            cache.kv += bytes;
        }
    }
    cache
}

/// Cache of the prediction layers an engine loads: each is cached like the last layer, without a window.
pub fn predicted(seat: &Seat<'_>, sequences: u64, cells: u64) -> Bytes {
    let Some(mtp) = seat.deployment.model.spec.mtp.as_ref().filter(|_| seat.settings.prediction && seat.last)
    else {
        return Bytes::ZERO;
    };
    let last = Seat { first_layer: seat.end_layer.saturating_sub(1), ..*seat };
    sum(&last, sequences, |_| cells).kv * mtp.layers.get() as f64
}

/// Cells of a component when every sequence takes whole blocks and windows are not cut short.
pub fn in_blocks(component: &Component, tokens: u64, block: u64) -> u64 {
    match component.growth {
        Growth::Fixed => 1,
        Growth::PerToken => tokens.next_multiple_of(block),
        Growth::Window(window) => tokens.min(window).next_multiple_of(block),
        // Blocks are counted in tokens, also where an entry stands for several.
        Growth::Ratio(ratio) => tokens.next_multiple_of(block.max(ratio)) / ratio,
    }
}
