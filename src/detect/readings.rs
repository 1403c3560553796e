//! What was read from a machine, word for word: files, links and answers of drivers.
//!
//! A value of this type is all that detection knows. It is saved with `plan detect --record DIR`,
//! pasted into a bug report, and replayed on any other machine. Only what is listed in the probes
//! is read: no host name, user name, serial number or network address is among it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The one file of a recorded machine.
const FILE: &str = "readings.toml";

/// The readings of one machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Readings {
    /// Where they come from: recorded on which machine, or composed from which source.
    #[serde(default)]
    pub recorded: String,
    /// Operating system: `linux`, `macos`, `windows`.
    pub os: String,
    /// Processor architecture.
    pub arch: String,
    /// Files by path.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Links by path, with the last part of what they point to.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// What libraries and the system answered, by question.
    #[serde(default)]
    pub calls: BTreeMap<String, toml::Value>,
}

/// Why readings could not be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ReadingsError {
    /// The folder or file cannot be used.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is no record of readings.
    #[error("{path}: {error}", path = .path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the line.
        error: Box<toml::de::Error>,
    },
}

impl Readings {
    /// Saves the readings in a folder, which is made if absent; returns the file.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, ReadingsError> {
        let path = folder.join(FILE);
        let failed = |error| ReadingsError::File { path: path.clone(), error };
        std::fs::create_dir_all(folder).map_err(failed)?;
        std::fs::write(&path, self.to_text()).map_err(failed)?;
        Ok(path)
    }

    /// Loads the readings saved in a folder.
    ///
    /// # Errors
    /// When the file does not read or is no record of readings.
    pub fn load(folder: &Path) -> Result<Self, ReadingsError> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| ReadingsError::File { path: path.clone(), error })?;
        toml::from_str(&text).map_err(|error| ReadingsError::Format { path, error: Box::new(error) })
    }

    /// The readings as the text of their file.
    pub fn to_text(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_else(|error| format!("# not printable: {error}\n"))
    }

    /// Names directly below a folder, told by the paths that were read.
    pub(super) fn names_below(&self, folder: &str) -> Vec<String> {
        let prefix = format!("{folder}/");
        let below = |map: &BTreeMap<String, String>| -> Vec<String> {
            let of_folder = map.range(prefix.clone()..).map(|(path, _)| path);
            of_folder
                .map_while(|path| path.strip_prefix(&prefix))
                .filter_map(|rest| rest.split('/').next())
                .map(str::to_owned)
                .collect()
        };
        let mut names = below(&self.files);
        names.extend(below(&self.links));
        names.sort_unstable();
        names.dedup();
        names
    }
}
