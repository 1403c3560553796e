//! Processor, memory and firmware of this machine.

use crate::detect::probe::{ProbedCpu, ProbedRam};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

pub(super) fn os() -> String {
    System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.to_owned())
}

/// Maker of the machine as the kernel exports it from the firmware.
pub(super) fn system_vendor() -> Option<String> {
    let text = std::fs::read_to_string("/sys/class/dmi/id/sys_vendor").ok()?;
    let vendor = text.trim();
    (!vendor.is_empty()).then(|| vendor.to_owned())
}

pub(super) fn cpu() -> ProbedCpu {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let known = system.as_ref().map_or(&[][..], System::cpus);
    let brand = known.first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default();
    let cores = System::physical_core_count().ok().and_then(|count| u32::try_from(count).ok());
    // Counts what this process may use, so that a container's share is not mistaken for the host.
    let allowed = std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok());
    let threads = allowed.or_else(|| u32::try_from(known.len()).ok()).unwrap_or(1);
    ProbedCpu { brand, sockets: sockets(), cores: cores.map(|cores| cores.min(threads)), threads, isa: isa() }
}

/// Sockets by the distinct package ids the kernel lists.
fn sockets() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let mut ids: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("physical id"))
        .filter_map(|line| line.split_once(':').map(|(_, id)| id.trim()))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    u32::try_from(ids.len()).ok().filter(|count| *count > 0)
}

pub(super) fn ram() -> ProbedRam {
    let system =
        System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::everything()));
    let Ok(system) = system else { return ProbedRam::default() };
    let total = system.total_memory();
    // Some kernels report a limit far above the memory when there is none.
    let limits =
        system.cgroup_limits().filter(|limits| limits.total_memory > 0 && limits.total_memory < total);
    match limits {
        // In a container only its own programs count against the limit.
        Some(limits) => {
            ProbedRam { total, used: limits.rss, limit: Some(limits.total_memory), ..ProbedRam::default() }
        }
        None => {
            ProbedRam { total, used: total.saturating_sub(system.available_memory()), ..ProbedRam::default() }
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn isa() -> Vec<String> {
    let present = [
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("avx512", std::is_x86_feature_detected!("avx512f")),
        ("vnni", std::is_x86_feature_detected!("avx512vnni")),
        ("bf16", std::is_x86_feature_detected!("avx512bf16")),
    ];
    let mut found: Vec<String> =
        present.into_iter().filter(|(_, present)| *present).map(|(name, _)| name.to_owned()).collect();
    // The tile extension needs the kernel's permission; the kernel lists it only where it gives it.
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if flags.lines().find(|line| line.starts_with("flags")).is_some_and(|line| line.contains("amx_tile")) {
        found.push("amx".to_owned());
    }
    found
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
