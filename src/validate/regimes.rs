//! Errors by regime: median within a group, then over groups.

use super::Judged;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Errors of one metric in one regime.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Summary {
    /// The regime; `all` holds every row of the metric.
    pub regime: String,
    /// What was measured.
    pub metric: String,
    /// Rows.
    pub rows: usize,
    /// Groups of rows with a prediction.
    pub groups: usize,
    /// Rows with a prediction.
    pub answered: usize,
    /// Median over groups of the median error of a group; null when nothing was answered.
    pub median_ape: Option<f64>,
    /// 90th percentile over groups of the same.
    pub p90_ape: Option<f64>,
    /// Median over groups of the signed error: positive = predicted too much.
    pub bias: Option<f64>,
    /// Share of answered rows inside their stated interval.
    pub coverage: Option<f64>,
}

/// The summary of every regime and metric, sorted by metric, then regime, `all` first.
pub fn summarise(rows: &[Judged]) -> Vec<Summary> {
    let mut regimes: BTreeMap<(&str, bool, &str), Vec<&Judged>> = BTreeMap::new();
    for row in rows {
        let own = [row.regime.as_str(), "all"];
        for regime in own.into_iter().chain(row.also.iter().map(String::as_str)) {
            regimes.entry((&row.metric, regime != "all", regime)).or_default().push(row);
        }
    }
    regimes.into_iter().map(|((metric, _, regime), rows)| summary(regime, metric, &rows)).collect()
}

/// The summary of some rows, whatever their regime.
pub fn summary(regime: &str, metric: &str, rows: &[&Judged]) -> Summary {
    let mut groups: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for row in rows {
        if let Some(error) = row.signed_error() {
            // A row keeps its own regime inside a wider one, as group errors are per regime.
            groups.entry((&row.regime, &row.group)).or_default().push(error);
        }
    }
    let sizes: Vec<f64> =
        groups.values().filter_map(|errors| median(errors.iter().map(|e| e.abs()))).collect();
    let signed: Vec<f64> = groups.values().filter_map(|errors| median(errors.iter().copied())).collect();
    let covered: Vec<bool> = rows.iter().filter_map(|row| row.covered()).collect();
    Summary {
        regime: regime.to_owned(),
        metric: metric.to_owned(),
        rows: rows.len(),
        groups: groups.len(),
        answered: covered.len(),
        median_ape: median(sizes.iter().copied()),
        p90_ape: quantile(sizes, 0.9),
        bias: median(signed.into_iter()),
        coverage: share(&covered),
    }
}

/// Share of the true ones.
fn share(of: &[bool]) -> Option<f64> {
    (!of.is_empty()).then(|| of.iter().filter(|one| **one).count() as f64 / of.len() as f64)
}

/// The median; `None` of nothing.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    quantile(values.collect(), 0.5)
}

/// The quantile with linear interpolation between the neighbours; `None` of nothing.
pub fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let place = share * last as f64;
    let below = place.floor();
    let (low, high) = (values[below as usize], values[(below as usize + 1).min(last)]);
    Some(low + (high - low) * (place - below))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Estimate;
    use crate::validate::Comparison;

    fn row(regime: &str, group: &str, measured: f64, predicted: Option<f64>) -> Judged {
        Judged {
            id: String::new(),
            regime: regime.to_owned(),
            also: vec!["wide".to_owned()],
            metric: "m".to_owned(),
            group: group.to_owned(),
            measured,
            precision: 0.0,
            comparison: Comparison::Relative,
            predicted: predicted
                .map(|p| Estimate { low: p * 0.9, likely: p, high: p * 1.1 })
                .ok_or_else(|| "no".to_owned()),
            facts: None,
            beyond_bound: None,
        }
    }

    #[test]
    fn many_rows_of_one_group_weigh_as_one() {
        let mut rows = vec![row("a", "small", 100.0, Some(150.0)), row("b", "small", 100.0, None)];
        rows.extend((0..9).map(|_| row("a", "large", 100.0, Some(95.0))));
        let summaries = summarise(&rows);
        let names: Vec<&str> = summaries.iter().map(|s| s.regime.as_str()).collect();
        assert_eq!(names, ["all", "a", "b", "wide"]);
        let a = &summaries[1];
        assert_eq!((a.rows, a.groups, a.answered), (10, 2, 10));
        // Groups err by 0.5 and 0.05.
        assert!((a.median_ape.unwrap() - 0.275).abs() < 1e-12);
        assert!((a.bias.unwrap() - 0.225).abs() < 1e-12);
        assert_eq!(a.coverage, Some(0.9));
        assert_eq!((summaries[2].answered, summaries[2].median_ape), (0, None));
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(vec![1.0, 2.0], 0.9), Some(1.9));
        assert_eq!(quantile(vec![], 0.5), None);
    }
}
