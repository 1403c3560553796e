//! Which formats fit at which context: one plan per context, read side by side.

use crate::catalogue::store::Catalogue;
use crate::fact::{Estimate, Fact};
use crate::perf::deployment::Model;
use crate::plan::answer::{Candidate, Fit, Plan, Question, SCHEMA};
use crate::plan::request::{Models, Request, Workload};
use crate::plan::{PlanError, offered, plan};
use crate::units::{Bytes, TokenRate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Contexts shown beside the model's own.
const CONTEXTS: [u64; 3] = [8192, 32_768, 131_072];

/// Formats × contexts of one model on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FitTable {
    /// Version of this form.
    pub schema: u32,
    /// Id of the model.
    pub model: String,
    /// What was asked; its context is the one speeds are given for.
    pub question: Question,
    /// Contexts of the columns, tokens.
    pub contexts: Vec<u64>,
    /// One per format, best quality first.
    pub rows: Vec<FitRow>,
    /// What was assumed.
    pub assumptions: Vec<String>,
}

/// One format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FitRow {
    /// The format.
    pub format: String,
    /// Bytes of all weights as stored.
    pub weights_bytes: Bytes,
    /// One per context.
    pub cells: Vec<FitCell>,
    /// The option that would be chosen at the shortest context that fits.
    pub choice: Option<Choice>,
}

/// Whether a format fits at a context.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FitCell {
    /// With room.
    Fits,
    /// With less than 5 % of memory left.
    Tight,
    /// Not, by so many bytes on the worst device.
    Short(Bytes),
}

/// The option behind a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// Its id.
    pub id: String,
    /// How the model is divided, and on which engine.
    pub layout: String,
    /// Context its figures are for, tokens.
    pub context: u64,
    /// Longest context that fits, tokens.
    pub largest_context: u64,
    /// Most sessions of `context` that fit.
    pub users: u64,
    /// Generation of one stream.
    pub decode_tokens_per_s: Estimate<TokenRate>,
    /// Quality kept, where known.
    pub quality: Option<Fact<f64>>,
}

/// Answers which formats fit; every figure is taken from a plan.
///
/// # Errors
/// As [`plan`].
pub fn fit(request: &Request, catalogue: &Catalogue) -> Result<FitTable, PlanError> {
    let Models::One(spec) = &request.models else { return Err(PlanError::OneModel) };
    let most = spec.context.get();
    let mut contexts: Vec<u64> = CONTEXTS.into_iter().filter(|c| *c < most).collect();
    contexts.extend([request.workload.context, most]);
    contexts.sort_unstable();
    contexts.dedup();
    let formats = if request.limits.formats.is_empty() {
        offered(&Model::new((**spec).clone())).into_iter().map(|offer| offer.weights.scheme).collect()
    } else {
        request.limits.formats.clone()
    };
    let plans: Vec<Plan> = contexts
        .iter()
        .map(|context| {
            let load = scaled(request.workload, *context);
            let limits = crate::plan::Limits { formats: formats.clone(), ..request.limits.clone() };
            plan(&Request { workload: load, limits, ..request.clone() }, catalogue)
        })
        .collect::<Result<_, _>>()?;
    let rows = formats.iter().filter_map(|format| row(format, &contexts, &plans)).collect();
    let asked = plans.iter().find(|p| p.question.workload.context == request.workload.context);
    let first = asked.or(plans.first()).ok_or(PlanError::OneModel)?;
    Ok(FitTable {
        schema: SCHEMA,
        model: spec.id.clone(),
        question: first.question.clone(),
        assumptions: first.assumptions.clone(),
        contexts,
        rows,
    })
}

/// The load at another context; prompt and output shrink only where they must.
fn scaled(load: Workload, context: u64) -> Workload {
    let output = load.output.min(context.div_ceil(4));
    let prompt = load.prompt.min(context - output);
    Workload { context, output, prompt, cached: load.cached.min(prompt.saturating_sub(1)), ..load }
}

/// One format over all plans.
fn row(format: &str, contexts: &[u64], plans: &[Plan]) -> Option<FitRow> {
    let mut weights = None;
    let mut cells = Vec::new();
    let mut choice = None;
    for (context, plan) in contexts.iter().zip(plans) {
        let option = plan.options.iter().find(|option| option.format == format);
        if let Some(option) = option {
            weights = Some(option.weights_bytes);
            cells.push(if option.fit == Fit::Tight { FitCell::Tight } else { FitCell::Fits });
            choice = choice.or_else(|| Some(chosen(option, *context)));
        } else {
            let miss = plan.misses.iter().find(|miss| miss.format == format)?;
            weights = Some(miss.weights_bytes);
            cells.push(FitCell::Short(miss.short_bytes));
        }
    }
    Some(FitRow { format: format.to_owned(), weights_bytes: weights?, cells, choice })
}

/// The figures of the option behind a row.
fn chosen(option: &Candidate, context: u64) -> Choice {
    Choice {
        id: option.id.clone(),
        layout: format!("{}, {}", option.engine, option.layout),
        context,
        largest_context: option.largest_context,
        users: option.largest_concurrency,
        decode_tokens_per_s: option.decode_tokens_per_s,
        quality: option.quality.clone(),
    }
}
