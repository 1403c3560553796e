//! Memory modules as the firmware describes them, read from the device database of the system: the
//! firmware's own tables need rights, the database does not.
//!
//! The number of populated channels decides the speed of inference on the processor, and it is
//! often smaller than what the processor could have.

use crate::detect::source::Source;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where the system keeps what it knows of the firmware.
const DATABASE: &str = "/run/udev/data/+dmi:id";

/// One memory module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedModule {
    /// Size in bytes.
    pub size: u64,
    /// Speed it runs at, MT/s.
    #[serde(default)]
    pub mt_s: Option<u64>,
    /// Type, such as `DDR5`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Slot, as the board names it.
    #[serde(default)]
    pub locator: String,
    /// Bank or channel, as the board names it.
    #[serde(default)]
    pub bank: String,
}

/// Fields of a module that are kept; the others name the single module.
const FIELDS: [&str; 6] =
    ["_SIZE=", "_SPEED_MTS=", "_CONFIGURED_SPEED_MTS=", "_LOCATOR=", "_BANK_LOCATOR=", "_TYPE="];

/// Where the kernel lists the modules its memory controllers watch for errors, on servers.
const CONTROLLERS: &str = "/sys/devices/system/edac/mc";

/// The modules of this machine; none where the system does not tell.
pub(super) fn modules(source: &mut Source) -> Vec<ProbedModule> {
    let text = source.read_kept(DATABASE, |text| {
        let kept = |line: &&str| {
            line.starts_with("E:MEMORY_DEVICE_") && FIELDS.iter().any(|field| line.contains(field))
        };
        Some(text.lines().filter(kept).collect::<Vec<_>>().join("\n"))
    });
    let found = text.map(|text| parse(&text)).unwrap_or_default();
    if found.is_empty() { watched(source) } else { found }
}

/// Modules as the memory controllers list them: size, type and channel, but no speed.
fn watched(source: &mut Source) -> Vec<ProbedModule> {
    let mut found = Vec::new();
    for controller in source.names(CONTROLLERS).into_iter().filter(|name| name.starts_with("mc")) {
        let folder = format!("{CONTROLLERS}/{controller}");
        for module in source.names(&folder).into_iter().filter(|name| name.starts_with("dimm")) {
            let mut part = |file: &str| source.read(&format!("{folder}/{module}/{file}"));
            let Some(mib) = part("size").and_then(|size| size.parse::<u64>().ok()).filter(|mib| *mib > 0)
            else {
                continue;
            };
            // `channel 0 slot 1`, or `csrow 0 channel 1`.
            let place = part("dimm_location").unwrap_or_default();
            let words: Vec<&str> = place.split_whitespace().collect();
            let channel = words.windows(2).find(|pair| pair[0] == "channel").map_or("?", |pair| pair[1]);
            found.push(ProbedModule {
                size: mib << 20,
                mt_s: None,
                kind: part("dimm_mem_type").unwrap_or_default(),
                locator: module.clone(),
                bank: format!("{controller} channel {channel}"),
            });
        }
    }
    found
}

/// Reads lines such as `E:MEMORY_DEVICE_0_SIZE=17179869184`.
fn parse(text: &str) -> Vec<ProbedModule> {
    let mut modules: BTreeMap<u32, ProbedModule> = BTreeMap::new();
    for line in text.lines() {
        let Some((key, value)) = line.strip_prefix("E:MEMORY_DEVICE_").and_then(|rest| rest.split_once('='))
        else {
            continue;
        };
        let Some((number, field)) = key.split_once('_') else { continue };
        let Ok(number) = number.parse() else { continue };
        let module = modules.entry(number).or_default();
        match field {
            "SIZE" => module.size = value.parse().unwrap_or(0),
            "CONFIGURED_SPEED_MTS" => module.mt_s = value.parse().ok(),
            "SPEED_MTS" => module.mt_s = module.mt_s.or_else(|| value.parse().ok()),
            "TYPE" => value.trim().clone_into(&mut module.kind),
            "LOCATOR" => value.trim().clone_into(&mut module.locator),
            "BANK_LOCATOR" => value.trim().clone_into(&mut module.bank),
            _ => {}
        }
    }
    modules.into_values().filter(|module| module.size > 0).collect()
}

/// Populated channels, and their speed if the modules tell. Boards name channels in many ways;
/// where no channel is named each module counts as one, so the caller bounds the number.
pub(super) fn channels(modules: &[ProbedModule]) -> Option<(u64, Option<u64>)> {
    let speed = modules.iter().map(|module| module.mt_s.filter(|speed| *speed > 0)).min()?;
    let names: BTreeSet<String> = modules.iter().map(channel_name).collect();
    Some((names.len() as u64, speed))
}

/// `P0 CHANNEL A` of a bank, `ChannelA` of a slot, `A` of `DIMM_A2`; else the slot itself.
fn channel_name(module: &ProbedModule) -> String {
    for text in [&module.bank, &module.locator] {
        let lower = text.to_lowercase().replace([' ', '_'], "");
        if let Some(at) = lower.find("channel") {
            let end = at + "channel".len();
            let letter = lower[end..].trim_start_matches('-').chars().next().unwrap_or_default();
            return format!("{}{letter}", &lower[..end]);
        }
    }
    let lower = module.locator.to_lowercase();
    let slot = lower.trim_end_matches(|c: char| c.is_ascii_digit());
    // `DIMM_A2` is the second slot of channel A; `DIMM 2` is a slot of a channel unknown.
    let letter_before = slot.ends_with(|c: char| c.is_ascii_lowercase()) && !slot.ends_with("dimm");
    if letter_before { slot.to_owned() } else { format!("{lower} {}", module.bank.to_lowercase()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_modules_of_one_channel_are_one_channel() {
        let text = "E:MEMORY_DEVICE_0_SIZE=34359738368\nE:MEMORY_DEVICE_0_CONFIGURED_SPEED_MTS=4800\n\
                    E:MEMORY_DEVICE_0_LOCATOR=DIMM_A1\nE:MEMORY_DEVICE_1_PRESENT=0\n\
                    E:MEMORY_DEVICE_1_LOCATOR=DIMM_A2\nE:MEMORY_DEVICE_2_SIZE=34359738368\n\
                    E:MEMORY_DEVICE_2_SPEED_MTS=5600\nE:MEMORY_DEVICE_2_LOCATOR=DIMM_B1\nE:OTHER=1\n";
        let modules = parse(text);
        assert_eq!(modules.len(), 2);
        // The slowest decides.
        assert_eq!(channels(&modules), Some((2, Some(4800))));
        let both_of_a =
            [modules[0].clone(), ProbedModule { locator: "DIMM_A2".to_owned(), ..modules[0].clone() }];
        assert_eq!(channels(&both_of_a), Some((1, Some(4800))));
    }

    #[test]
    fn boards_name_channels_in_many_ways() {
        let module = |locator: &str, bank: &str| ProbedModule {
            size: 1,
            mt_s: Some(4800),
            kind: "DDR5".to_owned(),
            locator: locator.to_owned(),
            bank: bank.to_owned(),
        };
        let count = |modules: &[ProbedModule]| channels(modules).unwrap().0;
        assert_eq!(count(&[module("DIMM 0", "P0 CHANNEL A"), module("DIMM 1", "P0 CHANNEL A")]), 1);
        assert_eq!(count(&[module("DIMM 0", "P0 CHANNEL A"), module("DIMM 0", "P1 CHANNEL A")]), 2);
        assert_eq!(
            count(&[
                module("Controller0-ChannelA-DIMM0", "BANK 0"),
                module("Controller1-ChannelA-DIMM0", "BANK 0")
            ]),
            2
        );
        assert_eq!(count(&[module("DIMM 0", "BANK 0"), module("DIMM 1", "BANK 1")]), 2);
        assert_eq!(channels(&[ProbedModule { mt_s: None, ..module("DIMM 0", "") }]), Some((1, None)));
        assert_eq!(channels(&[]), None);
    }
}
