//! Launch settings that change memory and are not part of the deployment: each has the default of
//! its engine, and a question may fix any of them.

use crate::arithmetic::kv::KvFormat;
use crate::perf::deployment::{Batching, Deployment, Engine};
use crate::perf::drafts::Method;
use crate::placement::engine::facts;
use crate::units::Bytes;

/// How a llama.cpp cache keeps latent attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatentCache {
    /// The latent alone; every build since 2025-05.
    Latent,
    /// The latent and a transposed copy of its compressed part (early `ik_llama.cpp`, `-mla 1`).
    Transposed,
    /// Keys and values of all heads (files without the absorbed matrices, `-mla 0`).
    Decompressed,
}

/// Which graph a llama.cpp reserves memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphPlan {
    /// Logits of every token of a micro-batch, masks in 32 bit: releases before June 2026.
    EveryOutput,
    /// Logits of one token per sequence, masks as attention reads them.
    OneOutput,
}

/// First build of llama.cpp that reserves one output per sequence (its pull request 23861, opened at
/// build 9300 and merged in June 2026).
const ONE_OUTPUT_FROM: u32 = 9500;

/// Whether kernels are captured into graphs, and which memory that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphCapture {
    /// No capture (`--enforce-eager`).
    Off,
    /// Graphs come on top of the budget (vLLM before 0.21).
    OnTop,
    /// Graphs are part of the budget.
    InBudget,
}

/// Launch settings that change memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The engine.
    pub engine: Engine,
    /// Share of a device the engine may fill: `gpu_memory_utilization`, `mem_fraction_static`.
    pub memory_fraction: Option<f64>,
    /// Most sequences the engine is set up for, where it differs from those the cache must hold.
    pub sequences: Option<u64>,
    /// Whether kernels are captured into graphs.
    pub graphs: GraphCapture,
    /// Whether vision and audio towers are loaded.
    pub towers: bool,
    /// Whether prediction layers are loaded.
    pub prediction: bool,
    /// llama.cpp: whether all sequences share one pool of cells.
    pub unified_cache: bool,
    /// llama.cpp: how latent attention is cached.
    pub latent: LatentCache,
    /// `ik_llama.cpp`: cap of the attention scratch (`-amb`).
    pub scratch_cap: Option<Bytes>,
    /// llama.cpp: which graph memory is reserved for; set by the release.
    pub graph: GraphPlan,
    /// llama.cpp: bytes of a mask entry on the host; 4 before 2026, 2 since.
    pub host_mask_width: f64,
    /// How many `vLLM` cache blocks a recurrent layer takes per sequence; set by the release.
    pub state_blocks: u64,
}

impl Settings {
    /// What the engine of a deployment does, in the release it names.
    pub fn for_deployment(deployment: &Deployment<'_>) -> Self {
        let settings = Self::of(deployment.engine);
        let drafts = deployment.batching.draft == Some(Method::Mtp);
        let settings = Self { prediction: settings.prediction || drafts, ..settings };
        match (deployment.engine, deployment.engine_version.as_deref().and_then(release)) {
            (Engine::Vllm, Some(release)) => Self {
                graphs: if release < (0, 21) { GraphCapture::OnTop } else { settings.graphs },
                state_blocks: if release < (0, 20) { 1 } else { settings.state_blocks },
                ..settings
            },
            (Engine::LlamaCpp, _) if deployment.engine_version.as_deref().is_some_and(reserves_all) => {
                Self { graph: GraphPlan::EveryOutput, ..settings }
            }
            _ => settings,
        }
    }

    /// What the engine does when nothing is asked for.
    pub fn of(engine: Engine) -> Self {
        let facts = facts(engine);
        Self {
            engine,
            memory_fraction: None,
            sequences: None,
            graphs: GraphCapture::InBudget,
            towers: facts.loads_towers,
            prediction: facts.loads_prediction,
            unified_cache: false,
            latent: LatentCache::Latent,
            scratch_cap: None,
            graph: GraphPlan::OneOutput,
            host_mask_width: 2.0,
            state_blocks: facts.state_blocks.unwrap_or(1),
        }
    }

    /// Formats of the cache the engine offers: its default first, then ever smaller ones.
    pub fn kv_formats(&self) -> &'static [KvFormat] {
        &facts(self.engine).kv_formats
    }

    /// How the engine batches by default on a device of so much memory; context and sequences are
    /// for the caller to set.
    pub fn batching(&self, device: Bytes) -> Batching {
        let facts = facts(self.engine);
        let large = facts.large_device.as_ref().filter(|large| device >= large.memory);
        let chunk = large.map_or(facts.chunk, |large| large.chunk).get();
        Batching { chunk, sequences: 1, context: 4096, flash_attention: true, draft: None }
    }
}

/// Whether a build of llama.cpp (`b4089`) reserves the logits of every token.
fn reserves_all(version: &str) -> bool {
    let build = version.strip_prefix('b').and_then(|number| number.parse::<u32>().ok());
    build.is_some_and(|build| build < ONE_OUTPUT_FROM)
}

/// Major and minor release, where a version is written as numbers: `0.13.0rc2`.
pub fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', ' ']).map(str::parse::<u32>);
    let (major, minor) = (parts.next()?.ok()?, parts.next()?.ok()?);
    // Dates are written `2026-08` or `2026.8`.
    (major < 100).then_some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_builds_reserve_all_outputs() {
        assert_eq!(["b4089", "b9499", "b9500", "2026-08"].map(reserves_all), [true, true, false, false]);
    }

    #[test]
    fn releases_are_numbers() {
        assert_eq!(release("0.13.0rc2.dev112"), Some((0, 13)));
        assert_eq!(release("0.6 (2024-12)"), Some((0, 6)));
        assert_eq!(release("b4089"), None);
        assert_eq!(release("2026-08"), None);
    }
}
