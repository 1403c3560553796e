//! `plan explain`: why an option is what it is.

use crate::catalogue::store::Catalogue;
use crate::cli::error::{CliError, Outcome};
use crate::cli::question::{LoadArgs, request};
use crate::cli::terms::TermArgs;
use crate::plan::{self, PlanError, Request};
use crate::report::explain;
use clap::Args;
use std::io::Write;

/// What to explain.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// Explain this option: an id from a plan, or a model for its best option
    #[arg(value_name = "OPTION")]
    pub option: String,
    /// Plan on this hardware [default: this machine]
    #[arg(long, short = 'H', value_name = "HARDWARE")]
    pub hw: Option<String>,
    /// The load the plan was made for.
    #[command(flatten)]
    pub load: LoadArgs,
    /// What money is counted under.
    #[command(flatten)]
    pub terms: TermArgs,
    /// Print the explanation as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// Bad input, or an option the plan does not have.
pub fn run(
    args: &ExplainArgs,
    catalogue: &Catalogue,
    width: usize,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    // An id is `model/format/engine/layout/kv-…`; hub ids have a slash too but name no format.
    let parts: Vec<&str> = args.option.split('/').collect();
    let is_option = parts.len() == 5;
    let model = if is_option { parts[0] } else { args.option.as_str() };
    let mut load = args.load.clone();
    let terms = args.terms.stated()?;
    let request = |load: &LoadArgs| {
        let asked = request(Some(model), None, args.hw.as_deref(), load, catalogue)?;
        Ok::<Request, CliError>(Request { terms: terms.clone(), ..asked })
    };
    let found = if is_option {
        // Other formats tell what would help; one that nobody offers has to be asked for.
        match plan::explain(&request(&load)?, catalogue, Some(&args.option)) {
            Err(PlanError::NoSuchOption { .. }) if load.format.is_empty() => {
                load.format = vec![parts[1].to_owned()];
                plan::explain(&request(&load)?, catalogue, Some(&args.option))?
            }
            found => found?,
        }
    } else {
        plan::explain(&request(&load)?, catalogue, None)?
    };
    let Some(explanation) = found else {
        writeln!(out, "nothing fits; `plan --model {model}` says by how much")?;
        return Ok(Outcome::NothingFits);
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &explanation).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        explain::render(&explanation, width, out)?;
    }
    Ok(Outcome::Answered)
}
