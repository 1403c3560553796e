//! Where models that no file describes may be asked for.

/// Where models are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// Beginning of all addresses, such as `https://huggingface.co`.
    pub base: String,
    /// What lets the user in, if anything.
    pub token: Option<String>,
}

impl Hub {
    /// The public hub, unless the variables `HF_ENDPOINT` and `HF_TOKEN` of its own tools say otherwise.
    pub fn new(endpoint: Option<String>, token: Option<String>) -> Self {
        let base = endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self { base: base.trim_end_matches('/').to_owned(), token }
    }

    /// Whether a text can name a model of a hub: `organisation/name`, and a file in it perhaps.
    pub fn is_name(text: &str) -> bool {
        let words: Vec<&str> = text.split('/').collect();
        let plain = |word: &&str| {
            !word.is_empty()
                && !word.starts_with('.')
                && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        (2..=4).contains(&words.len()) && words.iter().all(plain) && text.len() <= 300
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models() {
        for name in ["Qwen/Qwen3-8B", "unsloth/GLM-5.1-GGUF/Q4_K_M/GLM-5.1.gguf"] {
            assert!(Hub::is_name(name), "{name}");
        }
        for text in ["qwen3-8b", "./config.json", "a//b", "../x/y", "a/b c", "https://a/b"] {
            assert!(!Hub::is_name(text), "{text}");
        }
    }
}
