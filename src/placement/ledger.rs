//! The memory ledger: what every kind of rank holds, line by line, and what is left.
//!
//! `free = room − Σ lines`, where `room` is what the driver offers less what others use. A negative
//! `free` is the shortfall. The rules of a line are code, one file per engine; the constants they
//! use are data with sources.

use crate::fact::Origin;
use crate::perf::deployment::Deployment;
use crate::placement::account::Account;
use crate::placement::seat::Load;
use crate::placement::settings::Settings;
use crate::units::Bytes;
use crate::words;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

words! {
    /// What memory is used for.
    pub enum LedgerKind ("ledger kind") {
        /// Weights.
        Weights = "weights",
        /// Keys and values, latents, index keys.
        Cache = "kv cache",
        /// Recurrent and compressor state.
        State = "recurrent state",
        /// Activations, compute buffers, logits.
        Activations = "activations",
        /// Captured kernel graphs.
        Graphs = "graphs",
        /// Buffers of collectives.
        Communication = "communication",
        /// Driver context, libraries, allocator.
        Runtime = "runtime",
        /// Kept free on purpose.
        Reserve = "reserve",
    }
}

/// One use of memory on a rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Line {
    /// What it is used for.
    pub kind: LedgerKind,
    /// How much.
    pub bytes: Bytes,
    /// The formula in words.
    pub rule: Cow<'static, str>,
    /// Where the constants of the formula come from.
    pub origin: Origin,
}

/// The account of one kind of rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RankLedger {
    /// `stage 1 of 4: rtx-3090`, or `host`.
    pub name: String,
    /// Devices (or hosts) this account stands for.
    pub devices: u32,
    /// What the driver or the system offers.
    pub capacity: Bytes,
    /// What others already use.
    pub in_use: Bytes,
    /// Uses, in the order of [`LedgerKind`].
    pub lines: Vec<Line>,
}

impl RankLedger {
    /// Capacity less what others use.
    pub fn room(&self) -> Bytes {
        self.capacity - self.in_use
    }

    /// Sum of the lines.
    pub fn used(&self) -> Bytes {
        self.lines.iter().map(|line| line.bytes).sum()
    }

    /// What is left; negative is the shortfall.
    pub fn free(&self) -> Bytes {
        self.room() - self.used()
    }

    /// Bytes of one kind.
    pub fn of(&self, kind: LedgerKind) -> Bytes {
        self.lines.iter().filter(|line| line.kind == kind).map(|line| line.bytes).sum()
    }
}

/// The account of a deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Ledger {
    /// Sequences the caches hold, over one replica.
    pub sequences: u64,
    /// Copies of the whole deployment.
    pub replicas: u32,
    /// One per kind of rank: every stage has its own.
    pub ranks: Vec<RankLedger>,
    /// Memory of the host, per node; absent where devices and host share one pool and the ranks
    /// carry its lines.
    pub host: Option<RankLedger>,
}

impl Ledger {
    /// The account of a deployment as its engine starts it by default.
    pub fn of(deployment: &Deployment<'_>) -> Self {
        let settings = Settings::for_deployment(deployment);
        Account::new(deployment, &settings).ledger(Load::of(deployment))
    }

    /// Cache and state of one sequence over all devices of one replica and the host.
    pub fn cache_per_session(&self) -> Bytes {
        let kinds = [LedgerKind::Cache, LedgerKind::State];
        let all: Bytes = kinds.into_iter().map(|kind| self.total(kind)).sum();
        all / (self.sequences.max(1) as f64 * f64::from(self.replicas.max(1)))
    }

    /// All accounts, the host last.
    pub fn accounts(&self) -> impl Iterator<Item = &RankLedger> {
        self.ranks.iter().chain(&self.host)
    }

    /// The account with the least left.
    pub fn worst(&self) -> Option<&RankLedger> {
        self.accounts().min_by(|a, b| a.free().get().total_cmp(&b.free().get()))
    }

    /// Bytes of one kind over all devices and the host.
    pub fn total(&self, kind: LedgerKind) -> Bytes {
        self.accounts().map(|rank| rank.of(kind) * f64::from(rank.devices)).sum()
    }
}

impl Load {
    /// What the deployment is set up for.
    pub fn of(deployment: &Deployment<'_>) -> Self {
        Self { sequences: deployment.batching.sequences, context: deployment.batching.context }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::tensor::Shard;
    use crate::arithmetic::weights::Entry;
    use crate::perf::deployment::{Engine, Offload, Placement};
    use crate::placement::fixtures::{bf16, deployment, gemma_12b, kimi_k2, llama_8b, machine, qwen3_next};
    use proptest::prelude::*;

    const ENGINES: [Engine; 6] = [
        Engine::LlamaCpp,
        Engine::IkLlamaCpp,
        Engine::Vllm,
        Engine::Sglang,
        Engine::TensorRtLlm,
        Engine::KTransformers,
    ];

    #[test]
    fn an_account_by_hand() {
        // Llama-3.1-8B in 16 bit on one 24 GiB card with llama.cpp at 4096 tokens: the output and
        // layers on the card, the embedding (128,256 · 4096 · 2 B) on the host.
        let (model, machine) = (llama_8b(), machine("nvidia", Bytes::gib(24.0), 1));
        let weights = bf16(&model);
        let asked = deployment(&model, &weights, &machine, Engine::LlamaCpp, Placement::ONE);
        let ledger = Ledger::of(&asked);
        let embedding = Bytes::new(128_256.0 * 4096.0 * 2.0);
        let (rank, host) = (&ledger.ranks[0], ledger.host.as_ref().unwrap());
        assert_eq!(rank.of(LedgerKind::Weights), weights.total() - embedding);
        assert_eq!(rank.of(LedgerKind::Cache), Bytes::mib(512.0));
        assert_eq!(rank.of(LedgerKind::Runtime), Bytes::mib(457.0));
        assert_eq!(host.of(LedgerKind::Weights), embedding);
        let read: Ledger = serde_json::from_str(&serde_json::to_string(&ledger).unwrap()).unwrap();
        assert_eq!(read, ledger);
    }

    #[test]
    fn a_tied_embedding_is_output_matrix_on_the_device_as_well() {
        let (model, machine) = (gemma_12b(), machine("nvidia", Bytes::gib(32.0), 1));
        let weights = bf16(&model);
        let on = |engine| {
            let asked = deployment(&model, &weights, &machine, engine, Placement::ONE);
            Ledger::of(&asked).total(LedgerKind::Weights)
        };
        assert_eq!(on(Engine::Vllm), weights.total());
        let table = Bytes::new(262_208.0 * 3840.0 * 2.0);
        assert_eq!(on(Engine::LlamaCpp), weights.total() + table);
    }

    #[test]
    fn experts_in_host_memory_leave_the_device() {
        let (model, machine) = (kimi_k2(), machine("nvidia", Bytes::gib(96.0), 1));
        let weights = bf16(&model);
        let on_host = |layers| {
            let placement = Placement { offload: Offload::Experts(layers), ..Placement::ONE };
            let asked = deployment(&model, &weights, &machine, Engine::KTransformers, placement);
            Ledger::of(&asked).host.unwrap().of(LedgerKind::Weights)
        };
        // 384 experts of 3 · 7168 · 2048 weights; the first layer has none.
        let layer = 384.0 * 3.0 * 7168.0 * 2048.0 * 2.0;
        assert_eq!(on_host(1), Bytes::new(layer));
        assert_eq!(on_host(60), Bytes::new(60.0 * layer));
    }

    #[test]
    fn one_evaluation_is_microseconds() {
        let (model, machine) = (kimi_k2(), machine("nvidia", Bytes::gib(141.0), 8));
        let weights = bf16(&model);
        let placement = Placement { tp: 8, ..Placement::ONE };
        let asked = deployment(&model, &weights, &machine, Engine::Vllm, placement);
        let start = std::time::Instant::now();
        for _ in 0..1000 {
            std::hint::black_box(Ledger::of(&asked));
        }
        // Unoptimised builds take about 20 times as long as released ones.
        assert!(start.elapsed().as_micros() < 1000 * 500, "{:?}", start.elapsed());
    }

    /// Weights as divided over ranks hold every tensor `copies` times and none is lost.
    fn conserved(entries: &[Entry], placement: Placement) -> f64 {
        let ranks = f64::from(placement.tp * placement.dp);
        let (tp, dp) = (f64::from(placement.tp), f64::from(placement.dp));
        let copies = |entry: &Entry| match entry.tensor.shard {
            Shard::Replicated => ranks,
            Shard::Split => dp,
            Shard::KvHeads(heads) => dp * (tp / heads as f64).max(1.0),
            Shard::Expert => 1.0,
        };
        entries.iter().map(|entry| entry.bytes().get() * copies(entry)).sum()
    }

    proptest! {
        #[test]
        fn division_conserves_bytes(tp in 0u32..4, dp in 0u32..3, pp in 1u32..5, whole in any::<bool>()) {
            let placement = Placement { tp: 1 << tp, dp: 1 << dp, pp, expert_parallel: whole, ..Placement::ONE };
            let (model, machine) = (kimi_k2(), machine("nvidia", Bytes::gib(141.0), 64));
            let weights = bf16(&model);
            let asked = deployment(&model, &weights, &machine, Engine::Vllm, placement);
            let total = Ledger::of(&asked).total(LedgerKind::Weights).get();
            let expected = conserved(&weights.entries, placement);
            prop_assert!((total / expected - 1.0).abs() < 1e-9, "{total} {expected}");
        }

        #[test]
        fn offload_conserves_bytes(layers in 0u32..=48, experts in any::<bool>(), pp in 1u32..4) {
            let (model, machine) = (qwen3_next(), machine("nvidia", Bytes::gib(80.0), 4));
            let weights = bf16(&model);
            let offload = if experts { Offload::Experts(layers) } else { Offload::Layers(layers) };
            let placement = Placement { pp, offload, ..Placement::ONE };
            let mut asked = deployment(&model, &weights, &machine, Engine::LlamaCpp, placement);
            if !experts {
                for stage in &mut asked.stages {
                    stage.layers = stage.layers.start.max(layers)..stage.layers.end.max(layers);
                }
            }
            let total = Ledger::of(&asked).total(LedgerKind::Weights).get();
            prop_assert!((total / weights.total().get() - 1.0).abs() < 1e-9);
        }

        #[test]
        fn more_never_needs_less(
            which in 0usize..4,
            engine in 0usize..ENGINES.len(),
            context in 1u64..200_000,
            sequences in 1u64..300,
            more in 1u64..50_000,
            tp in 0u32..4,
        ) {
            let model = [llama_8b, kimi_k2, gemma_12b, qwen3_next][which]();
            let (weights, machine) = (bf16(&model), machine("nvidia", Bytes::gib(141.0), 8));
            let placement = Placement { tp: 1 << tp, ..Placement::ONE };
            let asked = deployment(&model, &weights, &machine, ENGINES[engine], placement);
            let settings = Settings::of(asked.engine);
            let account = Account::new(&asked, &settings);
            let load = Load { sequences, context };
            let free = account.free(load);
            let longer = account.free(Load { context: context + more, ..load });
            let wider = account.free(Load { sequences: sequences + more, ..load });
            prop_assert!(longer <= free && wider <= free, "{longer} {wider} {free}");
        }

        #[test]
        fn the_quick_answer_is_the_full_one(which in 0usize..4, engine in 0usize..ENGINES.len(), context in 1u64..100_000) {
            let model = [llama_8b, kimi_k2, gemma_12b, qwen3_next][which]();
            let (weights, machine) = (bf16(&model), machine("nvidia", Bytes::gib(141.0), 8));
            let asked = deployment(&model, &weights, &machine, ENGINES[engine], Placement { tp: 2, ..Placement::ONE });
            let settings = Settings::of(asked.engine);
            let account = Account::new(&asked, &settings);
            let load = Load { sequences: 4, context };
            let ledger = account.ledger(load);
            let full = ledger.worst().unwrap().free().get();
            prop_assert!((account.free(load).get() - full).abs() < 1.0);
        }
    }
}
