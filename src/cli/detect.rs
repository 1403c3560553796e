//! `plan detect`: what this machine is, and how the catalogue understands it.

use crate::catalogue::store::Catalogue;
use crate::cli::error::{CliError, Outcome};
use crate::cli::machine_text::{print_machine, table};
use crate::detect::{Probe, Readings, ReadingsError, profile, replay, rig_toml};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Reads this machine and shows how the catalogue understands it
#[derive(Debug, Args)]
pub struct DetectArgs {
    /// Print what the system and drivers said, as JSON
    #[arg(long, conflicts_with = "toml")]
    json: bool,
    /// Print a rig file to correct and keep, as my-rig.toml
    #[arg(long)]
    toml: bool,
    /// Save what was read in this folder, for a bug report or a replay
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Describe the machine recorded in this folder instead of this one
    #[arg(long, value_name = "DIR", conflicts_with = "record")]
    replay: Option<PathBuf>,
}

/// Runs the command; `read` reads this machine, so that the answer is a function of values.
///
/// # Errors
/// When a record cannot be read or saved, catalogue text does not read, or the answer cannot be
/// written.
pub fn run(
    args: &DetectArgs,
    read: fn() -> (Probe, Readings),
    catalogue: &Catalogue,
    width: u16,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let (probe, readings) = match &args.replay {
        Some(folder) => {
            let readings = Readings::load(folder)?;
            (replay(&readings), readings)
        }
        None => read(),
    };
    let probe = &probe;
    if let Some(folder) = &args.record {
        let path = readings.save(folder)?;
        writeln!(out, "saved in {}: no name, address or serial number is in it", path.display())?;
        return Ok(Outcome::Answered);
    }
    if args.json {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "schema": 1, "probe": probe }))
            .map_err(|error| CliError::Internal(error.to_string()))?;
        writeln!(out, "{text}")?;
        return Ok(Outcome::Answered);
    }
    let profile = profile(probe, catalogue)?;
    if args.toml {
        write!(out, "{}", rig_toml(&profile, probe))?;
        return Ok(Outcome::Answered);
    }
    let rows: Vec<Vec<String>> = profile
        .matches
        .iter()
        .map(|found| {
            let id = found.id.clone().unwrap_or_else(|| "not in the catalogue".to_owned());
            vec![found.count.to_string(), found.reported.clone(), id]
        })
        .collect();
    writeln!(out, "{}\n", table(&["count", "reported as", "catalogue"], &rows, width))?;
    print_machine(&profile.machine, width, out)?;
    Ok(Outcome::Answered)
}

impl From<ReadingsError> for CliError {
    fn from(error: ReadingsError) -> Self {
        Self::usage(error.to_string(), Some("`plan detect --record DIR` saves such a folder".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: DetectArgs,
    }

    fn says(line: &str) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/probes/rtx-4090-pc");
        let line = format!("plan {line} --replay {folder}");
        let args = Line::parse_from(line.split_whitespace()).args;
        let mut out = Vec::new();
        run(&args, Default::default, &Catalogue::embedded(), 80, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn three_ways_to_say_it() {
        assert!(says("").contains("NVIDIA GeForce RTX 4090"));
        assert!(says("").contains("rtx-4090"));
        assert!(says("--toml").contains("id        = \"rtx-4090\""));
        let json: serde_json::Value = serde_json::from_str(&says("--json")).unwrap();
        assert_eq!(json["probe"]["gpus"][0]["pcie_gen"], 4);
    }
}
