//! What the tests share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on has failed, and each test uses its part"
)]

use serde_json::Value;
use std::{fs, path::Path};

/// The lines of a published file of JSONL, which stands beside the repository and is never copied into it.
pub fn published(name: &str) -> Vec<Value> {
    text(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A published file.
pub fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/pii").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}: the published sample data must stand beside the repository", path.display())
    })
}
