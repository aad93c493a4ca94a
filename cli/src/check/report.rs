//! What was found, and what was suppressed.

use super::{
    object::{At, Object},
    rule::Rule,
};
use crate::finding::{Finding, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// The findings of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// What was found, in the order of files and lines after [`Report::sort`].
    pub findings: Vec<Finding>,
    /// How many findings of each rule an annotation or `--ignore` suppressed.
    pub suppressed: BTreeMap<&'static str, usize>,
    /// The rules of `--ignore`.
    ignored: BTreeSet<String>,
}

impl Report {
    /// A report that leaves rules out.
    pub fn without(ignored: &[String]) -> Self {
        Self { ignored: ignored.iter().cloned().collect(), ..Self::default() }
    }

    /// Adds a finding at a place of an object.
    pub fn add(&mut self, object: &Object<'_>, rule: &'static Rule, at: &At<'_>, message: impl Into<String>) {
        self.add_to(object, rule, at.node.line, &at.path, message.into());
    }

    /// Adds a finding on a field, or on a path of fields, that need not be there; the line is the field's, or else the place's.
    pub fn missing(
        &mut self,
        object: &Object<'_>,
        rule: &'static Rule,
        at: &At<'_>,
        key: &str,
        message: impl Into<String>,
    ) {
        let field = if at.path.is_empty() { key.to_owned() } else { format!("{}.{key}", at.path) };
        self.add_to(
            object,
            rule,
            at.get(key).map_or(at.node.line, |at| at.node.line),
            &field,
            message.into(),
        );
    }

    /// Adds a finding on a field and a line of an object.
    pub fn add_to(
        &mut self,
        object: &Object<'_>,
        rule: &'static Rule,
        line: usize,
        field: &str,
        message: String,
    ) {
        if object.ignored().any(|id| id == rule.id) {
            *self.suppressed.entry(rule.id).or_default() += 1;
            return;
        }
        self.push(rule, object.file, line, field, message);
    }

    /// Adds a finding to a file, whatever is in it.
    pub fn push(&mut self, rule: &'static Rule, file: &str, line: usize, field: &str, message: String) {
        if self.ignored.contains(rule.id) {
            *self.suppressed.entry(rule.id).or_default() += 1;
            return;
        }
        self.findings.push(Finding {
            id: rule.id,
            severity: rule.severity,
            file: file.to_owned(),
            line: Some(line.max(1)),
            field: (!field.is_empty()).then(|| field.to_owned()),
            message,
            fix: Some(rule.fix.to_owned()),
            link: Some(rule.link.to_owned()),
        });
    }

    /// Sorts by file and line; two rules of one line stay in the order in which they were tried.
    pub fn sort(&mut self) {
        self.findings.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    }

    /// How many findings have a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}
