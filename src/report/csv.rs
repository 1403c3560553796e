//! One line per option, all columns, full precision, with the ends of every interval.

use crate::plan::Plan;
use crate::report::columns::COLUMNS;
use std::io::{self, Write};

/// Writes the options as CSV.
///
/// # Errors
/// When the writer fails.
pub fn render(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    let intervals = ["ttft_low_s", "ttft_high_s", "decode_low_tokens_per_s", "decode_high_tokens_per_s"];
    csv.write_record(["id"].into_iter().chain(COLUMNS.iter().map(|c| c.key)).chain(intervals))?;
    for option in &plan.options {
        let ends = [
            option.ttft_s.low.get(),
            option.ttft_s.high.get(),
            option.decode_tokens_per_s.low.get(),
            option.decode_tokens_per_s.high.get(),
        ];
        csv.write_record(
            std::iter::once(option.id.clone())
                .chain(COLUMNS.iter().map(|c| (c.raw)(option)))
                .chain(ends.iter().map(|x| format!("{x}"))),
        )?;
    }
    csv.flush()
}
