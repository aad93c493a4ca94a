//! Findings for people, and the list of rules.

use super::{
    report::Report,
    rule::{self, Rule},
};
use crate::finding::Severity;
use anstyle::{AnsiColor, Style};
use std::{collections::BTreeMap, fmt::Write as _};

/// Prints the findings by file, and a table by rule.
pub fn people(report: &Report, files: usize) {
    let (bold, dim) = (Style::new().bold(), Style::new().fg_color(Some(AnsiColor::BrightBlack.into())));
    let mut file = None;
    let mut told = Vec::new();
    for finding in &report.findings {
        if file != Some(&finding.file) {
            anstream::println!("{bold}{}{bold:#}", finding.file);
            file = Some(&finding.file);
        }
        let line = finding.line.unwrap_or(1);
        let field = finding.field.as_deref().map(|field| format!("{field}: ")).unwrap_or_default();
        anstream::println!("  {line}: {}[{}]: {field}{}", finding.severity, finding.id, finding.message);
        // What to do stands with the first finding of a rule, and not with the next ninety.
        if !told.contains(&finding.id) {
            told.push(finding.id);
            let fix = finding.fix.as_deref().unwrap_or_default();
            let page = finding.link.as_deref().unwrap_or_default();
            anstream::println!("      fix: {fix}\n      {dim}see: {page}{dim:#}");
        }
    }
    table(report);
    let count = |severity| report.count(severity);
    let suppressed: usize = report.suppressed.values().sum();
    let behind = if suppressed > 0 { format!(", {suppressed} suppressed") } else { String::new() };
    let infos = match count(Severity::Info) {
        0 => String::new(),
        infos => format!(", {infos} infos"),
    };
    anstream::println!(
        "{files} files checked: {} errors, {} warnings{infos}{behind}",
        count(Severity::Error),
        count(Severity::Warning)
    );
}

fn table(report: &Report) {
    let mut counts = BTreeMap::new();
    for finding in &report.findings {
        counts.entry((std::cmp::Reverse(finding.severity), finding.id)).or_insert((0, 0)).0 += 1;
    }
    for (id, number) in &report.suppressed {
        if let Ok(rule) = rule::named(id) {
            counts.entry((std::cmp::Reverse(rule.severity), rule.id)).or_insert((0, 0)).1 += number;
        }
    }
    if counts.is_empty() {
        return;
    }
    anstream::println!("\n{:26} {:8} {:>5} {:>10}", "rule", "severity", "found", "suppressed");
    for ((severity, id), (found, suppressed)) in counts {
        anstream::println!("{id:26} {:8} {found:>5} {suppressed:>10}", word(severity.0));
    }
    anstream::println!();
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// Prints every rule.
pub fn rules(as_json: bool) {
    if as_json {
        let one = |rule: &Rule| {
            serde_json::json!({
                "id": rule.id, "family": rule.family, "severity": rule.severity, "reason": rule.reason, "fix": rule.fix, "link": rule.link,
            })
        };
        let rules: Vec<_> = rule::all().map(one).collect();
        return anstream::println!("{}", serde_json::json!({ "rules": rules }));
    }
    let mut family = "";
    for rule in rule::all() {
        if rule.family != family {
            family = rule.family;
            anstream::println!("\n{family}");
        }
        anstream::println!(
            "  {} ({})\n      {}\n      fix: {}\n      see: {}",
            rule.id,
            rule.severity,
            rule.reason,
            rule.fix,
            rule.link
        );
    }
}

/// The rules as the docs have them.
pub fn markdown() -> String {
    let mut text = String::new();
    let mut family = "";
    for rule in rule::all() {
        if rule.family != family {
            family = rule.family;
            let _ = write!(text, "\n### {family}\n\n| rule | severity | why | fix |\n|---|---|---|---|\n");
        }
        let [reason, fix] = [rule.reason, rule.fix].map(|text| text.replace('|', "\\|"));
        let _ =
            writeln!(text, "| [`{}`]({}) | {} | {reason} | {fix} |", rule.id, rule.link, word(rule.severity));
    }
    text
}
