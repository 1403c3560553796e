//! What closed forms need to know of a traffic: means, and the spread of what differs.

use super::traffic::Traffic;

/// Means and spreads over the requests of a traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Mean tokens of a prompt.
    pub input: f64,
    /// Mean tokens of a prompt that are found in the cache where every session's history is kept.
    pub kept: f64,
    /// The same where only what all sessions have in common is.
    pub common: f64,
    /// Mean tokens of an answer.
    pub output: f64,
    /// Mean seconds from an answer to the next request of the same user.
    pub think: f64,
    /// Mean tokens a session holds when half of an answer is written.
    pub depth: f64,
    /// Tokens of prompt and answer that 99 of 100 requests stay within.
    pub context: u64,
    /// Requests of a session.
    pub turns: f64,
    /// Tokens of prompts that are not in the cache where histories are kept, ascending.
    fresh: Vec<u32>,
    /// Tokens of answers, ascending.
    answers: Vec<u32>,
}

/// Share of requests the longest context of a profile holds.
const CONTEXT_SHARE: f64 = 0.99;

impl Profile {
    /// Over all requests of a traffic; none where it has no request.
    pub fn of(traffic: &Traffic) -> Option<Self> {
        let count = traffic.sessions.iter().map(|session| session.turns.len()).sum::<usize>();
        if count == 0 {
            return None;
        }
        let (mut fresh, mut answers, mut contexts) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        let mut sum = Self {
            input: 0.0,
            kept: 0.0,
            common: 0.0,
            output: 0.0,
            think: 0.0,
            depth: 0.0,
            context: 0,
            turns: count as f64 / traffic.sessions.len() as f64,
            fresh: Vec::new(),
            answers: Vec::new(),
        };
        for session in &traffic.sessions {
            let common = traffic.classes.get(usize::from(session.class)).map_or(0, |class| class.common);
            for turn in &session.turns {
                // At least one token is new: an engine computes the last one again.
                let most = turn.input.saturating_sub(1);
                let (kept, common) = (turn.repeated.max(common).min(most), common.min(most));
                sum.input += f64::from(turn.input);
                sum.kept += f64::from(kept);
                sum.common += f64::from(common);
                sum.output += f64::from(turn.output);
                sum.think += turn.after;
                sum.depth += f64::from(turn.input) + f64::from(turn.output) / 2.0;
                fresh.push(turn.input - kept);
                answers.push(turn.output);
                contexts.push(u64::from(turn.input) + u64::from(turn.output));
            }
        }
        let mean = |total: f64| total / count as f64;
        fresh.sort_unstable();
        answers.sort_unstable();
        contexts.sort_unstable();
        Some(Self {
            input: mean(sum.input),
            kept: mean(sum.kept),
            common: mean(sum.common),
            output: mean(sum.output),
            think: mean(sum.think),
            depth: mean(sum.depth),
            context: contexts[at(CONTEXT_SHARE, count)],
            fresh,
            answers,
            ..sum
        })
    }

    /// Tokens found in the cache where a share of the sessions that return find their history.
    pub fn cached(&self, survival: f64) -> f64 {
        self.common + survival * (self.kept - self.common)
    }

    /// Tokens of a prompt that a share of the requests have at most to compute, where histories are kept.
    pub fn fresh_within(&self, share: f64) -> f64 {
        f64::from(self.fresh[at(share, self.fresh.len())])
    }

    /// Tokens of an answer that a share of the requests stay within.
    pub fn answer_within(&self, share: f64) -> f64 {
        f64::from(self.answers[at(share, self.answers.len())])
    }

    /// Squared coefficient of variation of the tokens to compute: their variance over the square of
    /// their mean.
    pub fn fresh_variation(&self) -> f64 {
        let count = self.fresh.len() as f64;
        let mean = self.fresh.iter().copied().map(f64::from).sum::<f64>() / count;
        let square = self.fresh.iter().map(|n| (f64::from(*n) - mean).powi(2)).sum::<f64>() / count;
        square / (mean * mean)
    }
}

/// Place of a quantile among so many sorted values.
fn at(share: f64, count: usize) -> usize {
    ((share * count as f64).ceil() as usize).clamp(1, count) - 1
}

#[cfg(test)]
mod tests {
    use super::super::traffic::{Class, Session, Turn};
    use super::*;

    #[test]
    fn means_by_hand() {
        let turn = |after, input, repeated, output| Turn { after, input, repeated, output };
        let traffic = Traffic {
            classes: vec![Class { name: "c".to_owned(), common: 100, priority: 0 }],
            sessions: vec![Session {
                start: 0.0,
                class: 0,
                // The second turn repeats prompt and answer of the first.
                turns: vec![turn(0.0, 300, 0, 50), turn(20.0, 450, 350, 150)],
            }],
            users: None,
        };
        let profile = Profile::of(&traffic).unwrap();
        assert!((profile.input - 375.0).abs() < 1e-9);
        // 100 of the instructions, then 350 of the history.
        assert!((profile.kept - 225.0).abs() < 1e-9);
        assert!((profile.common - 100.0).abs() < 1e-9);
        assert!((profile.cached(0.5) - 162.5).abs() < 1e-9);
        assert!((profile.think - 10.0).abs() < 1e-9);
        // 325 and 525.
        assert!((profile.depth - 425.0).abs() < 1e-9);
        assert_eq!(profile.context, 600);
        // 200 and 100 to compute: mean 150, variance 2500.
        assert!((profile.fresh_variation() - 2500.0 / 22_500.0).abs() < 1e-9);
        assert!((profile.fresh_within(0.5) - 100.0).abs() < 1e-9);
        assert!((profile.fresh_within(0.95) - 200.0).abs() < 1e-9);
        assert_eq!(Profile::of(&Traffic { sessions: Vec::new(), ..traffic }), None);
    }
}
