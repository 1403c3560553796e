//! What this machine really reads: memory by the number of threads, and the disk.
//!
//! Decoding on the processor reads every active weight once per step and writes almost nothing, so
//! the measured quantity is a read: the sum of a buffer well above the last cache, best pass of
//! several. Threads are not pinned; the one that fills a part of the buffer decides its NUMA node.

mod disk;
mod memory;

pub use disk::DiskRead;

use crate::detect::probe::Probe;
use crate::detect::profile::Profile;
use crate::fact::{Fact, Origin};
use crate::units::{Bandwidth, Bytes};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Date, `2026-11-24`.
    pub date: String,
    /// Programs that ran or waited in the minute before, where the system counts them: a busy machine
    /// measures too little.
    pub load: f64,
    /// Bytes read in one pass.
    pub buffer: Bytes,
    /// Threads and what they read together; empty if the memory is too small to tell.
    pub memory: Vec<(u32, Bandwidth)>,
    /// The disk, or why it was not measured.
    pub disk: Result<DiskRead, String>,
}

/// Measures memory and the disk of `folder` in under twenty seconds; `progress` hears of each step.
pub fn measure(probe: &Probe, folder: &Path, progress: &mut dyn FnMut(&str)) -> Measured {
    let load = sysinfo::System::load_average().map_or(0.0, |load| load.one);
    let (buffer, memory) = memory::by_threads(probe, progress);
    progress("disk");
    Measured { date: today(), load, buffer, memory, disk: disk::read(folder) }
}

impl Measured {
    /// Threads and rate of the fastest read.
    pub fn best(&self) -> Option<(u32, Bandwidth)> {
        self.memory.iter().copied().max_by(|a, b| a.1.in_gb_s().total_cmp(&b.1.in_gb_s()))
    }

    /// Puts the measured figures in the place of assumed and published ones.
    pub fn apply(&self, profile: &mut Profile) {
        let date = &self.date;
        // What is measured is not assumed any more.
        let mut replaced: Vec<Origin> = Vec::new();
        for host in profile.machine.nodes.iter_mut().map(|node| &mut node.host) {
            if let Some((threads, rate)) = self.best() {
                let how = format!(
                    "{date}, best read of {} by {threads} thread(s), load {:.1} before",
                    self.buffer, self.load
                );
                let fact = Fact::new(rate, Origin::Measured(how));
                replaced.push(std::mem::replace(&mut host.bandwidth, fact).origin);
            }
            if let Ok(read) = &self.disk {
                let fact = Fact::new(read.rate, Origin::Measured(format!("{date}, {}", read.how)));
                replaced.extend(host.disk.replace(fact).map(|fact| fact.origin));
            }
        }
        profile
            .machine
            .assumptions
            .retain(|said| replaced.iter().all(|was| *was != Origin::Assumed(said.clone())));
    }
}

/// The date of today in universal time.
pub fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(seconds / 86_400)
}

/// The civil date of a number of days since 1970-01-01, by the algorithm of H. Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::rig;
    use crate::catalogue::store::Catalogue;
    use crate::detect::{Readings, profile, replay, rig_toml};

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_781), "2026-11-24");
    }

    #[test]
    fn what_is_measured_is_planned_with() {
        let catalogue = Catalogue::embedded();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/probes/rtx-4090-pc");
        let probe = replay(&Readings::load(Path::new(folder)).unwrap());
        let mut found = profile(&probe, &catalogue).unwrap();
        let measured = Measured {
            date: "2026-11-24".to_owned(),
            load: 0.1,
            buffer: Bytes::gib(1.0),
            memory: vec![
                (1, Bandwidth::gb_s(31.0)),
                (16, Bandwidth::gb_s(71.5)),
                (32, Bandwidth::gb_s(70.0)),
            ],
            disk: Ok(DiskRead { rate: Bandwidth::gb_s(6.25), how: "1 GiB".to_owned() }),
        };
        measured.apply(&mut found);
        let said = |word: &str| found.machine.assumptions.iter().any(|said| said.contains(word));
        assert!(!said("memory channel") && !said("the disk"), "{:?}", found.machine.assumptions);
        let text = rig_toml(&found, &probe);
        let read = rig::machine("rig.toml", &text, &catalogue).unwrap();
        let host = read.host();
        assert!((host.bandwidth.value.in_gb_s() - 71.5).abs() < 1e-9, "{text}");
        let disk = host.disk.as_ref().unwrap();
        assert!((disk.value.in_gb_s() - 6.25).abs() < 1e-9);
        for origin in [&host.bandwidth.origin, &disk.origin] {
            assert!(
                matches!(origin, Origin::Measured(how) if how.starts_with("2026-11-24, rig.toml:")),
                "{origin}"
            );
        }
    }

    #[test]
    fn a_short_measurement_gives_plausible_figures() {
        let folder = std::env::temp_dir();
        let mut steps = 0;
        let measured = measure(&crate::detect::probe(), &folder, &mut |_| steps += 1);
        assert!(steps >= 2);
        for (threads, rate) in &measured.memory {
            assert!(*threads > 0 && rate.in_gb_s() > 0.05 && rate.in_gb_s() < 20_000.0, "{rate}");
        }
        if let Ok(read) = measured.disk {
            assert!(read.rate.in_gb_s() > 0.001, "{}", read.rate);
        }
    }
}
