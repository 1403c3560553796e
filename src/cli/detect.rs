//! `plan detect`: what this machine is, and how the catalogue understands it.

use crate::catalogue::store::Catalogue;
use crate::cli::error::{CliError, Outcome};
use crate::cli::machine_text::{print_machine, table};
use crate::detect::{
    Measured, Probe, Readings, ReadingsError, explain, measure, profile, replay, rig_toml, today,
};
use clap::Args;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

/// Reads this machine and shows how the catalogue understands it
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct DetectArgs {
    /// Print what the system and drivers said, as JSON
    #[arg(long, conflicts_with_all = ["toml", "explain"])]
    json: bool,
    /// Print a rig file to correct and keep, as my-rig.toml
    #[arg(long)]
    toml: bool,
    /// Write that rig file here
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["toml", "json", "explain", "record"])]
    output: Option<PathBuf>,
    /// Print every reading beside what was concluded from it, for a bug report
    #[arg(long)]
    explain: bool,
    /// Measure memory and the disk of this folder, up to 20 s; combines with --toml and --output
    #[arg(long, conflicts_with_all = ["json", "record", "replay"])]
    measure: bool,
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
    let (probe, mut readings) = match &args.replay {
        Some(folder) => {
            let readings = Readings::load(folder)?;
            (replay(&readings), readings)
        }
        None => read(),
    };
    let probe = &probe;
    if let Some(folder) = &args.record {
        readings.recorded =
            format!("recorded by `plan detect --record`, version {}, {}", env!("CARGO_PKG_VERSION"), today());
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
    let mut profile = profile(probe, catalogue)?;
    let measured = args.measure.then(|| measure_here(probe));
    if let Some(measured) = &measured {
        measured.apply(&mut profile);
    }
    if args.explain {
        write!(out, "{}", explain(&profile, probe, &readings))?;
        return Ok(Outcome::Answered);
    }
    if let Some(path) = &args.output {
        std::fs::write(path, rig_toml(&profile, probe)).map_err(|error| {
            CliError::usage(format!("{}: {error}", path.display()), Some("name a file to write".to_owned()))
        })?;
        writeln!(out, "written: {}; use it with --hw {}", path.display(), path.display())?;
        return Ok(Outcome::Answered);
    }
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
    if let Some(measured) = &measured {
        print_measured(measured, width, out)?;
    }
    Ok(Outcome::Answered)
}

/// Measures this machine, with a line of progress where somebody watches.
fn measure_here(probe: &Probe) -> Measured {
    let watched = io::stderr().is_terminal();
    let mut progress = |step: &str| {
        if watched {
            // Nobody is left to tell if standard error is gone.
            let _ = write!(io::stderr(), "\r\x1b[Kmeasuring: {step} …");
        }
    };
    let measured = measure(probe, std::path::Path::new("."), &mut progress);
    if watched {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    measured
}

fn print_measured(measured: &Measured, width: u16, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nMeasured {}:", measured.date)?;
    if measured.memory.is_empty() {
        writeln!(out, "too little memory is free for a buffer above the caches: memory was not measured")?;
    }
    let mut by_threads = measured.memory.clone();
    by_threads.sort_by_key(|(threads, _)| *threads);
    let rows: Vec<Vec<String>> =
        by_threads.iter().map(|(threads, rate)| vec![threads.to_string(), rate.to_string()]).collect();
    if !rows.is_empty() {
        writeln!(out, "{}", table(&["threads", "memory read"], &rows, width))?;
        writeln!(out, "best of several passes over {}; load {:.1} before", measured.buffer, measured.load)?;
    }
    if cfg!(debug_assertions) {
        writeln!(out, "this program is not optimised: memory reads faster than it can ask")?;
    }
    match &measured.disk {
        Ok(read) => writeln!(out, "disk {}: {}", read.rate, read.how),
        Err(why) => writeln!(out, "disk not measured: {why}"),
    }
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
    fn four_ways_to_say_it() {
        assert!(says("").contains("NVIDIA GeForce RTX 4090"));
        assert!(says("").contains("rtx-4090"));
        assert!(says("--toml").contains("id        = \"rtx-4090\""));
        let explained = says("--explain");
        assert!(
            explained.contains("device 0000:01:00.0") && explained.contains("MemTotal: 64060546 kB"),
            "{explained}"
        );
        let json: serde_json::Value = serde_json::from_str(&says("--json")).unwrap();
        assert_eq!(json["probe"]["gpus"][0]["pcie_gen"], 4);
    }
}
