//! The requests of a run, one after the other, and how far each is.

use super::super::traffic::{Class, Traffic};
use super::super::{Load, Policy};

/// One request: what is asked, then how far it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Request {
    pub session: u32,
    pub class: u16,
    pub priority: u8,
    /// Whether the session goes on after it.
    pub goes_on: bool,
    /// Whether its prompt is computed and only its answer is left to do.
    pub handed_over: bool,
    pub input: u32,
    pub output: u32,
    /// First tokens that were held before: of the session, or its own before it was put out.
    pub repeated: u32,
    /// Seconds from the answer before.
    pub after: f64,
    pub sent: f64,
    pub first: f64,
    /// Tokens of the answer before it was put out.
    pub done: u32,
    /// Tokens of prompt and answer in the cache when it began to decode, and the count of its replica then.
    pub held: u32,
    pub began: u64,
    /// When it was admitted, in order of its replica.
    pub admitted: u64,
    /// Blocks it shares with others of its class.
    pub shared: u32,
}

impl Request {
    /// Tokens of the answer so far, the first included, where its replica has counted `gained`.
    pub(super) const fn tokens(&self, gained: u64) -> u64 {
        self.done as u64 + 1 + (gained - self.began)
    }

    /// Tokens in the cache then.
    pub(super) const fn cached(&self, gained: u64) -> u64 {
        self.held as u64 + (gained - self.began)
    }

    /// Tokens in the cache, less the count of its replica.
    pub(super) const fn depth(&self) -> i64 {
        self.held as i64 - self.began.cast_signed()
    }

    /// Tokens of the answer so far while it does not decode.
    pub(super) const fn finished_tokens(&self) -> u64 {
        if self.handed_over { 1 } else { self.done as u64 }
    }

    /// Tokens of the prompt to compute, those of an answer cut off included.
    pub(super) const fn prompt(&self) -> u32 {
        self.input + self.done
    }

    /// Begins all over, on a replica that holds nothing of it.
    pub(super) fn begin_again(&mut self) {
        self.repeated = self.repeated.min(self.input);
        self.done = 0;
        self.handed_over = false;
    }
}

/// All requests of a run in the order of their sessions.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    pub all: Vec<Request>,
    /// When each session starts and its first request.
    pub sessions: Vec<(f64, u32)>,
    pub classes: Vec<Class>,
    pub users: Option<u32>,
    /// Whether the time counts in which users find no further session, as in public sweeps: where
    /// sessions are long, it shows a load that fades.
    pub counts_end: bool,
}

impl Requests {
    /// The requests of a traffic; sessions without turns are left out.
    pub(super) fn of(traffic: &Traffic) -> Self {
        let count = traffic.sessions.iter().map(|session| session.turns.len()).sum();
        let (mut all, mut sessions) = (Vec::with_capacity(count), Vec::with_capacity(traffic.sessions.len()));
        for session in traffic.sessions.iter().filter(|session| !session.turns.is_empty()) {
            let priority = traffic.classes.get(usize::from(session.class)).map_or(0, |class| class.priority);
            let number = sessions.len() as u32;
            // The first request of a session that comes by itself comes with it.
            sessions.push((session.start + session.turns[0].after, all.len() as u32));
            let last = session.turns.len() - 1;
            all.extend(session.turns.iter().enumerate().map(|(at, turn)| Request {
                session: number,
                class: session.class,
                priority,
                goes_on: at < last,
                input: turn.input.max(1),
                output: turn.output.max(1),
                repeated: turn.repeated.min(turn.input),
                after: turn.after,
                ..Request::default()
            }));
        }
        if traffic.users.is_none() {
            sessions.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Self { all, sessions, classes: traffic.classes.clone(), users: traffic.users, counts_end: false }
    }

    /// The requests of a load, each a session: of its users, or at given moments.
    pub(super) fn of_load(load: &Load, policy: &Policy, moments: Option<&[f64]>) -> Self {
        let count = moments.map_or(load.requests.max(1) as usize, <[f64]>::len);
        let inputs = load.lengths.inputs(load.input, count);
        let outputs = load.lengths.outputs(load.output, count, policy.mixed);
        let all = inputs.iter().zip(&outputs).zip(0..).map(|((input, output), session)| Request {
            session,
            input: *input as u32,
            output: *output as u32,
            ..Request::default()
        });
        let start = |at: usize| moments.and_then(|moments| moments.get(at)).copied().unwrap_or(0.0);
        Self {
            all: all.collect(),
            sessions: (0..count).map(|at| (start(at), at as u32)).collect(),
            classes: Vec::new(),
            users: moments.is_none().then(|| load.users.clamp(1, count as u64) as u32),
            counts_end: true,
        }
    }
}
