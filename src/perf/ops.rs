//! The operations of a step on one rank: what is multiplied, which experts are read, what is mixed.
//!
//! A [`Load`] is computed once per deployment and stage from the list of weights. It sums equal
//! operations, so that the time of a step is a short loop over numbers. Tensor parallelism divides
//! outputs (of the first matrix of a pair) or inputs (of the second); matrices of key-value heads
//! stop dividing at their number; experts are divided over all ranks of a stage.

use super::mixer::{Mixer, mixer, mixers};
use crate::arithmetic::inventory::Place;
use crate::arithmetic::tensor::{Role, Shard};
use crate::arithmetic::weights::Entry;
use crate::catalogue::model::{Block, Experts, LayerSet};
use crate::perf::constants::Kind;
use crate::perf::deployment::{Deployment, Offload};
use std::ops::Range;

/// What a matrix product belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Attention and its indexer.
    Attention,
    /// Linear attention, state space, short convolution.
    Linear,
    /// Dense feed-forward.
    Dense,
    /// Shared experts, projections around experts.
    Shared,
    /// Router.
    Router,
    /// Residual stream mixing.
    Hyper,
    /// Output matrix.
    Head,
    /// Anything else.
    Other,
}

/// A matrix product of one rank, met in so many layers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub owner: Owner,
    /// The matrix that leads the fused ones.
    pub lead: Role,
    pub kind: Kind,
    /// The format of the first of them, by name.
    #[cfg_attr(not(feature = "operators"), expect(dead_code, reason = "only operator tables ask for it"))]
    pub stored: &'static str,
    /// Layers that hold it; formats that change from layer to layer share them out.
    pub layers: f64,
    /// Inputs of one row.
    pub inputs: f64,
    /// Outputs of one row, of all fused matrices.
    pub outputs: f64,
    /// Stored bytes in one layer.
    pub bytes: f64,
}

impl Product {
    /// Weights in one layer.
    pub(super) fn weights(&self) -> f64 {
        self.inputs * self.outputs
    }
}

/// Routed experts of equal shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpertLoad {
    /// Layers whose experts are on the device.
    pub layers: f64,
    /// Layers whose experts are in host memory.
    pub host_layers: f64,
    /// Experts of a layer, over all ranks.
    pub count: f64,
    /// Experts at work for a token.
    pub active: f64,
    /// Weights of one expert.
    pub weights: f64,
    /// Stored bytes of one expert.
    pub bytes: f64,
    /// Width of the tokens experts work on.
    pub inner: f64,
    /// Inner width of an expert.
    pub width: f64,
    /// Whether biases or gates make the path one of weight-only kernels.
    pub kind: Kind,
    /// The format of most of its bytes, by name.
    #[cfg_attr(not(feature = "operators"), expect(dead_code, reason = "only operator tables ask for it"))]
    pub stored: &'static str,
}

impl ExpertLoad {
    /// The same in so many layers on the device and in host memory.
    const fn met(self, layers: f64, host_layers: f64) -> Self {
        Self { layers, host_layers, ..self }
    }

    /// Distinct experts that so many tokens touch, each token choosing uniformly.
    pub(super) fn distinct(&self, tokens: f64) -> f64 {
        distinct(self.count, self.active, tokens)
    }
}

/// `E (1 - (1 - k/E)^T)`.
pub(super) fn distinct(count: f64, active: f64, tokens: f64) -> f64 {
    count * (1.0 - crate::units::math::pow(1.0 - (active / count).min(1.0), tokens))
}

/// The work of consecutive layers on one rank.
#[derive(Clone, Debug)]
pub(super) struct Load<'a> {
    /// Width of the residual stream.
    pub hidden: u64,
    pub layers: f64,
    pub products: Vec<Product>,
    pub experts: Vec<ExpertLoad>,
    pub mixers: Vec<Mixer<'a>>,
    /// Bytes of vectors, read every step.
    pub vectors: f64,
    /// Layers with mixed residual streams.
    pub hyper_layers: f64,
}

impl<'a> Load<'a> {
    /// The load of a range of layers; the output matrix belongs to the last of the model.
    pub(super) fn of(deployment: &Deployment<'a>, range: &Range<u32>, head: bool) -> Self {
        let spec = &deployment.model.spec;
        let tp = f64::from(deployment.placement.tp);
        let mut products: Vec<Product> = Vec::new();
        let mut vectors = 0.0;
        for entry in &deployment.weights.entries {
            let layers = match &entry.place {
                Place::Layers(layers) => within(layers, range),
                Place::Output => f64::from(u8::from(head)),
                Place::Input => f64::from(u8::from(head && spec.tied_embeddings)),
                Place::Prediction(_) | Place::Tower | Place::Lookup => 0.0,
            };
            if layers == 0.0 || entry.tensor.shard == Shard::Expert {
                continue;
            }
            match entry.tensor.role {
                Role::Vector if entry.tensor.copies > 1 => {}
                Role::Vector => vectors += entry.each.get() * layers,
                Role::RouteTable | Role::LookupTable | Role::Tower => {}
                _ => add_product(&mut products, entry, layers, tp),
            }
        }
        let hyper_layers = block_layers(deployment, range, |block| matches!(block, Block::Hyper(_)));
        Self {
            hidden: spec.hidden.get(),
            layers: f64::from(range.end - range.start),
            products: products.into_iter().map(per_layer).collect(),
            experts: expert_loads(deployment, range),
            mixers: mixers(deployment, range),
            vectors,
            hyper_layers,
        }
    }

    /// One pass of a prediction layer: its blocks, what joins it to the model, and the output matrix,
    /// its own or that of the model. None where the model has no such layer.
    pub(super) fn of_prediction(deployment: &Deployment<'a>) -> Option<Self> {
        let spec = &deployment.model.spec;
        let mtp = spec.mtp.as_ref()?;
        let tp = f64::from(deployment.placement.tp);
        let (mut products, mut vectors) = (Vec::new(), 0.0);
        for entry in &deployment.weights.entries {
            let met = match entry.place {
                // Its copy of the embedding is looked up row by row.
                Place::Prediction(_) => entry.tensor.role != Role::Embedding,
                Place::Output => !mtp.own_head,
                Place::Input => !mtp.own_head && spec.tied_embeddings,
                Place::Layers(_) | Place::Tower | Place::Lookup => false,
            };
            if !met || entry.tensor.shard == Shard::Expert {
                continue;
            }
            match entry.tensor.role {
                Role::Vector if entry.tensor.copies > 1 => {}
                Role::Vector => vectors += entry.each.get(),
                Role::RouteTable | Role::LookupTable | Role::Tower => {}
                _ => add_product(&mut products, entry, 1.0, tp),
            }
        }
        let blocks = || mtp.blocks.iter().filter_map(|name| spec.block.get(name));
        let routed = blocks().filter_map(|block| match block {
            Block::Experts(experts) => Some(experts),
            _ => None,
        });
        let share = |place: &Place| f64::from(u8::from(matches!(place, Place::Prediction(_))));
        Some(Self {
            hidden: spec.hidden.get(),
            layers: 1.0,
            products,
            experts: routed.map(|experts| shape(deployment, experts, share).met(1.0, 0.0)).collect(),
            mixers: blocks().filter_map(|block| mixer(deployment, block, 1.0)).collect(),
            vectors,
            hyper_layers: blocks().filter(|block| matches!(block, Block::Hyper(_))).count() as f64,
        })
    }

    /// Layers with routed experts.
    pub(super) fn expert_layers(&self) -> f64 {
        self.experts.iter().map(|experts| experts.layers + experts.host_layers).sum()
    }

    /// Layers of linear attention, state space or convolution.
    pub(super) fn recurrent_layers(&self) -> f64 {
        self.mixers.iter().filter(|mixer| mixer.is_recurrent()).map(|mixer| mixer.layers).sum()
    }
}

/// How many of the layers lie in the range.
pub(super) fn within(layers: &LayerSet, range: &Range<u32>) -> f64 {
    layers.count_in(range.clone()) as f64
}

/// How many layers two sets have in common; both are in order.
fn common(one: &LayerSet, other: &LayerSet) -> f64 {
    let mut others = other.iter().peekable();
    let shared = |layer: &u32| {
        while others.next_if(|other| other < layer).is_some() {}
        others.peek() == Some(layer)
    };
    one.iter().filter(shared).count() as f64
}

/// The matrix whose product takes others of the same input along, as engines fuse them.
const fn lead(role: Role) -> Role {
    match role {
        Role::Query | Role::Key | Role::Value | Role::AttentionGate => Role::Query,
        Role::QueryDown | Role::LatentDown | Role::IndexKey | Role::IndexWeight | Role::Compress => {
            Role::QueryDown
        }
        Role::QueryUp | Role::IndexQuery => Role::QueryUp,
        Role::LinearIn | Role::LinearGate | Role::LinearSmall => Role::LinearIn,
        Role::DenseGate | Role::DenseUp => Role::DenseUp,
        Role::SharedGate | Role::SharedUp | Role::SharedRouter => Role::SharedUp,
        Role::Embedding | Role::Output => Role::Output,
        other => other,
    }
}

const fn owner(role: Role) -> Owner {
    match lead(role) {
        Role::Query
        | Role::QueryDown
        | Role::QueryUp
        | Role::LatentKey
        | Role::LatentValue
        | Role::AttentionOut
        | Role::OutDown => Owner::Attention,
        Role::LinearIn | Role::LinearOut | Role::Conv => Owner::Linear,
        Role::DenseUp | Role::DenseDown => Owner::Dense,
        Role::SharedUp | Role::SharedDown | Role::ExpertsIn | Role::ExpertsOut => Owner::Shared,
        Role::Router => Owner::Router,
        Role::Mix => Owner::Hyper,
        Role::Output => Owner::Head,
        _ => Owner::Other,
    }
}

/// Whether tensor parallelism divides its inputs: the second matrix of a pair.
const fn divides_inputs(role: Role) -> bool {
    matches!(role, Role::AttentionOut | Role::OutDown | Role::DenseDown | Role::SharedDown | Role::LinearOut)
}

/// Adds a matrix to the product it is fused into; `outputs` and `bytes` are sums over layers until
/// [`per_layer`].
fn add_product(products: &mut Vec<Product>, entry: &Entry, layers: f64, tp: f64) {
    let tensor = &entry.tensor;
    let ways = match tensor.shard {
        Shard::Replicated | Shard::Expert => 1.0,
        Shard::Split => tp,
        Shard::KvHeads(heads) => tp.min(heads as f64),
    };
    let (mut inputs, mut outputs) = (tensor.cols as f64, (tensor.rows * tensor.copies) as f64);
    if tensor.role == Role::Other {
        // Weights of unknown shape are listed as one row; a square one moves as few activations as
        // matrices do.
        inputs = (inputs * outputs).sqrt();
        outputs = inputs;
    }
    if divides_inputs(tensor.role) {
        inputs /= ways;
    } else {
        outputs /= ways;
    }
    let (lead, kind, bytes) = (lead(tensor.role), Kind::of(entry.stored), entry.each.get() / ways * layers);
    let same = |product: &&mut Product| {
        product.lead == lead && product.kind == kind && (product.inputs - inputs).abs() < 0.5
    };
    if let Some(product) = products.iter_mut().find(same) {
        product.layers = product.layers.max(layers);
        product.outputs += outputs * layers;
        product.bytes += bytes;
    } else {
        let owner = owner(tensor.role);
        let stored = entry.stored.name;
        products.push(Product {
            owner,
            lead,
            kind,
            stored,
            layers,
            inputs,
            outputs: outputs * layers,
            bytes,
        });
    }
}

/// Turns sums over layers into the mean layer.
fn per_layer(product: Product) -> Product {
    Product { outputs: product.outputs / product.layers, bytes: product.bytes / product.layers, ..product }
}

/// Layers of the range that hold a block of some kind.
fn block_layers(deployment: &Deployment<'_>, range: &Range<u32>, is: impl Fn(&Block) -> bool) -> f64 {
    let groups = deployment.model.spec.groups();
    groups
        .filter(|(_, blocks)| blocks.iter().any(|block| is(block)))
        .map(|(group, _)| within(&group.at, range))
        .sum()
}

/// Layers whose routed experts stay in host memory: the first ones that have any.
fn host_expert_layers(deployment: &Deployment<'_>) -> u32 {
    match deployment.placement.offload {
        Offload::Experts(layers) => layers,
        Offload::None | Offload::Layers(_) | Offload::All => 0,
    }
}

fn expert_loads(deployment: &Deployment<'_>, range: &Range<u32>) -> Vec<ExpertLoad> {
    let spec = &deployment.model.spec;
    let mut expert_layers: Vec<u32> = Vec::new();
    let mut shapes: Vec<(&Experts, Vec<u32>)> = Vec::new();
    for (group, blocks) in spec.groups() {
        for block in blocks {
            if let Block::Experts(experts) = block {
                expert_layers.extend(group.at.iter());
                match shapes.iter_mut().find(|(known, _)| *known == experts) {
                    Some((_, layers)) => layers.extend(group.at.iter()),
                    None => shapes.push((experts, group.at.iter().collect())),
                }
            }
        }
    }
    expert_layers.sort_unstable();
    let on_host = &expert_layers[..(host_expert_layers(deployment) as usize).min(expert_layers.len())];
    shapes
        .into_iter()
        .filter_map(|(experts, layers)| expert_load(deployment, range, experts, &layers, on_host))
        .collect()
}

fn expert_load(
    deployment: &Deployment<'_>,
    range: &Range<u32>,
    experts: &Experts,
    layers: &[u32],
    on_host: &[u32],
) -> Option<ExpertLoad> {
    let here = LayerSet::new(layers.iter().copied().filter(|layer| range.contains(layer)).collect());
    if here.is_empty() {
        return None;
    }
    let share = |place: &Place| match place {
        Place::Layers(at) => common(at, &here) / here.len() as f64,
        Place::Input | Place::Output | Place::Prediction(_) | Place::Tower | Place::Lookup => 0.0,
    };
    let host = common(&LayerSet::new(on_host.to_vec()), &here);
    Some(shape(deployment, experts, share).met(here.len() as f64 - host, host))
}

/// Experts of one shape, in no layer yet; `share` is the part of those layers a place holds weights of.
fn shape(deployment: &Deployment<'_>, experts: &Experts, share: impl Fn(&Place) -> f64) -> ExpertLoad {
    let count = experts.count.get();
    let (mut weights, mut bytes, mut largest) = (0.0, 0.0, 0.0);
    let (mut kind, mut stored) = (Kind::Bf16, "bf16");
    for entry in &deployment.weights.entries {
        let is_bias = entry.tensor.role == Role::Vector;
        if entry.tensor.copies != count || (entry.tensor.shard != Shard::Expert && !is_bias) {
            continue;
        }
        let share = share(&entry.place);
        let each = entry.each.get() / count as f64 * share;
        bytes += each;
        weights += (entry.tensor.rows * entry.tensor.cols) as f64 * share;
        if each > largest {
            (largest, kind, stored) = (each, Kind::of(entry.stored), entry.stored.name);
        }
    }
    ExpertLoad {
        layers: 0.0,
        host_layers: 0.0,
        count: count as f64,
        active: experts.working(),
        weights,
        bytes,
        inner: experts.latent.map_or(deployment.model.spec.hidden, |latent| latent).get() as f64,
        width: experts.width.get() as f64,
        kind,
        stored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked examples of uniform routing: 384 experts of which 8, 128 of which 4.
    #[test]
    fn distinct_experts_by_hand() {
        for (tokens, hand) in [(1.0, 8.0), (4.0, 31.0), (16.0, 110.0), (64.0, 284.0), (256.0, 382.0)] {
            assert!((distinct(384.0, 8.0, tokens) - hand).abs() < 0.6, "{tokens}");
        }
        assert!((distinct(128.0, 4.0, 4.0) - 15.3).abs() < 0.1);
        assert!((distinct(128.0, 4.0, 64.0) - 111.0).abs() < 0.5);
        assert!((distinct(8.0, 8.0, 1.0) - 8.0).abs() < 1e-12);
    }
}
