//! The files that are read: named ones, and those of folders.

use super::{report::Report, rule::rules};
use crate::document::{self, Node, SyntaxError};
use std::{
    fs,
    path::{Path, PathBuf},
};

rules! { "Input";
    SYNTAX "syntax" Error
        "what is no YAML or JSON is applied by nobody, and neither is what stands beside it in the document"
        fix "correct the line"
        "https://yaml.org/spec/1.2.2/";
    HELM_TEMPLATE "helm-template" Warning
        "a template is no manifest before it is rendered, so it was not checked"
        fix "check what is rendered: `helm template RELEASE CHART > FILE`"
        "https://helm.sh/docs/helm/helm_template/";
    UNKNOWN_DOCUMENT "unknown-document" Info
        "a document that is neither a manifest nor a bootstrap of Envoy was not checked"
        fix "if it is a plugin's configuration, name the file itself and its filter with --filter"
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/";
    UNKNOWN_RULE "unknown-rule" Warning
        "an annotation that suppresses a rule that there is not suppresses nothing"
        fix "name rules as `outrigger check --rules` lists them"
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/";
}

/// A document of a file.
#[derive(Debug)]
pub struct Document {
    /// The file as it was named.
    pub file: String,
    /// Whether the file itself was named, and not only its folder.
    pub named: bool,
    /// What stands in it.
    pub node: Node,
}

/// The files that are to be read, each with whether it was named itself.
///
/// # Errors
/// A file or folder that was named is not there.
pub fn files(named: &[PathBuf]) -> Result<Vec<(PathBuf, bool)>, String> {
    let mut found = Vec::new();
    for path in named {
        let error = |error| format!("{}: {error}", path.display());
        if fs::metadata(path).map_err(error)?.is_dir() {
            walk(path, &mut found).map_err(error)?;
        } else {
            found.push((path.clone(), true));
        }
    }
    Ok(found)
}

/// The manifests of a folder and the folders in it, by name; hidden ones are left out, and so are folders that a link leads to.
fn walk(folder: &Path, found: &mut Vec<(PathBuf, bool)>) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        if is_hidden {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(&path, found)?;
        } else if extension.is_some_and(|extension| ["yaml", "yml", "json"].contains(&extension.as_str())) {
            found.push((path, false));
        }
    }
    Ok(())
}

/// Reads a file's documents; what cannot be read is a finding, and the rest is read all the same.
pub fn read(path: &Path, named: bool, report: &mut Report, documents: &mut Vec<Document>) {
    let file = path.display().to_string();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return report.push(&SYNTAX, &file, 1, "", format!("cannot be read: {error}")),
    };
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}'),
        Err(error) => {
            let before = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
            let line = 1 + before.matches('\n').count();
            return report.push(&SYNTAX, &file, line, "", "must be UTF-8".to_owned());
        }
    };
    let mut keep = |nodes: Vec<Node>| {
        documents.extend(nodes.into_iter().map(|node| Document { file: file.clone(), named, node }));
    };
    if let Ok(nodes) = document::parse(text) {
        return keep(nodes);
    }
    // What a folder has in its charts is templates, and no mistake; a file that was named is meant to be read.
    if !named && text.contains("{{") {
        let line = text.lines().position(|line| line.contains("{{")).map_or(1, |line| line + 1);
        return report.push(&HELM_TEMPLATE, &file, line, "", "is a template that is not rendered".to_owned());
    }
    for (first, part) in parts(text) {
        match document::parse(&part).or_else(|error| document::parse(&closed(&part)).map_err(|_| error)) {
            Ok(nodes) => keep(nodes),
            Err(error) => report.push(&SYNTAX, &file, error.line.max(first), "", explain(&part, &error)),
        }
    }
}

/// The documents of a text, each with its first line and as many empty lines before it as make its lines the file's.
///
/// A line that begins with `---` and ends there or has a space behind it begins a document, whatever stands around it.
fn parts(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        let is_marker =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if is_marker {
            parts.push((index + 1, "\n".repeat(index)));
        }
        if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts.retain(|(_, part)| !part.trim().is_empty());
    parts
}

/// A text whose lines of closing brackets alone are indented: Kubernetes's reader takes them where YAML wants them further in.
fn closed(text: &str) -> String {
    let mut closed = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        let rest = line.trim();
        let is_closing = !rest.is_empty() && rest.chars().all(|letter| [']', '}', ','].contains(&letter));
        closed.push_str(if is_closing {
            "                                                            "
        } else {
            ""
        });
        closed.push_str(line);
        closed.push('\n');
    }
    closed
}

fn explain(text: &str, error: &SyntaxError) -> String {
    let line = text.lines().nth(error.line.saturating_sub(1)).unwrap_or_default();
    let before = text.lines().nth(error.line.saturating_sub(2)).unwrap_or_default();
    let indent =
        |line: &str| line.chars().take_while(|letter| letter.is_whitespace()).any(|letter| letter == '\t');
    let hint = if text.contains("{{") {
        " (it looks like a Helm template)"
    } else if indent(line) || indent(before) {
        " (YAML does not indent with tabs)"
    } else {
        ""
    };
    format!("must be YAML or JSON: {}{hint}", error.message)
}
