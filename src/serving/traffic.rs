//! Requests as they come to a deployment: what a workload becomes once its lengths and moments are drawn.

/// One request of a session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// Seconds from the last token of the turn before to this request; from the start of the session
    /// for the first.
    pub after: f64,
    /// Tokens of the prompt, those repeated from before included.
    pub input: u32,
    /// First tokens of the prompt that an earlier turn of the session held.
    pub repeated: u32,
    /// Tokens of the answer.
    pub output: u32,
}

/// Requests that follow each other: each is sent when the one before is answered, and repeats it.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Seconds from the start of the run to the session; where users are counted, ignored.
    pub start: f64,
    /// Index into [`Traffic::classes`].
    pub class: u16,
    /// In order.
    pub turns: Vec<Turn>,
}

/// What sessions of one kind have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// First tokens of every prompt that are the same in all sessions: instructions, tools.
    pub common: u32,
    /// Served before classes of lower priority.
    pub priority: u8,
}

/// All requests of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Kinds of sessions.
    pub classes: Vec<Class>,
    /// By rising start where they come by themselves; otherwise users take them in this order.
    pub sessions: Vec<Session>,
    /// Users, each with one session at a time, who begin the next when the last is over; absent where
    /// sessions start at moments of their own.
    pub users: Option<u32>,
}
