//! Blocks of JSON in pages: configurations of filters.

use serde_json::{Value, json};
use std::path::Path;

/// The blocks of a page.
pub fn blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("\n```json\n").skip(1).filter_map(|rest| rest.split("\n```").next())
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
