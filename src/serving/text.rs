//! Kinds of text: how predictable an answer is decides how much of a draft is accepted.

use crate::words;

words! {
    /// What is written.
    pub enum Text ("kind of text") {
        /// Conversation, stories.
        Chat = "chat",
        /// Programs.
        Coding = "coding",
        /// Mathematics and chains of thought.
        Reasoning = "reasoning",
        /// Summaries of what was given.
        Summarization = "summarization",
        /// Some of everything.
        Mixed = "mixed",
        /// Answers to random tokens, as benchmarks send them.
        Random = "random",
    }
}
