//! The run as a whole: sessions, router, replicas and the events between them.

use super::super::{Policy, StepsAtDepth};
use super::blocks::Blocks;
use super::config::{Cluster, Failure, PrefillPool};
use super::events::{Event, Events};
use super::meter::{Meter, Window};
use super::outcome::{Answered, Counts, Simulated};
use super::replica::{Ended, Replica, Run};
use super::requests::Requests;
use super::router::Routes;
use std::ops::Range;

/// What runs, and how.
pub(super) struct Setting<'a, T> {
    pub times: &'a T,
    pub policy: &'a Policy,
    pub cluster: &'a Cluster,
    pub prefill: Option<&'a PrefillPool>,
}

/// A run under way.
pub(super) struct World<'a, T> {
    setting: Setting<'a, T>,
    requests: Requests,
    /// Prefill workers, if any, then those that decode or do both.
    replicas: Vec<Replica>,
    /// Routers of new requests and of those handed over.
    routes: [Routes; 2],
    prefill_workers: usize,
    events: Events,
    meter: Meter,
    answered: Vec<Answered>,
    counts: Counts,
    /// Sessions begun.
    begun: usize,
    /// Requests that found all replicas down.
    stranded: Vec<u32>,
    /// Replicas that may have something to begin.
    due: Vec<usize>,
    ended: Ended,
    now: f64,
}

impl<'a, T: StepsAtDepth> World<'a, T> {
    pub(super) fn new(setting: Setting<'a, T>, requests: Requests) -> Self {
        let Setting { policy, cluster, prefill, .. } = setting;
        let classes = requests.classes.len();
        let blocks = || cluster.cache.as_ref().map(|cache| Blocks::new(cache, classes));
        let workers = prefill.map_or(0, |pool| pool.workers.max(1) as usize);
        let mut replicas = Vec::with_capacity(workers + cluster.replicas as usize);
        if let Some(pool) = prefill {
            replicas.extend((0..workers).map(|_| Replica::new(pool.policy, u64::MAX, blocks(), true)));
        }
        let replica = || Replica::new(*policy, cluster.slots, blocks(), false);
        replicas.extend((0..cluster.replicas.max(1)).map(|_| replica()));
        let to = match requests.users {
            Some(_) => f64::INFINITY,
            None => requests.sessions.last().map_or(0.0, |last| last.0),
        };
        let window =
            Window { from: cluster.warm_up, to: if to > cluster.warm_up { to } else { f64::INFINITY } };
        let mut world = Self {
            answered: Vec::with_capacity(requests.all.len()),
            setting,
            requests,
            replicas,
            routes: [cluster.router, cluster.router].map(Routes::new),
            prefill_workers: workers,
            events: Events::default(),
            meter: Meter::new(window),
            counts: Counts::default(),
            begun: 0,
            stranded: Vec::new(),
            due: Vec::new(),
            ended: Ended::default(),
            now: 0.0,
        };
        for (failure, number) in cluster.failures.iter().zip(0..) {
            if (failure.replica as usize) < world.replicas.len() {
                world.events.push(failure.at, Event::Fails(number));
            }
        }
        for _ in 0..world.requests.users.unwrap_or(0) {
            world.begin_session();
        }
        world
    }

    /// Runs until nothing is left to happen.
    pub(super) fn run(mut self) -> Simulated {
        while let Some(now) = self.next_at() {
            self.now = now;
            while self.session_at() == Some(now) {
                let (start, first) = self.requests.sessions[self.begun];
                self.requests.all[first as usize].sent = start;
                self.begun += 1;
                self.arrive(first);
            }
            while let Some(event) = self.events.pop_until(now) {
                self.happens(event);
            }
            self.begin_due();
        }
        self.outcome()
    }

    /// When the next session reaches the router, where sessions come by themselves.
    fn session_at(&self) -> Option<f64> {
        let comes = |session: &(f64, u32)| session.0 + self.api();
        self.requests.sessions.get(self.begun).filter(|_| self.requests.users.is_none()).map(comes)
    }

    fn next_at(&self) -> Option<f64> {
        match (self.session_at(), self.events.next_at()) {
            (Some(session), Some(event)) => Some(session.min(event)),
            (session, event) => session.or(event),
        }
    }

    fn api(&self) -> f64 {
        self.setting.prefill.map_or(self.setting.policy.api, |pool| pool.policy.api)
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrives(request) => self.arrive(request),
            Event::StepsEnd(replica, version) => self.steps_end(replica as usize, version),
            Event::Fails(number) => self.fail(self.setting.cluster.failures[number as usize]),
            Event::Repaired(replica) => {
                self.replicas[replica as usize].is_up = true;
                for request in std::mem::take(&mut self.stranded) {
                    self.route(request);
                }
            }
        }
    }

    /// A user begins the next session, if there is one.
    fn begin_session(&mut self) {
        if let Some((_, first)) = self.requests.sessions.get(self.begun) {
            self.begun += 1;
            self.send(*first);
        } else if !self.requests.counts_end {
            self.meter.ends(self.now);
        }
    }

    /// A request is sent once its user has read the answer before.
    fn send(&mut self, request: u32) {
        let known = &mut self.requests.all[request as usize];
        known.sent = self.now + known.after;
        let arrives = known.sent + self.api();
        self.events.push(arrives, Event::Arrives(request));
    }

    /// A request reaches the router.
    fn arrive(&mut self, request: u32) {
        let known = &self.requests.all[request as usize];
        if !known.handed_over {
            self.counts.sent += 1;
            let holds = |replica: &Replica| replica.blocks.as_ref().is_none_or(|blocks| blocks.holds(known));
            if !self.replicas.iter().all(holds) {
                self.counts.refused += 1;
                self.session_is_over();
                return;
            }
            self.meter.present(self.now, 1);
        }
        self.route(request);
    }

    /// The replicas that do what a request needs next.
    fn pool(&self, handed_over: bool) -> Range<usize> {
        if handed_over || self.prefill_workers == 0 {
            self.prefill_workers..self.replicas.len()
        } else {
            0..self.prefill_workers
        }
    }

    fn route(&mut self, request: u32) {
        let known = &self.requests.all[request as usize];
        let (session, pool) = (known.session, self.pool(known.handed_over));
        let first = pool.start;
        let routes = &mut self.routes[usize::from(known.handed_over)];
        let Some(place) = routes.choose(session, &self.replicas[pool]) else {
            self.stranded.push(request);
            return;
        };
        let replica = first + place;
        let run = Run {
            now: self.now,
            times: self.setting.times,
            requests: &mut self.requests,
            meter: &mut self.meter,
        };
        run.meter.waiting(run.now, 1);
        if let Some(end) = self.replicas[replica].accept(request, &run) {
            let version = self.replicas[replica].version;
            self.events.push(end, Event::StepsEnd(replica as u32, version));
        }
        self.is_due(replica);
    }

    fn is_due(&mut self, replica: usize) {
        if self.replicas[replica].is_idle() {
            self.due.push(replica);
        }
    }

    fn steps_end(&mut self, replica: usize, version: u32) {
        if self.replicas[replica].version != version {
            return;
        }
        let mut ended = std::mem::take(&mut self.ended);
        let mut run = Run {
            now: self.now,
            times: self.setting.times,
            requests: &mut self.requests,
            meter: &mut self.meter,
        };
        self.replicas[replica].end(&mut ended, &mut run);
        self.due.push(replica);
        for request in ended.answered.drain(..) {
            self.answer(request);
        }
        for request in ended.handed_over.drain(..) {
            self.hand_over(request);
        }
        self.ended = ended;
    }

    /// Replicas without steps under way begin what they have.
    fn begin_due(&mut self) {
        while let Some(replica) = self.due.pop() {
            if !self.replicas[replica].is_idle() || !self.replicas[replica].is_up {
                continue;
            }
            let mut run = Run {
                now: self.now,
                times: self.setting.times,
                requests: &mut self.requests,
                meter: &mut self.meter,
            };
            if let Some(end) = self.replicas[replica].begin(&mut run) {
                self.events.push(end, Event::StepsEnd(replica as u32, self.replicas[replica].version));
            }
        }
    }

    /// A request has its last token.
    fn answer(&mut self, request: u32) {
        let known = &self.requests.all[request as usize];
        self.counts.answered += 1;
        self.counts.asked_tokens += u64::from(known.output);
        self.meter.present(self.now, -1);
        self.answered.push(Answered {
            class: known.class,
            sent: known.sent,
            ttft: known.first - known.sent,
            end_to_end: self.now - known.sent,
            output: known.output,
        });
        if known.goes_on {
            self.send(request + 1);
        } else {
            self.session_is_over();
        }
    }

    /// A session is over, and its user begins the next.
    fn session_is_over(&mut self) {
        if self.requests.users.is_some() {
            self.begin_session();
        }
    }

    /// A prompt's cache goes to a worker that decodes.
    fn hand_over(&mut self, request: u32) {
        let known = &mut self.requests.all[request as usize];
        known.handed_over = true;
        let pool = self.setting.prefill;
        let takes = pool.map_or(0.0, |pool| pool.transfer + pool.transfer_per_token * f64::from(known.input));
        self.events.push(self.now + takes, Event::Arrives(request));
    }

    /// A replica goes down, and its requests begin again elsewhere.
    fn fail(&mut self, failure: Failure) {
        let replica = failure.replica as usize;
        if !self.replicas[replica].is_up {
            return;
        }
        let mut run = Run {
            now: self.now,
            times: self.setting.times,
            requests: &mut self.requests,
            meter: &mut self.meter,
        };
        let mut had = self.replicas[replica].fail(&mut run);
        if failure.repair.is_finite() {
            self.events.push(self.now + failure.repair.max(0.0), Event::Repaired(failure.replica));
        }
        let order = |request: &u32| self.requests.all[*request as usize].sent;
        had.sort_unstable_by(|a, b| order(a).total_cmp(&order(b)).then(a.cmp(b)));
        self.counts.restarts += had.len() as u64;
        for request in had {
            self.requests.all[request as usize].begin_again();
            self.route(request);
        }
    }

    fn outcome(mut self) -> Simulated {
        let last = self.answered.last().map_or(0.0, |one| one.sent + one.end_to_end);
        for blocks in self.replicas.iter_mut().filter_map(|replica| replica.blocks.as_mut()) {
            blocks.clear();
            self.counts.blocks_allocated += blocks.allocated;
            self.counts.blocks_freed += blocks.freed;
        }
        let meter = &self.meter;
        self.counts.left = self.counts.sent - self.counts.answered - self.counts.refused;
        self.counts.computed_tokens = meter.tokens;
        self.counts.lost_tokens = meter.lost;
        self.counts.iterations = meter.iterations;
        self.counts.preemptions = meter.preemptions;
        let found = (meter.found_tokens, meter.prompt_tokens);
        let window = self.meter.window();
        let means = self.meter.means(last, self.replicas.len(), self.prefill_workers);
        let classes = self.requests.classes.len();
        Simulated::new((self.answered, classes), (last, window), means, found, self.counts)
    }
}
