//! The one error that a filter can have: a configuration that it refuses.

use std::fmt::{self, Display};

/// A configuration that was refused: which field, which rule, which value.
///
/// Displayed as `experiments[0].arms[1].weight: must be 0..=10000, got -1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Box<Refusal>);

/// Behind a pointer, so that what can fail returns a word.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    path: String,
    message: String,
}

impl ConfigError {
    /// Makes an error about the field at `path`; the message is in lower case, without a full stop, and ends with the value where there is one.
    #[cold]
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Refusal { path: path.into(), message: message.into() }))
    }

    /// The same error, seen from the part of the configuration that holds the field.
    #[must_use]
    #[cold]
    #[inline(never)]
    pub fn inside(mut self, outer: &str) -> Self {
        let joint = if self.0.path.is_empty() || self.0.path.starts_with('[') { "" } else { "." };
        self.0.path = [outer, joint, &self.0.path].concat();
        self
    }

    /// The field's path, such as `experiments[0].name`; empty for the document as a whole.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The rule and the value.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.path.is_empty() {
            return f.write_str(&self.0.message);
        }
        write!(f, "{}: {}", self.0.path, self.0.message)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::ConfigError;

    #[test]
    fn paths_read_as_the_field_is_written() {
        let error = ConfigError::new("weight", "must be 0..=10000, got -1")
            .inside("arms[1]")
            .inside("experiments[0]");
        assert_eq!(error.to_string(), "experiments[0].arms[1].weight: must be 0..=10000, got -1");
        assert_eq!(ConfigError::new("[2]", "x").inside("match").to_string(), "match[2]: x");
        assert_eq!(ConfigError::new("", "x").to_string(), "x");
    }
}
