//! The worst misses: groups by how far the prediction is off, with the reason where one is known.

use super::Judged;
use super::headline::headline_of;
use super::regimes::median;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A group in a regime and how far its predictions are off.
#[derive(Clone, Debug, PartialEq)]
pub struct Miss {
    /// The group: model, machine, engine, metric.
    pub group: String,
    /// Its headline regime, or its own where it has none.
    pub regime: String,
    /// Rows with a prediction.
    pub rows: usize,
    /// Median signed error.
    pub error: f64,
}

impl Miss {
    /// Larger over smaller of predicted and measured: half and double are equally wrong.
    fn factor(&self) -> f64 {
        let ratio = (1.0 + self.error).max(0.0);
        if ratio < 1.0 { 1.0 / ratio } else { ratio }
    }
}

/// The `most` groups that are furthest off, worst first.
pub fn worst_groups<'a>(rows: impl Iterator<Item = &'a Judged>, most: usize) -> Vec<Miss> {
    let mut groups: BTreeMap<(&str, String), Vec<f64>> = BTreeMap::new();
    for row in rows {
        let regime = match row.facts.as_ref().map(headline_of) {
            Some(Some(headline)) => headline.name.to_owned(),
            Some(None) => row.regime.clone(),
            // Groups of sizes and memory do not name what was measured.
            None => format!("{}, {}", row.metric, row.regime),
        };
        if let Some(error) = row.signed_error() {
            groups.entry((&row.group, regime)).or_default().push(error);
        }
    }
    let miss = |((group, regime), errors): ((&str, String), Vec<f64>)| {
        let error = median(errors.iter().copied())?;
        Some(Miss { group: group.to_owned(), regime, rows: errors.len(), error })
    };
    let mut misses: Vec<Miss> =
        groups.into_iter().filter_map(miss).filter(|miss| miss.error != 0.0).collect();
    // The map is in order of groups, and the sort keeps it among equals.
    misses.sort_by(|a, b| b.factor().total_cmp(&a.factor()));
    misses.truncate(most);
    misses
}

/// Reasons by pattern.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanations {
    #[serde(default)]
    explained: Vec<Explanation>,
}

/// One reason.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Explanation {
    /// Words a group must have; `llama*` stands for every word it begins.
    group: String,
    /// The reason, a sentence without its full stop.
    because: String,
}

impl Explanations {
    /// Reads reasons.
    ///
    /// # Errors
    /// The first problem of the text.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The shipped reasons.
    ///
    /// # Panics
    /// Never: a test reads the shipped file.
    pub fn shipped() -> Self {
        Self::read(include_str!("explained.toml")).expect("the shipped reasons are read by a test")
    }

    /// The reason of a group.
    pub fn of(&self, group: &str) -> Option<&str> {
        let has = |wanted: &str| {
            group.split_whitespace().any(|word| match wanted.strip_suffix('*') {
                Some(beginning) => word.starts_with(beginning),
                None => word == wanted,
            })
        };
        let found = self.explained.iter().find(|reason| reason.group.split_whitespace().all(has));
        found.map(|reason| reason.because.as_str())
    }
}

/// Reasons why rows have no prediction with how many have it, the commonest first.
pub fn unanswered<'a>(reasons: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Estimate;
    use crate::validate::Comparison;

    fn row(group: &str, ratio: f64) -> Judged {
        Judged {
            id: String::new(),
            regime: "r".to_owned(),
            also: Vec::new(),
            metric: "decode_tps".to_owned(),
            group: group.to_owned(),
            measured: 1.0,
            precision: 0.0,
            comparison: Comparison::Relative,
            predicted: Ok(Estimate { low: ratio, likely: ratio, high: ratio }),
            facts: None,
            beyond_bound: None,
        }
    }

    #[test]
    fn a_third_is_worse_than_double() {
        let rows = [row("double", 2.0), row("third", 1.0 / 3.0), row("third", 0.3), row("right", 1.0)];
        let worst = worst_groups(rows.iter(), 9);
        let names: Vec<(&str, usize)> = worst.iter().map(|miss| (miss.group.as_str(), miss.rows)).collect();
        assert_eq!(names, [("third", 2), ("double", 1)]);
        assert_eq!(worst_groups(rows.iter(), 1).len(), 1);
    }

    #[test]
    fn the_first_pattern_with_all_its_words_explains() {
        let text = "[[explained]]\ngroup = \"llama* vllm\"\nbecause = \"x\"\n[[explained]]\ngroup = \"vllm\"\nbecause = \"y\"\n";
        let reasons = Explanations::read(text).unwrap();
        assert_eq!(reasons.of("llama-3.1-8b h100 vllm tpot_ms"), Some("x"));
        assert_eq!(reasons.of("qwen3-32b h100 vllm tpot_ms"), Some("y"));
        assert_eq!(reasons.of("llama-3.1-8b h100 vllm-fork tpot_ms"), None);
        assert!(Explanations::read("[[explained]]\nmodel = \"x\"\n").is_err());
        assert!(!Explanations::shipped().explained.is_empty());
    }

    #[test]
    fn the_commonest_reason_comes_first() {
        assert_eq!(unanswered(["b", "c", "a", "c"].into_iter()), [("c", 2), ("a", 1), ("b", 1)]);
    }
}
