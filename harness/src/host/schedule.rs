//! What an exploration decides of a run: how callouts fail, and in which order their answers come; and what it learns of them.

use crate::{
    Bytes,
    scenario::{Cluster, Headers, Response},
};
use std::{collections::BTreeMap, fmt};

/// Longer than any client waits, in milliseconds.
const FOR_EVER_MS: u64 = 3_600_000;

/// How a callout fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The host refuses to send it: the cluster has no healthy host.
    Refused,
    /// Nothing listens there: Envoy answers 503.
    Unreachable,
    /// The answer takes longer than the callout's timeout: Envoy answers 504. Without a timeout it comes in an hour.
    Late,
    /// The connection is reset: the plugin is called without headers and without a body.
    Reset,
    /// The server answers 500.
    ServerError,
    /// The server answers 200 with an empty body.
    Empty,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Refused, Self::Unreachable, Self::Late, Self::Reset, Self::ServerError, Self::Empty];

    /// The cluster that fails like this.
    pub(super) fn cluster(self) -> Cluster {
        let answers = |status, delay_ms| Cluster::Answers {
            response: Response { status, ..Response::default() },
            delay_ms,
        };
        match self {
            Self::Refused => Cluster::Empty,
            Self::Unreachable | Self::Reset => Cluster::Refuses,
            Self::Late => answers(200, FOR_EVER_MS),
            Self::ServerError => answers(500, 0),
            Self::Empty => answers(200, 0),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "is refused when it is sent (no healthy host)",
            Self::Unreachable => "finds nobody who listens (503)",
            Self::Late => "gets no answer in time (504)",
            Self::Reset => "is reset (no headers, no body)",
            Self::ServerError => "is answered 500",
            Self::Empty => "is answered 200 with an empty body",
        })
    }
}

/// Which callouts fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Failing {
    /// None but those that a scenario lets fail.
    #[default]
    None,
    /// The one of this number, from 0.
    One(usize, Failure),
    /// All.
    All(Failure),
}

/// A run's decisions, and what came of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedule {
    /// Which of the answers that may come next does come, each time that there are several; the first one behind the last pick.
    pub(crate) picks: Vec<usize>,
    pub(crate) failing: Failing,
    /// How many answers there were to choose from, each time.
    pub(crate) choices: Vec<usize>,
    /// The callouts that were made, in words.
    pub(crate) made: Vec<String>,
    /// The numbers of those that were answered, in their order.
    pub(crate) answered: Vec<usize>,
    pub(crate) numbers: BTreeMap<(u64, u32), usize>,
}

impl Schedule {
    /// A callout is made: how it fails, if it does.
    pub(super) fn make(&mut self, what: String) -> Option<Failure> {
        let number = self.made.len();
        self.made.push(what);
        match self.failing {
            Failing::One(failing, failure) => (failing == number).then_some(failure),
            Failing::All(failure) => Some(failure),
            Failing::None => None,
        }
    }

    /// The callout that was made last has got a token of a VM.
    pub(super) fn number(&mut self, vm: u64, token: u32) {
        self.numbers.insert((vm, token), self.made.len().saturating_sub(1));
    }

    /// Which of so many answers comes.
    pub(super) fn pick(&mut self, of: usize) -> usize {
        if of < 2 {
            return 0;
        }
        let pick = self.picks.get(self.choices.len()).copied().unwrap_or(0);
        self.choices.push(of);
        pick.min(of - 1)
    }

    /// A callout is answered.
    pub(super) fn note(&mut self, vm: u64, token: u32) {
        self.answered.extend(self.numbers.get(&(vm, token)));
    }
}

/// A callout's request in words.
pub(super) fn words(cluster: &str, headers: &Headers) -> String {
    let value = |name: &str| {
        let found = headers.iter().find(|(other, _)| *other == Bytes::from(name));
        found.map(|(_, value)| value.lossy()).unwrap_or_default()
    };
    format!("{} {}{} to {cluster}", value(":method"), value(":authority"), value(":path"))
}
