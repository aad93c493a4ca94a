//! Lints: mistakes of plugins that an exchange may survive, and that the harness tells of unless one is switched off by its name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What the harness looks for in everything that a plugin does. All are on by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lint {
    /// A host call about something that Envoy does not hold in this phase: it refuses, or answers as if there were nothing.
    CallOutOfPhase,
    /// A body that was changed without its `content-length`: what is beyond is cut off, for what is missing the other end waits in vain.
    ContentLength,
    /// A callback that said Pause, and nothing let the stream go on.
    PauseNotResumed,
    /// A local reply behind another one: Envoy drops it, or ends at it.
    SecondReply,
    /// A header that was changed when it had left already, or that of a request when its response had begun.
    LateHeaderChange,
    /// A counter, a sample or a value of shared data that was changed in `proxy_on_vm_start` or `proxy_on_configure`: they run 2+N times with N workers.
    /// To define a metric, to set a gauge and to make a value that was not there are fine.
    ConfigureEffect,
    /// Memory that each stream takes and none gives back.
    StreamMemory,
    /// A callout, or a gRPC call or stream, that a stream began and that is open when the stream has been deleted. One that was begun in the log or
    /// in `proxy_on_done` is fine, and an HTTP callout of a stream that its client has given up.
    CalloutAfterDelete,
}

impl Lint {
    /// All lints.
    pub const ALL: [Self; 8] = [
        Self::CallOutOfPhase,
        Self::ContentLength,
        Self::PauseNotResumed,
        Self::SecondReply,
        Self::LateHeaderChange,
        Self::ConfigureEffect,
        Self::StreamMemory,
        Self::CalloutAfterDelete,
    ];

    /// The name that switches it off.
    pub fn name(self) -> &'static str {
        match self {
            Self::CallOutOfPhase => "call-out-of-phase",
            Self::ContentLength => "content-length",
            Self::PauseNotResumed => "pause-not-resumed",
            Self::SecondReply => "second-reply",
            Self::LateHeaderChange => "late-header-change",
            Self::ConfigureEffect => "configure-effect",
            Self::StreamMemory => "stream-memory",
            Self::CalloutAfterDelete => "callout-after-delete",
        }
    }

    /// The lint of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lint| lint.name() == name)
    }

    /// The names of all lints, for a message.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a lint has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The lint.
    pub lint: Lint,
    /// The callback in which it was, or behind which it was found; none if it is of no callback.
    pub callback: String,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.lint)?;
        if !self.callback.is_empty() {
            write!(f, "{}: ", self.callback)?;
        }
        f.write_str(&self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::Lint;

    #[test]
    fn a_name_is_that_of_its_lint_and_the_one_in_json() {
        for lint in Lint::ALL {
            assert_eq!(Lint::named(lint.name()), Some(lint));
            assert_eq!(serde_json::to_value(lint).unwrap(), lint.name());
        }
        assert_eq!(Lint::named("no-such-lint"), None);
    }
}
