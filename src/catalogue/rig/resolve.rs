//! The rig as a whole: nodes or a catalogue system, network and prices.

use crate::catalogue::assemble::{Assembler, HostClass};
use crate::catalogue::decode::{At, BadFile, Decode, Problem, Problems};
use crate::catalogue::hardware::{Machine, MachinePrice};
use crate::catalogue::hardware_flag::system_machine;
use crate::catalogue::names;
use crate::catalogue::rig::check::unknown_name;
use crate::catalogue::rig::spec::{Rig, RigNode};
use crate::catalogue::store::{Catalogue, Kind, LookupError};
use crate::fact::{Fact, Origin};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A machine from the text of a rig file; `file` is its name in messages.
///
/// # Errors
/// All problems of the text, each with its place.
pub fn machine(file: &str, text: &str, catalogue: &Catalogue) -> Result<Machine, BadFile> {
    let mut problems = Problems::default();
    let (root, faults) = DeTable::parse_recoverable(text);
    for fault in faults {
        problems.push(
            fault.span().unwrap_or(0..0),
            format!("not valid TOML: {}", fault.message().trim()),
            "here",
        );
    }
    let mut machine = None;
    if problems.is_empty() {
        let root = Spanned::new(root.span(), DeValue::Table(root.into_inner()));
        if let Some(rig) = Rig::decode(&root, &mut problems) {
            machine = resolve(file, text, rig, catalogue, &mut problems);
        } else {
            // The rest can still be checked, so that one run shows all there is to mend.
            check_names(&root, catalogue, &mut problems);
            check_rest(file, text, &root, catalogue, &mut problems);
        }
    }
    let bad = |problems: Vec<Problem>| BadFile {
        file: file.to_owned(),
        text: text.to_owned(),
        first_line: 1,
        problems,
    };
    match machine {
        Some(machine) if problems.is_empty() => Ok(machine),
        _ => Err(bad(problems.into_sorted())),
    }
}

/// Everything one resolution shares.
pub(super) struct Context<'a, 'p> {
    pub(super) file: &'a str,
    text: &'a str,
    pub(super) assembler: Assembler<'a>,
    pub(super) problems: &'p mut Problems,
}

fn resolve(
    file: &str,
    text: &str,
    rig: Rig,
    catalogue: &Catalogue,
    problems: &mut Problems,
) -> Option<Machine> {
    let assembler = match Assembler::new(catalogue) {
        Ok(assembler) => assembler,
        Err(error) => {
            problems.push(0..0, error.to_string(), "in the shipped data");
            return None;
        }
    };
    let mut context = Context { file, text, assembler, problems };
    let name = rig.name.clone().unwrap_or_else(|| file.to_owned());
    let price = context.price(rig.price.as_ref());
    if let Some(system) = &rig.system {
        return context.system(system, &rig, name, price);
    }
    let network = rig.network.clone();
    let nodes = context.rig_nodes(rig)?;
    let mut built = Vec::new();
    let mut class = HostClass::Desktop;
    for node in nodes {
        // A bad node is left out and the next one looked at; its problems end the matter below.
        if let Some((node, node_class)) = context.node(node) {
            class = node_class;
            built.push(node);
        }
    }
    if built.is_empty() {
        return None;
    }
    let many = built.iter().map(|node| node.count).sum::<u32>() > 1;
    let network =
        if many || network.is_some() { Some(context.network(network.as_ref(), class)?) } else { None };
    if !context.problems.is_empty() {
        return None;
    }
    let network = if many { network } else { None };
    match context.assembler.finish(name, built, network, price) {
        Ok(machine) => Some(machine),
        Err(error) => {
            context.problems.push(0..0, error.to_string(), "in the catalogue");
            None
        }
    }
}

impl Context<'_, '_> {
    /// A value of the user with its line.
    pub(super) fn user<T>(&self, value: T, span: &Range<usize>) -> Fact<T> {
        let end = span.start.min(self.text.len());
        let line = self.text[..end].matches('\n').count() + 1;
        Fact::new(value, Origin::User(format!("{}:{line}", self.file)))
    }

    /// The nodes, whichever way they are written.
    fn rig_nodes(&mut self, rig: Rig) -> Option<Vec<RigNode>> {
        let top_level =
            !rig.accelerator.0.is_empty() || rig.cpu.is_some() || rig.ram.is_some() || rig.disk.is_some();
        if !rig.node.is_empty() {
            if top_level || rig.count.is_some() {
                self.problems.push(
                    0..0,
                    "devices, processor, memory and count stand both at the top and in [[node]]",
                    "move them into a [[node]]",
                );
                return None;
            }
            return Some(rig.node);
        }
        if !top_level {
            self.problems.push_hint(
                0..0,
                "the rig has no hardware",
                "expected `accelerator`, `cpu`, `system` or [[node]]",
                Some("the shortest rig is one line: accelerator = \"rtx-4090\"".to_owned()),
            );
            return None;
        }
        Some(vec![RigNode {
            name: None,
            count: rig.count,
            accelerator: rig.accelerator,
            cpu: rig.cpu,
            ram: rig.ram,
            disk: rig.disk,
        }])
    }

    /// A rig that starts from a catalogue system.
    fn system(&mut self, id: &At<String>, rig: &Rig, name: String, price: MachinePrice) -> Option<Machine> {
        if !rig.accelerator.0.is_empty() || rig.cpu.is_some() || rig.ram.is_some() || !rig.node.is_empty() {
            self.problems.push_hint(
                id.span.clone(),
                "a system comes with its devices, processor and memory",
                "they are also written below",
                Some("leave out `system`, or the parts".to_owned()),
            );
            return None;
        }
        let catalogue = self.assembler.catalogue;
        let system = match catalogue.system(&id.value) {
            Ok(system) => system,
            Err(LookupError::Unknown(unknown)) => {
                unknown_name(&unknown, &id.span, self.problems);
                return None;
            }
            Err(LookupError::Bad(bad)) => {
                self.problems.push(id.span.clone(), bad.to_string(), "in the catalogue");
                return None;
            }
        };
        let times = self.count(rig.count.as_ref(), 10_000)?;
        let mut machine = match system_machine(&system, times, catalogue) {
            Ok(machine) => machine,
            Err(error) => {
                self.problems.push(id.span.clone(), error.to_string(), "this system");
                return None;
            }
        };
        if rig.name.is_some() {
            machine.name = name;
        }
        if let Some(network) = &rig.network {
            machine.network = Some(self.network(Some(network), HostClass::Node)?);
        }
        if let Some(disk) = &rig.disk {
            let (read, free) = self.disk(disk)?;
            for node in &mut machine.nodes {
                node.host.disk.clone_from(&read);
                node.host.disk_free = free;
            }
        }
        let known = machine.price;
        machine.price = MachinePrice {
            rent_per_hour: price.rent_per_hour.or(known.rent_per_hour),
            purchase: price.purchase.or(known.purchase),
            power_per_kwh: price.power_per_kwh.or(known.power_per_kwh),
            wall_power: price.wall_power.or(known.wall_power),
        };
        Some(machine)
    }
}

/// Checks the figures of the parts without a fault, in a file whose shape is wrong elsewhere.
fn check_rest(
    file: &str,
    text: &str,
    root: &Spanned<DeValue<'_>>,
    catalogue: &Catalogue,
    problems: &mut Problems,
) {
    let Some(table) = root.get_ref().as_table() else { return };
    let mut sound = DeTable::new();
    for (key, item) in table {
        let items = ["accelerator", "node"].contains(&key.get_ref().as_ref());
        let item = match item.get_ref().as_array().filter(|_| items) {
            Some(several) => {
                let kept = several.iter().filter(|one| !is_faulty(one, problems)).cloned().collect();
                Spanned::new(item.span(), DeValue::Array(kept))
            }
            None => item.clone(),
        };
        if !covers_fault(&key.span(), problems) && !is_faulty(&item, problems) {
            sound.insert(key.clone(), item);
        }
    }
    let mut found = Problems::default();
    let sound = Spanned::new(root.span(), DeValue::Table(sound));
    if let Some(rig) = Rig::decode(&sound, &mut found) {
        resolve(file, text, rig, catalogue, &mut found);
    }
    // Without a place of its own a problem may come from what was left out.
    let new = |problem: &Problem| {
        !problem.span.is_empty() && !problems.iter().any(|known| known.span == problem.span)
    };
    let new: Vec<Problem> = found.into_sorted().into_iter().filter(new).collect();
    for Problem { message, span, label, hint } in new {
        problems.push_hint(span, message, label, hint);
    }
}

/// Whether a problem lies within a place.
fn covers_fault(place: &Range<usize>, problems: &Problems) -> bool {
    problems.iter().any(|problem| place.start <= problem.span.start && problem.span.end <= place.end)
}

/// Whether a problem lies anywhere in a value; a table under a header spans its header only.
fn is_faulty(value: &Spanned<DeValue<'_>>, problems: &Problems) -> bool {
    if covers_fault(&value.span(), problems) {
        return true;
    }
    match value.get_ref() {
        DeValue::Table(table) => {
            table.iter().any(|(key, item)| covers_fault(&key.span(), problems) || is_faulty(item, problems))
        }
        DeValue::Array(items) => items.iter().any(|item| is_faulty(item, problems)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => false,
    }
}

/// Looks up the names in a file whose shape is wrong elsewhere.
fn check_names(value: &Spanned<DeValue<'_>>, catalogue: &Catalogue, problems: &mut Problems) {
    fn check(kind: Kind, value: &Spanned<DeValue<'_>>, catalogue: &Catalogue, problems: &mut Problems) {
        if let Some(text) = value.get_ref().as_str() {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let name =
                text[digits..].trim_start().strip_prefix(['x', 'X']).filter(|_| digits > 0).unwrap_or(text);
            if let Err(unknown) = names::resolve(catalogue, kind, name) {
                unknown_name(&unknown, &value.span(), problems);
            }
        } else if let Some(items) = value.get_ref().as_array() {
            items.iter().for_each(|item| check(kind, item, catalogue, problems));
        } else if let Some(table) = value.get_ref().as_table()
            && let Some(id) = table.get("id")
            && table.get("spec").is_none()
        {
            check(kind, id, catalogue, problems);
        }
    }
    let Some(table) = value.get_ref().as_table() else { return };
    for (key, item) in table {
        match key.get_ref().as_ref() {
            "accelerator" => check(Kind::Accelerator, item, catalogue, problems),
            "cpu" => check(Kind::Cpu, item, catalogue, problems),
            "node" => item
                .get_ref()
                .as_array()
                .into_iter()
                .flatten()
                .for_each(|node| check_names(node, catalogue, problems)),
            _ => {}
        }
    }
}
