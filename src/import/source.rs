//! A model in one flag: a name in the catalogue, a hub id, a `config.json`, a checkpoint, a GGUF or spec file.

use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::scheme::Scheme;
use crate::catalogue::check::read_model;
use crate::catalogue::decode::{BadFile, Problem, utf8_text};
use crate::catalogue::hub::Hub;
use crate::catalogue::model::ModelSpec;
use crate::catalogue::store::{Catalogue, Layer, LookupError};
use crate::import::checkpoint::{self, Checkpoint};
use crate::import::config::from_published;
use crate::import::gguf::{FileFault, from_header, read_parts};
use crate::import::{ImportError, too_large};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;

/// A model and where it was found, as people would say it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The model.
    pub spec: Arc<ModelSpec>,
    /// `catalogue`, a folder of the user, or a file.
    pub from: String,
}

/// Why a model could not be had.
#[derive(Debug, Error)]
pub enum ModelError {
    /// An empty text.
    #[error("no model is named")]
    Empty,
    /// No model of that name, and no file either.
    #[error("unknown model `{name}`")]
    Unknown {
        /// What was written.
        name: String,
        /// Names that may have been meant.
        near: Vec<String>,
    },
    /// A spec that does not read.
    #[error(transparent)]
    Bad(#[from] BadFile),
    /// A `config.json` that does not describe a model.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A kind of file no source reads yet.
    #[error("{path} is not read: {reason}")]
    Unread {
        /// The path as written.
        path: String,
        /// What could be given instead.
        reason: String,
    },
    /// A file that could not be read.
    #[error("could not read {path}: {source}")]
    Io {
        /// The path as written.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Finds the model a text names. A name of the catalogue comes first; a path is what ends in
/// `.toml` or `.json`, or exists.
///
/// # Errors
/// When nothing has that name, or what has it does not read.
pub fn resolve_model(text: &str, catalogue: &Catalogue) -> Result<Found, ModelError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ModelError::Empty);
    }
    let (name, near) = match catalogue.model(text) {
        Ok(entry) => {
            let from = match &entry.layer {
                Layer::Shipped => "catalogue".to_owned(),
                Layer::User(folder) => folder.display().to_string(),
            };
            return Ok(Found { spec: entry.value, from });
        }
        Err(LookupError::Bad(bad)) => return Err(bad.into()),
        Err(LookupError::Unknown(unknown)) => (unknown.name, unknown.near),
    };
    let path = Path::new(text);
    let hub = catalogue.hub.as_ref().filter(|_| Hub::is_name(text) && !path.exists());
    let spec = if let Some(hub) = hub {
        hub.fetch(text)?
    } else if ends(path, "toml") {
        let spec = read_model(text, &read(path)?)?;
        if let Some(problem) = too_large(&spec) {
            return Err(ImportError { name: text.to_owned(), problems: vec![problem] }.into());
        }
        spec
    } else if path.is_dir()
        || is_gguf(path)
        || ["json", "gguf", "safetensors"].iter().any(|ending| ends(path, ending))
    {
        import(path, None)?
    } else {
        return Err(ModelError::Unknown { name, near });
    };
    Ok(Found { spec: Arc::new(spec), from: text.to_owned() })
}

/// Imports a description that is not ours: a `config.json`, the checkpoint folder it lies in, or a
/// GGUF file. Without a name, the file or its folder gives one.
///
/// # Errors
/// When the file cannot be read or does not describe a model.
pub fn import(path: &Path, name: Option<&str>) -> Result<ModelSpec, ModelError> {
    // The index of a checkpoint and one of its files mean the folder they lie in.
    let is_index = path.to_string_lossy().to_lowercase().ends_with(".safetensors.index.json");
    let beside = path.with_file_name("config.json");
    let file = match path {
        _ if path.is_dir() => path.join("config.json"),
        _ if is_index || (ends(path, "safetensors") && beside.is_file()) => beside,
        _ => path.to_owned(),
    };
    let name = name.map_or_else(|| model_name(&file), str::to_owned);
    // Problems are of the file; the name is what the model would be called.
    let of_file = |error: ImportError| ImportError { name: file.display().to_string(), ..error };
    if is_gguf(&file) {
        return gguf(&file, &name);
    }
    if ends(&file, "safetensors") {
        let mut alone = Checkpoint::default();
        checkpoint::read_file(&file, &mut alone)?;
        let reason = format!(
            "it holds {}; the shape of the model stands in the `config.json` that belongs beside it",
            alone.said()
        );
        return Err(ModelError::Unread { path: file.display().to_string(), reason });
    }
    let text = read(&file)?;
    if let Err(fault) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        return Err(not_json(file.display().to_string(), text, &fault).into());
    }
    let mut spec = from_published(&text, &name).map_err(of_file)?;
    if file.file_name().is_some_and(|name| name == "config.json")
        && let Some(found) = checkpoint::read_folder(file.parent().unwrap_or(Path::new(".")))?
    {
        weigh(&mut spec, &found);
    }
    Ok(spec)
}

/// Whether a file is a GGUF file, by its name or, as in the store of Ollama, by its first bytes.
pub fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let mut begins = || File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok();
    ends(path, "gguf") || (path.is_file() && begins() && &magic == b"GGUF")
}

/// Gives a model the sizes its files have.
pub(super) fn weigh(spec: &mut ModelSpec, found: &Checkpoint) {
    let mut said = spec.config.caveat.take();
    let mut say =
        |word: String| said = Some(said.take().map_or(word.clone(), |before| format!("{before}; {word}")));
    if let Some(missing) = &found.missing {
        say(missing.clone());
    } else {
        let implied = Scheme::native().weigh(spec, &Inventory::of(spec)).total().get();
        spec.held = found.held(spec.layer_count());
        let ratio = found.bytes as f64 / implied;
        if !(0.95..=1.05).contains(&ratio) {
            let types: Vec<&str> = found.types.keys().map(String::as_str).collect();
            say(format!(
                "the files hold {:.2} GB in {}, the config implies {:.2} GB in {}: sizes are those of the files",
                found.bytes as f64 / 1e9,
                types.join(", "),
                implied / 1e9,
                spec.native.default
            ));
        }
    }
    spec.config.caveat = said;
}

/// A GGUF file with the parts beside it.
fn gguf(file: &Path, name: &str) -> Result<ModelSpec, ModelError> {
    let problem = |file: &Path, problem: String| ImportError {
        name: file.display().to_string(),
        problems: vec![problem],
    };
    let whole = read_parts(file).map_err(|fault| match fault {
        FileFault::Io(path, source) => io_error(&path, source),
        FileFault::Header(path, fault) => problem(&path, fault.to_string()).into(),
        FileFault::Parts(path, fault) => problem(&path, fault).into(),
    })?;
    let of_file = |error: ImportError| ImportError { name: file.display().to_string(), ..error };
    let mut spec = from_header(&whole.header, name).map_err(of_file)?;
    if let Some(cut) = whole.cut {
        let before = spec.config.caveat.take();
        spec.config.caveat = Some(before.into_iter().chain([cut]).collect::<Vec<_>>().join("; "));
    }
    Ok(spec)
}

/// A file that is not JSON, with the place where it stops being so.
fn not_json(file: String, text: String, fault: &serde_json::Error) -> BadFile {
    let line_start: usize =
        text.split_inclusive('\n').take(fault.line().saturating_sub(1)).map(str::len).sum();
    let mut start = (line_start + fault.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let end = start + text[start..].chars().next().map_or(0, char::len_utf8);
    let said = fault.to_string();
    let message = said.split(" at line ").next().unwrap_or(&said);
    let problem = Problem {
        message: format!("not valid JSON: {message}"),
        span: start..end,
        label: "here".to_owned(),
        hint: None,
    };
    BadFile { file, text, first_line: 1, problems: vec![problem] }
}

/// Whether a path ends so, whatever the case of its letters.
fn ends(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

/// The name a file gives a model: its own, or that of its folder when it is called `config.json`.
fn model_name(path: &Path) -> String {
    let folder = path.parent().and_then(Path::file_name);
    let stem = path.file_stem().unwrap_or_default();
    let name = if stem == "config" { folder.unwrap_or(stem) } else { stem };
    name.to_string_lossy().into_owned()
}

pub(super) fn read(path: &Path) -> Result<String, ModelError> {
    let bytes = std::fs::read(path).map_err(|source| io_error(path, source))?;
    Ok(utf8_text(&path.display().to_string(), bytes)?)
}

fn io_error(path: &Path, source: io::Error) -> ModelError {
    ModelError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_before_paths() {
        let catalogue = Catalogue::embedded();
        for name in ["deepseek-v4-pro", "deepseek-ai/DeepSeek-V4-Pro", "DeepSeek-V4-Pro"] {
            let found = resolve_model(name, &catalogue).unwrap();
            assert_eq!((found.spec.id.as_str(), found.from.as_str()), ("deepseek-v4-pro", "catalogue"));
        }
        let Err(ModelError::Unknown { near, .. }) = resolve_model("deepsek-v4-pro", &catalogue) else {
            panic!("found a model nobody made");
        };
        assert_eq!(near[0], "deepseek-v4-pro");
    }

    #[test]
    fn names_of_files() {
        assert_eq!(model_name(Path::new("models/Qwen3-8B/config.json")), "Qwen3-8B");
        assert_eq!(model_name(Path::new("my-model.json")), "my-model");
    }

    #[test]
    fn files_that_cannot_be_read() {
        let catalogue = Catalogue::default();
        assert!(matches!(resolve_model("none.toml", &catalogue), Err(ModelError::Io { .. })));
        assert!(matches!(resolve_model("m.safetensors", &catalogue), Err(ModelError::Io { .. })));
    }
}
