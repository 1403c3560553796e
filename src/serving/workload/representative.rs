//! A small traffic that stands for a workload: some ten thousand requests whose lengths are spread
//! evenly over their laws instead of drawn, so that its means are right as well.

use super::chance::Chance;
use super::sample::{Drawn, Shares, pause};
use super::spec::WorkloadSpec;
use crate::serving::profile::Profile;
use crate::serving::traffic::{Session, Traffic};

/// Requests that are enough.
const REQUESTS: f64 = 32_768.0;
/// Sessions at least and at most.
const SESSIONS: (f64, f64) = (32.0, 8192.0);

/// Evenly spread shares in an order of chance, those left for each purpose.
struct Strata {
    first: Vec<f64>,
    next: Vec<f64>,
    output: Vec<f64>,
    think: Vec<f64>,
    chance: Chance,
}

impl Shares for Strata {
    fn first(&mut self) -> f64 {
        // A summary in place of the history takes one more than there are sessions.
        self.first.pop().unwrap_or_else(|| self.chance.uniform())
    }

    fn next(&mut self) -> f64 {
        self.next.pop().unwrap_or_else(|| self.chance.uniform())
    }

    fn output(&mut self) -> f64 {
        self.output.pop().unwrap_or_else(|| self.chance.uniform())
    }

    fn think(&mut self) -> f64 {
        self.think.pop().unwrap_or_else(|| self.chance.uniform())
    }
}

impl WorkloadSpec {
    /// What a closed form needs to know of sessions that grow to `limit` tokens at most, such as the
    /// context of the model. Deterministic, and within a hundredth of the means of the laws unless
    /// most of a mean lies in one session of hundreds.
    ///
    /// # Panics
    /// Where there is no class, which [`read_workload`](super::read_workload) refuses.
    pub fn profile(&self, limit: Option<u64>) -> Profile {
        Profile::of(&self.representative(limit)).expect("a class has a session at least")
    }

    /// The requests the profile is taken over, of one user after the other.
    pub fn representative(&self, limit: Option<u64>) -> Traffic {
        let (classes, shares) = (self.drawn(limit), self.shares());
        let means = self.class.iter().map(|c| c.turns.as_ref().map_or(1.0, |law| law.value.mean().max(1.0)));
        let mean: f64 = means.zip(&shares).map(|(turns, share)| turns * share).sum();
        let all = (REQUESTS / mean).clamp(SESSIONS.0, SESSIONS.1);
        let pause = pause(self);
        let mut sessions = Vec::new();
        for (class, (drawn, share)) in classes.iter().zip(&shares).enumerate() {
            let count = (all * share).round().max(1.0) as usize;
            let turns = |rank: usize| drawn.turn_count((rank as f64 + 0.5) / count as f64);
            let requests: usize = (0..count).map(turns).sum();
            let mut chance = Chance::new(0, class as u64);
            let mut strata = Strata {
                first: chance.strata(count),
                next: chance.strata(requests - count),
                output: chance.strata(requests),
                think: chance.strata(requests - count),
                chance,
            };
            for (rank, between) in strata.chance.strata(count).into_iter().enumerate() {
                let after = drawn.pause(pause.as_ref(), between);
                let turns = drawn.turns(turns(rank), after, &mut strata);
                sessions.push(Session { start: 0.0, class: class as u16, turns });
            }
        }
        Traffic { classes: self.traffic_classes(&classes), sessions, users: Some(1) }
    }
}
