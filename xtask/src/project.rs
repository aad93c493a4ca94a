//! Where the project's files are.

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, MetadataCommand};
use std::{
    fs,
    os::unix::fs::symlink,
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

/// Copies a folder, without what has one of some names. A symbolic link is copied as one.
pub fn copy_folder(from: &Path, to: &Path, without: &[&str]) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if without.iter().any(|other| name == *other) {
            continue;
        }
        let (kind, to) = (entry.file_type()?, to.join(name));
        if kind.is_dir() {
            copy_folder(&path, &to, without)?;
            continue;
        }
        let copied = if kind.is_symlink() {
            fs::read_link(&path).and_then(|target| symlink(target, &to))
        } else {
            fs::copy(&path, &to).map(drop)
        };
        copied.with_context(|| format!("cannot copy {} to {}", path.display(), to.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{copy_folder, scratch};
    use std::{fs, os::unix::fs::symlink, path::Path};

    #[test]
    fn a_folder_is_copied_with_its_links_and_without_what_is_left_out() {
        let folder = scratch("copy-folder").unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::create_dir_all(from.join("one/target")).unwrap();
        fs::write(from.join("one/text"), "text").unwrap();
        symlink("one", from.join("two")).unwrap();
        copy_folder(&from, &to, &["target"]).unwrap();
        assert_eq!(fs::read_link(to.join("two")).unwrap(), Path::new("one"));
        assert_eq!(fs::read_to_string(to.join("two/text")).unwrap(), "text");
        assert!(!to.join("one/target").exists());
    }
}
