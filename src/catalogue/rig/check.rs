//! Checks that a rig could exist: figures that contradict the catalogue or physics are refused.

use crate::catalogue::decode::{At, Problems};
use crate::catalogue::hardware::{Accelerator, Cpu, Topology, chip_bytes};
use crate::catalogue::nearest::alternatives;
use crate::catalogue::rig::spec::RigRamTable;
use crate::catalogue::store::{Entry, Unknown};
use crate::units::Bytes;
use std::fmt::Display;
use std::ops::Range;

/// A driver never reports more than the chips hold; 24 GiB against a marketed 24 GB is 7 % more.
const MOST_OVER_MARKETED: f64 = 1.08;

/// Memory run beyond its rating still stays below this multiple of it.
const MOST_OVER_RATED_SPEED: f64 = 1.7;

/// Reports a name nobody knows, with those that may have been meant.
pub(crate) fn unknown_name(unknown: &Unknown, span: &Range<usize>, problems: &mut Problems) {
    let hint = match unknown.near.as_slice() {
        [] => format!("`plan hardware list --kind {}` shows what is known", unknown.kind.flag()),
        near => format!("did you mean {}?", alternatives(near)),
    };
    problems.push_hint(span.clone(), unknown.to_string(), "not in the catalogue", Some(hint));
}

/// A figure between bounds; `of` says whose upper bound it is.
pub(crate) fn check_within<T: PartialOrd + Copy + Display>(
    figure: &At<T>,
    least: T,
    most: T,
    of: &str,
    problems: &mut Problems,
) -> bool {
    let good = figure.value >= least && figure.value <= most;
    if !good {
        let bound =
            if figure.value < least { format!("at least {least}") } else { format!("at most {most}") };
        problems.push(figure.span.clone(), format!("{} is beyond {of}", figure.value), bound);
    }
    good
}

/// The declared memory of a device against what the product is sold with.
pub(crate) fn check_device_memory(
    device: &Entry<Accelerator>,
    memory: &At<Bytes>,
    problems: &mut Problems,
) -> bool {
    if memory.value < Bytes::gib(0.5) {
        problems.push(
            memory.span.clone(),
            format!("{} is too little for an accelerator", memory.value),
            "at least 512 MiB",
        );
        return false;
    }
    let most = device.value.memory.map_or(Bytes::gib(4096.0), |sold| sold * MOST_OVER_MARKETED);
    if memory.value > most {
        let sold =
            device.value.memory.map_or_else(|| "4 TiB".to_owned(), |sold| chip_bytes(sold).to_string());
        problems.push_hint(
            memory.span.clone(),
            format!("{} has {sold} of memory, not {}", device.value.name, memory.value),
            "more than the device has",
            Some("for a modified card, describe it in a `spec` table; `count` multiplies devices".to_owned()),
        );
        return false;
    }
    true
}

/// A size of host memory that modules can make up.
pub(crate) fn check_ram_size(size: &At<Bytes>, problems: &mut Problems) -> bool {
    if size.value < Bytes::gib(0.5) || size.value > Bytes::gib(262_144.0) {
        problems.push(
            size.span.clone(),
            format!("{} is no plausible memory of one node", size.value),
            "between 512 MiB and 256 TiB",
        );
        return false;
    }
    // 128 GiB are 137.4 GB: that number with the unit GiB is the same memory counted twice.
    let gib = size.value.in_gib();
    let meant = Bytes::gib(gib / 1.073_741_824);
    let sold = is_module_size(meant.in_gib().round())
        && (meant.in_gib() / meant.in_gib().round() - 1.0).abs() < 0.004;
    let whole_gb = (size.value.get() / 1e9 - (size.value.get() / 1e9).round()).abs() < 1e-9;
    if gib > 15.0 && sold && !whole_gb && !is_module_size(gib) {
        problems.push_hint(
            size.span.clone(),
            format!("{gib:.0} GiB looks like {:.0} GiB written in GB", meant.in_gib()),
            "no modules add up to this",
            Some(format!("write \"{:.0} GiB\" or \"{gib:.0} GB\"", meant.in_gib().round())),
        );
        return false;
    }
    true
}

/// Whether modules of 4 GiB and more, in sets of one, two or three, make up this many GiB.
pub(crate) fn is_module_size(gib: f64) -> bool {
    let whole = gib.round();
    if (gib - whole).abs() > 1e-6 || whole < 1.0 {
        return false;
    }
    let mut odd = whole as u64;
    while odd.is_multiple_of(2) {
        odd /= 2;
    }
    odd <= 9
}

/// Channels and speed against each other and against the processor.
pub(crate) fn check_channels(
    ram: &RigRamTable,
    cpu: Option<&Cpu>,
    sockets: u32,
    problems: &mut Problems,
) -> bool {
    let mut good = true;
    if let Some(channels) = &ram.channels {
        let most = cpu.and_then(|cpu| cpu.channels).map_or(64, |c| c.get() * u64::from(sockets));
        if channels.value.get() > most {
            let whose = cpu.map_or_else(|| "any node".to_owned(), |cpu| format!("{sockets} x {}", cpu.name));
            problems.push(
                channels.span.clone(),
                format!("{} memory channels are more than {whose} has", channels.value.get()),
                format!("at most {most}; count channels, not modules"),
            );
            good = false;
        }
    }
    if let Some(speed) = &ram.mt_s {
        let mt_s = speed.value.get();
        let rated = cpu.and_then(|cpu| cpu.memory_mt_s).map(|rated| rated.get() as f64);
        let most = rated.map_or(13_000.0, |rated| rated * MOST_OVER_RATED_SPEED);
        if mt_s < 800 || mt_s as f64 > most {
            let hint = if mt_s < 800 {
                "MT/s is twice the clock in MHz"
            } else {
                "the speed of one module in MT/s, such as 5600"
            };
            problems.push_hint(
                speed.span.clone(),
                format!("{mt_s} MT/s is no speed of this memory"),
                format!("between 800 and {most:.0}"),
                Some(hint.to_owned()),
            );
            good = false;
        }
    }
    good
}

/// A topology the devices can have.
pub(crate) fn check_topology(
    accelerator: &Accelerator,
    count: u32,
    topology: &At<Topology>,
    problems: &mut Problems,
) -> bool {
    let fault = match topology.value {
        Topology::Single if count > 1 => Some(format!("{count} devices are not `single`")),
        Topology::Switched | Topology::Mesh if !accelerator.has_fabric() => {
            Some(format!("{} has no scale-up fabric", accelerator.name))
        }
        Topology::Bridged if accelerator.link.is_none() => {
            Some(format!("{} takes no bridge", accelerator.name))
        }
        Topology::Single
        | Topology::Switched
        | Topology::Mesh
        | Topology::Bridged
        | Topology::Pcie
        | Topology::PcieHost => None,
    };
    if let Some(message) = fault {
        problems.push_hint(
            topology.span.clone(),
            message,
            "cannot be",
            Some("leave `topology` out, or use `pcie` or `pcie-host`".to_owned()),
        );
        return false;
    }
    true
}
