//! Errors as the user sees them, and the exit code each one ends with.

use crate::catalogue::decode::BadFile;
use crate::catalogue::nearest::{alternatives, nearest};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::io;
use std::path::{Path, PathBuf};
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
    #[error("could not {action} {path}: {}", reason(source))]
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
            Self::Unknown { what, near, .. } => {
                let hint = match near.as_slice() {
                    [] => where_to_look(what).map_or_else(String::new, |hint| format!("hint: {hint}\n")),
                    names => format!("hint: did you mean {}?\n", alternatives(names)),
                };
                format!("error: {self}\n{hint}")
            }
            Self::Usage { hint, .. } => {
                let hint = hint.as_ref().map_or_else(String::new, |hint| format!("hint: {hint}\n"));
                format!("error: {self}\n{hint}")
            }
            Self::Internal(_) => format!("error: {self}\nhint: this is a fault of plan; please report it\n"),
            Self::Io { path, source, .. } => {
                let missing = source.kind() == io::ErrorKind::NotFound;
                let hint = similar_file(path).filter(|_| missing);
                let hint = hint.map_or_else(String::new, |near| format!("hint: did you mean `{near}`?\n"));
                format!("error: {self}\n{hint}")
            }
            Self::Output(_) => format!("error: {self}\n"),
        }
    }
}

/// What the system said, in our words where they are plainer.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        io::ErrorKind::NotADirectory => "it is not a folder".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder, not a file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// How to find the names of a kind when none is like what was typed.
fn where_to_look(what: &str) -> Option<&'static str> {
    match what {
        "model" => Some("`plan models list` shows the known ones; a config.json or spec file works too"),
        "hardware" => Some("`plan hardware list` shows the known ones; a rig file describes any other"),
        "workload" => Some("`plan workloads list` shows those that come along; a file of your own works too"),
        _ => None,
    }
}

/// The file beside a missing one that is named most like it and is of the same kind.
fn similar_file(path: &str) -> Option<String> {
    let path = Path::new(path);
    let folder = path.parent()?;
    let listed =
        std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }).ok()?;
    let same_kind = listed
        .filter_map(|item| item.ok().map(|item| PathBuf::from(item.file_name())))
        .filter(|other| other.extension() == path.extension());
    let mut stems: Vec<String> =
        same_kind.filter_map(|other| Some(other.file_stem()?.to_str()?.to_owned())).collect();
    stems.sort_unstable();
    let near = folder.join(nearest(path.file_stem()?.to_str()?, stems.iter().map(String::as_str))?);
    let extension = path.extension()?.to_str()?;
    Some(format!("{}.{extension}", near.display()))
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
            .annotation(AnnotationKind::Primary.span(start..first_line_end).label(problem.label.as_str()));
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
