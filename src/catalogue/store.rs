//! The catalogue: everything known by name, from the shipped data and the user's own folders.
//!
//! Shipped text is embedded and only indexed at start-up; an entry is parsed when it is asked for.
//! The user's layers are parsed whole, so that all their problems are reported at once. A later
//! layer replaces entries of an earlier one by id, and every entry says which layer it came from.

use crate::catalogue::assumptions::Assumptions;
use crate::catalogue::decode::{BadFile, Decode, Problems, decode_text};
use crate::catalogue::hardware::{Accelerator, Cpu, EconomicFigure, Link, Offer, System};
use crate::catalogue::hub::Hub;
use crate::catalogue::index::{model_names, sections};
use crate::catalogue::model::ModelSpec;
use crate::catalogue::nearest::ranked;
use include_dir::{Dir, include_dir};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use thiserror::Error;
use toml::Spanned;
use toml::de::DeValue;

static HARDWARE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/hardware-profiles");
static MODELS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/model-specs");

/// What a catalogue entry describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A model.
    Model,
    /// An accelerator.
    Accelerator,
    /// A processor.
    Cpu,
    /// A link.
    Link,
    /// A complete system.
    System,
    /// Hardware for rent.
    Offer,
    /// A figure of the cost of ownership.
    Economics,
}

impl Kind {
    /// The word used in messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Accelerator => "accelerator",
            Self::Cpu => "processor",
            Self::Link => "link",
            Self::System => "system",
            Self::Offer => "offer",
            Self::Economics => "economic figure",
        }
    }

    /// The word used in flags.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Accelerator => "accelerator",
            Self::Cpu => "cpu",
            Self::Link => "link",
            Self::System => "system",
            Self::Offer => "offer",
            Self::Economics => "economics",
        }
    }

    /// The kind that a file below `hardware-profiles/` holds, from its first folder or its name.
    pub(crate) fn of_hardware_path(path: &str) -> Option<Self> {
        match path.split('/').next()?.trim_end_matches(".toml") {
            "accelerators" => Some(Self::Accelerator),
            "cpus" => Some(Self::Cpu),
            "links" => Some(Self::Link),
            "systems" => Some(Self::System),
            "offers" => Some(Self::Offer),
            "economics" => Some(Self::Economics),
            _ => None,
        }
    }
}

/// Where an entry came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The data that comes with the program.
    Shipped,
    /// A folder of the user.
    User(PathBuf),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped => f.write_str("shipped"),
            Self::User(path) => write!(f, "{}", path.display()),
        }
    }
}

/// An entry with its name and its layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<T> {
    /// Stable name.
    pub id: String,
    /// The entry.
    pub value: Arc<T>,
    /// Where it came from.
    pub layer: Layer,
}

/// A name nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown {} `{name}`", .kind.word())]
pub struct Unknown {
    /// What was looked for.
    pub kind: Kind,
    /// What was written.
    pub name: String,
    /// Up to three names that may have been meant.
    pub near: Vec<String>,
}

/// Why an entry could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    /// No entry of that name.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// An entry that does not read; shipped data is tested, so this is a fault of ours.
    #[error(transparent)]
    Bad(#[from] BadFile),
}

/// Text of one entry, as stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) layer: Layer,
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    pub(crate) text: Cow<'static, str>,
}

/// All entries of one kind, by id.
pub(crate) type Shelf = BTreeMap<String, Stored>;

/// Everything known by name. Pure after loading; looking up parses.
///
/// ```
/// use plimsoll::catalogue::store::{Catalogue, LookupError};
/// let catalogue = Catalogue::embedded();
/// let model = catalogue.model("Qwen/Qwen3-30B-A3B").expect("hub ids are names as well");
/// assert_eq!(model.id, "qwen3-30b-a3b");
///
/// let Err(LookupError::Unknown(unknown)) = catalogue.model("qwen3-30b-a3") else { unreachable!() };
/// assert_eq!(unknown.near[0], "qwen3-30b-a3b");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub(crate) shelves: BTreeMap<Kind, Shelf>,
    /// Lower-case hub ids and aliases of models, to their ids.
    pub(crate) model_names: BTreeMap<String, String>,
    /// Assumptions of a layer, in place of the shipped ones.
    pub(crate) assumptions: Option<Assumptions>,
    /// Where models that are not here may be asked for; nowhere unless the user allows it.
    pub hub: Option<Hub>,
}

impl Catalogue {
    /// The data that comes with the program.
    pub fn embedded() -> Self {
        let mut catalogue = Self::default();
        for (path, text) in embedded_texts(&HARDWARE) {
            if let Some(kind) = Kind::of_hardware_path(path) {
                let file: Arc<str> = format!("hardware-profiles/{path}").into();
                for section in sections(text) {
                    let stored = Stored {
                        layer: Layer::Shipped,
                        file: Arc::clone(&file),
                        line: section.line,
                        text: Cow::Borrowed(section.text),
                    };
                    catalogue.shelves.entry(kind).or_default().insert(section.id.to_owned(), stored);
                }
            }
        }
        for (path, text) in embedded_texts(&MODELS) {
            let id = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".toml");
            let stored = Stored {
                layer: Layer::Shipped,
                file: format!("model-specs/{path}").into(),
                line: 1,
                text: Cow::Borrowed(text),
            };
            catalogue.put_model(id, stored);
        }
        catalogue
    }

    /// Adds or replaces a model.
    pub(crate) fn put_model(&mut self, id: &str, stored: Stored) {
        for name in model_names(&stored.text) {
            self.model_names.insert(name.to_lowercase(), id.to_owned());
        }
        self.shelves.entry(Kind::Model).or_default().insert(id.to_owned(), stored);
    }

    /// A short hash of the shipped data, stable over platforms: two plans with the same version
    /// were computed from the same figures.
    pub fn data_version() -> &'static str {
        static VERSION: LazyLock<String> = LazyLock::new(hash_of_embedded);
        &VERSION
    }

    /// What is taken for granted where a machine does not say.
    ///
    /// # Errors
    /// When the shipped text does not read.
    pub fn assumptions(&self) -> Result<Assumptions, LookupError> {
        match &self.assumptions {
            Some(assumptions) => Ok(assumptions.clone()),
            None => Ok(Assumptions::shipped()?),
        }
    }

    /// The ids of one kind, in alphabetical order.
    pub fn ids(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.shelves.get(&kind).into_iter().flat_map(|shelf| shelf.keys().map(String::as_str))
    }

    /// A model by id, alias or hub id; letter case does not matter.
    ///
    /// # Errors
    /// When no model has that name, with the nearest names; when its file does not read.
    pub fn model(&self, name: &str) -> Result<Entry<ModelSpec>, LookupError> {
        let lower = name.trim().to_lowercase();
        let id = self.model_names.get(&lower).map_or(lower.as_str(), String::as_str);
        let Some(stored) = self.shelf(Kind::Model).and_then(|shelf| shelf.get(id)) else {
            let names = self.ids(Kind::Model).chain(self.model_names.keys().map(String::as_str));
            // A hub id and the id of the same model are one suggestion.
            let mut near: Vec<String> = Vec::new();
            for found in ranked(name, names) {
                let id = self.model_names.get(found).map_or(found, String::as_str).to_owned();
                if !near.contains(&id) {
                    near.push(id);
                }
            }
            return Err(Unknown { kind: Kind::Model, name: name.to_owned(), near }.into());
        };
        let value = decode_text::<ModelSpec>(&stored.file, &stored.text, stored.line)?;
        Ok(Entry { id: id.to_owned(), value: Arc::new(value), layer: stored.layer.clone() })
    }

    /// The ids of all models.
    pub fn model_ids(&self) -> impl Iterator<Item = &str> {
        self.ids(Kind::Model)
    }

    /// An accelerator by its id.
    ///
    /// # Errors
    /// When no accelerator has that id, with the nearest ones; when its text does not read.
    pub fn accelerator(&self, id: &str) -> Result<Entry<Accelerator>, LookupError> {
        self.entry(Kind::Accelerator, id)
    }

    /// The ids of all accelerators.
    pub fn accelerator_ids(&self) -> impl Iterator<Item = &str> {
        self.ids(Kind::Accelerator)
    }

    /// A processor by its id.
    ///
    /// # Errors
    /// When no processor has that id, with the nearest ones; when its text does not read.
    pub fn cpu(&self, id: &str) -> Result<Entry<Cpu>, LookupError> {
        self.entry(Kind::Cpu, id)
    }

    /// The ids of all processors.
    pub fn cpu_ids(&self) -> impl Iterator<Item = &str> {
        self.ids(Kind::Cpu)
    }

    /// A link by its id.
    ///
    /// # Errors
    /// When no link has that id, with the nearest ones; when its text does not read.
    pub fn link(&self, id: &str) -> Result<Entry<Link>, LookupError> {
        self.entry(Kind::Link, id)
    }

    /// The ids of all links.
    pub fn link_ids(&self) -> impl Iterator<Item = &str> {
        self.ids(Kind::Link)
    }

    /// A complete system by its id.
    ///
    /// # Errors
    /// When no system has that id, with the nearest ones; when its text does not read.
    pub fn system(&self, id: &str) -> Result<Entry<System>, LookupError> {
        self.entry(Kind::System, id)
    }

    /// The ids of all complete systems.
    pub fn system_ids(&self) -> impl Iterator<Item = &str> {
        self.ids(Kind::System)
    }

    /// An offer by its id.
    ///
    /// # Errors
    /// When no offer has that id, with the nearest ones; when its text does not read.
    pub fn offer(&self, id: &str) -> Result<Entry<Offer>, LookupError> {
        self.entry(Kind::Offer, id)
    }

    /// All offers.
    ///
    /// # Errors
    /// When the text of an offer does not read.
    pub fn offers(&self) -> Result<Vec<Entry<Offer>>, LookupError> {
        self.ids(Kind::Offer).map(|id| self.offer(id)).collect()
    }

    /// The offers of one accelerator; with a count, only those of that many devices.
    ///
    /// # Errors
    /// When the text of an offer does not read.
    pub fn offers_for(
        &self,
        accelerator: &str,
        count: Option<u32>,
    ) -> Result<Vec<Entry<Offer>>, LookupError> {
        // Reading the raw text first spares parsing a hundred offers of other devices.
        let quoted = format!("\"{accelerator}\"");
        let mut found = Vec::new();
        for (id, stored) in self.shelf(Kind::Offer).into_iter().flatten() {
            if stored.text.contains(&quoted) {
                let offer = self.offer(id)?;
                let counted = count.is_none_or(|n| (offer.value.count - f64::from(n)).abs() < 1e-9);
                if offer.value.accelerator == accelerator && counted {
                    found.push(offer);
                }
            }
        }
        Ok(found)
    }

    /// A figure of the cost of ownership by its id.
    ///
    /// # Errors
    /// When no figure has that id, with the nearest ones; when its text does not read.
    pub fn economic_figure(&self, id: &str) -> Result<Entry<EconomicFigure>, LookupError> {
        self.entry(Kind::Economics, id)
    }

    /// All figures of the cost of ownership.
    ///
    /// # Errors
    /// When the text of a figure does not read.
    pub fn economics(&self) -> Result<Vec<Entry<EconomicFigure>>, LookupError> {
        self.ids(Kind::Economics).map(|id| self.economic_figure(id)).collect()
    }

    /// Where the text of an entry stands: its file and line.
    pub fn place(&self, kind: Kind, id: &str) -> Option<String> {
        self.shelf(kind)?.get(id).map(|stored| format!("{}:{}", stored.file, stored.line))
    }

    /// The text of every entry of a kind, with its id, as it stands in the data.
    pub fn texts(&self, kind: Kind) -> impl Iterator<Item = (&str, &str)> {
        self.shelf(kind).into_iter().flatten().map(|(id, stored)| (id.as_str(), stored.text.as_ref()))
    }

    /// Ids and the names that drivers and shops use for them, with the id each belongs to.
    pub(crate) fn spoken_names(&self, kind: Kind) -> Vec<(&str, &str)> {
        let mut names = Vec::new();
        for (id, stored) in self.shelf(kind).into_iter().flatten() {
            names.push((id.as_str(), id.as_str()));
            // Reading the raw text spares parsing every entry.
            for line in stored.text.lines() {
                if let Some((key, value)) = line.split_once('=')
                    && matches!(key.trim(), "name" | "driver_names" | "aliases")
                {
                    names.extend(value.split('"').skip(1).step_by(2).map(|name| (name, id.as_str())));
                }
            }
        }
        names
    }

    fn shelf(&self, kind: Kind) -> Option<&Shelf> {
        self.shelves.get(&kind)
    }

    fn entry<T: Decode>(&self, kind: Kind, name: &str) -> Result<Entry<T>, LookupError> {
        let id = name.trim().to_lowercase();
        let Some(stored) = self.shelf(kind).and_then(|shelf| shelf.get(&id)) else {
            let near = ranked(name, self.ids(kind)).into_iter().map(str::to_owned).collect();
            return Err(Unknown { kind, name: name.to_owned(), near }.into());
        };
        let single = decode_text::<Single<T>>(&stored.file, &stored.text, stored.line)?;
        Ok(Entry { id, value: Arc::new(single.0), layer: stored.layer.clone() })
    }
}

/// A text that holds exactly one table.
struct Single<T>(T);

impl<T: Decode> Decode for Single<T> {
    fn expected() -> String {
        format!("one entry, {}", T::expected())
    }

    fn decode(value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let entry = value.get_ref().as_table().and_then(|table| table.iter().next());
        let Some((_, entry)) = entry else {
            problems.push(value.span(), "an entry without content", Self::expected());
            return None;
        };
        T::decode(entry, problems).map(Self)
    }
}

/// FNV-1a over words of eight bytes: stable, fast, and nobody attacks it here.
fn hash_of_embedded() -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for (path, text) in embedded_texts(&HARDWARE).into_iter().chain(embedded_texts(&MODELS)) {
        for chunk in path.as_bytes().chunks(8).chain(text.as_bytes().chunks(8)) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}

/// The TOML files of an embedded folder in the order of their paths.
fn embedded_texts(dir: &'static Dir<'static>) -> Vec<(&'static str, &'static str)> {
    let mut texts = Vec::new();
    let mut open = vec![dir];
    while let Some(dir) = open.pop() {
        open.extend(dir.dirs());
        texts.extend(dir.files().filter_map(|file| {
            let path = file.path().to_str()?;
            let is_toml = file.path().extension().is_some_and(|extension| extension == "toml");
            is_toml.then_some((path, file.contents_utf8()?))
        }));
    }
    texts.sort_unstable_by_key(|(path, _)| *path);
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_up_and_suggests() {
        let catalogue = Catalogue::embedded();
        let h200 = catalogue.accelerator("H200-SXM").unwrap();
        assert_eq!((h200.id.as_str(), h200.layer), ("h200-sxm", Layer::Shipped));
        let Err(LookupError::Unknown(unknown)) = catalogue.system("dgx-h20") else { panic!() };
        assert!(unknown.near.contains(&"dgx-h200".to_owned()), "{unknown:?}");
        assert_eq!(catalogue.offers_for("h200-sxm", Some(8)).unwrap().len(), 5);
        assert!(catalogue.place(Kind::Link, "ib-ndr").unwrap().starts_with("hardware-profiles/links.toml:"));
    }

    #[test]
    fn the_version_of_the_data_is_short_and_stable() {
        assert_eq!(Catalogue::data_version(), Catalogue::data_version());
        assert_eq!(Catalogue::data_version().len(), 8);
    }

    #[test]
    fn may_be_shared_between_threads() {
        fn shared<T: Sync + Send>() {}
        shared::<Catalogue>();
    }
}
