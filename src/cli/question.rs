//! The arguments of a question, and how they become a [`Request`].

use crate::arithmetic::kv::KvFormat;
use crate::catalogue::quote::Holding;
use crate::catalogue::store::Catalogue;
use crate::cli::drafts::DraftArgs;
use crate::cli::error::{CliError, Outcome};
use crate::cli::operators::OperatorsArgs;
use crate::cli::resolve::{coarse_model, resolve_hardware, resolve_model, this_machine};
use crate::cli::terms::TermArgs;
use crate::cli::workload::{Shape, WorkloadArgs};
use crate::economics::Stated;
use crate::perf::deployment::Engine;
use crate::plan::{Limits, Models, Plan, Request, Workload, plan};
use crate::ranking::Objective;
use crate::report::{self, terminal::Page};
use crate::units::parse_tokens;
use clap::{Args, ValueEnum};
use std::io::Write;

/// What to plan for.
#[derive(Clone, Debug, Args)]
pub struct QuestionArgs {
    /// Plan for this model: a catalogue name, a hub id, a config.json, or a spec file
    #[arg(long, short, value_name = "MODEL")]
    pub model: Option<String>,
    /// Plan on this hardware: a rig file, a system, `8xh200-sxm`, `2x rtx-3090` [default: this machine]
    #[arg(long, short = 'H', value_name = "HARDWARE")]
    pub hw: Option<String>,
    /// Plan for a model known only by its total parameters, such as 750B
    #[arg(long, value_name = "COUNT", conflicts_with = "model")]
    pub params: Option<String>,
    /// Active parameters of that model, such as 40B [default: all]
    #[arg(long, value_name = "COUNT", requires = "params")]
    pub active: Option<String>,
    /// The load and what is fixed.
    #[command(flatten)]
    pub load: LoadArgs,
    /// What money is counted under.
    #[command(flatten)]
    pub terms: TermArgs,
    /// Print the plan as JSON
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print the options as CSV
    #[arg(long)]
    pub csv: bool,
    /// Show every option, not only the best
    #[arg(long)]
    pub all: bool,
}

/// The load and what is fixed.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Who asks what.
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// Tokens a session may grow to, such as 32k [default: what 99 of 100 requests of the workload stay within, else 32k, or the model's context if shorter]
    #[arg(long, short, value_name = "TOKENS", value_parser = token_count)]
    pub context: Option<u64>,
    /// Prompt tokens of a request, cached ones included [default: the workload's mean, else 4096, or half the context]
    #[arg(long, value_name = "TOKENS", value_parser = token_count)]
    pub prompt: Option<u64>,
    /// Prompt tokens found in the prefix cache [default: what the workload repeats, else none]
    #[arg(long, value_name = "TOKENS", value_parser = cached_count)]
    pub cached: Option<u64>,
    /// Tokens generated per request [default: the workload's mean, else 1024, or a quarter of the context]
    #[arg(long, value_name = "TOKENS", value_parser = token_count)]
    pub output: Option<u64>,
    /// Sessions served at the same time
    #[arg(long, short, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub users: u64,
    /// Speculative decoding.
    #[command(flatten)]
    pub draft: DraftArgs,
    /// Consider only these weight formats, such as native, fp8, q4_k_m
    #[arg(long, value_name = "FORMAT", value_delimiter = ',')]
    pub format: Vec<String>,
    /// Consider only this cache format
    #[arg(long, value_name = "FORMAT")]
    pub kv: Option<KvFormat>,
    /// Consider only these engines
    #[arg(long, value_name = "ENGINE", value_delimiter = ',')]
    pub engine: Vec<Engine>,
    /// Fix the tensor-parallel ranks
    #[arg(long, value_name = "RANKS", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub tp: Option<u32>,
    /// Fix the pipeline stages
    #[arg(long, value_name = "STAGES", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub pp: Option<u32>,
    /// Fix the attention data-parallel groups
    #[arg(long, value_name = "GROUPS", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub dp: Option<u32>,
    /// Fix whether experts are divided whole over the devices
    #[arg(long, value_name = "BOOL")]
    pub ep: Option<bool>,
    /// Keep all weights on the accelerators
    #[arg(long)]
    pub no_offload: bool,
    /// Order options by this
    #[arg(long, value_name = "OBJECTIVE", default_value = "balanced")]
    pub objective: Objective,
    /// Measured operators.
    #[command(flatten)]
    pub operators: OperatorsArgs,
}

/// Reads a number of tokens.
pub(super) fn token_count(text: &str) -> Result<u64, String> {
    match parse_tokens(text) {
        Ok(0) => Err("at least 1 token".to_owned()),
        Ok(n) => Ok(n),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a number of tokens that may be none.
pub(super) fn cached_count(text: &str) -> Result<u64, String> {
    parse_tokens(text).map_err(|error| error.to_string())
}

/// Lets the command line read words of ours, with their values in the help and in completions.
macro_rules! value_enum {
    ($($name:ty),*) => {$(
        impl ValueEnum for $name {
            fn value_variants<'a>() -> &'a [Self] {
                Self::ALL
            }

            fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
                Some(clap::builder::PossibleValue::new(self.word()))
            }
        }
    )*};
}

value_enum!(KvFormat, Engine, Objective, Holding);

/// Runs the main job.
///
/// # Errors
/// Bad input.
pub fn run(
    args: &QuestionArgs,
    catalogue: &Catalogue,
    width: usize,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let coarse = args.params.as_deref().map(|total| (total, args.active.as_deref()));
    let terms = args.terms.stated()?;
    let asked = request(args.model.as_deref(), coarse, args.hw.as_deref(), &args.load, catalogue)?;
    let plan = answer(&Request { terms, ..asked }, catalogue)?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &plan).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else if args.csv {
        report::csv::render(&plan, out)?;
    } else {
        let options = if args.all || plan.models.len() > 1 { usize::MAX } else { OPTIONS_SHOWN };
        report::terminal::render(&plan, Page { width, options }, out)?;
    }
    Ok(if plan.options.is_empty() { Outcome::NothingFits } else { Outcome::Answered })
}

/// Options shown on a terminal unless all are asked for.
const OPTIONS_SHOWN: usize = 12;
/// Context of a session unless the user says otherwise.
const DEFAULT_CONTEXT: u64 = 32_768;
/// Prompt tokens unless the user says otherwise.
const DEFAULT_PROMPT: u64 = 4096;
/// Generated tokens unless the user says otherwise.
const DEFAULT_OUTPUT: u64 = 1024;

/// Plans, with the errors of the planner told as the command line tells them.
///
/// # Errors
/// What `plan` refuses.
pub fn answer(request: &Request, catalogue: &Catalogue) -> Result<Plan, CliError> {
    plan(request, catalogue).map_err(CliError::from)
}

/// Resolves names and files to a request.
///
/// # Errors
/// Bad input.
pub fn request(
    model: Option<&str>,
    coarse: Option<(&str, Option<&str>)>,
    hardware: Option<&str>,
    load: &LoadArgs,
    catalogue: &Catalogue,
) -> Result<Request, CliError> {
    let models = match (model, coarse) {
        (Some(name), _) => Models::One(Box::new(resolve_model(name, catalogue)?)),
        (None, Some((total, active))) => Models::One(Box::new(coarse_model(total, active)?)),
        (None, None) => Models::All,
    };
    let machine = match hardware {
        Some(text) => resolve_hardware(text, catalogue)?,
        None => this_machine(catalogue)?,
    };
    let source = load.workload.source()?;
    let limit = load.context.or(match &models {
        Models::One(spec) => Some(spec.context.get()),
        Models::All => None,
    });
    let shape = source.map(|source| Shape::of(&source, limit)).transpose()?;
    Ok(Request {
        workload: match &shape {
            Some(shape) => shaped(load, shape),
            None => workload(load, &models),
        },
        workload_name: shape.map(|shape| shape.name),
        limits: Limits {
            formats: load.format.iter().map(|name| name.to_lowercase()).collect(),
            kv: load.kv,
            engines: load.engine.clone(),
            tp: load.tp,
            pp: load.pp,
            dp: load.dp,
            expert_parallel: load.ep,
            no_offload: load.no_offload,
        },
        objective: load.objective,
        terms: Stated::default(),
        operators: load.operators.of_machine(&machine)?,
        models,
        machine,
    })
}

/// The load of a workload, where nothing else was given.
fn shaped(load: &LoadArgs, shape: &Shape) -> Workload {
    let prompt = load.prompt.unwrap_or(shape.prompt);
    let output = load.output.unwrap_or(shape.output);
    Workload {
        context: load.context.unwrap_or_else(|| shape.context.max(prompt + output)),
        prompt,
        cached: load.cached.unwrap_or_else(|| shape.cached_of(prompt)),
        output,
        users: load.users,
        drafting: load.draft.drafting(Some(shape.text)),
    }
}

/// The load: what was given, and the rest in proportion to the context.
fn workload(load: &LoadArgs, models: &Models) -> Workload {
    let most = match models {
        Models::One(spec) => spec.context.get(),
        Models::All => DEFAULT_CONTEXT,
    };
    let asked = load.prompt.unwrap_or(0) + load.output.unwrap_or(0);
    let context = load.context.unwrap_or_else(|| DEFAULT_CONTEXT.max(asked).min(most));
    let output = load.output.unwrap_or_else(|| DEFAULT_OUTPUT.min(context.div_ceil(4)));
    let prompt =
        load.prompt.unwrap_or_else(|| DEFAULT_PROMPT.min(context.saturating_sub(output).div_ceil(2)).max(1));
    let (cached, users, drafting) = (load.cached.unwrap_or(0), load.users, load.draft.drafting(None));
    Workload { context, prompt, cached, output, users, drafting }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::text::Text;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn asked(words: &str) -> (Option<String>, Workload) {
        let line = Line::try_parse_from(["plan"].into_iter().chain(words.split(' '))).unwrap();
        let catalogue = Catalogue::embedded();
        let request = request(Some("llama-3.1-8b"), None, Some("rtx-4090"), &line.load, &catalogue).unwrap();
        (request.workload_name, request.workload)
    }

    /// The mean request of a workload, within the model's context; what is given stands before it.
    #[test]
    fn a_workload_gives_what_is_not_given() {
        let (name, load) = asked("--workload coding-agent --draft eagle3:3");
        assert_eq!(name.as_deref(), Some("coding-agent"));
        assert!(load.context <= 131_072 && load.prompt + load.output <= load.context, "{load:?}");
        assert!(load.cached * 10 > load.prompt * 9, "{load:?}");
        assert_eq!((load.output, load.drafting.unwrap().text), (527, Text::Coding));

        let (_, half) = asked("--workload coding-agent --context 32k --output 900");
        assert_eq!((half.context, half.output), (32_768, 900));
        assert!(half.prompt < load.prompt, "sessions end at 32k: {half:?}");
        // Another prompt has the same share of it in the cache.
        let (_, given) = asked("--workload coding-agent --prompt 1000 --text chat --draft eagle3");
        let cached = 1000.0 * load.cached as f64 / load.prompt as f64;
        assert_eq!((given.prompt, given.cached), (1000, cached.round() as u64));
        assert_eq!(given.drafting.unwrap().text, Text::Chat);
        assert_eq!(asked("--workload coding-agent --cached 0").1.cached, 0);
    }

    #[test]
    fn without_a_workload_nothing_is_cached() {
        let (name, load) = asked("--users 3");
        let usual =
            Workload { context: 32_768, prompt: 4096, cached: 0, output: 1024, users: 3, drafting: None };
        assert_eq!((name, load), (None, usual));
    }
}
