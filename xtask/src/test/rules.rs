//! Which crate may depend on what.

use crate::e2e::Count;
use anyhow::{Result, ensure};
use cargo_metadata::Metadata;

/// Dependencies that one crate alone may have.
const RESERVED: [(&str, &str); 2] = [("proxy-wasm", "filter-kit"), ("wasmtime", "outrigger-harness")];

/// Checks the rules for every crate of the workspace.
///
/// # Errors
/// The first rule that is broken, and by whom.
pub fn check(metadata: &Metadata) -> Result<Count> {
    let mut count = Count::default();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let allowed = RESERVED.iter().find(|(name, _)| *name == dependency.name).map(|(_, owner)| *owner);
            let (package, name) = (package.name.as_str(), &dependency.name);
            ensure!(
                allowed.is_none_or(|owner| owner == package),
                "{package} depends on {name}, which only {} may",
                allowed.unwrap_or("")
            );
            let source = dependency.source.as_ref().map(ToString::to_string).unwrap_or_default();
            ensure!(!source.starts_with("git"), "{package} depends on {name} by git");
        }
        count.passed += 1;
    }
    Ok(count)
}
