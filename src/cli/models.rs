//! `plan models`: what is known of each model, and whether a spec file is sound.

mod list;
mod local;
mod show;

use crate::catalogue::check::read_model;
use crate::catalogue::decode::BadFile;
use crate::catalogue::store::{Catalogue, LookupError};
use crate::cli::error::{CliError, Outcome};
use crate::cli::import::{self, ImportArgs};
use crate::import::ImportError;
use crate::import::local::Places;
use crate::import::source::{ModelError, resolve_model};
use clap::{Args, Subcommand};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What to do with models.
#[derive(Clone, Debug, Args)]
pub struct ModelsArgs {
    /// The action.
    #[command(subcommand)]
    pub action: Action,
}

/// The actions on models.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// List the models of the catalogue, one per line
    List(list::Filter),
    /// List the models whose name, hub id or family holds these words
    Search {
        /// The words; all must be found
        #[arg(required = true, value_name = "WORD")]
        words: Vec<String>,
        /// Which of them to list.
        #[command(flatten)]
        filter: list::Filter,
    },
    /// Show one model: shape, totals, cache, formats, sources, scores, prices
    Show {
        /// The model: a catalogue name, a hub id, a config.json, a checkpoint folder or its safetensors, a GGUF or a spec file
        #[arg(value_name = "MODEL")]
        model: String,
        /// Print the spec as JSON
        #[arg(long)]
        json: bool,
    },
    /// Turn a config.json, a checkpoint or a GGUF file into a model spec to edit
    Import(ImportArgs),
    /// List the models installed on this machine, and whether they fit it
    Local(local::LocalArgs),
    /// Check spec files and say what is wrong, where
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Runs the command.
///
/// # Errors
/// Bad input.
pub fn run(
    args: &ModelsArgs,
    places: &Places,
    catalogue: &Catalogue,
    width: usize,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    match &args.action {
        Action::List(filter) => list::run(&[], filter, catalogue, width, out),
        Action::Search { words, filter } => list::run(words, filter, catalogue, width, out),
        Action::Show { model, json } => {
            let found = resolve_model(model, catalogue)?;
            if *json {
                serde_json::to_writer_pretty(&mut *out, &*found.spec).map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                show::render(&found, width, out)?;
            }
            Ok(Outcome::Answered)
        }
        Action::Import(args) => import::run(args, out),
        Action::Local(args) => local::run(args, places, catalogue, width, out),
        Action::Check { files } => check(files, out),
    }
}

/// Reads every file before reporting, so that one run shows all problems.
fn check(files: &[PathBuf], out: &mut dyn Write) -> Result<Outcome, CliError> {
    let mut bad: Vec<BadFile> = Vec::new();
    for file in files {
        let path = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|source| CliError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        match read_model(&path, &text) {
            Ok(spec) => writeln!(out, "{path}: {} is sound", spec.name)?,
            Err(problems) => bad.push(problems),
        }
    }
    if bad.is_empty() { Ok(Outcome::Answered) } else { Err(CliError::Files(bad)) }
}

impl From<ModelError> for CliError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Unknown { name, near } => Self::Unknown { what: "model", name, near },
            ModelError::Bad(bad) => Self::Files(vec![bad]),
            ModelError::Io { path, source } => Self::Io { action: "read", path, source },
            ModelError::Empty => {
                Self::usage("no model is named", Some("`plan models list` shows the catalogue".to_owned()))
            }
            ModelError::Import(error) => {
                let hint =
                    "the keys are those of a `config.json` of the hub; a spec file can state them instead";
                let is_json = Path::new(&error.name).extension().is_some_and(|ending| ending == "json");
                Self::usage(told(&error), is_json.then(|| hint.to_owned()))
            }
            ModelError::Unread { path, reason } => {
                Self::usage(format!("{path} is not read"), Some(reason.clone()))
            }
        }
    }
}

/// One problem on one line, several on a line each.
fn told(error: &ImportError) -> String {
    match error.problems.as_slice() {
        [_] => error.to_string(),
        several => format!("{} has {} problems:\n  {}", error.name, several.len(), several.join("\n  ")),
    }
}

/// A failed lookup of a name that the catalogue itself gave, or of one typed.
fn lookup_error(error: LookupError) -> CliError {
    match error {
        LookupError::Unknown(unknown) => {
            CliError::Unknown { what: unknown.kind.word(), name: unknown.name, near: unknown.near }
        }
        LookupError::Bad(bad) => CliError::Files(vec![bad]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ModelsArgs,
    }

    fn answer(words: &[&str]) -> Result<String, CliError> {
        let line = Line::try_parse_from([&["models"], words].concat()).unwrap();
        let mut out = Vec::new();
        run(&line.args, &Places::default(), &Catalogue::embedded(), 100, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn filters_narrow_the_list() {
        let all = answer(&["list"]).unwrap().lines().count();
        let large = answer(&["list", "--moe", "--min-context", "1M", "--max-params", "800B"]).unwrap();
        assert!(large.lines().count() < all);
        assert!(large.contains("deepseek-v4-flash") && !large.contains("deepseek-v4-pro"), "{large}");
        let found = answer(&["search", "kimi", "code"]).unwrap();
        assert!(found.contains("kimi-k2.7-code") && !found.contains("kimi-k3"), "{found}");
        let rows: serde_json::Value = serde_json::from_str(&answer(&["list", "--json"]).unwrap()).unwrap();
        assert_eq!(rows[0]["id"], "codestral-22b");
    }

    #[test]
    fn show_states_computed_and_published() {
        let shown = answer(&["show", "deepseek-v4-pro"]).unwrap();
        for part in ["1.57 T", "1.60 T", "compressed-128", "9.64", "fp8-e8m0", "deepseek-ai/DeepSeek-V4-Pro"]
        {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
        let mut lines = shown.lines().filter(|line| !line.contains("https://"));
        assert!(lines.all(|line| line.chars().count() <= 100), "{shown}");
    }

    #[test]
    fn unknown_models_name_the_near_ones() {
        let Err(CliError::Unknown { near, .. }) = answer(&["show", "kimi-k9"]) else {
            panic!("found kimi-k9")
        };
        assert!(near.iter().any(|name| name.starts_with("kimi-k")), "{near:?}");
    }

    #[test]
    fn every_model_shows() {
        let catalogue = Catalogue::embedded();
        for id in catalogue.model_ids() {
            let found = resolve_model(id, &catalogue).unwrap();
            show::render(&found, 80, &mut Vec::new()).unwrap();
        }
    }
}
