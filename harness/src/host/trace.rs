//! What a module does, call by call.

use super::abi::read_pairs;
use serde::Serialize;
use std::fmt::{self, Write as _};

/// The most steps that are kept, and the most bytes of each value.
const STEP_LIMIT: usize = 10_000;
const VALUE_LIMIT: usize = 400;

/// Names of the ABI's statuses, in their order.
const STATUSES: [&str; 13] = [
    "ok",
    "not found",
    "bad argument",
    "serialization failure",
    "parse failure",
    "bad expression",
    "invalid memory access",
    "empty",
    "compare-and-swap mismatch",
    "result mismatch",
    "internal failure",
    "broken connection",
    "unimplemented",
];

/// A step of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The host calls the module.
    Callback {
        /// The export.
        name: String,
        /// Its arguments.
        arguments: Vec<u32>,
    },
    /// The module calls the host.
    HostCall {
        /// The function.
        name: &'static str,
        /// What it is about, and what it was given, as text.
        given: Vec<String>,
        /// What it gave back, as text.
        got: Vec<String>,
        /// Its answer: 0 is ok.
        status: u32,
    },
    /// The callback is over.
    Return {
        /// The export.
        name: String,
        /// What it returned; none where it returns nothing.
        value: Option<u32>,
        /// The instructions that it took, in wasmtime's units of fuel.
        instructions: u64,
    },
}

/// A line of a trace: what was called with what, what came of it, and its answer.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Callback { name, arguments } => {
                let arguments: Vec<String> = arguments.iter().map(u32::to_string).collect();
                write!(f, "{name}({})", arguments.join(", "))
            }
            Self::HostCall { name, given, got, status } => {
                let status = usize::try_from(*status).unwrap_or(usize::MAX);
                let word = STATUSES.get(status).copied().unwrap_or("?");
                write!(f, "  {name}({})", given.join(", "))?;
                if !got.is_empty() {
                    write!(f, " -> {}", got.join(" | "))?;
                }
                write!(f, " {word}")
            }
            Self::Return { value: Some(value), .. } => write!(f, "  returns {value}"),
            Self::Return { value: None, .. } => f.write_str("  returns"),
        }
    }
}

/// A trace as text, line by line: the same for the same run of the same module, wherever it was compiled.
pub(super) fn text(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let _ = writeln!(text, "{step}");
    }
    if steps.len() >= STEP_LIMIT {
        text.push_str("... (no more than these steps are kept)\n");
    }
    text
}

/// Steps that are being taken down.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    steps: Vec<Step>,
    /// The host calls that have begun and not ended.
    open: Vec<usize>,
}

impl Trace {
    pub(crate) fn take(&mut self) -> Vec<Step> {
        self.open.clear();
        std::mem::take(&mut self.steps)
    }

    pub(crate) fn add(&mut self, step: Step) {
        if self.steps.len() < STEP_LIMIT {
            self.steps.push(step);
        }
    }

    pub(crate) fn begin(&mut self, name: &'static str) {
        self.open.push(self.steps.len());
        self.add(Step::HostCall { name, given: Vec::new(), got: Vec::new(), status: 0 });
    }

    pub(crate) fn end(&mut self, answer: u32) {
        let place = self.open.pop();
        if let Some(Step::HostCall { status, .. }) = place.and_then(|place| self.steps.get_mut(place)) {
            *status = answer;
        }
    }

    /// Notes what the call under way was given, or gives.
    pub(crate) fn value(&mut self, bytes: &[u8], is_given: bool) {
        self.note(shown(bytes), is_given);
    }

    /// Notes a number, or what one stands for, that the call under way was given or gives.
    pub(crate) fn note(&mut self, text: impl Into<String>, is_given: bool) {
        if let Some((given, got)) = self.now() {
            let list = if is_given { given } else { got };
            list.push(text.into());
        }
    }

    /// Notes what the call under way is about.
    pub(crate) fn about(&mut self, text: impl Into<String>) {
        if let Some((given, _)) = self.now() {
            given.insert(0, text.into());
        }
    }

    /// What the call under way was given, and gives.
    fn now(&mut self) -> Option<(&mut Vec<String>, &mut Vec<String>)> {
        let place = self.open.last().copied()?;
        match self.steps.get_mut(place) {
            Some(Step::HostCall { given, got, .. }) => Some((given, got)),
            _ => None,
        }
    }
}

/// Bytes as text; a list of pairs as such, what is no text is escaped, and what is long is cut.
fn shown(bytes: &[u8]) -> String {
    let pairs = read_pairs(bytes);
    if !pairs.is_empty() {
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{}: {}", shown(&name.0), shown(&value.0))).collect();
        return format!("{{{}}}", pairs.join(", "));
    }
    let part = bytes.get(..VALUE_LIMIT).unwrap_or(bytes);
    let mut text = match std::str::from_utf8(part) {
        Ok(text) if !text.contains(|c: char| c.is_control() && c != '\0') => text.replace('\0', "."),
        _ => part.escape_ascii().to_string(),
    };
    if part.len() < bytes.len() {
        text.push('~');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Trace, shown};
    use crate::{Bytes, host::abi::write_pairs};

    #[test]
    fn a_call_is_a_line_with_what_it_was_given_and_gave() {
        let pairs = write_pairs(&vec![(Bytes::from(":path"), Bytes::from("/a"))]);
        assert_eq!(shown(&pairs), "{:path: /a}");
        assert_eq!([shown(b"a\0b"), shown(b"a\nb"), shown(b"\xff")], ["a.b", "a\\nb", "\\xff"]);
        let mut trace = Trace::default();
        trace.begin("proxy_get_header_map_value");
        trace.value(b":path", true);
        trace.about("request headers");
        trace.value(b"/a", false);
        trace.end(0);
        assert_eq!(
            trace.take()[0].to_string(),
            "  proxy_get_header_map_value(request headers, :path) -> /a ok"
        );
    }
}
