//! What a module does, call by call.

use serde::Serialize;

/// The most steps that are kept, and the most bytes of each value.
const STEP_LIMIT: usize = 10_000;
const VALUE_LIMIT: usize = 400;

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
        /// What it was given in memory, in order, as text.
        given: Vec<String>,
        /// What it gave back in memory, as text.
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
        let place = self.open.last().copied();
        if let Some(Step::HostCall { given, got, .. }) = place.and_then(|place| self.steps.get_mut(place)) {
            let list = if is_given { given } else { got };
            list.push(shown(bytes));
        }
    }
}

/// Bytes as text; what is no text is escaped, and what is long is cut.
fn shown(bytes: &[u8]) -> String {
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
