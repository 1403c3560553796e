//! A server under steady load: a closed loop of C users, each sending its next request when the
//! last is answered.
//!
//! Closed form of the step-level simulation (uniform lengths, C within capacity; it agrees with the
//! simulation within 1 % in time per token and 4 % in mean time to first token): iterate from
//! `TPOT = td`: `k = clamp(C (tpf(I) + td) / (O TPOT), 1, chunk / I)` prompts share a step,
//! `c = tpf(k I) / k`, `TPOT = td + (C-1)/O (c - ov min(td(1), tpf(I)) / k)`.

use super::constants::{Fetch, Missing};
use super::estimator::Estimator;
use super::time::Limit;
use crate::units::{Seconds, TokenRate};

/// What a server adds to its steps, seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overheads {
    /// Per request.
    pub api: f64,
    /// Per step.
    pub step: f64,
    /// Steps a prompt waits at most for the other groups of attention.
    pub hold: f64,
    /// Share saved when a prompt joins a decode step; none where prompts go first.
    pub overlap: Option<f64>,
}

impl Overheads {
    pub(super) fn new(fetch: &mut Fetch) -> Result<Self, Missing> {
        let overlap = fetch.get("mixed_overlap")?;
        Ok(Self {
            api: fetch.get("api")? * 1e-3,
            step: fetch.get("step")? * 1e-3,
            hold: fetch.get("hold")?,
            overlap: (overlap > 0.0).then_some(overlap),
        })
    }
}

/// A tenth of the requests wait for half of the prompts.
const BURST: f64 = 0.05;

/// Speed of a deployment under steady load, per replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Serving {
    /// Mean time to the first token.
    pub ttft: Seconds,
    /// What a run that starts all users at once and sends ten requests each adds to the mean time
    /// to the first token: a tenth of its requests wait for half of the users' prompts.
    pub burst: Seconds,
    /// Mean time per output token after the first.
    pub tpot: Seconds,
    /// Output tokens per second of all users.
    pub output_rate: TokenRate,
    /// Input tokens per second of all users.
    pub input_rate: TokenRate,
    /// What bounds the time per token.
    pub limit: Limit,
}

impl Estimator<'_> {
    /// Steady state with `concurrency` users, mean lengths `input` and `output`; the caller sees to
    /// it that their caches fit.
    pub fn serving(&self, concurrency: u64, input: u64, output: u64) -> Serving {
        let (users, out) = (concurrency.max(1) as f64, output.max(1) as f64);
        let input = input.max(1);
        // Over its life a sequence holds its prompt and on average half of its answer.
        let depth = input + output / 2;
        let step = self.decode(concurrency.max(1), depth);
        let td = self.decode_period(concurrency.max(1), depth).get();
        let alone = self.decode(1, depth).total().get();
        let prompt = self.prefill(input, 0, 1).total().get();
        let (mixed, overlap) = match self.server {
            Some(server) => (server.overlap.is_some(), server.overlap.unwrap_or(0.0)),
            None => (true, 0.0),
        };
        let most = (self.prompt_tokens() as f64 / input as f64).max(1.0);
        // A step that holds one prompt makes all groups of attention wait: engines hold prompts
        // back until every group has one.
        let least = (self.groups as f64).min(users).min(most);
        let (mut tpot, mut shared) = (td, prompt);
        for _ in 0..6 {
            let together = (users * (prompt + td) / (out * tpot)).clamp(least, most);
            shared = self.prompts_time(together, input) / together;
            let saved = overlap * alone.min(prompt) / together;
            tpot = td + (users - 1.0) / out * (shared - saved).max(0.0);
        }
        let busy = users * shared / (out * tpot);
        let beside = if mixed { td } else { self.server.map_or(0.0, |server| server.step) };
        let api = self.request_overhead();
        let wait = busy.min(1.0) / 2.0 * (prompt + if mixed { td } else { 0.0 });
        // Prompts arrive until every group has one or the time is up: half of that on average.
        let hold = self.server.map_or(0.0, |server| server.hold) * td;
        let gathering = (self.groups - 1) as f64 * out * tpot / users;
        let wait = wait + hold.min(gathering) / 2.0;
        let ttft = api + prompt + if users > 1.0 { beside + td / 4.0 + wait } else { 0.0 };
        let rate = users * out / (ttft + out * tpot);
        let prefill_share = (tpot - td) / tpot;
        let limit = if prefill_share > 0.5 { self.prefill(input, 0, 1).limit() } else { step.limit() };
        // A twentieth of the users' prompts, in full chunks.
        let full = self.prompts_time(most, input) / most;
        Serving {
            ttft: Seconds::new(ttft),
            burst: Seconds::new(if users > 1.0 { BURST * users * full } else { 0.0 }),
            tpot: Seconds::new(tpot),
            output_rate: TokenRate::new(rate),
            input_rate: TokenRate::new(rate * input as f64 / out),
            limit,
        }
    }

    /// Time of so many prompts in one step; between whole numbers the line between them.
    fn prompts_time(&self, together: f64, input: u64) -> f64 {
        let (low, way) = (together.floor(), together.fract());
        let time = |count: f64| self.prefill(input, 0, count as u64).total().get();
        let below = time(low);
        if way == 0.0 { below } else { below + (time(low + 1.0) - below) * way }
    }
}
