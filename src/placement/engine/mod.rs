//! The engines: what each allocates (rules, one file per engine) and with which constants (data,
//! one TOML file per engine).
//!
//! To add an engine, write both files and name them in [`rules()`] and [`facts()`].

use crate::arithmetic::inventory::Place;
use crate::arithmetic::weights::{Entry, Weights};
use crate::fact::Origin;
use crate::perf::deployment::Engine;
use crate::placement::ledger::{LedgerKind, Line};
use crate::placement::seat::{Load, Seat};
use crate::units::Bytes;
use std::borrow::Cow;

pub mod facts;
mod graph;
mod ktransformers;
pub mod llama_cpp;
mod mlx;
mod sglang;
mod tensorrt_llm;
pub mod vllm;

pub use facts::{EngineFacts, WeightSupport, facts, per_vendor};

/// Where a tensor lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// On the devices of its stage.
    Device,
    /// In host memory.
    Host,
    /// Not loaded.
    Nowhere,
}

/// What the constants of a charge rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The sizes of the weights.
    Weights,
    /// The shape of the model and the set-up alone.
    Arithmetic,
    /// Constants of the engine's file.
    Engine,
}

/// A line before it is written out.
#[derive(Clone, Copy, Debug)]
pub struct Charge {
    /// What it is used for.
    pub kind: LedgerKind,
    /// How much.
    pub bytes: Bytes,
    /// The formula in words.
    pub rule: &'static str,
    /// What its constants rest on.
    pub basis: Basis,
}

impl Charge {
    /// Weights.
    pub const fn weights(bytes: Bytes, rule: &'static str) -> Self {
        Self { kind: LedgerKind::Weights, bytes, rule, basis: Basis::Weights }
    }

    /// Something the shape and the set-up alone decide.
    pub const fn exact(kind: LedgerKind, bytes: Bytes, rule: &'static str) -> Self {
        Self { kind, bytes, rule, basis: Basis::Arithmetic }
    }

    /// Something a constant of the engine decides.
    pub const fn engine(kind: LedgerKind, bytes: Bytes, rule: &'static str) -> Self {
        Self { kind, bytes, rule, basis: Basis::Engine }
    }

    /// The line for the reader.
    pub fn line(&self, engine: &EngineFacts, weights: &Weights) -> Line {
        let origin = match self.basis {
            Basis::Weights => weights.origin.clone(),
            Basis::Arithmetic => Origin::Derived("shape of the model and the set-up".to_owned()),
            Basis::Engine => Origin::Catalogue(engine.source.clone()),
        };
        Line { kind: self.kind, bytes: self.bytes, rule: Cow::Borrowed(self.rule), origin }
    }
}

/// How an engine fills memory.
pub trait MemoryRules: Sync {
    /// Where a tensor lives; layers, experts and stages are placed by the deployment.
    fn home(&self, entry: &Entry, seat: &Seat<'_>) -> Home {
        match entry.place {
            Place::Prediction(_) if !seat.settings.prediction => Home::Nowhere,
            Place::Tower if !seat.settings.towers => Home::Nowhere,
            Place::Layers(_)
            | Place::Input
            | Place::Output
            | Place::Prediction(_)
            | Place::Tower
            | Place::Lookup => Home::Device,
        }
    }

    /// Whether the input embedding stays in host memory.
    fn keeps_input_on_host(&self) -> bool {
        false
    }

    /// Whether vision and audio towers are divided over tensor-parallel ranks.
    fn divides_towers(&self) -> bool {
        false
    }

    /// Ranks a divisible tensor that is no routed expert is divided over.
    fn split_ways(&self, _entry: &Entry, seat: &Seat<'_>) -> u64 {
        seat.tp()
    }

    /// Factor by which a tensor grows when kernels pad it.
    fn padding(&self, _entry: &Entry, _seat: &Seat<'_>) -> f64 {
        1.0
    }

    /// Everything on a rank beside its weights.
    fn charge(&self, seat: &Seat<'_>, load: Load, weights: Bytes, charges: &mut Vec<Charge>);

    /// Everything in host memory beside weights; the seat holds the layers the CPU runs.
    fn charge_host(&self, _seat: &Seat<'_>, _load: Load, _weights: Bytes, _charges: &mut Vec<Charge>) {}
}

/// The registry of rules.
pub fn rules(engine: Engine) -> &'static dyn MemoryRules {
    match engine {
        Engine::LlamaCpp => &llama_cpp::LlamaCpp { fork: false },
        Engine::IkLlamaCpp => &llama_cpp::LlamaCpp { fork: true },
        Engine::Vllm => &vllm::Vllm,
        // ATOM keeps the same kinds of reserves; its own are not published.
        Engine::Sglang | Engine::Atom => &sglang::Sglang,
        Engine::TensorRtLlm => &tensorrt_llm::TensorRtLlm,
        Engine::Mlx => &mlx::Mlx,
        Engine::KTransformers => &ktransformers::KTransformers,
    }
}
