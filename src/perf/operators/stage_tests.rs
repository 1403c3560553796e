//! Steps whose operators come from tables, by hand.

use super::tests::{Cells, Scratch, products};
use super::*;
use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::scheme::Scheme;
use crate::arithmetic::weights::Weights;
use crate::catalogue::hardware_flag::hardware;
use crate::catalogue::machine::Machine;
use crate::catalogue::store::Catalogue;
use crate::perf::deployment::{Batching, Deployment, Engine, Model, Placement, Stage};
use crate::perf::time::{Part, StepTime};
use crate::perf::{Estimator, Sources};

const BF16: &str = "bfloat16";

/// The tables of a folder, those of the H200 read.
fn read(scratch: &Scratch) -> Operators {
    let mut operators = Operators::open(&scratch.0).unwrap();
    operators.read("h200-sxm", Engine::Vllm).unwrap();
    operators
}

/// An estimator with some tables, or none.
fn estimator<'a>(case: &'a Case, operators: Option<&Operators>) -> Estimator<'a> {
    let sources = Sources { operators, traced: true, ..Sources::shipped() };
    Estimator::new(&case.deployment(), sources).unwrap()
}

/// The part of a label that takes most of the time.
fn part<'s>(step: &'s StepTime, label: &str) -> &'s Part {
    let parts = step.parts.iter().filter(|part| part.label == label);
    parts.max_by(|a, b| a.time.get().total_cmp(&b.time.get())).unwrap()
}

fn is_tabled(part: &Part) -> bool {
    part.basis.as_deref().is_some_and(|basis| basis.contains("operator table"))
}

fn close(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() < 1e-9
}

/// A deployment in 16 bit that owns what it is made of.
struct Case {
    model: Model,
    weights: Weights,
    machine: Machine,
    engine: Engine,
    placement: Placement,
}

impl Case {
    fn new(model: &str, machine: &str, engine: Engine, placement: Placement) -> Self {
        let catalogue = Catalogue::embedded();
        let model = Model::new((*catalogue.model(model).unwrap().value).clone());
        let weights = Scheme::parse("bf16").unwrap().weigh(&model.spec, &model.inventory);
        Self { model, weights, machine: hardware(machine, &catalogue).unwrap(), engine, placement }
    }

    fn deployment(&self) -> Deployment<'_> {
        Deployment {
            model: &self.model,
            weights: &self.weights,
            kv: KvFormat::F16,
            machine: &self.machine,
            engine: self.engine,
            engine_version: None,
            placement: self.placement,
            stages: vec![Stage { group: 0, layers: 0..self.model.spec.layer_count() }],
            batching: Batching {
                chunk: 8192,
                sequences: 1,
                context: 131_072,
                flash_attention: true,
                draft: None,
            },
        }
    }
}

/// Llama 3.1 8B in 16 bit on one or more H200 under vLLM.
fn llama(tp: u32) -> Case {
    let placement = Placement { tp, ..Placement::ONE };
    Case::new("llama-3.1-8b", "8xh200-sxm", Engine::Vllm, placement)
}

/// Every product of a layer at one row, each as outputs, inputs, milliseconds; not the output matrix.
const LAYER: [(&str, i64, i64, i64, f64); 4] = [
    (BF16, 1, 6144, 4096, 0.010),
    (BF16, 1, 4096, 4096, 0.008),
    (BF16, 1, 28672, 4096, 0.050),
    (BF16, 1, 4096, 14336, 0.025),
];

#[test]
fn products_take_the_times_of_the_table() {
    let scratch = Scratch::new("stage-products");
    scratch.table("gemm", "vllm", "0.24.0", "gemm", &products(&LAYER));
    let (case, operators) = (llama(1), read(&scratch));
    let (with, without) = (estimator(&case, Some(&operators)), estimator(&case, None));
    let (step, plain) = (with.decode(1, 1024), without.decode(1, 1024));
    // 32 layers, no factor of the curves: 32 (10 + 8) us and 32 (50 + 25) us.
    let projections = part(&step, "attention projections");
    assert!(close(projections.time.get(), 576e-6), "{projections:?}");
    assert!(close(part(&step, "dense feed-forward").time.get(), 2400e-6));
    let basis = projections.basis.as_deref().unwrap();
    assert_eq!(basis, "operator table: h200_sxm/vllm/0.24.0, interpolated");
    // 128256 outputs are 4.5 times the most in the table: the curve stays, and so does all the rest.
    for label in ["output matrix", "attention", "small kernels", "scheduling"] {
        assert_eq!(part(&step, label), part(&plain, label));
        assert!(!is_tabled(part(&step, label)), "{label}");
    }
    let products = ["attention projections", "dense feed-forward"];
    let moved: f64 = products.iter().map(|l| part(&step, l).time.get() - part(&plain, l).time.get()).sum();
    assert!(close(step.total().get(), plain.total().get() + moved));
    assert!(close(step.total().get(), with.decode_time(1.0, 1024).get()));
    let note =
        with.notes().into_iter().find(|note| note.starts_with("operator tables of h200_sxm/vllm")).unwrap();
    assert!(note.contains("for attention projections, dense feed-forward, not corrected"), "{note}");
    assert!(note.ends_with("fitted curves for attention, output matrix, small kernels"), "{note}");
}

#[test]
fn rows_beyond_twice_the_table_fall_back() {
    let scratch = Scratch::new("stage-rows");
    scratch.table("gemm", "vllm", "0.24.0", "gemm", &products(&LAYER));
    let (case, operators) = (llama(1), read(&scratch));
    let (with, without) = (estimator(&case, Some(&operators)), estimator(&case, None));
    // A prompt of 4096 tokens multiplies where the table reads: far more work than its points.
    assert_eq!(with.prefill(4096, 0, 1), without.prefill(4096, 0, 1));
}

#[test]
fn all_reduces_take_the_times_of_the_table() {
    let scratch = Scratch::new("stage-reduce");
    let cells = [
        Cells::Words("allreduce_dtype", vec![BF16; 2]),
        Cells::Words("backend", vec!["vllm_graph"; 2]),
        Cells::Counts("num_gpus", vec![2; 2]),
        Cells::Counts("message_size", vec![4096, 65536]),
        Cells::Reals("latency", vec![0.005, 0.009]),
    ];
    scratch.table("comm", "vllm", "0.24.0", "custom_allreduce", &cells);
    let (case, operators) = (llama(2), read(&scratch));
    // Two of one row of 4096 elements in each of 32 layers.
    let step = estimator(&case, Some(&operators)).decode(1, 1024);
    assert!(close(part(&step, "all-reduce").time.get(), 64.0 * 5e-6));
    // Four ranks were not measured.
    let four = llama(4);
    let with = estimator(&four, Some(&operators));
    assert!(!is_tabled(part(&with.decode(1, 1024), "all-reduce")));
    assert!(with.notes().iter().any(|note| note.starts_with("no operator table fits")), "{:?}", with.notes());
}

/// Qwen3 30B-A3B: 48 layers of 128 experts, 2048 by 768, 8 of a token.
fn mixture() -> Case {
    Case::new("qwen3-30b-a3b", "h200-sxm", Engine::Vllm, Placement::ONE)
}

#[test]
fn experts_take_the_times_of_the_table() {
    let scratch = Scratch::new("stage-experts");
    let counts = |name, value| Cells::Counts(name, vec![value; 3]);
    let cells = [
        Cells::Words("moe_dtype", vec![BF16; 3]),
        Cells::Words("distribution", vec!["balanced"; 3]),
        counts("hidden_size", 2048),
        counts("inter_size", 768),
        counts("num_experts", 128),
        counts("topk", 8),
        counts("moe_tp_size", 1),
        counts("moe_ep_size", 1),
        Cells::Counts("num_tokens", vec![1, 16, 64]),
        Cells::Reals("latency", vec![0.1, 0.2, 0.4]),
    ];
    scratch.table("moe", "vllm", "0.24.0", "moe", &cells);
    let (case, operators) = (mixture(), read(&scratch));
    let with = estimator(&case, Some(&operators));
    assert!(close(part(&with.decode(1, 1024), "experts").time.get(), 4.8e-3));
    // Half way in log between 16 and 64 tokens.
    let between = 48.0 * (0.2e-3_f64 * 0.4e-3).sqrt();
    assert!(close(part(&with.decode(32, 1024), "experts").time.get(), between));
    assert!(!is_tabled(part(&with.decode(1, 1024), "attention projections")));
}

#[test]
fn launches_that_hide_the_kernel_say_nothing() {
    let scratch = Scratch::new("stage-launch");
    let eager: Vec<_> = LAYER.iter().map(|row| (row.0, row.1, row.2, row.3, 0.15)).collect();
    scratch.table("gemm", "vllm", "0.24.0", "gemm", &products(&eager));
    let (case, operators) = (llama(1), read(&scratch));
    let (with, without) = (estimator(&case, Some(&operators)), estimator(&case, None));
    assert_eq!(with.decode(1, 1024), without.decode(1, 1024));
}

#[test]
fn other_devices_and_engines_keep_their_curves() {
    let scratch = Scratch::new("stage-others");
    scratch.table("gemm", "vllm", "0.24.0", "gemm", &products(&LAYER));
    let operators = read(&scratch);
    for (machine, engine) in [("mi300x", Engine::Vllm), ("h200-sxm", Engine::Sglang)] {
        let case = Case::new("llama-3.1-8b", machine, engine, Placement::ONE);
        let (with, without) = (estimator(&case, Some(&operators)), estimator(&case, None));
        assert_eq!(with.decode(8, 1024), without.decode(8, 1024));
        assert_eq!(with.prefill(2048, 0, 1), without.prefill(2048, 0, 1));
        assert_eq!(with.confidence(), without.confidence());
    }
}
