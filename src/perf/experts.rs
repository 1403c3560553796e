//! The grouped products of routed experts on a datacenter accelerator.
//!
//! Bytes are those of the distinct experts touched, work that of all rows padded to tiles. Routing
//! is skewed: popularity falls with rank to the power a, which touches fewer experts than uniform
//! routing and loads the busiest device more.

use super::constants::{Fetch, Missing};
use super::gemm::Path;
use super::ops::ExpertLoad;
use super::parts::Cost;
use crate::catalogue::machine::DeviceGroup;
use crate::perf::class::Class;
use crate::units::math;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Untouched experts after 1, 2, 4, … tokens.
#[derive(Debug)]
pub(super) struct Touched {
    count: f64,
    left: Vec<f64>,
}

impl Touched {
    /// Tokens of the last point: beyond, every expert is touched.
    const POINTS: usize = 21;

    /// The curve of a shape, which every candidate of a model asks for: drawn once.
    fn shared(count: f64, active: f64, skew: f64) -> Arc<Self> {
        static DRAWN: RwLock<BTreeMap<[u64; 3], Arc<Touched>>> = RwLock::new(BTreeMap::new());
        let key = [count, active, skew].map(f64::to_bits);
        // A thread that panicked while it held the lock left whole curves behind.
        let known = DRAWN.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| {
            let mut drawn = DRAWN.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(drawn.entry(key).or_insert_with(|| Arc::new(Self::new(count, active, skew))))
        })
    }

    /// Probabilities proportional to `rank^-skew`, at most 1, that sum to `active`.
    pub(super) fn new(count: f64, active: f64, skew: f64) -> Self {
        let mut chances = powers(count as usize, -skew);
        let sum: f64 = chances.iter().sum();
        for chance in &mut chances {
            *chance *= active / sum;
        }
        // Experts capped at certainty leave more for the rest; a few rounds settle.
        for _ in 0..4 {
            let certain = chances.iter().filter(|chance| **chance >= 1.0).count() as f64;
            let rest: f64 = chances.iter().filter(|chance| **chance < 1.0).sum();
            let scale = if rest > 0.0 { (active - certain).max(0.0) / rest } else { 0.0 };
            for chance in &mut chances {
                *chance = if *chance < 1.0 { *chance * scale } else { 1.0 };
            }
        }
        let mut missed: Vec<f64> = chances.into_iter().map(|chance| 1.0 - chance.min(1.0)).collect();
        let left = (0..Self::POINTS)
            .map(|_| {
                let left = missed.iter().sum();
                for miss in &mut missed {
                    *miss *= *miss;
                }
                left
            })
            .collect();
        Self { count, left }
    }

    /// Distinct experts touched by so many tokens.
    pub(super) fn by(&self, tokens: f64) -> f64 {
        if tokens <= 1.0 {
            return (self.count - self.left[0]) * tokens;
        }
        let mut point = 0;
        while point + 2 < self.left.len() && (2u64 << point) as f64 <= tokens {
            point += 1;
        }
        let (from, to) = (self.left[point], self.left[point + 1]);
        let base = (1u64 << point) as f64;
        let way = ((tokens - base) / base).min(1.0);
        if to <= 0.0 {
            return self.count - from * (1.0 - way);
        }
        // Misses fall exponentially with tokens.
        self.count - from * math::pow(to / from, way)
    }
}

/// `rank^exponent` of the ranks up to `count`. A power of a product is the product of the powers,
/// so that only primes need the costly function.
fn powers(count: usize, exponent: f64) -> Vec<f64> {
    let mut powers = vec![1.0; count + 1];
    for rank in 2..=count {
        let mut divisors = (2..).take_while(|divisor| divisor * divisor <= rank);
        powers[rank] = match divisors.find(|divisor| rank % divisor == 0) {
            Some(divisor) => powers[divisor] * powers[rank / divisor],
            None => math::pow(rank as f64, exponent),
        };
    }
    powers.remove(0);
    powers
}

/// The experts of one shape with their constants.
#[derive(Clone, Debug)]
pub(super) struct GroupedExperts {
    pub load: ExpertLoad,
    touched: Arc<Touched>,
    t0: f64,
    per_flop: f64,
    per_byte: f64,
    /// Ranks that share the experts, and whether each holds whole ones.
    ranks: f64,
    whole: bool,
    tile: f64,
    /// What decode takes longer than the operator constants say.
    pub decode_factor: f64,
    uneven: f64,
    uneven_few: f64,
}

impl GroupedExperts {
    /// Resolves the constants; `ranks` devices share the experts of a layer.
    pub(super) fn new(
        load: ExpertLoad,
        group: &DeviceGroup,
        (ranks, whole): (f64, bool),
        tuned: bool,
        fetch: &mut Fetch<'_>,
    ) -> Result<Self, Missing> {
        let path = Path::of(load.kind, group);
        let kind = path.kind();
        let mut compute = fetch.of("moe_compute", kind)?;
        if matches!(fetch.asked.class, Class::BlackwellDc | Class::Gb300) {
            // Small experts fill the large tiles of these devices badly.
            let size = load.inner * load.width / fetch.get("expert_size_reference")?;
            compute *= math::pow(size, fetch.get("expert_size_exponent")?).clamp(0.5, 1.6);
        }
        Ok(Self {
            touched: Touched::shared(load.count, load.active, fetch.get("expert_skew")?),
            t0: fetch.of("moe_t0", kind)? * 1e-6,
            per_flop: 1.0 / (compute * path.peak(group)?),
            per_byte: 1.0 / (fetch.of("moe_memory", kind)? * group.bandwidth.value.get()),
            ranks,
            whole,
            decode_factor: fetch.of(if tuned { "expert_factor_tuned" } else { "expert_factor" }, kind)?,
            tile: fetch.get("expert_tile")?,
            uneven: fetch.get("expert_uneven")?,
            uneven_few: fetch.get("expert_uneven_few")?,
            load,
        })
    }

    /// One layer with so many tokens over all ranks. Says also whether arithmetic is larger.
    pub(super) fn cost(&self, tokens: f64) -> (Cost, bool) {
        let rows = tokens * self.load.active;
        let touched = self.touched.by(tokens);
        // Whole experts spread unevenly over ranks; cut experts do not.
        let uneven = if self.whole && self.ranks > 1.0 {
            self.uneven + self.uneven_few * (8.0 * self.ranks / rows).sqrt().min(1.0)
        } else {
            1.0
        };
        let bytes = (touched / self.ranks * uneven).min(self.load.count / self.ranks) * self.load.bytes;
        // Rows of an expert fill whole tiles.
        let padded = rows.max(touched * self.tile);
        let flop = 2.0 * padded / self.ranks * uneven * self.load.weights;
        let (multiply, read) = (flop * self.per_flop, bytes * self.per_byte);
        let time = self.t0 + (multiply * multiply + read * read).sqrt();
        (Cost { time, flop, bytes }, multiply > read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::ops::distinct;

    #[test]
    fn without_skew_it_is_the_closed_form() {
        let touched = Touched::new(384.0, 8.0, 0.0);
        for tokens in [1.0, 3.0, 4.0, 100.0, 256.0] {
            let hand = distinct(384.0, 8.0, tokens);
            assert!((touched.by(tokens) / hand - 1.0).abs() < 1e-3, "{tokens}: {hand}");
        }
    }

    #[test]
    fn skew_touches_fewer() {
        let (even, skewed) = (Touched::new(256.0, 8.0, 0.0), Touched::new(256.0, 8.0, 0.6));
        assert!(skewed.by(64.0) < even.by(64.0));
        assert!((skewed.by(1.0) - 8.0).abs() < 1e-6);
        assert!(skewed.by(1e9) <= 256.0 + 1e-9);
    }

    #[test]
    fn powers_of_products_agree_with_the_function() {
        for (index, power) in powers(130, -0.6).into_iter().enumerate() {
            assert!((power / math::pow((index + 1) as f64, -0.6) - 1.0).abs() < 1e-12, "{}", index + 1);
        }
    }

    #[test]
    fn few_experts_are_all_taken() {
        assert!((Touched::new(8.0, 8.0, 0.6).by(1.0) - 8.0).abs() < 1e-6);
    }
}
