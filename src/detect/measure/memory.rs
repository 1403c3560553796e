//! Read bandwidth of the memory by the number of threads.

use crate::detect::probe::Probe;
use crate::units::{Bandwidth, Bytes};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The buffer against all last-level caches together: cyclic reads of that much find nothing cached.
const OVER_CACHES: u64 = 4;

/// Least and most of one pass.
const LEAST: u64 = 512 << 20;
const MOST: u64 = 8 << 30;

/// How long each number of threads reads, and all of them together.
const EACH: Duration = Duration::from_millis(500);
const ALL: Duration = Duration::from_secs(8);

/// Bytes of one pass, and what each number of threads reads. Nothing is measured where a quarter of
/// the free memory is less than the caches: a cached read would pass for memory.
pub(super) fn by_threads(probe: &Probe, progress: &mut dyn FnMut(&str)) -> (Bytes, Vec<(u32, Bandwidth)>) {
    let caches = last_level(probe);
    let size = (caches * OVER_CACHES).clamp(LEAST, MOST).min(free(probe) / 4);
    let bytes = Bytes::new(size as f64);
    if size < caches * 2 || size < 64 << 20 {
        return (bytes, Vec::new());
    }
    let most = probe.cpu.threads.max(1);
    progress("filling the buffer");
    let parts = filled(size, most);
    let size: usize = parts.iter().map(|part| part.len() * size_of::<u64>()).sum();
    let begin = Instant::now();
    let mut found = Vec::new();
    for threads in counts(probe) {
        progress(&format!("memory, {threads} thread(s)"));
        let (started, mut best) = (Instant::now(), f64::INFINITY);
        let mut passes = 0;
        while passes < 2 || (started.elapsed() < EACH && begin.elapsed() < ALL) {
            best = best.min(pass(&parts, threads));
            passes += 1;
        }
        found.push((threads, Bandwidth::new(size as f64 / best)));
        if begin.elapsed() >= ALL {
            break;
        }
    }
    (Bytes::new(size as f64), found)
}

/// All last-level caches together; 64 MiB where they are not known.
fn last_level(probe: &Probe) -> u64 {
    let last = probe.cpu.caches.iter().max_by_key(|cache| cache.level);
    last.map_or(64 << 20, |cache| {
        cache.bytes * u64::from(probe.cpu.threads.div_ceil(cache.threads.max(1)).max(1))
    })
}

fn free(probe: &Probe) -> u64 {
    probe.ram.limit.unwrap_or(probe.ram.total).min(probe.ram.total).saturating_sub(probe.ram.used)
}

/// Powers of two, the cores, and all hardware threads. All cores come first, so that time running
/// out leaves the figure that counts.
fn counts(probe: &Probe) -> Vec<u32> {
    let threads = probe.cpu.threads.max(1);
    let cores = probe.cpu.cores.unwrap_or(threads).clamp(1, threads);
    let mut counts = vec![cores, threads];
    counts.extend((0..16).map(|power| 1_u32 << power).filter(|count| *count < cores).rev());
    counts.dedup();
    counts
}

/// A part for each thread, filled by a thread of its own.
fn filled(size: u64, threads: u32) -> Vec<Vec<u64>> {
    let each = (size / u64::from(threads) / size_of::<u64>() as u64) as usize;
    std::thread::scope(|scope| {
        let fillers: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || vec![u64::from(thread) | 1; each])).collect();
        fillers.into_iter().filter_map(|filler| filler.join().ok()).collect()
    })
}

/// Seconds in which so many threads read all parts once.
fn pass(parts: &[Vec<u64>], threads: u32) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads as usize {
            scope.spawn(move || {
                for part in parts.iter().skip(thread).step_by(threads as usize) {
                    black_box(sum(part));
                }
            });
        }
    });
    start.elapsed().as_secs_f64()
}

/// The sum in eight independent lanes, which compilers make vector additions of.
fn sum(numbers: &[u64]) -> u64 {
    let mut lanes = [0_u64; 8];
    let chunks = numbers.chunks_exact(8);
    let rest: u64 = chunks.remainder().iter().fold(0, |sum, number| sum.wrapping_add(*number));
    for chunk in chunks {
        for (lane, number) in lanes.iter_mut().zip(chunk) {
            *lane = lane.wrapping_add(*number);
        }
    }
    lanes.iter().fold(rest, |sum, lane| sum.wrapping_add(*lane))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::probe::{ProbedCache, ProbedCpu, ProbedRam};

    fn probe(cores: u32, threads: u32, free: u64) -> Probe {
        let cache = ProbedCache { level: 3, kind: "Unified".to_owned(), bytes: 32 << 20, threads: 16 };
        let cpu = ProbedCpu { cores: Some(cores), threads, caches: vec![cache], ..ProbedCpu::default() };
        Probe { cpu, ram: ProbedRam { total: free, ..ProbedRam::default() }, ..Probe::default() }
    }

    #[test]
    fn caches_count_once_per_sharing_threads() {
        // 192 threads in twelve groups of sixteen: twelve times 32 MiB.
        assert_eq!(last_level(&probe(96, 192, 0)), 12 * (32 << 20));
        assert_eq!(counts(&probe(6, 12, 0)), [6, 12, 4, 2, 1]);
        assert_eq!(counts(&probe(1, 1, 0)), [1]);
    }

    #[test]
    fn too_little_memory_is_not_measured() {
        let (_, found) = by_threads(&probe(2, 2, 100 << 20), &mut |_| {});
        assert!(found.is_empty());
    }

    #[test]
    fn every_number_is_read() {
        assert_eq!(sum(&(0..1003).collect::<Vec<u64>>()), 1003 * 1002 / 2);
        assert_eq!(sum(&[u64::MAX, 2]), 1);
    }
}
