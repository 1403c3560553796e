//! Peak rates of the units that a local engine multiplies with, by type of weights.
//!
//! llama.cpp multiplies quantised weights as 8-bit integers, block by block; 16-bit weights go to
//! half-precision products that accumulate in half precision, bfloat16 to products that accumulate in
//! single (`ggml/src/ggml-cuda/mmq.cuh`, `ggml-cuda.cu`). The matrix units of NVIDIA multiply integers
//! twice as fast as halves, those of RDNA no faster: half the integer rate is the yardstick of both.
//! Blackwell multiplies 4-bit floats as such. Servers unpack weights and accumulate in single precision.

use super::constants::{Fetch, Kind, Missing};
use super::deployment::Engine;
use crate::catalogue::machine::DeviceGroup;
use crate::perf::class::Class;

/// Rates of a device under an engine, operations per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peaks {
    /// Products of halves: 16-bit weights.
    pub half: f64,
    /// Products of attention.
    pub attention: f64,
    /// Products of bfloat16.
    wide: f64,
    /// Products of quantised weights.
    quantised: f64,
    /// Products of 8-bit floats.
    eight: f64,
    /// Products of 4-bit floats.
    four: f64,
    /// Single precision beside the matrix units; none where they are the same units.
    vector: Option<f64>,
}

impl Peaks {
    /// The rates under an engine at the clocks that the power of the board sustains.
    pub(super) fn new(group: &DeviceGroup, fetch: &mut Fetch<'_>) -> Result<Self, Missing> {
        if fetch.asked.class.is_apple() {
            let cores = gpu_cores(&group.id).or_else(|| gpu_cores(&group.accelerator.name));
            if let Some(cores) = cores {
                // One unit for all types.
                let rate = f64::from(cores) * fetch.get("apple_core_rate")? * 1e12;
                return Ok(Self {
                    half: rate,
                    attention: rate,
                    wide: rate,
                    quantised: rate,
                    eight: rate,
                    four: rate,
                    vector: None,
                });
            }
        }
        let rates = &group.accelerator.rates;
        let single = rates.fp32.unwrap_or(0.0);
        let wide = rates.bf16.or(rates.fp16).unwrap_or(0.0).max(single);
        let integers = rates.int8.unwrap_or(0.0) / 2.0;
        // Chips before matrix units list half precision at a fraction of single.
        let has_units = rates.fp16.unwrap_or(0.0) > single;
        let half = rates.fp16_acc16.or(rates.fp16).or(rates.bf16).unwrap_or(0.0).max(single);
        let half = if has_units { half.max(integers) } else { half };
        if half <= 0.0 {
            return Err(Missing("a matrix rate of the accelerator"));
        }
        let powered = match group.accelerator.tdp_w {
            Some(watts) => watts * fetch.get("power_rate")?,
            None => f64::INFINITY,
        };
        let sustained = |rate: f64| 1e12 * within_power(rate, powered);
        match fetch.asked.engine {
            Engine::LlamaCpp | Engine::IkLlamaCpp => {
                let quantised = if integers > 0.0 { integers } else { half };
                let clock = sustained(quantised) / quantised;
                Ok(Self {
                    half: sustained(half),
                    attention: if is_vector_attention(fetch.asked.class) {
                        // Half precision on the vector units is twice single; the matrix unit is four times.
                        1e12 * half / 4.0
                    } else {
                        sustained(half)
                    },
                    wide: sustained(wide),
                    quantised: sustained(quantised),
                    eight: sustained(half),
                    four: rates.fp4.map_or(quantised, |four| four / 2.0) * clock,
                    vector: rates.fp32.map(|rate| rate * clock),
                })
            }
            Engine::Mlx
            | Engine::KTransformers
            | Engine::Vllm
            | Engine::Sglang
            | Engine::Atom
            | Engine::TensorRtLlm => {
                let half = sustained(rates.fp16.or(rates.bf16).unwrap_or(0.0).max(single));
                let wide = sustained(wide);
                let eight = rates.fp8.map_or(half, sustained);
                Ok(Self { half, attention: half, wide, quantised: half, eight, four: half, vector: None })
            }
        }
    }

    /// Seconds per operation of products with weights of a kind at a share of the rate of its unit, and
    /// scaling the sums of every block in single precision beside it.
    pub(super) fn seconds(&self, kind: Kind, share: f64, scaling: f64) -> f64 {
        let unit = 1.0 / (share * self.of(kind));
        match self.vector {
            Some(rate) if !kind.is_wide() => unit + scaling / rate,
            _ => unit,
        }
    }

    /// The rate of products with weights of a kind.
    const fn of(&self, kind: Kind) -> f64 {
        match kind {
            Kind::F16 => self.half,
            Kind::Bf16 => self.wide,
            Kind::Fp8 => self.eight,
            Kind::Fp4 => self.four,
            _ => self.quantised,
        }
    }
}

/// Whether flash attention of llama.cpp runs on the vector units: its RDNA builds use the matrix unit
/// only where rocWMMA is asked for (`GGML_HIP_ROCWMMA_FATTN`, off by default).
const fn is_vector_attention(class: Class) -> bool {
    matches!(class, Class::Rdna3 | Class::Rdna35 | Class::Rdna4)
}

/// A rate under a limit of power: cards that list more arithmetic than their power sustains lower
/// their clocks; the corner is soft.
fn within_power(peak: f64, powered: f64) -> f64 {
    let ratio = peak / powered;
    peak / (1.0 + ratio * ratio * ratio * ratio).sqrt().sqrt()
}

/// The number before `gpu` or `-core GPU` in a name: `m2-ultra-76gpu`.
fn gpu_cores(name: &str) -> Option<u32> {
    let lower = name.to_ascii_lowercase();
    let before = &lower[..lower.rfind("gpu")?];
    let before = before.trim_end_matches(|c: char| !c.is_ascii_digit());
    let digits = before.len() - before.bytes().rev().take_while(u8::is_ascii_digit).count();
    before[digits..].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::gpu_cores;

    #[test]
    fn cores_are_read_from_names() {
        assert_eq!(gpu_cores("m2-ultra-76gpu"), Some(76));
        assert_eq!(gpu_cores("Apple M4 Pro (16-core GPU)"), Some(16));
        assert_eq!(gpu_cores("m4-max"), None);
    }
}
