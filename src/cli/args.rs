//! The arguments. Doc comments are the help; completions, man page and reference come from here.

use crate::cli::question::QuestionArgs;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Plan hardware for large language models: what fits, how fast it runs, what a token costs
#[derive(Debug, Parser)]
#[command(name = "plan", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  plan                                          what runs on this machine
  plan --model deepseek-v4-pro --hw my-rig.toml ranked ways to deploy a model
  plan --model glm-5.1 --hw 8xh200-sxm          hardware by count and name
  plan fit kimi-k2.6 --hw 8xh200-sxm            which quantization fits
  plan hardware search h200                     names to use with --hw

Exit codes: 0 answered, 1 nothing fits, 2 bad input, 3 a fault of plan")]
pub struct Cli {
    /// What to do; without a command, plan a deployment
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The question of the main job.
    #[command(flatten)]
    pub question: QuestionArgs,
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Read more models and hardware from this folder, which override shipped ones by name
    #[arg(long, value_name = "DIR", global = true)]
    pub catalogue: Vec<PathBuf>,
    /// Ask the Hugging Face Hub for models that are not known here, by the headers of their files
    #[arg(long, global = true)]
    pub online: bool,
    /// Set the page width in columns [default: the terminal's, else 100]
    #[arg(long, value_name = "COLUMNS", global = true, value_parser = clap::value_parser!(u16).range(40..=400))]
    pub width: Option<u16>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show which weight formats of a model fit, at which context and for how many users
    Fit(crate::cli::fit::FitArgs),
    /// Show why: memory, where the time of one option goes, and what would help most
    Explain(Box<crate::cli::explain::ExplainArgs>),
    /// Sweep the users of every placement: throughput against interactivity
    Frontier(crate::cli::frontier::FrontierArgs),
    /// Find the cheapest deployments for users, service levels and a budget
    Size(Box<crate::cli::size::SizeArgs>),
    /// List, search, show and check models
    Models(crate::cli::models::ModelsArgs),
    /// List, search, show and check hardware
    Hardware(crate::cli::hardware::HardwareArgs),
    /// List, show and check workloads and traces
    Workloads(crate::cli::workloads::WorkloadsArgs),
    /// Show what this machine is and how the catalogue understands it
    Detect(crate::cli::detect::DetectArgs),
    /// Predict published measurements and show the error by regime
    Validate(crate::cli::validate::ValidateArgs),
    /// Fit the constants of speed to measurements and show how that carries over
    Calibrate(crate::cli::calibrate::CalibrateArgs),
    /// Turn a config.json, a checkpoint or a GGUF file into a model spec to edit
    Import(crate::cli::import::ImportArgs),
    /// Print the JSON schema of `--json`
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}
