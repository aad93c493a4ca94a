//! An OCI image layout: a registry's content in a folder, which `skopeo copy oci:DIR:TAG docker://...` can push.

use super::package::Package;
use serde_json::{Value, json};
use std::{fs, io, path::Path};

/// What an index says a manifest is called.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Adds a package to the layout of a folder, which is made if it is not there. What had the tag before has it no more.
///
/// # Errors
/// The folder holds something else, or cannot be written.
pub fn add(folder: &Path, tag: &str, package: &Package) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    let blobs = folder.join("blobs/sha256");
    let mut index = read(folder)?;
    fs::create_dir_all(&blobs).map_err(failed)?;
    for blob in package.blobs.iter().chain([&package.manifest]) {
        let hex = blob.digest.trim_start_matches("sha256:");
        fs::write(blobs.join(hex), &blob.bytes).map_err(failed)?;
    }
    let mut descriptor = package.manifest.descriptor();
    if let Some(fields) = descriptor.as_object_mut() {
        fields.insert("annotations".to_owned(), json!({ REF_NAME: tag }));
    }
    index.retain(|entry| name(entry) != Some(tag));
    index.push(descriptor);
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": index});
    fs::write(folder.join("index.json"), index.to_string()).map_err(failed)?;
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).map_err(failed)
}

/// The digest of what has a tag in the layout of a folder.
///
/// # Errors
/// The folder holds no layout, or the layout no such tag.
pub fn digest(folder: &Path, tag: &str) -> Result<String, String> {
    let index = read(folder)?;
    let entry = index.iter().find(|entry| name(entry) == Some(tag));
    let digest = entry.and_then(|entry| entry.get("digest")?.as_str().map(str::to_owned));
    digest.ok_or_else(|| {
        let tags: Vec<_> = index.iter().filter_map(name).collect();
        format!("{}: has no tag {tag}; it has: {}", folder.display(), tags.join(", "))
    })
}

/// The manifests of a layout; none of a folder that is empty or not there.
fn read(folder: &Path) -> Result<Vec<Value>, String> {
    let path = folder.join("index.json");
    let no_layout = |why: &str| format!("{}: is no OCI image layout: {why}", folder.display());
    match fs::read(&path) {
        Ok(text) => {
            let index: Value =
                serde_json::from_slice(&text).map_err(|error| no_layout(&error.to_string()))?;
            let manifests = index.get("manifests").and_then(Value::as_array);
            manifests.cloned().ok_or_else(|| no_layout("index.json lists no manifests"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
            if is_empty { Ok(Vec::new()) } else { Err(no_layout("it has files and no index.json")) }
        }
        Err(error) => Err(no_layout(&error.to_string())),
    }
}

fn name(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(REF_NAME)?.as_str()
}
