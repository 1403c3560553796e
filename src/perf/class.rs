//! Classes of devices: which chips share one set of constants.
//!
//! Drivers and kernels treat chips of one architecture and memory type alike, so constants are
//! kept per class. An accelerator of an architecture we have no name for falls to
//! [`Class::Other`], whose constants are those of its nearest relatives by maker.

use crate::catalogue::hardware::Accelerator;
use crate::catalogue::machine::Host;
use crate::perf::deployment::Engine;
use crate::words;

words! {
    /// A class of accelerators, or of processors by their widest instructions.
    pub enum Class ("device class") {
        /// `GeForce` 10, Tesla P40 and P100.
        Pascal = "pascal",
        /// V100.
        Volta = "volta",
        /// `GeForce` 20, T4.
        Turing = "turing",
        /// `GeForce` 30, RTX A-series, A10, A40: GDDR memory.
        Ampere = "ampere",
        /// A100: HBM.
        A100 = "a100",
        /// `GeForce` 40, RTX Ada, L4, L40S.
        Ada = "ada",
        /// H100, H200, GH200.
        Hopper = "hopper",
        /// `GeForce` 50, RTX PRO Blackwell.
        Blackwell = "blackwell",
        /// B200, GB200, Rubin until measured.
        BlackwellDc = "blackwell-dc",
        /// B300, GB300.
        Gb300 = "gb300",
        /// DGX Spark.
        Gb10 = "gb10",
        /// Apple M1.
        M1 = "m1",
        /// Apple M2.
        M2 = "m2",
        /// Apple M3.
        M3 = "m3",
        /// Apple M4.
        M4 = "m4",
        /// Apple M5.
        M5 = "m5",
        /// Radeon RX 6000 and before.
        Rdna2 = "rdna2",
        /// Radeon RX 7000.
        Rdna3 = "rdna3",
        /// Ryzen AI Max.
        Rdna35 = "rdna3.5",
        /// Radeon RX 9000.
        Rdna4 = "rdna4",
        /// MI100, MI200.
        Cdna2 = "cdna2",
        /// MI300X, MI325X.
        Cdna3 = "cdna3",
        /// MI350X, MI355X.
        Cdna4 = "cdna4",
        /// Intel Arc.
        Arc = "arc",
        /// None of these.
        Other = "other",
        /// Processors with AMX tiles.
        Amx = "amx",
        /// Processors with AVX-512.
        Avx512 = "avx512",
        /// Processors with AVX2.
        Avx2 = "avx2",
        /// Arm processors.
        Neon = "neon",
    }
}

words! {
    /// The software between engine and device.
    pub enum Backend ("backend") {
        /// NVIDIA.
        Cuda = "cuda",
        /// Apple.
        Metal = "metal",
        /// AMD.
        Rocm = "rocm",
        /// Any vendor.
        Vulkan = "vulkan",
        /// None: the processor.
        Cpu = "cpu",
    }
}

impl Class {
    /// The class of an accelerator.
    pub fn of(device: &Accelerator) -> Self {
        let arch = device.arch.to_ascii_lowercase();
        let memory = device.memory_type.as_deref().unwrap_or("").to_ascii_lowercase();
        let stacked = memory.contains("hbm");
        match device.vendor.to_ascii_lowercase().as_str() {
            "nvidia" => match arch.as_str() {
                "pascal" | "maxwell" => Self::Pascal,
                "volta" => Self::Volta,
                "turing" => Self::Turing,
                "ampere" if stacked => Self::A100,
                "ampere" => Self::Ampere,
                "ada lovelace" | "ada" => Self::Ada,
                "hopper" => Self::Hopper,
                "blackwell ultra" => Self::Gb300,
                "blackwell" | "rubin" if stacked => Self::BlackwellDc,
                "blackwell" if device.is_unified() || memory.contains("lpddr") => Self::Gb10,
                "blackwell" | "rubin" => Self::Blackwell,
                _ if stacked => Self::BlackwellDc,
                _ => Self::Blackwell,
            },
            "apple" => match arch.as_str() {
                "m1" => Self::M1,
                "m2" => Self::M2,
                "m3" => Self::M3,
                "m4" => Self::M4,
                _ => Self::M5,
            },
            "amd" => match arch.as_str() {
                "rdna3" => Self::Rdna3,
                "rdna3.5" | "rdna3/3.5" => Self::Rdna35,
                "rdna4" => Self::Rdna4,
                "cdna" | "cdna2" | "gcn5/vega" => Self::Cdna2,
                "cdna3" => Self::Cdna3,
                _ if arch.starts_with("cdna") => Self::Cdna4,
                _ => Self::Rdna2,
            },
            "intel" => Self::Arc,
            _ => Self::Other,
        }
    }

    /// The class of the processors of a host: by the widest instructions its kernels use.
    pub fn of_host(host: &Host) -> Self {
        let has = |word: &str| host.isa.iter().any(|isa| isa.eq_ignore_ascii_case(word));
        if has("amx") {
            Self::Amx
        } else if has("avx512") {
            Self::Avx512
        } else if has("neon") || has("sve") {
            Self::Neon
        } else {
            Self::Avx2
        }
    }

    /// Classes whose constants stand in, nearest first: same maker, adjacent generation, same
    /// kind of memory.
    pub const fn neighbours(self) -> &'static [Self] {
        match self {
            Self::Pascal => &[Self::Turing, Self::Ampere],
            Self::Volta => &[Self::Turing, Self::A100, Self::Ampere],
            Self::Turing => &[Self::Ampere, Self::Pascal],
            Self::Ampere => &[Self::Ada, Self::Turing],
            Self::A100 => &[Self::Hopper, Self::Ampere],
            Self::Ada => &[Self::Ampere, Self::Blackwell],
            Self::Hopper => &[Self::A100, Self::BlackwellDc, Self::Ada],
            Self::Blackwell => &[Self::Ada, Self::Ampere, Self::BlackwellDc],
            Self::BlackwellDc => &[Self::Gb300, Self::Hopper, Self::Blackwell],
            Self::Gb300 => &[Self::BlackwellDc, Self::Hopper, Self::Blackwell],
            Self::Gb10 => &[Self::Blackwell, Self::Ada, Self::Ampere],
            Self::M1 => &[Self::M2, Self::M3, Self::M4],
            Self::M2 => &[Self::M3, Self::M1, Self::M4],
            Self::M3 => &[Self::M2, Self::M4, Self::M1],
            Self::M4 => &[Self::M3, Self::M5, Self::M2],
            Self::M5 => &[Self::M4, Self::M3, Self::M2],
            Self::Rdna2 | Self::Rdna4 | Self::Rdna35 | Self::Arc => &[Self::Rdna3, Self::Rdna35],
            Self::Rdna3 => &[Self::Rdna35],
            Self::Cdna2 | Self::Cdna4 => &[Self::Cdna3, Self::Rdna3],
            Self::Cdna3 => &[Self::Cdna4, Self::Rdna3],
            Self::Other => &[],
            Self::Avx512 => &[Self::Amx, Self::Avx2],
            Self::Amx | Self::Avx2 | Self::Neon => &[Self::Avx512],
        }
    }

    /// The software an engine uses on it unless told otherwise.
    pub const fn backend(self, engine: Engine) -> Backend {
        match self {
            Self::Pascal
            | Self::Volta
            | Self::Turing
            | Self::Ampere
            | Self::A100
            | Self::Ada
            | Self::Hopper
            | Self::Blackwell
            | Self::BlackwellDc
            | Self::Gb300
            | Self::Gb10
            | Self::Other => Backend::Cuda,
            Self::M1 | Self::M2 | Self::M3 | Self::M4 | Self::M5 => Backend::Metal,
            Self::Rdna2
            | Self::Rdna3
            | Self::Rdna35
            | Self::Rdna4
            | Self::Cdna2
            | Self::Cdna3
            | Self::Cdna4 => Backend::Rocm,
            Self::Arc => match engine {
                Engine::LlamaCpp | Engine::IkLlamaCpp | Engine::Mlx | Engine::KTransformers => {
                    Backend::Vulkan
                }
                Engine::Vllm | Engine::Sglang | Engine::Atom | Engine::TensorRtLlm => Backend::Rocm,
            },
            Self::Amx | Self::Avx512 | Self::Avx2 | Self::Neon => Backend::Cpu,
        }
    }

    /// Whether servers were measured operator by operator on it.
    pub const fn is_datacenter(self) -> bool {
        matches!(
            self,
            Self::A100
                | Self::Hopper
                | Self::Blackwell
                | Self::BlackwellDc
                | Self::Gb300
                | Self::Cdna2
                | Self::Cdna3
                | Self::Cdna4
        )
    }

    /// Whether it is an Apple chip.
    pub const fn is_apple(self) -> bool {
        matches!(self, Self::M1 | Self::M2 | Self::M3 | Self::M4 | Self::M5)
    }
}
