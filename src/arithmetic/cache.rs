//! What a sequence keeps between steps: keys and values, latents, compressed entries, states.
//!
//! Each family lists its components. What is *held* and what is *read* per step differ: a sparse
//! layer holds every token and reads a few; an engine without windowed allocation holds every
//! token of a windowed layer and reads the window.

use crate::catalogue::model::{LayerSet, ModelSpec};

/// How the entries of a component grow with the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// One entry per token.
    PerToken,
    /// One entry per token, the newest `0` of them kept.
    Window(u64),
    /// One entry per so many tokens.
    Ratio(u64),
    /// One entry per sequence, whatever its length.
    Fixed,
}

/// What an entry is made of; the cache format decides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Keys and values of whole heads.
    KeyValue,
    /// A latent of which the last `rope` elements are rotary and kept in 16 bit by mixed layouts.
    Latent {
        /// Rotary elements.
        rope: u64,
    },
    /// An entry of V4: one head that is key and value, `rope` of its elements rotary.
    Shared {
        /// Rotary elements.
        rope: u64,
    },
    /// A key of the indexer.
    IndexKey,
    /// Recurrent state, 32 bit unless the engine says otherwise.
    State,
    /// Inputs a short convolution still needs, 16 bit (32 bit in llama.cpp).
    Conv,
    /// Compressor inputs not yet folded into an entry, 32 bit.
    Pending,
}

/// How many of the held entries one query reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of them.
    All,
    /// At most so many, chosen by an indexer.
    Top(u64),
}

/// One component of the cache, per layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// What it is, for people: `keys and values`, `latent`, `index keys`.
    pub name: &'static str,
    /// Layers that hold it.
    pub layers: LayerSet,
    /// Elements of one entry.
    pub elements: u64,
    /// How entries grow.
    pub growth: Growth,
    /// What an entry is made of.
    pub content: Content,
    /// How many entries a query reads.
    pub read: Read,
    /// Heads tensor parallelism can divide it by; 1 = one copy per rank.
    pub heads: u64,
}

impl Component {
    /// Entries held for a sequence of `tokens`.
    pub fn entries(&self, tokens: u64) -> u64 {
        match self.growth {
            Growth::PerToken => tokens,
            Growth::Window(window) => tokens.min(window),
            Growth::Ratio(ratio) => tokens / ratio,
            Growth::Fixed => 1,
        }
    }

    /// Entries one query at this length reads.
    pub fn entries_read(&self, tokens: u64) -> u64 {
        match self.read {
            Read::All => self.entries(tokens),
            Read::Top(top) => self.entries(tokens).min(top),
        }
    }

    /// Elements held in all layers for a sequence of `tokens`.
    pub fn elements_held(&self, tokens: u64) -> u64 {
        (self.layers.len() as u64 * self.elements).saturating_mul(self.entries(tokens))
    }
}

/// What a sequence of the model keeps: equal components of all layers merged, in layer order.
///
/// Prediction layers keep a cache of their own, which is not part of this list.
pub fn components(model: &ModelSpec) -> Vec<Component> {
    let mut merged: Vec<Component> = Vec::new();
    for (group, blocks) in model.groups() {
        let parts = blocks.into_iter().flat_map(|block| block.family().cache(model.hidden.get(), &group.at));
        for part in parts {
            match merged.iter_mut().find(|known| known.extends_to(&part)) {
                Some(known) => known.layers = known.layers.union(&part.layers),
                None => merged.push(part),
            }
        }
    }
    merged
}

impl Component {
    /// Whether the other is the same in other layers. A layer with two equal blocks keeps two.
    fn extends_to(&self, other: &Self) -> bool {
        let same = *self == Self { layers: self.layers.clone(), ..other.clone() };
        same && self.layers.is_disjoint(&other.layers)
    }
}
