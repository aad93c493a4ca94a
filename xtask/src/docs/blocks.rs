//! Blocks of JSON and TOML in pages: configurations of filters, and scenarios.

use serde_json::{Value, json};
use std::path::Path;

/// The blocks of a page in a language.
pub fn of<'p>(page: &'p str, language: &str) -> impl Iterator<Item = &'p str> {
    let fence = format!("\n```{language}\n");
    let blocks: Vec<&str> = page.split(fence.as_str()).skip(1).collect();
    blocks.into_iter().filter_map(|rest| rest.split("\n```").next())
}

/// The filter (or `pii`, the engine) that a block is a configuration of, and all of it: the page's own, or the one whose field it has. An experiment stands for a configuration with it.
pub fn configuration(page: &Path, block: &str) -> Option<(String, String)> {
    let value: Value = serde_json::from_str(block).ok()?;
    if page.components().any(|part| part.as_os_str() == "filters") {
        return Some((page.parent()?.file_name()?.to_string_lossy().into_owned(), block.to_owned()));
    }
    let (filter, whole) = match value.as_object()?.keys().map(String::as_str).collect::<Vec<_>>()[..] {
        ["experiments", ..] => ("ab-routing", value),
        ["pii"] => ("pii", value),
        _ if value["arms"].is_array() => ("ab-routing", json!({"experiments": [value]})),
        _ => return None,
    };
    Some((filter.to_owned(), whole.to_string()))
}
