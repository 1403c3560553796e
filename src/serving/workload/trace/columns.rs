//! Columns of a trace by the names that published traces and users give them.

use super::moment::Unit;
use crate::catalogue::decode::Problem;
use crate::catalogue::nearest::nearest;
use std::ops::Range;

/// Names of each column without case, spaces and underscores: those of the traces of Azure and
/// `BurstGPT`, of Mooncake, of vidur, and what users write.
const TIMES: [&str; 10] = [
    "timestamp",
    "time",
    "arrival",
    "arrivaltime",
    "arrivedat",
    "start",
    "starttime",
    "requesttime",
    "sentat",
    "date",
];
const INPUTS: [&str; 9] = [
    "contexttokens",
    "requesttokens",
    "input",
    "inputtokens",
    "inputlength",
    "prompttokens",
    "prompt",
    "numprefilltokens",
    "prefilltokens",
];
const OUTPUTS: [&str; 9] = [
    "generatedtokens",
    "responsetokens",
    "output",
    "outputtokens",
    "outputlength",
    "completiontokens",
    "completion",
    "numdecodetokens",
    "decodetokens",
];

/// Where the columns stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Columns {
    /// What stands between two cells.
    pub separator: char,
    /// Cells of a row.
    pub count: usize,
    /// Column of the time.
    pub time: usize,
    /// Unit of the time, where its name says it.
    pub unit: Option<Unit>,
    /// Column of prompt tokens.
    pub input: usize,
    /// Column of answer tokens.
    pub output: usize,
    /// Whose trace has these columns.
    pub format: Option<&'static str>,
}

/// A name without case, spaces, underscores and unit, and the unit of `time (ms)`, `time_ms`.
fn plain(name: &str) -> (String, Option<Unit>) {
    let words: Vec<String> = name
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let unit = match words.last().map(String::as_str) {
        Some("ms" | "millis" | "milliseconds") => Unit::Millis,
        Some("us" | "micros" | "microseconds") => Unit::Micros,
        Some("ns" | "nanos" | "nanoseconds") => Unit::Nanos,
        Some("s" | "sec" | "seconds") => Unit::Seconds,
        Some(_) | None => return (words.concat(), None),
    };
    (words[..words.len() - 1].concat(), Some(unit))
}

/// The cells of a line with their places; a separator in quotes separates nothing.
pub(super) fn cells(line: &str, separator: char) -> Vec<(&str, Range<usize>)> {
    let (mut found, mut start, mut quoted) = (Vec::new(), 0, false);
    let mut push = |range: Range<usize>| {
        let cell = &line[range.clone()];
        let trimmed = cell.trim().trim_matches('"').trim();
        let lead = cell.find(trimmed).unwrap_or(0) + range.start;
        found.push((trimmed, lead..lead + trimmed.len()));
    };
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                push(start..at);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    push(start..line.len());
    found
}

impl Columns {
    /// Finds the columns of a header.
    ///
    /// # Errors
    /// What is missing, with the names it may have.
    pub(super) fn of(header: &str) -> Result<Self, Vec<Problem>> {
        let separator = [',', ';', '\t'].into_iter().max_by_key(|c| (header.matches(*c).count(), *c == ','));
        let separator = separator.unwrap_or(',');
        let names = cells(header, separator);
        let plains: Vec<(String, Option<Unit>)> = names.iter().map(|(name, _)| plain(name)).collect();
        let mut problems = Vec::new();
        let mut find = |what: &str, known: &[&str], shown: &str| {
            let at = known.iter().find_map(|known| plains.iter().position(|(name, _)| name == known));
            if at.is_none() {
                // A column that is known as another is not misspelt.
                let other =
                    |name: &str| [&TIMES[..], &INPUTS, &OUTPUTS].iter().any(|all| all.contains(&name));
                let guess = plains.iter().zip(&names).filter(|((name, _), _)| !other(name)).find_map(
                    |((name, _), (written, span))| {
                        Some((nearest(name, known.iter().copied())?, *written, span.clone()))
                    },
                );
                let (span, hint) = match guess {
                    Some((near, written, span)) => (span, format!("is `{written}` meant to be `{near}`?")),
                    None => (0..header.len(), format!("names this column may have: {}", known.join(", "))),
                };
                problems.push(Problem {
                    message: format!("the trace has no column of {what}"),
                    span,
                    label: format!("expected {shown}"),
                    hint: Some(hint),
                });
            }
            at
        };
        let time = find("times", &TIMES, "`TIMESTAMP`");
        let input =
            find("prompt tokens", &INPUTS, "`ContextTokens` (Azure), `Request tokens` (BurstGPT) or `input`");
        let output = find(
            "answer tokens",
            &OUTPUTS,
            "`GeneratedTokens` (Azure), `Response tokens` (BurstGPT) or `output`",
        );
        let (Some(time), Some(input), Some(output)) = (time, input, output) else { return Err(problems) };
        let format = match plains[input].0.as_str() {
            "contexttokens" => Some("Azure"),
            "requesttokens" => Some("BurstGPT"),
            "numprefilltokens" => Some("vidur"),
            _ => None,
        };
        Ok(Self { separator, count: names.len(), time, unit: plains[time].1, input, output, format })
    }
}
