//! What `outrigger check` finds.

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Something that works and will be regretted.
    Warning,
    /// Something that will not work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, color) = match self {
            Self::Info => ("info", AnsiColor::Blue),
            Self::Warning => ("warning", AnsiColor::Yellow),
            Self::Error => ("error", AnsiColor::Red),
        };
        let style = Style::new().bold().fg_color(Some(color.into()));
        write!(f, "{style}{word}{style:#}")
    }
}

/// One finding. Every key is always there in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, in words with hyphens.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The file as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The field's path within the file's document.
    pub field: Option<String>,
    /// The rule that is broken and the value.
    pub message: String,
    /// What to do.
    pub fix: Option<String>,
    /// Where to read more.
    pub link: Option<String>,
}
