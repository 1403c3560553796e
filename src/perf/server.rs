//! One stage of a serving engine on datacenter accelerators, operator by operator.
//!
//! Decode replays a captured graph: products, attention, experts, collectives, the small kernels of
//! each layer, the host's work per step and sequence. Prefill launches eagerly: device time and
//! launches overlap, `t = (device³ + host³)^(1/3)`. Attention-DP divides the sequences over groups
//! that run in lock-step.

use super::attention::Attention;
use super::class::Class;
use super::collective::{AllReduce, AllToAll};
use super::constants::{Asked, Fetch, Kind, Missing};
use super::experts::GroupedExperts;
use super::gemm::{Gemm, Path};
use super::ops::{Load, Owner, Product};
use super::parts::{Cost, Parts};
use super::time::Limit;
use crate::arithmetic::kv::KvFormat;
use crate::catalogue::machine::{DeviceGroup, Machine};
use crate::perf::deployment::Placement;
use crate::units::math;

const US: f64 = 1e-6;
const MS: f64 = 1e-3;

/// A product with the constants of its path.
#[derive(Clone, Copy, Debug)]
struct Multiplied {
    product: Product,
    gemm: Gemm,
}

/// Bases of the parts.
#[derive(Clone, Debug, Default)]
struct Bases {
    products: String,
    attention: String,
    experts: String,
    collectives: String,
    host: String,
}

/// A stage with its constants resolved.
#[derive(Clone, Debug)]
pub(super) struct ServerStage<'a> {
    load: Load<'a>,
    products: Vec<Multiplied>,
    experts: Vec<(GroupedExperts, Option<AllToAll>)>,
    attention: Vec<Attention>,
    all_reduce: Option<AllReduce>,
    /// Groups of attention that share the sequences.
    dp: f64,
    small: f64,
    step: f64,
    sequence: f64,
    /// Seconds of eager launches of all layers.
    host: f64,
    hyper: (f64, f64),
    decode_factor: f64,
    prefill_factor: f64,
    bases: Bases,
}

impl<'a> ServerStage<'a> {
    /// Resolves the constants of a stage.
    pub(super) fn new(
        load: Load<'a>,
        machine: &Machine,
        group: &DeviceGroup,
        placement: Placement,
        kv: KvFormat,
        fetch: &mut Fetch,
        tuned: bool,
    ) -> Result<Self, Missing> {
        let moe = load.expert_layers() > 0.0;
        let mut products = Vec::with_capacity(load.products.len());
        for product in &load.products {
            // The router is part of the fixed time of experts, mixing of streams has its own.
            if matches!(product.owner, Owner::Router | Owner::Hyper) {
                continue;
            }
            let gemm = Gemm::new(Path::of(product.kind, group), group, moe, fetch)?;
            products.push(Multiplied { product: *product, gemm });
        }
        let mut bases = Bases { products: fetch.basis(), ..Bases::default() };
        let attention = load
            .mixers
            .iter()
            .map(|mixer| Attention::new(mixer, group, kv, fetch))
            .collect::<Result<_, _>>()?;
        let hyper = if load.hyper_layers > 0.0 {
            (fetch.get("hyper_fixed")? * US, fetch.get("hyper_per_token")? * 1e-9)
        } else {
            (0.0, 0.0)
        };
        bases.attention = fetch.basis();
        let ranks = placement.expert_ranks();
        let mut experts = Vec::with_capacity(load.experts.len());
        for shape in &load.experts {
            let grouped = GroupedExperts::new(
                *shape,
                group,
                (f64::from(ranks), placement.expert_parallel),
                tuned,
                fetch,
            )?;
            let exchange = if placement.dp > 1 {
                Some(AllToAll::new(machine, group, ranks, (shape.inner, shape.active), fetch)?)
            } else {
                None
            };
            experts.push((grouped, exchange));
        }
        bases.experts = fetch.basis();
        let all_reduce = AllReduce::new(machine, group, placement.tp, fetch)?;
        bases.collectives = fetch.basis();

        let dense_layers = load.layers - load.expert_layers();
        // Latent attention launches about twice the kernels.
        let latent = load.mixers.iter().any(|mixer| mixer.head == Kind::Mla);
        let weight = if latent { 2.0 } else { 1.0 };
        let mut host = dense_layers * fetch.of("host_layer", Kind::Dense)?;
        if moe {
            host += load.expert_layers() * fetch.of("host_layer", Kind::Moe)? * weight;
        }
        let mut beside = Fetch::new(Asked { class: Class::of_host(machine.host()), ..fetch.asked });
        let host = host * fetch.get("eager")? * beside.get("eager_host")? * MS;
        let lock_step = if placement.dp > 1 { fetch.get("lock_step")? } else { 1.0 };
        let (small, step, sequence) =
            (fetch.get("small")? * US, fetch.get("step")? * MS, fetch.get("sequence")? * US);
        let (decode_factor, prefill_factor) =
            (fetch.get("decode_factor")? * lock_step, fetch.get("prefill_factor")?);
        bases.host = fetch.basis();
        Ok(Self {
            dp: f64::from(placement.dp),
            load,
            products,
            experts,
            attention,
            all_reduce,
            small,
            step,
            sequence,
            host,
            hyper,
            decode_factor,
            prefill_factor,
            bases,
        })
    }

    /// Host work of a step that only one stage of a pipeline pays.
    pub(super) fn host_step(&self, sequences: f64, parts: &mut Parts) {
        let time = self.step + self.sequence * (sequences / self.dp).ceil();
        parts.add("scheduling", 0.0, Limit::Overhead, Cost::fixed(time), &self.bases.host);
    }

    /// One token for each of `sequences` at `depth`.
    pub(super) fn decode(&self, sequences: f64, depth: u64, parts: &mut Parts) {
        let mut device = Parts::default();
        let local = (sequences / self.dp).ceil();
        for (mixer, attention) in self.load.mixers.iter().zip(&self.attention) {
            let (cost, reading) = attention.decode(mixer, self.load.hidden, local, depth);
            let limit = if reading { Limit::Memory } else { Limit::Overhead };
            device.add("attention", mixer.layers, limit, cost.times(mixer.layers), &self.bases.attention);
        }
        let whole = self.attention.iter().any(Attention::decodes_whole);
        self.step_products(local, local, whole, &mut device);
        self.step_experts(sequences, local, true, &mut device);
        let small = Cost::fixed(self.small * self.load.layers);
        device.add("small kernels", self.load.layers, Limit::Overhead, small, &self.bases.host);
        device.scale(self.decode_factor);
        parts.beyond(device);
    }

    /// `new` tokens for each of `sequences` after `depth`, in one step.
    pub(super) fn prefill(&self, sequences: f64, new: u64, depth: u64, parts: &mut Parts) {
        let mut device = Parts::default();
        let local = (sequences / self.dp).ceil();
        let tokens = local * new as f64;
        for (mixer, attention) in self.load.mixers.iter().zip(&self.attention) {
            let cost = attention.prefill(mixer, self.load.hidden, (local, new, depth)).times(mixer.layers);
            device.add("attention", mixer.layers, Limit::Compute, cost, &self.bases.attention);
        }
        let whole = self.attention.iter().any(Attention::prefills_whole);
        self.step_products(tokens, local, whole, &mut device);
        self.step_experts(sequences * new as f64, tokens, false, &mut device);
        device.scale(self.prefill_factor);
        // What launches add beyond the device: the cubic mean has a soft corner where both meet.
        let gpu = device.total();
        let both = math::pow(gpu * gpu * gpu + self.host * self.host * self.host, 1.0 / 3.0);
        parts.beyond(device);
        parts.add(
            "eager launches",
            self.load.layers,
            Limit::Overhead,
            Cost::fixed(both - gpu),
            &self.bases.host,
        );
    }

    /// Products outside routed experts, mixing of streams, all-reduces.
    fn step_products(&self, tokens: f64, finishing: f64, whole: bool, parts: &mut Parts) {
        for Multiplied { product, gemm } in &self.products {
            let (label, rows) = match product.owner {
                Owner::Attention if whole => continue,
                Owner::Attention | Owner::Linear => ("attention projections", tokens),
                Owner::Dense => ("dense feed-forward", tokens),
                Owner::Shared => ("shared experts", tokens),
                Owner::Head => ("output matrix", finishing),
                Owner::Router | Owner::Hyper | Owner::Other => ("other products", tokens),
            };
            let (cost, computing) = gemm.cost(rows, product.inputs, product.outputs, product.bytes);
            let limit = if computing { Limit::Compute } else { Limit::Memory };
            parts.also(label, product.layers, limit, cost.times(product.layers), &self.bases.products);
        }
        if self.load.hyper_layers > 0.0 {
            let cost = Cost::fixed((self.hyper.0 + self.hyper.1 * tokens) * self.load.hyper_layers);
            parts.add("residual streams", self.load.hyper_layers, Limit::Memory, cost, &self.bases.attention);
        }
        if let Some(all_reduce) = &self.all_reduce {
            // One after attention, one after the feed-forward; experts over all groups exchange instead.
            let exchanged: f64 = self
                .experts
                .iter()
                .filter(|(_, exchange)| exchange.is_some())
                .map(|(e, _)| e.load.layers)
                .sum();
            let count = 2.0 * self.load.layers - exchanged;
            let cost = all_reduce.cost(tokens * self.load.hidden as f64 * 2.0).times(count);
            parts.add("all-reduce", self.load.layers, Limit::Link, cost, &self.bases.collectives);
        }
    }

    /// Routed experts over the tokens of all groups, and their exchange.
    fn step_experts(&self, tokens: f64, local: f64, decoding: bool, parts: &mut Parts) {
        for (experts, exchange) in &self.experts {
            let layers = experts.load.layers;
            let (cost, computing) = experts.cost(tokens);
            let limit = if computing { Limit::Compute } else { Limit::Memory };
            let factor = if decoding { experts.decode_factor } else { 1.0 };
            let cost = Cost { time: cost.time * factor, ..cost };
            parts.add("experts", layers, limit, cost.times(layers), &self.bases.experts);
            if let Some(exchange) = exchange {
                let cost = exchange.cost(local).times(layers);
                parts.add("expert exchange", layers, Limit::Link, cost, &self.bases.experts);
            }
        }
    }
}
