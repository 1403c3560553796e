//! `plan fit`: which weight formats of a model fit.

use crate::catalogue::store::Catalogue;
use crate::cli::error::{CliError, Outcome};
use crate::cli::question::{LoadArgs, request};
use crate::{plan, report};
use clap::Args;
use std::io::Write;

/// What to fit.
#[derive(Clone, Debug, Args)]
pub struct FitArgs {
    /// Fit this model: a catalogue name, a hub id, a config.json, or a spec file
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Fit it on this hardware [default: this machine]
    #[arg(long, short = 'H', value_name = "HARDWARE")]
    pub hw: Option<String>,
    /// The load and what is fixed.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Print the table as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// Bad input.
pub fn run(
    args: &FitArgs,
    catalogue: &Catalogue,
    width: usize,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let request = request(Some(&args.model), None, args.hw.as_deref(), &args.load, catalogue)?;
    let table = plan::fit(&request, catalogue)?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &table).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        report::fit::render(&table, width, out)?;
    }
    let fits = table.rows.iter().any(|row| row.choice.is_some());
    Ok(if fits { Outcome::Answered } else { Outcome::NothingFits })
}
