//! `plan validate`: predict published measurements and say how wrong that was.

use crate::catalogue::decode::utf8_text;
use crate::cli::error::{CliError, Outcome};
use crate::cli::operators::OperatorsArgs;
use crate::validate::accuracy_page::{Page, write_page};
use crate::validate::report::Accuracy;
use crate::validate::scatter::write_scatter;
use crate::validate::{Judge, Judged, judge_text};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Predict published measurements and show the error by regime
#[derive(Clone, Debug, Args)]
pub struct ValidateArgs {
    /// Measurements to predict; their kind is known by the header [default: the shipped ones]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print the rows as CSV
    #[arg(long)]
    pub csv: bool,
    /// Write the accuracy page and its picture into a folder: accuracy.md, accuracy.svg
    #[arg(long, value_name = "DIR", conflicts_with_all = ["json", "csv"])]
    pub page: Option<PathBuf>,
    /// Show so many of the worst rows
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub worst: usize,
    /// Answer serving rows by the closed form that ranks, not by the simulation
    #[arg(long, conflicts_with = "page")]
    pub closed_form: bool,
    /// Measured operators.
    #[command(flatten)]
    pub operators: OperatorsArgs,
}

/// Judges the files, or the `shipped` ones (name and text) if none is given.
///
/// # Errors
/// Files that cannot be read, with all their problems.
pub fn run(
    args: &ValidateArgs,
    judges: &[&dyn Judge],
    shipped: &[(&str, &str)],
    out: &mut dyn Write,
    width: u16,
) -> Result<Outcome, CliError> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for path in &args.files {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => {
                let text = utf8_text(&name, bytes)?;
                texts.push((name, text));
            }
            Err(source) => return Err(CliError::Io { action: "read", path: name, source }),
        }
    }
    if args.files.is_empty() {
        texts.extend(shipped.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
    }
    let (mut rows, mut files, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for (name, text) in &texts {
        match judge_text(name, text, judges) {
            Ok(found) => {
                files.push((name.clone(), found.len()));
                rows.extend(found);
            }
            Err(file) => bad.push(file),
        }
    }
    if !bad.is_empty() {
        return Err(CliError::Files(bad));
    }
    if let Some(folder) = &args.page {
        return write_pages(folder, args, &rows, &files, out);
    }
    let accuracy = Accuracy::of(&rows);
    if args.json {
        accuracy.write_json(out)?;
    } else if args.csv {
        accuracy.write_csv(out)?;
    } else {
        accuracy.write_tables(out, args.worst, width)?;
    }
    Ok(Outcome::Answered)
}

/// Writes the accuracy page and its picture.
fn write_pages(
    folder: &Path,
    args: &ValidateArgs,
    rows: &[Judged],
    files: &[(String, usize)],
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let mut command = vec!["plan validate".to_owned()];
    command.extend(args.files.iter().map(|file| file.display().to_string()));
    command.extend(args.operators.operators.iter().map(|dir| format!("--operators {}", dir.display())));
    command.push(format!("--page {}", folder.display()));
    let command = command.join(" ");
    let page = Page {
        fitted: rows,
        left_out_model: &[],
        left_out_machine: &[],
        constants: None,
        files,
        command: &command,
    };
    write_page_to(folder, &page, out)?;
    Ok(Outcome::Answered)
}

/// Writes an accuracy page and its picture into a folder.
///
/// # Errors
/// Files that cannot be written.
pub fn write_page_to(folder: &Path, page: &Page<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    let (mut text, mut picture) = (Vec::new(), Vec::new());
    write_page(&mut text, page)?;
    write_scatter(&mut picture, page.fitted)?;
    let failed =
        |path: &Path, source| CliError::Io { action: "write", path: path.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    for (name, bytes) in [("accuracy.md", text), ("accuracy.svg", picture)] {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|source| failed(&path, source))?;
        writeln!(out, "wrote {}", path.display())?;
    }
    Ok(())
}
