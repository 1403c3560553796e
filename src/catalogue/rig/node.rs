//! One kind of node of a rig: its devices, processor, memory, disk and links.

use super::resolve::Context;
use crate::catalogue::assemble::{GroupSays, HostClass, HostSays, channel_rate};
use crate::catalogue::decode::{At, Count};
use crate::catalogue::hardware::{Accelerator, Cpu, DeviceGroup, LinkRef, MachinePrice, Node, chip_bytes};
use crate::catalogue::names;
use crate::catalogue::rig::check::{
    check_channels, check_device_memory, check_ram_size, check_topology, check_within, is_module_size,
    unknown_name,
};
use crate::catalogue::rig::spec::{RigCpu, RigDevice, RigDisk, RigNode, RigPrice, RigRam, RigRamTable};
use crate::catalogue::store::{Entry, Kind, Layer, LookupError};
use crate::fact::{Fact, Origin};
use crate::units::{Bandwidth, Bytes, Money, Watts};
use std::sync::Arc;

impl Context<'_, '_> {
    /// A count, one if absent.
    pub(super) fn count(&mut self, count: Option<&At<Count>>, most: u64) -> Option<u32> {
        let Some(count) = count else { return Some(1) };
        if count.value.get() > most {
            self.problems.push(
                count.span.clone(),
                format!("{} is absurdly many", count.value.get()),
                format!("at most {most}"),
            );
            return None;
        }
        u32::try_from(count.value.get()).ok()
    }

    pub(super) fn node(&mut self, node: RigNode) -> Option<(Node, HostClass)> {
        let count = self.count(node.count.as_ref(), 10_000);
        let devices: Vec<Option<(RigDevice, u32, Entry<Accelerator>)>> =
            node.accelerator.0.into_iter().map(|device| self.device(device)).collect();
        // Every device is looked at before giving up, so that all their problems are reported.
        let devices = devices.into_iter().collect::<Option<Vec<_>>>();
        let first = devices.as_ref().and_then(|devices| devices.first().map(|(_, _, device)| device.clone()));
        let total: u32 = devices.iter().flatten().map(|(_, count, _)| count).sum();
        let class = first
            .as_ref()
            .map_or(HostClass::Workstation, |device| HostClass::of(&device.id, &device.value, total));
        let says = self.host_says(node.cpu.as_ref(), node.ram.as_ref(), node.disk.as_ref());
        let (Some(count), Some(devices), Some(mut says)) = (count, devices, says) else { return None };
        if class == HostClass::Unified && says.ram.is_none() {
            // The devices' memory is the host's.
            says.ram = devices.first().and_then(|(written, _, device)| {
                let stated =
                    written.memory.as_ref().map(|memory| self.user(chip_bytes(memory.value), &memory.span));
                let sold = device
                    .value
                    .memory
                    .map(|m| Fact::new(chip_bytes(m), Origin::Catalogue(device.value.source.clone())));
                stated.or(sold)
            });
        }
        let stated_ram = says.ram.clone().filter(|_| class == HostClass::Unified);
        let host = self.assembler.host(class, first.as_ref(), says);
        let cpu = host.cpu_id.as_deref().and_then(|id| self.assembler.catalogue.cpu(id).ok());
        let mut groups: Vec<DeviceGroup> = Vec::new();
        for (written, count, device) in &devices {
            let ram = stated_ram.clone();
            groups.push(self.group(written, *count, device, cpu.as_ref().map(|cpu| &*cpu.value), ram)?);
        }
        Some((Node { count, devices: groups, host }, class))
    }

    /// The catalogue entry of a device, or its description in the file.
    fn device(&mut self, device: RigDevice) -> Option<(RigDevice, u32, Entry<Accelerator>)> {
        let count = self.count(device.count.as_ref(), 1024);
        let entry = match (&device.id, &device.spec) {
            (_, Some(spec)) => {
                let id = device
                    .id
                    .as_ref()
                    .map_or_else(|| spec.value.name.to_lowercase().replace(' ', "-"), |id| id.value.clone());
                let layer = Layer::User(self.file.into());
                Some(Entry { id, value: Arc::new(spec.value.clone()), layer })
            }
            (Some(id), None) => self
                .named(Kind::Accelerator, id)
                .and_then(|found| self.assembler.catalogue.accelerator(&found).ok()),
            (None, None) => {
                // The group has no place of its own: any of its keys shows which one it is.
                let place = [
                    device.count.as_ref().map(|at| &at.span),
                    device.memory.as_ref().map(|at| &at.span),
                    device.in_use.as_ref().map(|at| &at.span),
                    device.bandwidth.as_ref().map(|at| &at.span),
                    device.topology.as_ref().map(|at| &at.span),
                    device.host_link.as_ref().map(|at| &at.span),
                    device.price_usd.as_ref().map(|at| &at.span),
                ];
                self.problems.push(
                    place.into_iter().flatten().next().cloned().unwrap_or(0..0),
                    "an accelerator without a name",
                    "expected `id = \"…\"` or a `spec` table beside it",
                );
                None
            }
        };
        let (count, entry) = (count?, entry?);
        let mut good = true;
        if let Some(memory) = &device.memory {
            good &= check_device_memory(&entry, memory, self.problems);
        }
        if let Some(topology) = &device.topology {
            good &= check_topology(&entry.value, count, topology, self.problems);
        }
        if let Some(bandwidth) = &device.bandwidth {
            let peak = entry.value.bandwidth;
            good &= check_within(
                bandwidth,
                Bandwidth::gb_s(1.0),
                peak * 1.1,
                "the peak of this device",
                self.problems,
            );
        }
        good.then_some((device, count, entry))
    }

    /// The id a name means, or a problem.
    fn named(&mut self, kind: Kind, name: &At<String>) -> Option<String> {
        match names::resolve(self.assembler.catalogue, kind, &name.value) {
            Ok(id) => Some(id),
            Err(unknown) => {
                unknown_name(&unknown, &name.span, self.problems);
                None
            }
        }
    }

    fn group(
        &mut self,
        written: &RigDevice,
        count: u32,
        device: &Entry<Accelerator>,
        cpu: Option<&Cpu>,
        unified_ram: Option<Fact<Bytes>>,
    ) -> Option<DeviceGroup> {
        let memory =
            written.memory.as_ref().map(|memory| self.user(memory.value, &memory.span)).or(unified_ram);
        if memory.is_none() && device.value.memory.is_none() {
            let span = written.id.as_ref().map_or(0..0, |id| id.span.clone());
            self.problems.push_hint(
                span,
                format!("{} is sold with several memory sizes", device.value.name),
                "which one is it?",
                Some("add `memory = \"… GiB\"` to this accelerator, or `ram`".to_owned()),
            );
            return None;
        }
        if let (Some(in_use), Some(memory)) =
            (&written.in_use, memory.as_ref().map(|m| m.value).or(device.value.memory))
        {
            check_within(in_use, Bytes::ZERO, memory, "the memory of this device", self.problems);
        }
        let host_link = match &written.host_link {
            Some(link) => Some(self.link(link)?),
            None => None,
        };
        let says = GroupSays {
            memory,
            in_use: written.in_use.as_ref().map(|in_use| in_use.value),
            bandwidth: written.bandwidth.as_ref().map(|b| self.user(b.value, &b.span)),
            topology: written.topology.as_ref().map(|t| self.user(t.value, &t.span)),
            host_link,
            price: written.price_usd.as_ref().map(|p| self.user(Money::new(p.value), &p.span)),
        };
        self.assembler.group(device, count, cpu, says)
    }

    fn host_says(
        &mut self,
        cpu: Option<&RigCpu>,
        ram: Option<&RigRam>,
        disk: Option<&RigDisk>,
    ) -> Option<HostSays> {
        let mut says = HostSays::default();
        let mut good = true;
        if let Some(RigCpu(cpu)) = cpu {
            if let Some(id) = &cpu.id {
                match self.named(Kind::Cpu, id) {
                    Some(id) => says.cpu = self.assembler.catalogue.cpu(&id).ok(),
                    None => good = false,
                }
            }
            says.cpu_name = cpu.name.as_ref().map(|name| self.user(name.value.clone(), &name.span));
            let sockets = self.count(cpu.sockets.as_ref(), 16);
            if let (Some(stated), Some(entry), Some(sockets)) = (&cpu.sockets, &says.cpu, sockets)
                && let Some(most) = entry.value.sockets_max
                && u64::from(sockets) > most.get()
            {
                let message = format!("{} goes into at most {} socket(s)", entry.value.name, most.get());
                self.problems.push(stated.span.clone(), message, "too many sockets");
                good = false;
            }
            says.sockets =
                sockets.filter(|_| cpu.sockets.is_some() || says.cpu.is_some() || cpu.cores.is_some());
            if let Some(cores) = &cpu.cores {
                let most = self.count(Some(cores), 4096);
                says.cores = most.map(|count| self.user(count, &cores.span));
                good &= most.is_some();
            }
            if let Some(clock) = &cpu.clock_ghz {
                good &= check_within(clock, 0.3, 8.0, "any processor (GHz)", self.problems);
                says.clock_ghz = Some(self.user(clock.value, &clock.span));
            }
            says.isa.clone_from(&cpu.isa);
        }
        if let Some(RigRam(ram)) = ram {
            good &= check_ram_size(&ram.size, self.problems);
            self.note_decimal(&ram.size);
            says.ram = Some(self.user(ram.size.value, &ram.size.span));
            if let Some(in_use) = &ram.in_use {
                good &= check_within(in_use, Bytes::ZERO, ram.size.value, "the memory", self.problems);
                says.in_use = Some(self.user(in_use.value, &in_use.span));
            }
            let sockets = says.sockets.unwrap_or(1);
            good &= check_channels(ram, says.cpu.as_ref().map(|cpu| &*cpu.value), sockets, self.problems);
            says.bandwidth = self.ram_bandwidth(ram, says.cpu.as_ref(), sockets);
        }
        if let Some(disk) = disk {
            match self.disk(disk) {
                Some((read, free)) => (says.disk, says.disk_free) = (read, free),
                None => good = false,
            }
        }
        good.then_some(says)
    }

    /// Memory bandwidth from what the file says of channels and speed; missing parts from the processor.
    fn ram_bandwidth(
        &self,
        ram: &RigRamTable,
        cpu: Option<&Entry<Cpu>>,
        sockets: u32,
    ) -> Option<Fact<Bandwidth>> {
        if let Some(stated) = &ram.bandwidth {
            let fact = self.user(stated.value, &stated.span);
            return Some(measured(fact, ram.measured.as_ref()));
        }
        if ram.channels.is_none() && ram.mt_s.is_none() {
            return None;
        }
        let of_cpu =
            |figure: fn(&Cpu) -> Option<Count>| cpu.and_then(|cpu| figure(&cpu.value)).map(Count::get);
        let channels = ram.channels.as_ref().map(|c| c.value.get());
        let channels = channels.or_else(|| Some(of_cpu(|cpu| cpu.channels)? * u64::from(sockets)))?;
        let mt_s =
            ram.mt_s.as_ref().map(|speed| speed.value.get()).or_else(|| of_cpu(|cpu| cpu.memory_mt_s))?;
        let rule = format!("{channels} channels x 8 bytes x {mt_s} MT/s, from {}", self.file);
        Some(Fact::new(channel_rate(channels, mt_s), Origin::Derived(rule)))
    }

    /// Modules come in GiB; a size in GB is taken at its word, and that is said.
    fn note_decimal(&mut self, size: &At<Bytes>) {
        let (gb, gib) = (size.value.get() / 1e9, size.value.in_gib());
        let in_gb = (gb - gb.round()).abs() < 1e-9 && (gib - gib.round()).abs() > 1e-9;
        if !in_gb {
            return;
        }
        // 137 GB is what a tool prints for 128 GiB; 64 GB is what a shop writes for 64 GiB.
        let printed = is_module_size(gib.round()) && (gib / gib.round() - 1.0).abs() < 0.004;
        let modules = if printed { gib.round() } else { gb.round() };
        self.assembler.note(format!(
            "{gb:.0} GB of host memory are taken at their word, {}; if modules of {modules:.0} GiB are installed, write \
             \"{modules:.0} GiB\"",
            size.value
        ));
    }

    pub(super) fn disk(&mut self, disk: &RigDisk) -> Option<(Option<Fact<Bandwidth>>, Option<Bytes>)> {
        let read = match &disk.0.read {
            Some(link) => self.link(link).map(|fact| Some(measured(fact, disk.0.measured.as_ref())))?,
            None => None,
        };
        Some((read, disk.0.free.as_ref().map(|free| free.value)))
    }

    /// The rate of a link named or stated in the file.
    fn link(&mut self, link: &At<LinkRef>) -> Option<Fact<Bandwidth>> {
        match &link.value {
            LinkRef::Rate(rate) => {
                check_within(
                    &At { value: *rate, span: link.span.clone() },
                    Bandwidth::new(1e6),
                    Bandwidth::gb_s(10_000.0),
                    "any link",
                    self.problems,
                );
                Some(self.user(*rate, &link.span))
            }
            LinkRef::Id(id) => match self.assembler.catalogue.link(id) {
                Ok(entry) => {
                    let rate = entry.value.one_way.or(entry.value.achieved)?;
                    Some(Fact::new(
                        rate,
                        Origin::Catalogue(format!("{}: {}", entry.value.name, entry.value.source)),
                    ))
                }
                Err(LookupError::Unknown(unknown)) => {
                    unknown_name(&unknown, &link.span, self.problems);
                    None
                }
                Err(LookupError::Bad(bad)) => {
                    self.problems.push(link.span.clone(), bad.to_string(), "in the catalogue");
                    None
                }
            },
        }
    }

    pub(super) fn network(
        &mut self,
        link: Option<&At<LinkRef>>,
        class: HostClass,
    ) -> Option<Fact<Bandwidth>> {
        if let Some(At { value: LinkRef::Rate(_), .. }) = link {
            return link.and_then(|link| self.link(link));
        }
        match self.assembler.network(link.map(|link| &link.value), &Origin::User(self.file.to_owned()), class)
        {
            Ok(network) => Some(network),
            Err(error) => {
                let span = link.map_or(0..0, |link| link.span.clone());
                match error {
                    LookupError::Unknown(unknown) => unknown_name(&unknown, &span, self.problems),
                    LookupError::Bad(bad) => self.problems.push(span, bad.to_string(), "in the catalogue"),
                }
                None
            }
        }
    }

    pub(super) fn price(&mut self, price: Option<&RigPrice>) -> MachinePrice {
        let Some(price) = price else { return MachinePrice::default() };
        let mut money = |figure: &Option<At<f64>>, most: f64, what: &str| {
            let figure = figure.as_ref()?;
            check_within(figure, 0.0, most, what, self.problems);
            Some(self.user(Money::new(figure.value), &figure.span))
        };
        let rent_per_hour = money(&price.rent_per_hour, 1e7, "any rent per hour (USD)");
        let purchase = money(&price.purchase, 1e11, "any machine (USD)");
        let power_per_kwh = money(&price.power_per_kwh, 5.0, "any power price (USD per kWh)");
        let wall_power =
            price.wall_power_w.as_ref().map(|watts| self.user(Watts::new(watts.value), &watts.span));
        MachinePrice { rent_per_hour, purchase, power_per_kwh, wall_power }
    }
}

/// A figure of the file, as measured if the file dates its measurement.
fn measured<T>(fact: Fact<T>, date: Option<&At<String>>) -> Fact<T> {
    match (date, fact.origin) {
        (Some(date), Origin::User(place)) => {
            Fact::new(fact.value, Origin::Measured(format!("{}, {place}", date.value)))
        }
        (_, origin) => Fact::new(fact.value, origin),
    }
}
