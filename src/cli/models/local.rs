//! The models installed on this machine, and whether they fit it.

use crate::catalogue::hardware::Machine;
use crate::catalogue::store::Catalogue;
use crate::cli::error::{CliError, Outcome};
use crate::cli::resolve::{resolve_hardware, this_machine};
use crate::economics::Stated;
use crate::import::local::{Installed, Places, installed};
use crate::import::source::import;
use crate::plan::{Limits, Models, Request, Workload, plan};
use crate::ranking::Objective;
use crate::report::table::{cell, lines, thin};
use crate::units::{Bytes, gib, tokens};
use clap::Args;
use serde::Serialize;
use std::io::{self, Write};

/// Context a model must hold to be of use; shorter where the model's own is.
const CONTEXT: u64 = 8192;

/// Where the models should fit.
#[derive(Clone, Debug, Args)]
pub struct LocalArgs {
    /// Fit them on this hardware [default: this machine]
    #[arg(long, short = 'H', value_name = "HARDWARE")]
    pub hw: Option<String>,
    /// Print the list as JSON
    #[arg(long)]
    pub json: bool,
}

/// One line of the list.
#[derive(Serialize)]
struct Row {
    tool: &'static str,
    name: String,
    /// What to give as `--model`.
    path: String,
    bytes: u64,
    fit: Fit,
}

/// Whether a model fits with a context of 8k.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Fit {
    /// So divided, up to so many tokens.
    Fits { layout: String, largest_context: u64 },
    /// Short of so much on the worst device.
    Short(Bytes),
    /// Not read, or no engine runs it, and why.
    Unknown(String),
}

/// Lists the models found in these places.
pub(super) fn run(
    args: &LocalArgs,
    places: &Places,
    catalogue: &Catalogue,
    width: usize,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let machine = match &args.hw {
        Some(text) => resolve_hardware(text, catalogue)?,
        None => this_machine(catalogue)?,
    };
    let rows: Vec<Row> = installed(places)
        .into_iter()
        .map(|model| Row {
            fit: fit(&model, &machine, catalogue),
            tool: model.tool,
            path: model.path.display().to_string(),
            name: model.name,
            bytes: model.bytes,
        })
        .collect();
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if rows.is_empty() {
        writeln!(out, "no models found in")?;
        for folder in places.folders() {
            writeln!(out, "  {}", folder.display())?;
        }
    } else {
        render(&rows, &machine.name, width, out)?;
    }
    Ok(Outcome::Answered)
}

/// Plans one model in the format it is stored in.
fn fit(model: &Installed, machine: &Machine, catalogue: &Catalogue) -> Fit {
    let spec = match import(&model.path, Some(&model.name)) {
        Ok(spec) => spec,
        Err(error) => return Fit::Unknown(error.to_string()),
    };
    let context = CONTEXT.min(spec.context.get());
    let output = context.div_ceil(8);
    let request = Request {
        models: Models::One(Box::new(spec)),
        machine: machine.clone(),
        workload: Workload {
            context,
            prompt: (context - output).div_ceil(2).max(1),
            cached: 0,
            output,
            users: 1,
            drafting: None,
        },
        workload_name: None,
        limits: Limits { formats: vec!["native".to_owned()], ..Limits::default() },
        objective: Objective::Balanced,
        terms: Stated::default(),
        operators: None,
    };
    match plan(&request, catalogue) {
        Err(error) => Fit::Unknown(error.to_string()),
        Ok(answer) => match (answer.options.first(), answer.misses.first()) {
            (Some(option), _) => {
                Fit::Fits { layout: option.layout.clone(), largest_context: option.largest_context }
            }
            (None, Some(miss)) => Fit::Short(miss.short_bytes),
            (None, None) => Fit::Unknown("no engine runs this format on it".to_owned()),
        },
    }
}

fn render(rows: &[Row], machine: &str, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut table = thin(width);
    table.set_header(vec![cell("model", false), cell("from", false), cell("GiB", true), cell("fit", false)]);
    for row in rows {
        let fit = match &row.fit {
            Fit::Fits { layout, largest_context } => {
                format!("fits, {layout}, up to {} tokens", tokens(*largest_context))
            }
            Fit::Short(bytes) => format!("short of {} GiB", gib(*bytes)),
            Fit::Unknown(reason) => format!("not known: {reason}"),
        };
        let size = gib(Bytes::new(row.bytes as f64));
        table.add_row(vec![
            cell(&row.name, false),
            cell(row.tool, false),
            cell(size, true),
            cell(fit, false),
        ]);
    }
    write!(out, "{}", lines(&table))?;
    writeln!(out, "\n{} models on {machine}, each with a context of 8k;", rows.len())?;
    writeln!(out, "--json gives the path of each, to use with --model.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn installed_models_are_fitted_or_say_why_not() {
        let home = std::env::temp_dir().join(format!("plimsoll-local-fit-{}", std::process::id()));
        let studio = home.join(".lmstudio/models/me");
        fs::create_dir_all(studio.join("tiny")).unwrap();
        fs::create_dir_all(studio.join("broken")).unwrap();
        let config = r#"{"model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 128,
            "max_position_embeddings": 4096}"#;
        fs::write(studio.join("tiny/config.json"), config).unwrap();
        let header = r#"{"model.embed_tokens.weight": {"dtype": "BF16", "shape": [100, 64], "data_offsets": [0, 12800]}}"#;
        let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 12_800]].concat();
        fs::write(studio.join("tiny/model.safetensors"), file).unwrap();
        fs::write(studio.join("broken/half-Q4_K_M.gguf"), b"GGUF\x03").unwrap();
        let places = Places { home: Some(home.clone()), ..Places::default() };
        let mut out = Vec::new();
        let args = LocalArgs { hw: Some("1xh200-sxm".to_owned()), json: false };
        let outcome = run(&args, &places, &Catalogue::embedded(), 100, &mut out);
        fs::remove_dir_all(&home).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(outcome.unwrap(), Outcome::Answered, "{text}");
        assert!(text.contains("me/tiny") && text.contains("fits, "), "{text}");
        assert!(text.contains("me/broken/half-Q4_K_M") && text.contains("not known: "), "{text}");
        let mut none = Vec::new();
        run(&args, &Places::default(), &Catalogue::embedded(), 100, &mut none).unwrap();
        assert!(String::from_utf8(none).unwrap().starts_with("no models found"));
    }
}
