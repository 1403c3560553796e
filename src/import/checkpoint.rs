//! The files of a checkpoint: how many bytes each part of a model takes, from their headers alone.
//!
//! A `.safetensors` file begins with the length of its header and the header, a JSON table of names
//! to type, shape and place of the data (github.com/huggingface/safetensors, README). Nothing else of
//! it is read. Files are hostile input: headers end at 16 MiB, places must lie in the file one after
//! the other, and only sums are kept.

use super::source::ModelError;
use super::{ImportError, source};
use crate::catalogue::model::{HeldBytes, LayerSet, Part};
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest header that is read; files of a trillion parameters have a few MiB.
const LONGEST_HEADER: u64 = 16 << 20;
/// More files than any checkpoint has.
const MOST_FILES: usize = 2000;
/// More layers than any model has.
const MOST_LAYERS: u32 = 2000;

/// What the files of a checkpoint hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// Files that were read.
    pub(super) files: usize,
    /// Tensors in them.
    pub(super) tensors: u64,
    /// Bytes of the tensors.
    pub(super) bytes: u64,
    /// Bytes by type, as the headers write it.
    pub(super) types: BTreeMap<String, u64>,
    /// What is missing, in words.
    pub(super) missing: Option<String>,
    parts: BTreeMap<(Part, Option<u32>), u64>,
}

impl Checkpoint {
    /// The parts of a model of so many layers: what lies beyond them predicts.
    pub(super) fn held(&self, layers: u32) -> Vec<HeldBytes> {
        let mut outside: BTreeMap<Part, u64> = BTreeMap::new();
        let mut inside: BTreeMap<(Part, u64), Vec<u32>> = BTreeMap::new();
        for ((part, layer), bytes) in &self.parts {
            match layer {
                Some(layer) if *layer < layers => inside.entry((*part, *bytes)).or_default().push(*layer),
                Some(_) => *outside.entry(Part::Prediction).or_default() += bytes,
                None => *outside.entry(*part).or_default() += bytes,
            }
        }
        let outside = outside.into_iter().map(|(part, bytes)| HeldBytes { part, at: None, bytes });
        let inside = inside.into_iter().map(|((part, bytes), at)| HeldBytes {
            part,
            at: Some(LayerSet::new(at)),
            bytes,
        });
        outside.chain(inside).collect()
    }

    /// What the headers say without a config.
    pub(super) fn said(&self) -> String {
        let types: Vec<&str> = self.types.keys().map(String::as_str).collect();
        let layers = self.parts.keys().filter_map(|(_, layer)| *layer).max().map_or(0, |last| last + 1);
        format!(
            "{} tensors of {layers} layers, {:.2} GB in {}",
            self.tensors,
            self.bytes as f64 / 1e9,
            types.join(", ")
        )
    }

    /// Adds what another file holds.
    #[cfg(feature = "net")]
    pub(super) fn join(&mut self, other: Self) {
        self.files += other.files;
        self.tensors += other.tensors;
        self.bytes += other.bytes;
        self.missing = self.missing.take().or(other.missing);
        for (dtype, bytes) in other.types {
            *self.types.entry(dtype).or_default() += bytes;
        }
        for (part, bytes) in other.parts {
            *self.parts.entry(part).or_default() += bytes;
        }
    }

    fn add(&mut self, name: &str, tensor: &TensorInfo) {
        let bytes = tensor.data_offsets[1].saturating_sub(tensor.data_offsets[0]);
        self.tensors += 1;
        // Overlapping claims are refused once all are read; until then their sum may be absurd.
        let of_type = self.types.entry(tensor.dtype.chars().take(16).collect()).or_default();
        let of_part = self.parts.entry(part(name)).or_default();
        for sum in [&mut self.bytes, of_type, of_part] {
            *sum = sum.saturating_add(bytes);
        }
    }
}

/// What a tensor is, from its name; layers count on into the prediction layers.
fn part(name: &str) -> (Part, Option<u32>) {
    const TOWERS: &[&str] =
        &["visual", "vision", "audio", "multi_modal", "mm_projector", "patch_merger", "image_newline"];
    let mut words =
        name.split('.').filter(|word| !matches!(*word, "model" | "language_model" | "text_model"));
    let first = words.clone().next().unwrap_or_default();
    if TOWERS.iter().any(|tower| first.starts_with(tower)) {
        return (Part::Tower, None);
    }
    if first.starts_with("mtp") || first == "nextn" {
        return (Part::Prediction, None);
    }
    let layer = words
        .by_ref()
        .skip_while(|word| !matches!(*word, "layers" | "h" | "blocks" | "block"))
        .nth(1)
        .and_then(|number| number.parse().ok())
        .filter(|number| *number < MOST_LAYERS);
    if layer.is_some() {
        let routed = words.any(|word| word == "experts" || word == "switch_mlp");
        return (if routed { Part::Experts } else { Part::Layers }, layer);
    }
    let embeds = ["embed_tokens", "wte", "tok_embeddings", "word_embeddings", "embed"];
    let is_embedding = name.split('.').any(|word| embeds.iter().any(|embed| word.starts_with(embed)));
    (if is_embedding { Part::Embedding } else { Part::Output }, None)
}

/// Reads the headers of the checkpoint in a folder; none without such files.
///
/// # Errors
/// A file that cannot be read or is not what it says.
pub(super) fn read_folder(folder: &Path) -> Result<Option<Checkpoint>, ModelError> {
    let index = folder.join("model.safetensors.index.json");
    let names = if index.is_file() { listed(&index)? } else { found(folder)? };
    if names.is_empty() {
        return Ok(None);
    }
    let mut checkpoint = Checkpoint::default();
    let mut missing = Vec::new();
    for name in &names {
        let path = folder.join(name);
        if path.is_file() {
            read_file(&path, &mut checkpoint)?;
        } else {
            missing.push(name.as_str());
        }
    }
    if let Some(first) = missing.first() {
        checkpoint.missing = Some(format!(
            "{} of {} files are missing, the first {first}: sizes are those the config implies",
            missing.len(),
            names.len()
        ));
    }
    Ok(Some(checkpoint))
}

/// Reads the header of one file.
///
/// # Errors
/// As [`read_folder`].
pub(super) fn read_file(path: &Path, into: &mut Checkpoint) -> Result<(), ModelError> {
    let io = |source| ModelError::Io { path: path.display().to_string(), source };
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    read_stream(&mut file, length, &name, into).map_err(|fault| match fault {
        Fault::Io(source) => io(source),
        Fault::Bad(problem) => bad(path, problem),
    })
}

/// Why a header was not read.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Bad(String),
}

/// Reads the header of a file of so many bytes; nothing behind it is asked for.
///
/// # Errors
/// A stream that ends early or is not what it says.
pub(super) fn read_stream(
    file: &mut dyn Read,
    length: u64,
    name: &str,
    into: &mut Checkpoint,
) -> Result<(), Fault> {
    let mut start = Vec::new();
    file.take(8).read_to_end(&mut start).map_err(Fault::Io)?;
    let bad = |problem: String| Err(Fault::Bad(problem));
    if start == b"version " {
        return bad("this is a pointer of git-lfs, not the file: fetch it with `git lfs pull`".to_owned());
    }
    let Ok(header) = <[u8; 8]>::try_from(start).map(u64::from_le_bytes) else {
        return bad("the file ends before its header".to_owned());
    };
    if header > LONGEST_HEADER {
        return bad(format!("a header of {header} bytes; none longer than {LONGEST_HEADER} is read"));
    }
    if header + 8 > length {
        return bad(format!("the header has {header} bytes, the file only {length}"));
    }
    let mut text = Vec::new();
    file.take(header).read_to_end(&mut text).map_err(Fault::Io)?;
    let ends = read_header(&text, into).map_err(Fault::Bad)?;
    let data = length - 8 - header;
    if ends > data {
        into.missing =
            Some(format!("{name} has {data} of {ends} bytes of tensors: its download is not complete"));
    }
    into.files += 1;
    Ok(())
}

/// Adds the tensors of a header; gives the bytes of data it speaks of.
fn read_header(text: &[u8], into: &mut Checkpoint) -> Result<u64, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let mut spans = BTreeSet::new();
    let visitor = Tensors { into, spans: &mut spans };
    serde::Deserializer::deserialize_map(&mut deserializer, visitor).map_err(|fault| fault.to_string())?;
    deserializer.end().map_err(|fault| fault.to_string())?;
    // Data without gaps or overlaps, as the format asks.
    spans.into_iter().try_fold(0, |end, (from, to)| {
        if from == end { Ok(to) } else { Err(format!("tensors begin at byte {from} of the data, not {end}")) }
    })
}

/// A tensor in a header.
#[derive(Deserialize)]
struct TensorInfo {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl TensorInfo {
    /// What is wrong with it.
    fn problem(&self) -> Option<String> {
        let [from, to] = self.data_offsets;
        if to < from {
            return Some(format!("ends at {to}, before it begins at {from}"));
        }
        let Some(weights) = self.shape.iter().try_fold(1_u64, |product, n| product.checked_mul(*n)) else {
            return Some("has more weights than can be counted".to_owned());
        };
        let bits = type_bits(&self.dtype)?;
        let bytes = weights.checked_mul(bits).map(|bits| bits.div_ceil(8));
        (bytes != Some(to - from)).then(|| {
            format!(
                "has {} bytes where {} {:?} takes {}",
                to - from,
                self.dtype,
                self.shape,
                bytes.unwrap_or(u64::MAX)
            )
        })
    }
}

/// Bits of a type; none for types younger than this list, whose bytes count all the same.
fn type_bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" => 8,
        "F16" | "BF16" | "I16" | "U16" => 16,
        "F32" | "I32" | "U32" => 32,
        "F64" | "I64" | "U64" | "C64" => 64,
        _ => return None,
    })
}

/// Takes the tensors of a header one by one; keeps their places only.
struct Tensors<'a> {
    into: &'a mut Checkpoint,
    spans: &'a mut BTreeSet<(u64, u64)>,
}

impl<'de> Visitor<'de> for Tensors<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let tensor: TensorInfo = map.next_value()?;
            if let Some(problem) = tensor.problem() {
                return Err(A::Error::custom(format!("tensor `{}` {problem}", shortened(&name))));
            }
            // Tensors without weights lie nowhere.
            if tensor.data_offsets[0] < tensor.data_offsets[1]
                && !self.spans.insert(tensor.data_offsets.into())
            {
                return Err(A::Error::custom(format!(
                    "tensor `{}` lies where another does",
                    shortened(&name)
                )));
            }
            self.into.add(&name, &tensor);
        }
        Ok(())
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(120).collect()
}

/// The files an index lists, each once.
fn listed(index: &Path) -> Result<Vec<String>, ModelError> {
    let length = std::fs::metadata(index).map_or(0, |data| data.len());
    if length > LONGEST_HEADER {
        return Err(bad(index, format!("{length} bytes; no index has more than {LONGEST_HEADER}")));
    }
    names_in(&source::read(index)?).map_err(|problem| bad(index, problem))
}

/// The files the text of an index lists, each once.
///
/// # Errors
/// What is wrong with it.
pub(super) fn names_in(index: &str) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let found: Index = serde_json::from_str(index).map_err(|fault| fault.to_string())?;
    let names: BTreeSet<String> = found.weight_map.into_values().collect();
    if names.len() > MOST_FILES {
        return Err(format!("{} files are more than any checkpoint has", names.len()));
    }
    // A name is a file of this folder and nothing else.
    match names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
        Some(name) => Err(format!("`{}` is not a name in this folder", shortened(name))),
        None => Ok(names.into_iter().collect()),
    }
}

/// The files of a folder without an index: `model*.safetensors`, else all.
fn found(folder: &Path) -> Result<Vec<String>, ModelError> {
    let io = |source| ModelError::Io { path: folder.display().to_string(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)?.take(100 * MOST_FILES) {
        let path = PathBuf::from(entry.map_err(io)?.file_name());
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"))
            && let Some(name) = path.to_str()
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    if names.iter().any(|name| name.starts_with("model")) {
        names.retain(|name| name.starts_with("model"));
    }
    names.truncate(MOST_FILES);
    Ok(names)
}

fn bad(path: &Path, problem: String) -> ModelError {
    ImportError { name: path.display().to_string(), problems: vec![problem] }.into()
}

#[cfg(test)]
mod tests;
