//! Types of weights and caches as the tables name them.

/// Types of weights and of the arithmetic on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// 16-bit floats.
    Bf16,
    /// 8-bit floats, one scale per tensor or row.
    Fp8,
    /// 8-bit floats, one scale per block of 128 by 128.
    Fp8Block,
    /// 4-bit floats with scales per 16, multiplied as such.
    Nvfp4,
    /// 8-bit integers on both sides.
    Int8,
    /// 8-bit integers, multiplied in 16 bit.
    Int8WeightOnly,
    /// 4-bit integers, multiplied in 16 bit.
    Int4WeightOnly,
    /// 4-bit integers, multiplied in 8-bit floats.
    Int4Fp8,
    /// 4-bit floats with scales per 32, multiplied in 16 bit.
    Mxfp4WeightOnly,
    /// 4-bit floats with scales per 32, multiplied with 8-bit ones.
    Mxfp4Fp8,
}

impl Format {
    /// The format a table's word names.
    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "bfloat16" | "float16" | "half" => Self::Bf16,
            "fp8" | "fp8_e4m3" => Self::Fp8,
            "fp8_block" => Self::Fp8Block,
            "nvfp4" | "fp4" => Self::Nvfp4,
            "sq" => Self::Int8,
            "int8_wo" => Self::Int8WeightOnly,
            "int4_wo" => Self::Int4WeightOnly,
            "w4afp8" => Self::Int4Fp8,
            "w4a16_mxfp4" => Self::Mxfp4WeightOnly,
            "w4a8_mxfp4_mxfp8" => Self::Mxfp4Fp8,
            _ => return None,
        })
    }

    /// Bytes of a stored weight with its scales.
    pub(super) const fn weight_bytes(self) -> f64 {
        match self {
            Self::Bf16 => 2.0,
            Self::Fp8 | Self::Fp8Block | Self::Int8 | Self::Int8WeightOnly => 1.0,
            Self::Nvfp4 => 0.5625,
            Self::Int4WeightOnly | Self::Int4Fp8 => 0.516,
            Self::Mxfp4WeightOnly | Self::Mxfp4Fp8 => 0.53125,
        }
    }

    /// Bytes of an activation that is multiplied.
    pub(super) const fn activation_bytes(self) -> f64 {
        match self {
            Self::Bf16 | Self::Int8WeightOnly | Self::Int4WeightOnly | Self::Mxfp4WeightOnly => 2.0,
            Self::Fp8 | Self::Fp8Block | Self::Int8 | Self::Int4Fp8 | Self::Mxfp4Fp8 => 1.0,
            Self::Nvfp4 => 0.5625,
        }
    }
}

/// Types of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cache {
    /// 16-bit floats.
    Bf16,
    /// 8-bit floats.
    Fp8,
}

impl Cache {
    /// The cache a table's word names.
    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "bfloat16" | "float16" => Self::Bf16,
            "fp8" | "fp8_e4m3" => Self::Fp8,
            _ => return None,
        })
    }

    /// Bytes of an element.
    pub(super) const fn bytes(self) -> f64 {
        match self {
            Self::Bf16 => 2.0,
            Self::Fp8 => 1.0,
        }
    }
}

/// Seconds per operation and per byte at the best rates a table shows: with them, work of two
/// places can be compared without knowing the device.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    per_flop: f64,
    per_byte: f64,
}

impl Rates {
    /// Bytes below which a cache may have answered.
    const CACHED: f64 = 6.4e7;

    /// The best rates of some places, each given as operations, bytes and seconds.
    pub(super) fn of(places: impl Iterator<Item = (f64, f64, f64)>) -> Self {
        let (mut per_flop, mut per_byte, mut small) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
        for (flop, bytes, seconds) in places {
            per_flop = f64::min(per_flop, seconds / flop);
            small = small.min(seconds / bytes);
            if bytes > Self::CACHED {
                per_byte = per_byte.min(seconds / bytes);
            }
        }
        Self { per_flop, per_byte: if per_byte.is_finite() { per_byte } else { small } }
    }

    /// Least seconds of some work.
    pub(super) fn work(self, flop: f64, bytes: f64) -> f64 {
        (flop * self.per_flop).max(bytes * self.per_byte)
    }
}
