//! Why an option is what it is: memory, the parts of its steps, the constants behind them, and what
//! would help most. Made on demand for one option; the plan itself keeps no parts.

use crate::arithmetic::tensor::Role;
use crate::arithmetic::weights::{Decoding, Weights};
use crate::catalogue::machine::DeviceGroup;
use crate::catalogue::model::ModelSpec;
use crate::catalogue::store::Catalogue;
use crate::fact::Estimate;
use crate::perf::constants::{Constants, Lookup};
use crate::perf::deployment::{Deployment, Engine, Model};
use crate::perf::time::{Limit, Part, StepTime};
use crate::perf::{Estimator, Sources};
use crate::placement::ledger::RankLedger;
use crate::plan::answer::{Amount, Candidate, Plan, SCHEMA, Term};
use crate::plan::evaluate::Running;
use crate::plan::lever::{Lever, levers};
use crate::plan::load::{Replicas, Requests, Served};
use crate::plan::options::Search;
use crate::plan::request::{Models, Request, Workload};
use crate::plan::{PlanError, plan, rebuilt};
use crate::units::{Bandwidth, Bytes, Flop, FlopRate, Seconds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything behind one option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Version of this form.
    pub schema: u32,
    /// The option as the plan has it.
    pub option: Candidate,
    /// Memory per device, as a tree.
    pub memory: Vec<Term>,
    /// The kinds of layers of the model.
    pub layers: Vec<LayerKind>,
    /// What shares of peaks are of.
    pub peaks: Option<Peaks>,
    /// The steps it was judged by.
    pub steps: Vec<Step>,
    /// Times under load, and what they are made of.
    pub loads: Vec<Term>,
    /// The constants used, by name.
    pub constants: Vec<Constant>,
    /// What the fitted factors among them were fitted to.
    pub fitted_to: String,
    /// What would help, most first.
    pub levers: Vec<Lever>,
}

/// Layers of the same make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LayerKind {
    /// Its blocks in the order of execution.
    pub blocks: Vec<String>,
    /// How many.
    pub layers: u32,
}

/// Peaks of one device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peaks {
    /// Memory bandwidth.
    pub bandwidth_bytes_per_s: Bandwidth,
    /// Arithmetic of attention: 16 bit.
    pub wide_flop_per_s: FlopRate,
    /// Arithmetic of products with the weights as stored.
    pub products_flop_per_s: FlopRate,
    /// Arithmetic of routed experts as stored.
    pub experts_flop_per_s: FlopRate,
    /// Memory bandwidth of the host.
    pub host_bytes_per_s: Bandwidth,
}

/// One step and its parts; the step is their sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Which step.
    pub label: String,
    /// Its time.
    pub seconds: Seconds,
    /// What takes most of it.
    pub limit: Limit,
    /// Its parts, longest first.
    pub parts: Vec<StepPart>,
}

/// One part of a step: an operation over all layers that have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepPart {
    /// The operation.
    pub label: String,
    /// Layers that have it; 0 for what a step pays once.
    pub layers: u32,
    /// Time.
    pub seconds: Seconds,
    /// Of the step.
    pub share: f64,
    /// What bounds it.
    pub limit: Limit,
    /// Bytes moved per device.
    pub bytes: Bytes,
    /// Operations per device.
    pub flop: Flop,
    /// Of the peak bandwidth of the memory it reads; absent where none is known or nothing is read.
    pub bandwidth_share: Option<f64>,
    /// Of the peak arithmetic of its type; absent likewise.
    pub arithmetic_share: Option<f64>,
    /// Constants it rests on, with their values.
    pub basis: String,
}

/// A constant in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Constant {
    /// Name, with the kind it was asked for.
    pub name: String,
    /// Value.
    pub value: f64,
    /// Unit.
    pub unit: String,
    /// What it is.
    pub meaning: String,
    /// Where its table comes from.
    pub source: String,
    /// How far it was fetched from; empty for what was asked for.
    pub reach: String,
    /// Product of the fitted factors in it.
    pub fitted_factor: f64,
    /// Measured rows behind the factors.
    pub fitted_rows: u64,
}

/// Explains an option of the plan of a request: by its id, or the best. `None` when nothing fits.
///
/// # Errors
/// As [`plan`], and for an id the plan does not have.
pub fn explain(
    request: &Request,
    catalogue: &Catalogue,
    id: Option<&str>,
) -> Result<Option<Explanation>, PlanError> {
    let Models::One(spec) = &request.models else { return Err(PlanError::OneModel) };
    let plan = plan(request, catalogue)?;
    let option = match id {
        Some(id) => plan.options.iter().find(|option| option.id == id),
        None => plan.options.first(),
    };
    match (option, id) {
        (Some(option), _) => Ok(explanation(request, spec, &plan, option)),
        (None, Some(id)) if !plan.options.is_empty() => Err(PlanError::NoSuchOption {
            id: id.to_owned(),
            known: plan.options.iter().map(|option| option.id.clone()).collect(),
        }),
        (None, _) => Ok(None),
    }
}

/// The parts of an option of a plan.
fn explanation(request: &Request, spec: &ModelSpec, plan: &Plan, option: &Candidate) -> Option<Explanation> {
    let model = Model::new(spec.clone());
    let running = Running::default();
    let search = Search {
        model: &model,
        machine: &request.machine,
        load: request.workload,
        limits: &request.limits,
        running: &running,
        enough: None,
        operators: request.operators.as_deref(),
    };
    let weights = rebuilt::weights(&search, option)?;
    let (deployment, ledger) = rebuilt::deployment(&search, &weights, option)?;
    let sources = Sources { traced: true, operators: search.operators, ..Sources::shipped() };
    let estimator = Estimator::new(&deployment, sources).ok()?;
    let peaks = peaks(&deployment, &weights);
    let load = request.workload;
    let requests = Requests::of(load, spec);
    let held = option.largest_concurrency / u64::from(option.placement.replicas.max(1));
    let replicas = Replicas::of(&deployment, held);
    let under = replicas.under(&estimator, &requests);
    let served = [load.users, option.throughput.users].map(|users| under.serve(users));
    let busy = |served: &Served| served.users_each.min(replicas.slots);

    let mut batches: Vec<u64> = std::iter::once(1).chain(served.iter().map(busy)).collect();
    batches.sort_unstable();
    batches.dedup();
    let drafted_ahead = requests.draft.map_or(0, |draft| draft.tokens);
    let what = if drafted_ahead > 0 {
        format!("decode that verifies {drafted_ahead} drafted tokens of each")
    } else {
        "decode".to_owned()
    };
    let mut steps: Vec<Step> = batches
        .iter()
        .map(|n| {
            let streams = if *n == 1 { "one stream".to_owned() } else { format!("{n} streams together") };
            let each = if replicas.count > 1 { " of each replica" } else { "" };
            step(
                format!("{what}, {streams}{each}"),
                &estimator.verify(*n, requests.depth(), drafted_ahead),
                peaks.as_ref(),
                1.0,
            )
        })
        .collect();
    // The stages of a pipeline work on the chunks of a prompt at once, one stage at a time on a token.
    let at_once = deployment.stages.len().max(1) as f64;
    let prompt = estimator.prefill(requests.input, requests.cached, 1);
    let cached = match requests.cached {
        0 => String::new(),
        cached => format!(", {cached} of them cached"),
    };
    steps.push(step(
        format!("prefill, one prompt of {} tokens{cached}", load.prompt),
        &prompt,
        peaks.as_ref(),
        at_once,
    ));
    let mut loads: Vec<Term> = Vec::new();
    for served in &served {
        let times = under_load(&estimator, served, replicas, &requests, prompt.total());
        loads.extend(times.into_iter().filter(|time| !loads.contains(time)).collect::<Vec<_>>());
    }
    Some(Explanation {
        schema: SCHEMA,
        memory: ledger.accounts().map(memory_term).collect(),
        layers: layer_kinds(spec),
        peaks,
        steps,
        loads,
        constants: drafted(load, spec)
            .into_iter()
            .chain(used(sources.constants, estimator.lookups()))
            .collect(),
        fitted_to: sources.constants.fitted_to().to_owned(),
        levers: levers(&deployment, option, &plan.options, load, request.objective),
        option: option.clone(),
    })
}

/// How many tokens a step yields, and why, as a constant.
fn drafted(load: Workload, spec: &ModelSpec) -> Option<Constant> {
    let drafting = load.drafting?;
    let accepted = drafting.accepted(spec)?;
    let Estimate { low, likely, high } = accepted.length;
    Some(Constant {
        name: format!("accepted_length[{}:{}]", drafting.method, drafting.tokens),
        value: likely,
        unit: "tokens per step".to_owned(),
        meaning: format!(
            "Tokens a step yields with {} drafted, its own included: {low:.2} to {high:.2}.",
            drafting.tokens
        ),
        source: accepted.sources(),
        reach: accepted.standing.to_string(),
        fitted_factor: 1.0,
        fitted_rows: 0,
    })
}

/// Time to the first token and per token of a load, each as the sum of what it is made of.
fn under_load(
    estimator: &Estimator<'_>,
    served: &Served,
    replicas: Replicas,
    requests: &Requests,
    prompt: Seconds,
) -> [Term; 2] {
    let n = served.users_each.min(replicas.slots);
    let users = if served.users == 1 { "1 user".to_owned() } else { format!("{} users", served.users) };
    let term = |label: String, time: Seconds, basis: &str, parts: Vec<Term>| Term {
        label,
        amount: Amount::Seconds(time),
        limit: None,
        basis: basis.to_owned(),
        parts,
    };
    let rest = |whole: Seconds, parts: &[Term], label: &str, basis: &str| {
        let known: Seconds = parts.iter().map(|part| part.amount.seconds()).sum();
        (whole.get() - known.get() > whole.get() * 1e-9)
            .then(|| term(label.to_owned(), whole - known, basis, Vec::new()))
    };
    let mut tpot = match &requests.draft {
        None => {
            let decode = estimator.decode_period(n as f64, requests.depth());
            vec![term(format!("decode step of {n} streams"), decode, "", Vec::new())]
        }
        Some(draft) => {
            let [verify, drafting] = estimator.drafted_step(n as f64, requests.depth(), draft);
            let yielded = draft.accepted.likely.max(1.0);
            let over = format!("over the {yielded:.2} tokens a step yields");
            let rows = draft.tokens + 1;
            let mut parts = vec![term(
                format!("step that verifies {rows} tokens of {n} streams"),
                verify / yielded,
                &over,
                Vec::new(),
            )];
            if drafting > Seconds::ZERO {
                let label = format!("{} passes of {}", draft.tokens, draft.method);
                parts.push(term(label, drafting / yielded, &over, Vec::new()));
            }
            parts
        }
    };
    tpot.extend(rest(
        served.each.tpot,
        &tpot,
        "prompts of the others",
        "steps that hold them, less what is shared",
    ));
    let mut ttft = vec![
        term("request handling".to_owned(), estimator.handling(), "", Vec::new()),
        term("its own prompt".to_owned(), prompt, "", Vec::new()),
    ];
    ttft.retain(|part| part.amount.seconds() > Seconds::ZERO);
    let waits = if served.waiting > 0 { "waiting for a place and for steps" } else { "waiting for steps" };
    ttft.extend(rest(
        served.each.ttft,
        &ttft,
        waits,
        "decode steps under way, prompts that go first or along",
    ));
    [
        term(format!("time to first token, {users}"), served.each.ttft, "", ttft),
        term(format!("time per output token, {users}"), served.each.tpot, "", tpot),
    ]
}

/// An account of memory as a tree.
fn memory_term(account: &RankLedger) -> Term {
    let lines = account.lines.iter().map(|line| Term {
        label: line.kind.to_string(),
        amount: Amount::Bytes(line.bytes),
        limit: None,
        basis: format!("{} ({})", line.rule, line.origin),
        parts: Vec::new(),
    });
    Term {
        label: format!(
            "of {} used, {} left: {}{}",
            account.room(),
            account.free(),
            account.name,
            if account.devices > 1 { format!(", {} alike", account.devices) } else { String::new() }
        ),
        amount: Amount::Bytes(account.used()),
        limit: None,
        basis: String::new(),
        parts: lines.collect(),
    }
}

/// A step with the shares of peaks its parts reach; `devices` work on it at once.
fn step(label: String, step: &StepTime, peaks: Option<&Peaks>, devices: f64) -> Step {
    let total = step.total();
    let mut parts: Vec<StepPart> =
        step.parts.iter().map(|part| shares(part, total, peaks, devices)).collect();
    parts.sort_by(|a, b| b.seconds.get().total_cmp(&a.seconds.get()));
    Step { label, seconds: total, limit: step.limit(), parts }
}

/// One part with its shares.
fn shares(part: &Part, total: Seconds, peaks: Option<&Peaks>, devices: f64) -> StepPart {
    let seconds = part.time.get();
    let of =
        |amount: f64, peak: f64| (amount > 0.0 && peak > 0.0).then(|| amount / (seconds * peak * devices));
    let (bandwidth, arithmetic) = match (peaks, part.limit) {
        (None, _) | (_, Limit::Link | Limit::Disk) => (None, None),
        (Some(peaks), Limit::Host) => (of(part.bytes.get(), peaks.host_bytes_per_s.get()), None),
        (Some(peaks), Limit::Compute | Limit::Memory | Limit::Overhead) => {
            let peak = match part.label {
                "experts" => peaks.experts_flop_per_s,
                label if label.contains("attention") && !label.contains("projections") => {
                    peaks.wide_flop_per_s
                }
                _ => peaks.products_flop_per_s,
            };
            (of(part.bytes.get(), peaks.bandwidth_bytes_per_s.get()), of(part.flop.get(), peak.get()))
        }
    };
    StepPart {
        label: part.label.to_owned(),
        layers: part.layers,
        seconds: part.time,
        share: part.time / total,
        limit: part.limit,
        bytes: part.bytes,
        flop: part.flop,
        bandwidth_share: bandwidth,
        arithmetic_share: arithmetic,
        basis: once_each(part.basis.as_deref().unwrap_or_default()),
    }
}

/// A list of constants without repeats: the same one is looked up for every format of a mix.
fn once_each(list: &str) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for item in list.split(", ") {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen.join(", ")
}

/// The peaks of the devices; none where there are none or they differ.
fn peaks(deployment: &Deployment<'_>, weights: &Weights) -> Option<Peaks> {
    let groups: Vec<&DeviceGroup> =
        deployment.stages.iter().map(|stage| deployment.device_group(stage)).collect();
    let host = deployment.host().bandwidth.value;
    let Some(first) = groups.first() else {
        // Without devices only the memory of the host has a peak.
        return Some(Peaks {
            bandwidth_bytes_per_s: Bandwidth::ZERO,
            wide_flop_per_s: FlopRate::ZERO,
            products_flop_per_s: FlopRate::ZERO,
            experts_flop_per_s: FlopRate::ZERO,
            host_bytes_per_s: host,
        });
    };
    if groups.iter().any(|group| group.id != first.id) {
        return None;
    }
    let rates = &first.accelerator.rates;
    let wide = rates.bf16.or(rates.fp16).or(rates.fp32).map_or(FlopRate::ZERO, FlopRate::tflops);
    let narrow = |experts: bool| match dominant(weights, experts) {
        Some(Decoding::Fp8) => rates.fp8.map(FlopRate::tflops),
        Some(Decoding::Fp4) => rates.fp4.map(FlopRate::tflops),
        Some(_) | None => None,
    };
    let stored = |experts: bool| match deployment.engine {
        Engine::Vllm | Engine::Sglang | Engine::Atom | Engine::TensorRtLlm => narrow(experts).unwrap_or(wide),
        // Local engines widen what they read to half precision.
        Engine::LlamaCpp | Engine::IkLlamaCpp | Engine::Mlx | Engine::KTransformers => wide,
    };
    Some(Peaks {
        bandwidth_bytes_per_s: first.bandwidth.value,
        wide_flop_per_s: wide,
        products_flop_per_s: stored(false),
        experts_flop_per_s: stored(true),
        host_bytes_per_s: host,
    })
}

/// How most of the bytes of routed experts, or of the other weights of layers, are decoded.
fn dominant(weights: &Weights, experts: bool) -> Option<Decoding> {
    let mut bytes: BTreeMap<&'static str, (Decoding, f64)> = BTreeMap::new();
    for entry in &weights.entries {
        let role = entry.tensor.role;
        if is_expert(role) == experts && !matches!(role, Role::Embedding | Role::Output | Role::Vector) {
            let decoding = entry.stored.format.decoding;
            bytes.entry(decoding.word()).or_insert((decoding, 0.0)).1 += entry.bytes().get();
        }
    }
    bytes.into_values().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(decoding, _)| decoding)
}

/// Whether a tensor is one of routed experts.
const fn is_expert(role: Role) -> bool {
    matches!(role, Role::ExpertGate | Role::ExpertUp | Role::ExpertDown | Role::ExpertsIn | Role::ExpertsOut)
}

/// The kinds of layers, in the order they first come.
fn layer_kinds(spec: &ModelSpec) -> Vec<LayerKind> {
    let mut kinds: Vec<LayerKind> = Vec::new();
    for (group, _) in spec.groups() {
        let layers = group.at.len() as u32;
        match kinds.iter_mut().find(|kind| kind.blocks == group.blocks) {
            Some(kind) => kind.layers += layers,
            None => kinds.push(LayerKind { blocks: group.blocks.clone(), layers }),
        }
    }
    kinds
}

/// The constants that were looked up, each once, by name.
fn used(constants: &Constants, lookups: &[Lookup]) -> Vec<Constant> {
    let mut all: BTreeMap<String, Constant> = BTreeMap::new();
    for lookup in lookups {
        let name =
            lookup.kind.map_or_else(|| lookup.name.to_owned(), |kind| format!("{}[{kind}]", lookup.name));
        if let Some(found) = constants.provenance(lookup) {
            all.entry(name.clone()).or_insert_with(|| Constant {
                name,
                value: found.value,
                unit: found.unit.to_owned(),
                meaning: found.meaning.to_owned(),
                source: found.source.to_owned(),
                reach: found.reach.words().trim_matches([' ', '(', ')']).to_owned(),
                fitted_factor: found.factor,
                fitted_rows: found.rows,
            });
        }
    }
    all.into_values().collect()
}
