//! `plan hardware`: what the catalogue knows, and what a rig file means.

use crate::catalogue::decode::Count;
use crate::catalogue::hardware::{Accelerator, Cpu, EconomicFigure, Link, Offer, Price, System, chip_bytes};
use crate::catalogue::hardware_flag::{HardwareError, hardware};
use crate::catalogue::layer::LayerError;
use crate::catalogue::names;
use crate::catalogue::nearest::ranked;
use crate::catalogue::store::{Catalogue, Entry, Kind, LookupError};
use crate::cli::error::{CliError, Outcome};
use crate::cli::machine_text::{print_machine, table};
use crate::units::{Bandwidth, Bytes, Money, parse_bytes, parse_rate, significant};
use clap::{Args, Subcommand, ValueEnum};
use std::io::Write;

/// Shows the hardware catalogue and checks rig files
#[derive(Debug, Args)]
pub struct HardwareArgs {
    /// What to do
    #[command(subcommand)]
    command: HardwareCommand,
}

#[derive(Debug, Subcommand)]
enum HardwareCommand {
    /// List entries of the catalogue, filtered
    List(ListArgs),
    /// Find entries of every kind whose id or name contains all words
    Search {
        /// Words to find
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Show one entry as it stands in the data, with its sources
    Show {
        /// Id of an accelerator, processor, link, system, offer or economic figure
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what a rig file or a hardware flag means, or what is wrong with it
    Check {
        /// A rig file, a system or a count of devices, such as `my-rig.toml` or `8xh200-sxm`
        hardware: String,
    },
}

#[derive(Clone, Debug, Args)]
struct ListArgs {
    /// Kind of entries
    #[arg(long, value_enum, default_value_t = ListKind::Accelerator)]
    kind: ListKind,
    /// Only this maker or provider
    #[arg(long, value_name = "NAME")]
    vendor: Option<String>,
    /// Only devices, systems and offers with at least this memory, such as `24GiB`
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    min_memory: Option<Bytes>,
    /// Only entries with at least this memory bandwidth or rate, such as `1TB/s`
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    min_bandwidth: Option<Bandwidth>,
    /// Only systems and offers of this accelerator
    #[arg(long, value_name = "ID")]
    accelerator: Option<String>,
}

/// Kinds of entries, as flags name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListKind {
    /// Accelerators
    Accelerator,
    /// Processors
    Cpu,
    /// Links and networks
    Link,
    /// Complete systems
    System,
    /// Hardware for rent
    Offer,
    /// Figures of the cost of ownership
    Economics,
}

/// Kinds that stand in `hardware-profiles/`.
const KINDS: [Kind; 6] =
    [Kind::Accelerator, Kind::Cpu, Kind::System, Kind::Offer, Kind::Link, Kind::Economics];

impl From<LookupError> for CliError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Unknown(unknown) => {
                Self::Unknown { what: unknown.kind.word(), name: unknown.name, near: unknown.near }
            }
            LookupError::Bad(bad) => Self::Files(vec![bad]),
        }
    }
}

impl From<HardwareError> for CliError {
    fn from(error: HardwareError) -> Self {
        let message = error.to_string();
        match error {
            HardwareError::Unknown { name, near } => Self::Unknown { what: "hardware", name, near },
            HardwareError::Bad(bad) => Self::Files(vec![bad]),
            HardwareError::Io { path, source } => Self::Io { action: "read", path, source },
            HardwareError::Empty => Self::usage(
                message,
                Some(
                    "write a rig file (my-rig.toml), a system (dgx-h200) or a count (8xh200-sxm)".to_owned(),
                ),
            ),
            HardwareError::Folder { .. } => Self::usage(
                message,
                Some("name the file in it; --catalogue reads a folder of models and hardware".to_owned()),
            ),
            HardwareError::Form { .. } => Self::usage(message, None),
        }
    }
}

impl From<LayerError> for CliError {
    fn from(error: LayerError) -> Self {
        match error {
            LayerError::Io { path, source } => {
                Self::Io { action: "read", path: path.display().to_string(), source }
            }
            LayerError::Empty(_) => Self::usage(error.to_string(), None),
            LayerError::Bad(files) => Self::Files(files),
        }
    }
}

/// Runs the command; no line is wider than `width` columns where that is possible.
///
/// # Errors
/// When a name is unknown, a rig has problems, or the answer cannot be written.
pub fn run(
    args: &HardwareArgs,
    catalogue: &Catalogue,
    width: u16,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    match &args.command {
        HardwareCommand::List(list) => {
            // A name as people write it, so that the filter compares ids.
            let accelerator = list.accelerator.as_ref();
            let accelerator =
                accelerator.map(|name| names::resolve(catalogue, Kind::Accelerator, name)).transpose();
            let accelerator = accelerator.map_err(LookupError::from)?;
            print_list(&ListArgs { accelerator, ..list.clone() }, catalogue, width, out)?;
        }
        HardwareCommand::Search { words } => return search(words, catalogue, width, out),
        HardwareCommand::Show { id, json } => show(id, *json, catalogue, out)?,
        HardwareCommand::Check { hardware: text } => {
            let machine = hardware(text, catalogue)?;
            print_machine(&machine, width, out)?;
        }
    }
    Ok(Outcome::Answered)
}

/// A figure or the sign for unknown.
fn or_dash<T>(value: Option<T>, print: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), print)
}

fn dollars(value: Option<f64>) -> String {
    or_dash(value, |usd| Money::new(usd).to_string())
}

fn print_list(
    args: &ListArgs,
    catalogue: &Catalogue,
    width: u16,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let (header, rows): (&[&str], Vec<Vec<String>>) = match args.kind {
        ListKind::Accelerator => {
            let entries = entries(catalogue.accelerator_ids(), |id| catalogue.accelerator(id))?;
            let kept = entries.iter().filter(|entry| keep_accelerator(args, &entry.value));
            (&["id", "GiB", "GB/s", "bf16 TFLOP/s", "fp8", "W", "USD"], kept.map(accelerator_row).collect())
        }
        ListKind::Cpu => {
            let entries = entries(catalogue.cpu_ids(), |id| catalogue.cpu(id))?;
            let kept = entries.iter().filter(|e| {
                vendor_fits(args, &e.value.vendor) && at_least(e.value.bandwidth, args.min_bandwidth)
            });
            (&["id", "cores", "memory", "channels", "GB/s", "W"], kept.map(cpu_row).collect())
        }
        ListKind::Link => {
            let entries = entries(catalogue.link_ids(), |id| catalogue.link(id))?;
            let kept =
                entries.iter().filter(|e| at_least(e.value.one_way.or(e.value.achieved), args.min_bandwidth));
            (&["id", "class", "one way GB/s", "measured GB/s"], kept.map(link_row).collect())
        }
        ListKind::System => {
            let entries = entries(catalogue.system_ids(), |id| catalogue.system(id))?;
            let kept = entries.iter().filter(|entry| keep_system(args, &entry.value, catalogue));
            (&["id", "devices", "nodes", "RAM GiB", "W", "USD"], kept.map(system_row).collect())
        }
        ListKind::Offer => {
            let entries = catalogue.offers()?;
            let kept = entries.iter().filter(|entry| keep_offer(args, &entry.value, catalogue));
            (
                &["id", "devices", "on demand $/h", "1 yr", "spot", "$/h each", "date"],
                kept.map(offer_row).collect(),
            )
        }
        ListKind::Economics => {
            let entries = catalogue.economics()?;
            let row = |entry: &Entry<EconomicFigure>| {
                let v = &entry.value;
                vec![
                    entry.id.clone(),
                    or_dash(v.value, significant),
                    or_dash(v.low, significant),
                    or_dash(v.high, significant),
                    v.unit.clone(),
                ]
            };
            (&["id", "value", "low", "high", "unit"], entries.iter().map(row).collect())
        }
    };
    if rows.is_empty() {
        writeln!(out, "nothing in the catalogue fits these filters")?;
        return Ok(());
    }
    writeln!(out, "{}", table(header, &rows, width))?;
    writeln!(out, "{} entries; `plan hardware show ID` prints one with its sources", rows.len())?;
    Ok(())
}

/// All entries of one kind.
fn entries<'a, T>(
    ids: impl Iterator<Item = &'a str>,
    read: impl Fn(&str) -> Result<Entry<T>, LookupError>,
) -> Result<Vec<Entry<T>>, LookupError> {
    ids.map(read).collect()
}

fn vendor_fits(args: &ListArgs, vendor: &str) -> bool {
    args.vendor.as_ref().is_none_or(|wanted| vendor.to_lowercase().contains(&wanted.to_lowercase()))
}

/// Unknown figures do not pass a filter: they may be too small.
fn at_least<T: PartialOrd>(have: Option<T>, least: Option<T>) -> bool {
    least.is_none_or(|least| have.is_some_and(|have| have >= least))
}

fn keep_accelerator(args: &ListArgs, part: &Accelerator) -> bool {
    vendor_fits(args, &part.vendor)
        && at_least(part.memory.map(chip_bytes), args.min_memory)
        && at_least(Some(part.bandwidth), args.min_bandwidth)
}

fn keep_system(args: &ListArgs, system: &System, catalogue: &Catalogue) -> bool {
    let memory = catalogue.accelerator(&system.accelerator).ok().and_then(|device| device.value.memory);
    vendor_fits(args, &system.vendor)
        && args.accelerator.as_ref().is_none_or(|id| *id == system.accelerator)
        && at_least(memory.map(|memory| chip_bytes(memory) * system.count.get() as f64), args.min_memory)
}

fn keep_offer(args: &ListArgs, offer: &Offer, catalogue: &Catalogue) -> bool {
    let memory = catalogue.accelerator(&offer.accelerator).ok().and_then(|device| device.value.memory);
    vendor_fits(args, &offer.provider)
        && args.accelerator.as_ref().is_none_or(|id| *id == offer.accelerator)
        && at_least(memory.map(|memory| chip_bytes(memory) * offer.count), args.min_memory)
}

fn gib(bytes: Option<Bytes>) -> String {
    or_dash(bytes.map(chip_bytes), |bytes| significant(bytes.in_gib()))
}

fn accelerator_row(entry: &Entry<Accelerator>) -> Vec<String> {
    let part = &entry.value;
    let price = part.price.iter().filter_map(Price::likely).next_back();
    vec![
        entry.id.clone(),
        gib(part.memory),
        significant(part.bandwidth.in_gb_s()),
        or_dash(part.rates.bf16.or(part.rates.fp16), significant),
        or_dash(part.rates.fp8, significant),
        or_dash(part.tdp_w, significant),
        or_dash(price, |price| significant(price.get())),
    ]
}

fn cpu_row(entry: &Entry<Cpu>) -> Vec<String> {
    let cpu = &entry.value;
    vec![
        entry.id.clone(),
        or_dash(cpu.cores, |cores| cores.get().to_string()),
        or_dash(cpu.memory_type.clone(), |kind| kind),
        or_dash(cpu.channels, |channels| channels.get().to_string()),
        or_dash(cpu.bandwidth, |rate| significant(rate.in_gb_s())),
        or_dash(cpu.tdp_w, significant),
    ]
}

fn link_row(entry: &Entry<Link>) -> Vec<String> {
    let link = &entry.value;
    vec![
        entry.id.clone(),
        link.class.clone(),
        or_dash(link.one_way, |rate| significant(rate.in_gb_s())),
        or_dash(link.achieved, |rate| significant(rate.in_gb_s())),
    ]
}

fn system_row(entry: &Entry<System>) -> Vec<String> {
    let system = &entry.value;
    let price = system.price.iter().filter(|price| price.basis == "purchase").find_map(Price::likely);
    vec![
        entry.id.clone(),
        format!("{}x {}", system.count.get(), system.accelerator),
        system.nodes.map_or(1, Count::get).to_string(),
        gib(system.ram),
        or_dash(system.power_w, significant),
        or_dash(price, |price| significant(price.get())),
    ]
}

fn offer_row(entry: &Entry<Offer>) -> Vec<String> {
    let offer = &entry.value;
    vec![
        entry.id.clone(),
        format!("{}x {}", significant(offer.count).trim_end_matches(".00"), offer.accelerator),
        dollars(offer.on_demand),
        dollars(offer.reserved_1yr),
        dollars(offer.spot),
        dollars(offer.on_demand_per_device().map(Money::get)),
        // Dates may carry a remark; the table shows the date.
        or_dash(offer.date.clone(), |date| date.split(' ').next().unwrap_or_default().to_owned()),
    ]
}

fn search(
    words: &[String],
    catalogue: &Catalogue,
    width: u16,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let mut rows = Vec::new();
    for kind in KINDS {
        for (id, text) in catalogue.texts(kind) {
            let name = text.lines().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                matches!(key.trim(), "name" | "scope").then(|| value.trim().trim_matches('"'))
            });
            let said = format!("{id} {}", name.unwrap_or_default()).to_lowercase();
            if words.iter().all(|word| said.contains(word.as_str())) {
                rows.push(vec![kind.flag().to_owned(), id.to_owned(), name.unwrap_or_default().to_owned()]);
            }
        }
    }
    if rows.is_empty() {
        writeln!(out, "nothing in the catalogue contains `{}`", words.join(" "))?;
        return Ok(Outcome::NothingFits);
    }
    writeln!(out, "{}", table(&["kind", "id", "name"], &rows, width))?;
    Ok(Outcome::Answered)
}

fn show(id: &str, json: bool, catalogue: &Catalogue, out: &mut dyn Write) -> Result<(), CliError> {
    let wanted = id.to_lowercase();
    let found: Vec<(Kind, String, &str)> = KINDS
        .into_iter()
        .filter_map(|kind| {
            let (_, text) = catalogue.texts(kind).find(|(id, _)| *id == wanted)?;
            Some((kind, catalogue.place(kind, &wanted)?, text))
        })
        .collect();
    if found.is_empty() {
        let all = KINDS.iter().flat_map(|kind| catalogue.ids(*kind));
        let near = ranked(id, all).into_iter().map(str::to_owned).collect();
        return Err(CliError::Unknown { what: "hardware", name: id.to_owned(), near });
    }
    for (kind, place, text) in found {
        if json {
            writeln!(out, "{}", entry_json(kind, &wanted, catalogue)?)?;
        } else {
            writeln!(out, "# {}, {place}\n{}\n", kind.word(), text.trim_end())?;
        }
    }
    Ok(())
}

fn entry_json(kind: Kind, id: &str, catalogue: &Catalogue) -> Result<String, CliError> {
    let value = match kind {
        Kind::Accelerator => serde_json::to_value(&*catalogue.accelerator(id)?.value),
        Kind::Cpu => serde_json::to_value(&*catalogue.cpu(id)?.value),
        Kind::Link => serde_json::to_value(&*catalogue.link(id)?.value),
        Kind::System => serde_json::to_value(&*catalogue.system(id)?.value),
        Kind::Offer => serde_json::to_value(&*catalogue.offer(id)?.value),
        Kind::Economics => serde_json::to_value(&*catalogue.economic_figure(id)?.value),
        Kind::Model => serde_json::to_value(&*catalogue.model(id)?.value),
    };
    let text = value.and_then(|value| {
        serde_json::to_string_pretty(
            &serde_json::json!({ "schema": 1, "kind": kind.flag(), "id": id, "entry": value }),
        )
    });
    text.map_err(|error| CliError::Internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: HardwareArgs,
    }

    fn says(line: &str, width: u16) -> Result<String, CliError> {
        let args = Line::parse_from(format!("plan {line}").split_whitespace()).args;
        let mut out = Vec::new();
        run(&args, &Catalogue::embedded(), width, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn filters_keep_what_fits() {
        let shown = says("list --vendor nvidia --min-memory 141GB --min-bandwidth 7TB/s", 80).unwrap();
        assert!(shown.contains("b200-sxm") && shown.contains("gb300"), "{shown}");
        assert!(!shown.contains("h200-sxm") && !shown.contains("mi355x"), "{shown}");
        let offers = says("list --kind offer --accelerator b200", 120).unwrap();
        assert!(offers.contains("aws-p6-b200-48xlarge") && offers.contains("9 entries"), "{offers}");
        assert!(says("list --kind offer --accelerator h100", 120).is_err());
    }

    #[test]
    fn lines_stay_within_the_width() {
        for line in [
            "list",
            "list --kind cpu",
            "list --kind link",
            "list --kind system",
            "list --kind offer --accelerator h200-sxm",
            "list --kind economics",
            "search h200",
            "check 16xb200",
            "check 1xrtx-5090,2xrtx-3090",
        ] {
            for width in [80, 120] {
                let shown = says(line, width).unwrap();
                let widest = shown.lines().map(|line| line.chars().count()).max().unwrap_or(0);
                assert!(widest <= usize::from(width), "{line}: {widest} columns\n{shown}");
            }
        }
    }

    #[test]
    fn an_entry_shows_its_source_and_place() {
        let shown = says("show h200-sxm", 80).unwrap();
        assert!(
            shown.starts_with("# accelerator, hardware-profiles/accelerators/nvidia-hopper.toml:"),
            "{shown}"
        );
        assert!(shown.contains("4.8 TB/s") && shown.contains("source"));
        let json: serde_json::Value = serde_json::from_str(&says("show ib-ndr --json", 80).unwrap()).unwrap();
        assert_eq!(json["entry"]["class"], "infiniband");
        assert!(matches!(says("show h20-sxm", 80), Err(CliError::Unknown { near, .. }) if !near.is_empty()));
    }

    #[test]
    fn a_check_tells_what_was_assumed() {
        let shown = says("check 2xrtx-3090", 100).unwrap();
        assert!(shown.contains("Not stated, so assumed:") && shown.contains("98 %"), "{shown}");
        assert!(matches!(says("check 8xh100", 80), Err(CliError::Unknown { .. })));
    }
}
