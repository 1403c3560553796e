//! Shipped models in known schemes against sizes their makers and load logs state.

use crate::arithmetic::inventory::{Inventory, Place};
use crate::arithmetic::scheme::{Offer, Scheme, candidates};
use crate::arithmetic::tensor::Role;
use crate::arithmetic::weights::Weights;
use crate::catalogue::model::ModelSpec;
use crate::catalogue::store::Catalogue;
use std::sync::Arc;

fn model(id: &str) -> Arc<ModelSpec> {
    Catalogue::embedded().model(id).unwrap().value
}

fn weighed(id: &str, scheme: &str) -> Weights {
    let model = model(id);
    Scheme::parse(scheme).unwrap().weigh(&model, &Inventory::of(&model))
}

/// "model size" lines of load logs, three decimals (`ikawrakow/ik_llama.cpp`, Thireus logs).
#[test]
fn tensor_bytes_as_logged() {
    for (id, scheme, gib) in [
        ("qwen3-30b-a3b", "q5_k_m", 20.228),
        ("qwen3-235b-a22b", "q8_0", 232.769),
        ("qwen3-235b-a22b", "q6_k", 179.754),
        ("qwen3-235b-a22b", "q4_k_m", 132.386),
        ("deepseek-r1", "q8_0", 664.295),
    ] {
        let found = weighed(id, scheme).total().in_gib();
        assert!((found - gib).abs() < 0.0006, "{id} {scheme}: {found}, logged {gib}");
    }
}

/// Worked by hand from the shapes: see the formula beside each.
#[test]
fn native_checkpoints() {
    for (id, gb) in [
        // 1014.7 B of experts at 4.5 bits, the rest at 16.
        ("kimi-k2.6", 595.1),
        // 1547.5 B + 25.4 B (prediction layer) of experts at 4.25 bits, the rest FP8 and 16 bit.
        ("deepseek-v4-pro", 863.0),
        // 114.7 B of experts at 4.25 bits, 2.1 B at 16.
        ("gpt-oss-120b", 65.2),
    ] {
        let mut weights = weighed(id, "native");
        weights.entries.retain(|one| one.place != Place::Tower);
        let found = weights.total().get() / 1e9;
        assert!((found / gb - 1.0).abs() < 0.002, "{id}: {found} GB, expected {gb}");
    }
}

#[test]
fn conversions_keep_what_they_do_not_touch() {
    let weights = weighed("qwen3-30b-a3b", "fp8");
    for one in &weights.entries {
        let expected = match one.tensor.role {
            Role::Vector | Role::Router | Role::Embedding | Role::Output => "bf16",
            _ => "fp8",
        };
        assert_eq!(one.stored.name, expected, "{:?}", one.tensor.role);
    }
    // Qwen3-30B-A3B GPTQ: vLLM logs 15.61 GiB loaded.
    let gptq = weighed("qwen3-30b-a3b", "int4-gptq").total().in_gib();
    assert!((gptq / 15.61 - 1.0).abs() < 0.01, "{gptq}");
}

/// Files of mlx-community: all matrices in groups, no prediction layers (sizes rounded to 1 %;
/// those below 1 GiB to 0.1 MiB).
#[test]
fn mlx_files() {
    for (id, scheme, gb, within) in [
        ("qwen3-0.6b", "mlx-4bit", 0.335, 0.005),
        ("qwen3-1.7b", "mlx-4bit", 0.968, 0.001),
        ("glm-4.7-flash", "mlx-4bit", 16.86, 0.013),
        ("gpt-oss-120b", "mlx-mxfp4-q8", 63.14, 0.011),
        ("deepseek-v3.1", "mlx-8bit", 713.7, 0.013),
    ] {
        let found = weighed(id, scheme).total().get() / 1e9;
        assert!((found / gb - 1.0).abs() <= within, "{id} {scheme}: {found} GB, published {gb}");
    }
}

#[test]
fn every_model_weighs_in_every_scheme_offered() {
    let catalogue = Catalogue::embedded();
    for id in catalogue.model_ids() {
        let model = catalogue.model(id).unwrap().value;
        let inventory = Inventory::of(&model);
        let offers = candidates(&model, &inventory);
        assert!(offers.len() > 1, "{id}");
        for Offer { scheme, weights } in offers {
            let bytes = weights.total().get();
            assert!(bytes.is_finite() && bytes > 0.0, "{id} {scheme}: {bytes}");
        }
    }
}

#[test]
#[allow(clippy::float_cmp, reason = "whole bytes are exact")]
fn published_sizes_scale_the_tensors() {
    let weights = weighed("deepseek-v4-pro", "ud-q4_k_xl");
    assert!(matches!(weights.origin, crate::fact::Origin::Catalogue(_)), "{:?}", weights.origin);
    // Norms and routers are not what the mix changes.
    let router = weights.entries.iter().find(|one| one.tensor.role == Role::Router).unwrap();
    assert_eq!(router.each.get(), (router.tensor.params() * 4) as f64);
}
