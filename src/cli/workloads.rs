//! `plan workloads`: who asks what, from which figures, and what follows.

use crate::cli::error::{CliError, Outcome};
use crate::cli::workload::resolve_workload;
use crate::report::columns::duration;
use crate::report::table::{cell, lines, thin, wrap};
use crate::serving::levels::{Level, Levels};
use crate::serving::profile::Profile;
use crate::serving::workload::{Arrivals, ClassSpec, Law, Source, Trace, WorkloadSpec, names, shipped};
use crate::units::{significant, tokens};
use clap::{Args, Subcommand};
use std::io::{self, Write};

/// What to do with workloads.
#[derive(Clone, Debug, Args)]
pub struct WorkloadsArgs {
    /// The action.
    #[command(subcommand)]
    pub action: Action,
}

/// The actions on workloads.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// List the workloads that come along, with the means of their requests
    List,
    /// Show one workload or trace: its figures, their sources, and the means that follow
    Show {
        /// The workload: a name, a workload file or a trace in CSV
        #[arg(value_name = "WORKLOAD")]
        workload: String,
    },
    /// Check workload files and traces and say what is wrong, where
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
    },
}

/// Runs the command.
///
/// # Errors
/// Bad input.
pub fn run(args: &WorkloadsArgs, width: usize, out: &mut dyn Write) -> Result<Outcome, CliError> {
    match &args.action {
        Action::List => list(width, out)?,
        Action::Show { workload } => match &resolve_workload(workload)? {
            Source::Spec(spec) => show(spec, width, out)?,
            Source::Trace(trace) => show_trace(trace, width, out)?,
        },
        Action::Check { files } => check(files, out)?,
    }
    Ok(Outcome::Answered)
}

/// One line for each that comes along.
fn list(width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut table = thin(width);
    let heads = ["name", "prompt", "repeated", "answer", "requests", "context", "TTFT", "TPOT"];
    table.set_header(heads.iter().enumerate().map(|(at, head)| cell(*head, at > 0)));
    for spec in names().into_iter().filter_map(|name| shipped(name).ok()) {
        let profile = spec.profile(None);
        let levels = spec.levels().unwrap_or_default();
        table.add_row(vec![
            cell(&spec.name, false),
            cell(format!("{:.0}", profile.input), true),
            cell(format!("{:.0} %", 100.0 * profile.kept / profile.input), true),
            cell(format!("{:.0}", profile.output), true),
            cell(significant(profile.turns), true),
            cell(tokens(profile.context), true),
            cell(levels.ttft.map_or_else(|| "–".to_owned(), level), true),
            cell(levels.tpot.map_or_else(|| "–".to_owned(), level), true),
        ]);
    }
    write!(out, "{}", lines(&table))?;
    let notes = "Means over requests, in tokens; requests of a session; what 99 of 100 requests stay within; \
                 longest times by default.";
    writeln!(out, "\n{}", wrap(notes, width, ""))
}

fn level(level: Level) -> String {
    format!("p{} {}", significant_share(level.share), duration(level.most_s.get()))
}

/// A percentile without trailing zeros.
fn significant_share(share: f64) -> f64 {
    (share * 1e4).round() / 100.0
}

/// Everything a file says and what follows.
fn show(spec: &WorkloadSpec, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut said = |text: &str, indent: &str| writeln!(out, "{}", wrap(text, width, indent));
    said(&format!("{}: {}.", spec.name, spec.about), "  ")?;
    said(&format!("Text for the acceptance of drafts: {}.", spec.text()), "  ")?;
    if let Some(arrivals) = &spec.arrivals {
        said(&format!("Sessions come {} ({}).", came(&arrivals.value), arrivals.ground()), "  ")?;
    }
    if let (Some(stated), Ok(levels)) = (&spec.levels, spec.levels()) {
        said(&format!("Levels: {} ({}).", promised(&levels), stated.ground()), "  ")?;
    }
    for (class, share) in spec.class.iter().zip(spec.shares()) {
        writeln!(out)?;
        show_class(class, share, width, out)?;
    }
    writeln!(out)?;
    means(&spec.profile(None), width, out)
}

fn show_class(class: &ClassSpec, share: f64, width: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}, {:.0} % of the sessions", class.name.value, 100.0 * share)?;
    let mut said = |key: &str, text: String, ground: &str| {
        writeln!(out, "  {}", wrap(&format!("{key}: {text} ({ground})"), width.saturating_sub(2), "    "))
    };
    if let Some(common) = &class.common {
        said("common", format!("{} tokens in all sessions", common.value.tokens), &common.ground())?;
    }
    for (key, law) in class.laws() {
        let unit = match key {
            "turns" => "requests",
            "think_s" => "s",
            _ => "tokens",
        };
        said(
            key,
            format!("{}, mean {} {unit}", told(&law.value), significant(law.value.mean())),
            &law.ground(),
        )?;
    }
    if let Some(kept) = &class.answer_kept {
        said("answer_kept", format!("{} of an answer", kept.value.share), &kept.ground())?;
    }
    if let Some(limit) = &class.limit {
        said("limit", format!("{} tokens", limit.value.tokens), &limit.ground())?;
    }
    Ok(())
}

/// A law in words.
fn told(law: &Law) -> String {
    match law {
        Law::Fixed(law) => format!("always {}", law.value),
        Law::Uniform(law) => format!("{} to {}", law.low, law.high),
        Law::Exponential(_) => "exponential".to_owned(),
        Law::Geometric(_) => "geometric".to_owned(),
        Law::Lognormal(_) | Law::Histogram(_) => {
            let quantiles = law.percentiles();
            let kind = if matches!(law, Law::Histogram(_)) { "histogram" } else { "lognormal" };
            let [median, upper] = quantiles.map(significant);
            format!("{kind}, median {median}, 95th percentile {upper}")
        }
    }
}

fn came(arrivals: &Arrivals) -> String {
    match arrivals {
        Arrivals::Poisson(_) => "by chance".to_owned(),
        Arrivals::Gamma(bursts) => format!("in bursts, cv {}", bursts.cv),
        Arrivals::Daily(_) => {
            let hours = arrivals.hours();
            let busiest = hours.iter().copied().fold(0.0, f64::max);
            let at = hours.iter().position(|weight| *weight >= busiest).unwrap_or(0);
            format!("by the hour of the day, {} times the mean at {at} o'clock", significant(busiest))
        }
        Arrivals::Users(users) => {
            format!("from users who pause {} s in the mean", significant(users.pause_s.mean()))
        }
    }
}

fn promised(levels: &Levels) -> String {
    let times = [("TTFT", levels.ttft), ("TPOT", levels.tpot), ("end to end", levels.end_to_end)];
    let times = times.into_iter().filter_map(|(name, time)| Some(format!("{name} {}", level(time?))));
    let goodput = levels.goodput.map(|share| format!("{} % keep all", significant_share(share)));
    times.chain(goodput).collect::<Vec<_>>().join(", ")
}

fn show_trace(trace: &Trace, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let sessions = &trace.traffic.sessions;
    let seconds = sessions.last().map_or(0.0, |session| session.start);
    let format = trace.format.map_or_else(String::new, |format| format!(", columns of {format}"));
    let summary = format!(
        "{}: {} requests in {}, {} per second{format}.",
        trace.name,
        sessions.len(),
        duration(seconds),
        significant(trace.rate())
    );
    writeln!(out, "{}", wrap(&summary, width, "  "))?;
    for note in &trace.notes {
        writeln!(out, "{}", wrap(&format!("· {note}"), width, "  "))?;
    }
    if let Some(profile) = Profile::of(&trace.traffic) {
        writeln!(out)?;
        means(&profile, width, out)?;
    }
    Ok(())
}

/// What follows for requests.
fn means(profile: &Profile, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let text = format!(
        "A mean request: a prompt of {:.0} tokens, {:.0} of them in a cache that keeps every history ({:.0} \
         in one that keeps only what is common), an answer of {:.0}; {} requests per session, {} between an \
         answer and the next; 99 of 100 stay within {} tokens.",
        profile.input,
        profile.kept,
        profile.common,
        profile.output,
        significant(profile.turns),
        duration(profile.think),
        profile.context,
    );
    writeln!(out, "{}", wrap(&text, width, "  "))
}

/// Reads every file before reporting, so that one run shows all problems.
fn check(files: &[String], out: &mut dyn Write) -> Result<(), CliError> {
    let mut bad = Vec::new();
    for file in files {
        match resolve_workload(file) {
            Ok(Source::Spec(spec)) => writeln!(out, "{file}: {} is sound", spec.name)?,
            Ok(Source::Trace(trace)) => {
                writeln!(out, "{file}: {} requests are sound", trace.traffic.sessions.len())?;
                for note in &trace.notes {
                    writeln!(out, "  {note}")?;
                }
            }
            Err(CliError::Files(problems)) => bad.extend(problems),
            Err(error) => return Err(error),
        }
    }
    if bad.is_empty() { Ok(()) } else { Err(CliError::Files(bad)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(action: Action) -> String {
        let mut out = Vec::new();
        run(&WorkloadsArgs { action }, 100, &mut out).unwrap_or_else(|error| panic!("{error}"));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_workload_is_listed_and_shows_its_sources() {
        let listed = answer(Action::List);
        for name in names() {
            assert!(listed.contains(name), "{listed}");
            let shown = answer(Action::Show { workload: name.to_owned() });
            assert!(shown.contains("assumed:") && shown.contains("A mean request"), "{shown}");
            assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
        }
    }

    #[test]
    fn traces_show_their_rate_and_check_tells_their_notes() {
        let trace = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/workloads/trace.csv");
        let shown = answer(Action::Show { workload: trace.to_owned() });
        assert!(shown.contains("240 requests") && shown.contains("Azure"), "{shown}");
        assert!(answer(Action::Check { files: vec![trace.to_owned()] }).contains("recorded from 2026-01-15"));
    }
}
