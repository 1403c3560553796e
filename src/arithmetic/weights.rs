//! Weights in a format: every tensor with the format it is stored in and its bytes.
//!
//! A *scheme* says which format each tensor gets: the native checkpoint, one format for all
//! matrices, or a llama.cpp mix. Applied to an inventory it gives [`Weights`]; files, shards per
//! device and bytes read per step are sums over its entries.

use crate::arithmetic::inventory::Place;
use crate::arithmetic::tensor::Tensor;
use crate::fact::{Estimate, Origin};
use crate::units::Bytes;
use crate::{table, words};

words! {
    /// How a format is decoded, which decides what it costs besides bytes.
    pub enum Decoding ("decoding of a format") {
        /// 32-bit float.
        Float32 = "float32",
        /// 16-bit float: multiplied as it is.
        Float16 = "float16",
        /// 8-bit float.
        Fp8 = "fp8",
        /// 4- to 6-bit float in scaled blocks (mxfp4, nvfp4).
        Fp4 = "fp4",
        /// 8-bit integer.
        Int8 = "int8",
        /// Integers of 2 to 6 bits with scales (AWQ, GPTQ, MLX, EXL).
        Int4 = "int4",
        /// llama.cpp, simple blocks of 32: `q4_0` to `q8_0`.
        Legacy = "legacy",
        /// llama.cpp k-quants.
        KQuant = "k-quant",
        /// llama.cpp i-quants.
        IQuant = "i-quant",
        /// Trellis codes (`kt` of `ik_llama.cpp`, EXL3).
        Trellis = "trellis",
    }
}

table! {
    /// A storage format of weights.
    pub struct Format ("a weight format") {
        /// Number of the type in GGUF files, where they know it.
        pub gguf: Option<u64>,
        /// Weights of one block.
        pub block: u64,
        /// Bytes of one block with its scales.
        pub bytes: f64,
        /// Bytes once per row, beside the blocks (row scales of `ik_llama.cpp`).
        pub row_bytes: Option<f64>,
        /// How it is decoded.
        pub decoding: Decoding,
        /// Where the figures stand.
        pub source: String,
    }
}

impl Format {
    /// Bytes of a row of so many weights; rows are padded to whole blocks.
    pub fn row(&self, cols: u64) -> f64 {
        cols.div_ceil(self.block) as f64 * self.bytes + self.row_bytes.unwrap_or(0.0)
    }

    /// Bits per weight of a long row.
    pub fn bits(&self) -> f64 {
        self.bytes * 8.0 / self.block as f64
    }
}

/// A format by its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Named {
    /// Name, as `formats.toml` writes it.
    pub name: &'static str,
    /// The format.
    pub format: &'static Format,
}

/// Tensors of one shape stored in one format.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The tensor, of one layer.
    pub tensor: Tensor,
    /// Where it lives; a mix may give layers of one item different formats.
    pub place: Place,
    /// How it is stored.
    pub stored: Named,
    /// Bytes of one of them, all copies (experts) together.
    pub each: Bytes,
}

/// The weights of a model in a scheme.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The scheme: `native`, `q4_k_m`, `fp8`.
    pub scheme: String,
    /// All tensors, in the order of the model.
    pub entries: Vec<Entry>,
    /// Where the sizes come from: computed by rule, or scaled to a published file.
    pub origin: Origin,
    /// What a file holds besides tensors: tokenizer, metadata, padding.
    pub header: Bytes,
    /// Half width of the 10-90 % interval of the size, as a share of it; 0 for exact rules.
    pub spread: f64,
}

impl Weights {
    /// Bytes of all tensors.
    pub fn total(&self) -> Bytes {
        self.entries.iter().map(Entry::bytes).sum()
    }

    /// Bytes of the file or files.
    pub fn file_bytes(&self) -> Estimate<Bytes> {
        let likely = self.total() + self.header;
        let around = |share: f64| likely * (1.0 + share);
        Estimate { low: around(-self.spread), likely, high: around(self.spread) }
    }

    /// The same tensors scaled to another total; vectors, routers and their like keep their size.
    pub(crate) fn scaled_to(mut self, total: Bytes) -> Self {
        let (fixed, scaled): (Vec<&Entry>, Vec<&Entry>) =
            self.entries.iter().partition(|one| !one.is_quantised());
        let sum = |entries: Vec<&Entry>| entries.into_iter().map(Entry::bytes).sum::<Bytes>();
        let (fixed, scaled) = (sum(fixed), sum(scaled));
        // Without room for them there is nothing to keep in proportion.
        let factor = if total > fixed && scaled > Bytes::ZERO { (total - fixed) / scaled } else { 1.0 };
        for one in self.entries.iter_mut().filter(|one| one.is_quantised()) {
            one.each = one.each * factor;
        }
        self
    }
}

impl Entry {
    /// Whether its format has fewer bits than a 16-bit float.
    pub fn is_quantised(&self) -> bool {
        !matches!(self.stored.format.decoding, Decoding::Float32 | Decoding::Float16)
    }

    /// How many times the tensor exists.
    pub fn times(&self) -> u64 {
        match &self.place {
            Place::Layers(layers) => layers.len() as u64,
            Place::Prediction(layers) => *layers,
            Place::Input | Place::Output | Place::Tower | Place::Lookup => 1,
        }
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> Bytes {
        self.each * self.times() as f64
    }
}
