//! Properties of whole answers: what must hold for any model on any machine.

use plimsoll::arithmetic::kv::KvFormat;
use plimsoll::catalogue::hardware_flag::hardware;
use plimsoll::catalogue::store::Catalogue;
use plimsoll::economics::Stated;
use plimsoll::plan::{Candidate, FitCell, Limits, Models, Plan, Request, Workload, fit, plan};
use plimsoll::ranking::Objective;
use std::sync::Arc;

/// Models of different families, each with a rig that holds it.
const QUESTIONS: &[(&str, &str)] = &[
    ("deepseek-v4-pro", "8xh200-sxm"),
    ("glm-5.1", "8xb200-sxm"),
    ("kimi-k2.6", "8xh200-sxm"),
    ("gpt-oss-120b", "h100-sxm-80gb"),
    ("llama-3.1-8b", "rtx-4090"),
    ("llama-3.1-70b", "2x rtx-3090"),
    ("qwen3-next-80b-a3b", "2x rtx-pro-6000-blackwell-workstation"),
    ("gemma-3-27b", "rtx-5090"),
];

fn request(model: &str, rig: &str, catalogue: &Catalogue) -> Request {
    let spec = catalogue.model(model).expect("a model of the catalogue").value;
    Request {
        machine: hardware(rig, catalogue).expect("hardware of the catalogue"),
        workload: Workload { context: 8192, prompt: 2048, cached: 0, output: 512, users: 1, drafting: None },
        workload_name: None,
        limits: Limits::default(),
        objective: Objective::Balanced,
        terms: Stated::default(),
        operators: None,
        models: Models::One(Box::new((*spec).clone())),
    }
}

fn with(plan: &Plan, id: &str) -> Option<Candidate> {
    plan.options.iter().find(|option| option.id == id).cloned()
}

#[test]
fn more_bandwidth_and_more_compute_are_never_slower() {
    let catalogue = Catalogue::embedded();
    for (model, rig) in QUESTIONS {
        let before = request(model, rig, &catalogue);
        let mut faster = before.clone();
        for node in &mut faster.machine.nodes {
            for group in &mut node.devices {
                group.bandwidth.value = group.bandwidth.value * 1.5;
                let mut accelerator = (*group.accelerator).clone();
                accelerator.bandwidth = accelerator.bandwidth * 1.5;
                let rates = &mut accelerator.rates;
                for rate in [
                    &mut rates.fp32,
                    &mut rates.fp16,
                    &mut rates.fp16_acc16,
                    &mut rates.bf16,
                    &mut rates.fp8,
                    &mut rates.fp4,
                    &mut rates.int8,
                ] {
                    *rate = rate.map(|r| r * 1.5);
                }
                group.accelerator = Arc::new(accelerator);
            }
        }
        let (slow, fast) = (plan(&before, &catalogue).unwrap(), plan(&faster, &catalogue).unwrap());
        let mut compared = 0;
        for option in &slow.options {
            let Some(other) = with(&fast, &option.id) else { continue };
            compared += 1;
            let slack = 1.0 + 1e-9;
            assert!(
                other.decode_tokens_per_s.likely.get() * slack >= option.decode_tokens_per_s.likely.get(),
                "{}",
                option.id
            );
            assert!(other.ttft_s.likely.get() <= option.ttft_s.likely.get() * slack, "{}", option.id);
        }
        assert!(compared > 0, "{model} on {rig}: nothing to compare");
    }
}

#[test]
fn a_longer_context_never_leaves_more_memory() {
    let catalogue = Catalogue::embedded();
    for (model, rig) in QUESTIONS {
        let short = request(model, rig, &catalogue);
        let mut long = short.clone();
        long.workload.context = 32_768;
        let (short, long) = (plan(&short, &catalogue).unwrap(), plan(&long, &catalogue).unwrap());
        for option in &long.options {
            let Some(other) = with(&short, &option.id) else { continue };
            assert!(option.free_bytes.get() <= other.free_bytes.get() + 1.0, "{}", option.id);
            assert!(option.largest_concurrency <= other.largest_concurrency, "{}", option.id);
        }
    }
}

#[test]
fn what_fits_has_room_for_what_was_asked() {
    let catalogue = Catalogue::embedded();
    for (model, rig) in QUESTIONS {
        let mut request = request(model, rig, &catalogue);
        request.workload.users = 4;
        for option in plan(&request, &catalogue).unwrap().options {
            assert!(option.free_bytes.get() >= 0.0, "{}", option.id);
            assert!(
                option.largest_context >= request.workload.context,
                "{}: {}",
                option.id,
                option.largest_context
            );
            assert!(option.largest_concurrency >= 4, "{}: {}", option.id, option.largest_concurrency);
            let e = option.decode_tokens_per_s;
            assert!(e.low.get() <= e.likely.get() && e.likely.get() <= e.high.get(), "{}", option.id);
        }
    }
}

#[test]
fn fit_says_what_plan_says() {
    let catalogue = Catalogue::embedded();
    let request = request("llama-3.1-8b", "rtx-4090", &catalogue);
    let table = fit(&request, &catalogue).unwrap();
    for row in &table.rows {
        let limits = Limits { formats: vec![row.format.clone()], ..Limits::default() };
        let answer = plan(&Request { limits, ..request.clone() }, &catalogue).unwrap();
        let column = table.contexts.iter().position(|c| *c == request.workload.context).unwrap();
        match row.cells[column] {
            FitCell::Short(bytes) => {
                assert!(answer.options.is_empty());
                assert_eq!(answer.misses[0].short_bytes, bytes);
            }
            FitCell::Fits | FitCell::Tight => {
                assert_eq!(answer.options[0].weights_bytes, row.weights_bytes);
                let choice = row.choice.as_ref().unwrap();
                if choice.context == request.workload.context {
                    assert_eq!(answer.options[0].id, choice.id);
                    assert_eq!(answer.options[0].decode_tokens_per_s, choice.decode_tokens_per_s);
                }
            }
        }
    }
}

#[test]
fn a_plan_is_read_back_as_it_was_and_follows_its_schema() {
    let catalogue = Catalogue::embedded();
    let answer = plan(&request("gpt-oss-120b", "h100-sxm-80gb", &catalogue), &catalogue).unwrap();
    let json = serde_json::to_value(&answer).unwrap();
    let back: Plan = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(back, answer);
    let schema = serde_json::to_value(schemars::schema_for!(Plan)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<String> = validator.iter_errors(&json).map(|e| e.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn the_same_question_has_the_same_answer() {
    let catalogue = Catalogue::embedded();
    let request = request("glm-5.1", "8xb200-sxm", &catalogue);
    assert_eq!(plan(&request, &catalogue).unwrap(), plan(&request, &catalogue).unwrap());
}

#[test]
fn what_the_user_fixes_is_kept() {
    let catalogue = Catalogue::embedded();
    let mut request = request("llama-3.1-70b", "8xh100-sxm-80gb", &catalogue);
    request.limits = Limits { tp: Some(4), kv: Some(KvFormat::Fp8), no_offload: true, ..Limits::default() };
    let answer = plan(&request, &catalogue).unwrap();
    assert!(!answer.options.is_empty());
    for option in answer.options {
        assert_eq!(option.placement.tp, 4, "{}", option.id);
        assert_eq!(option.kv_format, KvFormat::Fp8, "{}", option.id);
    }
}
