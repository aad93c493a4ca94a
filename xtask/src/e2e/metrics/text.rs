//! Prometheus' text format.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;

/// What a page of metrics says.
#[derive(Debug)]
pub struct Exposition(Vec<(String, BTreeMap<String, String>, f64)>);

impl Exposition {
    /// Reads a page: it must be UTF-8, without NUL, and all of it samples or comments.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(text).context("the exposition is not in UTF-8")?;
        anyhow::ensure!(!text.contains('\0'), "there is a NUL in the exposition");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| sample(line).with_context(|| line.to_owned())).collect::<Result<_>>().map(Self)
    }

    /// The samples of a name, and how many there are.
    pub fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(other, ..)| other == name).count()
    }

    /// The sum of all samples of a name with these labels.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a test")]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let has = |all: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| all.get(*label).is_some_and(|got| got == value))
        };
        self.0
            .iter()
            .filter(|(other, all, _)| other == name && has(all))
            .map(|(.., value)| *value)
            .sum::<f64>() as u64
    }
}

fn sample(line: &str) -> Result<(String, BTreeMap<String, String>, f64)> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, behind) = rest.split_once("=\"").context("no label")?;
            let (value, behind) = quoted(behind)?;
            labels.insert(label.trim_start_matches(',').to_owned(), value);
            rest = behind;
        }
        rest = rest.trim_start_matches('}');
    }
    Ok((name.to_owned(), labels, rest.trim().parse()?))
}

/// The text up to the closing quote, without its escapes, and what is behind.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, char)) = chars.next() {
        match char {
            '"' => return Ok((value, text.get(place + 1..).unwrap_or_default())),
            '\\' => value.push(match chars.next().context("an escape of nothing")?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    anyhow::bail!("a label's value does not end")
}
