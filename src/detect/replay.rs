//! Recorded probes of many machines, replayed.

use super::*;
use crate::catalogue::hardware::Topology;
use crate::catalogue::rig;
use crate::catalogue::store::Catalogue;
use crate::units::Bytes;

fn recorded(name: &str) -> Probe {
    let path = format!("{}/src/tests/probes/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap())
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn replay(name: &str) -> Profile {
    profile(&recorded(name), &Catalogue::embedded()).unwrap()
}

fn ids(profile: &Profile) -> Vec<Option<&str>> {
    profile.matches.iter().map(|found| found.id.as_deref()).collect()
}

#[test]
fn a_virtual_machine_without_accelerators() {
    let found = replay("cpu-vm");
    assert_eq!(found.machine.device_count(), 0);
    assert!(
        found.machine.assumptions.iter().any(|said| said.contains("NVML")),
        "{:?}",
        found.machine.assumptions
    );
    assert!(found.machine.host().ram.value > Bytes::gib(1.0));
}

#[test]
fn a_desktop() {
    let found = replay("rtx-4090-pc");
    assert_eq!(ids(&found), [Some("ryzen-9-7950x"), Some("rtx-4090")]);
    let group = &found.machine.nodes[0].devices[0];
    assert_eq!((group.memory.value, group.in_use), (Bytes::mib(24564.0), Bytes::mib(780.0)));
    // Two channels of DDR5-5200: 83.2 GB/s, and it is said that this is assumed.
    assert!((found.machine.host().bandwidth.value.in_gb_s() - 83.2).abs() < 1e-9);
    assert!(found.machine.assumptions.iter().any(|said| said.contains("memory channel")));
}

#[test]
fn a_node_of_eight() {
    let found = replay("8xh200-node");
    assert_eq!(ids(&found), [Some("xeon-platinum-8480"), Some("h200-sxm")]);
    let group = &found.machine.nodes[0].devices[0];
    assert_eq!((group.count, group.topology.value), (8, Topology::Switched));
    // The fullest of the eight decides.
    assert_eq!(group.in_use, Bytes::mib(512.0));
    assert_eq!(found.machine.scale_up_domain, 8);
    assert_eq!(found.machine.host().sockets, 2);
}

#[test]
fn unified_memory_of_three_makers() {
    let spark = replay("dgx-spark");
    assert_eq!(ids(&spark)[1], Some("dgx-spark-gb10"));
    assert_eq!(spark.machine.nodes[0].devices[0].memory.value, Bytes::new(127_600_748.0 * 1024.0));
    let mac = replay("mac-m3-max");
    assert_eq!(ids(&mac), [Some("apple-m3-max"), Some("m3-max-40gpu")]);
    assert_eq!(mac.machine.nodes[0].devices[0].memory.value, Bytes::gib(128.0) * 0.84);
    let halo = replay("strix-halo");
    assert_eq!(ids(&halo), [Some("ryzen-ai-max-395"), Some("ryzen-ai-max-395")]);
    assert_eq!(halo.machine.nodes[0].devices[0].memory.value, Bytes::gib(110.5));
}

#[test]
fn memory_tells_variants_apart_and_the_unknown_is_left_out() {
    let found = replay("mixed-and-unknown");
    assert_eq!(ids(&found), [Some("epyc-7302p"), Some("rtx-3060-12-gb"), Some("rtx-3090"), None]);
    assert_eq!(found.machine.device_count(), 3);
    assert_eq!(found.machine.nodes[0].devices[1].topology.value, Topology::Bridged);
    assert!(found.machine.assumptions.iter().any(|said| said.contains("NVIDIA Graphics Device")));
    // Four channels x 8 bytes x 3200 MT/s, half of what the processor could have.
    assert!((found.machine.host().bandwidth.value.in_gb_s() - 102.4).abs() < 1e-9);
}

#[test]
fn the_written_rig_reads_back() {
    let catalogue = Catalogue::embedded();
    for name in
        ["cpu-vm", "rtx-4090-pc", "8xh200-node", "dgx-spark", "mac-m3-max", "strix-halo", "mixed-and-unknown"]
    {
        let probe = recorded(name);
        let found = profile(&probe, &catalogue).unwrap();
        let text = rig_toml(&found, &probe);
        let read = rig::machine("rig.toml", &text, &catalogue)
            .unwrap_or_else(|bad| panic!("{name}: {:#?}\n{text}", bad.problems));
        assert_eq!(read.device_count(), found.machine.device_count(), "{name}");
        for (read, found) in read.groups().zip(found.machine.groups()) {
            assert!(
                (read.1.memory.value.in_gib() - found.1.memory.value.in_gib()).abs() < 0.01,
                "{name}: {text}"
            );
        }
    }
}

#[test]
fn probing_never_fails() {
    let probe = probe();
    assert!(probe.cpu.threads > 0);
    let text = serde_json::to_string(&probe).unwrap();
    assert_eq!(serde_json::from_str::<Probe>(&text).unwrap(), probe);
}
