//! What would help most: the same deployment with one thing better, and the best of the plan's other
//! options that differ in one thing.
//!
//! A better device is a changed copy of the machine through the same estimator; lower overheads and
//! faster collectives are changed copies of the constants. Memory stays as it is, so that the same
//! sessions fit. Modules that were measured as a whole scale with bandwidth and peak as the
//! estimator scales them.

use crate::catalogue::machine::Machine;
use crate::perf::constants::Subject;
use crate::perf::deployment::{Deployment, Offload};
use crate::perf::{Estimator, Sources};
use crate::plan::answer::Candidate;
use crate::plan::evaluate::Speed;
use crate::plan::load::Replicas;
use crate::plan::request::Workload;
use crate::ranking::{Objective, score};
use crate::units::math::ln;
use crate::units::{Seconds, TokenRate};
use crate::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How much better memory and arithmetic are thought.
const BETTER: f64 = 1.25;
/// How much faster links are thought.
const FASTER_LINKS: f64 = 2.0;
/// What is left of overheads.
const LOWER: f64 = 0.5;

words! {
    /// What is changed.
    pub enum Change ("change") {
        /// Memory bandwidth of every device.
        Bandwidth = "memory bandwidth x1.25",
        /// Arithmetic of every device, and the power it takes.
        Arithmetic = "arithmetic x1.25",
        /// Links between devices, to the host and between nodes.
        Links = "links and network x2",
        /// Memory bandwidth of the host.
        HostBandwidth = "host memory bandwidth x1.25",
        /// Clock of the processor.
        HostArithmetic = "processor clock x1.25",
        /// Launches and scheduling.
        Overheads = "launch overheads halved",
        /// Another engine.
        Engine = "another engine",
        /// Another format of weights.
        Format = "another format",
        /// Another division over the devices.
        Layout = "another layout",
    }
}

/// One change and what it brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lever {
    /// What is changed.
    pub change: Change,
    /// The option it leads to, where it is one of the plan's.
    pub option: Option<String>,
    /// Generation of one stream, changed.
    pub decode_tokens_per_s: TokenRate,
    /// Generation of all streams at the best load, changed.
    pub output_tokens_per_s: TokenRate,
    /// Time to first token of one request, changed.
    pub ttft_s: Seconds,
    /// The first over what it was; above 1 is better.
    pub stream_gain: f64,
    /// The same of all streams.
    pub throughput_gain: f64,
    /// Time to first token as it was over what it becomes; above 1 is better.
    pub ttft_gain: f64,
}

impl Lever {
    /// Gain of the figure that gains least to count: below, a change is not worth telling.
    pub const WORTH: f64 = 1.01;

    /// Whether any figure gains.
    pub fn helps(&self) -> bool {
        self.stream_gain.max(self.throughput_gain).max(self.ttft_gain) >= Self::WORTH
    }

    fn new(change: Change, option: Option<String>, before: Figures, after: Figures) -> Self {
        Self {
            change,
            option,
            decode_tokens_per_s: after.stream,
            output_tokens_per_s: after.all,
            ttft_s: after.ttft,
            stream_gain: after.stream / before.stream,
            throughput_gain: after.all / before.all,
            ttft_gain: before.ttft / after.ttft,
        }
    }

    /// Gain of the three figures together.
    fn rank(&self) -> f64 {
        [self.stream_gain, self.throughput_gain, self.ttft_gain].into_iter().map(ln).sum()
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
struct Figures {
    stream: TokenRate,
    all: TokenRate,
    ttft: Seconds,
}

impl Figures {
    fn of(option: &Candidate) -> Self {
        Self {
            stream: option.decode_tokens_per_s.likely,
            all: option.throughput.output_tokens_per_s.likely,
            ttft: option.ttft_s.likely,
        }
    }
}

/// Every change of a deployment of which a replica holds `held` sessions, most helpful first; those
/// that cannot be made are left out.
pub(super) fn levers(
    deployment: &Deployment<'_>,
    option: &Candidate,
    others: &[Candidate],
    load: Workload,
    objective: Objective,
) -> Vec<Lever> {
    let before = Figures::of(option);
    let held = option.largest_concurrency / u64::from(option.placement.replicas.max(1));
    let mut found: Vec<Lever> = hardware(deployment)
        .into_iter()
        .filter_map(|change| {
            let after = changed(deployment, change, Replicas::of(deployment, held), load)?;
            Some(Lever::new(change, None, before, after))
        })
        .collect();
    for change in [Change::Engine, Change::Format, Change::Layout] {
        let best = others.iter().filter(|other| differs(change, option, other)).max_by(|a, b| {
            let by = |c: &Candidate| score(&c.merit(), objective);
            by(a).total_cmp(&by(b)).then_with(|| b.id.cmp(&a.id))
        });
        found.extend(best.map(|best| Lever::new(change, Some(best.id.clone()), before, Figures::of(best))));
    }
    found.sort_by(|a, b| b.rank().total_cmp(&a.rank()).then(a.change.cmp(&b.change)));
    found
}

/// Whether another option differs in exactly this; another engine may store weights its own way.
fn differs(change: Change, option: &Candidate, other: &Candidate) -> bool {
    let (engine, format) = (other.engine == option.engine, other.format == option.format);
    match change {
        Change::Engine => !engine,
        Change::Format => engine && !format,
        Change::Layout => engine && format && other.id != option.id,
        Change::Bandwidth
        | Change::Arithmetic
        | Change::Links
        | Change::HostBandwidth
        | Change::HostArithmetic
        | Change::Overheads => false,
    }
}

/// The changes of hardware and software that a deployment can feel.
fn hardware(deployment: &Deployment<'_>) -> Vec<Change> {
    let on_devices = !deployment.stages.is_empty();
    let on_host = deployment.placement.offload != Offload::None;
    let joined = deployment.placement.pp * deployment.placement.dp * deployment.placement.tp > 1;
    [
        (Change::Bandwidth, on_devices),
        (Change::Arithmetic, on_devices),
        (Change::Links, joined || (on_devices && on_host)),
        (Change::HostBandwidth, on_host),
        (Change::HostArithmetic, on_host),
        (Change::Overheads, true),
    ]
    .into_iter()
    .filter_map(|(change, felt)| felt.then_some(change))
    .collect()
}

/// The figures of a deployment after a change.
fn changed(
    deployment: &Deployment<'_>,
    change: Change,
    replicas: Replicas,
    load: Workload,
) -> Option<Figures> {
    let machine = better(deployment.machine, change);
    let sources = Sources::shipped();
    let constants = match change {
        Change::Overheads => Some(sources.constants.changed(Subject::Overheads, LOWER)),
        Change::Links => Some(sources.constants.changed(Subject::Links, FASTER_LINKS)),
        Change::Arithmetic => Some(sources.constants.changed(Subject::Arithmetic, BETTER)),
        Change::Bandwidth
        | Change::HostBandwidth
        | Change::HostArithmetic
        | Change::Engine
        | Change::Format
        | Change::Layout => None,
    };
    let deployment = Deployment { machine: &machine, ..deployment.clone() };
    let sources = Sources { constants: constants.as_ref().unwrap_or(sources.constants), ..sources };
    let estimator = Estimator::new(&deployment, sources).ok()?;
    let speed = Speed::of(&estimator, replicas, load, &deployment.model.spec);
    Some(Figures { stream: speed.stream, all: speed.best.total, ttft: speed.ttft })
}

/// A machine with one thing better.
fn better(machine: &Machine, change: Change) -> Machine {
    let mut machine = machine.clone();
    for node in &mut machine.nodes {
        match change {
            Change::HostBandwidth => node.host.bandwidth.value = node.host.bandwidth.value * BETTER,
            Change::HostArithmetic => node.host.clock_ghz.value *= BETTER,
            Change::Bandwidth
            | Change::Arithmetic
            | Change::Links
            | Change::Overheads
            | Change::Engine
            | Change::Format
            | Change::Layout => {}
        }
        for group in &mut node.devices {
            let mut accelerator = (*group.accelerator).clone();
            match change {
                Change::Bandwidth => {
                    group.bandwidth.value = group.bandwidth.value * BETTER;
                    accelerator.bandwidth = accelerator.bandwidth * BETTER;
                }
                Change::Arithmetic => {
                    let rates = &mut accelerator.rates;
                    for rate in [
                        &mut rates.fp32,
                        &mut rates.tf32,
                        &mut rates.fp16,
                        &mut rates.fp16_acc16,
                        &mut rates.bf16,
                        &mut rates.fp8,
                        &mut rates.fp4,
                        &mut rates.int8,
                    ] {
                        *rate = rate.map(|rate| rate * BETTER);
                    }
                    accelerator.tdp_w = accelerator.tdp_w.map(|watts| watts * BETTER);
                }
                Change::Links => {
                    group.host_link.value = group.host_link.value * FASTER_LINKS;
                    if let Some(link) = &mut accelerator.link {
                        link.bandwidth = link.bandwidth.map(|rate| rate * FASTER_LINKS);
                    }
                }
                Change::HostBandwidth
                | Change::HostArithmetic
                | Change::Overheads
                | Change::Engine
                | Change::Format
                | Change::Layout => {}
            }
            group.accelerator = Arc::new(accelerator);
        }
    }
    if change == Change::Links
        && let Some(network) = &mut machine.network
    {
        network.value = network.value * FASTER_LINKS;
    }
    machine
}
