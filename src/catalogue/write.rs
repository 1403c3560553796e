//! A model spec to readable TOML: identity first, then layers and blocks, then what is known of it.

use crate::catalogue::model::ModelSpec;
use std::fmt::Write;

/// Order of the tables in a file; tables of other names follow.
const ORDER: &[&str] = &[
    "layers",
    "block",
    "mtp",
    "tower",
    "extra",
    "native",
    "published",
    "config",
    "quality",
    "api",
    "stored",
];

/// Longest line before a list is broken.
const WIDTH: usize = 110;

/// The spec as the text of a file. Reading it back gives the same spec.
///
/// # Errors
/// A value TOML cannot hold, which no spec that was read or imported has.
pub fn write_spec(spec: &ModelSpec) -> Result<String, toml::ser::Error> {
    let plain = toml::to_string(spec)?;
    let mut sections: Vec<Vec<&str>> = vec![Vec::new()];
    for line in plain.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('[') {
            sections.push(Vec::new());
        }
        // What is absent reads as false or empty.
        if !line.ends_with(" = false") && !line.ends_with(" = []") {
            sections.last_mut().into_iter().for_each(|section| section.push(line));
        }
    }
    // A header without keys (`[block]`) says nothing.
    sections.retain(|section| section.len() > 1);
    sections.sort_by_key(|section| rank(section.first().copied().unwrap_or_default()));
    let parts: Vec<String> = sections.iter().map(|section| aligned(section)).collect();
    Ok(parts.join("\n"))
}

/// Place of a table in the file by its header; keys before any header come first.
fn rank(first: &str) -> usize {
    let name = first.trim_matches(['[', ']']).split('.').next().unwrap_or_default();
    if !first.starts_with('[') {
        return 0;
    }
    1 + ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len())
}

/// The lines of a section with equal signs below each other.
fn aligned(section: &[&str]) -> String {
    let keys = section.iter().filter_map(|line| Some(line.split_once(" = ")?.0.len()));
    let width = keys.max().unwrap_or(0);
    let mut text = String::new();
    for line in section {
        match line.split_once(" = ") {
            Some((key, value)) if !line.starts_with('[') => {
                let value = readable(value, width);
                let _ = writeln!(text, "{key:width$} = {value}");
            }
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

/// A value as a person would write it: digits in groups, long lists one item per line.
fn readable(value: &str, key_width: usize) -> String {
    if value.len() > 4 && value.bytes().all(|b| b.is_ascii_digit()) {
        return grouped(value);
    }
    if key_width + value.len() + 3 <= WIDTH || !value.starts_with('[') {
        return value.to_owned();
    }
    let list = format!("list = {value}").parse::<toml::Table>().ok();
    let items = list.as_ref().and_then(|table| table.get("list")?.as_array());
    items.map_or_else(
        || value.to_owned(),
        |items| {
            let lines: Vec<String> = items.iter().map(|item| format!("  {item},\n")).collect();
            format!("[\n{}]", lines.concat())
        },
    )
}

/// Digits in groups of three: `1_048_576`.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_groups() {
        assert_eq!(grouped("1048576"), "1_048_576");
        assert_eq!(grouped("16384"), "16_384");
    }

    #[test]
    fn long_lists_break() {
        let value = format!("[\"{}\", \"b\"]", "a".repeat(120));
        assert_eq!(readable(&value, 7), format!("[\n  \"{}\",\n  \"b\",\n]", "a".repeat(120)));
    }
}
