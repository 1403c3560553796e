//! The tables as one stage of a server asks them: its products, attention, experts, collectives.
//!
//! A time is taken where it was measured, lies between measured points, or is scaled by at most
//! [`FARTHEST`]; elsewhere the fitted curve stays. Two kinds of tables are told apart first:
//!
//! - *Launched one by one.* Some products were timed with the host's launch (55 to 150 us for a
//!   block-scaled product of vLLM). Where the least time of a format is more than [`EAGER`] times the
//!   fixed time of the curve, only times of more than twice the least one say anything of the kernel.
//!   From others nothing is subtracted: their least times, 2 to 12 us, are those of captured graphs.
//! - *Routing.* Tables hold three kinds; even routing is nearest to the random prompts of benchmarks.

use super::exchange::{Collective, Direction, Exchange, Launch, Way};
use super::module::{Modular, Module};
use super::{Basis as Grade, Cache, DeviceTables, Experts, Format, Heads, Operators, Routing, Timing};
use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::tensor::Role;
use crate::catalogue::machine::DeviceGroup;
use crate::catalogue::model::{Block, GroupedAttention};
use crate::perf::class::Class;
use crate::perf::collective::Fabric;
use crate::perf::constants::{Basis, Kind};
use crate::perf::deployment::{Deployment, Engine};
use crate::perf::mixer::Mixer;
use crate::perf::ops::{ExpertLoad, Owner, Product};
use crate::perf::stage::{Attended, Forward, Rows};
use std::sync::Arc;

/// Work over that of the nearest point, or its inverse, beyond which a time is no answer.
const FARTHEST: f64 = 2.0;
/// Least time of a format over the fixed time of the curve that tells eager launches.
const EAGER: f64 = 4.0;
/// Matrices of a gated expert; tables hold no others.
const GATED: f64 = 3.0;

/// The tables of the device and engine of a stage.
#[derive(Clone, Debug)]
pub(in crate::perf) struct StageTables {
    tables: Arc<DeviceTables>,
    name: String,
    bases: Bases,
    engine: Engine,
    /// Whether the device multiplies 4-bit floats.
    narrow: bool,
    /// The type of the cache, where tables know it.
    cache: Option<Cache>,
    /// The weights of attention.
    attention: Kind,
    attention_stored: &'static str,
    tp: f64,
    /// Ranks that share the experts, if whole ones.
    ranks: f64,
    whole_experts: bool,
    /// Whether the ranks of a tensor group are joined as those measured.
    joined: bool,
}

/// What each operator rests on.
#[derive(Clone, Debug, Default)]
struct Bases {
    products: Basis,
    attention: Basis,
    modules: Basis,
    experts: Basis,
    collectives: Basis,
    exchanges: Basis,
}

impl StageTables {
    /// The tables of a stage, where its device and engine were measured.
    pub(in crate::perf) fn of(
        operators: &Operators,
        deployment: &Deployment<'_>,
        group: &DeviceGroup,
    ) -> Option<Self> {
        let tables = Arc::clone(operators.tables(&group.id, deployment.engine)?);
        let name = format!("{}/{}", tables.system, tables.framework);
        let basis = |version: &str| -> Basis {
            Some(format!("operator table: {name}/{version}, interpolated").into())
        };
        let versions = &tables.versions;
        let placement = deployment.placement;
        let fabric = Fabric::of(deployment.machine, group, placement.tp);
        let mut entries = deployment.weights.entries.iter();
        let attention = entries
            .find(|entry| matches!(entry.tensor.role, Role::AttentionOut | Role::OutDown))
            .map(|entry| entry.stored);
        Some(Self {
            bases: Bases {
                products: basis(&versions.products),
                attention: basis(&versions.attention),
                modules: basis(&versions.modules),
                experts: basis(&versions.experts),
                collectives: basis(&versions.collectives),
                exchanges: basis(&versions.exchanges),
            },
            name,
            engine: deployment.engine,
            narrow: matches!(
                Class::of(&group.accelerator),
                Class::BlackwellDc | Class::Gb300 | Class::Blackwell
            ),
            cache: match deployment.kv {
                KvFormat::F16 => Some(Cache::Bf16),
                KvFormat::Fp8 => Some(Cache::Fp8),
                _ => None,
            },
            attention: attention.map_or(Kind::Bf16, Kind::of),
            attention_stored: attention.map_or("bf16", |stored| stored.name),
            tp: f64::from(placement.tp),
            ranks: f64::from(placement.expert_ranks()),
            whole_experts: placement.expert_parallel,
            joined: matches!(fabric, Fabric::Switched | Fabric::Pcie),
            tables,
        })
    }

    /// The system and framework they are of.
    pub(in crate::perf) fn name(&self) -> &str {
        &self.name
    }

    /// What a part they answer rests on, by its label.
    pub(in crate::perf) fn basis(&self, label: &str) -> &Basis {
        match label {
            "attention" => &self.bases.attention,
            "attention module" => &self.bases.modules,
            "experts" => &self.bases.experts,
            "all-reduce" => &self.bases.collectives,
            "expert exchange" => &self.bases.exchanges,
            _ => &self.bases.products,
        }
    }

    /// The formats that may stand for a stored one, best first.
    fn formats(&self, kind: Kind, stored: &str) -> &'static [Format] {
        match kind {
            Kind::F16 | Kind::Bf16 => &[Format::Bf16],
            // These come with a scale per block of 128 x 128 (formats.toml).
            Kind::Fp8 if matches!(stored, "fp8" | "fp8-e8m0") => &[Format::Fp8Block, Format::Fp8],
            Kind::Fp8 => &[Format::Fp8, Format::Fp8Block],
            Kind::Fp4 if stored.starts_with("nvfp4") => &[Format::Nvfp4],
            Kind::Fp4 if self.narrow => &[Format::Mxfp4Fp8, Format::Mxfp4WeightOnly],
            Kind::Fp4 => &[Format::Mxfp4WeightOnly],
            Kind::Int4 => &[Format::Int4WeightOnly],
            _ => &[],
        }
    }

    /// Seconds of a product of so many rows, where the curve has `fixed` seconds of its own.
    pub(in crate::perf) fn product(&self, product: &Product, rows: f64, fixed: f64) -> Option<f64> {
        if matches!(product.owner, Owner::Router | Owner::Hyper | Owner::Other) {
            return None;
        }
        self.formats(product.kind, product.stored).iter().find_map(|format| {
            let timing = self.tables.gemm(*format, rows, product.outputs, product.inputs)?;
            let launch = self.tables.gemm_launch(*format)?;
            let hidden = launch > EAGER * fixed && timing.seconds < 2.0 * launch;
            near(timing).filter(|_| !hidden)
        })
    }

    /// Seconds of attention of one layer of each mixer. Latent attention is answered for all of its
    /// mixers or none: the products that a module includes are not told apart by mixer.
    pub(in crate::perf) fn attention(&self, mixers: &[Mixer<'_>], hidden: u64, step: Forward) -> Attended {
        let mut attended = Attended { times: vec![None; mixers.len()], whole: None };
        let Some(cache) = self.cache else { return attended };
        for (time, mixer) in attended.times.iter_mut().zip(mixers) {
            if let Block::Grouped(grouped) = mixer.block {
                *time = self.grouped(grouped, mixer, cache, step);
            }
        }
        let latent: Vec<usize> = (0..mixers.len()).filter(|at| family(mixers[*at].block).is_some()).collect();
        for whole in [true, false] {
            let answers: Option<Vec<f64>> =
                latent.iter().map(|at| self.latent(&mixers[*at], hidden, cache, step, whole)).collect();
            if let Some(answers) = answers.filter(|answers| !answers.is_empty()) {
                for (at, answer) in latent.iter().zip(answers) {
                    attended.times[*at] = Some(answer);
                }
                attended.whole = Some(whole);
                break;
            }
        }
        attended
    }

    fn grouped(
        &self,
        grouped: &GroupedAttention,
        mixer: &Mixer<'_>,
        cache: Cache,
        step: Forward,
    ) -> Option<f64> {
        if grouped.blocks.is_some() || grouped.cross {
            return None;
        }
        let heads = Heads {
            query: mixer.heads,
            kv: (grouped.kv_heads.get() as f64 / self.tp).max(1.0),
            size: grouped.head_dim.get() as f64,
            window: grouped.window.map(|window| window.get() as f64),
            cache,
            multiplied: if self.engine == Engine::TensorRtLlm { cache } else { Cache::Bf16 },
        };
        near(match step {
            // Drafted tokens of a sequence share what they read.
            Forward::Decode { rows, depth } => {
                self.tables.attention_decode(&heads, rows.sequences, (depth + 1) as f64)?
            }
            Forward::Prefill { sequences, new, depth } => {
                self.tables.attention_prefill(&heads, sequences, new as f64, depth as f64)?
            }
        })
    }

    /// Latent attention as a whole module, or as the kernel between its products.
    fn latent(
        &self,
        mixer: &Mixer<'_>,
        hidden: u64,
        cache: Cache,
        step: Forward,
        whole: bool,
    ) -> Option<f64> {
        let module = match (family(mixer.block)?, whole) {
            (module, true) => module,
            (Module::Latent, false) => Module::LatentKernel,
            (_, false) => return None,
        };
        self.formats(self.attention, self.attention_stored).iter().find_map(|weights| {
            let asked =
                Modular { module, hidden: hidden as f64, heads: mixer.heads, weights: *weights, cache };
            near(match step {
                // How a module takes several tokens of a sequence was not measured.
                Forward::Decode { rows: Rows { sequences, each }, depth } if each <= 1.0 => {
                    self.tables.module_decode(&asked, sequences, (depth + 1) as f64)?
                }
                Forward::Decode { .. } => return None,
                Forward::Prefill { sequences, new, depth } => {
                    self.tables.module_prefill(&asked, sequences, new as f64, depth as f64)?
                }
            })
        })
    }

    /// Seconds of a layer of routed experts for the tokens of all ranks.
    pub(in crate::perf) fn experts(&self, load: &ExpertLoad, tokens: f64) -> Option<f64> {
        let matrices = load.weights / (load.inner * load.width);
        if (matrices / GATED - 1.0).abs() > 0.05 {
            return None;
        }
        let (ep, tp) = if self.whole_experts { (self.ranks, 1.0) } else { (1.0, self.ranks) };
        self.formats(load.kind, load.stored).iter().find_map(|format| {
            let experts = Experts {
                format: *format,
                routing: Routing::Even,
                hidden: load.inner,
                inner: load.width,
                count: load.count,
                active: load.active,
                tp,
                ep,
            };
            near(self.tables.experts(&experts, tokens)?)
        })
    }

    /// Seconds of an all-reduce of so many bytes within a tensor group. Launches of prefill are
    /// counted beside, so that both phases take the time in a captured graph.
    pub(in crate::perf) fn all_reduce(&self, bytes: f64) -> Option<f64> {
        if !self.joined {
            return None;
        }
        near(self.tables.collective(Collective::AllReduce, Launch::Graph, self.tp, bytes)?)
    }

    /// Seconds of both directions of the exchange between whole experts, with `tokens` on each rank.
    pub(in crate::perf) fn exchange(&self, load: &ExpertLoad, tokens: f64, decoding: bool) -> Option<f64> {
        if !self.whole_experts {
            return None;
        }
        let way = match (self.engine, decoding) {
            (Engine::TensorRtLlm, _) => Way::Direct,
            (_, true) => Way::Latency,
            (_, false) => Way::Throughput,
        };
        let one = |direction, format| {
            let sent = Exchange {
                way,
                direction,
                format,
                ep: self.ranks,
                hidden: load.inner,
                active: load.active,
                count: load.count,
            };
            near(self.tables.exchange(&sent, tokens)?)
        };
        Some(one(Direction::Dispatch, Format::Fp8)? + one(Direction::Combine, Format::Bf16)?)
    }
}

/// The seconds of an answer that is near enough.
fn near(timing: Timing) -> Option<f64> {
    match timing.basis {
        Grade::Measured | Grade::Interpolated => Some(timing.seconds),
        Grade::Extrapolated { reach } => (reach <= FARTHEST).then_some(timing.seconds),
    }
}

/// The family of latent and compressed attention; `None` for any other block.
fn family(block: &Block) -> Option<Module> {
    match block {
        Block::Latent(latent) => Some(match &latent.indexer {
            None => Module::Latent,
            Some(indexer) if indexer.shared => Module::IndexShared,
            Some(_) => Module::Indexed,
        }),
        Block::Compressed(compressed) if compressed.indexer.is_some() => Some(Module::Compressed),
        // A layer with nothing but its window is one whose compressed entries are few.
        Block::Compressed(_) => Some(Module::HeavilyCompressed),
        _ => None,
    }
}
