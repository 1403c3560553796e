//! Errors as the user sees them, and the exit code each one ends with.

use crate::catalogue::decode::BadFile;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::io;
use std::process::ExitCode;
use thiserror::Error;

/// How an answered question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The question was answered.
    Answered,
    /// The question was answered, and the answer is that nothing fits.
    NothingFits,
}

/// Why a command could not answer.
#[derive(Debug, Error)]
pub enum CliError {
    /// Files with problems, each shown with its place.
    #[error("{} file(s) could not be read", .0.len())]
    Files(Vec<BadFile>),
    /// A name that is not in the catalogue.
    #[error("unknown {what} `{name}`")]
    Unknown {
        /// `model`, `hardware`, …
        what: &'static str,
        /// What was typed.
        name: String,
        /// Names that may have been meant.
        near: Vec<String>,
    },
    /// An argument that cannot be used.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A file or folder that could not be read or written.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// `read`, `write`.
        action: &'static str,
        /// The path as the user gave it.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A write to standard output that failed.
    #[error("could not write the answer: {0}")]
    Output(#[from] io::Error),
    /// A fault of the planner itself.
    #[error("internal fault: {0}")]
    Internal(String),
}

impl CliError {
    /// An argument that cannot be used.
    pub fn usage(message: impl Into<String>, hint: Option<String>) -> Self {
        Self::Usage { message: message.into(), hint }
    }

    /// Whether the reader of our output went away, which is a quiet success.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// 2 for bad input, 3 for our fault.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Files(_) | Self::Unknown { .. } | Self::Usage { .. } | Self::Io { .. } => ExitCode::from(2),
            Self::Output(_) | Self::Internal(_) => ExitCode::from(3),
        }
    }

    /// The message for a person, with places and hints.
    pub fn render(&self, colour: bool) -> String {
        match self {
            Self::Files(files) => files.iter().map(|file| render_file(file, colour)).collect(),
            Self::Unknown { near, .. } => {
                let hint = match near.as_slice() {
                    [] => String::new(),
                    names => format!("hint: did you mean {}?\n", quoted(names)),
                };
                format!("error: {self}\n{hint}")
            }
            Self::Usage { hint, .. } => {
                let hint = hint.as_ref().map_or_else(String::new, |hint| format!("hint: {hint}\n"));
                format!("error: {self}\n{hint}")
            }
            Self::Internal(_) => format!("error: {self}\nhint: this is a fault of plan; please report it\n"),
            Self::Io { .. } | Self::Output(_) => format!("error: {self}\n"),
        }
    }
}

/// `a`, `b` or `c`.
fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

/// Every problem of a file, with the line it stands on.
fn render_file(bad: &BadFile, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut shown = String::new();
    for problem in &bad.problems {
        let end = problem.span.end.min(bad.text.len());
        let start = problem.span.start.min(end);
        // A span over many lines (a whole table) is shown by its first line.
        let first_line_end = bad.text[start..end].find('\n').map_or(end, |i| start + i);
        let snippet = Snippet::source(bad.text.as_str())
            .path(bad.file.as_str())
            .line_start(bad.first_line)
            .annotation(
                AnnotationKind::Primary.span(start..first_line_end).label(problem.label.as_str()),
            );
        let title = Level::ERROR.primary_title(problem.message.as_str());
        shown.push_str(&renderer.render(&[Group::with_title(title).element(snippet)]));
        shown.push('\n');
        if let Some(hint) = &problem.hint {
            shown.push_str("hint: ");
            shown.push_str(hint);
            shown.push('\n');
        }
    }
    shown
}
