//! The header of a GGUF file: metadata and the table of tensors, versions 2 and 3, either byte order.
//!
//! Layout: magic, version, counts; key, type and value of every entry; name, dimensions, type and
//! offset of every tensor; tensor data from the next multiple of the alignment on. The rules a file
//! must keep are those of `ggml/src/gguf.cpp`: dimensions whose product fits 63 bits, rows of whole
//! blocks, tensors one after the other without gaps beyond the alignment.

use super::reader::{Fault, Reader};
use crate::arithmetic::formats::numbered;
use crate::arithmetic::weights::Named;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::io::Read;

/// More than any file has; memory stays bounded below it.
const MOST_KEYS: u64 = 1 << 16;
const MOST_TENSORS: u64 = 1 << 17;
const LONGEST_KEY: u64 = 1 << 10;
const LONGEST_NAME: u64 = 255;
/// Texts longer than this (chat templates) say nothing about the shape.
const LONGEST_TEXT: u64 = 1 << 10;
/// Lists longer than this (tokens, merges) say nothing but their length.
const LONGEST_LIST: u64 = 4096;
const MOST_PARAMETERS: u64 = i64::MAX as u64;

/// What the header holds.
#[derive(Clone, Debug)]
pub struct Header {
    /// Version of the format: 2 or 3.
    pub version: u32,
    /// Whether its figures are big-endian.
    pub big_endian: bool,
    /// Values by key; of long lists, and of lists of texts, only the length.
    pub metadata: Map<String, Value>,
    /// The tensors in the order of the file.
    pub tensors: Vec<TensorInfo>,
    /// Where the data of the tensors begins, from the start of the file.
    pub data: u64,
    /// Bytes of the data with their padding.
    pub data_bytes: u64,
}

/// One tensor of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Its name: `blk.0.attn_q.weight`.
    pub name: String,
    /// Its dimensions, the length of a row first.
    pub shape: Vec<u64>,
    /// How it is stored.
    pub stored: Named,
    /// Bytes it takes, without padding.
    pub bytes: u64,
}

impl TensorInfo {
    /// Number of parameters.
    pub fn params(&self) -> u64 {
        self.shape.iter().product()
    }
}

impl Header {
    /// Reads a header; the data of the tensors is not touched. `length` is that of the file, where
    /// it is known: claims that go beyond it are refused early.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in the file.
    pub fn read(input: &mut dyn Read, length: Option<u64>) -> Result<Self, Fault> {
        let mut reader = Reader::new(input, length);
        let version = version(&mut reader)?;
        let tensor_count = reader.count("tensors", 24, MOST_TENSORS)?;
        let key_count = reader.count("keys", 13, MOST_KEYS)?;
        let metadata = metadata(&mut reader, key_count)?;
        let alignment = alignment(&reader, &metadata)?;
        let (tensors, data_bytes) = tensors(&mut reader, tensor_count, alignment)?;
        let data = reader.offset().next_multiple_of(alignment);
        Ok(Self { version, big_endian: reader.big_endian, metadata, tensors, data, data_bytes })
    }

    /// The text of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key)?.as_str()
    }

    /// The figure of a key.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.metadata.get(key)?.as_u64()
    }

    /// The architecture; empty if it is not stated.
    pub fn architecture(&self) -> &str {
        self.text("general.architecture").unwrap_or("")
    }
}

fn version(reader: &mut Reader<'_>) -> Result<u32, Fault> {
    let magic = reader.bytes::<4>()?;
    if &magic != b"GGUF" {
        let problem = match &magic {
            b"ggml" | b"lmgg" | b"ggjt" | b"tjgg" | b"ggla" | b"algg" => {
                "an old GGML file; convert it to GGUF with a llama.cpp of 2023"
            }
            b"FUGG" => "the magic is reversed: not a GGUF file of either byte order",
            _ => "a GGUF file begins with the letters GGUF, this one does not",
        };
        return Err(reader.fault(problem));
    }
    let version = reader.u32()?;
    // No version comes near 65536: figures are in the other byte order.
    let swapped = version.swap_bytes();
    let version = if version.trailing_zeros() >= 16 && swapped.trailing_zeros() < 16 {
        reader.big_endian = true;
        swapped
    } else {
        version
    };
    match version {
        2 | 3 => Ok(version),
        1 => Err(reader.fault("GGUF version 1 (August 2023) is not read; write the file anew as version 3")),
        other => Err(reader.fault(format_args!("GGUF version {other} is not known; 2 and 3 are read"))),
    }
}

fn metadata(reader: &mut Reader<'_>, count: u64) -> Result<Map<String, Value>, Fault> {
    let mut metadata = Map::new();
    for number in 1..=count {
        reader.place = format!("key {number} of {count}");
        let key = reader.text("a key", LONGEST_KEY)?;
        reader.place = format!("key `{key}`");
        if metadata.contains_key(&key) {
            return Err(reader.fault("the key is there twice"));
        }
        let kind = reader.u32()?;
        let value = value(reader, kind)?;
        reader.keep(64)?;
        metadata.insert(key, value);
    }
    Ok(metadata)
}

/// Bytes of a scalar by its type; texts and lists have none.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn value(reader: &mut Reader<'_>, kind: u32) -> Result<Value, Fault> {
    match kind {
        8 => Ok(reader.short_text(LONGEST_TEXT)?.map_or(Value::Null, Value::String)),
        9 => list(reader),
        _ => scalar(reader, kind),
    }
}

fn scalar(reader: &mut Reader<'_>, kind: u32) -> Result<Value, Fault> {
    Ok(match kind {
        0 => json!(reader.figure::<1>()?[0]),
        1 => json!(i8::from_le_bytes(reader.figure()?)),
        2 => json!(u16::from_le_bytes(reader.figure()?)),
        3 => json!(i16::from_le_bytes(reader.figure()?)),
        4 => json!(reader.u32()?),
        5 => json!(i32::from_le_bytes(reader.figure()?)),
        6 => json!(f32::from_le_bytes(reader.figure()?)),
        7 => json!(reader.figure::<1>()?[0] != 0),
        10 => json!(reader.u64()?),
        11 => json!(i64::from_le_bytes(reader.figure()?)),
        12 => json!(f64::from_le_bytes(reader.figure()?)),
        other => return Err(reader.fault(format_args!("{other} is no type of a value (0 to 12 are)"))),
    })
}

/// A list: its items where they are few figures, else their number.
fn list(reader: &mut Reader<'_>) -> Result<Value, Fault> {
    let kind = reader.u32()?;
    if kind == 9 {
        return Err(reader.fault("a list of lists, which no known key is"));
    }
    if kind == 8 {
        let length = reader.count("texts", 8, u64::MAX)?;
        for _ in 0..length {
            let bytes = reader.count("characters", 1, u64::MAX)?;
            reader.skip(bytes)?;
        }
        return Ok(json!(length));
    }
    let Some(each) = width(kind) else {
        return Err(reader.fault(format_args!("{kind} is no type of an item (0 to 8 and 10 to 12 are)")));
    };
    let length = reader.count("items", each, u64::MAX)?;
    if length > LONGEST_LIST {
        reader.skip(length * each)?;
        return Ok(json!(length));
    }
    reader.keep(length as usize * 48)?;
    (0..length).map(|_| scalar(reader, kind)).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn alignment(reader: &Reader<'_>, metadata: &Map<String, Value>) -> Result<u64, Fault> {
    let Some(stated) = metadata.get("general.alignment") else { return Ok(32) };
    let good = |n: &u64| n.is_power_of_two() && (8..=1 << 20).contains(n);
    stated.as_u64().filter(good).ok_or_else(|| Fault {
        offset: reader.offset(),
        place: "key `general.alignment`".to_owned(),
        problem: format!("{stated} is no alignment: it is a power of two from 8 to 1048576"),
    })
}

/// The table of tensors and the bytes of their data.
fn tensors(reader: &mut Reader<'_>, count: u64, alignment: u64) -> Result<(Vec<TensorInfo>, u64), Fault> {
    let mut tensors: Vec<TensorInfo> = Vec::new();
    let mut names: HashSet<String> = HashSet::new();
    let mut end: u64 = 0;
    for number in 1..=count {
        reader.place = format!("tensor {number} of {count}");
        let name = reader.text("a name", LONGEST_NAME)?;
        reader.place = format!("tensor `{name}`");
        reader.keep(256)?;
        if !names.insert(name.clone()) {
            return Err(reader.fault("the tensor is there twice"));
        }
        let tensor = tensor(reader, name)?;
        let offset = reader.u64()?;
        if offset != end {
            return Err(reader.fault(format_args!(
                "its data should begin {end} bytes into the data, right after the tensor before, and is said to at {offset}"
            )));
        }
        end = end
            .checked_add(tensor.bytes)
            .and_then(|end| end.checked_next_multiple_of(alignment))
            .filter(|end| *end <= MOST_PARAMETERS)
            .ok_or_else(|| reader.fault("the tensors up to here are larger than any file"))?;
        tensors.push(tensor);
    }
    Ok((tensors, end))
}

fn tensor(reader: &mut Reader<'_>, name: String) -> Result<TensorInfo, Fault> {
    let dimensions = reader.u32()?;
    if !(1..=4).contains(&dimensions) {
        return Err(reader.fault(format_args!("{dimensions} dimensions; a tensor has 1 to 4")));
    }
    let mut shape = Vec::with_capacity(4);
    let mut params: u64 = 1;
    for _ in 0..dimensions {
        let length = reader.u64()?;
        if length == 0 {
            return Err(reader.fault("a dimension of 0"));
        }
        shape.push(length);
        let product = params.checked_mul(length).filter(|params| *params <= MOST_PARAMETERS);
        params = product.ok_or_else(|| {
            reader.fault(format_args!("dimensions {shape:?} multiply to more than 63 bits hold"))
        })?;
    }
    let number = reader.u32()?;
    let stored = numbered(u64::from(number))
        .ok_or_else(|| reader.fault(format_args!("{number} is no type of a tensor known here")))?;
    let format = stored.format;
    if !shape[0].is_multiple_of(format.block) {
        return Err(reader.fault(format_args!(
            "rows of {} are not whole blocks of {} ({} weights)",
            shape[0], stored.name, format.block
        )));
    }
    let rows = params / shape[0];
    let bytes = (format.row(shape[0]) as u64)
        .checked_mul(rows)
        .ok_or_else(|| reader.fault("more bytes than 64 bits hold"))?;
    Ok(TensorInfo { name, shape, stored, bytes })
}
