//! A matrix product on a datacenter accelerator:
//! `t = t0 + ((2TKN / (ec peak))^p + (bytes / (eb BW))^p)^(1/p)`,
//! p = 2 in 16 bit and 1 below, where quantising the activations goes before the product.
//! Bytes are the stored weights and both activations. Types the device has no matrix path for are
//! widened to 16 bit: fewer bytes, no more arithmetic.

use super::constants::{Fetch, Kind, Missing};
use super::parts::Cost;
use crate::catalogue::machine::DeviceGroup;

/// The arithmetic of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// 16-bit floats.
    Wide,
    /// 8-bit floats.
    Fp8,
    /// 4-bit floats.
    Fp4,
    /// Stored narrower than multiplied.
    WeightOnly,
}

impl Path {
    /// The path of a stored kind on a device.
    pub(super) fn of(kind: Kind, group: &DeviceGroup) -> Self {
        let rates = &group.accelerator.rates;
        match kind {
            Kind::F16 | Kind::Bf16 => Self::Wide,
            Kind::Fp8 if rates.fp8.is_some() => Self::Fp8,
            Kind::Fp4 if rates.fp4.is_some() => Self::Fp4,
            _ => Self::WeightOnly,
        }
    }

    /// The kind its constants are kept under.
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Wide => Kind::Bf16,
            Self::Fp8 => Kind::Fp8,
            Self::Fp4 => Kind::Fp4,
            Self::WeightOnly => Kind::Int4,
        }
    }

    /// Peak of its arithmetic on a device, operations per second.
    pub(super) fn peak(self, group: &DeviceGroup) -> Result<f64, Missing> {
        let rates = &group.accelerator.rates;
        let rate = match self {
            Self::Wide | Self::WeightOnly => rates.bf16.or(rates.fp16),
            Self::Fp8 => rates.fp8,
            Self::Fp4 => rates.fp4,
        };
        Ok(rate.ok_or(Missing("a matrix rate of the accelerator"))? * 1e12)
    }

    /// Bytes of an activation element.
    const fn activation(self) -> f64 {
        match self {
            Self::Wide | Self::WeightOnly => 2.0,
            Self::Fp8 => 1.0,
            Self::Fp4 => 0.5625,
        }
    }
}

/// The constants of products on one path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gemm {
    t0: f64,
    /// Seconds per operation.
    per_flop: f64,
    /// Seconds per byte.
    per_byte: f64,
    path: Path,
}

impl Gemm {
    /// Resolves the constants of a path.
    pub(super) fn new(
        path: Path,
        group: &DeviceGroup,
        moe: bool,
        fetch: &mut Fetch<'_>,
    ) -> Result<Self, Missing> {
        let quantise = match path {
            Path::Wide => 1.0,
            Path::Fp8 | Path::Fp4 | Path::WeightOnly => {
                fetch.of("quantise_factor", if moe { Kind::Moe } else { Kind::Dense })?
            }
        };
        // A widened product multiplies and reads like one in 16 bit.
        let kind = if path == Path::WeightOnly { Kind::Bf16 } else { path.kind() };
        Ok(Self {
            t0: fetch.get("gemm_t0")? * quantise * 1e-6,
            per_flop: 1.0 / (fetch.of("gemm_compute", kind)? * path.peak(group)?),
            per_byte: 1.0 / (fetch.of("gemm_memory", kind)? * group.bandwidth.value.get()),
            path,
        })
    }

    /// Seconds that do not grow with the work.
    pub(super) const fn fixed(&self) -> f64 {
        self.t0
    }

    /// `tokens` rows times a matrix of `inputs` by `outputs` stored in `stored` bytes. Says also
    /// whether arithmetic is the larger term.
    pub(super) fn cost(&self, tokens: f64, inputs: f64, outputs: f64, stored: f64) -> (Cost, bool) {
        let flop = 2.0 * tokens * inputs * outputs;
        let bytes = stored + tokens * (inputs * self.path.activation() + outputs * 2.0);
        let (multiply, read) = (flop * self.per_flop, bytes * self.per_byte);
        let both = match self.path {
            Path::Wide | Path::WeightOnly => (multiply * multiply + read * read).sqrt(),
            Path::Fp8 | Path::Fp4 => multiply + read,
        };
        (Cost { time: self.t0 + both, flop, bytes }, multiply > read)
    }
}
