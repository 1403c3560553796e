//! A deployment under any traffic: the simulation of `serving` on the step times of an estimator.

use super::drafts::Draft;
use super::estimator::Estimator;
use super::serving::Pool;
use crate::serving::simulation::{self, Cluster, PrefillPool, Simulated};
use crate::serving::traffic::Traffic;
use crate::serving::{DepthGrid, Policy, StepsAtDepth};

/// Prompt tokens a worker that only does prompts takes at least into a step, per group: nobody decodes
/// beside them, so that launchers raise the chunk.
const LEAST_CHUNK: u64 = 16_384;

/// Sequences of a step beyond which its time goes on in a line.
const MOST_SEQUENCES: u64 = 4096;

/// The steps of an estimator at any depth.
struct Steps<'e, 'a> {
    /// Who does prompts.
    prefill: &'e Estimator<'a>,
    /// Who decodes.
    decode: &'e Estimator<'a>,
    draft: Option<Draft>,
}

impl StepsAtDepth for Steps<'_, '_> {
    fn decode_at(&self, sequences: f64, depth: f64) -> f64 {
        self.decode.token_time(sequences, depth as u64, self.draft).get()
    }

    /// Prompts that fill the step and attend to so many tokens on average: one that comes after others, or,
    /// where half of its own would be more, several from their beginning.
    fn prefill_at(&self, tokens: f64, attended: f64) -> f64 {
        let groups = self.prefill.groups as f64;
        let before = attended - tokens / 2.0;
        if before >= 0.0 {
            return self.prefill.prompt_time(groups, (tokens as u64).max(1), before as u64);
        }
        let each = (2.0 * attended).max(1.0);
        self.prefill.prompt_time(groups * tokens / each, each as u64, 0)
    }

    fn alike_from(&self, _: f64) -> u64 {
        1
    }
}

impl Steps<'_, '_> {
    fn grid(&self, cluster: &Cluster, chunk: u64, traffic: &Traffic) -> DepthGrid {
        let turns = traffic.sessions.iter().flat_map(|session| &session.turns);
        let deepest = turns.map(|turn| u64::from(turn.input) + u64::from(turn.output)).max().unwrap_or(1);
        DepthGrid::new(self, cluster.slots.clamp(1, MOST_SEQUENCES), chunk, deepest)
    }
}

impl Estimator<'_> {
    /// Simulates a traffic on replicas of the deployment.
    pub fn simulate(&self, cluster: &Cluster, traffic: &Traffic, draft: Option<Draft>) -> Simulated {
        let grid = Steps { prefill: self, decode: self, draft }.grid(cluster, self.chunk(), traffic);
        simulation::simulate(&grid, &self.policy(1), cluster, None, traffic)
    }

    /// The same with prompts on one pool of workers and answers on another; moving the cache of a prompt
    /// takes `transfer` seconds and `per_token` for each of its tokens. The replicas of the cluster are
    /// those of the pool that decodes.
    pub fn simulate_separate(
        prefill: Pool<'_, '_>,
        decode: Pool<'_, '_>,
        (transfer, per_token): (f64, f64),
        cluster: &Cluster,
        traffic: &Traffic,
        draft: Option<Draft>,
    ) -> Simulated {
        let worker = prefill.worker;
        let policy = Policy {
            mixed: false,
            splits_prompts: false,
            chunk: worker.chunk().max(LEAST_CHUNK),
            hold: 0,
            ..worker.policy(1)
        };
        let pool = PrefillPool {
            workers: u32::try_from(prefill.count).unwrap_or(u32::MAX),
            policy,
            transfer: transfer + worker.server.map_or(0.0, |server| server.transfer),
            transfer_per_token: per_token,
        };
        let replicas = u32::try_from(decode.count).unwrap_or(u32::MAX);
        let cluster = Cluster { replicas, ..cluster.clone() };
        let steps = Steps { prefill: worker, decode: decode.worker, draft };
        let grid = steps.grid(&cluster, policy.chunk, traffic);
        simulation::simulate(&grid, &decode.worker.policy(1), &cluster, Some(&pool), traffic)
    }
}
