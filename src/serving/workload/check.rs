//! Whether a workload could exist: what its keys say apart may contradict together.

use super::law::Law;
use super::spec::{Arrivals, ClassSpec, LONGEST_THINK, MOST_TOKENS, MOST_TURNS, TokenCount, WorkloadSpec};
use super::stated::Stated;
use crate::catalogue::decode::{BadFile, Problems, decode_text};

/// How far shares may add up beside one.
const ROUNDING: f64 = 0.005;
/// Standard deviation over mean of the wildest bursts.
const MOST_CV: f64 = 20.0;

/// Reads a workload and checks that it could exist.
///
/// # Errors
/// All problems of the text, each with its place.
pub fn read_workload(file: &str, text: &str) -> Result<WorkloadSpec, BadFile> {
    let spec: WorkloadSpec = decode_text(file, text, 1)?;
    let mut problems = Problems::default();
    classes(&spec, &mut problems);
    for class in &spec.class {
        class_faults(class, &mut problems);
    }
    if let Some(arrivals) = &spec.arrivals
        && let Some(why) = arrival_fault(&arrivals.value)
    {
        problems.push(arrivals.span.clone(), why, "no arrivals are like that");
    }
    if let Some(levels) = &spec.levels
        && let Err(why) = levels.value.written().levels()
    {
        problems.push(levels.span.clone(), why.to_string(), "they contradict each other");
    }
    if problems.is_empty() {
        return Ok(spec);
    }
    let problems = problems.into_sorted();
    Err(BadFile { file: file.to_owned(), text: text.to_owned(), first_line: 1, problems })
}

/// Names once, and shares that add up.
fn classes(spec: &WorkloadSpec, problems: &mut Problems) {
    let Some(first) = spec.class.first() else {
        problems.push(0..0, "the workload has no class of sessions", "expected `[[class]]`");
        return;
    };
    for (position, class) in spec.class.iter().enumerate() {
        if spec.class[..position].iter().any(|other| other.name.value == class.name.value) {
            let span = class.name.span.clone();
            problems.push(span, format!("`{}` is the name of two classes", class.name.value), "again");
        }
        if class.share.is_none() && spec.class.len() > 1 {
            let span = class.name.span.clone();
            problems.push(span, "a class among several needs its `share`", "expected `share = …` below");
        }
    }
    let shares = spec.class.iter().map(|class| class.share.as_ref().map(|share| share.value));
    if let Some(shares) = shares.collect::<Option<Vec<f64>>>() {
        let total: f64 = shares.iter().sum();
        if (total - 1.0).abs() > ROUNDING {
            let span = first.share.as_ref().map_or(0..0, |share| share.span.clone());
            problems.push(span, format!("the shares of the classes add up to {total}"), "expected 1");
        }
    }
}

fn class_faults(class: &ClassSpec, problems: &mut Problems) {
    for (key, law) in class.laws() {
        if let Some(why) = law.value.fault().or_else(|| range_fault(key, &law.value)) {
            problems.push(law.span.clone(), format!("`{key}`: {why}"), "no such distribution");
        }
    }
    if let Some(priority) = class.priority.as_ref().filter(|priority| priority.value > 9) {
        let span = priority.span.clone();
        problems.push(span, format!("a priority of {}", priority.value), "expected 0 to 9");
    }
    if let Some(kept) = class.answer_kept.as_ref().filter(|kept| kept.value.share > 1.0) {
        let span = kept.span.clone();
        problems.push(span, format!("{} of an answer cannot be kept", kept.value.share), "expected 0 to 1");
    }
    for (key, count) in [("common", &class.common), ("limit", &class.limit)] {
        if let Some(count) = count.as_ref().filter(|count| count.value.tokens as f64 > MOST_TOKENS) {
            let message = format!("`{key}` of {} tokens is absurd", count.value.tokens);
            problems.push(count.span.clone(), message, format!("at most {MOST_TOKENS}"));
        }
    }
    if let Some(limit) = &class.limit {
        limit_fault(class, limit, problems);
    }
}

/// A session must be able to begin.
fn limit_fault(class: &ClassSpec, limit: &Stated<TokenCount>, problems: &mut Problems) {
    let first = class.common() as f64 + class.first.value.mean() + class.output.value.mean();
    if (limit.value.tokens as f64) < first {
        let message = format!(
            "a limit of {} tokens is below the {} of a mean first prompt and its answer",
            limit.value.tokens,
            first.round()
        );
        problems.push(limit.span.clone(), message, "every session would end before it begins");
    }
}

/// Values no session has.
fn range_fault(key: &str, law: &Law) -> Option<String> {
    let [median, high] = law.percentiles();
    let (least, most, unit) = match key {
        "turns" => (1.0, MOST_TURNS, "requests"),
        "think_s" => (0.0, LONGEST_THINK, "seconds"),
        "output" => (1.0, MOST_TOKENS, "tokens"),
        _ => (0.0, MOST_TOKENS, "tokens"),
    };
    if high > most {
        return Some(format!("{high:.0} {unit} at its 95th percentile is absurd, at most {most:.0}"));
    }
    (median < least).then(|| format!("half are below {least} {unit}"))
}

fn arrival_fault(arrivals: &Arrivals) -> Option<String> {
    let cv = arrivals.cv();
    if cv <= 0.0 || cv > MOST_CV {
        return Some(format!("a `cv` of {cv}; it lies above 0 and up to {MOST_CV}, and 1 is chance"));
    }
    match arrivals {
        Arrivals::Daily(daily) if daily.hours.len() != 24 => {
            Some(format!("{} weights; a day has 24 hours", daily.hours.len()))
        }
        Arrivals::Daily(daily) if daily.hours.iter().sum::<f64>() <= 0.0 => {
            Some("nobody comes at any hour".to_owned())
        }
        Arrivals::Users(users) => users
            .pause_s
            .fault()
            .or_else(|| range_fault("think_s", &users.pause_s))
            .map(|why| format!("`pause_s`: {why}")),
        Arrivals::Poisson(_) | Arrivals::Gamma(_) | Arrivals::Daily(_) => None,
    }
}
