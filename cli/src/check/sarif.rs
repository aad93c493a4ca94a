//! Findings as SARIF 2.1.0, the format that code hosts show beside a change.

use super::{
    report::Report,
    rule::{self, Rule},
};
use crate::finding::{Finding, Severity};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The findings as a log of one run.
pub fn of(report: &Report) -> Value {
    let rules: Vec<_> = rule::all().collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "outrigger",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|rule| descriptor(rule)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": report.findings.iter().map(|finding| result(finding, &rules)).collect::<Vec<_>>(),
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn descriptor(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.reason },
        "help": { "text": format!("fix: {}", rule.fix) },
        "helpUri": rule.link,
        "defaultConfiguration": { "level": level(rule.severity) },
        "properties": { "tags": [rule.family] },
    })
}

fn result(finding: &Finding, rules: &[&Rule]) -> Value {
    let message = match &finding.field {
        Some(field) => format!("{field}: {}", finding.message),
        None => finding.message.clone(),
    };
    json!({
        "ruleId": finding.id,
        "ruleIndex": rules.iter().position(|rule| rule.id == finding.id),
        "level": level(finding.severity),
        "message": { "text": message },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(&finding.file) },
            "region": { "startLine": finding.line.unwrap_or(1) },
        }}],
    })
}

/// A path as a relative or absolute URI reference: what no path of a URI may have is escaped.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.trim_start_matches("./").replace('\\', "/").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}
