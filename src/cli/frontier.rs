//! `plan frontier`: throughput against interactivity over all placements.

use crate::arithmetic::kv::KvFormat;
use crate::catalogue::store::Catalogue;
use crate::cli::drafts::DraftArgs;
use crate::cli::error::{CliError, Outcome};
use crate::cli::operators::OperatorsArgs;
use crate::cli::question::{LoadArgs, cached_count, request, token_count};
use crate::cli::workload::WorkloadArgs;
use crate::perf::deployment::Engine;
use crate::plan::{self, Sweep};
use crate::ranking::Objective;
use crate::report;
use clap::Args;
use std::io::Write;

/// What to sweep.
#[derive(Clone, Debug, Args)]
pub struct FrontierArgs {
    /// Measured operators.
    #[command(flatten)]
    pub operators: OperatorsArgs,
    /// Sweep this model: a catalogue name, a hub id, a config.json, or a spec file
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Sweep on this hardware [default: this machine]
    #[arg(long, short = 'H', value_name = "HARDWARE")]
    pub hw: Option<String>,
    /// Who asks what.
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// Prompt tokens of a request, cached ones included [default: the workload's mean, else 1024]
    #[arg(long, value_name = "TOKENS", value_parser = token_count)]
    pub input: Option<u64>,
    /// Tokens generated per request [default: the workload's mean, else 1024]
    #[arg(long, value_name = "TOKENS", value_parser = token_count)]
    pub output: Option<u64>,
    /// Prompt tokens found in the prefix cache [default: what the workload repeats, else none]
    #[arg(long, value_name = "TOKENS", value_parser = cached_count)]
    pub cached: Option<u64>,
    /// Tokens a session may grow to [default: what 99 of 100 requests of the workload stay within, else prompt and answer]
    #[arg(long, short, value_name = "TOKENS", value_parser = token_count)]
    pub context: Option<u64>,
    /// Most users, such as 512 [default: what fits]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub users_max: Option<u64>,
    /// Sweep only these weight formats [default: the best that fits of each engine]
    #[arg(long, value_name = "FORMAT", value_delimiter = ',')]
    pub format: Vec<String>,
    /// Sweep only this cache format
    #[arg(long, value_name = "FORMAT")]
    pub kv: Option<KvFormat>,
    /// Sweep only these engines
    #[arg(long, value_name = "ENGINE", value_delimiter = ',')]
    pub engine: Vec<Engine>,
    /// Speculative decoding.
    #[command(flatten)]
    pub draft: DraftArgs,
    /// Show every load, not only the front
    #[arg(long)]
    pub all: bool,
    /// Print all loads as JSON
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print all loads as CSV
    #[arg(long)]
    pub csv: bool,
}

/// Tokens of prompt and answer where neither they nor a workload are given.
const USUAL: u64 = 1024;

/// Runs the command.
///
/// # Errors
/// Bad input.
pub fn run(
    args: &FrontierArgs,
    catalogue: &Catalogue,
    width: usize,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let usual = args.workload.workload.is_none().then_some(USUAL);
    let (prompt, output) = (args.input.or(usual), args.output.or(usual));
    let whole = prompt.zip(output).map(|(prompt, output)| prompt.saturating_add(output));
    let load = LoadArgs {
        workload: args.workload.clone(),
        operators: args.operators.clone(),
        draft: args.draft.clone(),
        context: args.context.or(whole),
        prompt,
        cached: args.cached,
        output,
        users: 1,
        format: args.format.clone(),
        kv: args.kv,
        engine: args.engine.clone(),
        tp: None,
        pp: None,
        dp: None,
        ep: None,
        no_offload: false,
        objective: Objective::Balanced,
    };
    let request = request(Some(&args.model), None, args.hw.as_deref(), &load, catalogue)?;
    let plan::Workload { prompt: input, cached, output, .. } = request.workload;
    let sweep = Sweep { input, cached, output, users_max: args.users_max };
    let frontier = plan::frontier(&request, &sweep, catalogue)?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &frontier).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else if args.csv {
        report::frontier::csv(&frontier, out)?;
    } else {
        report::frontier::render(&frontier, args.all, width, out)?;
    }
    Ok(if frontier.curves.is_empty() { Outcome::NothingFits } else { Outcome::Answered })
}
