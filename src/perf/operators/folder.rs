//! Where the tables lie: `<system>/<family>/<framework>/<version>/<operator>_perf.parquet`.
//!
//! A table of an operator is taken from the newest version not newer than asked. What that version
//! lacks, older ones fill: a release measures only what it changed.

use super::OperatorsError;
use crate::perf::deployment::Engine;
use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

/// Entries looked at below a folder: the package has about five thousand.
const ENTRIES: usize = 200_000;
/// What a table's file name ends with.
const ENDING: &str = "_perf.parquet";

/// Accelerators of the catalogue whose systems carry other names.
const SYSTEMS: [(&str, &str); 14] = [
    ("a100-pcie-80gb", "a100_pcie"),
    ("a100-sxm-80gb", "a100_sxm"),
    ("a30", "a30"),
    ("arc-pro-b60", "b60"),
    ("b200-sxm", "b200_sxm"),
    ("b300-sxm", "b300_sxm"),
    ("gb200", "gb200"),
    ("gb300", "gb300"),
    ("h100-pcie-80gb", "h100_pcie"),
    ("h100-sxm-80gb", "h100_sxm"),
    ("h200-sxm", "h200_sxm"),
    ("l4", "l4"),
    ("l40s", "l40s"),
    ("rtx-pro-6000-blackwell-server", "rtx_pro_6000_server"),
];

/// The system that stands for an accelerator: by its slug, or by the system's own name.
pub(super) fn system(accelerator: &str) -> Option<&'static str> {
    SYSTEMS.iter().find(|(slug, system)| *slug == accelerator || *system == accelerator).map(|pair| pair.1)
}

/// The systems known.
pub(super) fn systems() -> impl Iterator<Item = &'static str> {
    SYSTEMS.iter().map(|(_, system)| *system)
}

/// The framework of an engine; `None` for engines nobody tabulated.
pub(super) const fn framework(engine: Engine) -> Option<&'static str> {
    match engine {
        Engine::Vllm => Some("vllm"),
        Engine::Sglang => Some("sglang"),
        Engine::TensorRtLlm => Some("trtllm"),
        Engine::LlamaCpp | Engine::IkLlamaCpp | Engine::Mlx | Engine::KTransformers | Engine::Atom => None,
    }
}

/// One table found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The system measured, as its folder is named.
    pub system: String,
    /// The framework, or the library of a collective.
    pub framework: String,
    /// Its version.
    pub version: String,
    /// The operator: the file without its ending.
    pub operator: String,
    /// The file.
    pub path: PathBuf,
}

/// The folder that holds the systems, the one given or one inside it, with its tables.
pub(super) fn find(dir: &Path) -> Result<(PathBuf, Vec<Table>), OperatorsError> {
    for root in [dir.to_owned(), dir.join("data"), dir.join("systems").join("data")] {
        let tables = tables(&root)?;
        if !tables.is_empty() {
            return Ok((root, tables));
        }
    }
    Err(OperatorsError::NoTables { dir: dir.to_owned() })
}

/// Every table below a folder of systems, by system, framework, operator, newest version first.
fn tables(root: &Path) -> Result<Vec<Table>, OperatorsError> {
    let mut found = Vec::new();
    let mut seen = 0;
    for (system, at) in folders(root).unwrap_or_default() {
        for (_, at) in folders(&at).unwrap_or_default() {
            for (framework, at) in folders(&at).unwrap_or_default() {
                for (version, at) in folders(&at).unwrap_or_default() {
                    let Ok(files) = fs::read_dir(&at) else { continue };
                    for file in files.flatten() {
                        seen += 1;
                        if seen > ENTRIES {
                            return Err(OperatorsError::TooLarge { file: root.to_owned(), what: "files" });
                        }
                        let name = file.file_name().to_string_lossy().into_owned();
                        if let Some(operator) = name.strip_suffix(ENDING) {
                            found.push(Table {
                                system: system.clone(),
                                framework: framework.clone(),
                                version: version.clone(),
                                operator: operator.to_owned(),
                                path: file.path(),
                            });
                        }
                    }
                }
            }
        }
    }
    found.sort_by(|a, b| {
        (&a.system, &a.framework, &a.operator)
            .cmp(&(&b.system, &b.framework, &b.operator))
            .then_with(|| newer(&b.version, &a.version))
    });
    Ok(found)
}

/// The folders in a folder, by name.
fn folders(dir: &Path) -> Option<Vec<(String, PathBuf)>> {
    let entries = fs::read_dir(dir).ok()?.take(ENTRIES).flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .collect();
    found.sort();
    Some(found)
}

/// Compares versions: numbers as numbers, `dev` and `rc` before the release, `post` after it.
pub(super) fn newer(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (parts(a), parts(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            // The end of a version counts as its release.
            (a, b) => match a.unwrap_or((2, 0)).cmp(&b.unwrap_or((2, 0))) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

/// The parts of a version, each with the rank of what it is.
fn parts(version: &str) -> impl Iterator<Item = (u8, u64)> + '_ {
    let mut rest = version.trim_start_matches('v');
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['.', '-', '+', '_']);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            let number = rest[..digits].parse().unwrap_or(u64::MAX);
            rest = &rest[digits..];
            return Some((4, number));
        }
        let letters = rest.find(|c: char| c.is_ascii_digit() || ".-+_".contains(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(letters);
        rest = after;
        match word {
            "" => None,
            "dev" => Some((0, 0)),
            "post" => Some((3, 0)),
            _ => Some((1, 0)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_released() {
        let order = ["0.1.dev19262", "0.5.6", "0.5.6.post2", "0.5.14", "1.3.0rc10", "1.3.0rc20", "1.3.0"];
        for pair in order.windows(2) {
            assert_eq!(newer(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(newer(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(newer("v0.24.0", "0.24.0"), Ordering::Equal);
        assert_eq!(newer("2.27", "2.27.3"), Ordering::Less);
    }

    #[test]
    fn accelerators_have_systems() {
        assert_eq!(system("h100-sxm-80gb"), Some("h100_sxm"));
        assert_eq!(system("h200_sxm"), Some("h200_sxm"));
        assert_eq!(system("mi300x"), None);
    }
}
