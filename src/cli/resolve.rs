//! Names, files and counts of the command line to the values of a request.

use crate::catalogue::decode::BadFile;
use crate::catalogue::hardware_flag::hardware;
use crate::catalogue::machine::Machine;
use crate::catalogue::model::ModelSpec;
use crate::catalogue::nearest::ranked;
use crate::catalogue::store::Catalogue;
use crate::cli::error::CliError;
use crate::detect::{probe, profile};
use crate::import::coarse::coarse;
use crate::import::source;
use crate::plan::PlanError;
use crate::units::parse_count;

/// A model by name or file.
pub(super) fn resolve_model(name: &str, catalogue: &Catalogue) -> Result<ModelSpec, CliError> {
    Ok((*source::resolve_model(name, catalogue)?.spec).clone())
}

/// A model known only by its totals.
pub(super) fn coarse_model(total: &str, active: Option<&str>) -> Result<ModelSpec, CliError> {
    let count = |flag: &str, text: &str| {
        parse_count(text).map(|n| n as u64).map_err(|error| {
            CliError::usage(
                format!("--{flag} `{text}`: {error}"),
                Some("write a count of parameters such as 750B or 1.6T".to_owned()),
            )
        })
    };
    let (all, used) = (total, active.unwrap_or(total));
    let total = count("params", total)?;
    let active = active.map_or(Ok(total), |active| count("active", active))?;
    if active > total {
        let hint = "active parameters are those one token uses: never more than all".to_owned();
        return Err(CliError::usage(format!("--active {used} is more than --params {all}"), Some(hint)));
    }
    coarse(total, active).map_err(|error| CliError::usage(error.to_string(), None))
}

/// Hardware by file, system or count.
pub(super) fn resolve_hardware(text: &str, catalogue: &Catalogue) -> Result<Machine, CliError> {
    Ok(hardware(text, catalogue)?)
}

/// The machine `plan` runs on.
pub(super) fn this_machine(catalogue: &Catalogue) -> Result<Machine, CliError> {
    Ok(profile(&probe(), catalogue)?.machine)
}

impl From<PlanError> for CliError {
    fn from(error: PlanError) -> Self {
        let message = error.to_string();
        match error {
            PlanError::UnknownFormat { name, near } => Self::Unknown { what: "weight format", name, near },
            PlanError::ContextTooLong { most, .. } => {
                Self::usage(message, Some(format!("ask for --context {most} or less")))
            }
            PlanError::RequestTooLong { .. } => {
                Self::usage(message, Some("lower --prompt or --output, or raise --context".to_owned()))
            }
            PlanError::NoSuchLayout { ref hint, .. } => {
                let hint = hint.clone();
                Self::usage(message, hint)
            }
            PlanError::NoSuchOption { id, known } => {
                let near = ranked(&id, known.iter().map(String::as_str)).into_iter().map(str::to_owned);
                Self::Unknown { what: "option", near: near.collect(), name: id }
            }
            PlanError::AllCached { input, .. } => {
                Self::usage(message, Some(format!("ask for --cached {} or less", input - 1)))
            }
            PlanError::NoPrediction { .. } => {
                Self::usage(message, Some("ask for --draft eagle3 or ngram".to_owned()))
            }
            PlanError::OneModel => Self::usage(message, Some("name one with --model".to_owned())),
            PlanError::File(bad) => Self::from(bad),
            PlanError::Lookup(error) => Self::from(error),
        }
    }
}

impl From<BadFile> for CliError {
    fn from(bad: BadFile) -> Self {
        Self::Files(vec![bad])
    }
}
