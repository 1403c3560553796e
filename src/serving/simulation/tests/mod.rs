//! The simulation against queueing theory, laws and cases worked out by hand.

mod cache;
mod cluster;
mod known;
mod laws;

use super::super::lengths::chance;
use super::super::traffic::{Class, Session, Traffic, Turn};
use super::super::{Policy, StepTimes};
use super::*;
use crate::units::math;

/// The same time for every decode step, and for every prompt token.
#[derive(Clone, Copy, Debug)]
struct Even {
    decode: f64,
    token: f64,
}

impl StepTimes for Even {
    fn decode(&self, _: f64) -> f64 {
        self.decode
    }

    fn prefill(&self, tokens: f64) -> f64 {
        tokens * self.token
    }
}

/// A second per step, an eighth per prompt token.
const SLOW: Even = Even { decode: 1.0, token: 0.125 };

const MIXED: Policy = Policy {
    mixed: true,
    splits_prompts: true,
    overlap: 0.0,
    chunk: 8192,
    groups: 1,
    hold: 0,
    step: 0.0,
    api: 0.0,
    poll: 1,
};

const fn turn(input: u32, output: u32) -> Turn {
    Turn { after: 0.0, input, repeated: 0, output }
}

fn class(common: u32, priority: u8) -> Class {
    Class { name: String::new(), common, priority }
}

/// Sessions of one request each: when, of which class, with which lengths.
fn requests(classes: Vec<Class>, sessions: &[(f64, u16, u32, u32)]) -> Traffic {
    let session = |&(start, class, input, output)| Session { start, class, turns: vec![turn(input, output)] };
    Traffic { classes, sessions: sessions.iter().map(session).collect(), users: None }
}

/// Exponential numbers of mean one: evenly spread quantiles in an order of chance, so that a run of them has
/// the mean and spread of the distribution.
fn exponentials(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut drawn: Vec<f64> = (0..count).map(|n| -math::ln((n as f64 + 0.5) / count as f64)).collect();
    for last in (1..count).rev() {
        drawn.swap(last, (chance(&mut state) % (last as u64 + 1)) as usize);
    }
    drawn
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found / expected - 1.0).abs() < tolerance, "{found} is not {expected}");
}
