//! All options of one model on one machine: formats × engines × layouts × cache formats, memory
//! before time.
//!
//! Formats are walked from the highest quality down. Whatever fits is evaluated; of a format that
//! fits nowhere the nearest miss is kept.

use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::scheme::Scheme;
use crate::arithmetic::weights::Weights;
use crate::catalogue::machine::Machine;
use crate::perf::Sources;
use crate::perf::deployment::{Batching, Deployment, Engine, Model, Offload, Stage};
use crate::perf::operators::Operators;
use crate::placement::fit::verdict;
use crate::placement::ledger::Ledger;
use crate::placement::legal::legal;
use crate::placement::name;
use crate::placement::search::{Layout, layouts};
use crate::placement::settings::Settings;
use crate::plan::answer::{Candidate, Fit, Miss};
use crate::plan::evaluate::{Running, candidate, fit_of};
use crate::plan::request::{Limits, Workload};
use crate::units::Bytes;

/// What was found for one model.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Options that fit.
    pub options: Vec<Candidate>,
    /// The nearest miss of each format that fits nowhere, in the order of formats.
    pub misses: Vec<Miss>,
    /// Candidates looked at.
    pub considered: u64,
}

/// The fixed part of a search.
pub(super) struct Search<'a> {
    /// The model.
    pub model: &'a Model,
    /// The machine.
    pub machine: &'a Machine,
    /// The load.
    pub load: Workload,
    /// What is fixed.
    pub limits: &'a Limits,
    /// Cost and power of the machine.
    pub running: &'a Running,
    /// Operator tables.
    pub operators: Option<&'a Operators>,
    /// Formats of each engine to stop after once they fit; all if absent.
    pub enough: Option<usize>,
}

impl Search<'_> {
    /// What estimators draw on.
    pub(super) fn sources(&self) -> Sources<'_> {
        Sources { operators: self.operators, ..Sources::shipped() }
    }

    /// Walks formats from the best down.
    pub(super) fn run(&self, schemes: &[Scheme]) -> Found {
        let mut found = Found::default();
        let mut satisfied: Vec<Engine> = Vec::new();
        for scheme in schemes {
            let weights = scheme.weigh(&self.model.spec, &self.model.inventory);
            // Of many models only what fits is told: what exceeds all memory needs no search.
            if self.enough.is_some() && weights.total().get() > self.room().get() {
                continue;
            }
            let mut nearest: Option<Miss> = None;
            let mut fitted = false;
            for engine in self.engines() {
                let done = satisfied.iter().filter(|e| **e == engine).count();
                if self.enough.is_some_and(|enough| done >= enough) {
                    fitted = true;
                    continue;
                }
                let before = found.options.len();
                let alone = self.try_engine(engine, scheme, &weights, &mut nearest, &mut found);
                fitted |= alone;
                if alone || (self.enough.is_some() && found.options.len() > before) {
                    satisfied.push(engine);
                }
            }
            if let Some(miss) = nearest.filter(|_| !fitted) {
                found.misses.push(miss);
            }
        }
        found
    }

    /// All memory weights may lie in: that of the devices, and of the hosts where they may help.
    fn room(&self) -> Bytes {
        let devices: Bytes = self
            .machine
            .groups()
            .map(|(nodes, group)| group.memory.value * f64::from(nodes * group.count))
            .sum();
        if self.limits.no_offload && self.machine.device_count() > 0 {
            return devices;
        }
        devices + self.machine.nodes.iter().map(|node| node.host.ram.value * f64::from(node.count)).sum()
    }

    /// The engines to try.
    pub(super) fn engines(&self) -> impl Iterator<Item = Engine> + '_ {
        Engine::ALL
            .iter()
            .copied()
            .filter(|e| self.limits.engines.is_empty() || self.limits.engines.contains(e))
    }

    /// Tries all layouts of an engine; says whether one fits without help of host memory.
    fn try_engine(
        &self,
        engine: Engine,
        scheme: &Scheme,
        weights: &Weights,
        nearest: &mut Option<Miss>,
        found: &mut Found,
    ) -> bool {
        let mut alone = false;
        // Layouts come in runs of one kind of offload, from little to all.
        let layouts: Vec<Layout> = layouts(self.model, self.machine, engine)
            .into_iter()
            .filter(|layout| self.admits(layout))
            .collect();
        let kind = |layout: &Layout| std::mem::discriminant(&layout.placement.offload);
        for run in layouts.chunk_by(|a, b| kind(a) == kind(b)) {
            let helped = run[0].placement.offload != Offload::None && self.machine.device_count() > 0;
            // The least offload that fits is enough, and one step more where that is tight: more is
            // only slower. Memory falls with every step, so that halving finds it.
            let first = if helped {
                run.partition_point(|layout| !self.fits(engine, weights, layout.clone(), found))
            } else {
                0
            };
            for layout in &run[first..] {
                let Some(option) = self.try_layout(engine, scheme, weights, layout.clone(), nearest, found)
                else {
                    continue;
                };
                alone |= !helped;
                let well = option.fit == Fit::Fits;
                found.options.push(option);
                if helped && well {
                    break;
                }
            }
        }
        alone
    }

    /// Whether a layout fits with any cache format.
    fn fits(&self, engine: Engine, weights: &Weights, layout: Layout, found: &mut Found) -> bool {
        let settings = Settings::of(engine);
        let mut deployment = self.deployment(engine, &settings, weights, layout);
        self.cache_formats(&settings).into_iter().any(|kv| {
            deployment.kv = kv;
            found.considered += 1;
            legal(&deployment).is_ok() && fit_of(&verdict(&Ledger::of(&deployment))).is_some()
        })
    }

    /// Whether a layout agrees with what the user fixed.
    pub(super) fn admits(&self, layout: &Layout) -> bool {
        let (p, limits) = (&layout.placement, self.limits);
        limits.tp.is_none_or(|tp| tp == p.tp)
            && limits.pp.is_none_or(|pp| pp == p.pp)
            && limits.dp.is_none_or(|dp| dp == p.dp)
            && limits.expert_parallel.is_none_or(|ep| ep == p.expert_parallel)
            && (!limits.no_offload || p.offload == Offload::None)
    }

    /// The first cache format, from the most exact down, with which a layout fits.
    fn try_layout(
        &self,
        engine: Engine,
        scheme: &Scheme,
        weights: &Weights,
        layout: Layout,
        nearest: &mut Option<Miss>,
        found: &mut Found,
    ) -> Option<Candidate> {
        let settings = Settings::of(engine);
        let mut deployment = self.deployment(engine, &settings, weights, layout);
        for kv in self.cache_formats(&settings) {
            deployment.kv = kv;
            if legal(&deployment).is_err() {
                continue;
            }
            found.considered += 1;
            let ledger = Ledger::of(&deployment);
            let verdict = verdict(&ledger);
            if let Some(fit) = fit_of(&verdict) {
                let quality = scheme.quality(&self.model.spec);
                let (load, running, operators) = (self.load, self.running, self.operators);
                return candidate(&deployment, &ledger, fit, load, running, quality, operators);
            }
            // The shortfall that counts is that of the accelerators alone, where there are any.
            let helped = deployment.placement.offload != Offload::None && self.machine.device_count() > 0;
            let Some(worst) = ledger.worst().filter(|_| !helped) else { continue };
            let short = Bytes::ZERO - worst.free();
            if nearest.as_ref().is_none_or(|miss| short.get() < miss.short_bytes.get()) {
                *nearest = Some(Miss {
                    model: self.model.spec.id.clone(),
                    format: weights.scheme.clone(),
                    weights_bytes: weights.total(),
                    layout: name::words(&deployment.placement, engine),
                    engine,
                    short_bytes: short,
                    device: worst.name.clone(),
                    devices_short: worst.devices,
                    remedies: Vec::new(),
                });
            }
        }
        None
    }

    /// A layout with the load of the search, and a cache of the most exact format.
    pub(super) fn deployment<'a>(
        &'a self,
        engine: Engine,
        settings: &Settings,
        weights: &'a Weights,
        layout: Layout,
    ) -> Deployment<'a> {
        let each = self.load.users.div_ceil(u64::from(layout.placement.replicas));
        Deployment {
            model: self.model,
            weights,
            kv: KvFormat::F16,
            machine: self.machine,
            engine,
            engine_version: None,
            placement: layout.placement,
            batching: Batching {
                draft: self.load.draft(&self.model.spec).map(|draft| draft.method),
                context: self.load.context,
                sequences: each,
                ..settings.batching(self.device_memory(&layout.stages))
            },
            stages: layout.stages,
        }
    }

    /// Memory of the first device in use, by which engines choose their batching.
    fn device_memory(&self, stages: &[Stage]) -> Bytes {
        stages
            .first()
            .and_then(|stage| self.machine.groups().nth(stage.group))
            .map_or(Bytes::ZERO, |(_, group)| group.memory.value)
    }

    /// Cache formats to try, most exact first.
    pub(super) fn cache_formats(&self, settings: &Settings) -> Vec<KvFormat> {
        match self.limits.kv {
            Some(kv) => vec![kv],
            None => settings.kv_formats().to_vec(),
        }
    }
}
