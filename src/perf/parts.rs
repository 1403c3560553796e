//! Collects the parts of a step, or only its time.

use crate::perf::constants::Basis;
use crate::perf::time::{Limit, Part, StepTime};
use crate::units::{Bytes, Flop, Seconds};
use std::sync::Arc;

/// A step under construction: its time by limit and, where a reader asked for them, its parts.
/// Operations of one label and limit become one part.
#[derive(Debug, Default)]
pub(super) struct Parts {
    by_limit: [f64; Limit::ALL.len()],
    list: Option<Vec<Part>>,
}

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
    /// Starts a step that keeps its parts.
    pub(super) fn listed() -> Self {
        Self { list: Some(Vec::with_capacity(16)), ..Self::default() }
    }

    /// Starts another step of the same kind.
    pub(super) fn another(&self) -> Self {
        if self.list.is_some() { Self::listed() } else { Self::default() }
    }

    /// Adds an operation of further layers unless it takes no time.
    pub(super) fn add(&mut self, label: &'static str, layers: f64, limit: Limit, cost: Cost, basis: &Basis) {
        self.put(label, layers, limit, cost, basis, |before, more| before + more);
    }

    /// Adds another operation of the same layers.
    pub(super) fn also(&mut self, label: &'static str, layers: f64, limit: Limit, cost: Cost, basis: &Basis) {
        self.put(label, layers, limit, cost, basis, u32::max);
    }

    fn put(
        &mut self,
        label: &'static str,
        layers: f64,
        limit: Limit,
        cost: Cost,
        basis: &Basis,
        merge: impl Fn(u32, u32) -> u32,
    ) {
        if cost.time == 0.0 {
            return;
        }
        self.by_limit[limit as usize] += cost.time;
        let Some(list) = &mut self.list else { return };
        let layers = layers.round() as u32;
        let (time, flop, bytes) = (Seconds::new(cost.time), Flop::new(cost.flop), Bytes::new(cost.bytes));
        if let Some(part) = find(list, label, limit) {
            part.layers = merge(part.layers, layers);
            part.time += time;
            part.flop += flop;
            part.bytes += bytes;
            both(&mut part.basis, basis);
        } else {
            list.push(Part { label, layers, time, limit, flop, bytes, basis: basis.clone() });
        }
    }

    /// Time so far, seconds.
    pub(super) fn total(&self) -> f64 {
        self.by_limit.iter().sum()
    }

    /// Multiplies all times.
    pub(super) fn scale(&mut self, factor: f64) {
        self.by_limit = self.by_limit.map(|time| time * factor);
        for part in self.list.iter_mut().flatten() {
            part.time = part.time * factor;
        }
    }

    /// The same step so many times.
    pub(super) fn repeat(&mut self, times: f64) {
        self.scale(times);
        for part in self.list.iter_mut().flatten() {
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
        for (time, more) in self.by_limit.iter_mut().zip(next.by_limit) {
            *time += more;
        }
        let Some(list) = &mut self.list else { return };
        for part in next.list.into_iter().flatten() {
            if let Some(known) = find(list, part.label, part.limit) {
                known.layers = layers(known.layers, part.layers);
                known.time += part.time;
                known.flop += part.flop;
                known.bytes += part.bytes;
                both(&mut known.basis, &part.basis);
            } else {
                list.push(part);
            }
        }
    }

    /// The resource that takes most of the time.
    pub(super) fn limit(&self) -> Limit {
        let most = Limit::ALL
            .iter()
            .max_by(|a, b| self.by_limit[**a as usize].total_cmp(&self.by_limit[**b as usize]));
        most.copied().unwrap_or(Limit::Overhead)
    }

    /// The finished step.
    pub(super) fn finish(self) -> StepTime {
        StepTime { parts: self.list.unwrap_or_default() }
    }
}

/// What a part rests on once another is merged into it.
fn both(known: &mut Basis, more: &Basis) {
    let Some(more) = more else { return };
    match known {
        Some(own) if own.contains(more.as_ref()) => {}
        Some(own) if more.contains(own.as_ref()) => *own = Arc::clone(more),
        Some(own) => *own = format!("{own}, {more}").into(),
        None => *known = Some(Arc::clone(more)),
    }
}

fn find<'p>(list: &'p mut [Part], label: &str, limit: Limit) -> Option<&'p mut Part> {
    list.iter_mut().find(|part| part.label == label && part.limit == limit)
}
