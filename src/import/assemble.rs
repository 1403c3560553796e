//! Layers as lists of blocks to named blocks and groups of equal layers.

use crate::catalogue::model::{Block, LayerGroup, LayerSet};
use std::collections::BTreeMap;

/// Gives every distinct block a name, in the order they first appear.
#[derive(Default)]
pub(super) struct Names {
    known: Vec<(String, Block)>,
}

impl Names {
    /// The name of a block.
    fn of(&mut self, block: Block) -> String {
        if let Some((name, _)) = self.known.iter().find(|(_, known)| *known == block) {
            return name.clone();
        }
        let plain = describe(&block);
        let taken = |name: &str| self.known.iter().any(|(known, _)| known == name);
        let name = if taken(&plain) {
            // The second dense block of a model is `dense-2`.
            let last = self.known.len() + 2;
            (2..=last).map(|n| format!("{plain}-{n}")).find(|name| !taken(name)).unwrap_or(plain)
        } else {
            plain
        };
        self.known.push((name.clone(), block));
        name
    }

    /// The names of the blocks of one layer.
    pub(super) fn layer(&mut self, blocks: Vec<Block>) -> Vec<String> {
        blocks.into_iter().map(|block| self.of(block)).collect()
    }

    /// All blocks by name.
    pub(super) fn into_blocks(self) -> BTreeMap<String, Block> {
        self.known.into_iter().collect()
    }
}

/// What people would call a block.
fn describe(block: &Block) -> String {
    match block {
        Block::Grouped(block) if block.cross => "cross",
        Block::Grouped(block) if block.shares_cache && block.window.is_some() => "window-shared",
        Block::Grouped(block) if block.shares_cache => "attention-shared",
        Block::Grouped(block) if block.chunked => "chunk",
        Block::Grouped(block) if block.window.is_some() => "window",
        Block::Grouped(block) if block.blocks.is_some() => "sparse",
        Block::Grouped(_) => "attention",
        Block::Latent(block) if block.indexer.as_ref().is_some_and(|indexer| indexer.shared) => {
            "latent-shared"
        }
        Block::Latent(_) => "latent",
        Block::Compressed(block) if block.ratio == 0 => "window",
        Block::Compressed(block) => return format!("compressed-{}", block.ratio),
        Block::Delta(_) | Block::ChannelDelta(_) => "delta",
        Block::Mamba1(_) | Block::Mamba2(_) => "mamba",
        Block::ShortConv(_) => "conv",
        Block::Dense(_) => "dense",
        Block::Experts(block) if block.hashed => "experts-hashed",
        Block::Experts(_) => "experts",
        Block::Hyper(_) => "streams",
    }
    .to_owned()
}

/// Groups equal layers, in the order they first appear.
pub(super) fn groups(layers: &[Vec<String>], norms: u64) -> Vec<LayerGroup> {
    let mut groups: Vec<(Vec<u32>, &Vec<String>)> = Vec::new();
    for (number, blocks) in (0u32..).zip(layers) {
        match groups.iter_mut().find(|(_, known)| *known == blocks) {
            Some((numbers, _)) => numbers.push(number),
            None => groups.push((vec![number], blocks)),
        }
    }
    groups
        .into_iter()
        .map(|(numbers, blocks)| LayerGroup {
            at: LayerSet::new(numbers),
            blocks: blocks.clone(),
            norms: (norms != 2).then_some(norms),
        })
        .collect()
}
