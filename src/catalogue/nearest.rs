//! "Did you mean": the nearest of a set of names.

/// The name most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    ranked(word, names).into_iter().next()
}

/// Up to three names most like `word`, best first; equals stay in the order given.
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
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// `a`, `b` or `c`.
pub fn alternatives<T: AsRef<str>>(names: &[T]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
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
        assert_eq!(alternatives(&names), "`deepseek-v4-pro`, `glm-5.1` or `kimi-k2.6`");
    }
}
