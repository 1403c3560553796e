//! Names as people and drivers write them, matched to catalogue ids.
//!
//! A name is cut into words at every change between letters and digits, makers and filler are
//! dropped, and what remains is compared word by word: `NVIDIA GeForce RTX 4090`, `rtx4090` and
//! `4090` all mean `rtx-4090`. A name that fits several products is refused, not guessed.

use crate::catalogue::nearest::ranked;
use crate::catalogue::store::{Catalogue, Kind, Unknown};

/// Words that makers, drivers and shops put around the name of a product.
const FILLER: &[&str] = &[
    "nvidia",
    "geforce",
    "amd",
    "radeon",
    "apple",
    "intel",
    "tesla",
    "gpu",
    "graphics",
    "corporation",
    "edition",
    "generation",
    "processor",
    "cpu",
    "tm",
    "r",
    "with",
    "core",
    "instinct",
    "arc",
];

/// Words that may follow the name of a product without changing which one it is.
const HARMLESS: &[&str] = &["workstation", "server", "oem", "hbm", "hbm3", "pcie", "sxm"];

/// The words of a name that tell products apart.
pub(crate) fn words(name: &str) -> Vec<String> {
    #[derive(PartialEq, Clone, Copy)]
    enum Class {
        Letter,
        Digit,
        Other,
    }
    let class = |c: char| match c {
        c if c.is_ascii_digit() => Class::Digit,
        c if c.is_alphabetic() => Class::Letter,
        _ => Class::Other,
    };
    let lower = name.to_lowercase().replace("(r)", " ").replace("(tm)", " ");
    let mut found: Vec<String> = Vec::new();
    let mut last = Class::Other;
    for c in lower.chars() {
        let now = class(c);
        if now != Class::Other {
            match found.last_mut() {
                Some(word) if now == last => word.push(c),
                _ => found.push(c.to_string()),
            }
        }
        last = now;
    }
    // Drivers call the portable variants "Laptop GPU", lists call them mobile.
    let mut telling: Vec<String> =
        found.into_iter().map(|word| if word == "laptop" { "mobile".to_owned() } else { word }).collect();
    telling.retain(|word| !FILLER.contains(&word.as_str()));
    telling
}

/// Whether the words of a known name fit those wanted.
type Fits<'a> = &'a dyn Fn(&[String]) -> bool;

/// The ids a name may mean: those it names fully, else those it begins, else those it ends.
pub(crate) fn candidates(catalogue: &Catalogue, kind: Kind, name: &str) -> Vec<String> {
    let wanted = words(name);
    if wanted.is_empty() {
        return Vec::new();
    }
    let known: Vec<(&str, bool, Vec<String>)> = catalogue
        .spoken_names(kind)
        .into_iter()
        .map(|(spoken, id)| (id, spoken == id, words(spoken)))
        .filter(|(.., words)| !words.is_empty())
        .collect();
    let tier = |whole: bool, fits: Fits<'_>| {
        let fitting = known.iter().filter(|(_, is_id, words)| (whole || *is_id) && fits(words));
        let mut ids: Vec<String> = fitting.map(|(id, ..)| (*id).to_owned()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    // Only ids are begun or ended: a driver's name may begin like that of another product.
    let tiers: [(bool, Fits<'_>); 4] = [
        (true, &|known| known == wanted),
        (false, &|known| known.starts_with(&wanted)),
        (false, &|known| known.ends_with(&wanted)),
        (true, &|known| {
            let rest = wanted.strip_prefix(known);
            rest.is_some_and(|rest| rest.iter().all(|word| HARMLESS.contains(&word.as_str())))
        }),
    ];
    tiers.iter().map(|(whole, fits)| tier(*whole, fits)).find(|ids| !ids.is_empty()).unwrap_or_default()
}

/// The ids whose words contain those of a name in their order: `rtx pro 6000 server`.
fn containing(catalogue: &Catalogue, kind: Kind, name: &str) -> Vec<String> {
    let wanted = words(name);
    if wanted.len() < 2 {
        return Vec::new();
    }
    let contains = |id: &str| {
        let mut known = words(id).into_iter();
        wanted.iter().all(|word| known.any(|other| other == *word))
    };
    catalogue.ids(kind).filter(|id| contains(id)).map(str::to_owned).collect()
}

/// The one id a name means.
///
/// # Errors
/// When it means none or several; then the ids that may have been meant.
pub(crate) fn resolve(catalogue: &Catalogue, kind: Kind, name: &str) -> Result<String, Unknown> {
    let id = name.trim().to_lowercase().replace([' ', '_'], "-");
    if catalogue.ids(kind).any(|known| known == id) {
        return Ok(id);
    }
    let mut found = candidates(catalogue, kind, name);
    if found.len() == 1 {
        return Ok(found.remove(0));
    }
    if found.is_empty() {
        found = containing(catalogue, kind, name);
        if found.len() == 1 {
            return Ok(found.remove(0));
        }
    }
    if found.is_empty() {
        found = ranked(&id, catalogue.ids(kind)).into_iter().map(str::to_owned).collect();
    }
    // A short name is more likely what was meant than one with more qualifications.
    found.sort_by_key(|id| (id.contains("mobile"), id.len()));
    found.truncate(5);
    Err(Unknown { kind, name: name.trim().to_owned(), near: found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accelerator(name: &str) -> Result<String, Vec<String>> {
        resolve(&Catalogue::embedded(), Kind::Accelerator, name).map_err(|unknown| unknown.near)
    }

    #[test]
    fn names_as_people_write_them() {
        for (written, id) in [
            ("rtx-3090", "rtx-3090"),
            ("RTX 3090", "rtx-3090"),
            ("rtx3090", "rtx-3090"),
            ("4090", "rtx-4090"),
            ("H200 SXM", "h200-sxm"),
            ("h100-sxm", "h100-sxm-80gb"),
            ("h100 sxm 80gb", "h100-sxm-80gb"),
            ("b200", "b200-sxm"),
            ("GB300", "gb300"),
            ("7900 xtx", "rx-7900-xtx"),
            ("a10", "a10"),
            ("T4", "t4"),
            ("rtx pro 6000 server", "rtx-pro-6000-blackwell-server"),
            ("strix halo", "ryzen-ai-max-395"),
        ] {
            assert_eq!(accelerator(written).as_deref(), Ok(id), "{written}");
        }
    }

    #[test]
    fn names_as_drivers_report_them() {
        for (reported, id) in [
            ("NVIDIA GeForce RTX 4090", "rtx-4090"),
            ("NVIDIA GeForce RTX 4090 Laptop GPU", "rtx-4090-mobile"),
            ("NVIDIA H100 80GB HBM3", "h100-sxm-80gb"),
            ("NVIDIA H200", "h200-sxm"),
            ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
            ("NVIDIA L40S", "l40s"),
            ("Tesla T4", "t4"),
            ("NVIDIA RTX A6000", "rtx-a6000"),
            ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
            ("NVIDIA GB10", "dgx-spark-gb10"),
            ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000-blackwell-workstation"),
        ] {
            assert_eq!(accelerator(reported).as_deref(), Ok(id), "{reported}");
        }
    }

    #[test]
    fn ambiguous_and_unknown_names_are_refused() {
        let near = accelerator("h100").unwrap_err();
        assert!(
            near.contains(&"h100-sxm-80gb".to_owned()) && near.contains(&"h100-nvl".to_owned()),
            "{near:?}"
        );
        assert_eq!(accelerator("a100 80gb").unwrap_err(), ["a100-sxm-80gb", "a100-pcie-80gb"]);
        assert!(accelerator("rtx-3060").unwrap_err().contains(&"rtx-3060-12-gb".to_owned()));
        assert!(accelerator("zzz").unwrap_err().is_empty());
    }

    #[test]
    fn processors() {
        let catalogue = Catalogue::embedded();
        for (reported, id) in [
            ("AMD EPYC 9654", "epyc-9654"),
            ("Intel(R) Xeon(R) Platinum 8480+", "xeon-platinum-8480"),
            ("AMD Ryzen 9 7950X", "ryzen-9-7950x"),
        ] {
            assert_eq!(resolve(&catalogue, Kind::Cpu, reported).as_deref(), Ok(id), "{reported}");
        }
    }
}
