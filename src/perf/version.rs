//! The year of an engine's build: kernels change faster than hardware.

use super::constants::Constants;
use super::deployment::Engine;

/// The year of a build, from its version: a date (`2025-08`), a build (`b6118`, `c264f65 (9927)`)
/// or a release (`0.12.0`). An unnamed or unreadable version stands for the newest builds measured.
pub(super) fn build_year(constants: &Constants, engine: Engine, version: Option<&str>) -> u64 {
    let newest = constants.newest_year(engine);
    let Some(version) = version else { return newest };
    if let Some(year) = dated(version) {
        return year.min(newest);
    }
    let number = match engine {
        Engine::LlamaCpp | Engine::IkLlamaCpp => build_number(version),
        Engine::Vllm
        | Engine::Sglang
        | Engine::Atom
        | Engine::TensorRtLlm
        | Engine::Mlx
        | Engine::KTransformers => release_number(version),
    };
    number.and_then(|number| constants.year_of_build(engine, number)).unwrap_or(newest)
}

/// The year a date starts with.
fn dated(version: &str) -> Option<u64> {
    let (year, rest) = version.split_at_checked(4)?;
    let year = year.parse().ok().filter(|year| (2020..2100).contains(year))?;
    (rest.is_empty() || rest.starts_with('-')).then_some(year)
}

/// `100 minor + patch` of a release `0.minor.patch`.
fn release_number(version: &str) -> Option<u64> {
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+', 'r']).skip(1);
    let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
    Some(100 * number()? + number().unwrap_or(0))
}

/// The number of a build: in brackets after the commit, or after `b`.
fn build_number(version: &str) -> Option<u64> {
    let text = match version.split_once('(') {
        Some((_, rest)) => rest.trim_end_matches(')'),
        None => version.trim_start_matches('b'),
    };
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::constants::constants;

    #[test]
    fn versions_tell_their_year() {
        let year = |engine, version| build_year(constants(), engine, Some(version));
        assert_eq!(year(Engine::LlamaCpp, "2024-05 (commit not stated)"), 2024);
        assert_eq!(year(Engine::LlamaCpp, "b4089"), 2024);
        assert_eq!(year(Engine::LlamaCpp, "6c7e9a54 (6118)"), 2025);
        assert_eq!(year(Engine::LlamaCpp, "c264f65ff (9927)"), 2026);
        assert_eq!(year(Engine::Vllm, "0.12.0"), 2025);
        assert_eq!(build_year(constants(), Engine::Mlx, None), 2026);
        // Nothing newer was measured of it.
        assert_eq!(build_year(constants(), Engine::IkLlamaCpp, None), 2025);
    }
}
