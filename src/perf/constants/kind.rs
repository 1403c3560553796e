//! Kinds: the column that tells apart what one constant means for types, widths and counts.

use crate::arithmetic::weights::{Decoding, Named};
use crate::words;

words! {
    /// What a cell of a constant holds for.
    pub enum Kind ("kind of a constant") {
        /// 16-bit float of llama.cpp.
        F16 = "f16",
        /// bfloat16.
        Bf16 = "bf16",
        /// 8-bit float.
        Fp8 = "fp8",
        /// 4-bit float in blocks.
        Fp4 = "fp4",
        /// 4-bit integers in groups, weight only.
        Int4 = "int4",
        /// 8-bit integers of llama.cpp.
        Q8 = "q8",
        /// Blocks of 4 and 5 bits of llama.cpp.
        Q40 = "q40",
        /// k-quants of 2 and 3 bits.
        K23 = "k23",
        /// The same with interleaved rows.
        K23R = "k23-r",
        /// k-quants of 4 and 5 bits.
        K45 = "k45",
        /// The same with interleaved rows.
        K45R = "k45-r",
        /// k-quants of 6 bits.
        K6 = "k6",
        /// i-quants of 1 to 3 bits.
        Iq23 = "iq23",
        /// The same with interleaved rows.
        Iq23R = "iq23-r",
        /// i-quants of 4 to 6 bits.
        Iq4 = "iq4",
        /// The same with interleaved rows.
        Iq4R = "iq4-r",
        /// Trellis codes.
        Kt = "kt",
        /// MLX, 2 to 4 bits.
        Mlx4 = "mlx4",
        /// MLX, 5 and 6 bits.
        Mlx56 = "mlx56",
        /// MLX, 8 bits.
        Mlx8 = "mlx8",
        /// Any quantised type.
        Quantised = "q",
        /// Heads of up to 96 elements.
        Hd64 = "hd64",
        /// Heads of up to 192 elements.
        Hd128 = "hd128",
        /// Wider heads.
        Hd256 = "hd256",
        /// Latent attention.
        Mla = "mla",
        /// Attention with grouped heads.
        Gqa = "gqa",
        /// Dense models or layers.
        Dense = "dense",
        /// Models or layers with routed experts.
        Moe = "moe",
        /// Two devices.
        N2 = "n2",
        /// Four devices.
        N4 = "n4",
        /// Eight devices and more.
        N8 = "n8",
        /// Within one node.
        Local = "local",
        /// Between nodes.
        Network = "network",
    }
}

impl Kind {
    /// The kind of a weight format.
    #[allow(clippy::match_same_arms)] // one line per way of decoding
    pub fn of(stored: Named) -> Self {
        let (name, bits) = (stored.name, stored.format.bits());
        let interleaved = name.ends_with("_r4") || name.ends_with("_r8");
        match stored.format.decoding {
            Decoding::Float32 | Decoding::Float16 => {
                if name == "f16" {
                    Self::F16
                } else {
                    Self::Bf16
                }
            }
            Decoding::Fp8 => Self::Fp8,
            Decoding::Fp4 => Self::Fp4,
            Decoding::Int8 | Decoding::Int4 if name.starts_with("mlx") => Self::of_mlx(bits),
            Decoding::Int8 => Self::Q8,
            Decoding::Int4 => Self::Int4,
            Decoding::Legacy if bits > 7.0 => Self::Q8,
            Decoding::Legacy => Self::Q40,
            Decoding::KQuant if bits < 4.0 && interleaved => Self::K23R,
            Decoding::KQuant if bits < 4.0 => Self::K23,
            Decoding::KQuant if bits < 6.0 && interleaved => Self::K45R,
            Decoding::KQuant if bits < 6.0 => Self::K45,
            Decoding::KQuant if bits < 7.0 => Self::K6,
            Decoding::KQuant => Self::Q8,
            Decoding::IQuant if bits < 4.0 && interleaved => Self::Iq23R,
            Decoding::IQuant if bits < 4.0 => Self::Iq23,
            Decoding::IQuant if interleaved => Self::Iq4R,
            Decoding::IQuant => Self::Iq4,
            Decoding::Trellis => Self::Kt,
        }
    }

    /// The kind of MLX weights of so many bits, scales included.
    fn of_mlx(bits: f64) -> Self {
        if bits > 7.0 {
            Self::Mlx8
        } else if bits > 5.2 {
            Self::Mlx56
        } else {
            Self::Mlx4
        }
    }

    /// The kind of a head width.
    pub const fn of_head(width: u64) -> Self {
        match width {
            ..=96 => Self::Hd64,
            97..=192 => Self::Hd128,
            _ => Self::Hd256,
        }
    }

    /// The kind of a number of devices in a collective.
    pub const fn of_count(devices: u32) -> Self {
        match devices {
            ..=2 => Self::N2,
            3..=5 => Self::N4,
            _ => Self::N8,
        }
    }

    /// Whether weights of this kind have 16 bits or more.
    pub const fn is_wide(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16)
    }

    /// Kinds that behave alike, nearest first.
    pub(super) const fn alike(self) -> &'static [Self] {
        use Kind::{
            Bf16, F16, Fp4, Fp8, Hd64, Hd128, Hd256, Int4, Iq4, Iq4R, Iq23, Iq23R, K6, K23, K23R, K45, K45R,
            Kt, Mla, Mlx4, Mlx8, Mlx56, N2, N4, N8, Q8, Q40,
        };
        match self {
            F16 => &[Bf16],
            Bf16 => &[F16],
            Fp8 => &[Q8, Bf16],
            Fp4 => &[Q40, K45, Mlx4, Int4, Fp8],
            Int4 => &[K45, Mlx4, Q40, Fp4],
            Q8 => &[Mlx8, Fp8, K6, K45, F16],
            Q40 => &[K45, Iq4, Mlx4],
            K23 => &[Iq23, K45],
            K23R => &[K23, Iq23R, K45R],
            K45 => &[Q40, K6, Iq4, Mlx4, Int4, Fp4],
            K45R => &[K45, Iq4R],
            K6 => &[K45, Q8],
            Iq23 => &[K23, Iq4, K45],
            Iq23R => &[Iq23, K23R, Iq4R],
            Iq4 => &[K45, Q40],
            Iq4R => &[Iq4, K45R, K45],
            Kt => &[Iq4, K45],
            Mlx4 => &[Mlx56, Q40, K45],
            Mlx56 => &[Mlx8, Mlx4, K6],
            Mlx8 => &[Mlx56, Q8],
            Hd64 => &[Hd128, Hd256],
            Hd128 => &[Hd64, Hd256],
            Hd256 => &[Hd128, Hd64],
            Mla => &[Hd256, Hd128],
            N2 => &[N4, N8],
            N4 => &[N8, N2],
            N8 => &[N4, N2],
            Self::Quantised | Self::Gqa | Self::Dense | Self::Moe | Self::Local | Self::Network => &[],
        }
    }
}
/// What constants of a kind give, worked out once for every kind that is met.
#[derive(Clone, Debug)]
pub(in crate::perf) struct PerKind<T>(Vec<(Kind, T)>);

impl<T: Copy> PerKind<T> {
    /// Nothing yet.
    pub(in crate::perf) const fn new() -> Self {
        Self(Vec::new())
    }

    /// What was worked out for a kind, or is now.
    ///
    /// # Errors
    /// Those of `work`.
    pub(in crate::perf) fn of<E>(&mut self, kind: Kind, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if let Some((_, known)) = self.0.iter().find(|(known, _)| *known == kind) {
            return Ok(*known);
        }
        let value = work()?;
        self.0.push((kind, value));
        Ok(value)
    }
}
