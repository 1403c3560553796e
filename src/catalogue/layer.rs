//! The user's own folders: model files and hardware tables that add to the shipped data.
//!
//! A layer is a folder with `model-specs/` and `hardware-profiles/` laid out as the shipped ones,
//! or with TOML files directly. A file of hardware says by its folder or its name what it holds
//! (`accelerators`, `cpus`, `links`, `systems`, `offers`, `economics`); elsewhere its keys tell.
//! A file `assumptions.toml` replaces the shipped assumptions as a whole.

use crate::catalogue::assumptions::Assumptions;
use crate::catalogue::check::read_model;
use crate::catalogue::decode::{BadFile, Decode, Problem, decode_text, utf8_text};
use crate::catalogue::hardware::{Accelerator, Cpu, EconomicFigure, Link, Offer, System};
use crate::catalogue::index::sections;
use crate::catalogue::store::{Catalogue, Kind, Layer, Stored};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a layer could not be loaded.
#[derive(Debug, Error)]
pub enum LayerError {
    /// A file or folder that could not be read.
    #[error("could not read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder without anything to load.
    #[error(
        "{} holds no TOML file; expected model-specs/*.toml, hardware-profiles/{{accelerators,cpus,links,systems,offers}}/*.toml \
         or such files directly",
        .0.display()
    )]
    Empty(PathBuf),
    /// Files with problems.
    #[error("{} file(s) could not be read", .0.len())]
    Bad(Vec<BadFile>),
}

/// A file of a layer: its name as the user knows it, its name in the layer, its text.
struct LayerFile {
    shown: String,
    inner: String,
    text: String,
}

impl Catalogue {
    /// Adds the entries of a folder; an id that exists is replaced.
    ///
    /// # Errors
    /// When the folder cannot be read or is empty, and for every problem of every file in it; an
    /// id that two of its files define is one.
    pub fn with_layer(mut self, dir: &Path) -> Result<Self, LayerError> {
        let files = read_layer(dir)?;
        if files.is_empty() {
            return Err(LayerError::Empty(dir.to_owned()));
        }
        let mut bad: Vec<BadFile> = Vec::new();
        let mut first_places: BTreeMap<(Kind, String), String> = BTreeMap::new();
        for file in files {
            if file.inner.ends_with("assumptions.toml") {
                match decode_text::<Assumptions>(&file.shown, &file.text, 1) {
                    Ok(assumptions) => self.assumptions = Some(assumptions),
                    Err(problems) => bad.push(problems),
                }
                continue;
            }
            let Some(kind) = kind_of(&file) else {
                bad.push(fault(
                    &file,
                    0..0,
                    "a file of no known kind",
                    "expected a model, or tables of accelerators, cpus, links, systems, offers or economics",
                ));
                continue;
            };
            let decoded = decode_as(kind, &file);
            if let Err(problems) = decoded {
                bad.push(problems);
                continue;
            }
            for (id, line, start, text) in entries(kind, &file) {
                let place = format!("{}:{line}", file.shown);
                if let Some(first) = first_places.get(&(kind, id.clone())) {
                    let message = format!("{} `{id}` is defined twice", kind.word());
                    bad.push(fault(
                        &file,
                        start..start + text.len(),
                        &message,
                        &format!("first defined at {first}"),
                    ));
                    continue;
                }
                first_places.insert((kind, id.clone()), place);
                let stored = Stored {
                    layer: Layer::User(dir.to_owned()),
                    file: file.shown.as_str().into(),
                    line,
                    text: Cow::Owned(text),
                };
                if kind == Kind::Model {
                    self.put_model(&id, stored);
                } else {
                    self.shelves.entry(kind).or_default().insert(id, stored);
                }
            }
        }
        if bad.is_empty() { Ok(self) } else { Err(LayerError::Bad(bad)) }
    }
}

/// A file with one problem.
fn fault(file: &LayerFile, span: std::ops::Range<usize>, message: &str, label: &str) -> BadFile {
    let problem = Problem { message: message.to_owned(), span, label: label.to_owned(), hint: None };
    BadFile { file: file.shown.clone(), text: file.text.clone(), first_line: 1, problems: vec![problem] }
}

/// Id, line, byte offset and text of every entry of a file.
fn entries(kind: Kind, file: &LayerFile) -> Vec<(String, usize, usize, String)> {
    if kind == Kind::Model {
        let stem = Path::new(&file.inner).file_stem().unwrap_or_default().to_string_lossy();
        return vec![(stem.to_lowercase(), 1, 0, file.text.clone())];
    }
    let base = file.text.as_ptr() as usize;
    sections(&file.text)
        .into_iter()
        .map(|s| (s.id.to_lowercase(), s.line, s.text.as_ptr() as usize - base, s.text.to_owned()))
        .collect()
}

/// Decodes a whole file, for its problems.
fn decode_as(kind: Kind, file: &LayerFile) -> Result<(), BadFile> {
    fn table<T: Decode>(file: &LayerFile) -> Result<(), BadFile> {
        decode_text::<BTreeMap<String, T>>(&file.shown, &file.text, 1).map(drop)
    }
    match kind {
        Kind::Model => read_model(&file.shown, &file.text).map(drop),
        Kind::Accelerator => table::<Accelerator>(file),
        Kind::Cpu => table::<Cpu>(file),
        Kind::Link => table::<Link>(file),
        Kind::System => table::<System>(file),
        Kind::Offer => table::<Offer>(file),
        Kind::Economics => table::<EconomicFigure>(file),
    }
}

/// What a file holds, from its place or from its keys.
fn kind_of(file: &LayerFile) -> Option<Kind> {
    if file.inner.starts_with("model-specs/") {
        return Some(Kind::Model);
    }
    let inner = file.inner.strip_prefix("hardware-profiles/").unwrap_or(&file.inner);
    if let Some(kind) = Kind::of_hardware_path(inner) {
        return Some(kind);
    }
    let has_key = |key: &str| {
        file.text.lines().any(|line| line.split_once('=').is_some_and(|(found, _)| found.trim() == key))
    };
    let telling = [
        ("hidden", Kind::Model),
        ("provider", Kind::Offer),
        ("form", Kind::System),
        ("category", Kind::Economics),
        ("class", Kind::Link),
        ("rates", Kind::Accelerator),
        ("channels", Kind::Cpu),
        ("cores", Kind::Cpu),
    ];
    telling.into_iter().find(|(key, _)| has_key(key)).map(|(_, kind)| kind)
}

/// The TOML files of a layer in the order of their paths.
fn read_layer(dir: &Path) -> Result<Vec<LayerFile>, LayerError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        let io = |source| LayerError::Io { path: folder.clone(), source };
        for item in std::fs::read_dir(&folder).map_err(io)? {
            let path = item.map_err(io)?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                paths.push(path);
            }
        }
    }
    paths.sort_unstable();
    paths
        .into_iter()
        .map(|path| {
            let bytes =
                std::fs::read(&path).map_err(|source| LayerError::Io { path: path.clone(), source })?;
            let shown = path.display().to_string();
            let text = utf8_text(&shown, bytes).map_err(|bad| LayerError::Bad(vec![bad]))?;
            let inner = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            Ok(LayerFile { shown, inner, text })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bandwidth;

    const CARD: &str = "[rtx-3090]\nname = \"Mine\"\nvendor = \"NVIDIA\"\narch = \"Ampere\"\nmemory = \"48 GiB\"\n\
                        bandwidth = \"900 GB/s\"\nrates = { bf16 = 71 }\nsource = \"my bench\"\n";

    /// A folder of its own below the build directory, removed when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn with(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("plimsoll-layer-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&root).unwrap();
            for (path, text) in files {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn replaces_by_id_and_says_so() {
        let folder = Folder::with("replace", &[("hardware-profiles/accelerators/mine.toml", CARD)]);
        let catalogue = Catalogue::embedded().with_layer(&folder.0).unwrap();
        let card = catalogue.accelerator("rtx-3090").unwrap();
        assert_eq!(card.value.bandwidth, Bandwidth::gb_s(900.0));
        assert_eq!(card.layer, Layer::User(folder.0.clone()));
        assert_eq!(catalogue.accelerator("rtx-4090").unwrap().layer, Layer::Shipped);
    }

    #[test]
    fn tells_a_file_by_its_keys() {
        let folder = Folder::with("keys", &[("cards.toml", CARD)]);
        let catalogue = Catalogue::embedded().with_layer(&folder.0).unwrap();
        assert_eq!(catalogue.accelerator("rtx-3090").unwrap().value.name, "Mine");
    }

    #[test]
    fn assumptions_may_be_ones_own() {
        let shipped = include_str!("../../hardware-profiles/assumptions.toml");
        let mine = shipped.replace("share  = 0.98", "share  = 0.9");
        let folder = Folder::with("assume", &[("hardware-profiles/assumptions.toml", &mine)]);
        let catalogue = Catalogue::embedded().with_layer(&folder.0).unwrap();
        assert!((catalogue.assumptions().unwrap().visible.share - 0.9).abs() < 1e-12);
    }

    #[test]
    fn reports_every_problem_of_every_file() {
        let folder = Folder::with(
            "bad",
            &[
                ("accelerators/a.toml", "[x]\nname = 1\nbandwith = \"2\"\n"),
                ("accelerators/b.toml", CARD),
                ("accelerators/c.toml", CARD),
                ("links.toml", "[l]\nname = \"l\"\nclass = \"pcie\"\none_way = \"1 GB\"\nsource = \"s\"\n"),
            ],
        );
        let Err(LayerError::Bad(files)) = Catalogue::embedded().with_layer(&folder.0) else { panic!() };
        assert_eq!(files.len(), 3, "{files:?}");
        assert!(files[0].problems.len() >= 5);
        assert!(files[1].problems[0].message.contains("defined twice"));
        assert!(files[1].problems[0].label.contains("b.toml:1"));
        assert!(files[2].problems[0].message.contains("unknown unit"));
    }

    #[test]
    fn an_empty_folder_is_an_error() {
        let folder = Folder::with("empty", &[("readme.txt", "nothing")]);
        let error = Catalogue::embedded().with_layer(&folder.0).unwrap_err();
        assert!(error.to_string().contains("expected model-specs"), "{error}");
        let missing = folder.0.join("not-there");
        assert!(matches!(Catalogue::embedded().with_layer(&missing), Err(LayerError::Io { .. })));
    }
}
