//! Where the project's files are.

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, MetadataCommand};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The workspace's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// What cargo knows of the workspace.
pub fn metadata() -> Result<&'static Metadata> {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    if let Some(metadata) = METADATA.get() {
        return Ok(metadata);
    }
    let metadata =
        MetadataCommand::new().current_dir(root()).exec().context("cannot read the workspace's metadata")?;
    Ok(METADATA.get_or_init(|| metadata))
}

/// Cargo's target folder.
pub fn target() -> Result<PathBuf> {
    Ok(metadata()?.target_directory.clone().into_std_path_buf())
}

/// The folder of built modules.
pub fn dist() -> PathBuf {
    root().join("dist")
}

/// The names of the filters, sorted: the folders of `filters/`.
pub fn filters() -> Result<Vec<String>> {
    names(&root().join("filters"), Path::is_dir)
}

/// The Envoy bootstraps, sorted, by the names of their files without `.yaml`.
pub fn bootstraps() -> Result<Vec<String>> {
    yaml(&root().join("envoy-configs"))
}

/// The YAML files of a folder, sorted, by their names without `.yaml`.
pub fn yaml(folder: &Path) -> Result<Vec<String>> {
    names(folder, |path| path.extension().is_some_and(|extension| extension == "yaml"))
}

/// The TOML files of a folder, sorted, by their names without `.toml`.
pub fn toml(folder: &Path) -> Result<Vec<String>> {
    names(folder, |path| path.extension().is_some_and(|extension| extension == "toml"))
}

fn names(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if wanted(&path)
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// A folder under the target folder, made if it is not there.
pub fn scratch(name: &str) -> Result<PathBuf> {
    let folder = target()?.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
