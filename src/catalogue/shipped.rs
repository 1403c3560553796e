//! Walks the shipped hardware data: everything reads, is sourced, unique and plausible.

use crate::catalogue::hardware::{Accelerator, Cpu, LinkRef, chip_bytes};
use crate::catalogue::hardware_flag::{hardware, system_machine};
use crate::catalogue::index::sections;
use crate::catalogue::store::{Catalogue, Kind};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn toml_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for item in std::fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            files.extend(toml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn every_id_stands_once_and_every_kind_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("hardware-profiles");
    let mut seen = BTreeSet::new();
    for file in toml_files(&root) {
        let inner = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        let Some(kind) = Kind::of_hardware_path(&inner) else {
            assert_eq!(inner, "assumptions.toml");
            continue;
        };
        for section in sections(&std::fs::read_to_string(&file).unwrap()) {
            assert!(seen.insert((kind, section.id.to_owned())), "{} twice, in {inner}", section.id);
        }
    }
    let catalogue = Catalogue::embedded();
    let count = |kind| catalogue.ids(kind).count();
    let counts =
        [Kind::Accelerator, Kind::Cpu, Kind::Link, Kind::System, Kind::Offer, Kind::Economics].map(count);
    assert_eq!(counts.iter().sum::<usize>(), seen.len());
    let least = [292, 439, 81, 27, 109, 67];
    assert!(counts.iter().zip(least).all(|(have, least)| *have >= least), "{counts:?}");
}

#[test]
fn accelerators_are_sourced_and_plausible() {
    let catalogue = Catalogue::embedded();
    for id in catalogue.accelerator_ids() {
        let entry = catalogue.accelerator(id).unwrap_or_else(|error| panic!("{id}: {error:?}"));
        check_accelerator(id, &entry.value);
    }
}

fn check_accelerator(id: &str, part: &Accelerator) {
    assert!(!part.source.is_empty(), "{id} has no source");
    let rate = part.bandwidth.in_gb_s();
    assert!((40.0..=30_000.0).contains(&rate), "{id}: {rate} GB/s");
    if let Some(memory) = part.memory {
        let gib = chip_bytes(memory).in_gib();
        assert!((2.0..=512.0).contains(&gib), "{id}: {gib} GiB");
        if let Some(usable) = part.usable {
            assert!(
                usable.in_gib() <= gib * 1.001 && usable.in_gib() > gib * 0.9,
                "{id}: {usable} of {gib} GiB"
            );
        }
        // The whole memory is read in 3 ms (newest HBM) to 2.1 s (a large unified pool).
        let seconds = (chip_bytes(memory) / part.bandwidth).get();
        assert!((0.003..=2.2).contains(&seconds), "{id}: {seconds} s to read the memory");
    }
    let r = &part.rates;
    for (narrow, wide, what) in
        [(r.fp8, r.bf16, "fp8 >= bf16"), (r.fp4, r.fp8, "fp4 >= fp8"), (r.bf16, r.tf32, "bf16 >= tf32")]
    {
        if let (Some(narrow), Some(wide)) = (narrow, wide) {
            assert!(narrow >= wide * 0.999, "{id}: {what}: {narrow}, {wide}");
        }
    }
    if let Some(tdp) = part.tdp_w {
        assert!((10.0..=3000.0).contains(&tdp), "{id}: {tdp} W");
    }
    for price in &part.price {
        assert!(price.source.is_some() && price.likely().is_some(), "{id}: a price without source or figure");
    }
}

#[test]
fn processors_are_sourced_and_plausible() {
    let catalogue = Catalogue::embedded();
    for id in catalogue.cpu_ids() {
        let entry = catalogue.cpu(id).unwrap_or_else(|error| panic!("{id}: {error:?}"));
        check_cpu(id, &entry.value);
    }
}

fn check_cpu(id: &str, cpu: &Cpu) {
    assert!(!cpu.source.is_empty(), "{id} has no source");
    if let Some(bandwidth) = cpu.bandwidth {
        assert!((20.0..=2000.0).contains(&bandwidth.in_gb_s()), "{id}: {bandwidth}");
        // On-package HBM and memory modules of 64 bits differ; only the latter follow the rule.
        let ddr = cpu.memory_type.as_deref().is_some_and(|kind| kind.starts_with("DDR"));
        if let (true, Some(channels), Some(mt_s)) = (ddr, cpu.channels, cpu.memory_mt_s) {
            let rule = channels.get() as f64 * mt_s.get() as f64 * 8e-3;
            let ratio = bandwidth.in_gb_s() / rule;
            // Small EPYC 7002 parts reach 85 GB/s although eight channels are wired.
            assert!((0.4..=1.05).contains(&ratio), "{id}: {bandwidth} against {rule} GB/s of its channels");
        }
        if let Some(stream) = cpu.stream {
            assert!(stream < bandwidth, "{id}: measured above peak");
        }
    }
    if let (Some(base), Some(most)) = (cpu.base_ghz, cpu.max_ghz) {
        assert!(base <= most && most < 7.0, "{id}: {base} to {most} GHz");
    }
}

#[test]
fn links_systems_offers_and_costs_read() {
    let catalogue = Catalogue::embedded();
    for id in catalogue.link_ids() {
        let link = catalogue.link(id).unwrap().value;
        if let (Some(achieved), Some(peak)) = (link.achieved, link.one_way) {
            assert!(achieved < peak, "{id}: achieved {achieved} of {peak}");
        }
        if let (Some(one), Some(both)) = (link.one_way, link.both_ways) {
            assert!((both / one - 2.0).abs() < 0.03, "{id}: {one} and {both}");
        }
    }
    for id in catalogue.system_ids() {
        let system = catalogue.system(id).unwrap();
        if let Some(LinkRef::Id(link)) = &system.value.network {
            catalogue.link(link).unwrap();
        }
        let machine = system_machine(&system, 1, &catalogue).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(u64::from(machine.device_count()), system.value.count.get(), "{id}");
    }
    for offer in catalogue.offers().unwrap() {
        catalogue
            .accelerator(&offer.value.accelerator)
            .unwrap_or_else(|error| panic!("{}: {error}", offer.id));
        assert!(!offer.value.source.is_empty());
        if let (Some(spot), Some(price)) = (offer.value.spot, offer.value.on_demand) {
            assert!(spot <= price, "{}: spot above on demand", offer.id);
        }
    }
    for figure in catalogue.economics().unwrap() {
        let v = &figure.value;
        assert!(v.value.is_some() || v.low.is_some() || v.high.is_some(), "{}: no figure", figure.id);
    }
}

#[test]
fn every_accelerator_with_a_memory_makes_a_machine() {
    let catalogue = Catalogue::embedded();
    for id in catalogue.accelerator_ids() {
        let sold_in_one_size = catalogue.accelerator(id).unwrap().value.memory.is_some();
        assert_eq!(hardware(&format!("2x{id}"), &catalogue).is_ok(), sold_in_one_size, "{id}");
    }
}

#[test]
fn assumptions_name_what_exists() {
    let catalogue = Catalogue::embedded();
    let assumed = catalogue.assumptions().unwrap();
    for (class, host) in &assumed.host {
        assert!(host.cpu == "none" || catalogue.cpu(&host.cpu).is_ok(), "{class}: {}", host.cpu);
        assert!(catalogue.link(&host.network).is_ok(), "{class}: {}", host.network);
    }
    for id in assumed.per_node.keys().filter(|id| *id != "default") {
        assert!(catalogue.accelerator(id).is_ok(), "{id}");
    }
    assert!(assumed.unified.iter().all(|share| (0.5..1.0).contains(&share.share)));
}
