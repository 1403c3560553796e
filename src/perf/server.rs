//! One stage of a serving engine on datacenter accelerators, operator by operator.
//!
//! Decode replays a captured graph: products, attention, experts, collectives, the small kernels of
//! each layer, the host's work per step and sequence. Prefill launches eagerly: device time and
//! launches overlap, `t = (device³ + host³)^(1/3)`. Attention-DP divides the sequences over groups
//! that run in lock-step.
//!
//! Where the user brought operator tables, their times replace those of the curves, operator by
//! operator. What was fitted to make the curves meet whole steps (`decode_factor`, `prefill_factor`,
//! the factors of experts) is not applied to them; fixed times of a step and lock-step are.

use super::attention::Attention;
use super::class::Class;
use super::collective::{AllReduce, AllToAll};
use super::constants::{Basis, Fetch, Kind, Missing, PerKind};
use super::experts::GroupedExperts;
use super::gemm::{Gemm, Path};
use super::operators::StageTables;
use super::ops::{Load, Owner, Product};
use super::parts::{Cost, Parts};
use super::stage::{Attended, Forward, Rows};
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
    products: Basis,
    attention: Basis,
    experts: Basis,
    collectives: Basis,
    host: Basis,
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
    /// What the slowest of several groups takes longer in decode.
    lock_step: f64,
    bases: Bases,
    tables: Option<StageTables>,
}

/// The device time of a step under construction: what curves say and what tables say.
struct Device {
    curves: Parts,
    tables: Option<Parts>,
}

impl Device {
    /// Adds operations of further layers; the time of a table replaces that of the curve.
    fn add(
        &mut self,
        label: &'static str,
        layers: f64,
        limit: Limit,
        cost: Cost,
        basis: &Basis,
        table: Tabled<'_>,
    ) {
        match table.zip(self.tables.as_mut()) {
            None => self.curves.add(label, layers, limit, cost.times(layers), basis),
            Some(((time, basis), parts)) => {
                parts.add(label, layers, limit, Cost { time, ..cost }.times(layers), basis);
            }
        }
    }

    /// Adds another operation of the same layers.
    fn also(
        &mut self,
        label: &'static str,
        layers: f64,
        limit: Limit,
        cost: Cost,
        basis: &Basis,
        table: Tabled<'_>,
    ) {
        match table.zip(self.tables.as_mut()) {
            None => self.curves.also(label, layers, limit, cost.times(layers), basis),
            Some(((time, basis), parts)) => {
                parts.also(label, layers, limit, Cost { time, ..cost }.times(layers), basis);
            }
        }
    }

    /// Both, the curves times what was fitted for them.
    fn finish(mut self, factor: f64) -> Parts {
        self.curves.scale(factor);
        if let Some(tables) = self.tables {
            self.curves.then(tables);
        }
        self.curves
    }
}

/// Seconds of one operation in a table with what it rests on, where there is one.
type Tabled<'t> = Option<(f64, &'t Basis)>;

impl<'a> ServerStage<'a> {
    /// Resolves the constants of a stage.
    pub(super) fn new(
        load: Load<'a>,
        machine: &Machine,
        group: &DeviceGroup,
        placement: Placement,
        kv: KvFormat,
        fetch: &mut Fetch<'_>,
        (tuned, tables): (bool, Option<StageTables>),
    ) -> Result<Self, Missing> {
        let moe = load.expert_layers() > 0.0;
        let (mut products, mut gemms) = (Vec::with_capacity(load.products.len()), PerKind::new());
        for product in &load.products {
            // The router is part of the fixed time of experts, mixing of streams has its own.
            if matches!(product.owner, Owner::Router | Owner::Hyper) {
                continue;
            }
            let new = || Gemm::new(Path::of(product.kind, group), group, moe, fetch);
            let gemm = gemms.of(product.kind, new)?;
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
        let mut beside = fetch.beside(Class::of_host(machine.host()));
        let host = host * fetch.get("eager")? * beside.get("eager_host")? * MS;
        let lock_step = if placement.dp > 1 { fetch.get("lock_step")? } else { 1.0 };
        let (small, step, sequence) =
            (fetch.get("small")? * US, fetch.get("step")? * MS, fetch.get("sequence")? * US);
        let (decode_factor, prefill_factor) = (fetch.get("decode_factor")?, fetch.get("prefill_factor")?);
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
            lock_step,
            bases,
            tables,
        })
    }

    /// The parts of a step that tables answer, by label, for what a plan asks: one stream, and a
    /// prompt that fills a step. The second list has those that curves answer.
    pub(super) fn tabled(&self, chunk: u64) -> Option<(Vec<&'static str>, Vec<&'static str>)> {
        self.tables.as_ref()?;
        let (mut tabled, mut fitted) = (Vec::new(), Vec::new());
        for decoding in [true, false] {
            let mut device = self.device(&Parts::listed());
            if decoding {
                self.decode_device(Rows::single(self.dp), 1024, &mut device);
            } else {
                self.prefill_device((1.0, chunk, 0), &mut device);
            }
            let labels = |parts: Parts| parts.finish().parts.into_iter().map(|part| part.label);
            tabled.extend(device.tables.into_iter().flat_map(labels));
            fitted.extend(labels(device.curves));
        }
        tabled.sort_unstable();
        tabled.dedup();
        fitted.sort_unstable();
        fitted.dedup();
        Some((tabled, fitted))
    }

    /// A step that keeps parts if the other does.
    fn device(&self, like: &Parts) -> Device {
        Device { curves: like.another(), tables: self.tables.as_ref().map(|_| like.another()) }
    }

    /// Host work of a step that only one stage of a pipeline pays.
    pub(super) fn host_step(&self, sequences: f64, parts: &mut Parts) {
        let time = self.step + self.sequence * (sequences / self.dp).max(1.0);
        parts.add("scheduling", 0.0, Limit::Overhead, Cost::fixed(time), &self.bases.host);
    }

    /// A step over sequences that have `depth` tokens cached.
    pub(super) fn decode(&self, rows: Rows, depth: u64, parts: &mut Parts) {
        let mut device = self.device(parts);
        self.decode_device(rows, depth, &mut device);
        let mut device = device.finish(self.decode_factor);
        device.scale(self.lock_step);
        parts.beyond(device);
    }

    fn decode_device(&self, rows: Rows, depth: u64, device: &mut Device) {
        let local = Rows { sequences: (rows.sequences / self.dp).max(1.0), ..rows };
        let tokens = local.total();
        let tabled = self.attended(Forward::Decode { rows: local, depth });
        for (at, (mixer, attention)) in self.load.mixers.iter().zip(&self.attention).enumerate() {
            let (cost, reading) = attention.decode(mixer, self.load.hidden, local, depth);
            let limit = if reading { Limit::Memory } else { Limit::Overhead };
            let table = self.mixed(&tabled, at);
            device.add("attention", mixer.layers, limit, cost, &self.bases.attention, table);
        }
        let fitted = self.attention.iter().any(Attention::decodes_whole);
        self.step_products(tokens, tokens, tabled.whole.unwrap_or(fitted), device);
        self.step_experts(rows.total(), tokens, true, device);
        let layers = self.load.layers;
        device.add("small kernels", layers, Limit::Overhead, Cost::fixed(self.small), &self.bases.host, None);
    }

    /// `new` tokens for each of `sequences` after `depth`, in one step.
    pub(super) fn prefill(&self, sequences: f64, new: u64, depth: u64, parts: &mut Parts) {
        let mut device = self.device(parts);
        self.prefill_device((sequences, new, depth), &mut device);
        let device = device.finish(self.prefill_factor);
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

    fn prefill_device(&self, (sequences, new, depth): (f64, u64, u64), device: &mut Device) {
        let local = (sequences / self.dp).max(1.0);
        let tokens = local * new as f64;
        let tabled = self.attended(Forward::Prefill { sequences: local, new, depth });
        for (at, (mixer, attention)) in self.load.mixers.iter().zip(&self.attention).enumerate() {
            let cost = attention.prefill(mixer, self.load.hidden, (local, new, depth));
            let table = self.mixed(&tabled, at);
            device.add("attention", mixer.layers, Limit::Compute, cost, &self.bases.attention, table);
        }
        let fitted = self.attention.iter().any(Attention::prefills_whole);
        self.step_products(tokens, local, tabled.whole.unwrap_or(fitted), device);
        self.step_experts(tokens * self.dp, tokens, false, device);
    }

    /// What tables know of the attention of a step.
    fn attended(&self, step: Forward) -> Attended {
        let tables = self.tables.as_ref();
        tables.map_or_else(Attended::default, |tables| {
            tables.attention(&self.load.mixers, self.load.hidden, step)
        })
    }

    /// The time of one mixer in tables.
    fn mixed(&self, tabled: &Attended, at: usize) -> Tabled<'_> {
        let latent = self.load.mixers[at].head == Kind::Mla;
        let label = if latent && tabled.whole == Some(true) { "attention module" } else { "attention" };
        let time = tabled.times.get(at).copied().flatten()?;
        Some((time, self.tables.as_ref()?.basis(label)))
    }

    /// What tables answer to a question, with the basis of a label.
    fn table(&self, label: &str, ask: impl Fn(&StageTables) -> Option<f64>) -> Tabled<'_> {
        let tables = self.tables.as_ref()?;
        Some((ask(tables)?, tables.basis(label)))
    }

    /// Products outside routed experts, mixing of streams, all-reduces.
    fn step_products(&self, tokens: f64, finishing: f64, whole: bool, device: &mut Device) {
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
            let table = self.table(label, |tables| tables.product(product, rows, gemm.fixed()));
            device.also(label, product.layers, limit, cost, &self.bases.products, table);
        }
        if self.load.hyper_layers > 0.0 {
            let cost = Cost::fixed(self.hyper.0 + self.hyper.1 * tokens);
            let layers = self.load.hyper_layers;
            device.add("residual streams", layers, Limit::Memory, cost, &self.bases.attention, None);
        }
        if let Some(all_reduce) = &self.all_reduce {
            // One after attention, one after the feed-forward; experts over all groups exchange instead.
            let exchanged: f64 = self
                .experts
                .iter()
                .filter(|(_, exchange)| exchange.is_some())
                .map(|(e, _)| e.load.layers)
                .sum();
            let each = 2.0 - exchanged / self.load.layers;
            let bytes = tokens * self.load.hidden as f64 * 2.0;
            let cost = all_reduce.cost(bytes).times(each);
            let table = self.table("all-reduce", |tables| Some(tables.all_reduce(bytes)? * each));
            device.add("all-reduce", self.load.layers, Limit::Link, cost, &self.bases.collectives, table);
        }
    }

    /// Routed experts over the tokens of all groups, and their exchange.
    fn step_experts(&self, tokens: f64, local: f64, decoding: bool, device: &mut Device) {
        for (experts, exchange) in &self.experts {
            let layers = experts.load.layers;
            let (cost, computing) = experts.cost(tokens);
            let limit = if computing { Limit::Compute } else { Limit::Memory };
            let factor = if decoding { experts.decode_factor } else { 1.0 };
            let cost = Cost { time: cost.time * factor, ..cost };
            let table = self.table("experts", |tables| tables.experts(&experts.load, tokens));
            device.add("experts", layers, limit, cost, &self.bases.experts, table);
            if let Some(exchange) = exchange {
                let cost = exchange.cost(local);
                let label = "expert exchange";
                let table = self.table(label, |tables| tables.exchange(&experts.load, local, decoding));
                device.add(label, layers, Limit::Link, cost, &self.bases.experts, table);
            }
        }
    }
}
