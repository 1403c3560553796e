//! The processor side of a node, and the network between nodes.

use super::{Assembler, HostClass, catalogue_origin};
use crate::catalogue::assumptions::HostDefault;
use crate::catalogue::decode::Count;
use crate::catalogue::hardware::{Accelerator, Cpu, Host, LinkRef};
use crate::catalogue::store::{Entry, LookupError};
use crate::fact::{Fact, Origin};
use crate::units::{Bandwidth, Bytes, Watts};

/// What a machine says about its host.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostSays {
    /// The processor: its id and entry, or a name the catalogue does not know.
    pub(crate) cpu: Option<Entry<Cpu>>,
    /// Name where the processor is not in the catalogue.
    pub(crate) cpu_name: Option<Fact<String>>,
    /// Cores of all sockets.
    pub(crate) cores: Option<Fact<u32>>,
    /// Sockets.
    pub(crate) sockets: Option<u32>,
    /// All-core clock, GHz.
    pub(crate) clock_ghz: Option<Fact<f64>>,
    /// Instruction sets.
    pub(crate) isa: Vec<String>,
    /// Memory of the node.
    pub(crate) ram: Option<Fact<Bytes>>,
    /// Memory in use.
    pub(crate) in_use: Option<Fact<Bytes>>,
    /// Memory bandwidth of all sockets.
    pub(crate) bandwidth: Option<Fact<Bandwidth>>,
    /// Sequential read of the disk.
    pub(crate) disk: Option<Fact<Bandwidth>>,
    /// Free space of the disk.
    pub(crate) disk_free: Option<Bytes>,
}

impl Assembler<'_> {
    /// The assumed host of a class.
    fn default_host(&self, class: HostClass) -> Option<&HostDefault> {
        self.assumed.host.get(class.key())
    }

    /// The host of a node: what it says, else what such nodes usually have.
    pub(crate) fn host(
        &mut self,
        class: HostClass,
        device: Option<&Entry<Accelerator>>,
        says: HostSays,
    ) -> Host {
        let default = self.default_host(class).cloned();
        let unified = device.filter(|device| device.value.is_unified());
        let counted = says.cores.is_some() && unified.is_none();
        let named = says.cpu.is_some() || says.cpu_name.is_some() || counted;
        let cpu = says.cpu.or_else(|| if named { None } else { self.usual_cpu(default.as_ref(), device) });
        let sockets = says.sockets.unwrap_or_else(|| match &default {
            Some(default) if !named && says.cpu_name.is_none() => {
                u32::try_from(default.sockets.get()).unwrap_or(1)
            }
            _ => 1,
        });
        let cores = says.cores.or_else(|| {
            let cores = u32::try_from(cpu.as_ref()?.value.cores?.get()).ok()?;
            Some(Fact::new(cores * sockets, cpu_origin(cpu.as_ref()?)))
        });
        let cores = cores
            .unwrap_or_else(|| self.assume(8, "the number of processor cores is not known; 8 are assumed"));
        let guess = self.assumed.unknown_cpu(u64::from(cores.value)).cloned();
        let bandwidth = says.bandwidth.or_else(|| {
            if let Some(device) = unified {
                let origin = catalogue_origin(&device.layer, &device.value.source);
                return Some(Fact::new(device.value.bandwidth, origin));
            }
            cpu.as_ref().and_then(|cpu| memory_bandwidth(cpu, sockets))
        });
        let bandwidth = bandwidth.unwrap_or_else(|| {
            let (channels, mt_s, why) = guess
                .as_ref()
                .map_or((2, 3200, "least"), |g| (g.channels.get(), g.mt_s.get(), g.why.as_str()));
            let rate = Bandwidth::new(channels as f64 * mt_s as f64 * 8e6);
            self.assume(
                rate,
                format!("the memory channels of the host are not known; {rate} is assumed: {why}"),
            )
        });
        let clock = says
            .clock_ghz
            .or_else(|| cpu.as_ref().and_then(|cpu| clock(cpu, self.assumed.all_core_clock.share)));
        let clock_ghz = clock.unwrap_or_else(|| {
            let ghz = guess.as_ref().map_or(2.0, |guess| guess.clock_ghz);
            self.assume(ghz, format!("the clock of the processor is not known; {ghz} GHz is assumed"))
        });
        let ram_stated = says.ram.is_some();
        let ram = says.ram.unwrap_or_else(|| {
            let (ram, why) = match (&cpu, &default) {
                (Some(cpu), _) if device.is_none() => {
                    let channels = cpu.value.channels.map_or(2, Count::get) as f64;
                    (
                        self.assumed.cpu_only.ram_per_channel * channels * f64::from(sockets),
                        "every channel populated",
                    )
                }
                (_, Some(default)) => (default.ram, default.why.as_str()),
                _ => (Bytes::gib(16.0), "a small machine"),
            };
            let sentence = match (&cpu, named, unified) {
                (Some(cpu), false, None) => {
                    format!(
                        "the host of a node is assumed to be {}with {ram} of memory: {why}",
                        times_name(sockets, &cpu.value.name)
                    )
                }
                _ => format!("{ram} of host memory per node is assumed: {why}"),
            };
            self.assume(ram, sentence)
        });
        let in_use = says.in_use.unwrap_or_else(|| {
            let amount = default.as_ref().map_or(Bytes::gib(4.0), |default| default.in_use);
            Fact::new(amount, Origin::Assumed(format!("{amount} for the system and its services")))
        });
        let cpu_name = says
            .cpu_name
            .or_else(|| cpu.as_ref().map(|cpu| Fact::new(cpu.value.name.clone(), cpu_origin(cpu))));
        if let (false, Some(cpu), Some(default), None, true) = (named, &cpu, &default, unified, ram_stated) {
            let host = times_name(sockets, &cpu.value.name);
            self.note(format!("the host of a node is assumed to be {}: {}", host.trim_end(), default.why));
        }
        let isa = if says.isa.is_empty() {
            cpu.as_ref().map(|cpu| cpu.value.isa.clone()).unwrap_or_default()
        } else {
            says.isa
        };
        Host {
            cpu_id: cpu.as_ref().map(|cpu| cpu.id.clone()),
            cpu_name: cpu_name.unwrap_or_else(|| {
                Fact::new("not known".to_owned(), Origin::Assumed("no processor is stated".to_owned()))
            }),
            cores,
            sockets,
            clock_ghz,
            isa,
            ram,
            in_use,
            bandwidth,
            tdp: cpu.as_ref().and_then(|cpu| cpu.value.tdp_w).map(|tdp| Watts::new(tdp * f64::from(sockets))),
            disk: says.disk,
            disk_free: says.disk_free,
        }
    }

    /// The processor a class of node usually has; for unified memory the one on the same package.
    pub(crate) fn usual_cpu(
        &self,
        default: Option<&HostDefault>,
        device: Option<&Entry<Accelerator>>,
    ) -> Option<Entry<Cpu>> {
        if let Some(device) = device.filter(|device| device.value.is_unified()) {
            let chip = device.id.rsplit_once('-').map_or(device.id.as_str(), |(chip, _)| chip);
            let ids = [device.id.clone(), format!("apple-{chip}")];
            return ids.iter().find_map(|id| self.catalogue.cpu(id).ok());
        }
        self.catalogue.cpu(&default?.cpu).ok()
    }

    /// Rate between nodes, one direction, per device; `source` is where the statement stands.
    pub(crate) fn network(
        &mut self,
        stated: Option<&LinkRef>,
        source: &Origin,
        class: HostClass,
    ) -> Result<Fact<Bandwidth>, LookupError> {
        let assumed = self.default_host(class).map(|default| default.network.clone());
        let (id, is_assumed) = match stated {
            Some(LinkRef::Rate(rate)) => return Ok(Fact::new(*rate, source.clone())),
            Some(LinkRef::Id(id)) => (id.clone(), false),
            None => (assumed.unwrap_or_else(|| "eth-10g".to_owned()), true),
        };
        let link = self.catalogue.link(&id)?;
        // The theoretical rate where it is known: what transfers reach is the model's business.
        let rate = link.value.one_way.or(link.value.achieved).unwrap_or(Bandwidth::ZERO);
        let origin = catalogue_origin(&link.layer, &format!("{}: {}", link.value.name, link.value.source));
        if is_assumed {
            let sentence =
                format!("nodes are assumed to be joined by {}, one port per device", link.value.name);
            return Ok(self.assume(rate, sentence));
        }
        Ok(Fact::new(rate, origin))
    }
}

/// `2x EPYC 9654 ` or `EPYC 9654 `.
fn times_name(sockets: u32, name: &str) -> String {
    if sockets > 1 { format!("{sockets}x {name} ") } else { format!("{name} ") }
}

fn cpu_origin(cpu: &Entry<Cpu>) -> Origin {
    catalogue_origin(&cpu.layer, &cpu.value.source)
}

/// Peak memory bandwidth of all sockets, as published or from channels and speed.
fn memory_bandwidth(cpu: &Entry<Cpu>, sockets: u32) -> Option<Fact<Bandwidth>> {
    if let Some(bandwidth) = cpu.value.bandwidth {
        return Some(Fact::new(bandwidth * f64::from(sockets), cpu_origin(cpu)));
    }
    let (channels, mt_s) = cpu.value.channels.zip(cpu.value.memory_mt_s)?;
    let rate = channel_rate(channels.get(), mt_s.get()) * f64::from(sockets);
    Some(Fact::new(rate, Origin::Derived("channels x 8 bytes x transfers per second".to_owned())))
}

/// Bytes per second of memory channels of 64 bits.
pub(crate) fn channel_rate(channels: u64, mt_s: u64) -> Bandwidth {
    Bandwidth::new(channels as f64 * mt_s as f64 * 8e6)
}

/// The clock with all cores busy: as published, else part of the way from base to highest, else the base.
fn clock(cpu: &Entry<Cpu>, share: f64) -> Option<Fact<f64>> {
    if let Some(ghz) = cpu.value.all_core_ghz {
        return Some(Fact::new(ghz, cpu_origin(cpu)));
    }
    let base = cpu.value.base_ghz?;
    let ghz = cpu.value.max_ghz.map_or(base, |most| base + share * (most - base));
    let how = "between the base clock and the highest; no all-core clock is published";
    Some(Fact::new(ghz, Origin::Derived(how.to_owned())))
}
