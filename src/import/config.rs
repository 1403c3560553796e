//! A `config.json` of the hub to a model spec.
//!
//! One path reads the keys all architectures share; `dialect` holds what each leaves unsaid. A
//! `model_type` not known there is read by the plain rules, and the spec says so.

use super::assemble::{Names, groups};
use super::dialect::{self, Dialect};
use super::fields::Fields;
use super::mixers::{self, Mixer, layout};
use super::unread::unread;
use super::{ImportError, extra, feed_forward, native, prediction, too_large};
use crate::catalogue::check::faults;
use crate::catalogue::decode::Count;
use crate::catalogue::model::{Block, Grade, HyperConnections, ModelSpec, Provenance};
use serde_json::{Map, Value};

/// More layers than any model has; a typing error must not fill the memory.
const MOST_LAYERS: u64 = 2000;

/// Reads a `config.json`. `name` becomes the name of the model and, in lower case, its id.
///
/// # Errors
/// Everything that is missing or wrong, at once.
pub fn from_config(text: &str, name: &str) -> Result<ModelSpec, ImportError> {
    parsed(text, name).map(|(spec, _)| spec)
}

/// Reads the `config.json` of a repository, which may say what is not understood: its caveat names it.
///
/// # Errors
/// As [`from_config`].
pub fn from_published(text: &str, name: &str) -> Result<ModelSpec, ImportError> {
    let (mut spec, unread) = parsed(text, name)?;
    if let Some(unread) = unread {
        let before = spec.config.caveat.take();
        spec.config.caveat = Some(before.into_iter().chain([unread]).collect::<Vec<_>>().join("; "));
    }
    Ok(spec)
}

/// The spec, and which keys nobody understood.
fn parsed(text: &str, name: &str) -> Result<(ModelSpec, Option<String>), ImportError> {
    let fail = |problems: Vec<String>| ImportError { name: name.to_owned(), problems };
    let root: Value = serde_json::from_str(text).map_err(|fault| fail(vec![format!("not JSON: {fault}")]))?;
    let root = root.as_object().ok_or_else(|| fail(vec!["not a table of keys".to_owned()]))?;
    let fields = Fields::new(root);
    let (kind, dialect) = architecture(root, &fields);
    let layer_count = layout(&fields).map_or_else(
        || fields.need(&["num_hidden_layers", "num_layers", "n_layer"]),
        |letters| fields.count(&["num_hidden_layers"]).unwrap_or(letters.len() as u64),
    );
    if layer_count > MOST_LAYERS {
        return Err(fail(vec![format!("{layer_count} layers are more than any model has")]));
    }
    let spec = read(&fields, dialect, kind, layer_count, name);
    let mut problems = fields.problems();
    if problems.is_empty() {
        problems.extend(faults(&spec).into_iter().map(|fault| fault.message));
    }
    if problems.is_empty() {
        problems.extend(too_large(&spec));
    }
    if problems.is_empty() { Ok((spec, unread(&fields))) } else { Err(fail(problems)) }
}

/// The `model_type` and its rules: of the whole file if known, else of its text model or of the class
/// that runs it, else the plain ones.
fn architecture<'a>(root: &'a Map<String, Value>, fields: &Fields<'a>) -> (&'a str, &'static Dialect) {
    let outer = root.get("model_type").and_then(Value::as_str);
    let class = fields.words("architectures").and_then(|classes| dialect::of_class(classes.first()?));
    let candidates = [outer, fields.text("model_type"), class];
    let found = candidates.into_iter().flatten().find_map(|kind| Some((kind, dialect::known(kind)?)));
    found.unwrap_or_else(|| {
        let kind = outer.unwrap_or("");
        let near = dialect::nearest_type(kind)
            .map_or_else(String::new, |near| format!(" (nearest known: `{near}`)"));
        fields.assume(if kind.is_empty() {
            "no `model_type`: read as a Llama".to_owned()
        } else {
            format!("`model_type` `{kind}` is not known{near}: read by the common keys alone")
        });
        (kind, &dialect::PLAIN)
    })
}

/// The spec, with stand-ins for what is missing.
fn read(fields: &Fields, dialect: &Dialect, kind: &str, layer_count: u64, name: &str) -> ModelSpec {
    let mut names = Names::default();
    let kinds = mixers::kinds(fields, dialect, layer_count);
    let layers: Vec<Vec<String>> = (0..layer_count)
        .zip(&kinds)
        .map(|(layer, mixer)| names.layer(layer_blocks(fields, dialect, *mixer, layer)))
        .collect();
    let mtp = prediction::layers(fields, dialect, &kinds, &mut names);
    if fields.has("vision_config") || fields.has("audio_config") {
        fields.assume("the vision or audio tower is not counted: the config does not give its parameters");
    }
    let native = native::formats(fields);
    let known = !fields.assumed().iter().any(|note| note.contains("model_type"));
    if !known {
        assume_defaults(fields);
    }
    let assumed = fields.assumed();
    ModelSpec {
        id: slug(name),
        name: name.to_owned(),
        hub: None,
        aliases: Vec::new(),
        family: dialect
            .family
            .filter(|_| known)
            .unwrap_or(if kind.is_empty() { "unknown" } else { kind })
            .to_owned(),
        released: None,
        licence: None,
        context: Count::new(
            fields.count(&["max_position_embeddings", "max_sequence_length"]).unwrap_or_else(|| {
                fields.problem("lacks `max_position_embeddings`");
                1
            }),
        ),
        hidden: Count::new(fields.need(&["hidden_size"])),
        vocabulary: Count::new(fields.need(&["vocab_size"])),
        tied_embeddings: fields.flag("tie_word_embeddings").unwrap_or(dialect.tied),
        config: Provenance {
            grade: if known { Grade::Published } else { Grade::Partial },
            sources: Vec::new(),
            note: None,
            caveat: (!assumed.is_empty()).then(|| assumed.join("; ")),
            cache_unknown: false,
        },
        published: None,
        native,
        layers: groups(&layers, dialect.norms + extra_norms(fields)),
        block: names.into_blocks(),
        mtp,
        tower: Vec::new(),
        extra: extra::weights(fields, kind, layer_count),
        stored: Vec::new(),
        held: Vec::new(),
        quality: Vec::new(),
        api: Vec::new(),
    }
}

/// Says what is taken for keys that an unknown architecture leaves out.
fn assume_defaults(fields: &Fields) {
    for (key, meaning) in [
        ("num_key_value_heads", "as many key-value as query heads"),
        ("head_dim", "heads that share the width"),
        ("tie_word_embeddings", "an output matrix of its own"),
    ] {
        let latent = fields.has("kv_lora_rank") && key != "tie_word_embeddings";
        if !fields.has(key) && !latent {
            fields.assume(format!("no `{key}`: {meaning}"));
        }
    }
}

/// The blocks of one layer in the order they run.
pub(super) fn layer_blocks(fields: &Fields, dialect: &Dialect, mixer: Mixer, layer: u64) -> Vec<Block> {
    let mut blocks = mixers::blocks(fields, dialect, mixer, layer);
    // LongCat runs attention and dense feed-forward twice beside one set of experts.
    if fields.has("zero_expert_num") {
        let dense = Block::Dense(feed_forward::dense(fields, dialect, layer));
        let experts = feed_forward::blocks(fields, dialect, layer);
        return [blocks.clone(), vec![dense.clone()], blocks, vec![dense], experts].concat();
    }
    blocks.extend(feed_forward::blocks(fields, dialect, layer));
    if let Some(streams) = fields.count(&["hc_mult"]) {
        blocks.push(Block::Hyper(HyperConnections { streams: Count::new(streams), sites: Count::new(2) }));
    }
    blocks
}

/// Norms a layer has beside those of its dialect.
fn extra_norms(fields: &Fields) -> u64 {
    // Gemma 4 norms the experts beside the dense feed-forward: before, after, and in the router.
    if fields.flag("enable_moe_block") == Some(true) { 3 } else { 0 }
}

/// A name as an id: lower case, words joined by hyphens.
pub(super) fn slug(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let words: Vec<&str> = last
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .filter(|word| !word.is_empty())
        .collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::inventory::Inventory;
    use serde_json::json;

    fn llama() -> Value {
        json!({
            "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
            "vocab_size": 128_256, "max_position_embeddings": 131_072
        })
    }

    fn with(mut config: Value, changes: &[(&str, Value)]) -> String {
        for (key, value) in changes {
            config[*key] = value.clone();
        }
        config.to_string()
    }

    #[test]
    fn llama_reads() {
        let spec = from_config(&llama().to_string(), "Meta-Llama/Llama_3.1 8B").unwrap();
        assert_eq!(spec.id, "llama-3.1-8b");
        assert_eq!(spec.layers[0].at.to_string(), "0-31");
        assert_eq!(Inventory::of(&spec).total(), 8_030_261_248);
        assert_eq!(spec.config.caveat, None);
    }

    #[test]
    fn everything_missing_is_told_at_once() {
        let error = from_config(r#"{"model_type": "llama", "hidden_size": "x"}"#, "m").unwrap_err();
        for key in
            ["num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size"]
        {
            assert!(error.problems.iter().any(|problem| problem.contains(key)), "{key}: {error}");
        }
        assert!(from_config("[]", "m").is_err());
        assert!(from_config("{", "m").is_err());
    }

    #[test]
    fn unknown_types_are_read_with_a_caveat() {
        let spec = from_config(&with(llama(), &[("model_type", json!("lama"))]), "m").unwrap();
        assert_eq!(spec.config.grade, Grade::Partial);
        let caveat = spec.config.caveat.unwrap();
        assert!(caveat.contains("nearest known: `llama`") && caveat.contains("no `head_dim`"), "{caveat}");
    }

    #[test]
    fn fields_nobody_knows_are_named_and_harmless_ones_are_not() {
        let changes = [
            ("ring_buffer_layers", json!([3, 7])),
            ("memory_tokens", json!(64)),
            ("router_kind", json!("spiral")),
            ("tie_word_embeddings", json!(false)),
            ("rope_theta", json!(500_000.0)),
            ("bos_token_id", json!(1)),
            ("attention_dropout", json!(0.1)),
            ("quantum_layers", json!(false)),
        ];
        let spec = from_published(&with(llama(), &changes), "m").unwrap();
        let expected = "not understood and not counted: `memory_tokens`, `ring_buffer_layers`, `router_kind`";
        assert_eq!(spec.config.caveat.as_deref(), Some(expected));
        assert_eq!(Inventory::of(&spec).total(), 8_030_261_248);
    }

    /// Everything the common keys prove is kept: the parameters are those of the same Llama.
    #[test]
    fn an_architecture_nobody_knows_gives_what_its_keys_prove() {
        let changes = [
            ("model_type", json!("zorp")),
            ("zorp_state_size", json!(16)),
            ("architectures", json!(["ZorpForCausalLM"])),
        ];
        let spec = from_published(&with(llama(), &changes), "m").unwrap();
        assert_eq!((spec.family.as_str(), spec.config.grade), ("zorp", Grade::Partial));
        assert_eq!(Inventory::of(&spec).total(), 8_030_261_248);
        let expected = "`model_type` `zorp` is not known: read by the common keys alone; no `head_dim`: heads that \
            share the width; no `tie_word_embeddings`: an output matrix of its own; not understood and not \
            counted: `zorp_state_size`";
        assert_eq!(spec.config.caveat.as_deref(), Some(expected));
    }

    #[test]
    fn contradictions_are_refused() {
        for changes in [
            ("num_key_value_heads", json!(5)),
            ("num_hidden_layers", json!(1_000_000)),
            ("vocab_size", json!(-1)),
            ("hidden_size", json!(90_000_000)),
            ("layer_types", json!(["full_attention"])),
            ("layer_types", json!(vec!["dreaming"; 32])),
        ] {
            assert!(from_config(&with(llama(), std::slice::from_ref(&changes)), "m").is_err(), "{changes:?}");
        }
    }

    #[test]
    fn layers_may_be_counted_by_their_list() {
        let changes = [
            ("model_type", json!("nemotron_h")),
            ("num_hidden_layers", Value::Null),
            ("layers_block_type", json!(["attention", "mlp", "attention"])),
        ];
        let spec = from_config(&with(llama(), &changes), "m").unwrap();
        assert_eq!(spec.layers[0].at.to_string(), "0, 2");
        let Block::Grouped(attention) = &spec.block["attention"] else { panic!("no attention") };
        assert!(!attention.shares_cache);
    }

    proptest::proptest! {
        #[test]
        fn no_config_panics(key in 0usize..9, value in proptest::num::u64::ANY) {
            let keys = ["hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                "num_experts", "num_experts_per_tok", "kv_lora_rank", "sliding_window", "hc_mult"];
            let spec = from_config(&with(llama(), &[(keys[key], json!(value % 100_000_000))]), "m");
            if let Ok(spec) = spec {
                Inventory::of(&spec).total();
            }
        }
    }
}
