//! Requests on the replicas of a deployment: who is served at once, who waits, and at what rate.
//!
//! Every figure is the closed form of [`Estimator::steady_states`]: in its time per token the prompts of the
//! other users are counted. Users are spread evenly over replicas; beyond the sessions that fit they
//! wait.

use crate::catalogue::model::ModelSpec;
use crate::perf::deployment::Deployment;
use crate::perf::{Demand, Draft, Estimator, Lengths, Serving, SteadyStates};
use crate::plan::request::Workload;
use crate::units::TokenRate;

/// Most sessions per group of attention a serving engine is assumed to run; beyond it schedulers
/// dominate.
const MOST_SESSIONS: u64 = 512;

/// Requests per user of a run, the habit of public sweeps.
const REQUESTS_PER_USER: u64 = 10;

/// What every request is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Requests {
    /// Tokens of a prompt that are not cached.
    pub input: u64,
    /// Tokens of a prompt that are.
    pub cached: u64,
    /// Tokens of an answer.
    pub output: u64,
    /// Tokens drafted ahead, if any.
    pub draft: Option<Draft>,
}

impl Requests {
    /// The requests of a workload to a model.
    pub(super) fn of(load: Workload, spec: &ModelSpec) -> Self {
        Self {
            input: load.prompt - load.cached,
            cached: load.cached,
            output: load.output,
            draft: load.draft(spec),
        }
    }

    /// Tokens cached when half of an answer is written.
    pub(super) const fn depth(&self) -> u64 {
        self.cached + self.input + self.output / 2
    }

    /// The demand of so many users on a replica with so many slots.
    pub(super) const fn demand(&self, users: u64, slots: u64) -> Demand {
        Demand {
            users,
            input: self.input,
            output: self.output,
            cached: self.cached,
            lengths: Lengths::Uniform,
            requests: REQUESTS_PER_USER * users,
            slots,
            draft: self.draft,
            poll: 1,
        }
    }
}

/// The equal replicas of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replicas {
    /// How many.
    pub count: u64,
    /// Sessions each holds at once.
    pub slots: u64,
}

/// A load on all replicas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    /// Users, over all replicas.
    pub users: u64,
    /// Users of them that wait for a place.
    pub waiting: u64,
    /// Users of one replica.
    pub users_each: u64,
    /// Output tokens per second of all replicas.
    pub total: TokenRate,
    /// What a replica does.
    pub each: Serving,
}

impl Replicas {
    /// The replicas of a deployment of which each holds so many sessions.
    pub(super) fn of(deployment: &Deployment<'_>, held: u64) -> Self {
        let placement = deployment.placement;
        let most = MOST_SESSIONS * u64::from(placement.dp.max(1));
        Self { count: u64::from(placement.replicas.max(1)), slots: held.clamp(1, most) }
    }

    /// Sessions all of them hold.
    pub(super) const fn all_slots(self) -> u64 {
        self.count * self.slots
    }

    /// What each does under such requests, from any number of users.
    pub(super) fn under<'e, 'a>(
        self,
        estimator: &'e Estimator<'a>,
        requests: &Requests,
    ) -> ReplicasUnder<'e, 'a> {
        ReplicasUnder { replicas: self, each: estimator.steady_states(&requests.demand(1, self.slots)) }
    }
}

/// Replicas under one kind of request.
#[derive(Clone, Debug)]
pub(super) struct ReplicasUnder<'e, 'a> {
    replicas: Replicas,
    each: SteadyStates<'e, 'a>,
}

impl ReplicasUnder<'_, '_> {
    /// So many users.
    pub(super) fn serve(&self, users: u64) -> Served {
        let users = users.max(1);
        let users_each = users.div_ceil(self.replicas.count);
        let each = self.each.serving(users_each);
        Served {
            users,
            waiting: users.saturating_sub(self.replicas.all_slots()),
            users_each,
            total: each.output_rate * (users as f64 / users_each as f64),
            each,
        }
    }

    /// The load that gives the most output tokens per second: powers of two of sessions per replica
    /// up to what fits, and all that fit.
    pub(super) fn fullest(&self) -> Served {
        let (mut best, mut most) = (1, TokenRate::ZERO);
        for users in doublings(self.replicas.slots) {
            let rate = self.each.rate(users);
            if rate > most {
                (best, most) = (users, rate);
            }
        }
        self.serve(best * self.replicas.count)
    }
}

/// 1, 2, 4 … below `most`, and `most` itself.
pub(super) fn doublings(most: u64) -> impl Iterator<Item = u64> {
    let most = most.max(1);
    std::iter::successors(Some(1_u64), |n| n.checked_mul(2)).take_while(move |n| *n < most).chain([most])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doublings_end_with_the_most() {
        assert_eq!(doublings(1).collect::<Vec<_>>(), [1]);
        assert_eq!(doublings(8).collect::<Vec<_>>(), [1, 2, 4, 8]);
        assert_eq!(doublings(11).collect::<Vec<_>>(), [1, 2, 4, 8, 11]);
    }
}
