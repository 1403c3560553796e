//! Times on a ragged grid of N axes, and what lies between its points.
//!
//! The points form a tree: each coordinate of an axis has its own coordinates of the next, because
//! a benchmark drops the combinations that do not fit in memory. A question goes down the tree
//! between the two neighbours on every axis, and times are joined in log space: a power law per
//! cell, exact on the points, monotone wherever the points are. Outside the points of a branch the
//! nearest one answers: what it takes beyond a launch, which is the least time of the table, scales
//! with the roofline work of the question over its own, and is no less than that work. Leaving out
//! the outermost points of 21 pairs of device and engine, this halves the error of scaling all of the time.

use crate::units::math;

/// How an axis counts between two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// By ratio: counts from one up.
    Log,
    /// By difference: counts that may be zero.
    Linear,
}

/// How a time was obtained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Basis {
    /// The point was measured.
    Measured,
    /// Between measured points.
    Interpolated,
    /// From the nearest measured point, scaled with work.
    Extrapolated {
        /// Work of the question over work of the point or its inverse, whichever is above 1.
        reach: f64,
    },
}

impl Basis {
    /// The weaker of two.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Extrapolated { reach: a }, Self::Extrapolated { reach: b }) => {
                Self::Extrapolated { reach: a.max(b) }
            }
            (far @ Self::Extrapolated { .. }, _) | (_, far @ Self::Extrapolated { .. }) => far,
            (Self::Measured, Self::Measured) => Self::Measured,
            (Self::Measured | Self::Interpolated, Self::Measured | Self::Interpolated) => Self::Interpolated,
        }
    }
}

/// A time with how it was obtained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Seconds.
    pub seconds: f64,
    /// How they were obtained.
    pub basis: Basis,
}

/// The coordinates of one axis, all branches after another.
#[derive(Clone, Debug, Default)]
struct Level {
    values: Vec<f64>,
    /// The values on the scale of the axis.
    places: Vec<f64>,
    /// Where the coordinates below each value start on the next axis; one more than values.
    first: Vec<u32>,
}

/// Measured seconds on N axes.
#[derive(Clone, Debug)]
pub(super) struct Grid<const N: usize> {
    scales: [Scale; N],
    levels: [Level; N],
    seconds: Vec<f64>,
    /// Logarithms of the seconds.
    logs: Vec<f64>,
    /// The least time.
    launch: f64,
}

/// A question on its way down the tree.
struct Walk<'a, const N: usize, W> {
    asked: &'a [f64; N],
    /// The question on the scales of the axes, once needed.
    places: [f64; N],
    /// The question moved to the border of the branch.
    reached: [f64; N],
    /// Axes on which it was moved.
    outside: usize,
    reach: f64,
    between: bool,
    leaf: usize,
    /// An axis whose point at the very coordinate is not to be used.
    hidden: Option<usize>,
    work: &'a W,
}

impl<const N: usize> Grid<N> {
    /// The grid of some points in any order; of points measured twice the faster stays. `None`
    /// without points. A count of zero has no place on a logarithmic axis.
    pub(super) fn new(scales: [Scale; N], mut points: Vec<([f64; N], f64)>) -> Option<Self> {
        let order = |a: &[f64; N], b: &[f64; N]| {
            a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne())
        };
        points.retain(|(at, _)| (0..N).all(|axis| scales[axis] == Scale::Linear || at[axis] > 0.0));
        points.sort_by(|(a, s), (b, t)| order(a, b).unwrap_or_else(|| s.total_cmp(t)));
        points.dedup_by(|later, kept| order(&later.0, &kept.0).is_none());
        let launch = points.iter().map(|(_, seconds)| *seconds).reduce(f64::min)?;
        let mut levels: [Level; N] = std::array::from_fn(|_| Level::default());
        let mut before: Option<&[f64; N]> = None;
        for (at, _) in &points {
            let fresh = before.map_or(0, |before| {
                (0..N).find(|axis| before[*axis].total_cmp(&at[*axis]).is_ne()).unwrap_or(N)
            });
            for axis in fresh..N {
                let below = levels.get(axis + 1).map_or(0, |next| next.values.len());
                let level = &mut levels[axis];
                level.values.push(at[axis]);
                level.places.push(place(scales[axis], at[axis]));
                level.first.push(below as u32);
            }
            before = Some(at);
        }
        for axis in 0..N {
            let below = levels.get(axis + 1).map_or(0, |next| next.values.len());
            levels[axis].first.push(below as u32);
        }
        let seconds: Vec<f64> = points.iter().map(|(_, seconds)| *seconds).collect();
        let logs = seconds.iter().map(|seconds| math::ln(*seconds)).collect();
        Some(Self { scales, levels, seconds, logs, launch })
    }

    /// The number of points.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.seconds.len()
    }

    /// The least time.
    pub(super) const fn launch(&self) -> f64 {
        self.launch
    }

    /// The least and the largest coordinate of the outermost axis.
    pub(super) fn span(&self) -> (f64, f64) {
        let values = &self.levels[0].values;
        (values[0], values[values.len() - 1])
    }

    /// The time at a place; `work` is the least seconds of a place, used outside the grid.
    pub(super) fn at(&self, asked: &[f64; N], work: &impl Fn(&[f64; N]) -> f64) -> Timing {
        self.answer(asked, work, None)
    }

    /// The time at a place with the points at the same coordinate of an axis left out.
    #[cfg(test)]
    pub(super) fn without(&self, axis: usize, asked: &[f64; N], work: &impl Fn(&[f64; N]) -> f64) -> Timing {
        self.answer(asked, work, Some(axis))
    }

    /// A time of this grid as that of another shape, given the work of both, in seconds.
    pub(super) fn scaled(&self, timing: Timing, from: f64, to: f64) -> Timing {
        let ratio = to / from;
        Timing {
            seconds: self.grown(timing.seconds, ratio, to),
            basis: timing.basis.and(Basis::Extrapolated { reach: ratio.max(1.0 / ratio) }),
        }
    }

    /// A time whose work becomes `ratio` times as much, then `work` seconds at least: all but the
    /// launch grows, and nothing beats the best rates.
    fn grown(&self, near: f64, ratio: f64, work: f64) -> f64 {
        let grown = self.launch + (near - self.launch) * ratio;
        grown.max(work.min(near * ratio))
    }

    /// Every point with its seconds.
    #[cfg(test)]
    pub(super) fn points(&self) -> Vec<([f64; N], f64)> {
        let parent = |axis: usize, index: usize| {
            self.levels[axis].first.partition_point(|first| *first as usize <= index) - 1
        };
        (0..self.len())
            .map(|leaf| {
                let (mut at, mut index) = ([0.0; N], leaf);
                for axis in (0..N).rev() {
                    at[axis] = self.levels[axis].values[index];
                    index = if axis > 0 { parent(axis - 1, index) } else { 0 };
                }
                (at, self.seconds[leaf])
            })
            .collect()
    }

    fn answer(&self, asked: &[f64; N], work: &impl Fn(&[f64; N]) -> f64, hidden: Option<usize>) -> Timing {
        let mut walk = Walk {
            asked,
            places: [f64::NAN; N],
            reached: *asked,
            outside: 0,
            reach: 1.0,
            between: false,
            leaf: 0,
            hidden,
            work,
        };
        let log = self.descend(&mut walk, 0, 0, self.levels[0].values.len());
        if walk.reach > 1.0 || walk.outside > 0 {
            Timing { seconds: math::exp(log), basis: Basis::Extrapolated { reach: walk.reach } }
        } else if walk.between {
            Timing { seconds: math::exp(log), basis: Basis::Interpolated }
        } else {
            Timing { seconds: self.seconds[walk.leaf], basis: Basis::Measured }
        }
    }

    /// Logarithm of the time in the branch of an axis between two indices.
    fn descend<W: Fn(&[f64; N]) -> f64>(
        &self,
        walk: &mut Walk<'_, N, W>,
        axis: usize,
        from: usize,
        to: usize,
    ) -> f64 {
        let level = &self.levels[axis];
        let asked = walk.asked[axis];
        let high = from + level.values[from..to].partition_point(|value| *value < asked);
        let (mut low, mut high) = (high.checked_sub(1).filter(|low| *low >= from), high);
        if high < to && level.values[high].total_cmp(&asked).is_eq() {
            if walk.hidden != Some(axis) || to - from == 1 {
                return self.follow(walk, axis, high);
            }
            high += 1;
        }
        if low.is_none() && high == to {
            low = Some(to - 1);
        }
        match low {
            Some(low) if high < to => {
                walk.between = true;
                if walk.places[axis].is_nan() {
                    walk.places[axis] = place(self.scales[axis], asked);
                }
                let (start, end) = (level.places[low], level.places[high]);
                let way = (walk.places[axis] - start) / (end - start);
                let (slow, fast) = (self.follow(walk, axis, low), self.follow(walk, axis, high));
                match self.scales[axis] {
                    Scale::Log => slow + way * (fast - slow),
                    Scale::Linear => math::ln(math::exp(slow) * (1.0 - way) + math::exp(fast) * way),
                }
            }
            _ => {
                let border = low.unwrap_or(high);
                walk.reached[axis] = level.values[border];
                walk.outside += 1;
                let log = self.follow(walk, axis, border);
                walk.outside -= 1;
                walk.reached[axis] = asked;
                // A border of the same work is still not the point asked for.
                walk.reach = walk.reach.max(1.0 + f64::EPSILON);
                log
            }
        }
    }

    /// Logarithm of the time below one coordinate.
    fn follow<W: Fn(&[f64; N]) -> f64>(&self, walk: &mut Walk<'_, N, W>, axis: usize, index: usize) -> f64 {
        if axis + 1 < N {
            let first = &self.levels[axis].first;
            return self.descend(walk, axis + 1, first[index] as usize, first[index + 1] as usize);
        }
        walk.leaf = index;
        if walk.outside == 0 {
            return self.logs[index];
        }
        let (asked, near) = ((walk.work)(walk.asked), self.seconds[index]);
        let ratio = asked / (walk.work)(&walk.reached);
        walk.reach = walk.reach.max(ratio).max(1.0 / ratio);
        math::ln(self.grown(near, ratio, asked))
    }
}

/// A coordinate on a scale.
fn place(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Log => math::ln(value),
        Scale::Linear => value,
    }
}

/// How far apart two counts are, as a ratio of at least 1.
pub(super) fn apart(a: f64, b: f64) -> f64 {
    (a / b).max(b / a)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` to 8 by doubling, `b` to 100 by tens but no more than 40 where `a` is 8.
    fn ragged() -> Grid<2> {
        let mut points = Vec::new();
        for a in [1.0, 2.0, 4.0, 8.0] {
            for b in [1.0, 10.0, 20.0, 40.0, 100.0] {
                if a * b <= 400.0 {
                    points.push(([a, b], 5e-6 + 1e-6 * a * b));
                }
            }
        }
        points.reverse();
        points.push(([1.0, 1.0], 1.0));
        Grid::new([Scale::Log, Scale::Log], points).unwrap()
    }

    fn work(at: &[f64; 2]) -> f64 {
        1e-6 * at[0] * at[1]
    }

    #[test]
    fn points_are_exact_and_the_faster_of_two_stays() {
        let grid = ragged();
        assert_eq!(grid.len(), 19);
        for (at, seconds) in grid.points() {
            assert_eq!(grid.at(&at, &work), Timing { seconds, basis: Basis::Measured }, "{at:?}");
        }
        assert!(grid.at(&[1.0, 1.0], &work).seconds < 1e-5);
    }

    #[test]
    fn between_points_it_is_a_power_law() {
        // Half way in log between 10 and 40 with a = 4 lies 20; hide it: sqrt(45 us * 165 us).
        let hidden = ragged().without(1, &[4.0, 20.0], &work);
        assert_eq!(hidden.basis, Basis::Interpolated);
        assert!((hidden.seconds / (45e-6_f64 * 165e-6).sqrt() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn beyond_the_border_work_scales() {
        // The last point of a = 8 is 325 us at b = 40, of which 6 us are launch; twice the work.
        let far = ragged().at(&[8.0, 80.0], &work);
        assert!((far.seconds - 644e-6).abs() < 1e-12, "{far:?}");
        assert_eq!(far.basis, Basis::Extrapolated { reach: 2.0 });
        // A lone point is all work: at its rate, not at that of its launch.
        let lone = Grid::new([Scale::Log; 2], vec![([1.0, 1.0], 1e-6)]).unwrap();
        assert!((lone.at(&[1.0, 50.0], &work).seconds - 50e-6).abs() < 1e-15);
        // Below the first point nothing is faster than the fastest launch.
        assert!((ragged().at(&[1.0, 0.01], &work).seconds - 6e-6).abs() < 1e-15);
    }

    #[test]
    fn more_is_never_faster() {
        let grid = ragged();
        for a in [1.0, 1.5, 3.0, 6.0, 8.0, 11.0] {
            let mut before = 0.0;
            for step in 1..300 {
                let now = grid.at(&[a, f64::from(step) * 0.7], &work).seconds;
                assert!(now >= before * (1.0 - 1e-12), "{a} {step}: {before} {now}");
                before = now;
            }
        }
    }

    #[test]
    fn a_linear_axis_starts_at_zero() {
        let points = vec![([0.0], 1.0), ([128.0], 3.0)];
        let grid = Grid::new([Scale::Linear], points).unwrap();
        let half = grid.at(&[64.0], &|at: &[f64; 1]| 1.0 + at[0]);
        assert!((half.seconds - 2.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_makes_no_grid() {
        assert!(Grid::<3>::new([Scale::Log; 3], Vec::new()).is_none());
    }
}
