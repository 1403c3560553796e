//! What explanations and frontiers must hold: sums, gains worked out by hand, order under load.

use plimsoll::catalogue::hardware_flag::hardware;
use plimsoll::catalogue::store::Catalogue;
use plimsoll::economics::Stated;
use plimsoll::perf::Drafting;
use plimsoll::perf::drafts::{Method, Text};
use plimsoll::perf::time::Limit;
use plimsoll::plan::{
    Amount, Change, Explanation, Frontier, Limits, Models, Request, Sweep, Workload, explain, fit, frontier,
    plan,
};
use plimsoll::ranking::Objective;

const QUESTIONS: &[(&str, &str)] = &[
    ("llama-3.1-8b", "rtx-4090"),
    ("llama-3.1-70b", "8xh100-sxm-80gb"),
    ("gpt-oss-120b", "h100-sxm-80gb"),
    ("glm-5.1", "8xb200-sxm"),
    ("kimi-k2.6", "epyc-9654"),
];

fn request(model: &str, rig: &str, catalogue: &Catalogue) -> Request {
    let spec = catalogue.model(model).expect("a model of the catalogue").value;
    Request {
        operators: None,
        machine: hardware(rig, catalogue).expect("hardware of the catalogue"),
        workload: Workload { context: 8192, prompt: 2048, cached: 0, output: 512, users: 4, drafting: None },
        workload_name: None,
        limits: Limits::default(),
        objective: Objective::Balanced,
        terms: Stated::default(),
        models: Models::One(Box::new((*spec).clone())),
    }
}

fn explained(request: &Request, catalogue: &Catalogue) -> Explanation {
    explain(request, catalogue, None).expect("the question is sound").expect("something fits")
}

/// The best option explained for every question that has one.
fn all(catalogue: &Catalogue) -> Vec<(Request, Explanation)> {
    let asked = QUESTIONS.iter().map(|(model, rig)| request(model, rig, catalogue));
    asked
        .filter_map(|request| {
            explain(&request, catalogue, None).expect("the question is sound").map(|found| (request, found))
        })
        .collect()
}

#[test]
fn steps_and_times_under_load_are_the_sum_of_their_parts() {
    let catalogue = Catalogue::embedded();
    let found = all(&catalogue);
    assert!(found.len() >= 4);
    for (_, explanation) in &found {
        for step in &explanation.steps {
            let sum: f64 = step.parts.iter().map(|part| part.seconds.get()).sum();
            assert!((sum / step.seconds.get() - 1.0).abs() < 1e-9, "{}", step.label);
            let shares: f64 = step.parts.iter().map(|part| part.share).sum();
            assert!((shares - 1.0).abs() < 1e-9, "{}", step.label);
            for part in &step.parts {
                assert!(part.bandwidth_share.is_none_or(|share| share <= 1.05), "{part:?}");
                assert!(part.arithmetic_share.is_none_or(|share| share <= 1.05), "{part:?}");
            }
        }
        for load in &explanation.loads {
            let sum: f64 = load.parts.iter().map(|part| part.amount.seconds().get()).sum();
            assert!((sum / load.amount.seconds().get() - 1.0).abs() < 0.25, "{load:?}");
        }
        assert!(explanation.memory.iter().all(|term| matches!(term.amount, Amount::Bytes(_))));
        assert!(!explanation.constants.is_empty());
    }
}

#[test]
fn the_step_explained_is_the_speed_of_the_plan() {
    let catalogue = Catalogue::embedded();
    for (request, explanation) in all(&catalogue) {
        let (option, plan) = (&explanation.option, plan(&request, &catalogue).unwrap());
        assert_eq!(plan.options.first(), Some(option));
        let one = 1.0 / explanation.steps[0].seconds.get();
        assert!((one / option.decode_tokens_per_s.likely.get() - 1.0).abs() < 1e-9, "{}", option.id);
        let table = fit(&request, &catalogue).unwrap();
        let row = table.rows.iter().find(|row| row.format == option.format).unwrap();
        let choice = row.choice.as_ref().unwrap();
        if choice.id == option.id && choice.context == request.workload.context {
            assert_eq!(choice.decode_tokens_per_s, option.decode_tokens_per_s);
        }
        // Asked for by its id, the option is the same.
        let again = explain(&request, &catalogue, Some(&option.id)).unwrap().unwrap();
        assert_eq!(again, explanation);
    }
}

/// Of a step `t` the share `s` is reading at a rate in proportion to the bandwidth. With 1.25 times
/// the bandwidth it takes `t (1 - s + s / 1.25)`.
#[test]
fn more_bandwidth_gains_what_reading_takes() {
    let catalogue = Catalogue::embedded();
    let mut request = request("llama-3.1-8b", "rtx-4090", &catalogue);
    request.limits.formats = vec!["q8_0".to_owned()];
    request.limits.engines = vec![plimsoll::perf::deployment::Engine::LlamaCpp];
    let explanation = explained(&request, &catalogue);
    let step = &explanation.steps[0];
    let reading: f64 =
        step.parts.iter().filter(|part| part.limit == Limit::Memory).map(|part| part.share).sum();
    assert!(reading > 0.8, "a single stream reads weights: {reading}");
    let lever = explanation.levers.iter().find(|lever| lever.change == Change::Bandwidth).unwrap();
    let hand = 1.0 / (1.0 - reading + reading / 1.25);
    assert!((lever.stream_gain / hand - 1.0).abs() < 0.01, "{} by hand {hand}", lever.stream_gain);
    // Nothing is between one device and itself, and its host has no part in it.
    assert!(explanation.levers.iter().all(|lever| lever.change != Change::Links));
    assert!(explanation.levers.iter().all(|lever| lever.change != Change::HostBandwidth));
}

#[test]
fn better_hardware_never_costs_speed() {
    let catalogue = Catalogue::embedded();
    for (_, explanation) in all(&catalogue) {
        for lever in explanation.levers.iter().filter(|lever| lever.option.is_none()) {
            let worst = lever.stream_gain.min(lever.throughput_gain).min(lever.ttft_gain);
            assert!(worst > 0.999, "{}: {lever:?}", explanation.option.id);
        }
        assert!(explanation.levers.iter().any(plimsoll::plan::Lever::helps), "{}", explanation.option.id);
    }
}

const SWEEP: Sweep = Sweep { input: 2048, cached: 0, output: 512, users_max: None };

fn swept(model: &str, rig: &str, sweep: Sweep) -> Frontier {
    swept_with(model, rig, sweep, None)
}

fn swept_with(model: &str, rig: &str, sweep: Sweep, drafting: Option<Drafting>) -> Frontier {
    let catalogue = Catalogue::embedded();
    let mut request = request(model, rig, &catalogue);
    request.workload =
        Workload { context: 4096, prompt: sweep.input, cached: 0, output: sweep.output, users: 1, drafting };
    frontier(&request, &sweep, &catalogue).expect("the sweep is sound")
}

#[test]
fn more_users_give_more_together_and_less_to_each() {
    for (model, rig) in
        [("llama-3.1-8b", "rtx-4090"), ("llama-3.1-70b", "8xh100-sxm-80gb"), ("glm-5.1", "8xb200-sxm")]
    {
        let found = swept(model, rig, SWEEP);
        assert!(!found.curves.is_empty(), "{model}");
        for curve in &found.curves {
            for pair in curve.points.windows(2) {
                let all = |at: usize| pair[at].output_tokens_per_s.likely.get();
                let user = |at: usize| pair[at].user_tokens_per_s.likely.get();
                assert!(all(1) >= all(0) * 0.98, "{}: {:?}", curve.id, pair);
                assert!(user(1) <= user(0) * 1.02, "{}: {:?}", curve.id, pair);
                assert_eq!(pair[1].waiting, 0, "{}", curve.id);
            }
        }
    }
}

#[test]
fn users_beyond_the_slots_wait() {
    let found = swept("llama-3.1-8b", "rtx-4090", Sweep { users_max: Some(4096), ..SWEEP });
    for curve in &found.curves {
        let last = curve.points.last().unwrap();
        assert_eq!(last.waiting, 4096_u64.saturating_sub(curve.slots), "{}", curve.id);
        let full = curve.points.iter().find(|point| point.users == curve.slots.min(4096)).unwrap();
        if last.waiting > curve.slots {
            assert!(last.ttft_s.likely.get() > 2.0 * full.ttft_s.likely.get(), "{}", curve.id);
        }
        assert!((last.tpot_s.likely / full.tpot_s.likely - 1.0).abs() < 0.05, "{}", curve.id);
    }
}

#[test]
fn no_point_beats_the_front_and_the_front_beats_the_rest() {
    let found = swept("deepseek-r1", "16xb200-sxm/2 nodes", SWEEP);
    let rates =
        |p: &plimsoll::plan::Point| (p.user_tokens_per_s.likely.get(), p.device_tokens_per_s.likely.get());
    let points: Vec<_> = found.curves.iter().flat_map(|curve| &curve.points).collect();
    let front: Vec<_> = points.iter().filter(|point| point.on_front).map(|point| rates(point)).collect();
    assert!(front.len() > 2);
    for point in &points {
        let (user, device) = rates(point);
        let beaten = front.iter().any(|(u, d)| (*u >= user && *d >= device) && (*u > user || *d > device));
        let equal = front.contains(&(user, device));
        assert!(if point.on_front { !beaten } else { beaten || equal }, "{point:?}");
    }
    // Two nodes have pools of their own, with whole workers of the machine's devices.
    let split: Vec<_> =
        found.curves.iter().filter_map(|curve| Some((curve, curve.split.as_ref()?))).collect();
    assert!(!split.is_empty());
    for (curve, split) in split {
        let used = split.prefill.count * split.prefill.devices + split.decode.count * split.decode.devices;
        assert_eq!(used, curve.devices, "{}", curve.id);
        assert!(used <= 16, "{}", curve.id);
    }
}

#[test]
fn a_cached_prefix_and_accepted_drafts_help() {
    let plain = swept("deepseek-r1", "8xb200-sxm", SWEEP);
    let cached = swept("deepseek-r1", "8xb200-sxm", Sweep { cached: 1024, ..SWEEP });
    let drafting = Drafting { method: Method::Mtp, tokens: 1, text: Text::Mixed, acceptance: Some(0.9) };
    let drafted = swept_with("deepseek-r1", "8xb200-sxm", SWEEP, Some(drafting));
    for ((plain, cached), drafted) in plain.curves.iter().zip(&cached.curves).zip(&drafted.curves) {
        let first = |frontier: &plimsoll::plan::Curve| frontier.points[0].clone();
        if plain.id == cached.id {
            assert!(first(cached).ttft_s.likely <= first(plain).ttft_s.likely, "{}", plain.id);
        }
        if plain.id == drafted.id {
            assert!(first(drafted).tpot_s.likely < first(plain).tpot_s.likely, "{}", plain.id);
        }
    }
}

/// Weights of the ledger are those of the files, to the byte: a Llama of four layers in two files,
/// 2·512,000 + 512 parameters around the layers and 2,360,320 in each of 16 bits, one matrix in 32 bits.
#[test]
fn the_ledger_holds_the_bytes_of_the_checkpoint() {
    let folder = std::env::temp_dir().join(format!("plimsoll-ledger-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let layer = [
        ("self_attn.q_proj", vec![512, 512]),
        ("self_attn.k_proj", vec![256, 512]),
        ("self_attn.v_proj", vec![256, 512]),
        ("self_attn.o_proj", vec![512, 512]),
        ("mlp.gate_proj", vec![1024, 512]),
        ("mlp.up_proj", vec![1024, 512]),
        ("mlp.down_proj", vec![512, 1024]),
        ("input_layernorm", vec![512]),
        ("post_attention_layernorm", vec![512]),
    ];
    let around =
        [("model.embed_tokens", vec![1000, 512]), ("model.norm", vec![512]), ("lm_head", vec![1000, 512])];
    let inside =
        (0..4).flat_map(|n| layer.clone().map(|(name, shape)| (format!("model.layers.{n}.{name}"), shape)));
    let tensors: Vec<(String, Vec<u64>)> =
        around.into_iter().map(|(name, shape)| (name.to_owned(), shape)).chain(inside).collect();
    let mut map = serde_json::Map::new();
    for (file, part) in tensors.chunks(20).enumerate() {
        let file = format!("model-{}-of-2.safetensors", file + 1);
        let (mut header, mut end) = (serde_json::Map::new(), 0);
        for (name, shape) in part {
            let (dtype, width) =
                if name.ends_with("layers.3.mlp.down_proj") { ("F32", 4) } else { ("BF16", 2) };
            let start = end;
            end += shape.iter().product::<u64>() * width;
            let name = format!("{name}.weight");
            let tensor = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
            header.insert(name.clone(), tensor);
            map.insert(name, serde_json::json!(file));
        }
        let text = serde_json::Value::Object(header).to_string();
        let bytes = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        std::fs::write(folder.join(&file), &bytes).unwrap();
        let whole = std::fs::OpenOptions::new().append(true).open(folder.join(file)).unwrap();
        whole.set_len(bytes.len() as u64 + end).unwrap();
    }
    let index = serde_json::json!({"weight_map": map}).to_string();
    std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
    let config = r#"{"model_type": "llama", "hidden_size": 512, "num_hidden_layers": 4, "vocab_size": 1000,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 1024,
        "max_position_embeddings": 131072}"#;
    std::fs::write(folder.join("config.json"), config).unwrap();
    let spec = plimsoll::import::source::import(&folder, None);
    std::fs::remove_dir_all(&folder).unwrap();
    let catalogue = Catalogue::embedded();
    let mut request = request("llama-3.1-8b", "h200-sxm", &catalogue);
    request.models = Models::One(Box::new(spec.unwrap()));
    request.limits.formats = vec!["native".to_owned()];
    let bytes = 2.0 * (2.0 * 512_000.0 + 512.0 + 4.0 * 2_360_320.0) + 2.0 * 512.0 * 1024.0;
    let explained = explained(&request, &catalogue);
    assert!((explained.option.weights_bytes.get() - bytes).abs() < 0.5, "{}", explained.option.weights_bytes);
    let held: Vec<f64> = explained
        .memory
        .iter()
        .flat_map(|rank| &rank.parts)
        .filter(|line| line.label.contains("weights"))
        .filter_map(|line| if let Amount::Bytes(bytes) = line.amount { Some(bytes.get()) } else { None })
        .collect();
    // The embedding of which one row is read may be an account of its own.
    let sum: f64 = held.iter().sum();
    assert!((sum - bytes).abs() < 0.5, "{held:?} {bytes}");
}
