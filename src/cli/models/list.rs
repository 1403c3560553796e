//! The list of models, one line each.

use super::lookup_error;
use crate::arithmetic::cache::components;
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::kv::{KvFormat, held};
use crate::catalogue::model::{Grade, ModelSpec};
use crate::catalogue::store::Catalogue;
use crate::cli::error::{CliError, Outcome};
use crate::report::table::{cell, lines, thin};
use crate::units::{Bytes, count, gib, parse_count, parse_tokens, tokens};
use clap::Args;
use serde::Serialize;
use std::io::{self, Write};

/// Length at which caches are compared.
const LENGTH: u64 = 32_768;

/// Which models to list.
#[derive(Clone, Debug, Default, Args)]
pub struct Filter {
    /// Only of this family, such as qwen3
    #[arg(long, value_name = "FAMILY")]
    pub family: Option<String>,
    /// Only with at most so many parameters, such as 120B
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    pub max_params: Option<f64>,
    /// Only made for at least so many tokens, such as 128k
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    pub min_context: Option<u64>,
    /// Only models with experts
    #[arg(long, conflicts_with = "dense")]
    pub moe: bool,
    /// Only models without experts
    #[arg(long)]
    pub dense: bool,
    /// Print the list as JSON
    #[arg(long)]
    pub json: bool,
}

/// One line of the list.
#[derive(Serialize)]
struct Row {
    /// Name in the catalogue.
    id: String,
    family: String,
    released: Option<String>,
    /// Parameters, computed.
    total: u64,
    /// Of them used per token, without the input embedding.
    active: u64,
    /// Tokens.
    context: u64,
    /// Bytes a sequence of 32k tokens keeps in 16 bit, where that is known.
    cache_at_32k: Option<Bytes>,
    /// Native format of most weights.
    weights: String,
}

impl Row {
    fn of(spec: &ModelSpec, inventory: &Inventory) -> Self {
        let cache = held(&components(spec), KvFormat::F16, LENGTH.min(spec.context.get()));
        let known = !spec.config.cache_unknown && spec.config.grade != Grade::Coarse;
        Self {
            id: spec.id.clone(),
            family: spec.family.clone(),
            released: spec.released.clone(),
            total: inventory.total(),
            active: inventory.active(),
            context: spec.context.get(),
            cache_at_32k: known.then_some(cache),
            weights: spec.native.experts.as_ref().unwrap_or(&spec.native.default).clone(),
        }
    }
}

impl Filter {
    /// Whether a model of so many parameters passes.
    fn passes(&self, spec: &ModelSpec, total: u64) -> bool {
        self.family.as_ref().is_none_or(|family| spec.family.eq_ignore_ascii_case(family))
            && self.max_params.is_none_or(|most| total as f64 <= most)
            && self.min_context.is_none_or(|least| spec.context.get() >= least)
            && (!self.moe || spec.is_moe())
            && (!self.dense || !spec.is_moe())
    }
}

/// Prints the models that pass the filter and hold all words.
pub(super) fn run(
    words: &[String],
    filter: &Filter,
    catalogue: &Catalogue,
    width: usize,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let mut rows = Vec::new();
    for id in catalogue.model_ids() {
        let spec = catalogue.model(id).map_err(lookup_error)?.value;
        let inventory = Inventory::of(&spec);
        if holds(&spec, words) && filter.passes(&spec, inventory.total()) {
            rows.push(Row::of(&spec, &inventory));
        }
    }
    if rows.is_empty() {
        let hint = "`plan models list` without filters shows all".to_owned();
        return Err(CliError::usage("no model passes", Some(hint)));
    }
    if filter.json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        render(&rows, width, out)?;
    }
    Ok(Outcome::Answered)
}

/// Prints the rows as a table.
fn render(rows: &[Row], width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut table = thin(width);
    table.set_header(vec![
        cell("model", false),
        cell("family", false),
        cell("released", false),
        cell("total", true),
        cell("active", true),
        cell("context", true),
        cell("GiB at 32k", true),
        cell("weights", false),
    ]);
    for row in rows {
        table.add_row(vec![
            cell(&row.id, false),
            cell(&row.family, false),
            cell(row.released.as_deref().unwrap_or("–"), false),
            cell(count(row.total as f64), true),
            cell(count(row.active as f64), true),
            cell(tokens(row.context), true),
            cell(row.cache_at_32k.map_or_else(|| "–".to_owned(), gib), true),
            cell(&row.weights, false),
        ]);
    }
    write!(out, "{}", lines(&table))?;
    writeln!(
        out,
        "\n{} models; active parameters are those a token uses, without the input embedding;",
        rows.len()
    )?;
    writeln!(out, "GiB at 32k is the cache of one sequence of 32k tokens in 16 bit, – where it is not known.")
}

/// Whether name, hub id, aliases or family hold every word.
fn holds(spec: &ModelSpec, words: &[String]) -> bool {
    let names = [&spec.id, &spec.name, &spec.family].into_iter().chain(&spec.hub).chain(&spec.aliases);
    let text = names.map(|name| name.to_lowercase()).collect::<Vec<_>>().join(" ");
    words.iter().all(|word| text.contains(&word.to_lowercase()))
}
