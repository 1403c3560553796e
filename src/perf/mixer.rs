//! Blocks that mix tokens: what one rank reads of the cache, keeps as state and works.

use super::ops::within;
use crate::arithmetic::cache::{Component, Content};
use crate::arithmetic::family::context;
use crate::arithmetic::kv::bytes_per_entry;
use crate::catalogue::model::{Block, GroupedAttention, LayerSet};
use crate::perf::constants::Kind;
use crate::perf::deployment::Deployment;
use std::ops::Range;

/// A component of the cache as one rank reads it.
#[derive(Clone, Debug)]
struct Cached {
    component: Component,
    /// Bytes of an entry on this rank.
    bytes: f64,
}

/// A block that mixes tokens, met in so many layers.
#[derive(Clone, Debug)]
pub(super) struct Mixer<'a> {
    pub block: &'a Block,
    pub layers: f64,
    pub head: Kind,
    cached: Vec<Cached>,
    /// Bytes of state of one sequence and layer, read and written every step.
    pub state: f64,
    /// Share of the work on this rank.
    pub share: f64,
    /// Query heads on this rank.
    pub heads: f64,
}

impl Mixer<'_> {
    /// Bytes one sequence of so many tokens reads in one layer.
    pub(super) fn read(&self, tokens: u64) -> f64 {
        self.cached.iter().map(|part| part.bytes * part.component.entries_read(tokens) as f64).sum()
    }

    /// Operations of attention and indexer of one sequence in one layer, as the rates of local
    /// engines were fitted: latent attention on full heads, without expanding the cached latents
    /// again, which the rates absorb.
    pub(super) fn fitted_flop(&self, hidden: u64, new: u64, depth: u64) -> f64 {
        let mixing = self.block.family().mixing(hidden, new, depth);
        let attention = match self.block {
            Block::Latent(latent) if latent.indexer.is_none() => {
                let pairs = context::all(new, depth);
                mixing.attention_flop.min(latent.expanded_flop() as f64 * pairs)
            }
            _ => mixing.attention_flop,
        };
        attention * self.share + mixing.index_flop
    }

    /// Whether it is recurrent: no cache that grows.
    pub(super) fn is_recurrent(&self) -> bool {
        matches!(
            self.block,
            Block::Delta(_)
                | Block::ChannelDelta(_)
                | Block::Mamba1(_)
                | Block::Mamba2(_)
                | Block::ShortConv(_)
        )
    }
}

/// The mixers of a range of layers, equal ones together.
pub(super) fn mixers<'a>(deployment: &Deployment<'a>, range: &Range<u32>) -> Vec<Mixer<'a>> {
    let spec = &deployment.model.spec;
    let mut list: Vec<Mixer<'a>> = Vec::new();
    for group in &spec.layers {
        let layers = within(&group.at, range);
        for block in group.blocks.iter().filter_map(|name| spec.block.get(name)) {
            if layers == 0.0 {
                continue;
            }
            if let Some(known) = list.iter_mut().find(|mixer| std::ptr::eq(mixer.block, block)) {
                known.layers += layers;
                continue;
            }
            list.extend(mixer(deployment, block, layers));
        }
    }
    list
}

/// A block in so many layers; none if it does not mix tokens.
pub(super) fn mixer<'a>(deployment: &Deployment<'a>, block: &'a Block, layers: f64) -> Option<Mixer<'a>> {
    let (heads, head) = heads(block)?;
    let placement = deployment.placement;
    let tp = f64::from(placement.tp);
    let (mut cached, mut state) = (Vec::new(), 0.0);
    for component in read_components(block, deployment.model.spec.hidden.get()) {
        let ways = tp.min(component.heads as f64) * f64::from(placement.cp.max(1));
        let bytes = bytes_per_entry(&component, deployment.kv).get() / ways;
        match component.content {
            Content::State | Content::Conv | Content::Pending => state += bytes,
            Content::KeyValue | Content::Latent { .. } | Content::Shared { .. } | Content::IndexKey => {
                cached.push(Cached { component, bytes });
            }
        }
    }
    let share = 1.0 / tp.min(heads);
    Some(Mixer { block, layers, head, cached, state, share, heads: heads * share })
}

/// Query heads and the kind of their width; none for blocks that do not mix tokens.
fn heads(block: &Block) -> Option<(f64, Kind)> {
    let (heads, kind) = match block {
        Block::Grouped(block) => (block.heads.get(), Kind::of_head(block.head_dim.get())),
        Block::Latent(block) => (block.heads.get(), Kind::Mla),
        Block::Compressed(block) => (block.heads.get(), Kind::Mla),
        Block::Delta(block) => (block.value_heads.get(), Kind::of_head(block.value_dim.get())),
        Block::ChannelDelta(block) => (block.heads.get(), Kind::of_head(block.head_dim.get())),
        Block::Mamba1(block) => (block.inner.get(), Kind::Hd64),
        Block::Mamba2(block) => (block.heads.get(), Kind::Hd64),
        Block::ShortConv(_) => (u64::from(u32::MAX), Kind::Hd64),
        Block::Dense(_) | Block::Experts(_) | Block::Hyper(_) => return None,
    };
    Some((heads as f64, kind))
}

/// What a layer reads: its own cache, or that of the layer it shares with.
fn read_components(block: &Block, hidden: u64) -> Vec<Component> {
    let one = LayerSet::new(vec![0]);
    match block {
        Block::Grouped(sharing) if sharing.shares_cache => {
            let owner = GroupedAttention { shares_cache: false, ..sharing.clone() };
            Block::Grouped(owner).family().cache(hidden, &one)
        }
        _ => block.family().cache(hidden, &one),
    }
}
