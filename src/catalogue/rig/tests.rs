//! Rig files as people write them, right and wrong.

use super::machine;
use crate::catalogue::decode::Problem;
use crate::catalogue::hardware::Machine;
use crate::catalogue::hardware::Topology;
use crate::catalogue::store::Catalogue;
use crate::fact::{Fact, Origin};
use crate::units::Bytes;

fn read(text: &str) -> Machine {
    machine("rig.toml", text, &Catalogue::embedded()).unwrap_or_else(|bad| panic!("{:#?}", bad.problems))
}

/// Message, hint and the marked text of every problem.
fn problems(text: &str) -> Vec<(String, String, String)> {
    let bad = machine("rig.toml", text, &Catalogue::embedded()).unwrap_err();
    let marked = |p: &Problem| text[p.span.clone()].to_owned();
    bad.problems.iter().map(|p| (p.message.clone(), p.hint.clone().unwrap_or_default(), marked(p))).collect()
}

#[test]
fn one_line_is_a_rig() {
    let machine = read("accelerator = \"2x rtx-3090\"\n");
    assert_eq!((machine.node_count(), machine.device_count()), (1, 2));
    assert!(machine.assumptions.iter().any(|said| said.contains("host")), "{:?}", machine.assumptions);
}

#[test]
fn what_is_written_is_used_and_says_its_line() {
    let machine = read(
        "cpu = \"2x epyc-9654\"\nram = { size = \"768 GiB\", channels = 24, mt_s = 4800 }\n\n\
         [[accelerator]]\nid = \"rtx-3090\"\ncount = 2\ntopology = \"bridged\"\nmemory = \"24268 MiB\"\n",
    );
    let host = machine.host();
    assert_eq!((host.cores.value, host.sockets), (192, 2));
    // 24 channels x 8 bytes x 4800 MT/s
    assert!((host.bandwidth.value.in_gb_s() - 921.6).abs() < 1e-9);
    let group = &machine.nodes[0].devices[0];
    assert_eq!(group.topology, Fact::new(Topology::Bridged, Origin::User("rig.toml:7".to_owned())));
    assert_eq!(group.memory, Fact::new(Bytes::mib(24268.0), Origin::User("rig.toml:8".to_owned())));
}

#[test]
fn a_marketed_size_is_not_what_the_driver_gives() {
    let memory = |size: &str| {
        let text = format!("[[accelerator]]\nid = \"rtx-3090\"\nmemory = \"{size}\"\n");
        read(&text).nodes[0].devices[0].memory.value
    };
    assert_eq!(memory("24 GB"), Bytes::gib(24.0) * 0.98);
    assert_eq!(memory("24 GiB"), Bytes::gib(24.0) * 0.98);
    assert_eq!(memory("23.5 GiB"), Bytes::gib(23.5));
}

#[test]
fn unified_memory_is_the_hosts() {
    let machine = read("accelerator = \"m2-ultra-76gpu\"\nram = \"192 GiB\"\n");
    assert_eq!(machine.host().ram.value, Bytes::gib(192.0));
    assert_eq!(machine.nodes[0].devices[0].memory.value, Bytes::gib(192.0) * 0.84);
    let told = problems("accelerator = \"m2-ultra-76gpu\"\n");
    assert!(told[0].0.contains("several memory sizes"), "{told:?}");
}

#[test]
fn a_card_of_ones_own() {
    let machine = read(
        "[[accelerator]]\nspec = { name = \"RTX 4090 48G\", vendor = \"NVIDIA\", arch = \"Ada\", memory = \"48 GiB\", \
         bandwidth = \"1008 GB/s\", rates = { bf16 = 165 }, source = \"seller\" }\n",
    );
    assert_eq!(machine.nodes[0].devices[0].memory.value, Bytes::gib(48.0) * 0.98);
}

#[test]
fn all_problems_with_place_and_hint() {
    let told = problems(
        "cpu = \"epyc-9645x\"\n[ram]\nsize = \"137 GiB\"\nmt_s = 320\n[[accelerator]]\nid = \"rtx-3091\"\n\
         [[accelerator]]\nid = \"rtx-3090\"\nmemory = \"48 GiB\"\n",
    );
    let marked: Vec<&str> = told.iter().map(|t| t.2.as_str()).collect();
    assert_eq!(marked, ["\"epyc-9645x\"", "\"137 GiB\"", "320", "\"rtx-3091\"", "\"48 GiB\""], "{told:#?}");
    assert!(told[1].1.contains("128 GiB"), "{told:?}");
    assert!(told[3].1.contains("rtx-3090"), "{told:?}");
}

#[test]
fn names_are_checked_even_when_the_shape_is_wrong() {
    let told = problems("accelerator = \"rtx-3091\"\nram = \"64\"\nchannels = 2\n");
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn figures_are_checked_even_when_the_shape_is_wrong_elsewhere() {
    let told = problems(
        "cpu = \"epyc-9654\"\n[ram]\nsize = \"768 GiB\"\nmt_s = 480\n[[accelerator]]\nid = \"t4\"\ncount = 0\n\
         [[accelerator]]\nid = \"t4\"\nmemory = \"48 GiB\"\n[price]\npower_per_kwh = 18.7\n",
    );
    let marked: Vec<&str> = told.iter().map(|t| t.2.as_str()).collect();
    assert_eq!(marked, ["480", "0", "\"48 GiB\"", "18.7"], "{told:#?}");
}

#[test]
fn impossible_figures_are_refused() {
    for (text, part) in [
        ("accelerator = \"0x rtx-3090\"\n", "count"),
        ("accelerator = \"5000x rtx-3090\"\n", "absurdly many"),
        ("[[accelerator]]\nid = \"t4\"\ncount = 0\n", "zero"),
        ("accelerator = \"t4\"\nram = \"-4 GiB\"\n", "is negative"),
        ("accelerator = \"t4\"\nram = \"900 TiB\"\n", "no plausible memory"),
        ("cpu = \"ryzen-9-7950x\"\nram = { size = \"64 GiB\", channels = 4 }\n", "more than"),
        ("cpu = \"ryzen-9-7950x\"\nram = { size = \"64 GiB\", mt_s = 64000 }\n", "no speed"),
        ("cpu = \"2x ryzen-9-7950x\"\n", "socket"),
        ("[[accelerator]]\nid = \"rtx-4090\"\ncount = 2\ntopology = \"bridged\"\n", "takes no bridge"),
        ("[[accelerator]]\nid = \"t4\"\nin_use = \"40 GiB\"\n", "beyond the memory"),
        ("[[accelerator]]\nid = \"t4\"\nbandwidth = \"3 TB/s\"\n", "beyond the peak"),
        ("accelerator = \"t4\"\nnetwork = \"ib-ndrr\"\ncount = 2\n", "unknown link"),
        ("accelerator = \"t4\"\n[price]\npower_per_kwh = 18.7\n", "power price"),
        ("system = \"dgx-h200\"\naccelerator = \"t4\"\n", "comes with its devices"),
        ("name = \"empty\"\n", "no hardware"),
        ("[[node]]\naccelerator = \"t4\"\n[ram]\nsize = \"4 GiB\"\n", "[[node]]"),
        ("accelerator = [\n", "not valid TOML"),
    ] {
        let told = problems(text);
        assert!(told.iter().any(|t| t.0.contains(part)), "{text}: {told:#?}");
    }
}

#[test]
fn decimal_memory_is_pointed_out() {
    let said = |size: &str| read(&format!("accelerator = \"t4\"\nram = \"{size}\"\n")).assumptions.join("\n");
    assert!(said("137 GB").contains("\"128 GiB\""), "{}", said("137 GB"));
    assert!(said("64 GB").contains("\"64 GiB\""));
    assert!(!said("64 GiB").contains("word"));
}

#[test]
fn every_example_resolves() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let catalogue = Catalogue::embedded();
    let mut seen = 0;
    for item in std::fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        // Recorded answers stand in the same folder.
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if ["accelerator", "cpu", "system", "node"]
            .iter()
            .any(|key| text.lines().any(|line| line.trim_start_matches('[').starts_with(key)))
        {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let machine =
                machine(&name, &text, &catalogue).unwrap_or_else(|bad| panic!("{name}: {:#?}", bad.problems));
            assert!(machine.node_count() > 0);
            seen += 1;
        }
    }
    assert!(seen >= 11, "{seen}");
}

proptest::proptest! {
    #[test]
    fn never_panics(text in "(accelerator|cpu|ram|count|system|\\[node\\]|=|\"|[a-z0-9 x\\[\\]{}\n.-]){0,30}") {
        drop(machine("rig.toml", &text, &Catalogue::embedded()));
    }
}
