//! Recorded traffic: one line of a CSV file per request, with its time and its tokens.
//!
//! The file is read line by line and never held; what is kept is the traffic. Times are relative, so
//! an old trace is as good as a new one, and its date is told. Decided:
//!
//! - rows up to a minute late are put in order, as logs are written when a request ends; later ones
//!   are refused;
//! - silences are kept and told;
//! - requests without prompt or answer have failed and are left out and counted;
//! - a file tells its time in one form, of which the first row is the judge.
//!
//! Limit: each request is a session of its own, as published traces do not say which belong together.

mod columns;
mod moment;

use super::sample::{Coming, Extent, Run};
use super::spec::MOST_TOKENS;
use crate::catalogue::decode::{BadFile, Problem};
use crate::serving::traffic::{Class, Session, Traffic, Turn};
use crate::units::{Seconds, significant};
use columns::{Columns, cells};
use moment::{Form, date_of, moment};
use std::io::{self, BufRead, Read};
use std::ops::Range;
use thiserror::Error;

/// Requests taken at most.
const MOST_REQUESTS: usize = 1_000_000;
/// Bytes of the longest line.
const LONGEST_LINE: u64 = 65_536;
/// Problems told before reading ends.
const MOST_PROBLEMS: usize = 10;
/// Seconds a row may be late.
const LATE: f64 = 60.0;
/// Seconds of a silence worth telling, where it is a hundred times the mean interval as well.
const SILENCE: f64 = 600.0;

/// Traffic that was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The file as the user knows it.
    pub name: String,
    /// Whose columns it has: `Azure`, `BurstGPT`, `vidur`.
    pub format: Option<&'static str>,
    /// Day of the first request, where times are dates.
    pub date: Option<String>,
    /// The requests, each a session, from the first on.
    pub traffic: Traffic,
    /// What a reader should know: silences, what was left out or put in order.
    pub notes: Vec<String>,
}

/// Why a trace could not be read.
#[derive(Debug, Error)]
pub enum TraceError {
    /// Lines that cannot be, each with its number.
    #[error("{} problem(s) in the trace", .0.len())]
    Bad(Vec<BadFile>),
    /// The file itself.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a trace.
///
/// # Errors
/// Bad lines with their numbers, ten at most, or what the system said.
pub fn read_trace(name: &str, mut reader: impl BufRead) -> Result<Trace, TraceError> {
    let mut taking = Taking::new(name);
    let mut bytes = Vec::new();
    let mut ended = false;
    while !ended && taking.bad.len() < MOST_PROBLEMS {
        bytes.clear();
        taking.line += 1;
        if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if bytes.len() as u64 == LONGEST_LINE && bytes.last() != Some(&b'\n') {
            let shown = String::from_utf8_lossy(&bytes[..80]).into_owned();
            taking.fault(&shown, 0..0, "the line is longer than 64 KiB", "expected one request per line");
            break;
        }
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end_matches(['\n', '\r']).trim_start_matches('\u{feff}');
        if !line.trim().is_empty() && !line.starts_with('#') {
            ended = taking.take(line);
        }
    }
    taking.trace()
}

/// A trace while it is read.
struct Taking<'n> {
    name: &'n str,
    line: usize,
    columns: Option<Columns>,
    form: Option<Form>,
    first: f64,
    latest: f64,
    sessions: Vec<Session>,
    bad: Vec<BadFile>,
    late: usize,
    failed: usize,
    silences: usize,
    longest: (f64, usize),
    cut: bool,
}

impl<'n> Taking<'n> {
    fn new(name: &'n str) -> Self {
        Self {
            name,
            line: 0,
            columns: None,
            form: None,
            first: 0.0,
            latest: 0.0,
            sessions: Vec::new(),
            bad: Vec::new(),
            late: 0,
            failed: 0,
            silences: 0,
            longest: (0.0, 0),
            cut: false,
        }
    }

    fn fault(
        &mut self,
        line: &str,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) {
        self.told(line, vec![Problem { message: message.into(), span, label: label.into(), hint: None }]);
    }

    fn told(&mut self, line: &str, problems: Vec<Problem>) {
        let file = self.name.to_owned();
        self.bad.push(BadFile { file, text: line.to_owned(), first_line: self.line, problems });
    }

    /// Takes a line; whether it was the last to take.
    fn take(&mut self, line: &str) -> bool {
        let Some(columns) = self.columns else {
            match Columns::of(line) {
                Ok(columns) => self.columns = Some(columns),
                Err(problems) => self.told(line, problems),
            }
            return !self.bad.is_empty();
        };
        if self.sessions.len() == MOST_REQUESTS {
            self.cut = true;
            return true;
        }
        if let Err((span, message, label)) = self.request(line, &columns) {
            self.fault(line, span, message, label);
        }
        false
    }

    /// Takes a request.
    fn request(&mut self, line: &str, columns: &Columns) -> Result<(), (Range<usize>, String, String)> {
        let row = cells(line, columns.separator);
        if row.len() != columns.count {
            let message = format!("a row of {} cells under a header of {}", row.len(), columns.count);
            return Err((0..line.len(), message, "this row".to_owned()));
        }
        let (text, span) = row[columns.time].clone();
        let expected = "expected seconds, or a date such as 2023-11-16 18:17:03.98".to_owned();
        let Some((seconds, form)) = moment(text, columns.unit) else {
            return Err((span, format!("`{text}` is no time"), expected));
        };
        if seconds < 0.0 {
            return Err((span, format!("the time `{text}` is negative"), expected));
        }
        let first = *self.form.get_or_insert(form);
        if first != form {
            let message =
                format!("`{text}` reads as {}, and the first row has {}", form.word(), first.word());
            return Err((span, message, "a trace tells its time in one form".to_owned()));
        }
        let input = tokens(&row[columns.input], "prompt")?;
        let output = tokens(&row[columns.output], "answer")?;
        if self.sessions.is_empty() {
            (self.first, self.latest) = (seconds, seconds);
        }
        if self.latest - seconds > LATE {
            let late = Seconds::new(self.latest - seconds);
            let message = format!("the time runs back by {late}");
            return Err((
                span,
                message,
                format!("rows up to {LATE} s late are put in order, not later ones"),
            ));
        }
        if input == 0 || output == 0 {
            self.failed += 1;
            return Ok(());
        }
        if seconds < self.latest {
            self.late += 1;
        } else if seconds - self.latest > SILENCE {
            self.silences += 1;
            if seconds - self.latest > self.longest.0 {
                self.longest = (seconds - self.latest, self.line);
            }
        }
        self.first = self.first.min(seconds);
        self.latest = self.latest.max(seconds);
        let turn = Turn { after: 0.0, input, repeated: 0, output };
        self.sessions.push(Session { start: seconds, class: 0, turns: vec![turn] });
        Ok(())
    }

    /// What was taken.
    fn trace(mut self) -> Result<Trace, TraceError> {
        if self.bad.is_empty() && self.sessions.is_empty() {
            let message = match (self.columns.is_some(), self.failed) {
                (false, _) => "the trace is empty".to_owned(),
                (true, 0) => "the trace has a header and no requests".to_owned(),
                (true, failed) => format!("none of the {failed} requests has both a prompt and an answer"),
            };
            self.line = 1;
            self.fault("", 0..0, message, "expected a header, and a line for each request");
        }
        if !self.bad.is_empty() {
            return Err(TraceError::Bad(self.bad));
        }
        for session in &mut self.sessions {
            session.start -= self.first;
        }
        self.sessions.sort_by(|a, b| a.start.total_cmp(&b.start));
        let format = self.columns.and_then(|columns| columns.format);
        let date = (self.form != Some(Form::Relative)).then(|| date_of(self.first));
        let class = Class { name: self.name.to_owned(), common: 0, priority: 0 };
        let notes = self.notes(date.as_deref());
        let traffic = Traffic { classes: vec![class], sessions: self.sessions, users: None };
        Ok(Trace { name: self.name.to_owned(), format, date, traffic, notes })
    }

    fn notes(&self, date: Option<&str>) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(date) = date {
            notes.push(format!("recorded from {date} on; times are taken from its first request"));
        }
        let interval = (self.latest - self.first) / self.sessions.len() as f64;
        let (longest, line) = self.longest;
        if self.silences > 0 && longest > 100.0 * interval {
            let minutes = significant(longest / 60.0);
            let several = match self.silences {
                1 => String::new(),
                count => format!(", the longest of {count} above 10 min"),
            };
            notes.push(format!("a silence of {minutes} min before line {line} is kept{several}"));
        }
        if self.failed > 0 {
            notes.push(format!("left out as failed, without prompt or answer: {}", self.failed));
        }
        if self.late > 0 {
            notes.push(format!("put in order, up to a minute late: {}", self.late));
        }
        if self.cut {
            notes.push(format!("only the first {MOST_REQUESTS} requests are taken"));
        }
        notes
    }
}

/// Reads a number of tokens.
fn tokens((text, span): &(&str, Range<usize>), what: &str) -> Result<u32, (Range<usize>, String, String)> {
    let expected = format!("expected whole tokens, at most {MOST_TOKENS}");
    let wrong = |message: String| Err((span.clone(), message, expected.clone()));
    match text.parse::<f64>() {
        Ok(number) if number < 0.0 => wrong(format!("the {what} of `{text}` tokens is negative")),
        Ok(number) if number > MOST_TOKENS => wrong(format!("the {what} of `{text}` tokens is absurd")),
        Ok(number) if number.fract() == 0.0 => Ok(number as u32),
        Ok(_) | Err(_) => wrong(format!("`{text}` is no number of tokens")),
    }
}

impl Trace {
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        let last = self.traffic.sessions.last().map_or(0.0, |session| session.start);
        if last > 0.0 { self.traffic.sessions.len() as f64 / last } else { f64::INFINITY }
    }

    /// Its requests that fit into `limit` tokens: at another rate by stretching its time, or one after
    /// the other for users. A trace is not repeated: a longer run ends with it.
    pub fn run(&self, run: Run, limit: Option<u64>) -> Traffic {
        let mut traffic = self.within(limit);
        let count = |requests: u64| usize::try_from(requests).unwrap_or(usize::MAX);
        match run {
            Run::Users { users, requests } => {
                traffic.sessions.truncate(count(requests));
                traffic.users = Some(users);
            }
            Run::Open { coming: Coming::Sessions(rate) | Coming::Requests(rate), extent, .. } => {
                let stretch = if self.rate().is_finite() { self.rate() / rate } else { 1.0 };
                for session in &mut traffic.sessions {
                    session.start *= stretch;
                }
                match extent {
                    Extent::Seconds(most) => traffic.sessions.retain(|session| session.start < most),
                    Extent::Requests(requests) => traffic.sessions.truncate(count(requests)),
                }
            }
        }
        traffic
    }

    /// Its requests that fit into `limit` tokens.
    pub fn within(&self, limit: Option<u64>) -> Traffic {
        let limit = limit.unwrap_or(u64::MAX);
        let fits = |session: &&Session| {
            session.turns.iter().all(|turn| u64::from(turn.input) + u64::from(turn.output) <= limit)
        };
        let sessions = self.traffic.sessions.iter().filter(fits).cloned().collect();
        Traffic { classes: self.traffic.classes.clone(), sessions, users: self.traffic.users }
    }
}

#[cfg(test)]
mod tests;
