//! Points by what they must agree in, gathered over the versions of a table.

use super::OperatorsError;
use super::folder::Table;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Values by key, sorted.
#[derive(Clone, Debug)]
pub(super) struct Groups<K, V>(Vec<(K, V)>);

/// Points of the tables read so far.
pub(super) struct Gather<K, const N: usize> {
    points: BTreeMap<K, Vec<([f64; N], f64)>>,
    /// Keys a newer table has answered for.
    settled: BTreeSet<K>,
}

impl<K: Ord + Copy, const N: usize> Gather<K, N> {
    /// Reads tables, newest first, each with `read`.
    pub(super) fn of(
        tables: &[&Table],
        read: impl Fn(&Path, &mut Self) -> Result<(), OperatorsError>,
    ) -> Result<Self, OperatorsError> {
        let mut gather = Self { points: BTreeMap::new(), settled: BTreeSet::new() };
        for table in tables {
            read(&table.path, &mut gather)?;
            gather.settled = gather.points.keys().copied().collect();
        }
        Ok(gather)
    }

    /// Adds a point; rows of unknown kinds or impossible figures are passed over, and so are those
    /// whose key a newer table has.
    pub(super) fn add(&mut self, key: Option<K>, at: [f64; N], seconds: f64) {
        let Some(key) = key.filter(|key| !self.settled.contains(key)) else { return };
        let sound = seconds.is_finite() && seconds > 0.0;
        if sound && at.iter().all(|at| at.is_finite() && *at >= 0.0) {
            self.points.entry(key).or_default().push((at, seconds));
        }
    }

    /// The same points by a part of their keys.
    pub(super) fn by<L: Ord + Copy>(self, part: impl Fn(&K) -> L) -> Gather<L, N> {
        let mut points: BTreeMap<L, Vec<_>> = BTreeMap::new();
        for (key, mut own) in self.points {
            points.entry(part(&key)).or_default().append(&mut own);
        }
        Gather { points, settled: BTreeSet::new() }
    }

    /// Makes a value of the points of each key; `None` when nothing is left.
    pub(super) fn build<V>(
        self,
        each: impl Fn(&K, Vec<([f64; N], f64)>) -> Option<V>,
    ) -> Option<Groups<K, V>> {
        let made = self.points.into_iter().filter_map(|(key, points)| Some((key, each(&key, points)?)));
        let groups: Vec<_> = made.collect();
        (!groups.is_empty()).then_some(Groups(groups))
    }
}

impl<K: Ord + Copy, V> Groups<K, V> {
    /// The value of a key.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let at = self.0.binary_search_by(|(own, _)| own.cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// The key and value that are least far, by a distance of at least 1; those without are out.
    pub(super) fn nearest(&self, far: impl Fn(&K) -> Option<f64>) -> Option<(&K, &V, f64)> {
        let mut best: Option<(&K, &V, f64)> = None;
        for (key, value) in &self.0 {
            if let Some(far) = far(key)
                && best.is_none_or(|(.., least)| far < least)
            {
                best = Some((key, value, far));
            }
        }
        best
    }

    /// Keys and values in order.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.0.iter()
    }
}
