//! What engines report about their memory against what the ledger says.
//!
//! A row states a set-up and one figure of its log. The set-up becomes a deployment, the figure is
//! predicted from it; the value of the row is never looked at. Where a row cannot be answered it
//! says why: an order of mixed devices that is not stated, a draft model of unknown shape.

mod setup;

use super::csv_file::{Faults, Row};
use super::{Comparison, Judge, Judged};
use crate::arithmetic::cache::components;
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::weights::Weights;
use crate::catalogue::hardware::Machine;
use crate::catalogue::model::ModelSpec;
use crate::fact::Estimate;
use crate::perf::deployment::{Batching, Deployment, Engine, Model};
use crate::placement::account::Account;
use crate::placement::engine::llama_cpp::{LlamaCpp, output_buffer};
use crate::placement::engine::{facts, vllm};
use crate::placement::fit::verdict;
use crate::placement::ledger::LedgerKind;
use crate::placement::seat::{Load, Seat};
use crate::units::Bytes;
use setup::{Setup, default_chunk, first_number, kv_format, placement, settings, stages, weights};

/// Rows shipped with the project: name and text.
pub const SHIPPED: (&str, &str) =
    ("measurements/memory.csv", include_str!("../../../measurements/memory.csv"));

/// Judges what engines report about memory.
pub struct Memory<'a> {
    /// The model of a slug.
    pub model: &'a (dyn Fn(&str) -> Option<ModelSpec> + Sync),
    /// The machine of a count and a slug: `2x rtx-3090`.
    pub machine: &'a (dyn Fn(&str) -> Option<Machine> + Sync),
}

impl Judge for Memory<'_> {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn columns(&self) -> &'static [&'static str] {
        &[
            "model",
            "weights_format",
            "engine",
            "quantity",
            "device",
            "value_bytes",
            "context_tokens",
            "kv_format",
        ]
    }

    fn judge(&self, row: &Row<'_>, faults: &mut Faults) -> Option<Judged> {
        let measured = row.number("value_bytes", faults)?;
        let precision = row.optional("precision_bytes", faults)?.unwrap_or(0.0);
        let setup = Setup::read(row, faults)?;
        let (engine, quantity) = (row.text("engine"), row.text("quantity"));
        let device = match row.text("device") {
            "all" => "all",
            "host" => "host",
            _ => "gpu",
        };
        Some(Judged {
            id: row.text("id").to_owned(),
            regime: format!("{engine} {device}"),
            also: vec![engine.to_owned()],
            metric: quantity.to_owned(),
            group: format!("{} {} {engine}", row.text("model"), row.text("weights_format")),
            measured,
            precision,
            comparison: if quantity == "fits" { Comparison::Agreement } else { Comparison::Relative },
            predicted: self.predicted(row, &setup),
            facts: None,
            beyond_bound: None,
        })
    }
}

/// What a row asks, once its deployment stands.
struct Question<'a> {
    account: &'a Account<'a>,
    deployment: &'a Deployment<'a>,
    weights: &'a Weights,
    /// One sequence of the stated context, or the stated sequences of llama.cpp.
    load: Load,
}

type Answer = Result<f64, String>;

impl Memory<'_> {
    fn predicted(&self, row: &Row<'_>, setup: &Setup) -> Result<Estimate<f64>, String> {
        let slug = row.text("model");
        let spec = (self.model)(slug).ok_or_else(|| format!("model `{slug}` is not in the catalogue"))?;
        let model = Model { inventory: Inventory::of(&spec), cache: components(&spec), spec };
        let weights = weights(row, &model)?;
        let spread = if row.text("quantity") == "weights_bytes" { weights.spread } else { 0.0 };
        let likely = match row.text("engine") {
            "mlx" | "checkpoint" => on_disk(row, &weights),
            "llama.cpp" => self.running(row, setup, &model, &weights, Engine::LlamaCpp)?,
            "ik_llama.cpp" => self.running(row, setup, &model, &weights, Engine::IkLlamaCpp)?,
            "vllm" => self.running(row, setup, &model, &weights, Engine::Vllm)?,
            "sglang" => self.running(row, setup, &model, &weights, Engine::Sglang)?,
            other => return Err(format!("engine `{other}` is not one we know")),
        };
        let around = spread.max(scatter(row));
        Ok(Estimate { low: likely * (1.0 - around), likely, high: likely * (1.0 + around) })
    }

    fn running(
        &self,
        row: &Row<'_>,
        setup: &Setup,
        model: &Model,
        weights: &Weights,
        engine: Engine,
    ) -> Answer {
        if row.text("notes").contains("draft model") {
            return Err("the shape of the draft model is not stated".to_owned());
        }
        let quantity = row.text("quantity");
        let machine = self.machine(row, setup, quantity)?;
        let llama = matches!(engine, Engine::LlamaCpp | Engine::IkLlamaCpp);
        let placement = placement(row, setup, model, llama)?;
        let stages = stages(row, model, placement)?;
        let sequences = if llama { setup.sequences.unwrap_or(1).max(1) } else { 1 };
        let batching = Batching {
            chunk: setup.chunk.unwrap_or(if llama { 512 } else { default_chunk(row, setup) }),
            sequences,
            context: setup.context / sequences,
            flash_attention: row.text("flash_attention") != "0",
            draft: None,
        };
        let deployment = Deployment {
            model,
            weights,
            kv: kv_format(row)?,
            machine: &machine,
            engine,
            engine_version: row.stated("engine_version").map(str::to_owned),
            placement,
            stages,
            batching,
        };
        let settings = settings(row, setup, &deployment);
        let account = Account::new(&deployment, &settings);
        let load = Load::of(&deployment);
        let question = Question { account: &account, deployment: &deployment, weights, load };
        if llama { question.llama(row, quantity) } else { question.server(row, quantity) }
    }

    /// The machine of the row; sizes that no device decides are asked of any.
    fn machine(&self, row: &Row<'_>, setup: &Setup, quantity: &str) -> Result<Machine, String> {
        let slug = row.text("accelerator");
        let count = setup.devices.max(setup.tp * setup.pp).max(1);
        let needs_device = matches!(quantity, "fits" | "graph_bytes")
            || (matches!(quantity, "max_concurrency" | "kv_capacity_tokens")
                && row.note("kv_pool_bytes").is_none());
        if slug.contains('+') || slug.is_empty() {
            if needs_device {
                return Err(if slug.is_empty() {
                    "the device is not stated".to_owned()
                } else {
                    "the order of the mixed devices is not stated".to_owned()
                });
            }
            return (self.machine)("64x h200-sxm").ok_or_else(|| "no device known".to_owned());
        }
        (self.machine)(&format!("{count}x {slug}"))
            .ok_or_else(|| format!("device `{slug}` is not in the catalogue"))
    }
}

/// Files on disk: a 16-bit checkpoint holds everything, MLX leaves prediction layers out.
fn on_disk(row: &Row<'_>, weights: &Weights) -> f64 {
    use crate::arithmetic::inventory::Place;
    let keeps_prediction = row.text("engine") == "checkpoint";
    weights
        .entries
        .iter()
        .filter(|entry| keeps_prediction || !matches!(entry.place, Place::Prediction(_)))
        .map(|entry| entry.bytes().get())
        .sum()
}

impl Question<'_> {
    fn seat(&self, row: &Row<'_>) -> Result<(Seat<'_>, Bytes), String> {
        let index = match row.text("device") {
            "gpu(each)" => 0,
            text => text
                .strip_prefix("gpu")
                .and_then(|index| index.parse().ok())
                .ok_or_else(|| format!("device `{text}` is not one we know"))?,
        };
        self.account.seats().get(index).copied().ok_or_else(|| format!("there is no device {index}"))
    }

    fn llama(&self, row: &Row<'_>, quantity: &str) -> Answer {
        let rules = LlamaCpp { fork: self.deployment.engine == Engine::IkLlamaCpp };
        let device = row.text("device");
        let seats = self.account.seats();
        let host = self.account.host_seat();
        let weights_stated = row.stated("weights_format").is_some();
        // An average says nothing about attention beside experts.
        let averaged =
            row.text("weights_format").starts_with("mixed") && row.text("offload") == "experts-cpu";
        let known_parts = row.text("offload") != "partial" && row.text("split") != "layer" && !averaged;
        let capped = row.note("amb").is_some() && !self.deployment.batching.flash_attention;
        if capped && matches!(quantity, "compute_bytes" | "total_bytes" | "fits") {
            return Err("no rule for scratch capped by -amb without flash attention".to_owned());
        }
        let kv = |seat: &Seat<'_>| rules.cache(seat, self.load).kv.get();
        let compute = |seat: &Seat<'_>| rules.compute_buffer(seat, self.load).get();
        let all_kv = || seats.iter().map(|(seat, _)| kv(seat)).sum::<f64>() + kv(host);
        let all_compute = || {
            seats.iter().map(|(seat, _)| compute(seat)).sum::<f64>()
                + rules.host_buffer(host, self.load).get()
        };
        let output = || output_buffer(self.deployment.model.spec.vocabulary.get(), self.load.sequences).get();
        match (quantity, device) {
            ("weights_bytes" | "total_bytes", _) if !weights_stated => {
                Err("the weights are not stated".to_owned())
            }
            ("weights_bytes", "all") => Ok(self.weights.total().get()),
            ("weights_bytes" | "total_bytes" | "fits", _) if device != "all" && !known_parts => {
                Err("which tensors lie on the device is not stated".to_owned())
            }
            ("weights_bytes", "host") => {
                Ok(self.account.ledger(self.load).host.map_or(0.0, |host| host.of(LedgerKind::Weights).get()))
            }
            ("weights_bytes", _) => Ok(self.seat(row)?.1.get()),
            ("kv_bytes", "all") => Ok(all_kv()),
            ("kv_bytes", _) => Ok(kv(&self.seat(row)?.0)),
            ("compute_bytes", "all") => Ok(all_compute()),
            ("compute_bytes", "host") => Ok(rules.host_buffer(host, self.load).get()),
            ("compute_bytes", _) => Ok(compute(&self.seat(row)?.0)),
            ("output_bytes", _) => Ok(output()),
            ("state_bytes", _) => {
                Ok(seats.iter().map(|(seat, _)| rules.cache(seat, self.load).state.get()).sum())
            }
            ("total_bytes", "all") => Ok(self.weights.total().get() + all_kv() + all_compute() + output()),
            ("total_bytes", _) => {
                let (seat, weights) = self.seat(row)?;
                Ok(weights.get() + kv(&seat) + compute(&seat))
            }
            ("fits", _) if !weights_stated || !known_parts => {
                Err("which tensors lie on the devices is not stated".to_owned())
            }
            ("fits", _) => {
                // The log shows the devices; host memory is not stated.
                let mut ledger = self.account.ledger(self.load);
                ledger.host = None;
                Ok(f64::from(u8::from(verdict(&ledger).fits())))
            }
            _ => Err(format!("no rule for `{quantity}` of {}", self.deployment.engine)),
        }
    }

    fn server(&self, row: &Row<'_>, quantity: &str) -> Answer {
        let (seat, weights) =
            self.account.seats().first().copied().ok_or_else(|| "no device runs it".to_owned())?;
        let held = |load: Load| -> f64 {
            let ledger = self.account.ledger(load);
            (ledger.ranks[0].of(LedgerKind::Cache) + ledger.ranks[0].of(LedgerKind::State)).get()
        };
        let pool = || -> Answer {
            if let Some(stated) = first_number(row.note("kv_pool_bytes")) {
                return Ok(stated);
            }
            Ok(self.account.free(Load { sequences: 0, context: 0 }).get())
        };
        match quantity {
            "weights_bytes" if self.deployment.engine == Engine::Vllm => {
                let surplus = facts(Engine::Vllm).surplus_on(seat.vendor());
                Ok((weights * (1.0 + surplus) + vllm::rotary_table(&seat)).get())
            }
            "weights_bytes" => Ok(weights.get()),
            "kv_bytes" => Ok(held(Load { sequences: 1, context: self.load.context })),
            "activation_bytes" => Ok(vllm::activations(&seat, self.load).get()),
            "graph_bytes" => Ok(vllm::graphs(&seat, self.load).get()),
            "max_concurrency" => Ok(pool()? / held(self.load)),
            "kv_capacity_tokens" => {
                let block = 4096;
                let each = held(Load { sequences: 1, context: block }) / block as f64;
                Ok(pool()? / each * f64::from(self.deployment.placement.cp).recip().max(1.0))
            }
            "fits" => {
                let mut ledger = self.account.ledger(self.load);
                ledger.host = None;
                let room = vllm::headroom(&seat, self.load) >= Bytes::ZERO;
                Ok(f64::from(u8::from(verdict(&ledger).fits() && room)))
            }
            _ => Err(format!("no rule for `{quantity}` of {}", self.deployment.engine)),
        }
    }
}

/// Half width of the interval stated with a prediction, as a share of it: what 80 % of the errors
/// of each quantity stayed within.
fn scatter(row: &Row<'_>) -> f64 {
    match row.text("quantity") {
        "weights_bytes" => 0.02,
        "kv_bytes" | "state_bytes" => 0.01,
        "max_concurrency" | "kv_capacity_tokens" if row.note("kv_pool_bytes").is_some() => 0.01,
        "max_concurrency" | "kv_capacity_tokens" => 0.08,
        "compute_bytes" | "activation_bytes" => 0.25,
        "total_bytes" => 0.05,
        "graph_bytes" => 0.6,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::hardware_flag::hardware;
    use crate::catalogue::store::Catalogue;
    use crate::validate::judge_text;
    use crate::validate::regimes::{Summary, summarise};

    /// Every row of a file with its prediction.
    fn judged(text: &str) -> Vec<Judged> {
        let catalogue = Catalogue::embedded();
        let model = |slug: &str| catalogue.model(slug).ok().map(|entry| entry.value.as_ref().clone());
        let machine = |text: &str| hardware(text, &catalogue).ok();
        judge_text("memory.csv", text, &[&Memory { model: &model, machine: &machine }]).unwrap()
    }

    fn median(summary: &[Summary], metric: &str, regime: &str) -> f64 {
        let found = summary.iter().find(|one| one.metric == metric && one.regime == regime);
        found.and_then(|one| one.median_ape).unwrap_or_else(|| panic!("no {metric} of {regime}"))
    }

    #[test]
    fn medians_do_not_get_worse() {
        let summary = summarise(&judged(SHIPPED.1));
        // Targets: 0.5 % of weights and cache, 10 % of buffers, 5 % of totals.
        for (metric, regime, most) in [
            ("weights_bytes", "all", 0.001),
            ("weights_bytes", "vllm", 0.02),
            ("weights_bytes", "mlx", 0.001),
            ("weights_bytes", "ik_llama.cpp", 0.001),
            ("weights_bytes", "llama.cpp", 0.002),
            ("kv_bytes", "all", 0.0),
            ("compute_bytes", "all", 0.06),
            ("compute_bytes", "ik_llama.cpp", 0.09),
            ("compute_bytes", "llama.cpp", 0.001),
            ("total_bytes", "all", 0.005),
            ("activation_bytes", "vllm", 0.002),
            ("graph_bytes", "vllm", 0.35),
            ("max_concurrency", "vllm", 0.001),
            ("kv_capacity_tokens", "vllm", 0.001),
        ] {
            let found = median(&summary, metric, regime);
            assert!(found <= most, "{metric} of {regime}: median error {found}");
        }
    }

    /// Rows said to fit whose log shows that memory ran out.
    fn false_fits(rows: &[Judged]) -> Vec<&str> {
        let promised = |row: &&Judged| row.predicted.as_ref().is_ok_and(|it| it.likely > 0.5);
        let failed = rows.iter().filter(|row| row.metric == "fits" && row.measured < 0.5);
        failed.filter(promised).map(|row| row.id.as_str()).collect()
    }

    #[test]
    fn nothing_is_said_to_fit_that_ran_out_of_memory() {
        assert_eq!(false_fits(&judged(SHIPPED.1)), Vec::<&str>::new());
    }

    #[test]
    fn most_rows_are_answered_and_the_others_say_why() {
        let rows = judged(SHIPPED.1);
        let unanswered: Vec<&String> = rows.iter().filter_map(|row| row.predicted.as_ref().err()).collect();
        assert!(unanswered.len() * 10 < rows.len(), "{} of {}", unanswered.len(), rows.len());
        assert!(unanswered.iter().all(|why| !why.contains("catalogue")), "{unanswered:?}");
    }

    #[test]
    fn the_whole_collection_holds_the_same_bounds() {
        // An extra gate where the collection lies beside the repository.
        let Ok(text) = std::fs::read_to_string("../shared/measured/memory.csv") else { return };
        let rows = judged(&text);
        let summary = summarise(&rows);
        assert!(median(&summary, "weights_bytes", "all") <= 0.005);
        assert!(median(&summary, "kv_bytes", "all") <= 0.005);
        assert!(median(&summary, "compute_bytes", "all") <= 0.1);
        assert!(median(&summary, "total_bytes", "all") <= 0.05);
        assert_eq!(false_fits(&rows), Vec::<&str>::new());
    }
}
