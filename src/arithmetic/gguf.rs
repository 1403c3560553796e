//! Weights in a GGUF file: which tensors it holds, and how a mix stores each of them.
//!
//! Size = sum over tensors of rows · bytes of a row, padded to 32 bytes each, plus a header of
//! tokenizer, metadata and one record per tensor. Towers are files of their own and not counted.
//! What converters do that the shape of a model does not say stands in `gguf.toml`.

use crate::arithmetic::formats::named;
use crate::arithmetic::inventory::{Inventory, Item, Place};
use crate::arithmetic::mix::{Mix, Part, Shape, Standing, fallback};
use crate::arithmetic::tensor::{Role, Tensor};
use crate::arithmetic::weights::{Entry, Named};
use crate::catalogue::decode::decode_text;
use crate::catalogue::model::{Block, LayerSet, ModelSpec};
use crate::table;
use crate::units::Bytes;
use std::sync::LazyLock;

table! {
    /// What converters do that the shape of a model does not say.
    pub struct Converters ("converter rules") {
        /// Families whose files hold the prediction layers.
        pub prediction: Vec<String>,
        /// Models whose files hold them only when made by Unsloth.
        pub prediction_resaved: Vec<String>,
        /// Models whose tied output matrix is stored a second time.
        pub output_twice: Vec<String>,
        /// Families whose queries, keys and values are one tensor.
        pub fused_attention: Vec<String>,
        /// Families with the 70B class that stores values in more bits.
        pub seventy: Vec<String>,
        /// Models that keep their experts in the format of the checkpoint at every label.
        pub native_experts: Vec<String>,
        /// Families whose tokenizer scores its entries and has no merges.
        pub scored_tokenizer: Vec<String>,
        /// Bytes of such a tokenizer per entry of the vocabulary.
        pub scored_bytes: f64,
        /// Bytes of a tokenizer with merges per entry of the vocabulary.
        pub tokenizer_bytes: f64,
        /// Bytes of the record of a tensor.
        pub record_bytes: f64,
        /// Bytes tensors are aligned to.
        pub alignment: f64,
        /// Half width of the 10-90 % interval of a mix, as a share of the file.
        pub mix_spread: f64,
        /// The same where a publisher is known to use rules of their own under the plain label.
        pub publisher_spread: f64,
        /// The same of a recipe with types of `ik_llama.cpp`.
        pub recipe_spread: f64,
        /// Where this was read.
        pub source: String,
    }
}

static CONVERTERS: LazyLock<Converters> = LazyLock::new(|| {
    decode_text("gguf.toml", include_str!("gguf.toml"), 1).expect("the shipped file is tested")
});

/// How a GGUF file was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The mix.
    pub mix: Mix,
    /// How embedding and output matrix depart from the mix.
    pub embeddings: Embeddings,
    /// Quantised with an importance matrix.
    pub imatrix: bool,
    /// Holds the prediction layers; as converters do by default unless given.
    pub prediction: Option<bool>,
    /// Made from a checkpoint that was saved anew: matrices fused by its maker are split, a tied
    /// output matrix is not stored again.
    pub resaved: bool,
}

/// How embedding and output matrix depart from the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embeddings {
    /// As the mix says.
    Mixed,
    /// Both in 8 bits: `_l` and `_xl` of bartowski.
    Large,
    /// The embedding in 4 bits where it is not the output matrix: `q2_k_l` of Unsloth.
    Medium,
}

impl Recipe {
    /// A mix as most publishers make it today: with an importance matrix.
    pub const fn of(mix: Mix) -> Self {
        Self { mix, embeddings: Embeddings::Mixed, imatrix: true, prediction: None, resaved: false }
    }

    /// The tensors of the file with their formats.
    pub fn entries(&self, model: &ModelSpec, inventory: &Inventory) -> Vec<Entry> {
        let file = File::new(self, model, inventory);
        file.entries()
    }
}

/// Header of a file that holds these entries: tokenizer and one record per tensor.
pub fn header(model: &ModelSpec, entries: &[Entry]) -> Bytes {
    let tensors: u64 = entries.iter().map(Entry::times).sum();
    let padding = |one: &Entry| {
        let rest = one.each.get() % CONVERTERS.alignment;
        if rest > 0.0 { (CONVERTERS.alignment - rest) * one.times() as f64 } else { 0.0 }
    };
    let padding: f64 = entries.iter().map(padding).sum();
    let vocabulary = model.vocabulary.get() as f64;
    let scored = CONVERTERS.scored_tokenizer.contains(&model.family);
    let each = if scored { CONVERTERS.scored_bytes } else { CONVERTERS.tokenizer_bytes };
    Bytes::new(vocabulary * each + tensors as f64 * CONVERTERS.record_bytes + padding)
}

/// How far published files of a mix stray from its rule, as a share.
pub(crate) fn mix_spread() -> f64 {
    CONVERTERS.mix_spread
}

/// How far files of publishers with rules of their own stray from the mix of their label.
pub(crate) fn publisher_spread() -> f64 {
    CONVERTERS.publisher_spread
}

/// How far published recipes with types of `ik_llama.cpp` stray from what is assumed of them.
pub(crate) fn recipe_spread() -> f64 {
    CONVERTERS.recipe_spread
}

/// Whether converters put the prediction layers of a model into its file.
fn holds_prediction(model: &ModelSpec, recipe: Recipe) -> bool {
    let named = |list: &[String]| list.contains(&model.family) || list.contains(&model.id);
    named(&CONVERTERS.prediction) || (recipe.resaved && named(&CONVERTERS.prediction_resaved))
}

/// Whether converters write queries, keys and values of a model as one tensor.
pub(crate) fn fuses_attention(model: &ModelSpec) -> bool {
    CONVERTERS.fused_attention.contains(&model.family)
}

/// Whether files of a model keep its experts in the format of the checkpoint at every label.
pub(crate) fn keeps_experts(model: &ModelSpec) -> bool {
    CONVERTERS.native_experts.contains(&model.id)
}

/// What decides on the format of a tensor.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// Always this one.
    Fixed(&'static str),
    /// A mix.
    Mixed(Mix),
}

/// One model under one recipe.
struct File<'a> {
    recipe: &'a Recipe,
    model: &'a ModelSpec,
    items: Vec<&'a Item>,
    output_twice: Option<Item>,
    own_output: bool,
    layers: u64,
    shape: Shape,
}

impl<'a> File<'a> {
    fn new(recipe: &'a Recipe, model: &'a ModelSpec, inventory: &'a Inventory) -> Self {
        let prediction = recipe.prediction.unwrap_or_else(|| holds_prediction(model, *recipe));
        let items: Vec<&Item> = inventory
            .items
            .iter()
            .filter(|item| match item.place {
                Place::Tower => false,
                Place::Prediction(_) => prediction,
                Place::Layers(_) | Place::Input | Place::Output | Place::Lookup => true,
            })
            .collect();
        let twice = CONVERTERS.output_twice.contains(&model.id) && !recipe.resaved;
        let output_twice = twice.then(|| items[0].clone());
        let output_twice = output_twice.map(|mut item| {
            item.tensor.role = Role::Output;
            item.place = Place::Output;
            item
        });
        let own_output = output_twice.is_some() || !inventory.tied;
        let layers = u64::from(model.layer_count());
        let predicted = items.iter().find_map(|item| match item.place {
            Place::Prediction(layers) => Some(layers),
            Place::Layers(_) | Place::Input | Place::Output | Place::Tower | Place::Lookup => None,
        });
        let mut file = Self {
            recipe,
            model,
            items,
            output_twice,
            own_output,
            layers,
            shape: Shape {
                layers: layers + predicted.unwrap_or(0),
                experts: experts(model),
                group: group(model),
                values: 0,
                seventy: layers == 80 && group(model) > 1 && CONVERTERS.seventy.contains(&model.family),
                imatrix: recipe.imatrix,
            },
        };
        let values = file.items.iter().filter(|item| file.part(item) == Part::Values);
        file.shape.values = values.map(|item| file.layers_of(item).len() as u64).sum();
        file
    }

    /// The layers of the file that hold a tensor; none outside layers.
    fn layers_of(&self, item: &Item) -> Vec<u32> {
        match &item.place {
            Place::Layers(layers) => {
                let mut layers: Vec<u32> = layers.iter().collect();
                layers.retain(|layer| u64::from(*layer) < self.shape.layers);
                layers
            }
            Place::Prediction(_) => (self.layers as u32..self.shape.layers as u32).collect(),
            Place::Input | Place::Output | Place::Tower | Place::Lookup => Vec::new(),
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let outside = self.items.iter().copied().chain(&self.output_twice);
        let outside = outside.filter(|item| !matches!(item.place, Place::Layers(_) | Place::Prediction(_)));
        let whole = |item: &Item| {
            let part = self.part(item);
            entry(item.tensor, item.place.clone(), self.first(self.rule(item, part), item, part))
        };
        let mut entries: Vec<Entry> = outside.map(whole).collect();
        let inside: Vec<(&Item, Part, Vec<u32>)> =
            self.items.iter().map(|item| (*item, self.part(item), self.layers_of(item))).collect();
        let mut standings = self.standings(&inside);
        let mut formats: Vec<(&Item, Named, Vec<u32>)> = Vec::new();
        for (item, part, layers) in inside.into_iter().filter(|(_, _, layers)| !layers.is_empty()) {
            let mix = match self.rule(item, part) {
                Rule::Mixed(mix) if mix.varies(part) => mix,
                rule => {
                    for layer in &layers {
                        standings[*layer as usize].pass(part);
                    }
                    formats.push((item, self.first(rule, item, part), layers));
                    continue;
                }
            };
            let (first, cols) = (formats.len(), row(&item.tensor));
            let mut wanted: Vec<(&str, usize)> = Vec::with_capacity(2);
            for layer in layers {
                let at = &mut standings[layer as usize];
                let word = mix.wanted(part, item.tensor.copies > 1, cols, *at, self.shape);
                at.pass(part);
                let known = wanted.iter().find(|(known, _)| *known == word).map(|(_, place)| *place);
                let place = known.unwrap_or_else(|| {
                    let stored = fallback(word, cols);
                    let same = formats[first..].iter().position(|(_, with, _)| with.name == stored.name);
                    let place = same.map_or(formats.len(), |place| first + place);
                    if same.is_none() {
                        formats.push((item, stored, Vec::new()));
                    }
                    wanted.push((word, place));
                    place
                });
                formats[place].2.push(layer);
            }
        }
        // In the order of the file, layer after layer.
        formats.sort_by_key(|(_, _, layers)| layers[0]);
        entries.extend(formats.into_iter().map(|(item, stored, layers)| {
            let place = match item.place {
                Place::Prediction(_) => Place::Prediction(layers.len() as u64),
                Place::Layers(_) | Place::Input | Place::Output | Place::Tower | Place::Lookup => {
                    Place::Layers(LayerSet::new(layers))
                }
            };
            entry(item.tensor, place, stored)
        }));
        entries
    }

    /// Where the first tensor of each layer stands.
    fn standings(&self, inside: &[(&Item, Part, Vec<u32>)]) -> Vec<Standing> {
        let mut standings: Vec<Standing> =
            (0..self.shape.layers).map(|layer| Standing { layer, values: 0, downs: 0 }).collect();
        for (_, part, layers) in inside {
            for layer in layers {
                standings[*layer as usize].pass(*part);
            }
        }
        let (mut values, mut downs) = (0, 0);
        for at in &mut standings {
            (values, at.values) = (values + at.values, values);
            (downs, at.downs) = (downs + at.downs, downs);
        }
        standings
    }

    /// The format of a tensor before all others of its part.
    fn first(&self, rule: Rule, item: &Item, part: Part) -> Named {
        let at = Standing { layer: 0, values: 0, downs: 0 };
        match rule {
            Rule::Fixed(name) => named(name),
            Rule::Mixed(mix) => mix.stored(part, item.tensor.copies > 1, row(&item.tensor), at, self.shape),
        }
    }

    /// What decides on the format of a tensor.
    fn rule(&self, item: &Item, part: Part) -> Rule {
        match item.tensor.role {
            Role::Vector | Role::Router | Role::SharedRouter | Role::Conv | Role::Mix => {
                return Rule::Fixed("f32");
            }
            Role::RouteTable => return Rule::Fixed("i32"),
            // Indexers that score blocks keep the type of the checkpoint.
            Role::IndexQuery | Role::IndexKey if self.scores_blocks() => return Rule::Fixed("bf16"),
            Role::ExpertGate | Role::ExpertUp | Role::ExpertDown if keeps_experts(self.model) => {
                return Rule::Fixed("mxfp4");
            }
            _ => {}
        }
        match (self.recipe.embeddings, part) {
            (Embeddings::Large, Part::Embedding | Part::Output) => Rule::Fixed("q8_0"),
            (Embeddings::Medium, Part::Embedding) => Rule::Fixed("q4_k"),
            // Unsloth's files of this mix are larger by 0.42 bits per weight of the experts, on nine of
            // eleven models: what a third of them in 5.5 bits instead of 4.25 adds.
            (_, Part::Down) if self.recipe.mix == Mix::Mxfp4Moe && self.recipe.resaved => {
                Rule::Mixed(Mix::Q5KS)
            }
            _ => Rule::Mixed(self.recipe.mix),
        }
    }

    /// What a tensor is to the quantiser.
    fn part(&self, item: &Item) -> Part {
        let fused = || fuses_attention(self.model) && !self.recipe.resaved;
        match item.tensor.role {
            // Prediction layers hold copies under other names, which no rule knows.
            Role::Embedding | Role::Output if matches!(item.place, Place::Prediction(_)) => Part::Rest,
            Role::Embedding if !self.own_output => Part::Output,
            Role::Embedding | Role::LookupTable => Part::Embedding,
            Role::Output => Part::Output,
            Role::Query | Role::Key | Role::Value if fused() => Part::Fused,
            Role::Query => Part::Queries,
            Role::Key => Part::Keys,
            Role::Value => Part::Values,
            Role::LinearIn if self.has_delta() => Part::Values,
            Role::AttentionOut => Part::AttentionOut,
            Role::DenseDown | Role::ExpertDown | Role::SharedDown => Part::Down,
            Role::DenseGate
            | Role::DenseUp
            | Role::ExpertGate
            | Role::ExpertUp
            | Role::SharedGate
            | Role::SharedUp => Part::GateUp,
            _ => Part::Rest,
        }
    }

    fn has_delta(&self) -> bool {
        self.model.block.values().any(|block| matches!(block, Block::Delta(_)))
    }

    fn scores_blocks(&self) -> bool {
        self.model
            .block
            .values()
            .any(|block| matches!(block, Block::Grouped(attention) if attention.blocks.is_some()))
    }
}

/// Length of a row; a tensor of unknown shape is as good as whole blocks.
fn row(tensor: &Tensor) -> u64 {
    match tensor.role {
        Role::Other | Role::LookupTable => 0,
        _ => tensor.cols,
    }
}

fn entry(tensor: Tensor, place: Place, stored: Named) -> Entry {
    let each = Bytes::new(stored.format.row(tensor.cols) * (tensor.rows * tensor.copies) as f64);
    Entry { tensor, place, stored, each }
}

/// Routed experts per layer; 0 without.
fn experts(model: &ModelSpec) -> u64 {
    let counts = model.block.values().map(|block| match block {
        Block::Experts(experts) => experts.count.get(),
        _ => 0,
    });
    counts.max().unwrap_or(0)
}

/// Query heads per key-value head as the file states them for the first layer: 0 where that layer
/// attends nothing, except beside gated delta layers, whose files give all layers one number.
fn group(model: &ModelSpec) -> u64 {
    let shared = |block: &Block| match block {
        Block::Grouped(attention) => Some(attention.heads.get() / attention.kv_heads.get()),
        // Cached as one head.
        Block::Latent(attention) => Some(attention.heads.get()),
        Block::Compressed(attention) => Some(attention.heads.get()),
        Block::Delta(_)
        | Block::ChannelDelta(_)
        | Block::Mamba1(_)
        | Block::Mamba2(_)
        | Block::ShortConv(_)
        | Block::Dense(_)
        | Block::Experts(_)
        | Block::Hyper(_) => None,
    };
    let first = model.groups().find(|(group, _)| group.at.iter().next() == Some(0));
    let blocks = first.map_or_else(Vec::new, |(_, blocks)| blocks);
    let delta = blocks.iter().any(|block| matches!(block, Block::Delta(_)));
    let elsewhere = model.block.values().find_map(shared).filter(|_| delta);
    blocks.iter().find_map(|block| shared(block)).or(elsewhere).unwrap_or(0)
}
