//! The estimator: the time of a step of one deployment.
//!
//! Two dialects share the list of operations: local engines (`perf/local.rs`) and servers on
//! datacenter accelerators (`perf/server.rs`). The processor takes whole layers or experts beside
//! either. Stages run one after the other for one step; [`Estimator::decode_period`] says what a
//! full pipeline achieves.

use super::class::Backend;
use super::collective::HandOver;
use super::constants::Missing;
use super::deployment::{Deployment, Engine};
use super::interval::Regime;
use super::parts::Parts;
use super::resolve::Build;
use super::stage::Stage;
use super::steady::Overheads;
use super::time::{Limit, Shape, StepTime};
use crate::fact::Confidence;
use crate::units::{Seconds, math};

pub use super::interval::Phase;

/// Why a deployment has no estimate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no estimate: {why} is not known")]
pub struct Unpredictable {
    /// What is not known.
    pub why: String,
}

impl From<Missing> for Unpredictable {
    fn from(missing: Missing) -> Self {
        Self { why: missing.0.to_owned() }
    }
}

/// Predicts the time of steps of one deployment.
#[derive(Clone, Debug)]
pub struct Estimator<'a> {
    stages: Vec<Stage<'a>>,
    hand_over: Option<HandOver>,
    /// Exponent of the gain of a layer split in prefill.
    pipeline: f64,
    /// Bytes of the activations of one token.
    row: f64,
    chunk: u64,
    /// Groups of attention that step together.
    pub(super) groups: u64,
    confidence: Confidence,
    notes: Vec<String>,
    pub(super) regime: Regime,
    pub(super) server: Option<Overheads>,
    /// Request handling before prefill of a server on workstation cards.
    pub(super) api: f64,
}

impl<'a> Estimator<'a> {
    /// Resolves all constants of a deployment, with the usual software for its devices.
    ///
    /// # Errors
    /// What is not known about the device, the network or the constants.
    pub fn new(deployment: &Deployment<'a>) -> Result<Self, Unpredictable> {
        Self::on(deployment, None)
    }

    /// The same with a named backend, such as Vulkan where `ROCm` is usual.
    ///
    /// # Errors
    /// See [`Estimator::new`].
    pub fn on(deployment: &Deployment<'a>, backend: Option<Backend>) -> Result<Self, Unpredictable> {
        let mut build = Build::new(deployment, backend);
        let stages = build.stages()?;
        let hand_over = build.hand_over(&stages)?;
        let server = build.overheads()?;
        let mut fetch = build.fetch(build.main_class());
        let local_server = deployment.engine == Engine::Vllm && server.is_none();
        let api = if local_server { fetch.get("server_latency")? * 1e-6 } else { 0.0 };
        Ok(Self {
            stages,
            hand_over,
            pipeline: fetch.get("pipeline_exponent")?,
            row: deployment.model.spec.hidden.get() as f64 * 2.0,
            chunk: deployment.batching.chunk.max(1),
            groups: u64::from(deployment.placement.dp.max(1)),
            confidence: build.confidence(),
            notes: build.all_notes(),
            regime: Regime::of(deployment, server.is_some()),
            server,
            api,
        })
    }

    /// One token for each of `sequences`, each with `depth` tokens cached: from start to end, the
    /// sum over stages.
    pub fn decode(&self, sequences: u64, depth: u64) -> StepTime {
        self.step(Shape { sequences, new: 1, depth })
    }

    /// Time between tokens of each of `sequences` when pipeline stages work on different sequences:
    /// every stage takes its share of them in turn. Equal to [`Estimator::decode`] for one stage
    /// and for local engines, which run one stage at a time.
    pub fn decode_period(&self, sequences: u64, depth: u64) -> Seconds {
        let stages = self.stages.len() as u64;
        if stages < 2 || self.server.is_none() {
            return self.decode(sequences, depth).total();
        }
        let share = sequences.div_ceil(stages).max(1);
        let slowest = self
            .stages
            .iter()
            .map(|stage| {
                let mut parts = Parts::default();
                stage.decode(share as f64, depth, &mut parts);
                stage.once(share as f64, true, &mut parts);
                parts.total()
            })
            .fold(0.0, f64::max);
        let hop = self.hand_over.as_ref().map_or(0.0, |hop| hop.cost(self.row * share as f64).time);
        Seconds::new((slowest + hop) * stages as f64)
    }

    /// The whole of a prompt of `tokens` for each of `sequences`, after `depth` cached tokens, in
    /// the chunks the engine is set up for.
    pub fn prefill(&self, tokens: u64, depth: u64, sequences: u64) -> StepTime {
        if self.server.is_none() {
            // Local engines are fitted over the whole prompt, micro-batches inside.
            return self.step(Shape { sequences, new: tokens.max(1), depth });
        }
        // Prompts that fit share a step, the others follow one after the other in every group.
        let (tokens, sequences) = (tokens.max(1), sequences.max(1));
        let together = (self.prompt_tokens() / tokens).max(self.groups).min(sequences);
        let mut parts = self.prompts(tokens, depth, together);
        parts.repeat((sequences / together) as f64);
        let rest = sequences % together;
        if rest > 0 {
            parts.then(self.prompts(tokens, depth, rest));
        }
        parts.finish()
    }

    /// Prompts that step together, chunk after chunk.
    fn prompts(&self, tokens: u64, depth: u64, sequences: u64) -> Parts {
        let chunk = (self.prompt_tokens() / sequences).max(1);
        let mut parts = Parts::default();
        let (mut done, mut largest) = (0, 0.0_f64);
        while done < tokens {
            let new = chunk.min(tokens - done);
            let before = parts.total();
            self.prompt_step(sequences as f64, new, depth + done, &mut parts);
            largest = largest.max(parts.total() - before);
            done += new;
        }
        // Chunks follow each other through the stages of a pipeline: each stage works its share of
        // all of them, and the largest waits for the other stages.
        let stages = self.stages.len() as f64;
        parts.scale((1.0 + (stages - 1.0) * largest / parts.total()) / stages);
        parts
    }

    /// One forward step of any shape.
    pub fn step(&self, shape: Shape) -> StepTime {
        let mut parts = Parts::default();
        let sequences = shape.sequences.max(1) as f64;
        if shape.new > 1 {
            self.prompt_step(sequences, shape.new, shape.depth, &mut parts);
        } else {
            for stage in &self.stages {
                stage.decode(sequences, shape.depth, &mut parts);
            }
            self.once(sequences, true, &mut parts);
            self.boundaries(self.row * sequences, 1.0, &mut parts);
        }
        parts.finish()
    }

    fn prompt_step(&self, sequences: f64, new: u64, depth: u64, parts: &mut Parts) {
        let mut step = Parts::default();
        for stage in &self.stages {
            stage.prefill(sequences, new, depth, &mut step);
        }
        let tokens = sequences * new as f64;
        let stages = self.stages.len() as f64;
        if stages > 1.0 && self.server.is_none() {
            // Up to four micro-batches are in flight over the stages of a layer split.
            let flight = (tokens / self.chunk as f64).ceil().clamp(1.0, 4.0);
            step.scale(math::pow((flight + stages - 1.0) / (flight * stages), self.pipeline));
        }
        self.once(sequences, false, &mut step);
        self.boundaries(self.row * tokens, 1.0, &mut step);
        parts.then(step);
    }

    /// What a step pays once, not per stage.
    fn once(&self, sequences: f64, decoding: bool, parts: &mut Parts) {
        if let Some(stage) = self.stages.last() {
            stage.once(sequences, decoding, parts);
        }
    }

    fn boundaries(&self, bytes: f64, times: f64, parts: &mut Parts) {
        if let Some(hop) = &self.hand_over {
            let boundaries = (self.stages.len() - 1) as f64 * times;
            let basis = "latency per boundary, bytes over the link";
            parts.add(
                "hand-over between stages",
                boundaries,
                Limit::Link,
                hop.cost(bytes).times(boundaries),
                basis,
            );
        }
    }

    /// Time from a lone request to its first token: handling and the whole prompt.
    pub fn time_to_first_token(&self, prompt: u64, depth: u64) -> Seconds {
        self.prefill(prompt, depth, 1).total() + Seconds::new(self.request_overhead())
    }

    /// Time a server takes per request beside the steps, seconds.
    pub(super) fn request_overhead(&self) -> f64 {
        self.server.map_or(self.api, |server| server.api)
    }

    /// What a reader should know about the constants.
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// How much of what was measured this rests on.
    pub const fn confidence(&self) -> Confidence {
        self.confidence
    }

    /// Prompt tokens of a step over all groups.
    pub(super) const fn prompt_tokens(&self) -> u64 {
        self.chunk * self.groups
    }
}
