//! A machine in words and tables: what it is, where its figures come from, what was assumed.

use crate::catalogue::hardware::{Machine, Node};
use crate::fact::{Fact, Origin};
use crate::units::{Bytes, significant};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use std::io::{self, Write};

/// A plain table of at most `width` columns; every column but the first is numbers, set right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>], width: u16) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(header.to_vec());
    for row in rows {
        table.add_row(row.clone());
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        // A column of numbers has no letter in any of its cells.
        let numbers =
            rows.iter().all(|row| row.get(index).is_none_or(|cell| !cell.contains(char::is_alphabetic)));
        if numbers {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Breaks a sentence into lines of at most `width` columns, the later ones indented.
fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let fits = line.chars().count() + 1 + word.chars().count() <= width;
        if line.trim().is_empty() || fits {
            if !line.trim().is_empty() {
                line.push(' ');
            }
        } else {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.join("\n")
}

/// One word for where a figure came from.
fn origin_word(origin: &Origin) -> &'static str {
    match origin {
        Origin::Catalogue(_) => "catalogue",
        Origin::Detected(_) => "detected",
        Origin::User(_) => "yours",
        Origin::Derived(_) => "derived",
        Origin::Fitted(_) => "fitted",
        Origin::Measured(_) => "measured",
        Origin::Assumed(_) => "assumed",
    }
}

/// Prints a machine with the origin of each figure and everything that was assumed.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn print_machine(machine: &Machine, width: u16, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{}: {} device(s) in {} node(s), {} joined by one fabric or node",
        machine.name,
        machine.device_count(),
        machine.node_count(),
        machine.scale_up_domain
    )?;
    for node in &machine.nodes {
        writeln!(out)?;
        if machine.nodes.len() > 1 || node.count > 1 {
            writeln!(out, "{} of these nodes:", node.count)?;
        }
        writeln!(out, "{}", table(&["part", "figure", "value", "origin"], &node_rows(node), width))?;
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |what: &str, value: Option<(String, &Origin)>| {
        let (value, origin) = value.map_or_else(|| ("–".to_owned(), "unknown"), |(v, o)| (v, origin_word(o)));
        rows.push(vec!["machine".to_owned(), what.to_owned(), value, origin.to_owned()]);
    };
    if machine.node_count() > 1 {
        row("network per device", machine.network.as_ref().map(|f| (f.value.to_string(), &f.origin)));
    }
    let price = &machine.price;
    row("rent per hour", price.rent_per_hour.as_ref().map(|f| (f.value.to_string(), &f.origin)));
    row("purchase", price.purchase.as_ref().map(|f| (f.value.to_string(), &f.origin)));
    row("power per kWh", price.power_per_kwh.as_ref().map(|f| (f.value.to_string(), &f.origin)));
    row("wall power", price.wall_power.as_ref().map(|f| (f.value.to_string(), &f.origin)));
    writeln!(out, "\n{}", table(&["part", "figure", "value", "origin"], &rows, width))?;
    if !machine.assumptions.is_empty() {
        writeln!(out, "\nNot stated, so assumed:")?;
        for sentence in &machine.assumptions {
            writeln!(out, "{}", wrap(&format!("- {sentence}"), usize::from(width), "  "))?;
        }
    }
    Ok(())
}

fn node_rows(node: &Node) -> Vec<Vec<String>> {
    fn row<T>(part: &str, figure: &str, fact: &Fact<T>, print: impl Fn(&T) -> String) -> Vec<String> {
        vec![part.to_owned(), figure.to_owned(), print(&fact.value), origin_word(&fact.origin).to_owned()]
    }
    let mut rows = Vec::new();
    for group in &node.devices {
        let part = format!("{}x {}", group.count, group.id);
        rows.push(row(&part, "memory each", &group.memory, ToString::to_string));
        if group.in_use > Bytes::ZERO {
            rows.push(vec![part.clone(), "in use each".to_owned(), group.in_use.to_string(), String::new()]);
        }
        rows.push(row(&part, "memory bandwidth", &group.bandwidth, ToString::to_string));
        rows.push(row(&part, "joined", &group.topology, ToString::to_string));
        rows.push(row(&part, "link to host", &group.host_link, ToString::to_string));
        if let Some(price) = &group.price {
            rows.push(row(&part, "price each", price, ToString::to_string));
        }
    }
    let host = &node.host;
    rows.push(row("host", "processor", &host.cpu_name, |name| format!("{}x {name}", host.sockets)));
    rows.push(row("host", "cores", &host.cores, ToString::to_string));
    rows.push(row("host", "clock", &host.clock_ghz, |ghz| format!("{} GHz", significant(*ghz))));
    rows.push(row("host", "memory", &host.ram, ToString::to_string));
    rows.push(row("host", "memory in use", &host.in_use, ToString::to_string));
    rows.push(row("host", "memory bandwidth", &host.bandwidth, ToString::to_string));
    if let Some(disk) = &host.disk {
        rows.push(row("host", "disk read", disk, ToString::to_string));
    }
    rows
}
