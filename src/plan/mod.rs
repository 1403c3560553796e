//! The one entry every interface uses: a request becomes a plan.
//!
//! For each model: formats × engines × layouts × cache formats (`options`), memory before time
//! (`evaluate`), ranked, and for what does not fit the nearest changes that would (`remedy`).

mod answer;
mod evaluate;
mod explanation;
mod fit;
mod frontier;
mod lever;
mod load;
mod options;
mod pools;
mod rebuilt;
mod refusal;
mod remedy;
mod request;
pub mod size;

pub use answer::{
    Amount, Candidate, Cost, Fit, Miss, ModelFacts, Plan, Question, Remedy, SCHEMA, Service, Term,
};
pub use evaluate::evaluate;
pub use explanation::{Constant, Explanation, LayerKind, Peaks, Step, StepPart, explain};
pub use fit::{Choice, FitCell, FitRow, FitTable, fit};
pub use frontier::{Curve, Frontier, Point, Sweep, frontier};
pub use lever::{Change, Lever};
pub use pools::{Division, Split};
pub use request::{Limits, Models, Request, Workload};

use crate::arithmetic::formats::format;
use crate::arithmetic::scheme::{self, Family, Offer, Scheme};
use crate::catalogue::decode::BadFile;
use crate::catalogue::model::{Grade, ModelSpec};
use crate::catalogue::store::{Catalogue, LookupError};
use crate::economics::Pricing;
use crate::perf::deployment::Model;
use crate::ranking::{Objective, dominates, score};
use evaluate::Running;
use options::{Found, Search};
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// Formats per engine that are enough when every model of the catalogue is asked about: the best
/// that fits.
const ENOUGH_FOR_ALL: usize = 1;
/// Tokens per second below which people do not wait for a model.
pub const USABLE: f64 = 10.0;
/// Misses told about one model.
const MISSES_TOLD: usize = 3;

/// Why a request could not be planned.
#[derive(Debug, Error)]
pub enum PlanError {
    /// A weight format nobody knows.
    #[error("unknown weight format `{name}`")]
    UnknownFormat {
        /// As written.
        name: String,
        /// Names that may have been meant.
        near: Vec<String>,
    },
    /// A question about one model that names all or none.
    #[error("this question is about one model")]
    OneModel,
    /// An option the plan does not have.
    #[error("unknown option `{id}`")]
    NoSuchOption {
        /// As written.
        id: String,
        /// The options the plan has.
        known: Vec<String>,
    },
    /// Cached tokens that exceed the prompt they are part of.
    #[error("of a prompt of {input} tokens {cached} cannot be cached: at least one is new")]
    AllCached {
        /// Prompt tokens.
        input: u64,
        /// Tokens of them said to be cached.
        cached: u64,
    },
    /// A layout was fixed that this model or machine cannot have.
    #[error("no layout agrees with what was fixed: {why}")]
    NoSuchLayout {
        /// Why the nearest one is refused.
        why: String,
        /// What to ask for instead.
        hint: Option<String>,
    },
    /// A context beyond what the model is made for.
    #[error("{model} is made for a context of up to {most} tokens, {asked} were asked for")]
    ContextTooLong {
        /// The model.
        model: String,
        /// Its context.
        most: u64,
        /// The context asked for.
        asked: u64,
    },
    /// Prompt and output do not fit the context.
    #[error("a prompt of {prompt} and an output of {output} tokens exceed the context of {context}")]
    RequestTooLong {
        /// Prompt tokens.
        prompt: u64,
        /// Output tokens.
        output: u64,
        /// Context.
        context: u64,
    },
    /// Prediction layers were to draft, and the model has none.
    #[error("{model} has no prediction layers to draft with")]
    NoPrediction {
        /// The model.
        model: String,
    },
    /// A model file of the catalogue that does not read.
    #[error(transparent)]
    File(#[from] BadFile),
    /// A name the catalogue does not have.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

/// Answers a request from the catalogue. Pure: the same inputs give the same plan.
///
/// # Errors
/// When the request contradicts itself or names what nobody knows; "does not fit" is an answer.
pub fn plan(request: &Request, catalogue: &Catalogue) -> Result<Plan, PlanError> {
    let specs = specs(request, catalogue)?;
    if matches!(request.models, Models::All)
        && let Some(why) = refusal::too_few_devices(&request.limits, &request.machine)
    {
        return Err(PlanError::NoSuchLayout { why, hint: None });
    }
    let pricing = Pricing { catalogue, stated: &request.terms };
    let (running, hour) = Running::of(&pricing, &request.machine);
    let answers: Vec<(ModelFacts, Found)> = specs
        .into_par_iter()
        .map(|spec| answer(&spec, request, &pricing, &running))
        .collect::<Result<_, _>>()?;

    let mut plan = Plan {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data: Catalogue::data_version().to_owned(),
        question: question(request),
        models: Vec::new(),
        options: Vec::new(),
        misses: Vec::new(),
        assumptions: request.machine.assumptions.clone(),
        considered: 0,
        unpriced: hour.as_ref().err().map(ToString::to_string),
        hour: hour.ok(),
        currency: request.terms.currency.clone(),
    };
    for (facts, found) in answers {
        plan.models.push(facts);
        plan.options.extend(found.options);
        plan.misses.extend(found.misses);
        plan.considered += found.considered;
    }
    match request.models {
        Models::One(_) => rank(&mut plan.options, request.objective),
        Models::All => rank_models(&mut plan.options, &plan.models),
    }
    Ok(plan)
}

/// The models of the request; those whose context is too short for the load are left out of "all".
fn specs(request: &Request, catalogue: &Catalogue) -> Result<Vec<Arc<ModelSpec>>, PlanError> {
    let load = request.workload;
    if load.prompt + load.output > load.context {
        let Workload { prompt, output, context, .. } = load;
        return Err(PlanError::RequestTooLong { prompt, output, context });
    }
    if load.cached > 0 && load.cached >= load.prompt {
        return Err(PlanError::AllCached { input: load.prompt, cached: load.cached });
    }
    match &request.models {
        Models::One(spec) => {
            let most = spec.context.get();
            if load.context > most {
                return Err(PlanError::ContextTooLong { model: spec.id.clone(), most, asked: load.context });
            }
            if load.drafting.is_some() && load.draft(spec).is_none() {
                return Err(PlanError::NoPrediction { model: spec.id.clone() });
            }
            Ok(vec![Arc::new((**spec).clone())])
        }
        Models::All => {
            let ids: Vec<&str> = catalogue.model_ids().collect();
            let specs: Vec<Arc<ModelSpec>> = ids
                .par_iter()
                .map(|id| catalogue.model(id).map(|entry| entry.value))
                .collect::<Result<_, _>>()?;
            Ok(specs.into_iter().filter(|spec| spec.context.get() >= load.context).collect())
        }
    }
}

/// Everything about one model.
fn answer(
    spec: &ModelSpec,
    request: &Request,
    pricing: &Pricing<'_>,
    running: &Running,
) -> Result<(ModelFacts, Found), PlanError> {
    let model = Model::new(spec.clone());
    let offers = offers(&model, &request.limits)?;
    let all = matches!(request.models, Models::All);
    let search = Search {
        model: &model,
        machine: &request.machine,
        load: request.workload,
        limits: &request.limits,
        running,
        operators: request.operators.as_deref(),
        enough: all.then_some(ENOUGH_FOR_ALL),
    };
    let mut found = if all { best_of(&search, &offers) } else { search.run(&offers) };
    if found.considered == 0
        && !all
        && let Some(refusal) = refusal::refusal(&search, &offers)
    {
        return Err(refusal);
    }
    if request.limits.formats.is_empty() {
        found.misses = told(found.misses, &found.options);
    }
    if all {
        keep_best(&mut found.options, request.objective);
        found.misses.clear();
    } else {
        drop_dominated(&mut found.options);
        // The way out for the best format, and for the smallest if nothing fits: more would be noise.
        let last = if found.options.is_empty() { found.misses.len().saturating_sub(1) } else { 0 };
        for (_, miss) in found.misses.iter_mut().enumerate().filter(|(i, _)| *i == 0 || *i == last) {
            if let Some(offer) = offers.iter().find(|offer| offer.scheme.name() == miss.format) {
                miss.remedies = remedy::remedies(&search, offer, pricing, request.objective, &found.options);
            }
        }
    }
    Ok((facts(&model), found))
}

/// One good option of a model among many: with the help of host memory only where nothing fits the
/// accelerators alone.
fn best_of(search: &Search<'_>, offers: &[Offer]) -> Found {
    if search.machine.device_count() == 0 {
        return search.run(offers);
    }
    let alone = Limits { no_offload: true, ..search.limits.clone() };
    let mut found = Search { limits: &alone, ..*search }.run(offers);
    if found.options.is_empty() && !search.limits.no_offload {
        let considered = found.considered;
        found = search.run(offers);
        found.considered += considered;
    }
    found
}

/// The formats to try with the weights in each, best quality first.
fn offers(model: &Model, limits: &Limits) -> Result<Vec<Offer>, PlanError> {
    if limits.formats.is_empty() {
        return Ok(offered(model));
    }
    let weigh = |name: &String| match Scheme::parse(name) {
        Ok(scheme) => Ok(Offer::of(scheme, &model.spec, &model.inventory)),
        Err(unknown) => Err(PlanError::UnknownFormat { name: name.clone(), near: unknown.near }),
    };
    limits.formats.iter().map(weigh).collect()
}

/// Formats worth trying for a model, best quality first.
fn offered(model: &Model) -> Vec<Offer> {
    /// Experts of so few bits are native 4-bit experts with their scales.
    const FEW_BITS: f64 = 5.0;
    let Model { spec, inventory, .. } = model;
    let mut offers = scheme::candidates(spec, inventory);
    let native = &spec.native;
    let experts = native.experts.as_deref().and_then(format).map(|named| named.format.bits());
    if experts.is_some_and(|bits| bits <= FEW_BITS) {
        // Nobody converts what was trained in 4 bits to other 4 bits; but its experts need kernels
        // that know them, and people ask whether plain FP8 would do.
        offers.retain(|o| o.scheme == Scheme::native() || o.scheme.family() != Family::Safetensors);
        let fp8 = Scheme::parse("fp8").ok().filter(|_| native.default.starts_with("fp8"));
        let after_native = offers.len().min(1);
        let fp8 = fp8.map(|scheme| Offer::of(scheme, spec, inventory));
        offers.splice(after_native..after_native, fp8);
    }
    offers
}

/// The misses worth telling: all that are better than what fits, or the smallest if nothing does.
fn told(misses: Vec<Miss>, options: &[Candidate]) -> Vec<Miss> {
    if options.is_empty() && misses.len() > MISSES_TOLD {
        let (first, rest) = misses.split_at(1);
        let last = rest.iter().min_by(|a, b| a.short_bytes.get().total_cmp(&b.short_bytes.get()));
        return first.iter().chain(last).cloned().collect();
    }
    misses.into_iter().take(MISSES_TOLD).collect()
}

/// Best first; equals by id, so that the order never depends on threads.
fn rank(options: &mut [Candidate], objective: Objective) {
    options.sort_by(|a, b| {
        score(&b.merit(), objective).total_cmp(&score(&a.merit(), objective)).then_with(|| a.id.cmp(&b.id))
    });
}

/// Models against each other: what decodes fast enough to use first, then the most parameters,
/// which say more about a model than its speed.
fn rank_models(options: &mut [Candidate], models: &[ModelFacts]) {
    let size: BTreeMap<&str, u64> = models.iter().map(|m| (m.id.as_str(), m.parameters)).collect();
    options.sort_by_key(|option| {
        let usable = option.decode_tokens_per_s.likely.get() >= USABLE;
        (!usable, Reverse(size.get(option.model.as_str()).copied()), option.id.clone())
    });
}

/// Leaves the best option only.
fn keep_best(options: &mut Vec<Candidate>, objective: Objective) {
    rank(options, objective);
    options.truncate(1);
}

/// Removes options that another of the same format and engine beats in everything.
fn drop_dominated(options: &mut Vec<Candidate>) {
    let beaten = |a: &Candidate| {
        options
            .iter()
            .any(|b| a.format == b.format && a.engine == b.engine && dominates(&b.merit(), &a.merit()))
    };
    let keep: Vec<bool> = options.iter().map(|a| !beaten(a)).collect();
    let mut keep = keep.into_iter();
    options.retain(|_| keep.next().unwrap_or(true));
}

/// What a reader must know about a model.
fn facts(model: &Model) -> ModelFacts {
    let spec = &model.spec;
    let sure = matches!(spec.config.grade, Grade::Published | Grade::Proven);
    ModelFacts {
        id: spec.id.clone(),
        name: spec.name.clone(),
        parameters: model.inventory.total(),
        active_parameters: model.inventory.active(),
        native: native(spec),
        context: spec.context.get(),
        grade: spec.config.grade.to_string(),
        caveat: spec.config.caveat.clone().or_else(|| {
            (!sure).then(|| {
                "its config was not published in full; memory and speed rest on what is known".to_owned()
            })
        }),
        sources: spec.config.sources.clone(),
    }
}

/// `fp4 experts, fp8 rest`, or one format.
fn native(spec: &ModelSpec) -> String {
    let native = &spec.native;
    match &native.experts {
        Some(experts) if *experts != native.default => format!("{experts} experts, {} rest", native.default),
        Some(_) | None => native.default.clone(),
    }
}

/// The question as the answer repeats it.
fn question(request: &Request) -> Question {
    Question {
        hardware: request.machine.name.clone(),
        machine: request.machine.to_string(),
        devices: request.machine.device_count(),
        nodes: request.machine.node_count(),
        workload: request.workload,
        workload_name: request.workload_name.clone(),
        objective: request.objective,
    }
}
