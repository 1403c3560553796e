//! The budget of an interactive answer: start-up, one model on one rig, every model on one rig.
//!
//! Run with `cargo bench`. The times quoted in the README come from here.

use divan::counter::ItemsCount;
use plimsoll::arithmetic::kv::KvFormat;
use plimsoll::arithmetic::scheme::{Offer, Scheme};
use plimsoll::catalogue::hardware_flag::hardware;
use plimsoll::catalogue::store::Catalogue;
use plimsoll::economics::Stated;
use plimsoll::perf::deployment::{Batching, Deployment, Engine, Model, Placement};
use plimsoll::placement::search::{Layout, layouts};
use plimsoll::placement::settings::Settings;
use plimsoll::plan::{Limits, Models, Request, Sweep, Workload, evaluate, explain, frontier, plan};
use plimsoll::ranking::Objective;

fn main() {
    divan::main();
}

fn request(models: Models, rig: &str, catalogue: &Catalogue) -> Request {
    Request {
        models,
        machine: hardware(rig, catalogue).expect("the rig of a bench is in the catalogue"),
        workload: Workload {
            context: 32_768,
            prompt: 4096,
            cached: 0,
            output: 1024,
            users: 1,
            drafting: None,
        },
        workload_name: None,
        limits: Limits::default(),
        objective: Objective::Balanced,
        terms: Stated::default(),
        operators: None,
    }
}

/// Budget: 10 ms.
#[divan::bench]
fn start_up() -> Catalogue {
    Catalogue::embedded()
}

/// Budget: 50 ms.
#[divan::bench(args = [("deepseek-v4-pro", "8xh200-sxm"), ("glm-5.1", "8xb200"), ("qwen3-30b-a3b", "rtx-4090")])]
fn one_model_one_rig(bencher: divan::Bencher, (model, rig): (&str, &str)) {
    let catalogue = Catalogue::embedded();
    let spec = catalogue.model(model).expect("the model of a bench is in the catalogue").value;
    let request = request(Models::One(Box::new((*spec).clone())), rig, &catalogue);
    bencher.bench(|| plan(&request, &catalogue));
}

/// Budget: 200 ms.
#[divan::bench(args = ["8xh200-sxm", "rtx-4090"])]
fn all_models_one_rig(bencher: divan::Bencher, rig: &str) {
    let catalogue = Catalogue::embedded();
    let request = request(Models::All, rig, &catalogue);
    bencher.bench(|| plan(&request, &catalogue));
}

/// Aim: 20 us. One candidate as the search evaluates it: memory, constants, decode, prefill, the
/// steady states of every batch. The other figures are candidates per second.
#[divan::bench(args = [
    ("deepseek-v4-pro", "native", "8xh200-sxm", Engine::Vllm, 8),
    ("llama-3.1-70b", "fp8", "8xh200-sxm", Engine::Vllm, 8),
    ("qwen3-30b-a3b", "q4_k_m", "rtx-4090", Engine::LlamaCpp, 1),
])]
fn one_candidate(bencher: divan::Bencher, (model, format, rig, engine, tp): (&str, &str, &str, Engine, u32)) {
    let catalogue = Catalogue::embedded();
    let spec = catalogue.model(model).expect("the model of a bench is in the catalogue").value;
    let request = request(Models::All, rig, &catalogue);
    let model = Model::new((*spec).clone());
    let scheme = Scheme::parse(format).expect("the format of a bench is known");
    let offer = Offer::of(scheme, &model.spec, &model.inventory);
    let whole = Placement { tp, ..Placement::ONE };
    let layout = layouts(&model, &request.machine, engine).into_iter().find(|l| l.placement == whole);
    let Layout { placement, stages } = layout.expect("the layout of a bench is offered");
    let (_, group) = request.machine.groups().next().expect("the rig of a bench has devices");
    let batching = Settings::of(engine).batching(group.memory.value);
    let deployment = Deployment {
        model: &model,
        weights: &offer.weights,
        kv: KvFormat::F16,
        machine: &request.machine,
        engine,
        engine_version: None,
        placement,
        stages,
        batching: Batching { context: request.workload.context, ..batching },
    };
    assert!(evaluate(&deployment, &offer, &request).is_some(), "the candidate of a bench fits");
    bencher.counter(ItemsCount::new(1_u32)).bench(|| evaluate(&deployment, &offer, &request));
}

/// Budget: 1 s.
#[divan::bench(args = [("deepseek-v4-pro", "8xh200-sxm"), ("deepseek-r1", "16xb200-sxm/2 nodes")])]
fn one_frontier(bencher: divan::Bencher, (model, rig): (&str, &str)) {
    let catalogue = Catalogue::embedded();
    let spec = catalogue.model(model).expect("the model of a bench is in the catalogue").value;
    let mut request = request(Models::One(Box::new((*spec).clone())), rig, &catalogue);
    request.workload.context = 9216;
    let sweep = Sweep { input: 8192, cached: 0, output: 1024, users_max: None };
    bencher.bench(|| frontier(&request, &sweep, &catalogue));
}

/// Budget: 100 ms.
#[divan::bench]
fn one_explanation(bencher: divan::Bencher) {
    let catalogue = Catalogue::embedded();
    let spec = catalogue.model("glm-5.1").expect("the model of a bench is in the catalogue").value;
    let request = request(Models::One(Box::new((*spec).clone())), "8xb200-sxm", &catalogue);
    bencher.bench(|| explain(&request, &catalogue, None));
}
