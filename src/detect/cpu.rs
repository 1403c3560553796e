//! Processor, firmware and what stands between them and this program.

use crate::detect::probe::{ProbedCache, ProbedCpu, ProbedNode};
use crate::detect::source::Source;
use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, RefreshKind, System};

/// Instruction sets that matter here, by the kernel's names of what each needs.
const ISA: [(&str, &str); 11] = [
    ("avx2", "avx2"),
    ("avx512f", "avx512"),
    ("avx512_vnni", "vnni"),
    ("avx_vnni", "avx-vnni"),
    ("avx512_bf16", "bf16"),
    ("amx_tile", "amx"),
    ("asimd", "neon"),
    ("asimddp", "dotprod"),
    ("i8mm", "i8mm"),
    ("bf16", "bf16"),
    ("sve", "sve"),
];

/// What the system answers of the processor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    brand: String,
    #[serde(default)]
    sockets: Option<u32>,
    #[serde(default)]
    cores: Option<u32>,
    threads: u32,
    #[serde(default)]
    isa: Vec<String>,
}

pub(super) fn os_name(source: &mut Source) -> String {
    let name: Option<String> = source.call("name of the system", || System::long_os_version().ok());
    name.unwrap_or_else(|| source.readings.os.clone())
}

/// Maker of the machine as the kernel exports it from the firmware.
pub(super) fn system_vendor(source: &mut Source) -> Option<String> {
    source.read("/sys/class/dmi/id/sys_vendor")
}

/// A container, WSL or a hypervisor, as far as they give themselves away.
pub(super) fn environment(source: &mut Source) -> Vec<String> {
    let mut found = Vec::new();
    if !source.is_linux() {
        return found;
    }
    // Only the one word is kept: versions tell more of a machine than is asked.
    let kernel = source.read_kept("/proc/sys/kernel/osrelease", |text| {
        text.to_lowercase().contains("microsoft").then(|| "microsoft".to_owned())
    });
    let wsl = kernel.is_some();
    if wsl {
        found.push("WSL".to_owned());
    }
    let container: Option<String> = source.call("container", || {
        let marks = [("/.dockerenv", "container (Docker)"), ("/run/.containerenv", "container (Podman)")];
        let mark = marks.iter().find(|(path, _)| std::path::Path::new(path).exists());
        let groups = std::fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
        let words = [
            ("kubepods", "container (Kubernetes)"),
            ("docker", "container (Docker)"),
            ("lxc", "container (LXC)"),
        ];
        let word = words.iter().find(|(word, _)| groups.contains(word));
        mark.or(word).map(|(_, kind)| (*kind).to_owned())
    });
    found.extend(container);
    if !wsl && first_block(source).split_whitespace().any(|flag| flag == "hypervisor") {
        found.push("virtual machine".to_owned());
    }
    found
}

/// The lines of the first processor that matter.
fn first_block(source: &mut Source) -> String {
    let kept = source.read_kept("/proc/cpuinfo", |text| {
        let block = text.split("\n\n").next()?;
        let wanted = ["model name", "flags", "Features"];
        let lines: Vec<&str> =
            block.lines().filter(|line| wanted.iter().any(|w| line.starts_with(w))).collect();
        Some(lines.join("\n"))
    });
    kept.unwrap_or_default()
}

pub(super) fn cpu(source: &mut Source) -> ProbedCpu {
    let answer: Answer = source.call("processor", || Some(ask())).unwrap_or_default();
    let block = if source.is_linux() { first_block(source) } else { String::new() };
    let flags: Vec<&str> = block.split_whitespace().collect();
    // The kernel lists the tile extension only where it gives programs leave to use it.
    let mut isa: Vec<String> =
        ISA.iter().filter(|(flag, _)| flags.contains(flag)).map(|(_, name)| (*name).to_owned()).collect();
    if isa.is_empty() {
        isa = answer.isa;
    }
    let of_block = block.lines().find(|line| line.starts_with("model name"));
    let named = of_block.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned());
    let brand = if answer.brand.is_empty() { named.unwrap_or_default() } else { answer.brand };
    let threads = answer.threads.max(1);
    ProbedCpu {
        brand,
        sockets: answer.sockets,
        cores: answer.cores.map(|cores| cores.min(threads)),
        threads,
        isa,
        caches: caches(source),
        numa: numa(source),
    }
}

fn ask() -> Answer {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let known = system.as_ref().map_or(&[][..], System::cpus);
    // Counts what this process may use, so that a container's share is not mistaken for the host.
    let allowed = std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok());
    Answer {
        brand: known.first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default(),
        sockets: sockets(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        cores: System::physical_core_count().ok().and_then(|count| u32::try_from(count).ok()),
        threads: allowed.or_else(|| u32::try_from(known.len()).ok()).unwrap_or(1),
        isa: isa(),
    }
}

/// Sockets by the distinct package ids the kernel lists.
fn sockets(cpuinfo: &str) -> Option<u32> {
    let mut ids: Vec<&str> = cpuinfo
        .lines()
        .filter(|line| line.starts_with("physical id"))
        .filter_map(|line| line.split_once(':').map(|(_, id)| id.trim()))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    u32::try_from(ids.len()).ok().filter(|count| *count > 0)
}

#[cfg(target_arch = "x86_64")]
fn isa() -> Vec<String> {
    let present = [
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("avx512", std::is_x86_feature_detected!("avx512f")),
        ("vnni", std::is_x86_feature_detected!("avx512vnni")),
        ("bf16", std::is_x86_feature_detected!("avx512bf16")),
    ];
    present.into_iter().filter(|(_, present)| *present).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(target_arch = "aarch64")]
fn isa() -> Vec<String> {
    let present = [
        ("neon", true),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("bf16", std::arch::is_aarch64_feature_detected!("bf16")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ];
    present.into_iter().filter(|(_, present)| *present).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn isa() -> Vec<String> {
    Vec::new()
}

/// The caches of the first core.
fn caches(source: &mut Source) -> Vec<ProbedCache> {
    const FOLDER: &str = "/sys/devices/system/cpu/cpu0/cache";
    let mut found = Vec::new();
    for index in source.names(FOLDER) {
        let mut part = |file: &str| source.read(&format!("{FOLDER}/{index}/{file}"));
        let (level, kind) = (part("level"), part("type"));
        let (size, threads) = (part("size"), part("shared_cpu_list"));
        let (Some(level), Some(kind), Some(bytes)) =
            (level.and_then(|level| level.parse().ok()), kind, size.as_deref().and_then(cache_size))
        else {
            continue;
        };
        let threads = threads.as_deref().map_or(1, listed);
        found.push(ProbedCache { level, kind, bytes, threads });
    }
    found
}

/// `32768K` in bytes.
fn cache_size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.strip_suffix('K') {
        Some(digits) => (digits, 1 << 10),
        None => (text.strip_suffix('M')?, 1 << 20),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// How many processors a list such as `0-3,8` names.
fn listed(text: &str) -> u32 {
    let of_range = |range: &str| match range.split_once('-') {
        Some((first, last)) => {
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            last.checked_sub(first)?.checked_add(1)
        }
        None => range.parse::<u32>().ok().map(|_| 1),
    };
    text.trim().split(',').filter_map(of_range).sum()
}

fn numa(source: &mut Source) -> Vec<ProbedNode> {
    const FOLDER: &str = "/sys/devices/system/node";
    let mut names: Vec<(u32, String)> = source
        .names(FOLDER)
        .into_iter()
        .filter_map(|name| Some((name.strip_prefix("node")?.parse().ok()?, name)))
        .collect();
    names.sort_unstable();
    let mut found = Vec::new();
    for (_, name) in names {
        let threads = source.read(&format!("{FOLDER}/{name}/cpulist")).as_deref().map_or(0, listed);
        let total = source.read_kept(&format!("{FOLDER}/{name}/meminfo"), |text| {
            text.lines().find(|line| line.contains("MemTotal:")).map(str::to_owned)
        });
        let kib = total.and_then(|line| line.split_whitespace().rev().nth(1)?.parse::<u64>().ok());
        if threads > 0 || kib.is_some_and(|kib| kib > 0) {
            found.push(ProbedNode { threads, memory: kib.unwrap_or(0) << 10 });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_sizes_of_the_kernel() {
        assert_eq!(listed("0-3,8"), 5);
        assert_eq!(listed("0-55,112-167\n"), 112);
        assert_eq!(listed(""), 0);
        assert_eq!(listed("5-2"), 0);
        assert_eq!(
            (cache_size("32768K"), cache_size("1M"), cache_size("x")),
            (Some(32 << 20), Some(1 << 20), None)
        );
    }

    #[test]
    fn packages_are_sockets() {
        let two = "processor : 0\nphysical id\t: 0\n\nprocessor : 1\nphysical id\t: 1\n\nprocessor : 2\nphysical id\t: 0\n";
        assert_eq!((sockets(two), sockets("processor : 0\n")), (Some(2), None));
    }
}
