//! The families of blocks, one file each.
//!
//! A family says three things about one block: its tensors, what it keeps per sequence, and the
//! work it does beyond multiplying by its weights. To add a family, write its file and name it in
//! [`Block::family`].

mod channel_delta;
mod compressed;
pub(crate) mod context;
mod delta;
mod dense;
mod experts;
mod grouped;
mod hyper;
mod latent;
mod mamba1;
mod mamba2;
mod short_conv;

use crate::arithmetic::cache::Component;
use crate::arithmetic::tensor::Tensor;
use crate::catalogue::model::{Block, LayerSet};

/// Work of one sequence in one layer beyond its weight matrices, for all heads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mixing {
    /// Operations of scores and values over the entries a query attends.
    pub attention_flop: f64,
    /// Operations of the indexer over the entries it scans.
    pub index_flop: f64,
    /// Operations on recurrent state.
    pub state_flop: f64,
}

/// The rules of one family of blocks.
pub trait Family {
    /// The weight tensors of one layer in a model of width `hidden`.
    fn tensors(&self, hidden: u64) -> Vec<Tensor>;

    /// What one sequence keeps in one layer; `layers` is filled in for all of them.
    fn cache(&self, hidden: u64, layers: &LayerSet) -> Vec<Component>;

    /// Work of `new` tokens after `depth` cached ones, causal.
    fn mixing(&self, hidden: u64, new: u64, depth: u64) -> Mixing;
}

impl Block {
    /// The registry: which file answers for which kind of block.
    pub fn family(&self) -> &dyn Family {
        match self {
            Self::Grouped(block) => block,
            Self::Latent(block) => block,
            Self::Compressed(block) => block,
            Self::Delta(block) => block,
            Self::ChannelDelta(block) => block,
            Self::Mamba1(block) => block,
            Self::Mamba2(block) => block,
            Self::ShortConv(block) => block,
            Self::Dense(block) => block,
            Self::Experts(block) => block,
            Self::Hyper(block) => block,
        }
    }
}
