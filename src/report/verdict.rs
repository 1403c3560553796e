//! The answer in words: what to do, how sure that is, what does not fit and what would help.

use crate::fact::Confidence;
use crate::plan::{Candidate, Fit, Miss, ModelFacts, Plan, USABLE};
use crate::report::columns::{duration, whole};
use crate::units::{count, significant, tokens};

/// The sentences above the table.
pub fn sentences(plan: &Plan) -> Vec<String> {
    let mut said = match plan.models.as_slice() {
        [model] => one_model(plan, model),
        models => many_models(plan, models),
    };
    said.extend(requests(plan));
    said
}

/// What the requests are like, where a workload says it.
fn requests(plan: &Plan) -> Option<String> {
    let (name, load) = (plan.question.workload_name.as_ref()?, plan.question.workload);
    let cached = match load.cached {
        0 => String::new(),
        cached => format!(", {cached} of them cached where the cache keeps every history"),
    };
    Some(format!(
        "A mean request of {name}: a prompt of {} tokens{cached}, and an answer of {}.",
        load.prompt, load.output
    ))
}

/// The verdict on one model.
fn one_model(plan: &Plan, model: &ModelFacts) -> Vec<String> {
    let mut said = vec![format!(
        "{}: {} parameters, {} active per token, native weights {}, context up to {}.",
        model.name,
        count(model.parameters as f64),
        count(model.active_parameters as f64),
        model.native,
        tokens(model.context),
    )];
    match plan.options.first() {
        Some(best) => said.push(recommendation(plan, best)),
        None => said.push(format!(
            "Nothing fits {} with {} of context for {}.",
            plan.question.machine,
            tokens(plan.question.workload.context),
            users(plan.question.workload.users),
        )),
    }
    said.extend(plan.misses.iter().map(|m| miss(m, plan.question.devices > 0)));
    said
}

/// The verdict on a catalogue of models.
fn many_models(plan: &Plan, models: &[ModelFacts]) -> Vec<String> {
    let w = plan.question.workload;
    vec![format!(
        "{} of {} models fit {} with {} of context for {}. Listed is the best option of each, largest model first, \
         those below {USABLE} tok/s last.",
        plan.options.len(),
        models.len(),
        plan.question.machine,
        tokens(w.context),
        users(w.users),
    )]
}

/// The best option in one sentence.
fn recommendation(plan: &Plan, best: &Candidate) -> String {
    let fits = match best.fit {
        Fit::Fits => "fits",
        Fit::Tight => "fits tightly",
    };
    let price = best
        .cost
        .per_million_output
        .map_or_else(String::new, |usd| format!(", ${} per million output tokens", significant(usd.get())));
    format!(
        "Best: {} with {} on {}, {}. It {fits}: {} left on the worst device, up to {} of context or {} at {}. \
         One stream decodes {} tok/s ({}–{}), first token of a {}-token prompt after {}; \
         {} {} tok/s{price}.",
        best.format,
        best.engine,
        plan.question.machine,
        best.layout,
        best.free_bytes,
        tokens(best.largest_context),
        users(best.largest_concurrency),
        tokens(plan.question.workload.context),
        significant(best.decode_tokens_per_s.likely.get()),
        whole(best.decode_tokens_per_s.low.get()),
        whole(best.decode_tokens_per_s.high.get()),
        plan.question.workload.prompt,
        duration(best.ttft_s.likely.get()),
        match best.throughput.users {
            1 => "memory holds one stream:".to_owned(),
            n => format!("{n} streams together"),
        },
        significant(best.throughput.output_tokens_per_s.likely.get()),
    )
}

/// What does not fit, by how much, and what would help.
fn miss(miss: &Miss, devices: bool) -> String {
    let alone = if devices { " the accelerators" } else { "" };
    let each = if miss.devices_short > 1 {
        format!("each of {} devices", miss.devices_short)
    } else {
        miss.device.clone()
    };
    let mut said = format!(
        "{} ({} of weights) does not fit{alone}: short by {} on {each} ({}, {}).",
        miss.format, miss.weights_bytes, miss.short_bytes, miss.engine, miss.layout,
    );
    if !miss.remedies.is_empty() {
        let ways: Vec<String> = miss
            .remedies
            .iter()
            .map(|r| {
                let price =
                    r.per_hour.map_or_else(String::new, |usd| format!(", ${}/h", significant(usd.get())));
                format!(
                    "{} ({}: {} tok/s one stream, {} all{price})",
                    r.change,
                    r.layout,
                    significant(r.decode_tokens_per_s.likely.get()),
                    significant(r.throughput_tokens_per_s.get()),
                )
            })
            .collect();
        said.push_str(" It would fit with: ");
        said.push_str(&ways.join("; "));
        said.push('.');
    }
    said
}

/// `1 user`, `12 users`.
fn users(n: u64) -> String {
    if n == 1 { "1 user".to_owned() } else { format!("{n} users") }
}

/// The lines below the table: confidence, caveats, assumptions.
pub fn remarks(plan: &Plan) -> Vec<String> {
    let mut said = Vec::new();
    if let [model] = plan.models.as_slice()
        && let Some(caveat) = &model.caveat
    {
        said.push(format!("model ({}): {caveat}", model.grade));
    }
    if let Some(best) = plan.options.first() {
        let ground = match best.confidence {
            Confidence::Good => "speeds rest on measurements of this kind of device, engine and model family",
            Confidence::Moderate => "speeds rest on a few measurements of similar devices or engines",
            Confidence::Extrapolated => {
                "speeds are extrapolated: no measurement of this device class, engine or family stands behind them"
            }
        };
        said.push(format!("confidence of the best option: {ground}; the range holds 80 % of cases"));
        said.extend(best.notes.iter().map(|note| format!("best option: {note}")));
        if let Some(rate) = &best.cost.per_hour {
            said.push(format!("price per hour, {}", rate.origin));
        }
        if let Some(why) = &plan.unpriced {
            said.push(format!("no price per hour: {why}; options are ranked without their cost"));
        }
    }
    said.extend(plan.assumptions.iter().map(|a| format!("assumed: {a}")));
    said
}
