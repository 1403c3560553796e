//! Apple chips: the GPU is part of the processor, and its variant is told by its cores.

use crate::detect::probe::ProbedGpu;
use crate::detect::source::Source;
use std::process::Command;

pub(super) fn gpus(source: &mut Source) -> Vec<ProbedGpu> {
    if source.readings.os != "macos" {
        return Vec::new();
    }
    let brand: Option<String> = source.call("sysctl machdep.cpu.brand_string", || {
        answer("/usr/sbin/sysctl", &["-n", "machdep.cpu.brand_string"])
    });
    let Some(name) = brand.filter(|brand| brand.starts_with("Apple")) else { return Vec::new() };
    // No library tells the number of GPU cores; it separates products of one name.
    let cores: Option<u32> = source.call("system_profiler SPDisplaysDataType sppci_cores", || {
        gpu_cores(&answer("/usr/sbin/system_profiler", &["SPDisplaysDataType", "-json"])?)
    });
    if cores.is_none() {
        source.note("the number of GPU cores is not known, so the variant of the chip is not");
    }
    let wired: Option<u64> = source.call("sysctl iogpu.wired_limit_mb", || {
        answer("/usr/sbin/sysctl", &["-n", "iogpu.wired_limit_mb"])?.parse().ok()
    });
    vec![ProbedGpu {
        name,
        vendor: "Apple".to_owned(),
        probe: "sysctl and system_profiler".to_owned(),
        integrated: true,
        // Zero means that the system decides.
        wired_limit: wired.filter(|mib| *mib > 0).map(|mib| mib << 20),
        cores,
        ..ProbedGpu::default()
    }]
}

/// What a program of the system prints.
fn answer(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The GPU cores in the answer of `system_profiler SPDisplaysDataType -json`.
fn gpu_cores(json: &str) -> Option<u32> {
    let answer: serde_json::Value = serde_json::from_str(json).ok()?;
    let displays = answer.get("SPDisplaysDataType")?.as_array()?;
    displays.iter().find_map(|display| display.get("sppci_cores")?.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn cores_are_a_text_in_the_answer() {
        let json = r#"{"SPDisplaysDataType":[{"_name":"Apple M3 Max","sppci_cores":"40","sppci_model":"Apple M3 Max"}]}"#;
        assert_eq!(super::gpu_cores(json), Some(40));
        assert_eq!(super::gpu_cores("no"), None);
    }
}
