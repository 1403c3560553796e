//! Graphics devices and other accelerators on the PCI bus, by address.
//!
//! One address is one device, however many drivers, cards and libraries show it: counting by name
//! or by card has made one device six and two devices one.

use crate::detect::source::Source;
use serde::Deserialize;
use std::collections::BTreeMap;

const DEVICES: &str = "/sys/bus/pci/devices";

/// Where distributions keep the list of PCI names.
const PCI_NAMES: [&str; 2] = ["/usr/share/hwdata/pci.ids", "/usr/share/misc/pci.ids"];

/// One device of the bus.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PciDevice {
    /// `0000:03:00.0`.
    pub(super) address: String,
    /// Vendor, four hexadecimal digits.
    pub(super) vendor: String,
    /// Device, four hexadecimal digits.
    pub(super) device: String,
    /// Revision, two hexadecimal digits.
    pub(super) revision: String,
    /// Whether it is a display controller rather than a processing accelerator.
    pub(super) display: bool,
}

impl PciDevice {
    /// The folder of its kernel exports.
    pub(super) fn folder(&self) -> String {
        format!("{DEVICES}/{}", self.address)
    }
}

#[derive(Deserialize)]
struct Table {
    amd: Names,
    integrated: Integrated,
    intel: Names,
    accelerators: Accelerators,
}

#[derive(Deserialize)]
struct Names {
    names: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Integrated {
    devices: Vec<String>,
}

#[derive(Deserialize)]
struct Accelerators {
    makers: BTreeMap<String, String>,
    names: BTreeMap<String, String>,
}

fn table() -> Option<Table> {
    toml::from_str(include_str!("pci.toml")).ok()
}

/// Display controllers and processing accelerators, in the order of their addresses.
pub(super) fn devices(source: &mut Source) -> Vec<PciDevice> {
    let known = table().map(|table| table.accelerators);
    let mut found = Vec::new();
    for address in source.names(DEVICES) {
        // 03 is display, 12 is processing accelerators, 0880 is other system devices.
        let class = source.read_kept(&format!("{DEVICES}/{address}/class"), |class| {
            ["0x03", "0x12", "0x0880"]
                .iter()
                .any(|wanted| class.starts_with(wanted))
                .then(|| class.to_owned())
        });
        let Some(class) = class else { continue };
        let mut part = |file: &str| {
            let text = source.read(&format!("{DEVICES}/{address}/{file}")).unwrap_or_default();
            text.trim_start_matches("0x").to_lowercase()
        };
        let device = PciDevice {
            vendor: part("vendor"),
            device: part("device"),
            revision: part("revision"),
            display: class.starts_with("0x03"),
            address,
        };
        let named = known.as_ref().is_some_and(|known| known.names.contains_key(&key(&device)));
        if !class.starts_with("0x0880") || named {
            found.push(device);
        }
    }
    found
}

fn key(device: &PciDevice) -> String {
    format!("{}:{}", device.vendor, device.device)
}

/// Whether an AMD device is part of a processor.
pub(super) fn is_integrated_amd(device: &PciDevice) -> bool {
    table().is_some_and(|table| table.integrated.devices.contains(&device.device))
}

/// The maker of an accelerator that is no graphics device.
pub(super) fn maker(device: &PciDevice) -> Option<String> {
    table()?.accelerators.makers.get(&device.vendor).cloned()
}

/// The marketed name of a device: by device and revision, else as the system lists it.
pub(super) fn name(source: &mut Source, device: &PciDevice) -> Option<String> {
    let own = table().and_then(|table| match device.vendor.as_str() {
        "1002" => table.amd.names.get(&format!("{}:{}", device.device, device.revision)).cloned(),
        "8086" => table.intel.names.get(&device.device).cloned(),
        _ => table.accelerators.names.get(&key(device)).cloned(),
    });
    own.or_else(|| {
        source.call(&format!("pci.ids {}", key(device)), || {
            let list = PCI_NAMES.iter().find_map(|path| std::fs::read(path).ok())?;
            listed(&String::from_utf8_lossy(&list), &device.vendor, &device.device)
        })
    })
}

/// The name of a device in the list of PCI names; the marketed name stands in brackets.
fn listed(names: &str, vendor: &str, device: &str) -> Option<String> {
    let of_vendor = format!("{vendor} ");
    let mut lines = names.lines().skip_while(|line| !line.starts_with(&of_vendor));
    lines.next()?;
    let wanted = format!("\t{device}  ");
    let line =
        lines.take_while(|line| line.starts_with(['\t', '#'])).find(|line| line.starts_with(&wanted))?;
    let name = line[wanted.len()..].trim();
    let marketed = name.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(inner, _)| inner);
    Some(marketed.unwrap_or(name).to_owned())
}

/// Generation and lanes of a link: as the kernel says it can be, and as it is now.
pub(super) fn link(source: &mut Source, folder: &str, which: &str) -> (Option<u32>, Option<u32>) {
    let speed = source.read(&format!("{folder}/{which}_link_speed"));
    let lanes = source.read(&format!("{folder}/{which}_link_width"));
    // 255 lanes is how the kernel says that there is no link.
    let lanes = lanes.and_then(|lanes| lanes.parse().ok()).filter(|lanes| (1..=32).contains(lanes));
    (speed.as_deref().and_then(generation), lanes)
}

/// `16.0 GT/s PCIe` is generation 4.
fn generation(speed: &str) -> Option<u32> {
    let rate: f64 = speed.split_whitespace().next()?.parse().ok()?;
    [(2.5, 1), (5.0, 2), (8.0, 3), (16.0, 4), (32.0, 5), (64.0, 6)]
        .into_iter()
        .find(|(of, _)| (of - rate).abs() < 0.01)
        .map(|(_, generation)| generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pci_devices() {
        let list = "1001  Other\n\t744c  Not this\n1002  AMD/ATI\n\t744c  Navi 31 [Radeon RX 7900 XT/7900 XTX]\n\
                    \t\t1002 0e3b  Sub\n\t1586  Strix Halo\n1003  Next\n\t1234  No\n";
        assert_eq!(listed(list, "1002", "744c").as_deref(), Some("Radeon RX 7900 XT/7900 XTX"));
        assert_eq!(listed(list, "1002", "1586").as_deref(), Some("Strix Halo"));
        assert_eq!(listed(list, "1002", "1234"), None);
    }

    #[test]
    fn the_table_reads_and_revisions_tell_products_apart() {
        let mut source = Source::default();
        let device = |revision: &str| PciDevice {
            vendor: "1002".to_owned(),
            device: "744c".to_owned(),
            revision: revision.to_owned(),
            ..PciDevice::default()
        };
        assert_eq!(name(&mut source, &device("c8")).as_deref(), Some("Radeon RX 7900 XTX"));
        assert_eq!(name(&mut source, &device("cc")).as_deref(), Some("Radeon RX 7900 XT"));
        assert_eq!(name(&mut source, &device("00")), None);
    }

    #[test]
    fn generations_of_links() {
        assert_eq!(generation("16.0 GT/s PCIe"), Some(4));
        assert_eq!(generation("Unknown"), None);
    }
}
