//! Why a filter decides as it does, clause by clause: for the tool, on hosts alone.

use std::borrow::Cow;

/// The most of a value that a reason shows, in bytes.
const SHOWN: usize = 80;

/// What a clause of a configuration says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Where it stands in the configuration, such as `experiments[0].match[1]`.
    pub path: String,
    /// Whether it holds; `None` where that cannot be said.
    pub result: Option<bool>,
    /// Why so.
    pub reason: String,
}

impl Clause {
    /// Makes a clause.
    pub fn new(path: impl Into<String>, result: impl Into<Option<bool>>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), result: result.into(), reason: reason.into() }
    }
}

/// A value as a reason shows it: between backticks, without control characters, and cut where it is long.
pub fn shown(value: &[u8]) -> String {
    let cut = value.get(..SHOWN).unwrap_or(value);
    let text: Cow<'_, str> = String::from_utf8_lossy(cut);
    let text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let rest = if cut.len() < value.len() { "..." } else { "" };
    ["`", &text, rest, "`"].concat()
}

/// Several values as a reason shows them: at most four, and how many more there are.
pub fn listed<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> String {
    const MOST: usize = 4;
    let all: Vec<String> = values.into_iter().map(shown).collect();
    let mut text = all.get(..all.len().min(MOST)).unwrap_or_default().join(", ");
    if all.len() > MOST {
        text.push_str(&[" and ", &(all.len() - MOST).to_string(), " more"].concat());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{listed, shown};

    #[test]
    fn values_are_shown_short_and_plain() {
        assert_eq!(shown(b"/a\n\xff"), "`/a\u{fffd}\u{fffd}`");
        assert_eq!(shown(&[b'x'; 100]).len(), 80 + 2 + 3);
        assert_eq!(listed(["a", "b", "c", "d", "e"].map(str::as_bytes)), "`a`, `b`, `c`, `d` and 1 more");
        assert_eq!(listed([]), "");
    }
}
