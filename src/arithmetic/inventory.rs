//! Every tensor of a model with its place: the list all sizes and all work are sums of.

use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::catalogue::model::{Block, ExtraWeights, LayerSet, ModelSpec, Mtp};
use std::collections::BTreeMap;

/// Where a tensor lives in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One in each of these layers.
    Layers(LayerSet),
    /// Before the first layer: the embedding.
    Input,
    /// After the last layer: final norm and output matrix.
    Output,
    /// In each of so many prediction layers (MTP).
    Prediction(u64),
    /// In a vision or audio tower.
    Tower,
    /// A table looked up row by row, which may stay in host memory.
    Lookup,
}

/// A tensor and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The tensor, of one layer.
    pub tensor: Tensor,
    /// Where it lives.
    pub place: Place,
    /// Of its stacked copies, how many a token uses on average; all of them unless given.
    pub chosen: Option<f64>,
    /// In the files, yet not part of the total its maker states.
    pub outside_total: bool,
}

impl Item {
    /// A tensor all of which every token uses and the published total counts.
    const fn new(tensor: Tensor, place: Place) -> Self {
        Self { tensor, place, chosen: None, outside_total: false }
    }

    /// How many times the tensor exists.
    pub fn times(&self) -> u64 {
        match &self.place {
            Place::Layers(layers) => layers.len() as u64,
            Place::Prediction(layers) => *layers,
            Place::Input | Place::Output | Place::Tower | Place::Lookup => 1,
        }
    }

    /// Parameters of all of them.
    pub fn params(&self) -> u64 {
        self.times().saturating_mul(self.tensor.params())
    }

    /// Parameters one token uses.
    pub fn active_params(&self) -> f64 {
        let share = self.chosen.map_or(1.0, |chosen| chosen / self.tensor.copies as f64);
        self.params() as f64 * share
    }

    /// Whether the published total counts it: the text model without prediction layers, and
    /// without tables that route tokens, which hold numbers of experts and not weights.
    fn in_total(&self) -> bool {
        match self.place {
            Place::Layers(_) | Place::Input | Place::Output | Place::Lookup => {
                !self.outside_total && self.tensor.role != Role::RouteTable
            }
            Place::Prediction(_) | Place::Tower => false,
        }
    }
}

/// The tensors of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// All of them, in the order of the model.
    pub items: Vec<Item>,
    /// The embedding is read again as the output matrix.
    pub tied: bool,
}

impl Inventory {
    /// Lists the tensors of a model.
    pub fn of(model: &ModelSpec) -> Self {
        let hidden = model.hidden.get();
        let embedding =
            |role, class| Tensor::matrix(role, class, model.vocabulary.get(), hidden, Shard::Split);
        let mut items = vec![Item::new(embedding(Role::Embedding, Class::Embedding), Place::Input)];

        let mut streams = None;
        for (group, blocks) in model.groups() {
            let place = Place::Layers(group.at.clone());
            for block in blocks {
                items.extend(block_items(block, model, &place));
                if let Block::Hyper(hyper) = block {
                    streams = Some(hyper);
                }
            }
            let norms = group.norms.unwrap_or(2);
            if norms > 0 {
                items.push(Item::new(Tensor::vector(Class::Norms, norms * hidden), place));
            }
        }

        let mut output = vec![Tensor::vector(Class::Norms, hidden)];
        output.extend(streams.into_iter().flat_map(|hyper| hyper.head(hidden)));
        if !model.tied_embeddings {
            output.push(embedding(Role::Output, Class::Head));
        }
        items.extend(output.into_iter().map(|tensor| Item::new(tensor, Place::Output)));

        if let Some(mtp) = &model.mtp {
            items.extend(prediction_items(mtp, model));
        }
        for tower in &model.tower {
            let weights = Tensor::matrix(Role::Tower, Class::Tower, 1, tower.params, Shard::Replicated);
            items.push(Item::new(weights, Place::Tower));
        }
        items.extend(model.extra.iter().map(extra_item));
        Self { items, tied: model.tied_embeddings }
    }

    /// Parameters as makers count them: the text model, without prediction layers and towers.
    pub fn total(&self) -> u64 {
        sum(self.items.iter().filter(|item| item.in_total()))
    }

    /// Parameters in the files of the hub: everything listed.
    pub fn hub_total(&self) -> u64 {
        sum(self.items.iter())
    }

    /// Parameters one token uses: of stacked experts the chosen ones, no input embedding (one row
    /// is read) unless it is the output matrix too, no looked-up tables.
    pub fn active(&self) -> u64 {
        let used = |item: &&Item| match item.place {
            Place::Input => self.tied,
            Place::Layers(_) | Place::Output => item.in_total(),
            Place::Lookup | Place::Prediction(_) | Place::Tower => false,
        };
        self.items.iter().filter(used).map(Item::active_params).sum::<f64>().round() as u64
    }

    /// Parameters of the published total by class.
    pub fn by_class(&self) -> BTreeMap<Class, u64> {
        let mut classes: BTreeMap<Class, u64> = BTreeMap::new();
        for item in self.items.iter().filter(|item| item.in_total()) {
            let class = classes.entry(item.tensor.class).or_default();
            *class = class.saturating_add(item.params());
        }
        classes
    }

    /// Parameters of prediction layers.
    pub fn prediction(&self) -> u64 {
        let predicts = |item: &&Item| matches!(item.place, Place::Prediction(_));
        sum(self.items.iter().filter(predicts))
    }

    /// Parameters of towers.
    pub fn towers(&self) -> u64 {
        sum(self.items.iter().filter(|item| item.place == Place::Tower))
    }

    /// The matrix that turns the last hidden state into logits: the embedding where they are tied.
    pub fn head(&self) -> Option<&Tensor> {
        let role = if self.tied { Role::Embedding } else { Role::Output };
        self.items.iter().map(|item| &item.tensor).find(|tensor| tensor.role == role)
    }
}

/// Parameters of all items, which absurd shapes may not overflow.
fn sum<'a>(items: impl Iterator<Item = &'a Item>) -> u64 {
    items.map(Item::params).fold(0, u64::saturating_add)
}

/// The tensors of one block at a place.
fn block_items(block: &Block, model: &ModelSpec, place: &Place) -> Vec<Item> {
    let chosen = match block {
        Block::Experts(experts) => Some(experts.working()),
        Block::Grouped(_)
        | Block::Latent(_)
        | Block::Compressed(_)
        | Block::Delta(_)
        | Block::ChannelDelta(_)
        | Block::Mamba1(_)
        | Block::Mamba2(_)
        | Block::ShortConv(_)
        | Block::Dense(_)
        | Block::Hyper(_) => None,
    };
    let mut tensors = block.family().tensors(model.hidden.get());
    if let Block::Experts(experts) = block
        && experts.hashed
    {
        // One expert number per token of the vocabulary and chosen expert.
        tensors.push(Tensor::matrix(
            Role::RouteTable,
            Class::Router,
            model.vocabulary.get(),
            experts.active.get(),
            Shard::Replicated,
        ));
    }
    tensors
        .into_iter()
        .map(|tensor| Item {
            chosen: chosen.filter(|_| is_routed(&tensor)),
            ..Item::new(tensor, place.clone())
        })
        .collect()
}

/// Whether a tensor is a stack of routed experts, of which a token uses some.
fn is_routed(tensor: &Tensor) -> bool {
    tensor.class == Class::Experts && !matches!(tensor.role, Role::ExpertsIn | Role::ExpertsOut)
}

/// Prediction layers: their blocks, `2·h·h` that join embedding and hidden state, two norms before
/// it and one after, the blocks' own norms, and copies of embedding and output matrix where kept.
fn prediction_items(mtp: &Mtp, model: &ModelSpec) -> Vec<Item> {
    let hidden = model.hidden.get();
    let place = Place::Prediction(mtp.layers.get());
    if let Some(params) = mtp.params {
        let weights = Tensor::matrix(Role::Other, Class::Other, 1, params, Shard::Replicated);
        return vec![Item::new(weights, Place::Prediction(1))];
    }
    let mut items = Vec::new();
    for block in mtp.blocks.iter().filter_map(|name| model.block.get(name)) {
        items.extend(block_items(block, model, &place));
        if let Block::Hyper(hyper) = block {
            items.extend(hyper.head(hidden).into_iter().map(|tensor| Item::new(tensor, place.clone())));
        }
    }
    let mut rest = vec![
        Tensor::matrix(Role::PredictionJoin, Class::Other, hidden, 2 * hidden, Shard::Replicated),
        Tensor::vector(Class::Norms, 5 * hidden),
    ];
    let vocabulary = model.vocabulary.get();
    if mtp.own_embedding {
        rest.push(Tensor::matrix(Role::Embedding, Class::Embedding, vocabulary, hidden, Shard::Split));
    }
    if mtp.own_head {
        rest.push(Tensor::matrix(Role::Output, Class::Head, vocabulary, hidden, Shard::Split));
    }
    items.extend(rest.into_iter().map(|tensor| Item::new(tensor, place.clone())));
    items
}

/// Weights outside the layers.
fn extra_item(extra: &ExtraWeights) -> Item {
    let (role, class, place) = if extra.lookup {
        (Role::LookupTable, Class::Lookup, Place::Lookup)
    } else {
        (Role::Other, Class::Other, Place::Output)
    };
    let tensor = Tensor::matrix(role, class, 1, extra.params, Shard::Replicated);
    // What is not read for every token is resident and idle.
    let chosen = (!extra.lookup && !extra.every_token).then_some(0.0);
    Item { chosen, outside_total: extra.outside_total, ..Item::new(tensor, place) }
}
