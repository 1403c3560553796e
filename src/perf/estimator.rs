//! The estimator: the time of a step of one deployment.
//!
//! Two dialects share the list of operations: local engines (`perf/local.rs`) and servers on
//! datacenter accelerators (`perf/server.rs`). The processor takes whole layers or experts beside
//! either. Stages run one after the other for one step; [`Estimator::decode_period`] says what a
//! full pipeline achieves.

use super::bound::Peaks;
use super::collective::HandOver;
use super::constants::{Basis, Lookup, Missing};
use super::deployment::{Deployment, Engine};
use super::drafts::{Draft, drafts};
use super::interval::{Acquaintance, Architecture, Regime, ratios};
use super::parts::Parts;
use super::resolve::{Build, Sources};
use super::serving::Overheads;
use super::stage::{Rows, Stage};
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
    /// One pass of who drafts, where that has layers.
    drafter: Option<Stage<'a>>,
    hand_over: Option<HandOver>,
    /// Exponent of the gain of a layer split in prefill.
    pipeline: f64,
    /// Bytes of the activations of one token.
    row: f64,
    chunk: u64,
    /// Groups of attention that step together.
    pub(super) groups: u64,
    confidence: Confidence,
    lookups: Vec<Lookup>,
    traced: bool,
    notes: Vec<String>,
    /// Whose residuals its intervals come from.
    pub regime: Regime,
    pub(super) ratios: [(f64, f64); Phase::ALL.len()],
    pub(super) peaks: Peaks,
    pub(super) server: Option<Overheads>,
    /// Request handling before prefill of a server on workstation cards.
    pub(super) api: f64,
}

impl<'a> Estimator<'a> {
    /// Resolves all constants of a deployment.
    ///
    /// # Errors
    /// What is not known about the device, the network or the constants.
    pub fn new(deployment: &Deployment<'a>, sources: Sources<'_>) -> Result<Self, Unpredictable> {
        let mut build = Build::new(deployment, sources);
        let stages = build.stages()?;
        let drafter = build.drafter()?;
        let hand_over = build.hand_over(&stages)?;
        let server = build.overheads()?;
        let moe = deployment.model.spec.is_moe();
        let architecture = if moe { Architecture::Moe } else { Architecture::Dense };
        let regime = Regime::of(deployment, server.is_some());
        let intervals = sources.constants.intervals();
        let acquaintance = Acquaintance::of(deployment, regime, &intervals.met);
        let local_server = deployment.engine == Engine::Vllm && server.is_none();
        let api = if local_server { build.whole("server_latency")? * 1e-6 } else { 0.0 };
        Ok(Self {
            hand_over,
            pipeline: if stages.len() > 1 { build.whole("pipeline_exponent")? } else { 1.0 },
            row: deployment.model.spec.hidden.get() as f64 * 2.0,
            chunk: deployment.batching.chunk.max(1),
            groups: u64::from(deployment.placement.dp.max(1)),
            stages,
            drafter,
            confidence: build.confidence(),
            lookups: build.lookups(),
            traced: sources.traced,
            notes: build.all_notes().into_iter().chain(acquaintance.note(deployment, regime)).collect(),
            regime,
            ratios: ratios(intervals, (regime, architecture), acquaintance, build.confidence()),
            peaks: Peaks::of(deployment),
            server,
            api,
        })
    }

    /// One token for each of `sequences`, each with `depth` tokens cached: from start to end, the
    /// sum over stages.
    pub fn decode(&self, sequences: u64, depth: u64) -> StepTime {
        let mut parts = Parts::listed();
        self.decode_into(Rows::single(sequences.max(1) as f64), depth, &mut parts);
        parts.finish()
    }

    /// The time of [`Estimator::decode`] alone; `sequences` may be a mean.
    pub fn decode_time(&self, sequences: f64, depth: u64) -> Seconds {
        let mut parts = Parts::default();
        self.decode_into(Rows::single(sequences), depth, &mut parts);
        Seconds::new(parts.total())
    }

    fn decode_into(&self, rows: Rows, depth: u64, parts: &mut Parts) {
        for stage in &self.stages {
            stage.decode(rows, depth, parts);
        }
        self.once(rows.sequences, true, parts);
        self.boundaries(self.row * rows.total(), 1.0, parts);
    }

    /// Time between tokens of each of `sequences` when pipeline stages work on different sequences:
    /// every stage takes its share of them in turn. Equal to [`Estimator::decode`] for one stage
    /// and for local engines, which run one stage at a time.
    pub fn decode_period(&self, sequences: f64, depth: u64) -> Seconds {
        Seconds::new(self.period(Rows::single(sequences), depth))
    }

    /// The same for steps that verify drafts, seconds.
    pub(super) fn period(&self, rows: Rows, depth: u64) -> f64 {
        let stages = self.stages.len() as f64;
        let mut parts = Parts::default();
        if stages < 2.0 || self.server.is_none() {
            self.decode_into(rows, depth, &mut parts);
            return parts.total();
        }
        let share = Rows { sequences: (rows.sequences / stages).max(1.0), ..rows };
        let slowest = self.stages.iter().map(|stage| {
            let mut parts = Parts::default();
            stage.decode(share, depth, &mut parts);
            stage.once(share.sequences, true, &mut parts);
            parts.total()
        });
        let slowest = slowest.fold(0.0, f64::max);
        let hop = self.hand_over.as_ref().map_or(0.0, |hop| hop.cost(self.row * share.total()).time);
        (slowest + hop) * stages
    }

    /// Time between tokens of each of `sequences`: of a plain step, or of one that verifies a draft,
    /// with the drafting, over the tokens it yields.
    pub fn token_time(&self, sequences: f64, depth: u64, draft: Option<Draft>) -> Seconds {
        let Some(draft) = draft else { return self.decode_period(sequences, depth) };
        let [verify, drafting] = self.drafted_step(sequences, depth, &draft);
        (verify + drafting) / draft.accepted.likely.max(1.0)
    }

    /// The parts of a step that verifies `drafted` tokens of each of `sequences`; a plain step if none.
    pub fn verify(&self, sequences: u64, depth: u64, drafted: u64) -> StepTime {
        let mut parts = Parts::listed();
        let rows = Rows { sequences: sequences.max(1) as f64, each: (drafted + 1) as f64 };
        self.decode_into(rows, depth, &mut parts);
        parts.finish()
    }

    /// A step that verifies a draft: every sequence brings its last token and the drafted ones, so that
    /// experts, products and output matrix meet them all while the cache is read once. And the passes
    /// of the drafter before it, one for each token.
    pub fn drafted_step(&self, sequences: f64, depth: u64, draft: &Draft) -> [Seconds; 2] {
        let drafted = draft.tokens as f64;
        let verify = self.period(Rows { sequences, each: drafted + 1.0 }, depth);
        let drafting = self.drafter.as_ref().map_or(0.0, |drafter| {
            let mut parts = Parts::default();
            drafter.decode(Rows::single(sequences), depth, &mut parts);
            drafted * (parts.total() + drafts().pass)
        });
        [verify, drafting].map(Seconds::new)
    }

    /// One prefill step of `new` tokens for each of `sequences` after `depth`, seconds.
    pub(super) fn prompt_time(&self, sequences: f64, new: u64, depth: u64) -> f64 {
        let mut parts = Parts::default();
        self.prompt_step(sequences, new, depth, &mut parts);
        parts.total()
    }

    /// The whole of a prompt of `tokens` for each of `sequences`, after `depth` cached tokens, in
    /// the chunks the engine is set up for.
    pub fn prefill(&self, tokens: u64, depth: u64, sequences: u64) -> StepTime {
        let mut parts = Parts::listed();
        self.prefill_into(tokens, depth, sequences, &mut parts);
        parts.finish()
    }

    /// The time of [`Estimator::prefill`] alone.
    pub fn prefill_time(&self, tokens: u64, depth: u64, sequences: u64) -> Seconds {
        let mut parts = Parts::default();
        self.prefill_into(tokens, depth, sequences, &mut parts);
        Seconds::new(parts.total())
    }

    /// The time of [`Estimator::prefill`] and what bounds it.
    pub fn prefill_bound(&self, tokens: u64, depth: u64, sequences: u64) -> (Seconds, Limit) {
        let mut parts = Parts::default();
        self.prefill_into(tokens, depth, sequences, &mut parts);
        (Seconds::new(parts.total()), parts.limit())
    }

    /// The time of [`Estimator::decode`] and what bounds it; `sequences` may be a mean.
    pub fn decode_bound(&self, sequences: f64, depth: u64) -> (Seconds, Limit) {
        let mut parts = Parts::default();
        self.decode_into(Rows::single(sequences), depth, &mut parts);
        (Seconds::new(parts.total()), parts.limit())
    }

    /// What bounds a prompt.
    pub(super) fn prefill_limit(&self, tokens: u64) -> Limit {
        self.prefill_bound(tokens, 0, 1).1
    }

    /// What bounds a decode step.
    pub(super) fn decode_limit(&self, sequences: f64, depth: u64) -> Limit {
        self.decode_bound(sequences, depth).1
    }

    fn prefill_into(&self, tokens: u64, depth: u64, sequences: u64, parts: &mut Parts) {
        let (tokens, sequences) = (tokens.max(1), sequences.max(1));
        if self.server.is_none() {
            // Local engines are fitted over the whole prompt, micro-batches inside.
            self.prompt_step(sequences as f64, tokens, depth, parts);
            return;
        }
        // Prompts that fit share a step, the others follow one after the other in every group.
        let together = (self.prompt_tokens() / tokens).max(self.groups).min(sequences);
        self.prompts(tokens, depth, together, parts);
        parts.repeat((sequences / together) as f64);
        let rest = sequences % together;
        if rest > 0 {
            let mut last = parts.another();
            self.prompts(tokens, depth, rest, &mut last);
            parts.then(last);
        }
    }

    /// Prompts that step together, chunk after chunk.
    fn prompts(&self, tokens: u64, depth: u64, sequences: u64, parts: &mut Parts) {
        let chunk = (self.prompt_tokens() / sequences).max(1);
        let (mut done, mut largest) = (0, 0.0_f64);
        while done < tokens {
            let new = chunk.min(tokens - done);
            let before = parts.total();
            self.prompt_step(sequences as f64, new, depth + done, parts);
            largest = largest.max(parts.total() - before);
            done += new;
        }
        // Chunks follow each other through the stages of a pipeline: each stage works its share of
        // all of them, and the largest waits for the other stages.
        let stages = self.stages.len() as f64;
        if stages > 1.0 {
            parts.scale((1.0 + (stages - 1.0) * largest / parts.total()) / stages);
        }
    }

    /// One forward step of any shape.
    pub fn step(&self, shape: Shape) -> StepTime {
        let mut parts = Parts::listed();
        let sequences = shape.sequences.max(1) as f64;
        if shape.new > 1 {
            self.prompt_step(sequences, shape.new, shape.depth, &mut parts);
        } else {
            self.decode_into(Rows::single(sequences), shape.depth, &mut parts);
        }
        parts.finish()
    }

    fn prompt_step(&self, sequences: f64, new: u64, depth: u64, parts: &mut Parts) {
        let mut step = parts.another();
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
            let basis: Basis = self.traced.then(|| "latency per boundary, bytes over the link".into());
            parts.add(
                "hand-over between stages",
                boundaries,
                Limit::Link,
                hop.cost(bytes).times(boundaries),
                &basis,
            );
        }
    }

    /// Time from a lone request to its first token: handling and the whole prompt.
    pub fn time_to_first_token(&self, prompt: u64, depth: u64) -> Seconds {
        self.prefill_time(prompt, depth, 1) + Seconds::new(self.request_overhead())
    }

    /// Time a server takes per request beside the steps.
    pub fn handling(&self) -> Seconds {
        Seconds::new(self.request_overhead())
    }

    /// The same in seconds.
    pub(super) fn request_overhead(&self) -> f64 {
        self.server.map_or(self.api, |server| server.api)
    }

    /// The constants it was built from; empty unless traced.
    pub fn lookups(&self) -> &[Lookup] {
        &self.lookups
    }

    /// What a reader should know about the constants.
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// How much of what was measured this rests on.
    pub const fn confidence(&self) -> Confidence {
        self.confidence
    }

    /// Prompt tokens of a step in one group of attention.
    pub(super) const fn chunk(&self) -> u64 {
        self.chunk
    }

    /// Prompt tokens of a step over all groups.
    pub(super) const fn prompt_tokens(&self) -> u64 {
        self.chunk * self.groups
    }
}
