//! The tensors of a file as its table lists them: exact weights of a model read from it.
//!
//! What a tensor does follows from its name, as `gguf-py/gguf/constants.py` (`TENSOR_NAMES`) and the
//! loaders of llama.cpp give it. A name that is not known counts as a weight no rule covers, a
//! vector by its shape; its bytes count all the same.

use crate::arithmetic::formats::format;
use crate::arithmetic::inventory::Place;
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::arithmetic::weights::Entry;
use crate::catalogue::model::{Block, LayerSet, ModelSpec, StoredTensor};
use crate::units::Bytes;

/// Matrices by their name without layer number and `.weight`: what they do and how they divide.
const MATRICES: &[(&str, Role, Class, Shard)] = &[
    ("token_embd", Role::Embedding, Class::Embedding, Shard::Split),
    ("nextn.embed_tokens", Role::Embedding, Class::Embedding, Shard::Split),
    ("output", Role::Output, Class::Head, Shard::Split),
    ("nextn.shared_head_head", Role::Output, Class::Head, Shard::Split),
    ("per_layer_token_embd", Role::LookupTable, Class::Lookup, Shard::Replicated),
    ("attn_q", Role::Query, Class::Attention, Shard::Split),
    ("attn_k", Role::Key, Class::Attention, Shard::Split),
    ("attn_v", Role::Value, Class::Attention, Shard::Split),
    ("attn_qkv", Role::Query, Class::Attention, Shard::Split),
    ("attn_output", Role::AttentionOut, Class::Attention, Shard::Split),
    ("attn_gate", Role::AttentionGate, Class::Attention, Shard::Split),
    ("attn_q_a", Role::QueryDown, Class::Attention, Shard::Replicated),
    ("attn_q_b", Role::QueryUp, Class::Attention, Shard::Split),
    ("attn_kv_a_mqa", Role::LatentDown, Class::Attention, Shard::Replicated),
    ("attn_k_b", Role::LatentKey, Class::Attention, Shard::Split),
    ("attn_v_b", Role::LatentValue, Class::Attention, Shard::Split),
    ("attn_kv_b", Role::LatentValue, Class::Attention, Shard::Split),
    ("attn_kv", Role::LatentDown, Class::Attention, Shard::Replicated),
    ("attn_output_a", Role::OutDown, Class::Attention, Shard::Split),
    ("attn_output_b", Role::AttentionOut, Class::Attention, Shard::Split),
    ("indexer.attn_q_b", Role::IndexQuery, Class::Indexer, Shard::Replicated),
    ("indexer.attn_k", Role::IndexKey, Class::Indexer, Shard::Replicated),
    ("indexer.proj", Role::IndexWeight, Class::Indexer, Shard::Replicated),
    ("ssm_in", Role::LinearIn, Class::Linear, Shard::Split),
    ("ssm_out", Role::LinearOut, Class::Linear, Shard::Split),
    ("ssm_x", Role::LinearSmall, Class::Linear, Shard::Split),
    ("ssm_dt", Role::LinearSmall, Class::Linear, Shard::Split),
    ("ssm_alpha", Role::LinearSmall, Class::Linear, Shard::Split),
    ("ssm_beta", Role::LinearSmall, Class::Linear, Shard::Split),
    ("ssm_ba", Role::LinearSmall, Class::Linear, Shard::Split),
    ("ssm_f_a", Role::LinearSmall, Class::Linear, Shard::Replicated),
    ("ssm_f_b", Role::LinearSmall, Class::Linear, Shard::Split),
    ("ssm_g_a", Role::LinearGate, Class::Linear, Shard::Replicated),
    ("ssm_g_b", Role::LinearGate, Class::Linear, Shard::Split),
    ("ssm_conv1d", Role::Conv, Class::Linear, Shard::Split),
    ("ssm_conv1d_q", Role::Conv, Class::Linear, Shard::Split),
    ("ssm_conv1d_k", Role::Conv, Class::Linear, Shard::Split),
    ("ssm_conv1d_v", Role::Conv, Class::Linear, Shard::Split),
    ("shortconv.in_proj", Role::LinearIn, Class::Linear, Shard::Split),
    ("shortconv.out_proj", Role::LinearOut, Class::Linear, Shard::Split),
    ("shortconv.conv", Role::Conv, Class::Linear, Shard::Split),
    ("ffn_gate", Role::DenseGate, Class::Dense, Shard::Split),
    ("ffn_up", Role::DenseUp, Class::Dense, Shard::Split),
    ("ffn_down", Role::DenseDown, Class::Dense, Shard::Split),
    ("ffn_gate_inp", Role::Router, Class::Router, Shard::Replicated),
    ("ffn_gate_tid2eid", Role::RouteTable, Class::Router, Shard::Replicated),
    ("ffn_gate_exps", Role::ExpertGate, Class::Experts, Shard::Expert),
    ("ffn_up_exps", Role::ExpertUp, Class::Experts, Shard::Expert),
    ("ffn_gate_up_exps", Role::ExpertUp, Class::Experts, Shard::Expert),
    ("ffn_down_exps", Role::ExpertDown, Class::Experts, Shard::Expert),
    ("ffn_latent_down", Role::ExpertsIn, Class::Experts, Shard::Replicated),
    ("ffn_latent_up", Role::ExpertsOut, Class::Experts, Shard::Replicated),
    ("ffn_gate_shexp", Role::SharedGate, Class::Shared, Shard::Split),
    ("ffn_up_shexp", Role::SharedUp, Class::Shared, Shard::Split),
    ("ffn_down_shexp", Role::SharedDown, Class::Shared, Shard::Split),
    ("ffn_gate_inp_shexp", Role::SharedRouter, Class::Shared, Shard::Replicated),
    ("nextn.eh_proj", Role::PredictionJoin, Class::Other, Shard::Replicated),
];

/// Beginnings of the names of towers and their projectors: vision, audio, `mmproj`.
const TOWERS: &[&str] = &["v.", "a.", "mm.", "resampler.", "mtp_vision."];

/// Whether a tensor belongs to a vision or audio tower or its projector.
pub fn is_tower(name: &str) -> bool {
    TOWERS.iter().any(|start| name.starts_with(start))
}

/// The weights of a model read from a file, each tensor with its own type.
pub fn entries(model: &ModelSpec) -> Vec<Entry> {
    model.stored.iter().flat_map(|stored| entry(stored, model)).collect()
}

/// Parameters in the file.
pub fn params(stored: &[StoredTensor]) -> u64 {
    let times = |one: &StoredTensor| one.at.as_ref().map_or(1, |at| at.len() as u64);
    let each = |one: &StoredTensor| one.shape.iter().fold(1, |product: u64, n| product.saturating_mul(*n));
    stored.iter().map(|one| each(one).saturating_mul(times(one))).fold(0, u64::saturating_add)
}

/// One tensor of the layers and of the prediction layers that hold it.
fn entry(stored: &StoredTensor, model: &ModelSpec) -> Vec<Entry> {
    let Some(named) = format(&stored.format) else { return Vec::new() };
    let tensor = tensor(stored, model);
    let each = Bytes::new(named.format.row(tensor.cols) * (tensor.rows * tensor.copies) as f64);
    let at = |place: Place| Entry { tensor, place, stored: named, each };
    let Some(layers) = &stored.at else { return vec![at(place_outside(stored, tensor.role))] };
    let (inside, beyond): (Vec<u32>, Vec<u32>) =
        layers.iter().partition(|layer| *layer < model.layer_count());
    let inside = (!inside.is_empty()).then(|| at(Place::Layers(LayerSet::new(inside))));
    let beyond = (!beyond.is_empty()).then(|| at(Place::Prediction(beyond.len() as u64)));
    inside.into_iter().chain(beyond).collect()
}

/// Where a tensor outside the layers lives.
fn place_outside(stored: &StoredTensor, role: Role) -> Place {
    match role {
        Role::Embedding => Place::Input,
        Role::LookupTable => Place::Lookup,
        _ if is_tower(&stored.name) => Place::Tower,
        // Norms of the embedding and rotary tables are small; the device of the output holds them.
        _ => Place::Output,
    }
}

/// What a tensor does, from its name and shape.
fn tensor(stored: &StoredTensor, model: &ModelSpec) -> Tensor {
    let dimension = |place: usize| stored.shape.get(place).copied().unwrap_or(1);
    let (cols, rest) = (dimension(0), dimension(1) * dimension(2) * dimension(3));
    let base = stored.name.strip_suffix(".weight");
    let known = base.and_then(|base| MATRICES.iter().find(|(name, ..)| *name == base));
    if is_tower(&stored.name) {
        return Tensor::matrix(Role::Tower, Class::Tower, rest, cols, Shard::Replicated);
    }
    match known {
        Some((_, role, class, shard)) if stored.shape.len() > 2 => {
            let copies = dimension(2) * dimension(3);
            Tensor::stack(*role, *class, copies, dimension(1), cols, *shard)
        }
        Some((_, role, class, shard)) => {
            let shard = match role {
                Role::Key | Role::Value => kv_heads(model).map_or(*shard, Shard::KvHeads),
                _ => *shard,
            };
            // A gate beside a convolution belongs to the linear mixer.
            let linear = *role == Role::AttentionGate && is_linear(stored, model);
            let (role, class) = if linear { (Role::LinearGate, Class::Linear) } else { (*role, *class) };
            let fused =
                role == Role::Query && stored.name.starts_with("attn_qkv") && is_linear(stored, model);
            let (role, class) = if fused { (Role::LinearIn, Class::Linear) } else { (role, class) };
            Tensor::matrix(role, class, rest, cols, shard)
        }
        // One row of biases per expert.
        None if stored.name.contains("_exps.") => {
            Tensor { copies: rest, ..Tensor::vector(Class::Experts, cols) }
        }
        None if rest == 1 => Tensor::vector(Class::Norms, cols),
        None => Tensor::matrix(Role::Other, Class::Other, rest, cols, Shard::Replicated),
    }
}

/// Key-value heads of the grouped attention of a model.
fn kv_heads(model: &ModelSpec) -> Option<u64> {
    model.block.values().find_map(|block| match block {
        Block::Grouped(attention) => Some(attention.kv_heads.get()),
        _ => None,
    })
}

/// Whether the first layer that holds a tensor mixes by a state rather than by attention.
fn is_linear(stored: &StoredTensor, model: &ModelSpec) -> bool {
    let first = stored.at.as_ref().and_then(|at| at.iter().next());
    let blocks = model.groups().find(|(group, _)| group.at.iter().any(|layer| Some(layer) == first));
    blocks.is_some_and(|(_, blocks)| {
        blocks.iter().any(|block| matches!(block, Block::Delta(_) | Block::ChannelDelta(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_listed_once() {
        let mut names: Vec<&str> = MATRICES.iter().map(|(name, ..)| *name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
