//! Disks: their kind, and the free space of the one that holds the current folder.

use crate::detect::pci;
use crate::detect::probe::ProbedDisk;
use crate::detect::source::Source;
use serde::{Deserialize, Serialize};
use sysinfo::{DiskKind, DiskRefreshKind, Disks};

const BLOCK: &str = "/sys/block";

/// Words in the models of disks that hypervisors and clouds make up.
const VIRTUAL: [&str; 6] =
    ["QEMU", "Virtual", "Elastic Block Store", "PersistentDisk", "VBOX", "nvme_card-pd"];

/// Devices a file system may be stacked on before the disk is reached.
const MOST_STACKED: usize = 4;

/// The file system that holds the current folder; where it is mounted is nobody's business.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    device: String,
    file_system: String,
    total: u64,
    free: u64,
    kind: String,
}

pub(super) fn disks(source: &mut Source) -> Vec<ProbedDisk> {
    let here: Option<Answer> = source.call("disk of the current folder", ask);
    let mut found = Vec::new();
    for device in source.names(BLOCK) {
        let invented = ["loop", "ram", "zram", "dm-", "md", "sr", "fd"];
        if invented.iter().any(|word| device.starts_with(word)) {
            continue;
        }
        let sectors = source.number(&format!("{BLOCK}/{device}/size")).filter(|sectors| *sectors > 0);
        if sectors.is_none() {
            continue;
        }
        found.push(disk(source, device, sectors));
    }
    let Some(here) = here else { return found };
    let holder = holder(source, &here.device);
    let held = found.iter_mut().find(|disk| disk.device == holder);
    match held {
        Some(disk) => {
            disk.free = Some(here.free);
            disk.file_system = Some(here.file_system);
        }
        None => found.push(ProbedDisk {
            device: holder,
            // The library does not tell the bus, on which the speed of one without moving parts depends.
            kind: if here.kind == "hdd" { here.kind } else { "unknown".to_owned() },
            size: Some(here.total),
            free: Some(here.free),
            file_system: Some(here.file_system),
            ..ProbedDisk::default()
        }),
    }
    found
}

fn disk(source: &mut Source, device: String, sectors: Option<u64>) -> ProbedDisk {
    let folder = format!("{BLOCK}/{device}");
    let model = source.read(&format!("{folder}/device/model"));
    let turning = source.read(&format!("{folder}/queue/rotational")).as_deref() == Some("1");
    let made_up = model.as_deref().is_some_and(|model| VIRTUAL.iter().any(|word| model.contains(word)));
    let kind = if made_up || device.starts_with("vd") || device.starts_with("xvd") {
        "virtual"
    } else if device.starts_with("nvme") {
        "nvme"
    } else if turning {
        "hdd"
    } else {
        "ssd"
    };
    let (pcie_gen, pcie_lanes) = if kind == "nvme" {
        pci::link(source, &format!("{folder}/device/device"), "max")
    } else {
        (None, None)
    };
    ProbedDisk {
        device,
        kind: kind.to_owned(),
        model,
        // The kernel counts sectors of 512 bytes whatever the disk has.
        size: sectors.and_then(|sectors| sectors.checked_mul(512)),
        pcie_gen,
        pcie_lanes,
        ..ProbedDisk::default()
    }
}

/// The disk below a partition, an encrypted volume or a logical one.
fn holder(source: &mut Source, device: &str) -> String {
    let mut device = device.to_owned();
    for _ in 0..MOST_STACKED {
        let below = source.names(&format!("{BLOCK}/{device}/slaves"));
        let [only] = below.as_slice() else { break };
        // What a link leads to is recorded, so that a record stacks the same.
        source.link(&format!("{BLOCK}/{device}/slaves/{only}"));
        device.clone_from(only);
    }
    let disks = source.names(BLOCK);
    disks
        .into_iter()
        .filter(|disk| device.starts_with(disk.as_str()))
        .max_by_key(String::len)
        .unwrap_or(device)
}

fn ask() -> Option<Answer> {
    let here = std::env::current_dir().ok()?.canonicalize().ok()?;
    let kinds = DiskRefreshKind::nothing().with_storage().with_kind();
    let disks = Disks::new_with_refreshed_list_specifics(kinds).ok()?;
    let holding = disks.iter().filter(|disk| here.starts_with(disk.mount_point()));
    let disk = holding.max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    let path = std::path::Path::new(disk.name());
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    Some(Answer {
        device: real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        file_system: disk.file_system().to_string_lossy().into_owned(),
        total: disk.total_space(),
        free: disk.available_space(),
        kind: match disk.kind() {
            DiskKind::SSD => "ssd",
            DiskKind::HDD => "hdd",
            DiskKind::Unknown(_) => "unknown",
        }
        .to_owned(),
    })
}
