//! Apple chips: the GPU is part of the processor, and its variant is told by its cores.

use crate::detect::probe::{ProbedCpu, ProbedGpu};

pub(super) fn gpus(cpu: &ProbedCpu, notes: &mut Vec<String>) -> Vec<ProbedGpu> {
    if !(cfg!(target_os = "macos") && cpu.brand.starts_with("Apple")) {
        return Vec::new();
    }
    let answer = std::process::Command::new("system_profiler").args(["SPDisplaysDataType", "-json"]).output();
    let cores = match answer {
        Ok(answer) => gpu_cores(&String::from_utf8_lossy(&answer.stdout)),
        Err(error) => {
            notes.push(format!("system_profiler does not answer: {error}"));
            None
        }
    };
    if cores.is_none() {
        notes.push("the number of GPU cores is not known, so the variant of the chip is not".to_owned());
    }
    vec![ProbedGpu { name: cpu.brand.clone(), vendor: "Apple".to_owned(), cores, ..ProbedGpu::default() }]
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
