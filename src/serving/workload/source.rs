//! A workload wherever it comes from: laws of chance, or a recording.

use super::sample::Run;
use super::spec::WorkloadSpec;
use super::trace::Trace;
use crate::serving::levels::WrittenLevels;
use crate::serving::profile::Profile;
use crate::serving::text::Text;
use crate::serving::traffic::Traffic;

/// Where requests come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Laws of chance.
    Spec(Box<WorkloadSpec>),
    /// A recording.
    Trace(Box<Trace>),
}

impl Source {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Spec(spec) => &spec.name,
            Self::Trace(trace) => &trace.name,
        }
    }

    /// Kind of text; mixed where nobody says.
    pub fn text(&self) -> Text {
        match self {
            Self::Spec(spec) => spec.text(),
            Self::Trace(_) => Text::Mixed,
        }
    }

    /// What users are promised unless asked otherwise; a recording promises nothing.
    pub fn levels(&self) -> WrittenLevels {
        match self {
            Self::Spec(spec) => spec.written_levels(),
            Self::Trace(_) => WrittenLevels::default(),
        }
    }

    /// What closed forms need to know of requests that fit into `limit` tokens; none where none does.
    pub fn profile(&self, limit: Option<u64>) -> Option<Profile> {
        match self {
            Self::Spec(spec) => Some(spec.profile(limit)),
            Self::Trace(trace) => Profile::of(&trace.within(limit)),
        }
    }

    /// The requests of a run. A recording has no chance: its seed is ignored.
    pub fn traffic(&self, run: Run, limit: Option<u64>, seed: u64) -> Traffic {
        match self {
            Self::Spec(spec) => spec.traffic(run, limit, seed),
            Self::Trace(trace) => trace.run(run, limit),
        }
    }
}
