//! The arguments of speculative decoding.

use crate::perf::Drafting;
use crate::perf::drafts::{Method, Text, drafts};
use clap::{Args, ValueEnum};

/// Most tokens drafted ahead.
const MOST: u64 = 16;

/// Speculative decoding.
#[derive(Clone, Debug, Default, Args)]
pub struct DraftArgs {
    /// Draft tokens ahead by `mtp` (the model's own layers), `eagle3` or `ngram` [default: 3 tokens, as in `mtp:3`]
    #[arg(long, value_name = "METHOD[:TOKENS]", value_parser = draft)]
    pub draft: Option<(Method, u64)>,
    /// Chance that a drafted token is accepted, 0 to 1 [default: as published]
    #[arg(long, value_name = "SHARE", requires = "draft", value_parser = share)]
    pub acceptance: Option<f64>,
    /// Take the published acceptance on this kind of text [default: the workload's, else mixed]
    #[arg(long, value_name = "TEXT", requires = "draft", conflicts_with = "acceptance")]
    pub text: Option<Text>,
}

impl DraftArgs {
    /// What they ask for, on the text of a workload unless they name another.
    pub(super) fn drafting(&self, usual: Option<Text>) -> Option<Drafting> {
        let (method, tokens) = self.draft?;
        let text = self.text.or(usual).unwrap_or(Text::Mixed);
        Some(Drafting { method, tokens, text, acceptance: self.acceptance })
    }
}

/// Reads who drafts and how far.
fn draft(text: &str) -> Result<(Method, u64), String> {
    // The number alone is that of the model's own layers.
    let text = if text.parse::<u64>().is_ok() { &format!("{}:{text}", Method::Mtp) } else { text };
    let (method, tokens) = text.split_once(':').map_or((text, None), |(m, t)| (m, Some(t)));
    let words: Vec<&str> = Method::ALL.iter().map(|method| method.word()).collect();
    let known = Method::from_word(method)
        .ok_or_else(|| format!("`{method}` does not draft; expected one of {}", words.join(", ")))?;
    let Some(tokens) = tokens else { return Ok((known, drafts().drafted)) };
    match tokens.parse() {
        Ok(count) if (1..=MOST).contains(&count) => Ok((known, count)),
        Ok(_) | Err(_) => Err(format!("`{tokens}` is no number of tokens from 1 to {MOST}")),
    }
}

/// Reads a chance.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err("a chance lies between 0 and 1".to_owned()),
    }
}

impl ValueEnum for Text {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.word()))
    }
}
