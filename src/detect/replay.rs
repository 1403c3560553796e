//! Recorded machines, replayed: each mis-detection reported of such tools stays reported here.

use super::*;
use crate::catalogue::hardware::Topology;
use crate::catalogue::rig;
use crate::catalogue::store::Catalogue;
use crate::units::Bytes;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/probes")
}

fn recorded(name: &str) -> Probe {
    replay(&Readings::load(&folder().join(name)).unwrap_or_else(|error| panic!("{error}")))
}

fn understood(name: &str) -> Profile {
    profile(&recorded(name), &Catalogue::embedded()).unwrap()
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// What every recorded machine is understood as; a wrong device, memory or count shows here.
#[test]
fn every_machine() {
    let mut text = String::new();
    for name in names() {
        let found = understood(&name);
        let host = found.machine.host();
        let _ = writeln!(text, "{name}");
        for found in &found.matches {
            let id = found.id.as_deref().unwrap_or("–");
            let _ = writeln!(text, "  {} x {} = {id}", found.count, found.reported);
        }
        for (_, group) in found.machine.groups() {
            let _ = writeln!(
                text,
                "  {} x {}: {:.2} GiB ({} in use), {}, {}, host {}",
                group.count,
                group.id,
                group.memory.value.in_gib(),
                group.in_use,
                group.bandwidth.value,
                group.topology.value,
                group.host_link.value
            );
        }
        let disk = host.disk.as_ref().map_or_else(|| "–".to_owned(), |disk| disk.value.to_string());
        let _ = writeln!(
            text,
            "  host {} cores, {:.2} GiB ({} in use), {}, disk {disk}",
            host.cores.value,
            host.ram.value.in_gib(),
            host.in_use.value,
            host.bandwidth.value
        );
    }
    insta::assert_snapshot!(text);
}

#[test]
fn enough_machines_and_each_says_where_it_comes_from() {
    let names = names();
    assert!(names.len() >= 20, "{}", names.len());
    for name in names {
        let readings = Readings::load(&folder().join(&name)).unwrap();
        let said = &readings.recorded;
        assert!(said.starts_with("recorded") || said.starts_with("composed"), "{name}: {said}");
        assert_eq!(toml::from_str::<Readings>(&readings.to_text()).unwrap(), readings, "{name}");
    }
}

#[test]
fn several_devices_are_not_one_and_one_is_not_several() {
    let count = |name: &str| understood(name).machine.device_count();
    assert_eq!(count("dual-r9700"), 2);
    assert_eq!(count("dual-mi50-kfd-only"), 2);
    assert_eq!(count("two-makers"), 2);
    // The compute driver and the bus show the same device.
    assert_eq!(count("strix-halo"), 1);
    assert_eq!(count("8xmi300x-node"), 8);
    assert_eq!(count("integrated-counted-six-times"), 0);
    assert_eq!(recorded("integrated-counted-six-times").gpus.len(), 1);
    assert_eq!(count("7900-xtx-and-integrated"), 1);
}

#[test]
fn a_virtual_machine_without_accelerators() {
    let found = understood("cpu-vm");
    assert_eq!(found.machine.device_count(), 0);
    let said = |word: &str| found.machine.assumptions.iter().any(|said| said.contains(word));
    assert!(said("NVML") && said("virtual machine"), "{:?}", found.machine.assumptions);
    // No limit of the container is a number far above any memory.
    assert_eq!(found.machine.host().ram.value, Bytes::new(24_683_656.0 * 1024.0));
    let probe = recorded("cpu-vm");
    assert_eq!(
        probe.cpu.caches.iter().find(|cache| cache.level == 3).map(|cache| cache.bytes),
        Some(32 << 20)
    );
    assert_eq!(probe.disks[0].kind, "virtual");
}

#[test]
fn a_partition_is_a_device_of_its_own() {
    let found = understood("a100-mig-in-a-container");
    let group = &found.machine.nodes[0].devices[0];
    assert_eq!((group.count, group.memory.value), (2, Bytes::mib(40192.0)));
    // Three of seven parts compute 312 TFLOP/s x 3/7; half the memory has half the bandwidth.
    let whole = Catalogue::embedded().accelerator("a100-sxm-80gb").unwrap();
    let rate = |of: &crate::catalogue::hardware::Accelerator| of.rates.bf16.unwrap();
    assert!((rate(&group.accelerator) / rate(&whole.value) - 3.0 / 7.0).abs() < 1e-9);
    assert!((group.bandwidth.value / whole.value.bandwidth - 0.5).abs() < 1e-9);
    assert_ne!(group.topology.value, Topology::Switched);
    // The limit of the container, not the terabyte of the host.
    assert_eq!(found.machine.host().ram.value, Bytes::gib(64.0));
}

#[test]
fn unified_memory_is_what_the_driver_or_the_system_says() {
    let memory = |name: &str| understood(name).machine.nodes[0].devices[0].memory.value;
    assert_eq!(memory("dgx-spark"), Bytes::new(127_600_748.0 * 1024.0));
    assert_eq!(memory("mac-m3-max"), Bytes::gib(128.0) * 0.84);
    // A limit a person set is followed exactly.
    assert_eq!(memory("mac-m4-wired-limit"), Bytes::gib(40.0));
    assert_eq!(memory("strix-halo"), Bytes::gib(110.5));
    // The part given to the device counts, not what is left to the system.
    assert_eq!(memory("strix-halo-96-gb"), Bytes::gib(112.0));
}

#[test]
fn the_memory_of_a_device_is_not_the_hosts() {
    let host = |name: &str| understood(name).machine.host().ram.value;
    assert_eq!(host("gh200"), Bytes::new(502_000_000.0 * 1024.0));
    assert_eq!(host("container-of-4-gib"), Bytes::gib(4.0));
    assert_eq!(host("container-without-limit"), Bytes::new(65_843_196.0 * 1024.0));
    let silent = understood("rtx-5090-silent-memory");
    let memory = silent.machine.nodes[0].devices[0].memory.value;
    assert!(memory > Bytes::gib(30.0) && memory <= Bytes::gib(32.0), "{memory}");
}

#[test]
fn channels_count_and_not_processors() {
    let bandwidth = |name: &str| understood(name).machine.host().bandwidth.value.in_gb_s();
    // Four channels x 8 bytes x 4400 MT/s, as the report computes it.
    assert!((bandwidth("two-xeon-4510") - 140.8).abs() < 1e-9);
    assert!((bandwidth("mixed-and-unknown") - 102.4).abs() < 1e-9);
    // Eight of twelve channels at the rated 4800 MT/s, which is said to be assumed.
    let watched = understood("epyc-watched-modules");
    assert!((watched.machine.host().bandwidth.value.in_gb_s() - 307.2).abs() < 1e-9);
    assert!(watched.machine.assumptions.iter().any(|said| said.contains("4800 MT/s")));
    // A hypervisor's modules of 2 MT/s are made up.
    assert!(bandwidth("cloud-vm-t4") > 10.0);
}

#[test]
fn the_written_rig_reads_back() {
    let catalogue = Catalogue::embedded();
    for name in names() {
        let probe = recorded(&name);
        let found = profile(&probe, &catalogue).unwrap();
        let text = rig_toml(&found, &probe);
        let read = rig::machine("rig.toml", &text, &catalogue)
            .unwrap_or_else(|bad| panic!("{name}: {:#?}\n{text}", bad.problems));
        assert_eq!(read.device_count(), found.machine.device_count(), "{name}");
        let (host, written) = (read.host(), found.machine.host());
        assert!((host.ram.value.in_gib() - written.ram.value.in_gib()).abs() < 0.01, "{name}: {text}");
        for (read, found) in read.groups().zip(found.machine.groups()) {
            let (read, found) = (read.1, found.1);
            let apart = read.memory.value.in_gib() - found.memory.value.in_gib();
            assert!(apart.abs() < 0.01, "{name}: {apart}\n{text}");
            assert!((read.bandwidth.value / found.bandwidth.value - 1.0).abs() < 1e-3, "{name}: {text}");
        }
        // Every figure says where it came from.
        for line in text.lines().filter(|line| line.contains(" = ") && !line.starts_with("name = \"this")) {
            assert!(line.trim_start_matches('#').contains('#'), "{name}: {line}");
        }
    }
}

#[test]
fn probing_never_fails_and_its_record_gives_the_same_probe() {
    let (probe, readings) = read_machine();
    assert!(probe.cpu.threads > 0);
    let read: Readings = toml::from_str(&readings.to_text()).unwrap();
    assert_eq!(replay(&read), probe);
    let text = serde_json::to_string(&probe).unwrap();
    assert_eq!(serde_json::from_str::<Probe>(&text).unwrap(), probe);
}
