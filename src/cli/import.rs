//! `plan import`: a `config.json`, a checkpoint or a GGUF file to a spec that can be edited.

use crate::catalogue::write::write_spec;
use crate::cli::error::{CliError, Outcome};
use crate::import::source::import;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// What to import.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// A config.json, a checkpoint folder, its index or one of its safetensors, or a GGUF file
    #[arg(value_name = "FILE")]
    pub source: PathBuf,
    /// Name the model [default: the name of the file or its folder]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Write the spec to this file [default: standard output]
    #[arg(long, short, value_name = "SPEC")]
    pub output: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Bad input, or a file that cannot be written.
pub fn run(args: &ImportArgs, out: &mut dyn Write) -> Result<Outcome, CliError> {
    let spec = import(&args.source, args.name.as_deref())?;
    let spec = write_spec(&spec).map_err(|error| CliError::Internal(error.to_string()))?;
    match &args.output {
        Some(file) => std::fs::write(file, spec).map_err(|source| CliError::Io {
            action: "write",
            path: file.display().to_string(),
            source,
        })?,
        None => write!(out, "{spec}")?,
    }
    Ok(Outcome::Answered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::check::read_model;

    #[test]
    fn what_is_written_reads_back() {
        let folder = std::env::temp_dir().join(format!("plimsoll-import-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = r#"{"model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 128,
            "max_position_embeddings": 4096}"#;
        std::fs::write(folder.join("config.json"), config).unwrap();
        let mut out = Vec::new();
        let args = ImportArgs { source: folder.clone(), name: Some("Tiny".to_owned()), output: None };
        let outcome = run(&args, &mut out);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(outcome.unwrap(), Outcome::Answered);
        let spec = read_model("tiny.toml", &String::from_utf8(out).unwrap()).unwrap();
        assert_eq!((spec.id.as_str(), spec.family.as_str(), spec.layer_count()), ("tiny", "qwen3", 2));
    }
}
