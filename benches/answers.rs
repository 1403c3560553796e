//! The budget of an interactive answer: start-up, one model on one rig, every model on one rig.
//!
//! Run with `cargo bench`. The times quoted in the README come from here.

use plimsoll::catalogue::hardware_flag::hardware;
use plimsoll::catalogue::store::Catalogue;
use plimsoll::plan::{Limits, Models, Request, Workload, plan};
use plimsoll::ranking::Objective;

fn main() {
    divan::main();
}

fn request(models: Models, rig: &str, catalogue: &Catalogue) -> Request {
    Request {
        models,
        machine: hardware(rig, catalogue).expect("the rig of a bench is in the catalogue"),
        workload: Workload { context: 32_768, prompt: 4096, output: 1024, users: 1 },
        limits: Limits::default(),
        objective: Objective::Balanced,
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
