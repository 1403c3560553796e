//! "Did you mean": the nearest of a set of names.

/// The name most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    ranked(word, names).into_iter().next()
}

/// Up to three names most like `word`, best first.
pub fn ranked<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| {
            let lower = name.to_lowercase();
            let contains = !word.is_empty() && (lower.contains(&word) || word.contains(&lower));
            let score = strsim::jaro_winkler(&word, &lower).max(if contains { 0.85 } else { 0.0 });
            (score, name)
        })
        .filter(|(score, _)| *score >= 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_misspelt_and_refuses_the_unlike() {
        let names = ["deepseek-v4-pro", "glm-5.1", "kimi-k2.6"];
        assert_eq!(nearest("deepseek-v4pro", names), Some("deepseek-v4-pro"));
        assert_eq!(nearest("kimi-2.6", names), Some("kimi-k2.6"));
        assert_eq!(nearest("zzzz", names), None);
    }
}
