//! The columns of options, shared by every table-like format so that they cannot disagree.

use crate::plan::{Candidate, Fit};
use crate::units::{gib, significant, tokens};

/// Printed where a figure is not known.
pub const UNKNOWN: &str = "–";

/// One column of the list of options.
pub struct Column {
    /// Heading for people.
    pub label: &'static str,
    /// Heading for programs, with the unit.
    pub key: &'static str,
    /// Whether numbers are aligned at their end.
    pub right: bool,
    /// Columns of higher rank are dropped first when the page is narrow.
    pub rank: u8,
    /// The cell for people.
    pub shown: fn(&Candidate) -> String,
    /// The cell for programs: full precision, empty when unknown.
    pub raw: fn(&Candidate) -> String,
}

/// A number for programs.
fn number(x: f64) -> String {
    format!("{x}")
}

/// A number that may be unknown, for people.
fn known(x: Option<f64>) -> String {
    x.map_or_else(|| UNKNOWN.to_owned(), significant)
}

/// A number that may be unknown, for programs.
fn maybe(x: Option<f64>) -> String {
    x.map_or_else(String::new, number)
}

/// Seconds in the shortest readable unit.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.9995 => format!("{} ms", significant(s * 1e3)),
        s if s < 120.0 => format!("{} s", significant(s)),
        s if s < 7200.0 => format!("{} min", significant(s / 60.0)),
        s => format!("{} h", significant(s / 3600.0)),
    }
}

/// The columns in the order they are printed.
pub const COLUMNS: &[Column] = &[
    Column {
        label: "model",
        key: "model",
        right: false,
        rank: 0,
        shown: |c| c.model.clone(),
        raw: |c| c.model.clone(),
    },
    Column {
        label: "format",
        key: "format",
        right: false,
        rank: 0,
        shown: |c| c.format.clone(),
        raw: |c| c.format.clone(),
    },
    Column {
        label: "engine",
        key: "engine",
        right: false,
        rank: 0,
        shown: |c| c.engine.word().to_owned(),
        raw: |c| c.engine.word().to_owned(),
    },
    Column {
        label: "layout",
        key: "layout",
        right: false,
        rank: 0,
        shown: |c| c.layout.clone(),
        raw: |c| c.layout.clone(),
    },
    Column {
        label: "KV",
        key: "kv_format",
        right: false,
        rank: 5,
        shown: |c| c.kv_format.word().to_owned(),
        raw: |c| c.kv_format.word().to_owned(),
    },
    Column {
        label: "weights\nGiB",
        key: "weights_bytes",
        right: true,
        rank: 4,
        shown: |c| gib(c.weights_bytes),
        raw: |c| number(c.weights_bytes.get()),
    },
    Column {
        label: "free\nGiB",
        key: "free_bytes",
        right: true,
        rank: 1,
        shown: |c| format!("{}{}", if c.fit == Fit::Tight { "tight " } else { "" }, gib(c.free_bytes)),
        raw: |c| number(c.free_bytes.get()),
    },
    Column {
        label: "max\nctx",
        key: "largest_context_tokens",
        right: true,
        rank: 2,
        shown: |c| tokens(c.largest_context),
        raw: |c| c.largest_context.to_string(),
    },
    Column {
        label: "users",
        key: "largest_concurrency",
        right: true,
        rank: 3,
        shown: |c| c.largest_concurrency.to_string(),
        raw: |c| c.largest_concurrency.to_string(),
    },
    Column {
        label: "TTFT",
        key: "ttft_s",
        right: true,
        rank: 2,
        shown: |c| duration(c.ttft_s.likely.get()),
        raw: |c| number(c.ttft_s.likely.get()),
    },
    Column {
        label: "prefill\ntok/s",
        key: "prefill_tokens_per_s",
        right: true,
        rank: 6,
        shown: |c| significant(c.prefill_tokens_per_s.likely.get()),
        raw: |c| number(c.prefill_tokens_per_s.likely.get()),
    },
    Column {
        label: "tok/s, one\n(10–90 %)",
        key: "decode_tokens_per_s",
        right: true,
        rank: 0,
        shown: |c| {
            let e = c.decode_tokens_per_s;
            format!("{} ({}–{})", significant(e.likely.get()), whole(e.low.get()), whole(e.high.get()))
        },
        raw: |c| number(c.decode_tokens_per_s.likely.get()),
    },
    Column {
        label: "tok/s,\nall",
        key: "throughput_tokens_per_s",
        right: true,
        rank: 1,
        shown: |c| significant(c.throughput.output_tokens_per_s.likely.get()),
        raw: |c| number(c.throughput.output_tokens_per_s.likely.get()),
    },
    Column {
        label: "$/h",
        key: "usd_per_hour",
        right: true,
        rank: 6,
        shown: |c| known(c.cost.per_hour.as_ref().map(|f| f.value.get())),
        raw: |c| maybe(c.cost.per_hour.as_ref().map(|f| f.value.get())),
    },
    Column {
        label: "$/Mtok\nout",
        key: "usd_per_million_output",
        right: true,
        rank: 2,
        shown: |c| known(c.cost.per_million_output.map(crate::units::Money::get)),
        raw: |c| maybe(c.cost.per_million_output.map(crate::units::Money::get)),
    },
    Column {
        label: "$/Mtok\nin",
        key: "usd_per_million_input",
        right: true,
        rank: 7,
        shown: |c| known(c.cost.per_million_input.map(crate::units::Money::get)),
        raw: |c| maybe(c.cost.per_million_input.map(crate::units::Money::get)),
    },
    Column {
        label: "quality\n%",
        key: "quality",
        right: true,
        rank: 3,
        shown: |c| {
            c.quality.as_ref().map_or_else(|| UNKNOWN.to_owned(), |q| format!("{:.1}", q.value * 100.0))
        },
        raw: |c| maybe(c.quality.as_ref().map(|q| q.value)),
    },
];

/// Two significant digits, for the ends of an interval.
pub fn whole(x: f64) -> String {
    if x >= 9.95 { format!("{x:.0}") } else { format!("{x:.1}") }
}
