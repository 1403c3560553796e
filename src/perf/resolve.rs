//! From a deployment to stages with their constants.

use super::class::{Backend, Class};
use super::collective::{AllReduce, HandOver};
use super::constants::{Asked, Fetch, Missing, constants};
use super::cpu::{CpuStage, Processor};
use super::deployment::{Deployment, Engine, Offload};
use super::local::{LocalStage, matrix_peak, serves_locally};
use super::offload::HostExperts;
use super::ops::Load;
use super::server::ServerStage;
use super::stage::{Local, Stage};
use super::steady::Overheads;
use super::version::build_year;
use crate::catalogue::machine::DeviceGroup;
use crate::fact::Confidence;

/// Resolves a deployment.
pub(super) struct Build<'d, 'a> {
    deployment: &'d Deployment<'a>,
    backend: Option<Backend>,
    year: u64,
    farthest: Confidence,
    notes: Vec<String>,
    processor: Option<Processor>,
}

impl<'d, 'a> Build<'d, 'a> {
    pub(super) fn new(deployment: &'d Deployment<'a>, backend: Option<Backend>) -> Self {
        let year = build_year(deployment.engine, deployment.engine_version.as_deref());
        Self { deployment, backend, year, farthest: Confidence::Good, notes: Vec::new(), processor: None }
    }

    /// Starts a record of constants for a class.
    pub(super) fn fetch(&self, class: Class) -> Fetch {
        let engine = self.deployment.engine;
        let backend = self.backend.unwrap_or_else(|| class.backend(engine));
        Fetch::new(Asked { engine, backend, class, year: self.year })
    }

    /// The class that stands for the deployment: of its first devices, or of its processor.
    pub(super) fn main_class(&self) -> Class {
        self.deployment.stages.first().map_or_else(
            || Class::of_host(self.deployment.host()),
            |stage| Class::of(&self.deployment.device_group(stage).accelerator),
        )
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
            Engine::Vllm | Engine::Sglang | Engine::TensorRtLlm => true,
            Engine::LlamaCpp | Engine::IkLlamaCpp | Engine::Mlx | Engine::KTransformers => false,
        };
        let on_host = self.deployment.placement.offload != Offload::None;
        // Engines never measured on cards follow the formulas of vLLM there only if it is vLLM.
        let cards = serves_locally(self.main_class()) && self.deployment.engine == Engine::Vllm;
        engine && !cards && !on_host
    }

    fn processor(&mut self) -> Result<&mut Processor, Missing> {
        if self.processor.is_none() {
            let host = self.deployment.host();
            self.processor = Some(Processor::new(host, self.deployment.engine, self.year)?);
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
            let group = deployment.device_group(part);
            let mut fetch = self.fetch(Class::of(&group.accelerator));
            let stage = if self.is_server() {
                let (machine, placement) = (deployment.machine, deployment.placement);
                Stage::Server(Box::new(ServerStage::new(
                    load,
                    machine,
                    group,
                    placement,
                    deployment.kv,
                    &mut fetch,
                    constants().is_tuned(&deployment.model.spec.family),
                )?))
            } else {
                Stage::Local(Box::new(self.local(load, group, &mut fetch, chunk)?))
            };
            self.farthest = self.farthest.min(fetch.confidence());
            if let Some(note) = fetch.note().filter(|note| !self.notes.contains(note)) {
                self.notes.push(note);
            }
            stages.push(stage);
        }
        Ok(stages)
    }

    fn local(
        &mut self,
        load: Load<'a>,
        group: &DeviceGroup,
        fetch: &mut Fetch,
        chunk: f64,
    ) -> Result<Local<'a>, Missing> {
        let deployment = self.deployment;
        let remote = if load.experts.iter().any(|experts| experts.host_layers > 0.0) {
            let peak = matrix_peak(group, fetch)?;
            let processor = self.processor()?;
            let link = group.host_link.value.get() * processor.fetch.get("link_achieved")?;
            HostExperts::new(&load.experts, processor, fetch, peak, link, chunk)?
        } else {
            None
        };
        let ranks = f64::from(deployment.placement.expert_ranks());
        let all_reduce = AllReduce::new(deployment.machine, group, deployment.placement.tp, fetch)?;
        fetch.basis();
        let stage = LocalStage::new(load, group, fetch, chunk, deployment.batching.flash_attention, ranks)?;
        Ok(Local { stage, remote, all_reduce })
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
        Ok(Some(hop))
    }

    pub(super) fn overheads(&mut self) -> Result<Option<Overheads>, Missing> {
        if !self.is_server() {
            return Ok(None);
        }
        let mut fetch = self.fetch(self.main_class());
        Overheads::new(&mut fetch).map(Some)
    }
}
