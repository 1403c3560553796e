//! Runs a command line: parse, dispatch, map errors to exit codes.

use crate::catalogue::hardware_flag;
use crate::catalogue::hub::Hub;
use crate::catalogue::store::Catalogue;
use crate::cli::args::{Cli, Command, GlobalArgs};
use crate::cli::error::{CliError, Outcome};
use crate::cli::validate::ValidateArgs;
use crate::cli::{
    calibrate, detect, explain, fit, frontier, hardware, import, models, question, size, validate, workloads,
};
use crate::detect::read_machine;
use crate::import::local::Places;
use crate::import::source::import as read_model_file;
use crate::perf::Sources;
use crate::validate::gguf_buffers::GgufBuffers;
use crate::validate::gguf_sizes::{self, GgufSizes};
use crate::validate::memory::{self, Memory};
use crate::validate::speed::{self, LocalSpeed, ServingSpeed};
use clap::{CommandFactory, Parser};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Answers the process's command line.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // clap writes help to stdout and faults to stderr, with our codes 0 and 2.
        Err(error) => return ExitCode::from(if error.print().is_ok() { error.exit_code() as u8 } else { 3 }),
    };
    let mut out = anstream::stdout().lock();
    match run(&cli, &mut out).and_then(|outcome| out.flush().map(|()| outcome).map_err(CliError::from)) {
        Ok(Outcome::Answered) => ExitCode::SUCCESS,
        Ok(Outcome::NothingFits) => ExitCode::from(1),
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
            // Nobody is left to tell if standard error is gone too.
            let _ = write!(anstream::stderr(), "{}", error.render(colour));
            error.exit_code()
        }
    }
}

/// Dispatches to the command's file.
fn run(cli: &Cli, out: &mut dyn Write) -> Result<Outcome, CliError> {
    let width = page_width(&cli.global);
    let narrow = u16::try_from(width).unwrap_or(u16::MAX);
    let Some(command) = &cli.command else {
        return question::run(&cli.question, &catalogue(&cli.global)?, width, out);
    };
    match command {
        Command::Fit(args) => fit::run(args, &catalogue(&cli.global)?, width, out),
        Command::Explain(args) => explain::run(args, &catalogue(&cli.global)?, width, out),
        Command::Frontier(args) => frontier::run(args, &catalogue(&cli.global)?, width, out),
        Command::Size(args) => size::run(args, &catalogue(&cli.global)?, width, out),
        Command::Models(args) => models::run(args, &places(), &catalogue(&cli.global)?, width, out),
        Command::Hardware(args) => hardware::run(args, &catalogue(&cli.global)?, narrow, out),
        Command::Workloads(args) => workloads::run(args, width, out),
        Command::Detect(args) => detect::run(args, read_machine, &catalogue(&cli.global)?, narrow, out),
        Command::Validate(args) => judge(args, &catalogue(&cli.global)?, narrow, out),
        Command::Calibrate(args) => {
            calibrate::run(args, &catalogue(&cli.global)?, out, &mut io::stderr().lock())
        }
        Command::Import(args) => import::run(args, out),
        Command::Schema => schema(out),
        Command::Completions { shell } => {
            // Into memory first: the generator panics when a pipe closes.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "plan", &mut script);
            out.write_all(&script)?;
            Ok(Outcome::Answered)
        }
        Command::Man => {
            clap_mangen::Man::new(Cli::command()).render(out)?;
            Ok(Outcome::Answered)
        }
    }
}

/// The shipped catalogue under the user's folders: `~/.config/plimsoll`, then each `--catalogue`.
fn catalogue(global: &GlobalArgs) -> Result<Catalogue, CliError> {
    let mut catalogue = Catalogue::embedded();
    // The one place that reads the environment.
    #[expect(clippy::disallowed_methods, reason = "the command line may read the environment")]
    let home = std::env::var("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|_| std::env::var("HOME").map(|home| PathBuf::from(home).join(".config")));
    if let Some(own) = home.ok().map(|home| home.join("plimsoll")).filter(|folder| folder.is_dir()) {
        catalogue = catalogue.with_layer(&own)?;
    }
    for folder in &global.catalogue {
        catalogue = catalogue.with_layer(folder)?;
    }
    if global.online {
        #[expect(clippy::disallowed_methods, reason = "the command line may read the environment")]
        let stated = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        catalogue.hub = Some(Hub::new(stated("HF_ENDPOINT"), stated("HF_TOKEN")));
    }
    Ok(catalogue)
}

/// Where tools keep their models on this machine.
fn places() -> Places {
    #[expect(clippy::disallowed_methods, reason = "the command line may read the environment")]
    let folder = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(PathBuf::from);
    Places {
        home: folder("HOME").or_else(|| folder("USERPROFILE")),
        hf_home: folder("HF_HOME"),
        hf_hub_cache: folder("HF_HUB_CACHE"),
        ollama_models: folder("OLLAMA_MODELS"),
        ollama_service: Some(PathBuf::from("/usr/share/ollama/.ollama/models")),
    }
}

/// Judges measurements of every kind.
fn judge(
    args: &ValidateArgs,
    catalogue: &Catalogue,
    width: u16,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let model = |slug: &str| catalogue.model(slug).ok().map(|entry| (*entry.value).clone());
    let machine = |text: &str| hardware_flag::hardware(text, catalogue).ok();
    let sizes = GgufSizes { catalogue };
    let memory = Memory { model: &model, machine: &machine };
    // Headers of recorded files lie beside the rows that name them.
    let file = |name: &str| {
        let folders = args.files.iter().filter_map(|file| file.parent());
        let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
        let path = found.ok_or_else(|| format!("`{name}` does not lie beside the rows"))?;
        read_model_file(&path, None).map_err(|error| error.to_string())
    };
    let any_machine = || machine("h200-sxm");
    let buffers = GgufBuffers { model: &file, machine: &any_machine };
    let operators = args.operators.of_all()?;
    let sources = Sources { operators: operators.as_deref(), ..Sources::shipped() };
    let (local, serving) =
        (LocalSpeed { catalogue }, ServingSpeed { catalogue, sources, closed_form: args.closed_form });
    let shipped = [gguf_sizes::SHIPPED, memory::SHIPPED, speed::LOCAL, speed::SERVING];
    validate::run(args, &[&sizes, &buffers, &memory, &serving, &local], &shipped, out, width)
}

/// Writes the schema of `--json`.
fn schema(out: &mut dyn Write) -> Result<Outcome, CliError> {
    let schema = schemars::schema_for!(crate::plan::Plan);
    let text = serde_json::to_string_pretty(&schema).map_err(|e| CliError::Internal(e.to_string()))?;
    writeln!(out, "{text}")?;
    Ok(Outcome::Answered)
}

/// Columns of the page: the flag, the terminal, or 100.
fn page_width(global: &GlobalArgs) -> usize {
    let terminal = || io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
    global.width.map(usize::from).or_else(|| terminal().map(|(w, _)| usize::from(w.0).max(40))).unwrap_or(100)
}
