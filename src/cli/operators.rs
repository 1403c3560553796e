//! `--operators`: measured operator tables the user has installed.

use crate::catalogue::machine::Machine;
use crate::cli::error::CliError;
use crate::perf::deployment::Engine;
use crate::perf::operators::{Operators, OperatorsError};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

/// Tables of operators beside the shipped constants.
#[derive(Clone, Debug, Default, Args)]
pub struct OperatorsArgs {
    /// Take operator times from aiconfigurator-core's tables in this folder instead of fitted curves
    #[arg(long, value_name = "DIR")]
    pub operators: Option<PathBuf>,
}

impl OperatorsArgs {
    /// The tables of a machine, where the flag was given.
    ///
    /// # Errors
    /// A build without them, a folder without tables, or a table that does not read.
    pub fn of_machine(&self, machine: &Machine) -> Result<Option<Arc<Operators>>, CliError> {
        self.open(|operators| {
            for (_, group) in machine.groups() {
                for engine in Engine::ALL {
                    operators.read(&group.id, *engine)?;
                }
            }
            Ok(())
        })
    }

    /// All tables, where the flag was given.
    ///
    /// # Errors
    /// As [`OperatorsArgs::of_machine`].
    pub fn of_all(&self) -> Result<Option<Arc<Operators>>, CliError> {
        self.open(Operators::read_all)
    }

    fn open(
        &self,
        read: impl FnOnce(&mut Operators) -> Result<(), OperatorsError>,
    ) -> Result<Option<Arc<Operators>>, CliError> {
        let Some(dir) = &self.operators else { return Ok(None) };
        let opened = Operators::open(dir).and_then(|mut operators| {
            read(&mut operators)?;
            Ok(Arc::new(operators))
        });
        opened.map(Some).map_err(CliError::from)
    }
}

impl From<OperatorsError> for CliError {
    fn from(error: OperatorsError) -> Self {
        let hint = if cfg!(feature = "operators") {
            "name the folder of an installed aiconfigurator-core, such as site-packages/aiconfigurator_core"
        } else {
            "cargo install with `--features operators`, or leave out --operators for the fitted curves"
        };
        Self::usage(format!("--operators: {error}"), Some(hint.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(dir: &str) -> String {
        let args = OperatorsArgs { operators: Some(dir.into()) };
        args.of_all().unwrap_err().render(false)
    }

    #[test]
    fn without_the_flag_there_are_none() {
        assert!(OperatorsArgs::default().of_all().unwrap().is_none());
    }

    #[test]
    #[cfg(not(feature = "operators"))]
    fn a_build_without_them_names_the_feature() {
        let shown = refusal("anywhere");
        assert!(shown.contains("cargo feature `operators`"), "{shown}");
    }

    #[test]
    #[cfg(feature = "operators")]
    fn a_folder_without_tables_says_what_was_expected() {
        let shown = refusal("no-such-folder");
        assert!(shown.contains("`no-such-folder`: expected <system>/"), "{shown}");
        assert!(shown.contains("hint: name the folder"), "{shown}");
    }
}
