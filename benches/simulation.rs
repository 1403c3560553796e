//! The speed of the simulation: requests and iterations a second, and an hour of 50 requests a second.
//!
//! Run with `cargo bench --bench simulation`. Throughput is printed in items: requests or iterations.

use divan::counter::ItemsCount;
use plimsoll::arithmetic::kv::KvFormat;
use plimsoll::arithmetic::scheme::{Offer, Scheme};
use plimsoll::catalogue::hardware_flag::hardware;
use plimsoll::catalogue::store::Catalogue;
use plimsoll::perf::deployment::{Batching, Deployment, Engine, Model, Placement};
use plimsoll::perf::{Estimator, Sources};
use plimsoll::placement::search::{Layout, layouts};
use plimsoll::placement::settings::Settings;
use plimsoll::serving::simulation::{Cache, Cluster, Counts, Router};
use plimsoll::serving::traffic::{Class, Session, Traffic, Turn};

fn main() {
    divan::main();
}

/// Asks an 8 B model on two H200.
fn ask<R>(question: impl FnOnce(&Estimator<'_>) -> R) -> R {
    let catalogue = Catalogue::embedded();
    let spec = catalogue.model("llama-3.1-8b").expect("the model of a bench is in the catalogue").value;
    let machine = hardware("2xh200-sxm", &catalogue).expect("the machine of a bench is in the catalogue");
    let model = Model::new((*spec).clone());
    let scheme = Scheme::parse("fp8").expect("the format of a bench is known");
    let offer = Offer::of(scheme, &model.spec, &model.inventory);
    let whole = Placement { tp: 2, ..Placement::ONE };
    let layout = layouts(&model, &machine, Engine::Vllm).into_iter().find(|l| l.placement == whole);
    let Layout { placement, stages } = layout.expect("the layout of a bench is offered");
    let (_, group) = machine.groups().next().expect("the machine of a bench has devices");
    let batching = Settings::of(Engine::Vllm).batching(group.memory.value);
    let deployment = Deployment {
        model: &model,
        weights: &offer.weights,
        kv: KvFormat::F16,
        machine: &machine,
        engine: Engine::Vllm,
        engine_version: None,
        placement,
        stages,
        batching: Batching { context: 8192, ..batching },
    };
    let estimator = Estimator::new(&deployment, Sources::shipped()).expect("a bench is predictable");
    question(&estimator)
}

/// Simulates a traffic again and again; items are what is counted of it.
fn bench(bencher: divan::Bencher, cluster: &Cluster, traffic: &Traffic, counted: fn(&Counts) -> u64) {
    ask(|estimator| {
        let items = counted(&estimator.simulate(cluster, traffic, None).counts);
        bencher.counter(ItemsCount::new(items)).bench_local(|| estimator.simulate(cluster, traffic, None));
    });
}

/// A number of chance between zero and one: the splitmix64 sequence.
fn chance(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// An hour of independent sessions of so many turns, `rate` of them a second, with evenly drawn lengths of
/// 200 to 1800 new prompt tokens and 20 to 380 of answers.
fn hour(rate: f64, turns: u32) -> Traffic {
    let (mut state, mut start) = (7, 0.0);
    let mut sessions = Vec::new();
    while start < 3600.0 {
        // Gaps of the same mean as a Poisson process, drawn evenly.
        start += 2.0 * chance(&mut state) / rate;
        let mut held = 0;
        let turns = (0..turns).map(|_| {
            let (repeated, input) = (held, held + 200 + (chance(&mut state) * 1600.0) as u32);
            let output = 20 + (chance(&mut state) * 360.0) as u32;
            held = input + output;
            Turn { after: 10.0, input, repeated, output }
        });
        sessions.push(Session { start, class: 0, turns: turns.collect() });
    }
    let class = Class { name: "chat".to_owned(), common: 100, priority: 0 };
    Traffic { classes: vec![class], sessions, users: None }
}

fn cached(replicas: u32) -> Cluster {
    let cache = Some(Cache::of_tokens(600_000, 16));
    Cluster { replicas, cache, router: Router::SessionAffinity, ..Cluster::one(512) }
}

/// Aim: under a second. Items are requests.
#[divan::bench(args = ["slots", "blocks"], sample_count = 10)]
fn an_hour_of_50_requests_a_second(bencher: divan::Bencher, limit: &str) {
    let traffic = hour(50.0, 1);
    let cluster = if limit == "slots" { Cluster::one(512) } else { cached(1) };
    bench(bencher, &cluster, &traffic, |counts| counts.answered);
}

/// Aim: 2 million a second at 20 requests a second. Items are iterations; with more requests each holds several.
#[divan::bench(args = [50.0, 20.0, 5.0], sample_count = 10)]
fn iterations(bencher: divan::Bencher, rate: f64) {
    let traffic = hour(rate, 1);
    bench(bencher, &cached(1), &traffic, |counts| counts.iterations);
}

/// Eight replicas, sessions of five turns that find their history. Items are requests.
#[divan::bench(sample_count = 10)]
fn an_hour_of_sessions_on_eight_replicas(bencher: divan::Bencher) {
    let traffic = hour(30.0, 5);
    bench(bencher, &cached(8), &traffic, |counts| counts.answered);
}
