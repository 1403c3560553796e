//! Worked examples: what people report of real deployments of shipped models, within the spread of
//! such reports.

use crate::arithmetic::cache::components;
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::scheme::Scheme;
use crate::catalogue::hardware_flag::hardware;
use crate::catalogue::store::Catalogue;
use crate::perf::deployment::{Batching, Deployment, Engine, Model, Offload, Placement, Stage};
use crate::placement::fit::verdict;
use crate::placement::ledger::{Ledger, LedgerKind, RankLedger};
use crate::placement::settings::Settings;
use crate::units::Bytes;

/// The account of one sequence of `context` tokens.
fn account(
    model: &str,
    scheme: &str,
    machine: &str,
    engine: Engine,
    placement: Placement,
    context: u64,
) -> Ledger {
    let catalogue = Catalogue::embedded();
    let spec = catalogue.model(model).unwrap().value.as_ref().clone();
    let model = Model { inventory: Inventory::of(&spec), cache: components(&spec), spec };
    let weights = Scheme::parse(scheme).unwrap().weigh(&model.spec, &model.inventory);
    let machine = hardware(machine, &catalogue).unwrap();
    let device = machine.groups().next().unwrap().1.memory.value;
    let batching = Settings::of(engine).batching(device);
    Ledger::of(&Deployment {
        model: &model,
        weights: &weights,
        kv: KvFormat::F16,
        machine: &machine,
        engine,
        engine_version: None,
        placement,
        stages: vec![Stage { group: 0, layers: 0..model.spec.layer_count() }],
        batching: Batching { context, ..batching },
    })
}

/// Asserts an amount in gigabytes (10^9) within a share.
fn near(found: Bytes, gb: f64, share: f64) {
    let found = found.get() / 1e9;
    assert!((found / gb - 1.0).abs() <= share, "{found:.1} GB, reported {gb} GB");
}

fn experts_on_host(layers: u32) -> Placement {
    Placement { offload: Offload::Experts(layers), ..Placement::ONE }
}

fn device(ledger: &Ledger) -> &RankLedger {
    &ledger.ranks[0]
}

#[test]
fn ktransformers_keeps_experts_in_memory_of_the_host() {
    // DeepSeek-V3 in Q4_K_M: 14 GB on the device, 382 GB of memory with one socket.
    let v3 =
        account("deepseek-v3", "q4_k_m", "1x rtx-4090", Engine::KTransformers, experts_on_host(58), 8192);
    near(device(&v3).used(), 14.0, 0.1);
    near(v3.host.as_ref().unwrap().of(LedgerKind::Weights), 382.0, 0.05);
    // Kimi-K2.5: 31 GB at 32k tokens with one expert of each layer on the device (issue 1817).
    let kimi =
        account("kimi-k2.5", "native", "1x rtx-5090", Engine::KTransformers, experts_on_host(60), 32_768);
    let expert_of_each = Bytes::new(60.0 * 3.0 * 7168.0 * 2048.0 * 0.5625);
    near(device(&kimi).used() + expert_of_each, 31.0, 0.1);
}

#[test]
fn vllm_pads_experts_of_gpt_oss() {
    // 64.38 GiB resident on one H100 with Triton kernels.
    let oss = account("gpt-oss-120b", "native", "1x h100-sxm", Engine::Vllm, Placement::ONE, 8192);
    near(device(&oss).of(LedgerKind::Weights), 64.38 * 1.073_741_824, 0.005);
    assert!(verdict(&oss).fits());
}

#[test]
fn one_node_holds_what_it_is_known_to_hold() {
    let eight = |model, scheme, machine, engine| {
        verdict(&account(model, scheme, machine, engine, Placement { tp: 8, ..Placement::ONE }, 32_768))
            .fits()
    };
    assert!(eight("deepseek-v3", "native", "8x h200-sxm", Engine::Sglang));
    assert!(!eight("deepseek-v3", "native", "8x h100-sxm", Engine::Sglang));
    assert!(eight("kimi-k2.6", "native", "8x h200-sxm", Engine::Vllm));
    assert!(eight("deepseek-v4-pro", "native", "8x b200-sxm", Engine::Vllm));
    assert!(!eight("deepseek-v4-pro", "native", "8x h100-sxm", Engine::Vllm));
    // 16 bit of 671 G weights needs two nodes of this kind.
    assert!(!eight("deepseek-v3", "bf16", "8x h200-sxm", Engine::Vllm));
}

#[test]
fn unified_memory_is_one_pool() {
    let mac = account("llama-3.3-70b", "q4_k_m", "1x m3-ultra-80gpu", Engine::LlamaCpp, Placement::ONE, 8192);
    assert!(mac.host.is_none());
    // The embedding that other machines keep on the host is in the same account.
    near(device(&mac).of(LedgerKind::Weights), 42.5, 0.01);
}
