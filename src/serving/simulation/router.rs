//! Which replica a request goes to.

use super::config::Router;
use super::replica::Replica;
use std::collections::HashMap;

/// A router over replicas that do the same.
#[derive(Debug)]
pub(super) struct Routes {
    policy: Router,
    next: usize,
    homes: HashMap<u32, u32>,
}

impl Routes {
    pub(super) fn new(policy: Router) -> Self {
        Self { policy, next: 0, homes: HashMap::new() }
    }

    /// A replica that is up, by its place among these; none if all are down.
    pub(super) fn choose(&mut self, session: u32, replicas: &[Replica]) -> Option<usize> {
        if let [only] = replicas {
            return only.is_up.then_some(0);
        }
        match self.policy {
            Router::RoundRobin => {
                let order = (0..replicas.len()).map(|step| (self.next + step) % replicas.len());
                let found = order.into_iter().find(|at| replicas[*at].is_up)?;
                self.next = found + 1;
                Some(found)
            }
            Router::LeastLoaded => least_loaded(replicas),
            Router::SessionAffinity => {
                let home = self.homes.get(&session).map(|home| *home as usize);
                let found = home.filter(|home| replicas[*home].is_up).or_else(|| least_loaded(replicas))?;
                self.homes.insert(session, found as u32);
                Some(found)
            }
        }
    }
}

fn least_loaded(replicas: &[Replica]) -> Option<usize> {
    let up = replicas.iter().enumerate().filter(|(_, replica)| replica.is_up);
    up.min_by_key(|(_, replica)| replica.load()).map(|(at, _)| at)
}
