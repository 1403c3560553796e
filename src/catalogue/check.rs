//! Whether a model could exist: what its keys say apart may contradict together.
//!
//! [`faults`] judges a spec wherever it came from; [`read_model`] reads the text of a file and
//! shows each fault at its place.

use crate::catalogue::decode::{BadFile, Problems, decode_text};
use crate::catalogue::model::{Block, Indexer, ModelSpec};
use crate::catalogue::nearest::nearest;
use serde_json::Value;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// No dimension of a block comes near this; products of three stay exact.
const LARGEST_DIMENSION: u64 = 1_000_000;

/// No table of a model has more rows, and no sequence more tokens.
const LARGEST_COUNT: u64 = 1_000_000_000;

/// Something that cannot be, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Keys from the top of the file; lists by position.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// A short remark for the place.
    pub label: String,
    /// What might have been meant.
    pub hint: Option<String>,
}

impl Fault {
    fn new(path: &[&str], message: impl Into<String>, label: impl Into<String>) -> Self {
        let path = path.iter().map(|step| (*step).to_owned()).collect();
        Self { path, message: message.into(), label: label.into(), hint: None }
    }
}

/// Reads a model spec and checks that the model could exist.
///
/// # Errors
/// All problems of the text, each with its place.
pub fn read_model(file: &str, text: &str) -> Result<ModelSpec, BadFile> {
    let spec: ModelSpec = decode_text(file, text, 1)?;
    let mut problems = Problems::default();
    for fault in faults(&spec) {
        let span = place(text, &fault.path);
        problems.push_hint(span, fault.message, fault.label, fault.hint);
    }
    if problems.is_empty() {
        return Ok(spec);
    }
    let problems = problems.into_sorted();
    Err(BadFile { file: file.to_owned(), text: text.to_owned(), first_line: 1, problems })
}

/// Everything about a model that cannot be.
pub fn faults(spec: &ModelSpec) -> Vec<Fault> {
    let mut list = dimensions(spec);
    list.extend(layers(spec));
    for (name, block) in &spec.block {
        list.extend(block_faults(name, block));
    }
    if let Some(mtp) = &spec.mtp {
        list.extend(unknown_blocks(spec, &["mtp", "blocks"], &mtp.blocks));
    }
    list
}

/// Figures no model has, which would overflow what is computed from them.
fn dimensions(spec: &ModelSpec) -> Vec<Fault> {
    let tops = [
        ("hidden", spec.hidden.get(), LARGEST_DIMENSION),
        ("vocabulary", spec.vocabulary.get(), LARGEST_COUNT),
        ("context", spec.context.get(), LARGEST_COUNT),
    ];
    let mut list: Vec<Fault> = tops
        .into_iter()
        .filter(|(_, figure, most)| figure > most)
        .map(|(key, figure, most)| {
            Fault::new(&[key], format!("`{key}` is {figure}"), format!("at most {most}"))
        })
        .collect();
    for (name, block) in &spec.block {
        let Ok(Value::Object(keys)) = serde_json::to_value(block) else { continue };
        for (key, value) in keys.iter().filter(|(key, _)| *key != "other_params") {
            let figures = value.as_object().map_or_else(|| vec![value], |inner| inner.values().collect());
            if figures.iter().filter_map(|figure| figure.as_u64()).any(|figure| figure > LARGEST_DIMENSION) {
                let label = format!("at most {LARGEST_DIMENSION}");
                list.push(Fault::new(
                    &["block", name, key],
                    format!("`{key}` is larger than any model's"),
                    label,
                ));
            }
        }
    }
    list
}

/// Layer groups: known blocks, and every layer once.
fn layers(spec: &ModelSpec) -> Vec<Fault> {
    let mut list = Vec::new();
    if spec.layers.is_empty() {
        list.push(Fault::new(&[], "the model has no layers", "expected `[[layers]]`"));
    }
    let mut seen = Vec::new();
    for (position, group) in spec.layers.iter().enumerate() {
        let position = position.to_string();
        list.extend(unknown_blocks(spec, &["layers", &position, "blocks"], &group.blocks));
        if let Some(twice) = group.at.iter().find(|layer| seen.contains(layer)) {
            let path = ["layers", &position, "at"];
            list.push(Fault::new(&path, format!("layer {twice} is in two groups"), "already given above"));
        }
        seen.extend(group.at.iter());
    }
    seen.sort_unstable();
    seen.dedup();
    // Up to the last layer named: counting names would turn an overlap into a gap at the end.
    let count = seen.last().map_or(0, |last| last + 1);
    if let Some(missing) = (0..count).find(|layer| seen.binary_search(layer).is_err()) {
        let path = ["layers", "0", "at"];
        list.push(Fault::new(
            &path,
            format!("layer {missing} is in no group"),
            "layers count from 0 without gaps",
        ));
    }
    list
}

/// Names of blocks that are not defined.
fn unknown_blocks(spec: &ModelSpec, path: &[&str], names: &[String]) -> Vec<Fault> {
    let known = || spec.block.keys().map(String::as_str);
    let unknown = names.iter().enumerate().filter(|(_, name)| !spec.block.contains_key(*name));
    unknown
        .map(|(position, name)| {
            let position = position.to_string();
            let path: Vec<&str> = path.iter().copied().chain([position.as_str()]).collect();
            let hint = nearest(name, known()).map_or_else(
                || format!("define it as `[block.{name}]`"),
                |near| format!("did you mean `{near}`?"),
            );
            let fault = Fault::new(&path, format!("no block is named `{name}`"), "not a block of this file");
            Fault { hint: Some(hint), ..fault }
        })
        .collect()
}

/// What contradicts within a block.
fn block_faults(name: &str, block: &Block) -> Vec<Fault> {
    let mut list = Vec::new();
    let mut divides = |key: &str, part: u64, whole_key: &str, whole: u64| {
        if !whole.is_multiple_of(part) {
            let message = format!("`{key}` = {part} does not divide `{whole_key}` = {whole}");
            list.push(Fault::new(&["block", name, key], message, "must divide evenly"));
        }
    };
    match block {
        Block::Grouped(block) => divides("kv_heads", block.kv_heads.get(), "heads", block.heads.get()),
        Block::Compressed(block) => {
            let width = block.heads.get().saturating_mul(block.head_dim.get());
            divides("out_groups", block.out_groups.get(), "heads x head_dim", width);
        }
        Block::Delta(block) => {
            divides("key_heads", block.key_heads.get(), "value_heads", block.value_heads.get());
        }
        Block::Mamba2(block) => {
            divides("heads", block.heads.get(), "inner", block.inner.get());
            divides("groups", block.groups.get(), "heads", block.heads.get());
        }
        Block::Latent(_)
        | Block::ChannelDelta(_)
        | Block::Mamba1(_)
        | Block::ShortConv(_)
        | Block::Dense(_)
        | Block::Experts(_)
        | Block::Hyper(_) => {}
    }
    if let Block::Compressed(block) = block {
        if block.rope_dim > block.head_dim {
            let message = "the rotary part is wider than the head";
            list.push(Fault::new(&["block", name, "rope_dim"], message, "at most `head_dim`"));
        }
        list.extend(indexer_without_entries(name, block.ratio, block.indexer.as_ref()));
    }
    if let Block::Experts(block) = block {
        let routed = block.count.get() + block.zero_experts.unwrap_or(0);
        if block.active.get() > routed {
            let message = format!("a token chooses {} of {routed} experts", block.active.get());
            list.push(Fault::new(&["block", name, "active"], message, "more than there are"));
        }
    }
    list
}

/// An indexer chooses among compressed entries: without them it has nothing to choose from.
fn indexer_without_entries(name: &str, ratio: u64, indexer: Option<&Indexer>) -> Option<Fault> {
    (ratio == 0 && indexer.is_some()).then(|| {
        let message = "an indexer needs compressed entries to choose from";
        Fault::new(&["block", name, "indexer"], message, "`ratio` is 0")
    })
}

/// The place of a path in a text: the innermost part of it that is there.
fn place(text: &str, path: &[String]) -> Range<usize> {
    let (root, _) = DeTable::parse_recoverable(text);
    let span = root.span();
    let root = Spanned::new(span, DeValue::Table(root.into_inner()));
    let mut here = &root;
    for step in path {
        let inner = match here.get_ref() {
            DeValue::Table(table) => table.get(step.as_str()),
            DeValue::Array(items) => step.parse::<usize>().ok().and_then(|position| items.get(position)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        let Some(inner) = inner else { break };
        here = inner;
    }
    here.span()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
id = "small"
name = "Small"
family = "test"
context = 4096
hidden = 64
vocabulary = 1000

[[layers]]
at = "0-1"
blocks = ["attention", "experts"]

[block.attention]
kind = "grouped"
heads = 8
kv_heads = 4
head_dim = 8

[block.experts]
kind = "experts"
count = 8
active = 2
width = 32

[native]
default = "bf16"

[config]
grade = "published"
"#;

    fn told(text: &str) -> Vec<(String, String)> {
        let bad = read_model("small.toml", text).unwrap_err();
        let at = |span: &Range<usize>| text[span.clone()].to_owned();
        bad.problems.iter().map(|problem| (problem.message.clone(), at(&problem.span))).collect()
    }

    #[test]
    fn a_sound_model_reads() {
        assert_eq!(read_model("small.toml", SMALL).unwrap().layer_count(), 2);
    }

    #[test]
    fn contradictions_are_shown_in_place() {
        let text = SMALL
            .replace("kv_heads = 4", "kv_heads = 3")
            .replace("active = 2", "active = 9")
            .replace("\"experts\"]", "\"expert\"]")
            .replace("hidden = 64", "hidden = 64000000");
        let told = told(&text);
        let places: Vec<&str> = told.iter().map(|(_, place)| place.as_str()).collect();
        assert_eq!(places, ["64000000", "\"expert\"", "3", "9"], "{told:?}");
    }

    #[test]
    fn every_layer_once() {
        let twice = SMALL.to_owned() + "\n[[layers]]\nat = \"1\"\nblocks = [\"attention\"]\n";
        assert_eq!(told(&twice), [("layer 1 is in two groups".to_owned(), "\"1\"".to_owned())]);
        let gap = SMALL.replace("0-1", "0, 2");
        assert_eq!(told(&gap)[0].0, "layer 1 is in no group");
    }
}
