//! All options of one model on one machine: formats × engines × layouts × cache formats, memory
//! before time.
//!
//! Formats are walked from the highest quality down. Whatever fits is evaluated; of a format that
//! fits nowhere the nearest miss is kept.

use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::scheme::Offer;
use crate::arithmetic::weights::Weights;
use crate::catalogue::machine::Machine;
use crate::perf::Sources;
use crate::perf::deployment::{Batching, Deployment, Engine, Model, Offload, Stage};
use crate::perf::operators::Operators;
use crate::placement::account::{Account, Placed};
use crate::placement::legal::legal;
use crate::placement::name;
use crate::placement::search::{Layout, layouts};
use crate::placement::seat::Load;
use crate::placement::settings::Settings;
use crate::plan::answer::{Candidate, Fit, Miss};
use crate::plan::evaluate::{Running, candidate};
use crate::plan::request::{Limits, Workload};
use crate::units::Bytes;
use rayon::prelude::*;

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

/// What one engine tries on the machine.
struct Tries {
    settings: Settings,
    layouts: Vec<Layout>,
    /// Cache formats, most exact first.
    caches: Vec<KvFormat>,
}

impl Found {
    /// Both, one after the other.
    fn and(mut self, more: Self) -> Self {
        self.options.extend(more.options);
        self.misses.extend(more.misses);
        Self { considered: self.considered + more.considered, ..self }
    }
}

impl Search<'_> {
    /// What estimators draw on.
    pub(super) fn sources(&self) -> Sources<'_> {
        Sources { operators: self.operators, ..Sources::shipped() }
    }

    /// Walks formats from the best down; all at once where no number of them is enough.
    pub(super) fn run(&self, offers: &[Offer]) -> Found {
        let tries: Vec<Tries> = self.engines().map(|engine| self.tries(engine)).collect();
        let mut done = vec![0; tries.len()];
        if self.enough.is_none() {
            let each = offers.par_iter().map(|offer| self.try_offer(&tries, offer, &mut done.clone()));
            return each.collect::<Vec<_>>().into_iter().fold(Found::default(), Found::and);
        }
        // Of many models only what fits is told: what exceeds all memory needs no search.
        let room = self.room();
        let possible = offers.iter().filter(|offer| offer.weights.total().fits(room));
        possible.fold(Found::default(), |found, offer| found.and(self.try_offer(&tries, offer, &mut done)))
    }

    /// Tries a format on every engine that does not have enough formats `done`.
    fn try_offer(&self, tries: &[Tries], offer: &Offer, done: &mut [usize]) -> Found {
        let mut found = Found::default();
        let mut nearest: Option<Miss> = None;
        let mut fitted = false;
        for (tries, done) in tries.iter().zip(done) {
            if self.enough.is_some_and(|enough| *done >= enough) {
                fitted = true;
                continue;
            }
            let before = found.options.len();
            let alone = self.try_engine(tries, offer, &mut nearest, &mut found);
            fitted |= alone;
            if alone || found.options.len() > before {
                *done += 1;
            }
        }
        found.misses.extend(nearest.filter(|_| !fitted));
        found
    }

    /// What an engine may try, whatever the format of the weights.
    fn tries(&self, engine: Engine) -> Tries {
        let settings = Settings::of(engine);
        Tries {
            settings,
            layouts: layouts(self.model, self.machine, engine)
                .into_iter()
                .filter(|layout| self.admits(layout))
                .collect(),
            caches: self.cache_formats(&settings),
        }
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
        tries: &Tries,
        offer: &Offer,
        nearest: &mut Option<Miss>,
        found: &mut Found,
    ) -> bool {
        let mut alone = false;
        // Layouts come in runs of one kind of offload, from little to all.
        let kind = |layout: &Layout| std::mem::discriminant(&layout.placement.offload);
        for run in tries.layouts.chunk_by(|a, b| kind(a) == kind(b)) {
            let helped = run[0].placement.offload != Offload::None && self.machine.device_count() > 0;
            // The least offload that fits is enough, and one step more where that is tight: more is
            // only slower. Memory falls with every step, so that halving finds it.
            let first = if helped {
                run.partition_point(|layout| !self.fits(tries, offer, layout, found))
            } else {
                0
            };
            for layout in &run[first..] {
                let Some(option) = self.try_layout(tries, offer, layout, nearest, found) else {
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
    fn fits(&self, tries: &Tries, offer: &Offer, layout: &Layout, found: &mut Found) -> bool {
        let Some(mut deployment) = self.runnable(tries, offer, layout) else { return false };
        let placed = Placed::of(&deployment, &tries.settings);
        tries.caches.iter().any(|kv| {
            deployment.kv = *kv;
            found.considered += 1;
            Account::with(&deployment, &tries.settings, &placed).free(Load::of(&deployment)) >= Bytes::ZERO
        })
    }

    /// The deployment of a layout with the first cache format, if the engine can run it. What it
    /// offers it runs with every cache format it offers.
    fn runnable<'a>(&'a self, tries: &Tries, offer: &'a Offer, layout: &Layout) -> Option<Deployment<'a>> {
        let settings = &tries.settings;
        let mut deployment = self.deployment(settings.engine, settings, &offer.weights, layout.clone());
        deployment.kv = *tries.caches.first()?;
        legal(&deployment).is_ok().then_some(deployment)
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
        tries: &Tries,
        offer: &Offer,
        layout: &Layout,
        nearest: &mut Option<Miss>,
        found: &mut Found,
    ) -> Option<Candidate> {
        let mut deployment = self.runnable(tries, offer, layout)?;
        let placed = Placed::of(&deployment, &tries.settings);
        // The shortfall that counts is that of the accelerators alone, where there are any.
        let helped = deployment.placement.offload != Offload::None && self.machine.device_count() > 0;
        for kv in &tries.caches {
            deployment.kv = *kv;
            found.considered += 1;
            let account = Account::with(&deployment, &tries.settings, &placed);
            let load = Load::of(&deployment);
            let short = Bytes::ZERO - account.free(load);
            if short <= Bytes::ZERO {
                return candidate(self, &deployment, &account, offer);
            }
            if helped || nearest.as_ref().is_some_and(|miss| miss.short_bytes <= short) {
                continue;
            }
            let ledger = account.ledger(load);
            let Some(worst) = ledger.worst() else { continue };
            *nearest = Some(Miss {
                model: self.model.spec.id.clone(),
                format: offer.weights.scheme.clone(),
                weights_bytes: offer.weights.total(),
                layout: name::words(&deployment.placement, deployment.engine),
                engine: deployment.engine,
                short_bytes: Bytes::ZERO - worst.free(),
                device: worst.name.clone(),
                devices_short: worst.devices,
                remedies: Vec::new(),
            });
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
