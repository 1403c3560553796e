//! Layers that predict further tokens (MTP).

use super::assemble::Names;
use super::config::layer_blocks;
use super::dialect::Dialect;
use super::feed_forward;
use super::fields::Fields;
use super::mixers::{self, Mixer, layout, prediction_layout};
use crate::catalogue::decode::Count;
use crate::catalogue::model::{Block, Mtp};

/// Prediction layers: made like the last layer, unless the config or the dialect knows better.
pub(super) fn layers(fields: &Fields, dialect: &Dialect, kinds: &[Mixer], names: &mut Names) -> Option<Mtp> {
    let number = fields.count(&["num_nextn_predict_layers", "mtp_num_hidden_layers"])?;
    let count = kinds.len() as u64;
    let last = count.saturating_sub(1);
    let blocks = if let Some(letters) = prediction_layout(fields) {
        letters.into_iter().flat_map(|letter| lettered(fields, dialect, kinds, letter)).collect()
    } else if fields.has("compress_ratios") {
        // The list of ratios goes on beyond the last layer.
        let mut blocks = mixers::blocks(fields, dialect, Mixer::Full, count);
        let rest = layer_blocks(fields, dialect, Mixer::None, last);
        blocks.extend(rest);
        blocks
    } else if dialect.mtp.dense {
        let mixer = if dialect.mtp.window { Mixer::Window } else { Mixer::Full };
        let mut blocks = mixers::blocks(fields, dialect, mixer, last);
        blocks.push(Block::Dense(feed_forward::dense(fields, dialect, 0)));
        blocks
    } else {
        layer_blocks(fields, dialect, kinds.last().copied().unwrap_or(Mixer::Full), last)
    };
    Some(Mtp {
        layers: Count::new(number),
        blocks: names.layer(blocks.into_iter().map(with_own_indexer).collect()),
        own_embedding: dialect.mtp.own_embedding,
        own_head: dialect.mtp.own_head,
        params: None,
    })
}

/// A prediction layer selects for itself: the files of GLM 5.2 hold its indexer.
fn with_own_indexer(mut block: Block) -> Block {
    if let Block::Latent(latent) = &mut block
        && let Some(indexer) = &mut latent.indexer
    {
        indexer.shared = false;
    }
    block
}

/// The blocks of a letter of a prediction pattern, as the first layer of that letter has them.
fn lettered(fields: &Fields, dialect: &Dialect, kinds: &[Mixer], letter: char) -> Vec<Block> {
    let layer = layout(fields).and_then(|letters| letters.iter().position(|known| *known == letter));
    let Some((layer, mixer)) = layer.and_then(|layer| Some((layer as u64, *kinds.get(layer)?))) else {
        fields.assume(format!("prediction layers hold a `{letter}` no layer shows the make of"));
        return Vec::new();
    };
    layer_blocks(fields, dialect, mixer, layer)
}
