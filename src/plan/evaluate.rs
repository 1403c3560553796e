//! One deployment becomes one candidate: fit, speed, throughput, cost, quality.

use crate::arithmetic::scheme::Offer;
use crate::catalogue::machine::Machine;
use crate::catalogue::model::ModelSpec;
use crate::economics::{self, Hour, NoPrice, Pricing};
use crate::fact::{Confidence, Estimate, Fact};
use crate::perf::Draft;
use crate::perf::deployment::Deployment;
use crate::perf::estimator::{Estimator, Phase};
use crate::perf::ground;
use crate::perf::time::Limit;
use crate::placement::account::Account;
use crate::placement::fit::{Verdict, largest_concurrency_of, largest_context_of, verdict};
use crate::placement::name;
use crate::placement::seat::Load;
use crate::placement::settings::Settings;
use crate::plan::answer::{Candidate, Cost, Fit, Service};
use crate::plan::load::{Replicas, Requests, Served};
use crate::plan::options::Search;
use crate::plan::request::{Request, Workload};
use crate::units::math::{exp, ln, pow};
use crate::units::{Money, Seconds, TokenRate, Tokens, Watts};

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

impl Running {
    /// Of a machine, with the hour it was added up from or why there is none.
    pub(super) fn of(pricing: &Pricing<'_>, machine: &Machine) -> (Self, Result<Hour, NoPrice>) {
        let hour = pricing.hour(machine);
        let per_hour = hour.as_ref().ok().map(Hour::fact);
        (Self { per_hour, power: economics::power(machine) }, hour)
    }
}

/// The speed of one deployment for one load: the figures options are compared by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speed {
    /// Generation of one stream.
    pub stream: TokenRate,
    /// Prompt processing of one request.
    pub prompts: TokenRate,
    /// Time to the first token of one request.
    pub ttft: Seconds,
    /// What bounds prefill and decode of one stream.
    pub limits: (Limit, Limit),
    /// The load of highest throughput that fits.
    pub best: Served,
    /// The users asked for.
    pub asked: Served,
}

impl Speed {
    /// The speed of a deployment whose replicas hold so many sessions.
    pub(super) fn of(
        estimator: &Estimator<'_>,
        replicas: Replicas,
        load: Workload,
        spec: &ModelSpec,
    ) -> Self {
        let requests = Requests::of(load, spec);
        let (step, decode_limit) = estimator.decode_bound(1.0, requests.depth());
        let step = match requests.draft {
            None => step,
            drafted => estimator.token_time(1.0, requests.depth(), drafted),
        };
        let (prefill, prefill_limit) = estimator.prefill_bound(requests.input, requests.cached, 1);
        let served = replicas.under(estimator, &requests);
        Self {
            stream: rate(1, step),
            prompts: rate(requests.input, prefill),
            ttft: prefill + estimator.handling(),
            limits: (prefill_limit, decode_limit),
            best: served.fullest(),
            asked: served.serve(load.users),
        }
    }
}

/// Intervals of a deployment, and how sure it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certainty {
    /// How far from measured ground the speed stands.
    pub confidence: Confidence,
    ratios: [(f64, f64); Phase::ALL.len()],
}

impl Certainty {
    /// What is known about deployments like this one.
    pub(super) fn of(deployment: &Deployment<'_>, estimator: &Estimator<'_>) -> Self {
        let model = &deployment.model.spec;
        let known = ground::confidence(model, deployment.engine, &deployment.placement).min(weakest(model));
        // The estimator widens for constants from elsewhere; a family nobody measured widens alike.
        let widen = if known == Confidence::Extrapolated { UNMEASURED } else { 1.0 };
        Self {
            confidence: estimator.confidence().min(known),
            ratios: std::array::from_fn(|phase| {
                let (low, high) = estimator.ratios(Phase::ALL[phase]);
                (pow(low, widen), pow(high, widen))
            }),
        }
    }

    /// The same where tokens are drafted: how many are accepted is not known exactly either.
    pub(super) fn drafted(mut self, draft: Option<Draft>) -> Self {
        let Some(Draft { accepted, .. }) = draft else { return self };
        for phase in [Phase::Decode, Phase::Throughput] {
            let (low, high) = &mut self.ratios[phase as usize];
            *low = 1.0 / together(1.0 / *low, accepted.likely / accepted.low);
            *high = together(*high, accepted.high / accepted.likely);
        }
        self
    }

    /// A rate with its interval: measured over predicted lies between the ratios in 80 % of cases.
    pub(super) fn rate(&self, likely: TokenRate, phase: Phase) -> Estimate<TokenRate> {
        let (low, high) = self.ratios[phase as usize];
        Estimate { low: likely * low, likely, high: likely * high }
    }

    /// A time with its interval: slow rates are long times.
    pub(super) fn time(&self, likely: Seconds, phase: Phase) -> Estimate<Seconds> {
        let (low, high) = self.ratios[phase as usize];
        Estimate { low: likely / high, likely, high: likely / low }
    }

    /// How many times as long it takes at the slow end of the interval.
    pub(super) fn slowness(&self, phase: Phase) -> f64 {
        1.0 / self.ratios[phase as usize].0
    }

    /// A load with its intervals.
    pub(super) fn service(&self, served: &Served) -> Service {
        Service {
            users: served.users,
            waiting: served.waiting,
            output_tokens_per_s: self.rate(served.total, Phase::Throughput),
            ttft_s: self.time(served.each.ttft, Phase::FirstToken),
            tpot_s: self.time(served.each.tpot, Phase::Decode),
            limit: served.each.limit,
        }
    }
}

/// Two independent factors as one: their logarithms add as squares.
fn together(a: f64, b: f64) -> f64 {
    let (a, b) = (ln(a), ln(b));
    exp((a * a + b * b).sqrt())
}

/// Evaluates one deployment as a plan evaluates every candidate, without its cost; none where it does
/// not fit or its speed is not known.
pub fn evaluate(deployment: &Deployment<'_>, offer: &Offer, request: &Request) -> Option<Candidate> {
    let search = Search {
        model: deployment.model,
        machine: deployment.machine,
        load: request.workload,
        limits: &request.limits,
        running: &Running::default(),
        operators: request.operators.as_deref(),
        enough: None,
    };
    let settings = Settings::for_deployment(deployment);
    candidate(&search, deployment, &Account::new(deployment, &settings), offer)
}

/// Evaluates a deployment whose memory is accounted for.
pub(super) fn candidate(
    search: &Search<'_>,
    deployment: &Deployment<'_>,
    account: &Account<'_>,
    offer: &Offer,
) -> Option<Candidate> {
    let (load, running) = (search.load, search.running);
    let ledger = account.ledger(Load::of(deployment));
    let fit = fit_of(&verdict(&ledger))?;
    let estimator = Estimator::new(deployment, search.sources()).ok()?;
    let d = deployment;
    let count = u64::from(d.placement.replicas.max(1));
    let held = largest_concurrency_of(account, load.context);
    let speed = Speed::of(&estimator, Replicas::of(d, held), load, &d.model.spec);
    let prompts = speed.prompts * count as f64;
    let cost = Cost {
        per_million_output: running
            .per_hour
            .as_ref()
            .and_then(|f| economics::per_million(f.value, speed.best.total)),
        per_million_input: running.per_hour.as_ref().and_then(|f| economics::per_million(f.value, prompts)),
        per_hour: running.per_hour.clone(),
        power: running.power.clone(),
    };
    let worst = ledger.worst()?;
    let model = &d.model.spec;
    let certainty = Certainty::of(d, &estimator).drafted(load.draft(model));
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
        largest_context: largest_context_of(account, load.users.div_ceil(count), model.context.get())?,
        largest_concurrency: held * count,
        cache_bytes_per_session: ledger.cache_per_session(),
        prefill_tokens_per_s: certainty.rate(speed.prompts, Phase::Prefill),
        ttft_s: certainty.time(speed.ttft, Phase::FirstToken),
        decode_tokens_per_s: certainty.rate(speed.stream, Phase::Decode),
        throughput: certainty.service(&speed.best),
        service: certainty.service(&speed.asked),
        prefill_throughput_tokens_per_s: certainty.rate(prompts, Phase::Prefill),
        prefill_limit: speed.limits.0,
        decode_limit: speed.limits.1,
        cost,
        quality: offer.scheme.quality(model),
        confidence: certainty.confidence,
        notes: notes(&estimator, load, model),
    })
}

/// What a reader should know about the speed.
fn notes(estimator: &Estimator<'_>, load: Workload, model: &ModelSpec) -> Vec<String> {
    let mut notes = estimator.notes();
    notes.extend(load.drafting.and_then(|drafting| {
        let accepted = drafting.accepted(model)?;
        let Estimate { low, likely, high } = accepted.length;
        let range = if low < high { format!(" ({low:.2}–{high:.2})") } else { String::new() };
        Some(format!(
            "{} drafts {} ahead: {likely:.2} tokens per step{range}, {}",
            drafting.method, drafting.tokens, accepted.standing
        ))
    }));
    notes
}

/// A shape that is not proven cannot carry more confidence than that.
fn weakest(model: &ModelSpec) -> Confidence {
    use crate::catalogue::model::Grade;
    match model.config.grade {
        Grade::Published | Grade::Proven => Confidence::Good,
        Grade::ClassDefault | Grade::Recalled => Confidence::Moderate,
        Grade::Partial | Grade::Coarse => Confidence::Extrapolated,
    }
}

/// Tokens over time.
fn rate(tokens: u64, time: Seconds) -> TokenRate {
    Tokens::new(tokens as f64) / time
}

/// Whether a verdict is an answer, and which.
fn fit_of(verdict: &Verdict) -> Option<Fit> {
    match verdict {
        Verdict::Fits => Some(Fit::Fits),
        Verdict::Tight => Some(Fit::Tight),
        Verdict::No { .. } => None,
    }
}
