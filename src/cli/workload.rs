//! The arguments of a workload, and what it means for a question.

use crate::catalogue::decode::utf8_text;
use crate::cli::error::CliError;
use crate::serving::text::Text;
use crate::serving::workload::{Source, TraceError, read_trace, read_workload, shipped};
use clap::Args;
use std::fs::File;
use std::io::{BufReader, Error};
use std::path::Path;

/// Who asks what.
#[derive(Clone, Debug, Default, Args)]
pub struct WorkloadArgs {
    /// Take the requests of this workload: a name such as coding-agent (`plan workloads list`), a file of your own, or a trace in CSV
    #[arg(long, value_name = "NAME|FILE")]
    pub workload: Option<String>,
}

impl WorkloadArgs {
    /// The workload they name, if any.
    ///
    /// # Errors
    /// An unknown name, or what is wrong with the file.
    pub fn source(&self) -> Result<Option<Source>, CliError> {
        self.workload.as_deref().map(resolve_workload).transpose()
    }
}

/// What a request of a workload is like in the mean.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub name: String,
    pub text: Text,
    pub context: u64,
    pub prompt: u64,
    pub cached: u64,
    pub output: u64,
}

impl Shape {
    /// The mean of the requests that fit into `limit` tokens.
    pub(super) fn of(source: &Source, limit: Option<u64>) -> Result<Self, CliError> {
        let profile = source.profile(limit).ok_or_else(|| {
            let most = limit.unwrap_or(0);
            CliError::usage(format!("no request of {} fits into {most} tokens", source.name()), None)
        })?;
        let whole = |tokens: f64| tokens.round().max(1.0) as u64;
        let (prompt, output) = (whole(profile.input), whole(profile.output));
        Ok(Self {
            name: source.name().to_owned(),
            text: source.text(),
            context: profile.context.max(prompt + output),
            prompt,
            cached: (profile.kept.round() as u64).min(prompt - 1),
            output,
        })
    }

    /// The cached tokens of a prompt of so many: in proportion.
    pub(super) fn cached_of(&self, prompt: u64) -> u64 {
        let cached = (self.cached as f64 * prompt as f64 / self.prompt as f64).round() as u64;
        cached.min(prompt.saturating_sub(1))
    }
}

/// A workload by name, or from a file.
///
/// # Errors
/// An unknown name, or what is wrong with the file.
pub fn resolve_workload(text: &str) -> Result<Source, CliError> {
    let path = Path::new(text);
    let is_file = text.contains(['/', '\\', '.']) || path.is_file();
    match shipped(text) {
        Ok(spec) => Ok(Source::Spec(Box::new(spec))),
        Err(near) if !is_file => Err(CliError::Unknown { what: "workload", name: text.to_owned(), near }),
        Err(_) if path.extension().is_some_and(|ending| ending == "toml") => {
            let bytes = std::fs::read(path).map_err(|error| unread(text, error))?;
            Ok(Source::Spec(Box::new(read_workload(text, &utf8_text(text, bytes)?)?)))
        }
        Err(_) => {
            let file = File::open(path).map_err(|error| unread(text, error))?;
            match read_trace(text, BufReader::new(file)) {
                Ok(trace) => Ok(Source::Trace(Box::new(trace))),
                Err(TraceError::Bad(bad)) => Err(CliError::Files(bad)),
                Err(TraceError::Io(error)) => Err(unread(text, error)),
            }
        }
    }
}

fn unread(path: &str, source: Error) -> CliError {
    CliError::Io { action: "read", path: path.to_owned(), source }
}
