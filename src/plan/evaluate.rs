//! One deployment becomes one candidate: fit, speed, throughput, cost, quality.

use crate::economics;
use crate::fact::{Confidence, Estimate, Fact};
use crate::perf::deployment::Deployment;
use crate::perf::estimator::{Estimator, Phase};
use crate::perf::ground;
use crate::perf::time::StepTime;
use crate::placement::fit::{Verdict, largest_concurrency, largest_context};
use crate::placement::ledger::{Ledger, RankLedger};
use crate::placement::name;
use crate::plan::answer::{Amount, Candidate, Cost, Fit, Term, Throughput};
use crate::plan::request::Workload;
use crate::units::math::pow;
use crate::units::{Money, Seconds, TokenRate, Tokens, Watts};

/// Most sessions per replica a serving engine is assumed to run; beyond it schedulers dominate.
const MOST_SESSIONS: u64 = 512;

/// Power the interval is raised to where no row stands behind a family (section 12 of the physics:
/// the parent regime widened by half).
const UNMEASURED: f64 = 1.5;

/// What a whole machine costs and draws, the same for all its candidates.
#[derive(Clone, Debug, Default)]
pub(super) struct Running {
    /// US dollars per hour.
    pub per_hour: Option<Fact<Money>>,
    /// Watts at the wall.
    pub power: Option<Fact<Watts>>,
}

/// Evaluates a deployment known to fit.
pub(super) fn candidate(
    deployment: &Deployment<'_>,
    ledger: &Ledger,
    fit: Fit,
    load: Workload,
    running: &Running,
    quality: Option<Fact<f64>>,
) -> Option<Candidate> {
    let estimator = Estimator::new(deployment).ok()?;
    let d = deployment;
    let replicas = u64::from(d.placement.replicas);
    let depth = load.prompt + load.output / 2;

    let decode = estimator.decode(1, depth);
    let prefill = estimator.prefill(load.prompt, 0, 1);
    let stream = rate(1, decode.total());
    let prompt_rate = rate(load.prompt, prefill.total());
    let ttft = estimator.time_to_first_token(load.prompt, 0);

    let users_each = largest_concurrency(d, load.context);
    let sessions = best_sessions(&estimator, users_each.min(MOST_SESSIONS), depth);
    let period = estimator.decode_period(sessions, depth);
    let all = rate(sessions * replicas, period);
    let prompts = TokenRate::new(prompt_rate.get() * replicas as f64);

    let cost = Cost {
        per_million_output: running.per_hour.as_ref().and_then(|f| economics::per_million(f.value, all)),
        per_million_input: running.per_hour.as_ref().and_then(|f| economics::per_million(f.value, prompts)),
        per_hour: running.per_hour.clone(),
        power: running.power.clone(),
    };
    let worst = ledger.worst()?;
    let model = &d.model.spec;
    let known = ground::confidence(model, d.engine, &d.placement).min(weakest(model));
    let confidence = estimator.confidence().min(known);
    // The estimator widens for constants from elsewhere; a family nobody measured widens alike.
    let widen = if known == Confidence::Extrapolated { UNMEASURED } else { 1.0 };
    let ratios = |phase| {
        let (low, high) = estimator.ratios(phase);
        (pow(low, widen), pow(high, widen))
    };
    Some(Candidate {
        id: format!(
            "{}/{}/{}/{}/kv-{}",
            model.id,
            d.weights.scheme,
            d.engine,
            name::slug(&d.placement, d.engine),
            d.kv
        ),
        model: model.id.clone(),
        format: d.weights.scheme.clone(),
        weights_bytes: d.weights.total(),
        bits_per_weight: d.weights.total().get() * 8.0 / d.model.inventory.total() as f64,
        weights_origin: d.weights.origin.to_string(),
        kv_format: d.kv,
        engine: d.engine,
        placement: d.placement,
        layout: name::words(&d.placement, d.engine),
        fit,
        free_bytes: worst.free(),
        worst_device: worst.name.clone(),
        largest_context: largest_context(d, load.users.div_ceil(replicas))?,
        largest_concurrency: users_each * replicas,
        cache_bytes_per_session: ledger.cache_per_session(),
        prefill_tokens_per_s: spread(prompt_rate, ratios(Phase::Prefill)),
        ttft_s: spread_time(ttft, ratios(Phase::FirstToken)),
        decode_tokens_per_s: spread(stream, ratios(Phase::Decode)),
        throughput: Throughput {
            sessions: sessions * replicas,
            decode_tokens_per_s: spread(all, ratios(Phase::Throughput)),
            prefill_tokens_per_s: spread(prompts, ratios(Phase::Prefill)),
            tpot_s: spread_time(estimator.decode(sessions, depth).total(), ratios(Phase::Decode)),
        },
        prefill_limit: prefill.limit(),
        decode_limit: decode.limit(),
        cost,
        quality,
        confidence,
        notes: estimator.notes(),
        memory: ledger.accounts().map(memory_term).collect(),
        decode_step: step_term("decode step", &decode),
        prefill_step: step_term("prefill", &prefill),
    })
}

/// A shape that is not proven cannot carry more confidence than that.
fn weakest(model: &crate::catalogue::model::ModelSpec) -> Confidence {
    use crate::catalogue::model::Grade;
    match model.config.grade {
        Grade::Published | Grade::Proven => Confidence::Good,
        Grade::ClassDefault | Grade::Recalled => Confidence::Moderate,
        Grade::Partial | Grade::Coarse => Confidence::Extrapolated,
    }
}

/// Sessions in flight that give the most tokens per second: powers of two up to what fits.
fn best_sessions(estimator: &Estimator<'_>, most: u64, depth: u64) -> u64 {
    let steps = std::iter::successors(Some(1_u64), |n| Some(n * 2)).take_while(|n| *n < most);
    steps
        .chain([most.max(1)])
        .map(|n| (rate(n, estimator.decode_period(n, depth)).get(), n))
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))
        .map_or(1, |(_, n)| n)
}

/// Tokens over time.
fn rate(tokens: u64, time: Seconds) -> TokenRate {
    Tokens::new(tokens as f64) / time
}

/// A rate with its interval: measured over predicted lies between the ratios in 80 % of cases.
fn spread(likely: TokenRate, (low, high): (f64, f64)) -> Estimate<TokenRate> {
    Estimate { low: likely * low, likely, high: likely * high }
}

/// A time with its interval: slow rates are long times.
fn spread_time(likely: Seconds, (low, high): (f64, f64)) -> Estimate<Seconds> {
    Estimate { low: likely / high, likely, high: likely / low }
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

/// A step as a tree.
fn step_term(label: &str, step: &StepTime) -> Term {
    let parts = step.parts.iter().map(|part| Term {
        label: if part.layers > 0 {
            format!("{} in {} layers", part.label, part.layers)
        } else {
            part.label.to_owned()
        },
        amount: Amount::Seconds(part.time),
        limit: Some(part.limit),
        basis: once_each(&part.basis),
        parts: Vec::new(),
    });
    Term {
        label: label.to_owned(),
        amount: Amount::Seconds(step.total()),
        limit: Some(step.limit()),
        basis: String::new(),
        parts: parts.collect(),
    }
}

/// Whether a verdict is an answer, and which.
pub(super) fn fit_of(verdict: &Verdict) -> Option<Fit> {
    match verdict {
        Verdict::Fits => Some(Fit::Fits),
        Verdict::Tight => Some(Fit::Tight),
        Verdict::No { .. } => None,
    }
}
