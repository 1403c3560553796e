//! The arguments of service levels.

use crate::cli::error::CliError;
use crate::serving::levels::{Levels, WrittenLevel, WrittenLevels};
use clap::Args;

/// What users are promised.
#[derive(Clone, Debug, Default, Args)]
pub struct LevelArgs {
    /// Longest time to the first token, such as 3s or p99:2s [default: the workload's; for 95 % of the requests]
    #[arg(long, value_name = "[pNN:]TIME", value_parser = level)]
    pub ttft: Option<WrittenLevel>,
    /// Longest mean time per output token, such as 40ms [default: the workload's; for 95 % of the requests]
    #[arg(long, value_name = "[pNN:]TIME", value_parser = level)]
    pub tpot: Option<WrittenLevel>,
    /// Longest time to the last token, such as 20s [default: the workload's; for 95 % of the requests]
    #[arg(long, value_name = "[pNN:]TIME", value_parser = level)]
    pub e2e: Option<WrittenLevel>,
    /// Share of the requests that must keep all of the times at once, such as 0.95 [default: the workload's]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub goodput: Option<f64>,
}

impl LevelArgs {
    /// The levels: those given, and of a workload those that do not contradict them.
    ///
    /// # Errors
    /// When those given cannot all be meant.
    pub fn levels(&self, usual: WrittenLevels) -> Result<Levels, CliError> {
        let given =
            WrittenLevels { ttft: self.ttft, tpot: self.tpot, end_to_end: self.e2e, goodput: self.goodput };
        let merged = WrittenLevels {
            ttft: given.ttft.or(usual.ttft),
            tpot: given.tpot.or(usual.tpot),
            end_to_end: given.end_to_end.or(usual.end_to_end),
            goodput: given.goodput.or(usual.goodput),
        };
        merged.levels().or_else(|_| given.levels()).map_err(|why| CliError::usage(why.to_string(), None))
    }
}

/// Reads a level.
fn level(text: &str) -> Result<WrittenLevel, String> {
    WrittenLevel::parse(text).map_err(|error| error.to_string())
}

/// Reads a share.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        Ok(_) | Err(_) => Err("a share lies between 0 and 1, such as 0.95".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: LevelArgs,
    }

    fn levels(words: &[&str], usual: WrittenLevels) -> Result<Levels, String> {
        let line = Line::try_parse_from([&["size"], words].concat()).map_err(|error| error.to_string())?;
        line.args.levels(usual).map_err(|error| error.to_string())
    }

    #[test]
    fn given_levels_stand_before_those_of_the_workload() {
        let level = |text: &str| Some(WrittenLevel::parse(text).unwrap());
        let chat =
            WrittenLevels { ttft: level("p95:1s"), tpot: level("p95:50ms"), ..WrittenLevels::default() };
        let found = levels(&["--ttft", "p99:3s"], chat).unwrap();
        assert_eq!(found.ttft, level("p99:3s").map(|l| l.level(0.0)));
        assert_eq!(found.tpot, level("p95:50ms").map(|l| l.level(0.0)));
        // The whole answer within half a second leaves no room for the workload's first token after one.
        let found = levels(&["--e2e", "500ms"], chat).unwrap();
        assert_eq!((found.ttft, found.end_to_end.is_some()), (None, true));
    }

    #[test]
    fn contradictions_and_nonsense_are_refused() {
        let none = WrittenLevels::default();
        for (words, told) in [
            (&["--ttft=3s", "--e2e=1s"][..], "before the first"),
            (&["--goodput=0.9"], "no time is asked for"),
            (&["--ttft=p90:2s", "--goodput=0.99"], "lets 10 % of the requests be late"),
            (&["--ttft=2s", "--goodput=95"], "between 0 and 1"),
            (&["--ttft=3"], "no unit"),
            (&["--tpot=-40ms"], "negative"),
            (&["--tpot=p0:40ms"], "no percentile"),
            (&["--ttft=3 fortnights"], "unknown unit"),
        ] {
            let error = levels(words, none).unwrap_err();
            assert!(error.contains(told), "{words:?}: {error}");
        }
    }
}
