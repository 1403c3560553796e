//! The bytes of a checkpoint as the headers of its files list them: exact weights of a model whose
//! config says how it is stored only in words.
//!
//! What the files hold of a part replaces what the format implies for it, part by part and layer by
//! layer, in proportion to the tensors of the config. The sum is that of the files to the byte.

use crate::arithmetic::inventory::Place;
use crate::arithmetic::tensor::{Class, Role, Shard, Tensor};
use crate::arithmetic::weights::{Entry, Named};
use crate::catalogue::model::{HeldBytes, LayerSet, Part};
use crate::units::Bytes;
use std::collections::BTreeMap;

/// Entries by rule, brought to what the files hold; `plain` names the format of what no rule knows.
pub(super) fn fit(entries: Vec<Entry>, held: &[HeldBytes], plain: Named) -> Vec<Entry> {
    let (layered, outside): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|one| matches!(one.place, Place::Layers(_)));
    let mut fitted = Vec::new();
    for part in [Part::Embedding, Part::Output, Part::Prediction, Part::Tower] {
        let of_part: Vec<&Entry> = outside.iter().filter(|one| part_of(&one.place) == Some(part)).collect();
        let bytes = held.iter().filter(|one| one.part == part).map(|one| one.bytes).sum::<u64>();
        let place = of_part.first().map_or_else(|| default_place(part), |one| one.place.clone());
        let ours: Bytes = of_part.iter().map(|one| one.bytes()).sum();
        fitted.extend(scaled(of_part.into_iter().cloned(), ours, bytes, &place, plain));
    }
    for part in [Part::Layers, Part::Experts] {
        let of_part: Vec<&Entry> = layered
            .iter()
            .filter(|one| (one.tensor.class == Class::Experts) == (part == Part::Experts))
            .collect();
        for (ours, bytes, layers) in alike(&of_part, held, part) {
            let place = Place::Layers(LayerSet::new(layers.clone()));
            let here = of_part.iter().filter_map(|one| {
                let Place::Layers(set) = &one.place else { return None };
                let both: Vec<u32> = set.iter().filter(|layer| layers.contains(layer)).collect();
                let place = Place::Layers(LayerSet::new(both.clone()));
                (!both.is_empty()).then(|| Entry { place, ..(*one).clone() })
            });
            fitted.extend(scaled(here, ours, bytes, &place, plain));
        }
    }
    fitted
}

/// Where a place is counted in a checkpoint.
const fn part_of(place: &Place) -> Option<Part> {
    match place {
        Place::Input | Place::Lookup => Some(Part::Embedding),
        Place::Output => Some(Part::Output),
        Place::Prediction(_) => Some(Part::Prediction),
        Place::Tower => Some(Part::Tower),
        Place::Layers(_) => None,
    }
}

const fn default_place(part: Part) -> Place {
    match part {
        Part::Embedding => Place::Input,
        Part::Prediction => Place::Prediction(1),
        Part::Tower => Place::Tower,
        Part::Output | Part::Layers | Part::Experts => Place::Output,
    }
}

/// Layers in which the rule and the files say the same: bytes of one by rule, in the files, and which.
fn alike(entries: &[&Entry], held: &[HeldBytes], part: Part) -> Vec<(Bytes, u64, Vec<u32>)> {
    let mut layers: BTreeMap<u32, (Bytes, u64)> = BTreeMap::new();
    for one in entries {
        if let Place::Layers(set) = &one.place {
            for layer in set.iter() {
                layers.entry(layer).or_default().0 += one.each;
            }
        }
    }
    for one in held.iter().filter(|one| one.part == part) {
        for layer in one.at.iter().flat_map(LayerSet::iter) {
            layers.entry(layer).or_default().1 += one.bytes;
        }
    }
    let mut groups: BTreeMap<(u64, u64), (Bytes, Vec<u32>)> = BTreeMap::new();
    for (layer, (ours, bytes)) in layers {
        groups.entry((ours.get().to_bits(), bytes)).or_insert_with(|| (ours, Vec::new())).1.push(layer);
    }
    groups.into_iter().map(|((_, bytes), (ours, layers))| (ours, bytes, layers)).collect()
}

/// Entries that sum to `ours`, brought to `bytes`; what no entry stands for is a tensor of its own.
fn scaled(
    entries: impl Iterator<Item = Entry>,
    ours: Bytes,
    bytes: u64,
    place: &Place,
    plain: Named,
) -> Vec<Entry> {
    let bytes = Bytes::new(bytes as f64);
    if bytes <= Bytes::ZERO {
        return Vec::new();
    }
    if ours <= Bytes::ZERO {
        let weights = (bytes.get() * 8.0 / plain.format.bits()) as u64;
        let role =
            if *place == Place::Tower { (Role::Tower, Class::Tower) } else { (Role::Other, Class::Other) };
        let tensor = Tensor::matrix(role.0, role.1, 1, weights.max(1), Shard::Replicated);
        return vec![Entry { tensor, place: place.clone(), stored: plain, each: bytes }];
    }
    let factor = bytes / ours;
    let mut entries: Vec<Entry> =
        entries.map(|one| Entry { each: Bytes::new((one.each * factor).get().floor()), ..one }).collect();
    // Whole bytes, the rest with the largest tensor. Of layers, `ours` and `bytes` are those of one.
    let times = |one: &Entry| if matches!(place, Place::Layers(_)) { 1.0 } else { one.times() as f64 };
    let rest = bytes - entries.iter().map(|one| one.each * times(one)).sum::<Bytes>();
    if let Some(largest) = entries.iter_mut().max_by(|a, b| a.each.get().total_cmp(&b.each.get())) {
        largest.each += rest / times(largest);
    }
    entries
}
