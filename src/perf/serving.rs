//! A deployment under load: what its users see, from the times of its steps.
//!
//! The walk through steps and its closed form live in `serving`, which knows no models; here
//! an estimator answers for the steps, with or without drafts, and the engine's constants say how it
//! makes up its steps.

use super::constants::{Fetch, Missing};
use super::drafts::Draft;
use super::estimator::Estimator;
use super::time::Limit;
use crate::serving::{self, Grid, Load, Offline, Outcome, Policy, Pools, PromptTimes, StepTimes};
use crate::units::{Seconds, TokenRate};

pub use crate::serving::Lengths;

/// What a server adds to its steps, and how it makes them up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overheads {
    /// Seconds per request.
    pub api: f64,
    /// Seconds per step.
    pub step: f64,
    /// Steps a prompt waits at most for the other groups of attention.
    pub hold: f64,
    /// Share saved when a prompt joins a decode step; none where prompts go first.
    pub overlap: Option<f64>,
    /// Whether a prompt may be split over steps.
    pub splits: bool,
    /// Seconds to hand a prompt's cache to another worker, beside moving its bytes.
    pub transfer: f64,
}

impl Overheads {
    pub(super) fn new(fetch: &mut Fetch<'_>) -> Result<Self, Missing> {
        let overlap = fetch.get("mixed_overlap")?;
        Ok(Self {
            api: fetch.get("api")? * 1e-3,
            step: fetch.get("step")? * 1e-3,
            hold: fetch.get("hold")?,
            overlap: (overlap > 0.0).then_some(overlap),
            splits: fetch.get("splits_prompts")? > 0.0,
            transfer: fetch.get("transfer_fixed")? * 1e-3,
        })
    }
}

/// What is asked of one replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Users, each with one request at a time.
    pub users: u64,
    /// Mean tokens of a prompt that are not cached.
    pub input: u64,
    /// Mean tokens of an answer.
    pub output: u64,
    /// Tokens of a prompt that are cached before.
    pub cached: u64,
    /// How lengths differ from request to request.
    pub lengths: Lengths,
    /// Requests of the whole run.
    pub requests: u64,
    /// Sequences the deployment holds at once.
    pub slots: u64,
    /// Tokens drafted ahead, if any.
    pub draft: Option<Draft>,
    /// Decode steps between two looks for new requests; engines look after every step unless told
    /// otherwise.
    pub poll: u64,
}

/// Speed of a deployment under load, per replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Serving {
    /// Mean time to the first token.
    pub ttft: Seconds,
    /// Its median.
    pub ttft_median: Seconds,
    /// What a run of ten requests per user that starts all users at once adds to the mean; zero
    /// where the mean is that of such a run.
    pub burst: Seconds,
    /// Mean time per output token after the first.
    pub tpot: Seconds,
    /// Its median.
    pub tpot_median: Seconds,
    /// Output tokens per second of all users.
    pub output_rate: TokenRate,
    /// Input tokens per second of all users.
    pub input_rate: TokenRate,
    /// What bounds the time per token.
    pub limit: Limit,
}

/// One of two pools: an estimator of a worker and how many there are.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'e, 'a> {
    /// A worker.
    pub worker: &'e Estimator<'a>,
    /// Workers.
    pub count: u64,
}

/// The steps of an estimator under a demand.
#[derive(Clone, Debug)]
pub(super) struct Steps<'e, 'a> {
    pub(super) estimator: &'e Estimator<'a>,
    pub(super) demand: Demand,
}

impl Steps<'_, '_> {
    /// Over its life a sequence holds its prompt and on average half of its answer.
    fn depth(&self) -> u64 {
        self.demand.cached + self.demand.input + self.demand.output / 2
    }
}

impl StepTimes for Steps<'_, '_> {
    fn decode(&self, sequences: f64) -> f64 {
        self.estimator.token_time(sequences, self.depth(), self.demand.draft).get()
    }

    fn prefill(&self, tokens: f64) -> f64 {
        let Demand { input, cached, .. } = self.demand;
        let groups = self.estimator.groups as f64;
        if tokens >= input as f64 {
            let prompts = tokens / input.max(1) as f64 * groups;
            return self.estimator.prompt_time(prompts, input.max(1), cached);
        }
        // A piece of a prompt comes after half of the rest on average.
        let new = (tokens as u64).max(1);
        self.estimator.prompt_time(groups, new, cached + (input - new) / 2)
    }
}

/// The closed form of one kind of request under any number of users: what they share is asked once.
#[derive(Clone, Debug)]
pub struct SteadyStates<'e, 'a> {
    prompts: PromptTimes<Steps<'e, 'a>>,
    demand: Demand,
}

impl SteadyStates<'_, '_> {
    /// Output tokens per second of so many users.
    pub fn rate(&self, users: u64) -> TokenRate {
        let load = Estimator::load(&Demand { users, ..self.demand });
        TokenRate::new(self.prompts.rate(&load))
    }

    /// What so many users see.
    pub fn serving(&self, users: u64) -> Serving {
        let demand = Demand { users, ..self.demand };
        let load = Estimator::load(&demand);
        let found = self.prompts.steady(&load);
        let output = TokenRate::new(found.output_rate);
        Serving {
            ttft: Seconds::new(found.ttft),
            ttft_median: Seconds::new(found.ttft),
            burst: Seconds::new(found.burst),
            tpot: Seconds::new(found.tpot),
            tpot_median: Seconds::new(found.tpot),
            output_rate: output,
            input_rate: output * (demand.input as f64 / demand.output.max(1) as f64),
            limit: self.prompts.times().estimator.load_limit(&demand, found.prompt_share),
        }
    }
}

impl<'a> Estimator<'a> {
    pub(super) fn policy(&self, poll: u64) -> Policy {
        let server = self.server;
        Policy {
            mixed: server.is_none_or(|server| server.overlap.is_some()),
            splits_prompts: server.is_none_or(|server| server.splits),
            overlap: server.and_then(|server| server.overlap).unwrap_or(0.0),
            chunk: self.chunk(),
            groups: self.groups,
            hold: server.map_or(0.0, |server| server.hold) as u64,
            step: server.map_or(0.0, |server| server.step),
            api: self.request_overhead(),
            poll: poll.max(1),
        }
    }

    pub(super) fn load(demand: &Demand) -> Load {
        Load {
            users: demand.users.max(1),
            input: demand.input.max(1),
            output: demand.output.max(1),
            lengths: demand.lengths,
            requests: demand.requests.max(1),
            slots: demand.slots.max(1),
        }
    }

    /// Walks through a run of requests step by step.
    pub fn serving(&self, demand: &Demand) -> Serving {
        let steps = Steps { estimator: self, demand: *demand };
        let sequences = demand.users.min(demand.slots).max(1);
        let grid = Grid::new(&steps, sequences, self.chunk().min(demand.input.saturating_mul(sequences)));
        let outcome = serving::closed_loop(&grid, &self.policy(demand.poll), &Self::load(demand));
        self.seen(demand, &outcome)
    }

    /// The steady state of the same in closed form, for ranking many.
    pub fn steady(&self, demand: &Demand) -> Serving {
        self.steady_states(demand).serving(demand.users)
    }

    /// The steady states of demands that differ in their users alone.
    pub fn steady_states(&self, demand: &Demand) -> SteadyStates<'_, 'a> {
        let steps = Steps { estimator: self, demand: *demand };
        SteadyStates {
            prompts: PromptTimes::new(steps, self.policy(demand.poll), demand.input),
            demand: *demand,
        }
    }

    /// The most tokens per second with all requests queued from the start; nobody waits for a
    /// first token, so that times are those of the batch.
    pub fn maximum(&self, demand: &Demand) -> Serving {
        let steps = Steps { estimator: self, demand: *demand };
        let grid = Grid::new(&steps, demand.slots.clamp(1, 2048 * self.groups), self.chunk());
        let found = serving::offline_maximum(
            &grid,
            &Offline {
                requests: demand.requests.max(1),
                input: demand.input.max(1),
                output: demand.output.max(1),
                slots: demand.slots.max(1),
                groups: self.groups,
                most_per_group: 2048,
                chunk: self.chunk(),
            },
        );
        let output = TokenRate::new(found.output_rate);
        let tpot = Seconds::new(grid.decode(found.batch));
        let full = Demand { users: found.batch as u64, ..*demand };
        Serving {
            ttft: Seconds::new(grid.prefill(demand.input as f64)),
            ttft_median: Seconds::new(grid.prefill(demand.input as f64)),
            burst: Seconds::ZERO,
            tpot,
            tpot_median: tpot,
            output_rate: output,
            input_rate: output * (demand.input as f64 / demand.output.max(1) as f64),
            limit: self.load_limit(&full, 0.0),
        }
    }

    /// Prompts on one pool of workers, answers on another; moving the bytes of a prompt's cache takes
    /// `transfer` seconds.
    pub fn separate(prefill: Pool<'_, '_>, decode: Pool<'_, '_>, transfer: f64, demand: &Demand) -> Serving {
        let steps = |pool: Pool<'_, '_>, sequences: u64, tokens: u64| {
            Grid::new(&Steps { estimator: pool.worker, demand: *demand }, sequences, tokens)
        };
        let pools = Pools {
            prefill_workers: prefill.count,
            decode_workers: decode.count,
            prefill_groups: prefill.worker.groups,
            chunk: prefill.worker.chunk(),
            transfer: transfer + prefill.worker.server.map_or(0.0, |server| server.transfer),
            api: prefill.worker.request_overhead(),
            step: prefill.worker.server.map_or(0.0, |server| server.step),
        };
        let each = demand.users.div_ceil(decode.count.max(1)).min(demand.slots).max(1);
        let (prompts, answers) = (steps(prefill, 1, 16384), steps(decode, each, 64));
        let outcome = serving::separate_pools(&prompts, &answers, &pools, &Self::load(demand));
        decode.worker.seen(demand, &outcome)
    }

    fn seen(&self, demand: &Demand, outcome: &Outcome) -> Serving {
        let output = TokenRate::new(outcome.output_rate);
        Serving {
            ttft: Seconds::new(outcome.ttft.mean),
            ttft_median: Seconds::new(outcome.ttft.median),
            burst: Seconds::ZERO,
            tpot: Seconds::new(outcome.tpot.mean),
            tpot_median: Seconds::new(outcome.tpot.median),
            output_rate: output,
            input_rate: output * (demand.input as f64 / demand.output.max(1) as f64),
            limit: self.load_limit(demand, outcome.prompt_share),
        }
    }

    /// What bounds a load in which prompts take this share of the time.
    fn load_limit(&self, demand: &Demand, prompt_share: f64) -> Limit {
        if prompt_share > 0.5 {
            self.prefill_limit(demand.input)
        } else {
            let sequences = demand.users.min(demand.slots).max(1) as f64;
            self.decode_limit(sequences, demand.cached + demand.input + demand.output / 2)
        }
    }
}
