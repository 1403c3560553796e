//! The shipped model specs against published totals and worked cache sizes.

use crate::arithmetic::cache::{Component, Content, components};
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::kv::{KvFormat, bytes_per_entry, held};
use crate::catalogue::check::read_model;
use crate::catalogue::model::{Block, ModelSpec};
use std::fs;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("model-specs")
}

fn read(id: &str) -> ModelSpec {
    let text = fs::read_to_string(folder().join(format!("{id}.toml"))).unwrap();
    read_model(id, &text).unwrap_or_else(|bad| panic!("{bad}: {:?}", bad.problems))
}

fn ids() -> Vec<String> {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let specs = paths.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let mut ids: Vec<String> =
        specs.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    ids.sort();
    ids
}

/// What a sequence keeps, without the compressor inputs that published figures leave out.
fn published_parts(id: &str) -> Vec<Component> {
    components(&read(id)).into_iter().filter(|part| part.content != Content::Pending).collect()
}

fn cache(id: &str, format: KvFormat, tokens: u64) -> f64 {
    held(&published_parts(id), format, tokens).get()
}

#[test]
fn every_spec_reads_and_is_sound() {
    let ids = ids();
    assert!(ids.len() >= 180, "{} specs", ids.len());
    for id in ids {
        let spec = read(&id);
        assert_eq!(spec.id, id);
        assert!(!spec.config.sources.is_empty(), "{id} names no source");
    }
}

#[test]
fn no_two_models_share_a_name() {
    let mut names: Vec<String> = Vec::new();
    for id in ids() {
        let spec = read(&id);
        let mut own: Vec<String> = [&spec.id]
            .into_iter()
            .chain(&spec.hub)
            .chain(&spec.aliases)
            .map(|name| name.to_lowercase())
            .collect();
        own.sort();
        own.dedup();
        names.extend(own);
    }
    names.sort();
    let twice: Vec<&[String]> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn totals_match_what_is_published() {
    let mut wrong = Vec::new();
    for id in ids() {
        let spec = read(&id);
        let Some(published) = &spec.published else { continue };
        let Some(total) = published.total else { continue };
        let off = Inventory::of(&spec).total() as f64 / total as f64 - 1.0;
        if off.abs() > 0.01 && published.difference.is_none() {
            wrong.push(format!("{id} {:+.2} %", off * 100.0));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn totals_by_hand() {
    // Total and active parameters in billions, as worked out from the configs tensor by tensor.
    for (id, total, active) in [
        ("deepseek-v4-pro", 1572.997, 48.85),
        ("glm-5.1", 743.911, 40.83),
        ("kimi-k2.6", 1026.408, 31.69),
        ("deepseek-v3", 671.026, 36.63),
        ("gpt-oss-120b", 116.829, 5.133),
        ("qwen3.5-397b-a17b", 396.346, 16.33),
        ("kimi-k3", 2779.484, 104.19),
        ("llama-3.1-8b", 8.030, 7.505),
    ] {
        let inventory = Inventory::of(&read(id));
        assert!((inventory.total() as f64 / 1e9 - total).abs() < 0.001, "{id} {}", inventory.total());
        assert!((inventory.active() as f64 / 1e9 - active).abs() < 0.01, "{id} {}", inventory.active());
    }
}

#[test]
fn files_of_the_hub_to_the_parameter() {
    for id in [
        "deepseek-v4-pro",
        "deepseek-v4-flash",
        "glm-5.2",
        "glm-5.1",
        "qwen3.8-2.4t-a95b",
        "kimi-linear-48b-a3b",
    ] {
        let spec = read(id);
        let hub = spec.published.as_ref().and_then(|published| published.hub_total).unwrap();
        assert_eq!(Inventory::of(&spec).hub_total(), hub, "{id}");
    }
}

#[test]
fn caches_against_published_figures() {
    let million = 1_048_576;
    // 61·512·128 + 31·512·8192 + 30·(512 + 128)·262,144 elements of 2 B.
    let pro = cache("deepseek-v4-pro", KvFormat::F16, million);
    assert_eq!(pro, 10_334_371_840.0);
    assert!((pro / 1_073_741_824.0 - 9.6246).abs() < 1e-4);
    let v32 = cache("deepseek-v3.2", KvFormat::F16, million);
    assert!((v32 / pro - 8.71).abs() < 0.005, "{}", v32 / pro);
    // 656 + 132 B per token and layer against 584 and 68 B per entry.
    let serving = |id| cache(id, KvFormat::Fp8, million);
    assert_eq!(serving("deepseek-v4-pro"), 5_280_404_480.0);
    assert!((serving("deepseek-v3.2") / serving("deepseek-v4-pro") - 9.55).abs() < 0.005);
    assert!((serving("deepseek-v3.2") / serving("deepseek-v4-flash") - 13.67).abs() < 0.005);
}

#[test]
fn longer_sequences_never_keep_less() {
    for id in ids() {
        let parts = components(&read(&id));
        let sizes: Vec<f64> = [0, 1, 100, 1000, 5000, 100_000]
            .iter()
            .map(|tokens| held(&parts, KvFormat::F16, *tokens).get())
            .collect();
        assert!(sizes.is_sorted(), "{id}: {sizes:?}");
    }
}

#[test]
fn a_prompt_costs_what_its_tokens_cost() {
    for id in ids() {
        let spec = read(&id);
        for (name, block) in &spec.block {
            // Latent attention may take the cheaper of two forms; chunks of linear mixers meet inside.
            let exact = matches!(block, Block::Grouped(_) | Block::Compressed(_));
            let work = |new, depth| block.family().mixing(spec.hidden.get(), new, depth);
            let (whole, first, rest) = (work(900, 50), work(400, 50), work(500, 450));
            let parts = first.attention_flop + rest.attention_flop;
            if exact {
                assert_eq!(whole.attention_flop, parts, "{id} {name}");
            }
            assert!(whole.attention_flop <= parts, "{id} {name}");
            assert_eq!(whole.index_flop, first.index_flop + rest.index_flop, "{id} {name}");
        }
    }
}

#[test]
fn caches_by_hand() {
    // 32 layers of 8·256 elements.
    assert_eq!(cache("llama-3.1-8b", KvFormat::F16, 1), 131_072.0);
    // 61 latents of 576.
    assert_eq!(cache("deepseek-v3", KvFormat::F16, 1), 70_272.0);
    // GLM 5.2: 78 latents, index keys on 21 layers.
    assert_eq!(cache("glm-5.2", KvFormat::F16, 1), f64::from((78 * 576 + 21 * 128) * 2));
    // gpt-oss: 18 layers of a window of 128, 18 full, 1024 elements each.
    assert_eq!(cache("gpt-oss-120b", KvFormat::F16, 1000), f64::from(18 * 1024 * 2 * (128 + 1000)));
    // Gemma 4 E2B: 12 windows of 512 and 3 full layers of 35 hold a cache.
    assert_eq!(
        cache("gemma-4-e2b", KvFormat::F16, 4096),
        f64::from(12 * 512 * 512 * 2 + 3 * 1024 * 4096 * 2)
    );
    // LongCat: two latents in each of 28 layers.
    assert_eq!(cache("longcat-flash", KvFormat::F16, 1), f64::from(56 * 576 * 2));
    // Kimi K3: 69 layers of state, 449 MB whatever the length.
    let state: f64 = published_parts("kimi-k3")
        .iter()
        .filter(|part| matches!(part.content, Content::State | Content::Conv))
        .map(|part| bytes_per_entry(part, KvFormat::F16).get() * part.layers.len() as f64)
        .sum();
    assert_eq!(state, 449_372_160.0);
}
