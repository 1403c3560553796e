//! From the laws of a workload to its requests.
//!
//! Every session has a stream of chance of its own, made of the seed and its number: another rate or
//! a longer run changes when sessions start, never what they hold.

use super::chance::Chance;
use super::law::Quantiles;
use super::spec::{Arrivals, ClassSpec, History, LONGEST_THINK, MOST_TOKENS, MOST_TURNS, WorkloadSpec};
use crate::serving::traffic::{Class, Session, Traffic, Turn};

/// Streams beside those of the sessions.
const ARRIVALS: u64 = u64::MAX;

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// Sessions that start within so many seconds, all of them finished.
    Seconds(f64),
    /// So many requests; the last session is cut off there.
    Requests(u64),
}

/// How many come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coming {
    /// Sessions per second.
    Sessions(f64),
    /// Requests per second in the long run: sessions by the mean of their requests.
    Requests(f64),
}

/// What a run is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Run {
    /// Sessions start by themselves, at the mean rate of a day, from this hour of it on. From an empty
    /// start the requests under way rise for as long as a session lasts.
    Open {
        /// How many come.
        coming: Coming,
        /// How long.
        extent: Extent,
        /// Hour of the day it begins at, for a daily curve.
        hour: f64,
    },
    /// Users take one session after the other.
    Users {
        /// How many.
        users: u32,
        /// Requests of all of them.
        requests: u64,
    },
}

/// A class with its quantiles.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    turns: Quantiles,
    first: Quantiles,
    next: Quantiles,
    output: Quantiles,
    think: Quantiles,
    pub common: u32,
    repeats: bool,
    kept: f64,
    limit: u32,
}

/// Where the shares come from by which lengths are drawn.
pub(super) trait Shares {
    fn first(&mut self) -> f64;
    fn next(&mut self) -> f64;
    fn output(&mut self) -> f64;
    fn think(&mut self) -> f64;
}

impl Shares for Chance {
    fn first(&mut self) -> f64 {
        self.uniform()
    }

    fn next(&mut self) -> f64 {
        self.uniform()
    }

    fn output(&mut self) -> f64 {
        self.uniform()
    }

    fn think(&mut self) -> f64 {
        self.uniform()
    }
}

impl Drawn {
    /// The quantiles of a class whose sessions grow to `limit` tokens at most.
    pub(super) fn of(class: &ClassSpec, limit: Option<u64>) -> Self {
        let line = |value| Quantiles::Line { from: value, width: 0.0 };
        let stated = class.limit.as_ref().map_or(u64::MAX, |limit| limit.value.tokens);
        let limit = stated.min(limit.unwrap_or(u64::MAX)).clamp(2, MOST_TOKENS as u64);
        Self {
            turns: class.turns.as_ref().map_or_else(|| line(1.0), |law| law.value.quantiles()),
            first: class.first.value.quantiles(),
            next: class.next.as_ref().unwrap_or(&class.first).value.quantiles(),
            output: class.output.value.quantiles(),
            think: class.think_s.as_ref().map_or_else(|| line(0.0), |law| law.value.quantiles()),
            common: class.common().min(limit) as u32,
            repeats: class.history != Some(History::None),
            kept: class.answer_kept.as_ref().map_or(1.0, |kept| kept.value.share),
            limit: limit as u32,
        }
    }

    /// Requests of a session.
    pub(super) fn turn_count(&self, share: f64) -> usize {
        self.turns.at(share).round().clamp(1.0, MOST_TURNS) as usize
    }

    /// Seconds before the first request of a session.
    pub(super) fn pause(&self, pause: Option<&Quantiles>, share: f64) -> f64 {
        pause.unwrap_or(&self.think).at(share).min(LONGEST_THINK)
    }

    /// The requests of a session, the first sent after `after` seconds.
    pub(super) fn turns(&self, count: usize, after: f64, shares: &mut impl Shares) -> Vec<Turn> {
        let whole = |tokens: f64| tokens.round().clamp(0.0, MOST_TOKENS) as u32;
        let fits = |input: u32, output: u32| u64::from(input) + u64::from(output) <= u64::from(self.limit);
        let mut turns: Vec<Turn> = Vec::with_capacity(count);
        for _ in 0..count {
            let output = whole(self.output.at(shares.output())).max(1);
            let begins = |shares: &mut _| self.common + whole(self.first.at(Shares::first(shares)));
            let (after, input, repeated) = match turns.last() {
                None => (after, begins(shares), 0),
                Some(last) => {
                    let think = self.think.at(shares.think()).min(LONGEST_THINK);
                    let fresh = whole(self.next.at(shares.next()));
                    let answer = if self.repeats { whole(f64::from(last.output) * self.kept) } else { 0 };
                    let held = if self.repeats { last.input } else { self.common };
                    let input = held.saturating_add(answer).saturating_add(fresh);
                    // Behind thoughts that are left out an answer stands at other places than it was
                    // written at, and is computed anew.
                    let repeated = if self.kept < 1.0 { held } else { held + answer };
                    // Instead of the history comes a summary.
                    if self.repeats && !fits(input, output) {
                        (think, begins(shares), self.common)
                    } else {
                        (think, input, repeated)
                    }
                }
            };
            let input = input.clamp(1, self.limit - 1);
            let output = output.min(self.limit - input);
            turns.push(Turn { after, input, repeated: repeated.min(input - 1), output });
        }
        turns
    }
}

impl WorkloadSpec {
    /// Draws the requests of a run; the same seed gives the same bytes. Sessions grow to `limit`
    /// tokens at most, such as the context of the model.
    pub fn traffic(&self, run: Run, limit: Option<u64>, seed: u64) -> Traffic {
        let drawer = Drawer {
            spec: self,
            classes: self.drawn(limit),
            shares: self.shares(),
            pause: pause(self),
            seed,
            limit,
        };
        let (sessions, users) = match run {
            Run::Open { coming, extent, hour } => (drawer.open(coming, extent, hour), None),
            Run::Users { users, requests } => (drawer.until(requests, |_| 0.0), Some(users)),
        };
        Traffic { classes: self.traffic_classes(&drawer.classes), sessions, users }
    }

    /// The classes with their quantiles.
    pub(super) fn drawn(&self, limit: Option<u64>) -> Vec<Drawn> {
        self.class.iter().map(|class| Drawn::of(class, limit)).collect()
    }

    /// The classes as a traffic knows them.
    pub(super) fn traffic_classes(&self, drawn: &[Drawn]) -> Vec<Class> {
        let classes = self.class.iter().zip(drawn).map(|(class, drawn)| Class {
            name: class.name.value.clone(),
            common: drawn.common,
            priority: class.priority.as_ref().map_or(0, |priority| priority.value.min(9) as u8),
        });
        classes.collect()
    }
}

/// Seconds between two sessions of a user, where they differ from those between two requests.
pub(super) fn pause(spec: &WorkloadSpec) -> Option<Quantiles> {
    match &spec.arrivals.as_ref()?.value {
        Arrivals::Users(users) => Some(users.pause_s.quantiles()),
        Arrivals::Poisson(_) | Arrivals::Gamma(_) | Arrivals::Daily(_) => None,
    }
}

/// Draws sessions.
struct Drawer<'s> {
    spec: &'s WorkloadSpec,
    classes: Vec<Drawn>,
    shares: Vec<f64>,
    pause: Option<Quantiles>,
    seed: u64,
    limit: Option<u64>,
}

impl Drawer<'_> {
    fn session(&self, number: u64, start: f64) -> Session {
        let mut chance = Chance::new(self.seed, number);
        let mut rest = chance.uniform();
        let last = self.shares.len() - 1;
        let class = self.shares[..last].iter().take_while(|share| {
            rest -= **share;
            rest >= 0.0
        });
        let class = class.count();
        let drawn = &self.classes[class];
        let count = drawn.turn_count(chance.uniform());
        let after = drawn.pause(self.pause.as_ref(), chance.uniform());
        Session { start, class: class as u16, turns: drawn.turns(count, after, &mut chance) }
    }

    /// Sessions with so many requests.
    fn until(&self, requests: u64, start: impl FnMut(u64) -> f64) -> Vec<Session> {
        let mut start = start;
        let (mut sessions, mut sent) = (Vec::new(), 0);
        while sent < requests {
            let number = sessions.len() as u64;
            let mut session = self.session(number, start(number));
            session.turns.truncate((requests - sent) as usize);
            sent += session.turns.len() as u64;
            sessions.push(session);
        }
        sessions
    }

    /// Sessions that start by themselves.
    fn open(&self, coming: Coming, extent: Extent, hour: f64) -> Vec<Session> {
        let rate = match coming {
            Coming::Sessions(rate) => rate,
            Coming::Requests(rate) => rate / self.spec.profile(self.limit).turns,
        };
        let arrivals = self.spec.arrivals.as_ref().map(|stated| &stated.value);
        let (cv, hours) = arrivals.map_or((1.0, [1.0; 24]), |a| (a.cv(), a.hours()));
        let mut clock = Clock { hours, rate, hour: hour.rem_euclid(24.0), now: 0.0 };
        let mut chance = Chance::new(self.seed, ARRIVALS);
        let mut next = || clock.pass(chance.gamma(cv));
        let mut sessions = match extent {
            Extent::Requests(requests) => self.until(requests, |_| next()),
            Extent::Seconds(seconds) => {
                let starts = std::iter::repeat_with(next).take_while(|start| *start < seconds);
                starts.enumerate().map(|(number, start)| self.session(number as u64, start)).collect()
            }
        };
        for session in &mut sessions {
            session.turns[0].after = 0.0;
        }
        sessions
    }
}

/// Time that runs at the rate of each hour: between two sessions lies a time of mean one on it.
struct Clock {
    hours: [f64; 24],
    /// Sessions per second, in the mean of the day.
    rate: f64,
    /// Hour of the day the run begins at.
    hour: f64,
    /// Seconds since then.
    now: f64,
}

impl Clock {
    /// The seconds when so many mean gaps have passed.
    fn pass(&mut self, gaps: f64) -> f64 {
        const DAY: f64 = 86_400.0;
        let days = (gaps / (self.rate * DAY)).floor();
        self.now += days * DAY;
        let mut left = gaps - days * self.rate * DAY;
        loop {
            let hour = self.hour + self.now / 3600.0;
            let rate = self.rate * self.hours[hour.rem_euclid(24.0) as usize % 24];
            // At least a millisecond, so that rounding cannot hold the clock at the end of an hour.
            let rest = ((hour.floor() + 1.0 - hour) * 3600.0).max(1e-3);
            if rate * rest >= left {
                self.now += left / rate;
                return self.now;
            }
            left -= rate * rest;
            self.now += rest;
        }
    }
}
