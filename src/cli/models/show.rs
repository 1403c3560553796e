//! Everything known of one model.

use crate::arithmetic::cache::components;
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::kv::{KvFormat, held};
use crate::catalogue::model::{Block, ModelSpec, NativeFormats};
use crate::import::source::Found;
use crate::report::table::{cell, lines, thin, wrap};
use crate::units::{count, gib, significant, tokens};
use serde_json::Value;
use std::io::{self, Write};

/// Lengths at which the cache is shown.
const LENGTHS: [u64; 3] = [32_768, 131_072, 1_048_576];

/// Prints one model.
pub(super) fn render(found: &Found, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let spec = &*found.spec;
    writeln!(out, "{} ({})", spec.name, spec.id)?;
    let facts: Vec<String> = [
        spec.hub.clone(),
        Some(format!("family {}", spec.family)),
        spec.released.as_ref().map(|date| format!("released {date}")),
        spec.licence.clone(),
        Some(format!("context {}", tokens(spec.context.get()))),
        (found.from != "catalogue").then(|| format!("read from {}", found.from)),
    ]
    .into_iter()
    .flatten()
    .collect();
    writeln!(out, "{}", wrap(&facts.join(" · "), width, ""))?;
    if let Some(caveat) = &spec.config.caveat {
        writeln!(out, "{}", wrap(&format!("Caveat: {caveat}."), width, "  "))?;
    }
    parameters(spec, width, out)?;
    shape(spec, width, out)?;
    cache(spec, width, out)?;
    formats(&spec.native, width, out)?;
    scores(spec, width, out)?;
    prices(spec, width, out)?;
    sources(spec, width, out)
}

/// Computed against published totals, and the parts of the computed one.
fn parameters(spec: &ModelSpec, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let inventory = Inventory::of(spec);
    let published = spec.published.as_ref();
    let mut table = thin(width);
    table.set_header(vec![cell("parameters", false), cell("computed", true), cell("published", true)]);
    let hub = published.and_then(|published| published.hub_total);
    for (label, computed, stated) in [
        ("total", inventory.total(), published.and_then(|published| published.total)),
        ("active per token", inventory.active(), published.and_then(|published| published.active)),
        ("prediction layers", inventory.prediction(), None),
        ("towers", inventory.towers(), None),
        ("all on the hub", inventory.hub_total(), hub),
    ] {
        if computed > 0 {
            let stated = stated.map_or_else(|| "–".to_owned(), |stated| count(stated as f64));
            table.add_row(vec![cell(label, false), cell(count(computed as f64), true), cell(stated, true)]);
        }
    }
    write!(out, "\n{}", lines(&table))?;
    if let Some(difference) = published.and_then(|published| published.difference.as_ref()) {
        writeln!(out, "{}", wrap(&format!("Why they differ: {difference}."), width, "  "))?;
    }
    let total = inventory.total().max(1) as f64;
    let classes: Vec<String> = inventory
        .by_class()
        .iter()
        .map(|(class, params)| format!("{class} {} %", significant(*params as f64 / total * 100.0)))
        .collect();
    writeln!(out, "{}", wrap(&format!("Of the total: {}.", classes.join(", ")), width, "  "))
}

/// Layers, and the blocks they are made of.
fn shape(spec: &ModelSpec, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut table = thin(width);
    table.set_header(vec![cell("layers", false), cell("of", true), cell("blocks", false)]);
    for group in &spec.layers {
        table.add_row(vec![
            cell(group.at.to_string(), false),
            cell(group.at.len().to_string(), true),
            cell(group.blocks.join(", "), false),
        ]);
    }
    write!(out, "\n{}", lines(&table))?;
    let tied = if spec.tied_embeddings { ", output matrix shared with the embedding" } else { "" };
    writeln!(out, "Width {}, vocabulary {}{tied}.\n", spec.hidden.get(), spec.vocabulary.get())?;
    for (name, block) in &spec.block {
        writeln!(out, "{}", wrap(&format!("{name}: {}", keys(block)), width, "    "))?;
    }
    Ok(())
}

/// The keys of a block as a file writes them, without those that say nothing.
fn keys(block: &Block) -> String {
    let Ok(Value::Object(keys)) = serde_json::to_value(block) else { return String::new() };
    let kind = keys.get("kind").and_then(Value::as_str).unwrap_or_default();
    let said = keys.iter().filter(|(key, _)| *key != "kind").filter_map(|(key, value)| spoken(key, value));
    [kind.to_owned()].into_iter().chain(said).collect::<Vec<_>>().join(", ")
}

/// A key and its value, or nothing for what is absent.
fn spoken(key: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some(key.to_owned()),
        Value::Object(inner) => {
            let inner: Vec<String> = inner.iter().filter_map(|(key, value)| spoken(key, value)).collect();
            Some(format!("{key} ({})", inner.join(", ")))
        }
        Value::String(word) => Some(format!("{key} {word}")),
        Value::Number(_) | Value::Array(_) => Some(format!("{key} {value}")),
    }
}

/// Bytes a sequence keeps.
fn cache(spec: &ModelSpec, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let parts = components(spec);
    let longest = spec.context.get();
    let mut lengths: Vec<u64> = LENGTHS.into_iter().filter(|length| *length <= longest).collect();
    if lengths.is_empty() {
        lengths.push(longest);
    }
    let mut table = thin(width);
    let mut header = vec![cell("cache of a sequence", false), cell("kB/token", true)];
    header.extend(lengths.iter().map(|length| cell(format!("GiB at {}", tokens(*length)), true)));
    table.set_header(header);
    for format in [KvFormat::F16, KvFormat::Fp8, KvFormat::Q8_0] {
        // What another token adds once windows are full.
        let (half, full) = (held(&parts, format, longest / 2), held(&parts, format, longest));
        let per_token = (full - half) / (longest - longest / 2) as f64;
        let mut row = vec![cell(format.word(), false), cell(significant(per_token.get() / 1000.0), true)];
        row.extend(lengths.iter().map(|length| cell(gib(held(&parts, format, *length)), true)));
        table.add_row(row);
    }
    write!(out, "\n{}", lines(&table))?;
    if spec.config.cache_unknown {
        writeln!(out, "The true cache is larger: parts of it are not known.")?;
    }
    let names: Vec<String> = parts
        .iter()
        .map(|part| {
            let layers = part.layers.len();
            format!("{} on {layers} layer{}", part.name, if layers == 1 { "" } else { "s" })
        })
        .collect();
    writeln!(out, "{}", wrap(&format!("Kept: {}.", names.join("; ")), width, "  "))
}

/// Formats of the native checkpoint.
fn formats(native: &NativeFormats, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let parts = [
        ("experts", &native.experts),
        ("attention", &native.attention),
        ("dense", &native.dense),
        ("embedding", &native.embedding),
        ("towers", &native.tower),
    ];
    let named = parts.iter().filter_map(|(part, format)| Some(format!("{part} {}", format.as_ref()?)));
    let list: Vec<String> = [native.default.clone()].into_iter().chain(named).collect();
    writeln!(out, "\n{}", wrap(&format!("Native weights: {}.", list.join(", ")), width, "  "))?;
    match &native.note {
        Some(note) => writeln!(out, "{}", wrap(&format!("  {note}."), width, "  ")),
        None => Ok(()),
    }
}

/// Published benchmark scores.
fn scores(spec: &ModelSpec, width: usize, out: &mut dyn Write) -> io::Result<()> {
    if spec.quality.is_empty() {
        return Ok(());
    }
    let mut table = thin(width);
    table.set_header(vec![
        cell("score", false),
        cell("", true),
        cell("unit", false),
        cell("mode", false),
        cell("date", false),
    ]);
    for score in &spec.quality {
        table.add_row(vec![
            cell(&score.benchmark, false),
            cell(significant(score.score), true),
            cell(score.unit.as_deref().unwrap_or(""), false),
            cell(score.mode.as_deref().unwrap_or(""), false),
            cell(score.date.as_deref().unwrap_or("–"), false),
        ]);
    }
    write!(out, "\n{}", lines(&table))
}

/// Prices of hosted access.
fn prices(spec: &ModelSpec, width: usize, out: &mut dyn Write) -> io::Result<()> {
    if spec.api.is_empty() {
        return Ok(());
    }
    let mut table = thin(width);
    table.set_header(vec![
        cell("API, $ per M tokens", false),
        cell("input", true),
        cell("cached", true),
        cell("output", true),
        cell("date", false),
    ]);
    let price = |price: Option<f64>| cell(price.map_or_else(|| "–".to_owned(), significant), true);
    for offer in &spec.api {
        table.add_row(vec![
            cell(&offer.provider, false),
            price(offer.input),
            price(offer.cached_input),
            price(offer.output),
            cell(offer.date.as_deref().unwrap_or("–"), false),
        ]);
    }
    write!(out, "\n{}", lines(&table))
}

/// Where the figures stand.
fn sources(spec: &ModelSpec, width: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nShape: {}.", spec.config.grade)?;
    if let Some(note) = &spec.config.note {
        writeln!(out, "{}", wrap(&format!("Note: {note}."), width, "  "))?;
    }
    let totals = spec.published.as_ref().and_then(|published| published.source.as_ref());
    let scores = spec.quality.iter().map(|score| &score.source);
    let prices = spec.api.iter().map(|offer| &offer.source);
    let mut sources: Vec<&String> = Vec::new();
    for source in spec.config.sources.iter().chain(totals).chain(scores).chain(prices) {
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    if !sources.is_empty() {
        writeln!(out, "Sources:")?;
    }
    for source in sources {
        writeln!(out, "  {source}")?;
    }
    Ok(())
}
