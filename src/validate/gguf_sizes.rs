//! Published GGUF file sizes against the sizes the rules give.
//!
//! The prediction never looks at a published size, also where the planner itself would use one:
//! what is judged here is the rule.

use super::csv_file::{Faults, Row};
use super::{Comparison, Judge, Judged};
use crate::arithmetic::gguf::{Embeddings, Recipe, publisher_spread};
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::scheme::{Family, Scheme};
use crate::catalogue::model::ModelSpec;
use crate::catalogue::store::Catalogue;
use crate::fact::Estimate;
use crate::units::Bytes;
use std::sync::Arc;

/// The shipped rows: name and text. Up to three files of each model and publisher, chosen by the
/// hash that is their id and not by how well they are predicted.
pub const SHIPPED: (&str, &str) = (
    "measurements/gguf_sizes.csv",
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/measurements/gguf_sizes.csv")),
);

/// Judges files of published sizes.
pub struct GgufSizes<'a> {
    /// Where models are looked up.
    pub catalogue: &'a Catalogue,
}

impl Judge for GgufSizes<'_> {
    fn kind(&self) -> &'static str {
        "GGUF sizes"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["model", "weights_format", "publisher", "file_bytes", "rule"]
    }

    fn judge(&self, row: &Row<'_>, faults: &mut Faults) -> Option<Judged> {
        let measured = row.number("file_bytes", faults)?;
        let precision = row.optional("precision_bytes", faults)?.unwrap_or(0.0);
        let rule = row.text("rule");
        let (regime, also) = match (rule, Bytes::new(measured).in_gib()) {
            ("stock", size) if size < 2.0 => ("stock <2 GiB".to_owned(), vec!["stock".to_owned()]),
            ("stock", size) if size <= 20.0 => ("stock 2-20 GiB".to_owned(), vec!["stock".to_owned()]),
            ("stock", _) => ("stock >20 GiB".to_owned(), vec!["stock".to_owned()]),
            (other, _) => (other.to_owned(), Vec::new()),
        };
        Some(Judged {
            id: row.text("id").to_owned(),
            regime,
            also,
            metric: "file_bytes".to_owned(),
            group: format!("{} {}", row.text("model"), row.text("publisher")),
            measured,
            precision,
            comparison: Comparison::Relative,
            predicted: self.predicted(row),
            facts: None,
            beyond_bound: None,
        })
    }
}

impl GgufSizes<'_> {
    fn predicted(&self, row: &Row<'_>) -> Result<Estimate<f64>, String> {
        let model = self.find(row)?;
        let scheme = Scheme::parse_in(row.text("weights_format"), Family::Gguf).map_err(|e| e.to_string())?;
        let scheme = match scheme.recipe() {
            Some(recipe) => scheme.made_by(published(recipe, row)),
            None => scheme,
        };
        let mut weights = scheme.weigh_by_rule(&model, &Inventory::of(&model));
        if matches!(row.text("rule"), "bartowski" | "unknown") {
            weights.spread = weights.spread.max(publisher_spread());
        }
        Ok(weights.file_bytes().map(Bytes::get))
    }

    /// The model of the row: the poster's own where the catalogue has it, else the one it is filed
    /// under.
    fn find(&self, row: &Row<'_>) -> Result<Arc<ModelSpec>, String> {
        let original = row.note("original").and_then(|name| self.catalogue.model(name).ok());
        let found = original.map_or_else(|| self.catalogue.model(row.text("model")), Ok);
        found.map(|entry| entry.value).map_err(|unknown| unknown.to_string())
    }
}

/// The recipe of the file as its publisher makes them.
fn published(recipe: Recipe, row: &Row<'_>) -> Recipe {
    let publisher = row.text("publisher");
    // The plain uploads of these accounts are made without an importance matrix.
    let plain = ["ggml-org", "lmstudio-community", "mradermacher"].contains(&publisher);
    let resaved = publisher == "unsloth";
    let embeddings = match recipe.embeddings {
        Embeddings::Large if resaved => Embeddings::Medium,
        stated => stated,
    };
    let prediction = row.flagged("file includes the MTP block").then_some(true).or(recipe.prediction);
    Recipe { imatrix: !plain || row.flagged("imatrix build"), embeddings, prediction, resaved, ..recipe }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::judge_text;
    use crate::validate::regimes::{Summary, summarise};

    fn judged() -> Vec<Judged> {
        let catalogue = Catalogue::embedded();
        let judge = GgufSizes { catalogue: &catalogue };
        judge_text(SHIPPED.0, SHIPPED.1, &[&judge]).unwrap()
    }

    /// Fails when the rules get worse: median and 90th percentile over groups, coverage.
    #[test]
    fn rules_stay_as_good_as_they_are() {
        let rows = judged();
        let summaries = summarise(&rows);
        let of = |regime: &str| -> &Summary { summaries.iter().find(|s| s.regime == regime).unwrap() };
        for (regime, median, p90, coverage) in [
            ("stock", 0.003, 0.01, 0.9),
            ("stock <2 GiB", 0.003, 0.01, 0.9),
            ("stock 2-20 GiB", 0.003, 0.01, 0.9),
            ("stock >20 GiB", 0.003, 0.01, 0.9),
            // No rule is published for these.
            ("unsloth-ud", 0.03, 0.08, 0.8),
            ("bartowski", 0.03, 0.06, 0.8),
            ("unknown", 0.01, 0.04, 0.8),
            ("ik", 0.06, 0.09, 0.7),
            ("native-low-bit", 0.01, 0.06, 0.8),
        ] {
            let found = of(regime);
            assert_eq!(found.answered, found.rows, "{regime}");
            assert!(found.median_ape.unwrap() <= median, "{found:?}");
            assert!(found.p90_ape.unwrap() <= p90, "{found:?}");
            assert!(found.coverage.unwrap() >= coverage, "{found:?}");
        }
        let stock: Vec<&Judged> = rows.iter().filter(|row| row.also.contains(&"stock".to_owned())).collect();
        let near = stock.iter().filter(|row| row.error().is_some_and(|error| error <= 0.015)).count();
        assert!(near as f64 >= 0.95 * stock.len() as f64, "{near} of {}", stock.len());
    }

    /// An extra gate where the collection lies beside the repository.
    #[test]
    fn the_whole_collection_holds_the_bounds_of_stock_mixes() {
        let Ok(text) = std::fs::read_to_string("../shared/measured/gguf_sizes.csv") else { return };
        let catalogue = Catalogue::embedded();
        let rows = judge_text("gguf_sizes.csv", &text, &[&GgufSizes { catalogue: &catalogue }]).unwrap();
        let median = summarise(&rows).iter().find(|s| s.regime == "stock").and_then(|s| s.median_ape);
        assert!(median.is_some_and(|median| median <= 0.003), "{median:?}");
        let stock: Vec<&Judged> = rows.iter().filter(|row| row.also.contains(&"stock".to_owned())).collect();
        let near = stock.iter().filter(|row| row.error().is_some_and(|error| error <= 0.015)).count();
        assert!(near as f64 >= 0.95 * stock.len() as f64, "{near} of {}", stock.len());
    }
}
