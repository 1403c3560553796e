//! AMD devices through the kernel's exports; no library and no rights are needed.

use crate::detect::probe::ProbedGpu;
use std::path::Path;

/// Where distributions keep the list of PCI names.
const PCI_NAMES: [&str; 2] = ["/usr/share/hwdata/pci.ids", "/usr/share/misc/pci.ids"];

const AMD: &str = "0x1002";

pub(super) fn gpus(notes: &mut Vec<String>) -> Vec<ProbedGpu> {
    let Ok(cards) = std::fs::read_dir("/sys/class/drm") else { return Vec::new() };
    let mut folders: Vec<_> = cards
        .filter_map(Result::ok)
        .filter(|card| {
            let name = card.file_name().to_string_lossy().into_owned();
            name.strip_prefix("card").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        })
        .map(|card| card.path().join("device"))
        .filter(|device| read(device, "vendor").as_deref() == Some(AMD))
        .collect();
    folders.sort();
    let names = PCI_NAMES.iter().find_map(|path| std::fs::read_to_string(path).ok());
    folders
        .iter()
        .map(|folder| {
            let gpu = gpu(folder, names.as_deref());
            if gpu.memory.is_none() {
                notes.push(format!("{}: the kernel driver does not report the memory", gpu.name));
            }
            gpu
        })
        .collect()
}

fn read(folder: &Path, file: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(file)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn gpu(folder: &Path, names: Option<&str>) -> ProbedGpu {
    let number = |file: &str| read(folder, file)?.parse::<u64>().ok();
    let device = read(folder, "device").unwrap_or_default();
    let listed = names.and_then(|names| pci_name(names, device.trim_start_matches("0x")));
    let name = read(folder, "product_name").or(listed).unwrap_or_else(|| format!("AMD device {device}"));
    let speed = read(folder, "max_link_speed");
    ProbedGpu {
        name,
        vendor: "AMD".to_owned(),
        address: folder
            .canonicalize()
            .ok()
            .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
        memory: number("mem_info_vram_total"),
        used: number("mem_info_vram_used"),
        reserved: None,
        shared: number("mem_info_gtt_total"),
        pcie_gen: speed.as_deref().and_then(generation),
        pcie_lanes: read(folder, "max_link_width").and_then(|lanes| lanes.parse().ok()),
        scale_up_links: None,
        power_limit_w: None,
        partitioned: false,
        cores: None,
    }
}

/// `16.0 GT/s PCIe` is generation 4.
fn generation(speed: &str) -> Option<u32> {
    let rate: f64 = speed.split_whitespace().next()?.parse().ok()?;
    [(2.5, 1), (5.0, 2), (8.0, 3), (16.0, 4), (32.0, 5), (64.0, 6)]
        .into_iter()
        .find(|(of, _)| (of - rate).abs() < 0.01)
        .map(|(_, generation)| generation)
}

/// The name of an AMD device in the list of PCI names; the marketed name stands in brackets.
fn pci_name(names: &str, device: &str) -> Option<String> {
    let mut lines = names.lines().skip_while(|line| !line.starts_with("1002 "));
    lines.next()?;
    let wanted = format!("\t{device}  ");
    let line =
        lines.take_while(|line| line.starts_with(['\t', '#'])).find(|line| line.starts_with(&wanted))?;
    let name = line[wanted.len()..].trim();
    let marketed = name.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(inner, _)| inner);
    Some(marketed.unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pci_devices() {
        let list = "1001  Other\n\t744c  Not this\n1002  AMD/ATI\n\t744c  Navi 31 [Radeon RX 7900 XT/7900 XTX]\n\
                    \t\t1002 0e3b  Sub\n\t1586  Strix Halo\n1003  Next\n\t1234  No\n";
        assert_eq!(pci_name(list, "744c").as_deref(), Some("Radeon RX 7900 XT/7900 XTX"));
        assert_eq!(pci_name(list, "1586").as_deref(), Some("Strix Halo"));
        assert_eq!(pci_name(list, "1234"), None);
    }

    #[test]
    fn generations_of_links() {
        assert_eq!(generation("16.0 GT/s PCIe"), Some(4));
        assert_eq!(generation("Unknown"), None);
    }
}
