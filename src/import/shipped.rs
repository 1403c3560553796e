//! Published configs against the specs shipped for the same models: parameters, cache, bytes.
//!
//! `published_configs.jsonl` holds the config of every shipped model, one a line, as it was found.

use super::config::{from_config, from_published};
use crate::arithmetic::cache::components;
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::scheme::Scheme;
use crate::catalogue::model::ModelSpec;
use crate::catalogue::store::Catalogue;
use serde_json::{Value, json};

/// Copies that lost their `model_type` or carry a remark in its place, and the type of the family.
const TYPES: &[(&str, &str)] = &[
    ("gemma-2-2b", "gemma2"),
    ("gemma-2-9b", "gemma2"),
    ("gemma-2-27b", "gemma2"),
    ("gemma-3-1b", "gemma3_text"),
    ("gemma-3-4b", "gemma3"),
    ("gemma-3-12b", "gemma3"),
    ("gemma-3-27b", "gemma3"),
    ("qwen3-0.6b", "qwen3"),
    ("qwen3-1.7b", "qwen3"),
    ("qwen3-4b", "qwen3"),
    ("qwen3-8b", "qwen3"),
    ("qwen3-14b", "qwen3"),
    ("qwen3-32b", "qwen3"),
    ("mistral-large-3", "mistral_large3"),
];

/// Models whose spec knows more than the copy of their config: what differs, and why.
const DIFFERENT: &[(&str, &str, &[&str])] = &[
    (
        "the copy is not of the maker's repository, or says nothing of the format the maker ships",
        "bytes",
        &[
            "devstral-2-123b",
            "devstral-small-2",
            "gemma-4-31b",
            "kimi-k2.7-code",
            "ministral-3-14b",
            "ministral-3-3b",
            "ministral-3-8b",
            "nemotron-3.5-lightning-30b-a3b",
            "qwen3.6-27b",
            "qwen3.6-35b-a3b",
        ],
    ),
    (
        "the same, and the model card states another context",
        "bytes, context",
        &["mistral-large-3", "mistral-small-4-119b"],
    ),
    (
        "the model card states another context",
        "context",
        &[
            "command-a",
            "gemma-3-1b",
            "hunyuan-large",
            "lfm2-8b-a1b",
            "ling-1t",
            "mistral-large-2",
            "nemotron-3-super-120b-a12b",
            "phi-3.5-mini",
            "qwen2.5-1.5b",
            "qwen2.5-coder-14b",
            "qwen2.5-coder-32b",
            "qwen2.5-coder-7b",
        ],
    ),
    (
        "the config is silent on prediction layers that the parameter total of the files proves",
        "prediction, bytes",
        &[
            "ernie-4.5-21b-a3b",
            "hy3",
            "k-exaone-236b-a23b",
            "ling-3.0-flash",
            "longcat-flash",
            "mimo-v2-flash",
            "qwen3-next-80b-a3b",
        ],
    ),
    (
        "the files hold fewer prediction weights than the config of the family implies",
        "prediction, bytes",
        &["glm-4.6", "minimax-m3"],
    ),
    (
        "the copy leaves out that windowed layers have more query heads",
        "total, active, prediction, bytes, context",
        &["step-3.5-flash", "step-3.7-flash"],
    ),
    (
        "the copy holds eleven keys; the rest of the spec is assumed",
        "total, active, cache, bytes",
        &["hy4-preview"],
    ),
    ("the copy has a remark in place of its compression ratios", "refused", &["deepseek-v4.1-flash"]),
];

/// What differs between two specs of one model.
fn differences(imported: &ModelSpec, shipped: &ModelSpec) -> String {
    // Towers are sized by model cards and files, never by configs.
    let shipped = ModelSpec { tower: Vec::new(), ..shipped.clone() };
    let (ours, theirs) = (Inventory::of(imported), Inventory::of(&shipped));
    let native = Scheme::native();
    let bytes = |spec: &ModelSpec, inventory: &Inventory| native.weigh(spec, inventory).total().get();
    [
        ("total", ours.total() != theirs.total()),
        ("active", ours.active() != theirs.active()),
        ("prediction", ours.prediction() != theirs.prediction()),
        ("cache", components(imported) != components(&shipped)),
        ("bytes", (bytes(imported, &ours) - bytes(&shipped, &theirs)).abs() >= 1.0),
        ("context", imported.context != shipped.context),
    ]
    .into_iter()
    .filter_map(|(part, differs)| differs.then_some(part))
    .collect::<Vec<_>>()
    .join(", ")
}

/// The configs by the id of their model.
fn configs() -> Vec<(String, Value)> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/import/published_configs.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|mut line| (line["id"].as_str().unwrap().to_owned(), line["config"].take())).collect()
}

#[test]
#[allow(clippy::print_stdout, reason = "the table is what this test is read for")]
fn every_config_gives_the_shipped_spec() {
    let catalogue = Catalogue::embedded();
    let configs = configs();
    let ids: Vec<&str> = configs.iter().map(|(id, _)| id.as_str()).collect();
    let mut shipped_ids: Vec<&str> = catalogue.model_ids().collect();
    shipped_ids.sort_unstable();
    assert_eq!(ids, shipped_ids, "a config for every spec");
    let (mut same, mut wrong) = (0, Vec::new());
    for (id, mut config) in configs.clone() {
        if let Some((_, kind)) = TYPES.iter().find(|(known, _)| *known == id) {
            config["model_type"] = json!(kind);
        }
        let shipped = catalogue.model(&id).unwrap().value;
        let found = from_config(&config.to_string(), &id)
            .map_or_else(|_| "refused".to_owned(), |imported| differences(&imported, &shipped));
        let row = DIFFERENT.iter().find(|(.., ids)| ids.contains(&id.as_str()));
        match row {
            Some((reason, parts, _)) => println!("{id}: {parts} differ: {reason}"),
            None => same += usize::from(found.is_empty()),
        }
        let expected = row.map_or("", |(_, parts, _)| parts);
        if found != expected {
            wrong.push(format!("{id}: `{found}` differ, expected `{expected}`"));
        }
    }
    println!("{same} of {} configs give the shipped parameters, cache and bytes", ids.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `MiniMax` names prediction modules that its files do not hold, and a list of kinds of attention that
/// is all one kind; of every other published config all is understood that could matter.
#[test]
fn unread_keys_of_published_configs_are_few() {
    let mut unread = Vec::new();
    for (id, config) in configs() {
        let spec = from_published(&config.to_string(), &id);
        let caveat = spec.ok().and_then(|spec| spec.config.caveat).unwrap_or_default();
        if caveat.contains("not understood and not counted") {
            unread.push(id);
        }
    }
    assert_eq!(unread, ["minimax-m2", "minimax-m2.5", "minimax-m2.7", "minimax-m3"]);
}

/// The same files as the folder of facts holds, where it lies beside the repository.
#[test]
fn the_configs_are_those_of_the_facts() {
    for (id, config) in configs() {
        let Ok(text) = std::fs::read_to_string(format!("../shared/facts/models/{id}.json")) else { continue };
        let facts: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(facts["config"], config, "{id}");
    }
}
