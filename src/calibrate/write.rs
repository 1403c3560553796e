//! The file of fitted factors.

use super::Problem;
use crate::perf::class::{Backend, Class};
use crate::perf::constants::{Constants, Ends, Intervals, Key, Kind};
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
        "# Written by `plan calibrate`; do not edit. Measured over predicted rates, 10 and 90 % of rows: `met` as\n\
         # fitted, `new_model` and `new_machine` with the model or the machine of each row left out of the fit. A time\n\
         # to the first token counts as the rate of first tokens. `extrapolated` is the power of the ratios where\n\
         # nothing of the same kind was measured.\n\
         source = {:?}\ndate = {:?}\nextrapolated = {}\n",
        intervals.source, intervals.date, intervals.extrapolated
    );
    let ends = |ends: &Ends| format!("{{ low = {:.3}, high = {:.3} }}", ends.low, ends.high);
    // Writing to a string cannot fail.
    for interval in &intervals.interval {
        let _ = write!(
            text,
            "\n[[interval]]\nregime = {:?}\nphase = {:?}\narchitecture = {:?}\n\
             met = {}\nnew_model = {}\nnew_machine = {}\nrows = {}\n",
            interval.regime.word(),
            interval.phase.word(),
            interval.architecture.word(),
            ends(&interval.met),
            ends(&interval.new_model),
            ends(&interval.new_machine),
            interval.rows,
        );
    }
    for met in &intervals.met {
        let _ = writeln!(text, "\n[[met]]\nregime = {:?}\nmachines = [", met.regime.word());
        for machine in &met.machines {
            let _ = writeln!(text, "  {machine:?},");
        }
        let _ = writeln!(text, "]\n[met.models]");
        for (name, shape) in &met.models {
            let _ = writeln!(text, "{name:?} = {shape:?}");
        }
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
