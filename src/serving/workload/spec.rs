//! What a workload file says.

use super::law::Law;
use super::stated::Stated;
use crate::catalogue::decode::At;
use crate::serving::levels::{Contradiction, Levels, WrittenLevel, WrittenLevels};
use crate::serving::text::Text;
use crate::{kinds, table, words};

/// Tokens no prompt and no answer comes near; a length beyond is a mistake.
pub(super) const MOST_TOKENS: f64 = 1e7;
/// Requests no session comes near.
pub(super) const MOST_TURNS: f64 = 1e4;
/// Seconds nobody lets pass within a session.
pub(super) const LONGEST_THINK: f64 = 1e6;

table! {
    /// Who asks what, how often, and what they are promised.
    pub struct WorkloadSpec ("a workload") {
        /// Its name.
        pub name: String,
        /// What it is, in a sentence.
        pub about: String,
        /// What is written, by which drafts are accepted; mixed unless stated.
        pub text: Option<Text>,
        /// How sessions come; by chance unless stated.
        pub arrivals: Option<Stated<Arrivals>>,
        /// What users are promised unless asked otherwise.
        pub levels: Option<Stated<LevelSpec>>,
        /// Kinds of sessions.
        pub class as "class": Vec<ClassSpec>,
    }
}

table! {
    /// One kind of session: requests that follow each other.
    pub struct ClassSpec ("a class of sessions") {
        /// Its name.
        pub name: At<String>,
        /// Share of the sessions; all of them unless stated.
        pub share: Option<At<f64>>,
        /// Served before classes of lower priority, from 0 to 9; 0 unless stated.
        pub priority: Option<At<u64>>,
        /// First tokens of every prompt that are the same in all sessions: instructions, tools.
        pub common: Option<Stated<TokenCount>>,
        /// Requests of a session; one unless stated.
        pub turns: Option<Stated<Law>>,
        /// Tokens the first prompt adds to the common ones.
        pub first: Stated<Law>,
        /// Tokens each later prompt adds to what it repeats; as many as the first unless stated.
        pub next: Option<Stated<Law>>,
        /// Tokens of an answer.
        pub output: Stated<Law>,
        /// Seconds from the last token of an answer to the next request of the session; none unless
        /// stated.
        pub think_s: Option<Stated<Law>>,
        /// What a later prompt repeats of those before; all unless stated.
        pub history: Option<History>,
        /// Share of an answer that later prompts repeat, where thoughts are left out; all unless
        /// stated.
        pub answer_kept: Option<Stated<Share>>,
        /// Tokens of prompt and answer at which the history is dropped for a summary as long as a
        /// first prompt.
        pub limit: Option<Stated<TokenCount>>,
    }
}

table! {
    /// A number of tokens.
    pub struct TokenCount ("a number of tokens") {
        /// The tokens.
        pub tokens: u64,
    }
}

table! {
    /// A share.
    pub struct Share ("a share") {
        /// From 0 to 1.
        pub share: f64,
    }
}

words! {
    /// What a later prompt repeats.
    pub enum History ("history") {
        /// The prompts and answers before.
        All = "all",
        /// Nothing but what is common.
        None = "none",
    }
}

kinds! {
    /// How sessions come.
    pub enum Arrivals ("arrivals") {
        /// Each on its own.
        "poisson" => Poisson(Poisson),
        /// In bursts.
        "gamma" => Gamma(Bursts),
        /// By the hour of the day.
        "daily" => Daily(Daily),
        /// From users who begin the next session when the last is over.
        "users" => Users(Users),
    }
}

table! {
    /// Sessions that know nothing of each other.
    pub struct Poisson ("arrivals by chance") {}
}

table! {
    /// Sessions that come in bursts.
    pub struct Bursts ("arrivals in bursts") {
        /// Standard deviation of the time between two over its mean; 1 is chance.
        pub cv: f64,
    }
}

table! {
    /// Sessions that come by the hour of the day.
    pub struct Daily ("a daily curve") {
        /// Weight of each of 24 hours of the users' day, from midnight on.
        pub hours: Vec<f64>,
        /// Standard deviation over mean of the times between two within an hour; 1 unless stated.
        pub cv: Option<f64>,
    }
}

table! {
    /// Sessions of users.
    pub struct Users ("arrivals from users") {
        /// Seconds between two sessions of a user.
        pub pause_s: Law,
    }
}

table! {
    /// Service levels.
    pub struct LevelSpec ("service levels") {
        /// Time to the first token.
        pub ttft: Option<WrittenLevel>,
        /// Mean time per output token after the first.
        pub tpot: Option<WrittenLevel>,
        /// Time to the last token.
        pub end_to_end: Option<WrittenLevel>,
        /// Share of the requests that keep all of them.
        pub goodput: Option<f64>,
    }
}

impl LevelSpec {
    /// As they are written.
    pub const fn written(&self) -> WrittenLevels {
        WrittenLevels { ttft: self.ttft, tpot: self.tpot, end_to_end: self.end_to_end, goodput: self.goodput }
    }
}

impl WorkloadSpec {
    /// Kind of text.
    pub fn text(&self) -> Text {
        self.text.unwrap_or(Text::Mixed)
    }

    /// What users are promised.
    ///
    /// # Errors
    /// When the levels cannot all be meant, which a checked file rules out.
    pub fn levels(&self) -> Result<Levels, Contradiction> {
        self.written_levels().levels()
    }

    /// What users are promised, as it is written.
    pub fn written_levels(&self) -> WrittenLevels {
        self.levels.as_ref().map_or_else(WrittenLevels::default, |stated| stated.value.written())
    }

    /// Share of the sessions of each class; together one.
    pub fn shares(&self) -> Vec<f64> {
        let given: Vec<f64> = self.class.iter().map(|c| c.share.as_ref().map_or(1.0, |s| s.value)).collect();
        let total: f64 = given.iter().sum();
        given.iter().map(|share| share / total).collect()
    }
}

impl ClassSpec {
    /// Tokens all its prompts begin with.
    pub fn common(&self) -> u64 {
        self.common.as_ref().map_or(0, |common| common.value.tokens)
    }

    /// Every law of the class, by its key.
    pub fn laws(&self) -> impl Iterator<Item = (&'static str, &Stated<Law>)> {
        let optional = [("turns", &self.turns), ("next", &self.next), ("think_s", &self.think_s)];
        let stated = optional.into_iter().filter_map(|(key, law)| Some((key, law.as_ref()?)));
        [("first", &self.first), ("output", &self.output)].into_iter().chain(stated)
    }
}

impl Arrivals {
    /// Weight of each hour over the mean of the day.
    pub fn hours(&self) -> [f64; 24] {
        let Self::Daily(daily) = self else { return [1.0; 24] };
        let mean = daily.hours.iter().sum::<f64>() / 24.0;
        let mut hours = [0.0; 24];
        for (hour, weight) in hours.iter_mut().zip(&daily.hours) {
            *hour = weight / mean;
        }
        hours
    }

    /// Standard deviation over mean of the times between two sessions; 1 is chance.
    pub fn cv(&self) -> f64 {
        match self {
            Self::Poisson(_) | Self::Users(_) => 1.0,
            Self::Gamma(bursts) => bursts.cv,
            Self::Daily(daily) => daily.cv.unwrap_or(1.0),
        }
    }
}
