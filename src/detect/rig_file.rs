//! A detected machine as a rig file.

use crate::catalogue::assemble::channel_rate;
use crate::detect::modules::channels;
use crate::detect::probe::Probe;
use crate::detect::profile::Profile;
use crate::fact::Origin;
use crate::units::Bytes;
use std::fmt::Write as _;

/// The detected machine as a rig file a person may correct.
pub fn rig_toml(profile: &Profile, probe: &Probe) -> String {
    let mut text = String::from("# Written by detection; correct what is wrong and add prices.\n");
    let host = profile.machine.host();
    let mib = |bytes: Bytes| format!("\"{:.0} MiB\"", bytes.get() / 1_048_576.0);
    text.push_str("name = \"this machine\"\n");
    for (group, found) in profile
        .machine
        .nodes
        .iter()
        .flat_map(|node| &node.devices)
        .zip(profile.matches.iter().skip(1).filter(|found| found.id.is_some()))
    {
        let _ = write!(text, "\n[[accelerator]]               # {}\n", found.reported);
        let _ = write!(
            text,
            "id     = \"{}\"\ncount  = {}\nmemory = {}\n",
            group.id,
            group.count,
            mib(group.memory.value)
        );
        if group.in_use > Bytes::ZERO {
            let _ = writeln!(text, "in_use = {}", mib(group.in_use));
        }
        if matches!(group.topology.origin, Origin::Detected(_)) {
            let _ = writeln!(text, "topology = \"{}\"", group.topology.value);
        }
    }
    text.push_str("\n[cpu]\n");
    match &host.cpu_id {
        Some(id) => {
            let _ = writeln!(text, "id      = \"{id}\"");
        }
        None => {
            let _ = writeln!(text, "name    = {:?}", host.cpu_name.value);
        }
    }
    let _ = write!(text, "sockets = {}\ncores   = {}\n", host.sockets, host.cores.value);
    let _ = write!(text, "\n[ram]\nsize   = {}\nin_use = {}\n", mib(host.ram.value), mib(host.in_use.value));
    let known = matches!(host.bandwidth.origin, Origin::Detected(_));
    match channels(&probe.ram.modules).filter(|_| known) {
        Some((_, mt_s)) => {
            // As many channels as the profile counted, which the processor bounds.
            let counted = host.bandwidth.value / channel_rate(1, mt_s);
            let _ = write!(text, "channels = {counted:.0}\nmt_s     = {mt_s}\n");
        }
        None => {
            let _ = writeln!(text, "# channels = … and mt_s = … : {} assumed", host.bandwidth.value);
        }
    }
    for gpu in profile.matches.iter().skip(1).filter(|found| found.id.is_none()) {
        let _ = write!(text, "\n# not in the catalogue: {} x {}\n", gpu.count, gpu.reported);
    }
    if let Some(vendor) = &probe.system_vendor {
        let _ = write!(text, "\n# firmware: {vendor}\n");
    }
    text
}
