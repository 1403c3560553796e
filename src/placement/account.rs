//! The account behind a ledger: weights placed once, then asked about any load.

use crate::perf::deployment::{Deployment, Offload};
use crate::placement::activations::Widths;
use crate::placement::engine::{Basis, Charge, MemoryRules, facts, rules};
use crate::placement::ledger::{Ledger, LedgerKind, Line, RankLedger};
use crate::placement::seat::{Load, Seat};
use crate::placement::settings::Settings;
use crate::placement::shards;
use crate::units::Bytes;

/// Where the weights of a deployment lie, whatever its cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// On one rank of each stage.
    ranks: Vec<Bytes>,
    host: Bytes,
}

impl Placed {
    /// Places the weights.
    pub fn of(deployment: &Deployment<'_>, settings: &Settings) -> Self {
        let rules = rules(deployment.engine);
        let (host, seats) = seats(deployment, settings);
        Self {
            ranks: seats.map(|seat| shards::on_rank(&seat, rules)).collect(),
            host: shards::on_host(&host, rules),
        }
    }
}

/// The part of the host and the stages of a deployment.
fn seats<'a>(
    deployment: &'a Deployment<'a>,
    settings: &'a Settings,
) -> (Seat<'a>, impl Iterator<Item = Seat<'a>>) {
    let spec = &deployment.model.spec;
    let (offloaded, cpu_layers) = match deployment.placement.offload {
        Offload::None => (0, 0),
        Offload::Experts(layers) => (layers, 0),
        Offload::Layers(layers) => (0, layers.min(spec.layer_count())),
        Offload::All => (0, spec.layer_count()),
    };
    let count = deployment.stages.len();
    let host = Seat {
        deployment,
        settings,
        widths: Widths::of(spec, offloaded),
        group: None,
        first_layer: 0,
        end_layer: cpu_layers,
        stage: 0,
        last: count == 0,
    };
    let stages = deployment.stages.iter().enumerate().map(move |(stage, it)| Seat {
        group: Some(deployment.device_group(it)),
        first_layer: it.layers.start,
        end_layer: it.layers.end,
        stage,
        last: stage + 1 == count,
        ..host
    });
    (host, stages)
}

/// A deployment with its weights already placed, ready to be asked about any load.
pub struct Account<'a> {
    deployment: &'a Deployment<'a>,
    rules: &'static dyn MemoryRules,
    host_seat: Seat<'a>,
    seats: Vec<(Seat<'a>, Bytes)>,
    host_weights: Bytes,
}

impl<'a> Account<'a> {
    /// Places the weights.
    pub fn new(deployment: &'a Deployment<'a>, settings: &'a Settings) -> Self {
        Self::with(deployment, settings, &Placed::of(deployment, settings))
    }

    /// The same where the weights of the deployment were placed before, with another cache.
    pub fn with(deployment: &'a Deployment<'a>, settings: &'a Settings, placed: &Placed) -> Self {
        let (host_seat, seats) = seats(deployment, settings);
        let seats = seats.zip(placed.ranks.iter().copied()).collect();
        Self { deployment, rules: rules(deployment.engine), host_seat, seats, host_weights: placed.host }
    }

    /// The stages with the bytes of weights on one rank of each.
    pub fn seats(&self) -> &[(Seat<'a>, Bytes)] {
        &self.seats
    }

    /// The part of the host: the layers it computes, if any.
    pub fn host_seat(&self) -> &Seat<'a> {
        &self.host_seat
    }

    /// The full account at a load.
    pub fn ledger(&self, load: Load) -> Ledger {
        let mut ranks: Vec<RankLedger> = self.seats.iter().map(|seat| self.rank(seat, load)).collect();
        let host = self.host(load);
        let replicas = self.deployment.placement.replicas;
        if self.shares_memory() {
            // One pool: what the host holds lies in the memory of the first rank.
            if let Some(first) = ranks.first_mut() {
                first.lines.extend(host.lines);
                return Ledger { sequences: load.sequences, replicas, ranks, host: None };
            }
        }
        Ledger { sequences: load.sequences, replicas, ranks, host: Some(host) }
    }

    /// What is left on the fullest account at a load; negative is the shortfall.
    pub fn free(&self, load: Load) -> Bytes {
        let mut host = self.host_room();
        let mut charges = Vec::with_capacity(16);
        let on_host = self.host_charges(load, &mut charges);
        let mut worst = f64::INFINITY;
        for (index, seat) in self.seats.iter().enumerate() {
            let room = seat.0.group.map_or(Bytes::ZERO, |group| group.memory.value - group.in_use);
            let mut free = room - self.charges(seat, load, &mut charges);
            if index == 0 && self.shares_memory() {
                free = free - on_host;
                host = Bytes::new(f64::INFINITY);
            }
            worst = worst.min(free.get());
        }
        Bytes::new(worst.min((host - on_host).get()))
    }

    /// Everything on a rank, and the sum of it.
    fn charges(&self, (seat, weights): &(Seat<'a>, Bytes), load: Load, charges: &mut Vec<Charge>) -> Bytes {
        charges.clear();
        charges.push(Charge::weights(*weights, "tensors of this stage, divided over its ranks"));
        charges.push(self.spread(*weights));
        self.rules.charge(seat, load, *weights, charges);
        total(charges)
    }

    /// Room for weights larger than their rule says, where the rule is known to be unsure.
    fn spread(&self, weights: Bytes) -> Charge {
        let bytes = weights * self.deployment.weights.spread;
        let rule = "half width of the interval of the weights' size";
        Charge { kind: LedgerKind::Reserve, bytes, rule, basis: Basis::Weights }
    }

    fn rank(&self, seat: &(Seat<'a>, Bytes), load: Load) -> RankLedger {
        let placement = &self.deployment.placement;
        let (device, capacity, in_use) = seat
            .0
            .group
            .map_or(("", Bytes::ZERO, Bytes::ZERO), |group| (&group.id, group.memory.value, group.in_use));
        RankLedger {
            name: format!("stage {} of {}: {device}", seat.0.stage + 1, self.seats.len()),
            devices: placement.replicas * placement.dp * placement.tp,
            capacity,
            in_use,
            lines: self.lines(|charges| self.charges(seat, load, charges)),
        }
    }

    /// Everything in host memory, and the sum of it.
    fn host_charges(&self, load: Load, charges: &mut Vec<Charge>) -> Bytes {
        charges.clear();
        charges.push(Charge::weights(self.host_weights, "tensors kept in host memory"));
        charges.push(self.spread(self.host_weights));
        let shared = charges.len();
        self.rules.charge_host(&self.host_seat, load, self.host_weights, charges);
        // Copies of the deployment on one node map the same file but have buffers of their own.
        let copies = self.deployment.placement.replicas.div_ceil(self.deployment.machine.node_count().max(1));
        for charge in &mut charges[shared..] {
            charge.bytes = charge.bytes * f64::from(copies);
        }
        total(charges)
    }

    fn host(&self, load: Load) -> RankLedger {
        let host = self.deployment.host();
        RankLedger {
            name: "host".to_owned(),
            devices: 1,
            capacity: host.ram.value,
            in_use: host.in_use.value,
            lines: self.lines(|charges| self.host_charges(load, charges)),
        }
    }

    fn host_room(&self) -> Bytes {
        let host = self.deployment.host();
        host.ram.value - host.in_use.value
    }

    /// Whether devices and host draw on one pool.
    fn shares_memory(&self) -> bool {
        self.seats.iter().any(|(seat, _)| seat.group.is_some_and(|group| group.accelerator.is_unified()))
    }

    fn lines(&self, charge: impl Fn(&mut Vec<Charge>) -> Bytes) -> Vec<Line> {
        let mut charges = Vec::new();
        charge(&mut charges);
        let engine = facts(self.deployment.engine);
        let mut lines: Vec<Line> = charges
            .iter()
            .filter(|charge| charge.bytes != Bytes::ZERO)
            .map(|charge| charge.line(engine, self.deployment.weights))
            .collect();
        lines.sort_by_key(|line| line.kind);
        lines
    }
}

fn total(charges: &[Charge]) -> Bytes {
    charges.iter().map(|charge| charge.bytes).sum()
}
