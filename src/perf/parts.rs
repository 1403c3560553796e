//! Collects the parts of a step.

use crate::perf::time::{Limit, Part, StepTime};
use crate::units::{Bytes, Flop, Seconds};

/// Parts under construction; operations of one label and limit become one part.
#[derive(Debug, Default)]
pub(super) struct Parts(Vec<Part>);

/// What an operation costs and moves, per device.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Seconds.
    pub time: f64,
    /// Operations.
    pub flop: f64,
    /// Bytes.
    pub bytes: f64,
}

impl Cost {
    /// A time without work.
    pub(super) const fn fixed(time: f64) -> Self {
        Self { time, flop: 0.0, bytes: 0.0 }
    }

    /// The same so many times.
    pub(super) fn times(self, n: f64) -> Self {
        Self { time: self.time * n, flop: self.flop * n, bytes: self.bytes * n }
    }

    /// The work of so many rows on one read.
    pub(super) fn with_rows(self, rows: f64) -> Self {
        Self { flop: self.flop * rows, ..self }
    }

    /// Both, one after the other.
    pub(super) fn and(self, other: Self) -> Self {
        Self { time: self.time + other.time, flop: self.flop + other.flop, bytes: self.bytes + other.bytes }
    }
}

impl Parts {
    /// Adds an operation of further layers unless it takes no time.
    pub(super) fn add(&mut self, label: &'static str, layers: f64, limit: Limit, cost: Cost, basis: &str) {
        self.put(label, layers, limit, cost, basis, |before, more| before + more);
    }

    /// Adds another operation of the same layers.
    pub(super) fn also(&mut self, label: &'static str, layers: f64, limit: Limit, cost: Cost, basis: &str) {
        self.put(label, layers, limit, cost, basis, u32::max);
    }

    fn put(
        &mut self,
        label: &'static str,
        layers: f64,
        limit: Limit,
        cost: Cost,
        basis: &str,
        merge: impl Fn(u32, u32) -> u32,
    ) {
        if cost.time == 0.0 {
            return;
        }
        let layers = layers.round() as u32;
        let (time, flop, bytes) = (Seconds::new(cost.time), Flop::new(cost.flop), Bytes::new(cost.bytes));
        if let Some(part) = self.find(label, limit) {
            part.layers = merge(part.layers, layers);
            part.time += time;
            part.flop += flop;
            part.bytes += bytes;
        } else {
            self.0.push(Part { label, layers, time, limit, flop, bytes, basis: basis.to_owned() });
        }
    }

    /// Time so far, seconds.
    pub(super) fn total(&self) -> f64 {
        self.0.iter().map(|part| part.time.get()).sum()
    }

    /// Multiplies all times.
    pub(super) fn scale(&mut self, factor: f64) {
        for part in &mut self.0 {
            part.time = part.time * factor;
        }
    }

    /// The same step so many times.
    pub(super) fn repeat(&mut self, times: f64) {
        for part in &mut self.0 {
            part.time = part.time * times;
            part.flop = part.flop * times;
            part.bytes = part.bytes * times;
        }
    }

    /// Adds a step of the same layers: the next chunk.
    pub(super) fn then(&mut self, next: Parts) {
        self.join(next, u32::max);
    }

    /// Adds the parts of other layers: the next stage.
    pub(super) fn beyond(&mut self, next: Parts) {
        self.join(next, |before, more| before + more);
    }

    fn join(&mut self, next: Parts, layers: impl Fn(u32, u32) -> u32) {
        for part in next.0 {
            if let Some(known) = self.find(part.label, part.limit) {
                known.layers = layers(known.layers, part.layers);
                known.time += part.time;
                known.flop += part.flop;
                known.bytes += part.bytes;
            } else {
                self.0.push(part);
            }
        }
    }

    fn find(&mut self, label: &str, limit: Limit) -> Option<&mut Part> {
        self.0.iter_mut().find(|part| part.label == label && part.limit == limit)
    }

    /// The finished step.
    pub(super) fn finish(self) -> StepTime {
        StepTime { parts: self.0 }
    }
}
