//! From what a user asks to the tokens a step yields.

use super::data::{Curve, Drafts, Method, Row, drafts};
use crate::catalogue::model::ModelSpec;
use crate::fact::Estimate;
use crate::serving::text::Text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drafting {
    /// Who drafts.
    pub method: Method,
    /// Tokens drafted ahead of each step.
    pub tokens: u64,
    /// Kind of text, by which acceptance is looked up.
    pub text: Text,
    /// Chance that a token is accepted given those before it, where the user knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<f64>,
}

/// Tokens drafted and verified in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draft {
    /// Who drafts.
    pub method: Method,
    /// Tokens drafted.
    pub tokens: u64,
    /// Tokens a step yields on average: 1 and those accepted.
    pub accepted: Estimate<f64>,
}

/// Tokens a step yields and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted<'d> {
    /// Tokens a step yields.
    pub length: Estimate<f64>,
    /// What it rests on.
    pub standing: Standing<'d>,
}

/// What an accepted length rests on.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing<'d> {
    /// The user's own figure.
    Given,
    /// Rows of this model and kind of text.
    Own(Vec<&'d Row>),
    /// Rows of this model on other text, of its family or of others.
    Assumed {
        /// The rows.
        rows: Vec<&'d Row>,
        /// Whether they are of the family, if not of the model.
        scope: Scope,
        /// Kinds of text whose mean ratio scales them.
        scaled: Option<(Text, Text)>,
    },
}

/// Whose rows are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The model's.
    Model,
    /// Those of its family.
    Family,
    /// All of the method.
    Method,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Model, Self::Family, Self::Method];

    fn admits(self, row: &Row, spec: &ModelSpec) -> bool {
        match self {
            Self::Model => row.model == spec.id,
            Self::Family => row.family == spec.family,
            Self::Method => true,
        }
    }
}

/// Tokens a step yields with `drafted` tokens of which each is accepted with this chance given those
/// before it.
pub fn expected_length(chance: f64, drafted: u64) -> f64 {
    let chance = chance.clamp(0.0, 1.0);
    (0..drafted).fold(1.0, |length, _| 1.0 + chance * length)
}

/// The chance that gives a length.
pub fn chance(length: f64, drafted: u64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if expected_length(middle, drafted) < length { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

impl Drafting {
    /// A draft of the usual length whose acceptance is looked up.
    pub fn of_text(method: Method, text: Text) -> Self {
        Self { method, tokens: drafts().drafted, text, acceptance: None }
    }

    /// The draft for a model; none where it has no prediction layers to draft with.
    pub fn draft(&self, spec: &ModelSpec) -> Option<Draft> {
        let accepted = self.accepted(spec)?.length;
        Some(Draft { method: self.method, tokens: self.tokens, accepted })
    }

    /// What a step yields for a model and why; none likewise.
    pub fn accepted(&self, spec: &ModelSpec) -> Option<Accepted<'static>> {
        if self.tokens == 0 || (self.method == Method::Mtp && spec.mtp.is_none()) {
            return None;
        }
        if let Some(chance) = self.acceptance {
            let length = expected_length(chance, self.tokens);
            let length = Estimate { low: length, likely: length, high: length };
            return Some(Accepted { length, standing: Standing::Given });
        }
        drafts().accepted(self, spec)
    }
}

impl Drafts {
    fn accepted(&self, asked: &Drafting, spec: &ModelSpec) -> Option<Accepted<'_>> {
        let Drafting { method, text, tokens, .. } = *asked;
        let at = tokens as f64;
        let of_method = |curve: &&Curve| curve.row.method == method;
        for scope in Scope::ALL {
            let rows: Vec<&Curve> =
                self.rows.iter().filter(of_method).filter(|c| scope.admits(&c.row, spec)).collect();
            for wanted in [text, Text::Mixed] {
                let found: Vec<&Curve> = rows.iter().copied().filter(|c| c.row.text == wanted).collect();
                if !found.is_empty() {
                    return Some(self.told(&found, asked, (scope, wanted), None));
                }
            }
            let other = rows.iter().find_map(|curve| {
                [text, Text::Mixed].into_iter().find_map(|to| {
                    let from = curve.row.text;
                    Some(((from, to), self.ratio(method, (from, to), at)?))
                })
            });
            if let Some(((from, to), ratio)) = other {
                let found: Vec<&Curve> = rows.iter().copied().filter(|c| c.row.text == from).collect();
                return Some(self.told(&found, asked, (scope, to), Some((from, to, ratio))));
            }
        }
        None
    }

    /// The mean of some rows with its interval.
    fn told<'d>(
        &'d self,
        found: &[&'d Curve],
        asked: &Drafting,
        (scope, text): (Scope, Text),
        scaled: Option<(Text, Text, f64)>,
    ) -> Accepted<'d> {
        let at = asked.tokens as f64;
        let own = scope == Scope::Model && text == asked.text && scaled.is_none();
        let chances = found.iter().map(|curve| self.chance_of(curve, at));
        let likely = mean(chances.clone()) * scaled.map_or(1.0, |(_, _, ratio)| ratio);
        let (low, high) = if own {
            chances.fold((f64::INFINITY, 0.0), |(low, high), c| (c.min(low), c.max(high)))
        } else {
            let (low, high) = self.spread(asked.method, at);
            (likely * low, likely * high)
        };
        let length = |chance: f64| expected_length(chance, asked.tokens);
        let rows = found.iter().map(|curve| &curve.row).collect();
        Accepted {
            length: Estimate { low: length(low), likely: length(likely), high: length(high) },
            standing: if own {
                Standing::Own(rows)
            } else {
                Standing::Assumed { rows, scope, scaled: scaled.map(|(from, to, _)| (from, to)) }
            },
        }
    }

    /// The chance of a row at so many drafted tokens: between its points in a line, beyond them as
    /// the longer rows of its method fall or rise from there.
    fn chance_of(&self, curve: &Curve, at: f64) -> f64 {
        if let Some(within) = between(&curve.chances, at) {
            return within;
        }
        let near = |(k, _): &&(f64, f64)| (k - at).abs();
        let nearest = curve.chances.iter().min_by(|a, b| near(a).total_cmp(&near(b)));
        let (from, known) = nearest.copied().unwrap_or((at, 0.0));
        let alike = self.rows.iter().filter(|other| other.row.method == curve.row.method);
        let ratios = alike.filter_map(|o| Some(between(&o.chances, at)? / between(&o.chances, from)?));
        let ratio = mean(ratios);
        (known * if ratio.is_nan() { 1.0 } else { ratio }).min(1.0)
    }

    /// Mean ratio of the chances of two kinds of text over the models that have both; drafters that
    /// are trained are alike, repetitions are not.
    fn ratio(&self, method: Method, (from, to): (Text, Text), at: f64) -> Option<f64> {
        let trained = |method: Method| method != Method::Ngram;
        let alike = |curve: &&Curve| curve.row.text == from && trained(curve.row.method) == trained(method);
        let pairs = self.rows.iter().filter(alike).flat_map(|known| {
            let twin = move |other: &&Curve| {
                let (a, b) = (&other.row, &known.row);
                (a.text, a.method, &a.model) == (to, b.method, &b.model)
            };
            self.rows
                .iter()
                .filter(twin)
                .map(move |twin| self.chance_of(twin, at) / self.chance_of(known, at))
        });
        let ratio = mean(pairs);
        (!ratio.is_nan()).then_some(ratio)
    }

    /// How far models of a method lie from their mean.
    fn spread(&self, method: Method, at: f64) -> (f64, f64) {
        let of_method = self.rows.iter().filter(|curve| curve.row.method == method);
        let chances = of_method.map(|curve| self.chance_of(curve, at));
        let (low, high) = chances.clone().fold((f64::INFINITY, 0.0_f64), |(l, h), c| (l.min(c), h.max(c)));
        let mean = mean(chances);
        (low / mean, high / mean)
    }
}

/// In a line between the points around `at`; none outside them.
fn between(points: &[(f64, f64)], at: f64) -> Option<f64> {
    let after = points.iter().position(|(k, _)| *k >= at)?;
    let (k, chance) = points[after];
    if k <= at {
        return Some(chance);
    }
    let (before, low) = *points.get(after.checked_sub(1)?)?;
    Some(low + (chance - low) * (at - before) / (k - before))
}

/// Not a number for nothing.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

impl Accepted<'_> {
    /// Whether it is taken from elsewhere.
    pub fn is_assumed(&self) -> bool {
        matches!(self.standing, Standing::Assumed { .. })
    }

    /// Where its rows come from, each once.
    pub fn sources(&self) -> String {
        let rows = match &self.standing {
            Standing::Given => return "--acceptance".to_owned(),
            Standing::Own(rows) | Standing::Assumed { rows, .. } => rows,
        };
        let mut told: Vec<String> = rows.iter().map(|row| format!("{} ({})", row.source, row.date)).collect();
        told.dedup();
        told.join("; ")
    }
}

impl fmt::Display for Standing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |rows: &[&Row]| {
            let mut names: Vec<&str> = rows.iter().map(|row| row.model.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            names.join(", ")
        };
        match self {
            Self::Given => f.write_str("as given"),
            Self::Own(rows) => {
                let text = rows.first().map_or(Text::Mixed, |row| row.text);
                write!(f, "measured on {text} text")
            }
            Self::Assumed { rows, scope, scaled } => {
                let whose = match scope {
                    Scope::Model => "of the model",
                    Scope::Family => "of its family",
                    Scope::Method => "of other models",
                };
                let text = rows.first().map_or(Text::Mixed, |row| row.text);
                write!(f, "assumed: that {whose} ({}) on {text} text", names(rows))?;
                scaled.map_or(Ok(()), |(_, to)| write!(f, ", scaled to {to} text"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::store::Catalogue;

    fn accepted(model: &str, method: Method, text: Text, tokens: u64) -> Accepted<'static> {
        let spec = Catalogue::embedded().model(model).unwrap().value;
        Drafting { method, tokens, text, acceptance: None }.accepted(&spec).unwrap()
    }

    #[test]
    fn lengths_are_geometric_sums() {
        // 1 + 0.5 + 0.25, and (1 - 0.8^4) / (1 - 0.8).
        assert!((expected_length(0.5, 2) - 1.75).abs() < 1e-12);
        assert!((expected_length(0.8, 3) - 2.952).abs() < 1e-12);
        assert!((expected_length(1.0, 3) - 4.0).abs() < 1e-12);
        for length in [1.2, 2.0, 3.7] {
            assert!((expected_length(chance(length, 3), 3) - length).abs() < 1e-9, "{length}");
        }
    }

    #[test]
    fn own_rows_come_first_and_span_their_modes() {
        // Thinking 2.49, without 2.97: chances 0.6776 and 0.8034, of which the mean gives 2.7214.
        let found = accepted("deepseek-v4-pro", Method::Mtp, Text::Coding, 3);
        assert!(!found.is_assumed());
        let Estimate { low, likely, high } = found.length;
        assert!((low - 2.49).abs() < 1e-6 && (high - 2.97).abs() < 1e-6, "{found:?}");
        assert!((2.71..2.73).contains(&likely), "{likely}");
    }

    #[test]
    fn fallbacks_go_from_the_model_to_its_family_to_the_method() {
        let scope = |model, text| match accepted(model, Method::Mtp, text, 3).standing {
            Standing::Assumed { scope, scaled, .. } => (scope, scaled),
            other => panic!("{other:?}"),
        };
        // Mixed text of the model before the family's.
        assert_eq!(scope("deepseek-v3", Text::Coding), (Scope::Model, None));
        // Coding alone is known of it: scaled by what others have of both.
        let coding = Some((Text::Coding, Text::Chat));
        assert_eq!(scope("glm-5.2", Text::Chat), (Scope::Model, coding));
        assert_eq!(scope("glm-5", Text::Coding), (Scope::Family, None));
        assert_eq!(scope("glm-4.5", Text::Mixed), (Scope::Method, None));
    }

    /// Whatever is asked, a step yields at least its own token and at most all of the draft and it.
    #[test]
    fn no_step_yields_more_than_was_drafted() {
        let catalogue = Catalogue::embedded();
        for id in catalogue.model_ids() {
            let spec = catalogue.model(id).unwrap().value;
            for (method, text) in
                Method::ALL.iter().flat_map(|method| Text::ALL.iter().map(move |text| (*method, *text)))
            {
                let mut before = 1.0;
                for tokens in [1, 2, 3, 5, 8, 16] {
                    let asked = Drafting { method, tokens, text, acceptance: None };
                    let Some(Accepted { length, .. }) = asked.accepted(&spec) else {
                        assert!(method == Method::Mtp && spec.mtp.is_none(), "{id}");
                        continue;
                    };
                    let Estimate { low, likely, high } = length;
                    assert!(
                        1.0 <= low && low <= likely && likely <= high,
                        "{id} {text} {tokens}: {length:?}"
                    );
                    assert!(high <= (tokens + 1) as f64, "{id} {text} {tokens}: {length:?}");
                    // Rows of fewer points than others may bend a little.
                    assert!(likely > before * 0.97, "{id} {method} {text} {tokens}: {likely} < {before}");
                    before = likely;
                }
            }
        }
    }
}
