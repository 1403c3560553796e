//! `plan calibrate`: fit the factors of constants to measurements.

use crate::calibrate::spread::{self, Residuals};
use crate::calibrate::{Problem, fit, left_out, write};
use crate::catalogue::decode::utf8_text;
use crate::catalogue::store::Catalogue;
use crate::cli::error::{CliError, Outcome};
use crate::cli::validate::write_page_to;
use crate::perf::Sources;
use crate::perf::constants::Constants;
use crate::perf::interval::Acquaintance;
use crate::validate::Judged;
use crate::validate::accuracy_page::{ConstantCount, Page};
use crate::validate::headline::standings;
use crate::validate::speed::{LOCAL, Observation, SERVING, observations};
use clap::Args;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Fit the constants of speed to measurements and show how that carries over
#[derive(Clone, Debug, Args)]
pub struct CalibrateArgs {
    /// Speed measurements to fit [default: the shipped ones]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write `fitted.toml` and `intervals.toml` to this folder
    #[arg(long, short = 'o', value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Write the accuracy page and its picture to this folder
    #[arg(long, value_name = "DIR")]
    pub page: Option<PathBuf>,
    /// Read files of constants from this folder instead of the shipped ones
    #[arg(long, value_name = "DIR")]
    pub constants: Option<PathBuf>,
    /// Date to write into the file
    #[arg(long, value_name = "DATE", default_value = "undated")]
    pub date: String,
    /// Rounds of the fit; 0 judges the constants as they are
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub rounds: usize,
    /// Write every row as CSV to this folder: fitted, and with its model and its machine left out
    #[arg(long, value_name = "DIR")]
    pub rows: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Files that cannot be read or written, with all their problems.
pub fn run(
    args: &CalibrateArgs,
    catalogue: &Catalogue,
    out: &mut dyn Write,
    progress: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let (rows, files) = read(args, catalogue)?;
    let base = base(args)?;
    let own = base.intervals().clone();
    let base = base.with_intervals(own.unit());
    let problem = Problem::new(&rows, &base);
    writeln!(
        progress,
        "{} of {} rows fitted, {} judged, {} factors",
        problem.rows.len(),
        rows.len(),
        problem.rows.len() + problem.rest.len(),
        problem.parameters.len()
    )?;
    let found = fit(&problem, &base, args.rounds, |round, cost| {
        // Progress that cannot be shown stops nothing.
        let _ = writeln!(progress, "round {}: cost {cost:.1}", round + 1);
    });
    let fitted = problem.constants(&base, &found.values);
    let mut as_fitted = found.judged(&problem, &fitted);
    let mut model = left_out(&problem, &base, &found, |row| &row.model);
    let mut machine = left_out(&problem, &base, &found, |row| &row.machine);
    let source = format!("plan calibrate over {} published speed measurements", problem.rows.len());
    let standings = spread::standings(problem.rows.iter().chain(&problem.rest).copied());
    let residuals = Residuals { fitted: &as_fitted, model: &model, machine: &machine };
    let new = spread::intervals(residuals, &standings, &own, (&source, &args.date));
    let known = |model, machine| Acquaintance { model, machine };
    spread::respread(&mut as_fitted, &standings, &new, known(true, true));
    spread::respread(&mut model, &standings, &new, known(false, true));
    spread::respread(&mut machine, &standings, &new, known(true, false));
    let fitted = fitted.with_intervals(new);
    writeln!(out, "{} factors, {:.0} of them determined by rows", problem.parameters.len(), found.effective)?;
    write_standings(out, [&as_fitted, &model, &machine])?;
    if let Some(folder) = &args.rows {
        for (name, rows) in [("fitted", &as_fitted), ("model", &model), ("machine", &machine)] {
            write_rows(&folder.join(format!("{name}.csv")), rows)?;
        }
    }
    if let Some(folder) = &args.output {
        let text = write::fitted(&fitted, &problem, &source, &args.date);
        write_text(&folder.join("fitted.toml"), &text)?;
        write_text(&folder.join("intervals.toml"), &write::intervals(fitted.intervals()))?;
    }
    if let Some(folder) = &args.page {
        // Rows without a prediction or in doubt took no part, but belong on the page.
        let sources = Sources { constants: &fitted, ..Sources::shipped() };
        let known: BTreeSet<&str> = as_fitted.iter().map(|row| row.id.as_str()).collect();
        let others = rows.par_iter().filter(|row| !known.contains(row.id.as_str()));
        let mut all: Vec<Judged> = others.map(|row| row.judged(sources)).collect();
        drop(known);
        all.append(&mut as_fitted);
        all.sort_by(|a, b| a.id.cmp(&b.id));
        let (given, _) = fitted.counts();
        let page = Page {
            fitted: &all,
            left_out_model: &model,
            left_out_machine: &machine,
            constants: Some(ConstantCount {
                free: problem.parameters.len(),
                determined: found.effective.round() as usize,
                given,
            }),
            files: &files,
            command: &command(args),
        };
        write_page_to(folder, &page, out)?;
    }
    Ok(Outcome::Answered)
}

/// The constants to start from.
fn base(args: &CalibrateArgs) -> Result<Constants, CliError> {
    let mut texts = Vec::new();
    for name in Constants::file_names() {
        let Some(path) =
            args.constants.as_ref().map(|folder| folder.join(name)).filter(|path| path.is_file())
        else {
            continue;
        };
        let shown = path.display().to_string();
        let bytes = std::fs::read(&path).map_err(|source| CliError::Io {
            action: "read",
            path: shown.clone(),
            source,
        })?;
        texts.push((name.to_owned(), utf8_text(&shown, bytes)?));
    }
    Constants::read(&texts).map_err(|bad| CliError::Files(vec![bad]))
}

/// Rows of files, and how many of which.
type Read = (Vec<Observation>, Vec<(String, usize)>);

fn read(args: &CalibrateArgs, catalogue: &Catalogue) -> Result<Read, CliError> {
    let (mut rows, mut files) = (Vec::new(), Vec::new());
    let mut add = |name: &str, text: &str| -> Result<(), CliError> {
        let found = observations(name, text, catalogue).map_err(|bad| CliError::Files(vec![bad]))?;
        files.push((name.to_owned(), found.len()));
        rows.extend(found);
        Ok(())
    };
    for path in &args.files {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| CliError::Io {
            action: "read",
            path: name.clone(),
            source,
        })?;
        add(&name, &utf8_text(&name, bytes)?)?;
    }
    if args.files.is_empty() {
        for (name, text) in [LOCAL, SERVING] {
            add(name, text)?;
        }
    }
    Ok((rows, files))
}

/// The command line that repeats a run.
fn command(args: &CalibrateArgs) -> String {
    let mut words = vec!["plan calibrate".to_owned()];
    words.extend(args.files.iter().map(|file| file.display().to_string()));
    words.push(format!("--rounds {}", args.rounds));
    words.extend(args.page.iter().map(|folder| format!("--page {}", folder.display())));
    words.join(" ")
}

/// Where every headline regime stands: as fitted and left out.
fn write_standings(out: &mut dyn Write, rows: [&[Judged]; 3]) -> io::Result<()> {
    let percent =
        |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{:.1}", value * 100.0));
    writeln!(out, "{:76} rows groups fitted    p90   bias  inside no-model inside no-machine inside", "")?;
    let tables = rows.map(standings);
    for ((fitted, model), machine) in tables[0].iter().zip(&tables[1]).zip(&tables[2]) {
        writeln!(
            out,
            "{:76} {:4} {:5} {:>6} {:>6} {:>6} {:>7} {:>8} {:>6} {:>10} {:>6}  (aim {:.0}/{:.0}, {:.0})",
            fitted.name,
            fitted.found.rows,
            fitted.found.groups,
            percent(fitted.found.median_ape),
            percent(fitted.found.p90_ape),
            percent(fitted.found.bias),
            percent(fitted.found.coverage),
            percent(model.found.median_ape),
            percent(model.found.coverage),
            percent(machine.found.median_ape),
            percent(machine.found.coverage),
            fitted.aim.median * 100.0,
            fitted.aim.p90 * 100.0,
            fitted.aim.left_out * 100.0,
        )?;
    }
    Ok(())
}

fn write_text(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|source| CliError::Io {
        action: "write",
        path: path.display().to_string(),
        source,
    })
}

fn write_rows(path: &Path, rows: &[Judged]) -> Result<(), CliError> {
    let io = |source| CliError::Io { action: "write", path: path.display().to_string(), source };
    let mut writer = csv::Writer::from_path(path).map_err(|error| io(std::io::Error::other(error)))?;
    for row in rows {
        let predicted = row.predicted.as_ref().map_or(f64::NAN, |p| p.likely);
        let cells = [
            row.id.clone(),
            row.regime.clone(),
            row.group.clone(),
            row.metric.clone(),
            row.measured.to_string(),
            predicted.to_string(),
            format!("{:.4}", predicted / row.measured),
        ];
        writer.write_record(cells).map_err(|error| io(std::io::Error::other(error)))?;
    }
    writer.flush().map_err(io)
}
