//! From a deployment to stages with their constants.

use super::class::{Backend, Class};
use super::collective::{AllReduce, HandOver};
use super::constants::Basis;
use super::constants::{Asked, Constants, Fetch, Lookup, Missing, constants};
use super::cpu::{CpuStage, Processor};
use super::deployment::{Deployment, Engine, Offload, Stage as StagePart};
use super::drafts::Method;
use super::local::{LocalStage, serves_locally};
use super::offload::HostExperts;
use super::operators::{Operators, StageTables};
use super::ops::Load;
use super::peak::Peaks;
use super::server::ServerStage;
use super::serving::Overheads;
use super::stage::{Local, Stage};
use super::version::build_year;
use crate::catalogue::machine::DeviceGroup;
use crate::fact::Confidence;
use crate::units::{Bandwidth, Bytes};

/// What an estimator draws on.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'c> {
    /// The constants.
    pub constants: &'c Constants,
    /// Named software below the engine, such as Vulkan where `ROCm` is usual.
    pub backend: Option<Backend>,
    /// Whether to record what each part of a step rests on.
    pub traced: bool,
    /// Measured operator tables the user brought; the tables read stand before the curves.
    pub operators: Option<&'c Operators>,
}

impl Sources<'static> {
    /// The shipped constants and the usual software, without a record.
    pub fn shipped() -> Self {
        Self { constants: constants(), backend: None, traced: false, operators: None }
    }
}

impl Sources<'_> {
    /// Part of an answer that an engine reserves when it admits a request.
    pub fn admission(&self, engine: Engine) -> f64 {
        let asked = Asked { engine, backend: Backend::Cuda, class: Class::Other, year: 0 };
        self.constants.find("admission", asked, None).map_or(1.0, |found| found.value)
    }

    /// Seconds to move the bytes of a cache between workers of separate pools.
    pub fn transfer(&self, bytes: Bytes, per_device: Bandwidth, devices: u32) -> f64 {
        let asked = Asked { engine: Engine::Vllm, backend: Backend::Cuda, class: Class::Other, year: 0 };
        let find = |name| self.constants.find(name, asked, None).map_or(0.0, |found| found.value);
        let rate = find("transfer_share") * per_device.get() * f64::from(devices.max(1));
        if rate > 0.0 { bytes.get() / rate } else { 0.0 }
    }
}

/// Labels of the parts that tables answer, and of those that curves answer.
type Tabled = (Vec<&'static str>, Vec<&'static str>);

/// Resolves a deployment.
pub(super) struct Build<'d, 'a> {
    deployment: &'d Deployment<'a>,
    sources: Sources<'d>,
    year: u64,
    farthest: Confidence,
    notes: Vec<String>,
    lookups: Vec<Lookup>,
    processor: Option<Processor<'d>>,
}

impl<'d, 'a> Build<'d, 'a> {
    pub(super) fn new(deployment: &'d Deployment<'a>, sources: Sources<'d>) -> Self {
        let version = deployment.engine_version.as_deref();
        let year = build_year(sources.constants, deployment.engine, version);
        Self {
            deployment,
            sources,
            year,
            farthest: Confidence::Good,
            notes: Vec::new(),
            lookups: Vec::new(),
            processor: None,
        }
    }

    /// Starts fetching constants for a class.
    pub(super) fn fetch(&self, class: Class) -> Fetch<'d> {
        let engine = self.deployment.engine;
        let backend = self.sources.backend.unwrap_or_else(|| class.backend(engine));
        let asked = Asked { engine, backend, class, year: self.year };
        Fetch::new(self.sources.constants, asked, self.sources.traced)
    }

    /// Keeps what was looked up.
    fn close(&mut self, fetch: &Fetch<'_>) {
        self.farthest = self.farthest.min(fetch.confidence());
        self.lookups.extend_from_slice(fetch.lookups());
        if let Some(note) = fetch.note().filter(|note| !self.notes.contains(note)) {
            self.notes.push(note);
        }
    }

    /// Everything looked up so far.
    pub(super) fn lookups(&self) -> Vec<Lookup> {
        let mut all = self.lookups.clone();
        all.extend(self.processor.iter().flat_map(|processor| processor.fetch.lookups()));
        all
    }

    /// The class that stands for the deployment: of its first devices, or of its processor.
    pub(super) fn main_class(&self) -> Class {
        self.deployment.stages.first().map_or_else(
            || Class::of_host(self.deployment.host()),
            |stage| Class::of(&self.deployment.device_group(stage).accelerator),
        )
    }

    /// Fetches a constant of the whole deployment.
    pub(super) fn whole(&mut self, name: &'static str) -> Result<f64, Missing> {
        let mut fetch = self.fetch(self.main_class());
        let value = fetch.get(name)?;
        self.close(&fetch);
        Ok(value)
    }

    pub(super) fn confidence(&self) -> Confidence {
        let processor = self.processor.as_ref().map_or(Confidence::Good, |p| p.fetch.confidence());
        self.farthest.min(processor)
    }

    pub(super) fn all_notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        notes.extend(self.processor.as_ref().and_then(|processor| processor.fetch.note()));
        if self.deployment.engine_version.is_none() {
            notes.push(format!("speed of {} as of the newest builds measured", self.deployment.engine));
        }
        notes
    }

    fn is_server(&self) -> bool {
        let engine = match self.deployment.engine {
            Engine::Vllm | Engine::Sglang | Engine::Atom | Engine::TensorRtLlm => true,
            Engine::LlamaCpp | Engine::IkLlamaCpp | Engine::Mlx | Engine::KTransformers => false,
        };
        let on_host = self.deployment.placement.offload != Offload::None;
        // Engines never measured on cards follow the formulas of vLLM there only if it is vLLM.
        let cards = serves_locally(self.main_class()) && self.deployment.engine == Engine::Vllm;
        engine && !cards && !on_host
    }

    fn processor(&mut self) -> Result<&mut Processor<'d>, Missing> {
        if self.processor.is_none() {
            let host = self.deployment.host();
            let fetch = Fetch::new(
                self.sources.constants,
                Asked {
                    engine: self.deployment.engine,
                    backend: Backend::Cpu,
                    class: Class::of_host(host),
                    year: self.year,
                },
                self.sources.traced,
            );
            self.processor = Some(Processor::new(host, fetch)?);
        }
        self.processor.as_mut().ok_or(Missing("the processor"))
    }

    pub(super) fn stages(&mut self) -> Result<Vec<Stage<'a>>, Missing> {
        let deployment = self.deployment;
        let layers = deployment.model.spec.layer_count();
        let chunk = deployment.batching.chunk.max(1) as f64;
        let on_host = match deployment.placement.offload {
            Offload::All => layers,
            Offload::Layers(count) => count.min(layers),
            Offload::None | Offload::Experts(_) => 0,
        };
        let mut stages = Vec::with_capacity(deployment.stages.len() + 1);
        if on_host > 0 || deployment.stages.is_empty() {
            let head = deployment.stages.is_empty();
            let load = Load::of(deployment, &(0..on_host.max(if head { layers } else { 0 })), head);
            let processor = self.processor()?;
            stages.push(Stage::Processor(Box::new(CpuStage::new(load, processor, chunk)?)));
        }
        for (index, part) in deployment.stages.iter().enumerate() {
            let load = Load::of(deployment, &part.layers, index + 1 == deployment.stages.len());
            stages.push(self.on_device(load, part, chunk)?);
        }
        Ok(stages)
    }

    /// The stage of one pass of a drafter with layers: a prediction layer of the model, or for one that
    /// was trained beside it a layer like its last; on the devices that hold the output matrix.
    pub(super) fn drafter(&mut self) -> Result<Option<Stage<'a>>, Missing> {
        let deployment = self.deployment;
        let chunk = deployment.batching.chunk.max(1) as f64;
        let load = match deployment.batching.draft {
            None | Some(Method::Ngram) => None,
            Some(Method::Mtp) => Load::of_prediction(deployment),
            Some(Method::Eagle3) => {
                let layers = deployment.model.spec.layer_count();
                Some(Load::of(deployment, &(layers.saturating_sub(1)..layers), true))
            }
        };
        let Some(load) = load else { return Ok(None) };
        if let Some(part) = deployment.stages.last() {
            return self.on_device(load, part, chunk).map(Some);
        }
        let stage = CpuStage::new(load, self.processor()?, chunk)?;
        Ok(Some(Stage::Processor(Box::new(stage))))
    }

    /// A load on the devices of a part.
    fn on_device(&mut self, load: Load<'a>, part: &StagePart, chunk: f64) -> Result<Stage<'a>, Missing> {
        let deployment = self.deployment;
        let group = deployment.device_group(part);
        let mut fetch = self.fetch(Class::of(&group.accelerator));
        let stage = if self.is_server() {
            let (machine, placement) = (deployment.machine, deployment.placement);
            let operators = self.sources.operators;
            let tables = operators.and_then(|operators| StageTables::of(operators, deployment, group));
            let name = tables.as_ref().map(|tables| tables.name().to_owned());
            let stage = ServerStage::new(
                load,
                machine,
                group,
                placement,
                deployment.kv,
                &mut fetch,
                (self.sources.constants.is_tuned(&deployment.model.spec.family), tables),
            )?;
            if operators.is_some() {
                let from = name.as_deref().zip(stage.tabled(deployment.batching.chunk));
                self.tables_note(&group.accelerator.name, from);
            }
            Stage::Server(Box::new(stage))
        } else {
            Stage::Local(Box::new(self.local(load, group, &mut fetch, chunk)?))
        };
        self.close(&fetch);
        Ok(stage)
    }

    /// Says once what came from operator tables and what did not.
    fn tables_note(&mut self, device: &str, from: Option<(&str, Tabled)>) {
        let note = match from {
            Some((name, (tabled, fitted))) if !tabled.is_empty() => {
                let rest: Vec<_> = fitted.into_iter().filter(|label| !tabled.contains(label)).collect();
                format!(
                    "operator tables of {name} for {}, not corrected for launch gaps; fitted curves for {}",
                    tabled.join(", "),
                    if rest.is_empty() { "the rest".to_owned() } else { rest.join(", ") },
                )
            }
            _ => format!("no operator table fits {device} under {}: fitted curves", self.deployment.engine),
        };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn local(
        &mut self,
        load: Load<'a>,
        group: &DeviceGroup,
        fetch: &mut Fetch<'_>,
        chunk: f64,
    ) -> Result<Local<'a>, Missing> {
        let deployment = self.deployment;
        let remote = if load.experts.iter().any(|experts| experts.host_layers > 0.0) {
            let peaks = Peaks::new(group, fetch)?;
            let processor = self.processor()?;
            let link = group.host_link.value.get() * processor.fetch.get("link_achieved")?;
            HostExperts::new(&load.experts, processor, fetch, peaks, link, chunk)?
        } else {
            None
        };
        let ranks = f64::from(deployment.placement.expert_ranks());
        let all_reduce = AllReduce::new(deployment.machine, group, deployment.placement.tp, fetch)?;
        let reduce_basis: Basis = fetch.basis();
        let stage = LocalStage::new(load, group, fetch, chunk, deployment.batching.flash_attention, ranks)?;
        Ok(Local { stage, remote, all_reduce, reduce_basis })
    }

    pub(super) fn hand_over(&mut self, stages: &[Stage<'a>]) -> Result<Option<HandOver>, Missing> {
        let Some(first) = self.deployment.stages.first().filter(|_| stages.len() > 1) else {
            return Ok(None);
        };
        let group = self.deployment.device_group(first);
        let mut fetch = self.fetch(Class::of(&group.accelerator));
        let machine = self.deployment.machine;
        let placement = self.deployment.placement;
        let devices = placement.pp * placement.dp * placement.tp;
        let hop = if self.is_server() {
            HandOver::server(machine, group, devices, &mut fetch)?
        } else {
            HandOver::local(machine, group, devices, &mut fetch)?
        };
        self.close(&fetch);
        Ok(Some(hop))
    }

    pub(super) fn overheads(&mut self) -> Result<Option<Overheads>, Missing> {
        if !self.is_server() {
            return Ok(None);
        }
        let mut fetch = self.fetch(self.main_class());
        let overheads = Overheads::new(&mut fetch)?;
        self.close(&fetch);
        Ok(Some(overheads))
    }
}
