//! The file of fitted factors.

use super::Problem;
use crate::perf::class::{Backend, Class};
use crate::perf::constants::{Constants, Intervals, Key, Kind};
use crate::perf::deployment::Engine;
use crate::units::significant;
use std::fmt::Write;

/// The text of `fitted.toml`: what `source` says and every factor the rows moved.
pub fn fitted(constants: &Constants, problem: &Problem<'_>, source: &str, date: &str) -> String {
    let mut text = format!(
        "# Written by `plan calibrate`; do not edit. A factor multiplies the constant for what its columns name.\n\
         source = {source:?}\ndate = {date:?}\n"
    );
    for (name, factors) in constants.fitted() {
        let of_problem = |key: &Key| problem.parameters.iter().any(|p| p.constant == name && p.key == *key);
        let mut factors: Vec<_> = factors.iter().filter(|factor| of_problem(&factor.key)).collect();
        factors.sort_by_key(|factor| factor.key);
        if factors.is_empty() {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n[constant.{name}]\nfactors = [");
        for factor in factors {
            let columns = columns(&factor.key);
            let _ =
                writeln!(text, "  {{ {columns}factor = {}, rows = {} }},", four(factor.value), factor.rows);
        }
        text.push_str("]\n");
    }
    text
}

/// The text of `intervals.toml`.
pub fn intervals(intervals: &Intervals) -> String {
    let mut text = format!(
        "# Written by `plan calibrate`; do not edit. Measured over predicted rates, 10 and 90 % of rows as fitted and\n\
         # with their model or machine left out; a time to the first token counts as the rate of first tokens.\n\
         # `extrapolated` is the power of the ratios where nothing alike was measured.\n\
         source = {:?}\ndate = {:?}\nextrapolated = {}\n",
        intervals.source, intervals.date, intervals.extrapolated
    );
    for interval in &intervals.interval {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n[[interval]]\nregime = {:?}\nphase = {:?}\narchitecture = {:?}\nlow = {:.3}\nhigh = {:.3}\nrows = {}\n",
            interval.regime.word(),
            interval.phase.word(),
            interval.architecture.word(),
            interval.low,
            interval.high,
            interval.rows,
        );
    }
    text
}

/// The columns of a key as they stand in the file.
pub fn columns(key: &Key) -> String {
    let mut text = String::new();
    let mut add = |name: &str, word: Option<&str>| {
        if let Some(word) = word {
            let _ = write!(text, "{name} = {word:?}, ");
        }
    };
    add("engine", key.engine.map(Engine::word));
    add("backend", key.backend.map(Backend::word));
    add("class", key.class.map(Class::word));
    add("kind", key.kind.map(Kind::word));
    if let Some(year) = key.year {
        let _ = write!(text, "year = {year}, ");
    }
    text
}

/// Four decimals are a hundredth of what a factor is known to.
fn four(value: f64) -> String {
    let text = format!("{value:.4}");
    if value < 0.01 { significant(value) } else { text }
}
