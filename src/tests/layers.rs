//! Each layer uses only layers before it: reads every `use crate::…` and fails on a wrong arrow.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers in order; a module may use those before it and itself.
const LAYERS: [&str; 17] = [
    "units",
    "fact",
    "catalogue",
    "arithmetic",
    "import",
    "detect",
    "serving",
    "perf",
    "placement",
    "economics",
    "ranking",
    "plan",
    "validate",
    "calibrate",
    "report",
    "cli",
    "main",
];

/// The modules a piece of code names after `crate::`: one, or several in braces.
fn named(after: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let Some(inside) = after.strip_prefix('{') else { return vec![word(after)] };
    let (mut depth, mut first, mut found) = (0_u32, true, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => first = true,
            _ if first && c.is_alphabetic() => {
                found.push(word(&inside[at..]));
                first = false;
            }
            _ => {}
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn arrows_point_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let rank = |layer: &str| LAYERS.iter().position(|l| *l == layer);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).expect("a file of src");
        let first = inside.components().next().expect("a path").as_os_str().to_string_lossy();
        let layer = first.trim_end_matches(".rs").to_owned();
        let Some(own) = rank(&layer) else { continue };
        let text = fs::read_to_string(&file).expect("a source file reads");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for used in code.split("crate::").skip(1).flat_map(named) {
            if rank(&used).is_some_and(|other| other > own) {
                wrong.push(format!("{}: uses {used}", inside.display()));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "arrows against the order of layers:\n{}", wrong.join("\n"));
}

#[test]
fn names_in_braces_are_read() {
    assert_eq!(named("plan::{Plan, fit}"), ["plan"]);
    assert_eq!(named("{cli::{args, shell}, units::Bytes, table};"), ["cli", "units", "table"]);
}
