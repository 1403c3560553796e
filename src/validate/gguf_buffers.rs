//! GGUF files loaded by a llama.cpp whose log was recorded: every buffer against the ledger.
//!
//! `tests/gguf/record.py` writes the files, loads them without a device and records the sizes the
//! engine logs. The headers of the files lie beside the rows. `plan validate --csv FILE` prints the
//! table: the engine's bytes, ours and the error of each buffer.

use super::csv_file::{Faults, Row};
use super::{Comparison, Judge, Judged};
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::kv::KvFormat;
use crate::arithmetic::scheme::Scheme;
use crate::catalogue::hardware::Machine;
use crate::catalogue::model::ModelSpec;
use crate::fact::Estimate;
use crate::perf::deployment::{Batching, Deployment, Engine, Model, Offload, Placement};
use crate::placement::account::Account;
use crate::placement::engine::llama_cpp::{LlamaCpp, output_buffer};
use crate::placement::ledger::LedgerKind;
use crate::placement::seat::Load;
use crate::placement::settings::Settings;

/// Judges buffers of recorded loads.
pub struct GgufBuffers<'a> {
    /// The model of a file named in a row.
    pub model: &'a (dyn Fn(&str) -> Result<ModelSpec, String> + Sync),
    /// Any machine: nothing is placed on its devices.
    pub machine: &'a (dyn Fn() -> Option<Machine> + Sync),
}

impl Judge for GgufBuffers<'_> {
    fn kind(&self) -> &'static str {
        "GGUF buffers"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["gguf_file", "buffer", "value_bytes", "context_tokens", "sequences", "kv_format", "flash_attention"]
    }

    fn judge(&self, row: &Row<'_>, faults: &mut Faults) -> Option<Judged> {
        let measured = row.number("value_bytes", faults)?;
        let precision = row.optional("precision_bytes", faults)?.unwrap_or(0.0);
        let mut whole = |column| Some(row.optional(column, faults)?.map_or(0, |n: f64| n.max(0.0) as u64));
        let (context, sequences) = (whole("context_tokens")?, whole("sequences")?.max(1));
        let chunk = whole("ubatch_tokens")?.max(1);
        let flash_attention = row.text("flash_attention") != "0";
        let batching =
            Batching { chunk, sequences, context: context / sequences, flash_attention, draft: None };
        let (file, buffer) = (row.text("gguf_file"), row.text("buffer"));
        let attention = if flash_attention { "fused" } else { "plain" };
        let kv = row.text("kv_format");
        let predicted = self.predicted(file, buffer, kv, batching);
        Some(Judged {
            id: format!("{file} {context}x{sequences} ub{chunk} {kv} {attention}"),
            regime: format!("{attention} attention"),
            also: Vec::new(),
            metric: format!("{buffer}_bytes"),
            group: file.to_owned(),
            measured,
            precision,
            comparison: Comparison::Relative,
            predicted: predicted.map(|likely| Estimate { low: likely, likely, high: likely }),
            facts: None,
            beyond_bound: None,
        })
    }
}

impl GgufBuffers<'_> {
    fn predicted(&self, file: &str, buffer: &str, kv: &str, batching: Batching) -> Result<f64, String> {
        let spec = (self.model)(file)?;
        let weights = Scheme::native().weigh(&spec, &Inventory::of(&spec));
        if buffer == "tensors" {
            return Ok(weights.total().get());
        }
        let model = Model::new(spec);
        let machine = (self.machine)().ok_or("no machine known")?;
        let deployment = Deployment {
            model: &model,
            weights: &weights,
            kv: KvFormat::from_word(kv).ok_or_else(|| format!("cache format `{kv}` is not one we know"))?,
            machine: &machine,
            engine: Engine::LlamaCpp,
            engine_version: None,
            placement: Placement { offload: Offload::All, ..Placement::ONE },
            stages: Vec::new(),
            batching,
        };
        let settings = Settings::for_deployment(&deployment);
        let account = Account::new(&deployment, &settings);
        let load = Load::of(&deployment);
        let (seat, rules) = (account.host_seat(), LlamaCpp { fork: false });
        let bytes = match buffer {
            "weights" => account.ledger(load).total(LedgerKind::Weights),
            "kv" => rules.cache(seat, load).kv,
            "state" => rules.cache(seat, load).state,
            "compute" => rules.compute_buffer(seat, load),
            "output" => output_buffer(model.spec.vocabulary.get(), load.sequences),
            other => return Err(format!("buffer `{other}` is not one we know")),
        };
        Ok(bytes.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::hardware_flag::hardware;
    use crate::catalogue::store::Catalogue;
    use crate::import::source::import;
    use crate::validate::judge_text;
    use std::path::Path;

    /// The bounds a plan rests on: tensors to the byte, what the engine loads and caches within the
    /// digits it logs, compute buffers within 0.1 %.
    #[test]
    fn every_buffer_is_what_a_real_llama_cpp_logs() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gguf/recorded");
        let text = std::fs::read_to_string(folder.join("buffers.csv")).unwrap();
        let catalogue = Catalogue::embedded();
        let model = |file: &str| import(&folder.join(file), None).map_err(|error| error.to_string());
        let machine = || hardware("h200-sxm", &catalogue).ok();
        let judge = GgufBuffers { model: &model, machine: &machine };
        let rows = judge_text("buffers.csv", &text, &[&judge]).unwrap();
        let files: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.group.as_str()).collect();
        assert!(files.len() >= 6 && rows.len() > 500, "{} files, {} rows", files.len(), rows.len());
        for row in &rows {
            let bound = match row.metric.as_str() {
                "compute_bytes" => 0.001,
                _ => 0.0,
            };
            let error = row.error().unwrap_or_else(|| panic!("{}: {:?}", row.id, row.predicted));
            let ours = row.predicted.as_ref().unwrap().likely;
            assert!(error <= bound, "{} {}: engine {}, ours {ours}", row.id, row.metric, row.measured);
        }
    }
}
