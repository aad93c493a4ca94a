//! Which crate may depend on what, and where what is dangerous may stand.

use crate::{e2e::Count, project};
use anyhow::{Context as _, Result, ensure};
use cargo_metadata::Metadata;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Dependencies that some crates alone may have. MACs are made in one place for signatures and in one for tokens: `xtask` forges them.
const RESERVED: [(&str, &[&str]); 3] = [
    ("proxy-wasm", &["filter-kit"]),
    ("wasmtime", &["outrigger-harness"]),
    ("hmac", &["filter-kit", "pii", "xtask"]),
];

/// The files with a MAC, of what runs in a proxy. Signatures are compared in the first alone, in constant time; tokens are never compared.
const MACS: [&str; 2] = ["filter-kit/src/secret.rs", "pii/src/operator.rs"];

/// The files with `unsafe`, each of which SECURITY.md names.
const UNSAFE: [&str; 10] = [
    "filter-kit/src/shell/abi.rs",
    "filter-kit/src/shell/export.rs",
    "fuzz/src/module.rs",
    "harness/probe/src/calls.rs",
    "harness/probe/src/exports.rs",
    "harness/probe/src/lib.rs",
    "harness/probe/src/state.rs",
    "harness/src/host/cache.rs",
    "pii/examples/size_with.rs",
    "pii/examples/size_without.rs",
];
/// Those with `unsafe` in tests.
const UNSAFE_TESTS: [&str; 2] = ["filter-kit/src/shell/abi/tests.rs", "pii/tests/allocations.rs"];

/// Checks the rules for every crate of the workspace.
///
/// # Errors
/// The first rule that is broken, and by whom.
pub fn check(metadata: &Metadata) -> Result<Count> {
    let mut count = Count::default();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let allowed =
                RESERVED.iter().find(|(name, _)| *name == dependency.name).map(|(_, owners)| *owners);
            let (package, name) = (package.name.as_str(), &dependency.name);
            ensure!(
                allowed.is_none_or(|owners| owners.contains(&package)),
                "{package} depends on {name}, which only {} may",
                allowed.unwrap_or_default().join(", ")
            );
            let source = dependency.source.as_ref().map(ToString::to_string).unwrap_or_default();
            ensure!(!source.starts_with("git"), "{package} depends on {name} by git");
        }
        count.passed += 1;
    }
    let mut files = Vec::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().context("a manifest has no folder")?;
        sources(folder.as_std_path(), &mut files)?;
    }
    ensure!(files.len() > 100, "only {} files of Rust were found", files.len());
    let security = fs::read_to_string(project::root().join("SECURITY.md"))?;
    let mut unsafe_files = Vec::new();
    for file in &files {
        let name = file.strip_prefix(project::root())?.to_string_lossy().into_owned();
        let text = fs::read_to_string(file)?;
        // This file has the words that it looks for.
        if name == file!() {
            continue;
        }
        if has_unsafe(&text) {
            ensure!(
                UNSAFE.iter().chain(&UNSAFE_TESTS).any(|known| *known == name),
                "{name} has unsafe, and is none of the files that may"
            );
            ensure!(security.contains(&name), "SECURITY.md does not name {name}, which has unsafe");
            unsafe_files.push(name.clone());
        }
        let is_of_tests = name.starts_with("xtask/");
        ensure!(
            !has_mac(&text) || is_of_tests || MACS.contains(&&*name),
            "{name} makes or compares a MAC: filter_kit::Secret does"
        );
    }
    for known in UNSAFE.iter().chain(&UNSAFE_TESTS) {
        ensure!(
            unsafe_files.iter().any(|name| name == known),
            "{known} has no unsafe any more: take it off the list"
        );
    }
    count.passed += 2;
    Ok(count)
}

/// The files of Rust in a folder of a crate, but for those of its build.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_built = path.file_name().is_some_and(|name| name == "target" || name == "corpus");
        if path.is_dir() && !is_built {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && !files.contains(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// Whether a text of Rust has a block, function, implementation or attribute that is unsafe, or lets one be.
fn has_unsafe(text: &str) -> bool {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code: Vec<&str> = code.filter(|line| !line.contains("forbid(unsafe_code)")).collect();
    let words =
        ["unsafe_code", "unsafe {", "unsafe fn", "unsafe impl", "unsafe trait", "unsafe extern", "[unsafe("];
    code.iter().any(|line| words.iter().any(|word| line.contains(word)))
}

/// Whether a text of Rust makes a MAC or looks into one.
fn has_mac(text: &str) -> bool {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.into_iter().any(|line| {
        ["use hmac", "hmac::", "Hmac<", "verify_slice", "verify_truncated"]
            .iter()
            .any(|word| line.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::{has_mac, has_unsafe};

    #[test]
    fn what_is_unsafe_is_found() {
        for text in [
            "fn f() { unsafe { g() } }",
            "unsafe impl Sync for A {}",
            "#![allow(unsafe_code)]",
            "#[expect(\n    unsafe_code,\n    reason = \"x\"\n)]",
            "#[unsafe(no_mangle)]",
            "pub unsafe fn f() {}",
        ] {
            assert!(has_unsafe(text), "{text}");
        }
        for text in ["// unsafe { }", "#![forbid(unsafe_code)]", "let not_unsafe = 1;"] {
            assert!(!has_unsafe(text), "{text}");
        }
    }

    #[test]
    fn a_mac_is_found() {
        assert!(has_mac("use hmac::{Hmac, Mac as _};") && has_mac("mac.verify_slice(&tag)"));
        assert!(!has_mac("// hmac::Hmac") && !has_mac("let machine = 1;"));
    }
}
