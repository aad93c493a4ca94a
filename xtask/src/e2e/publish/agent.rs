//! How Istio's agent gets a module out of a registry (istio, pkg/wasm/imagefetcher.go), and Envoy Gateway with the same code. Written from what they do: it
//! shares nothing with `outrigger publish`.

use crate::{command, http::Connection};
use anyhow::{Context as _, Result, bail, ensure};
use harness::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, fs, net::SocketAddr, process::Command, time::Duration};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const WASM_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

/// Where the module is in an image.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// In an archive, as `plugin.wasm`: the blob's digest.
    Archive(String),
    /// As it is: the blob's digest.
    Bare(String),
}

/// Fetches a module by tag or by digest, and compares the manifest with `sha256`, where one is given, as the field of a WasmPlugin.
///
/// # Errors
/// The agent would not load it.
pub fn fetch(registry: SocketAddr, repository: &str, version: &str, sha256: Option<&str>) -> Result<Vec<u8>> {
    let manifest = get(registry, &format!("/v2/{repository}/manifests/{version}"))?;
    let digest = hex(&manifest);
    for expected in [sha256, version.strip_prefix("sha256:")].into_iter().flatten() {
        ensure!(
            expected == digest,
            "module downloaded has checksum {digest}, which does not match: {expected}"
        );
    }
    let blob = |digest: &str| {
        let bytes = get(registry, &format!("/v2/{repository}/blobs/{digest}"))?;
        ensure!(digest == format!("sha256:{}", hex(&bytes)), "a blob is not what its digest says");
        Ok(bytes)
    };
    let module = match find(&serde_json::from_slice(&manifest)?)? {
        Found::Bare(digest) => blob(&digest)?,
        Found::Archive(digest) => unpack(&blob(&digest)?)?,
    };
    ensure!(module.starts_with(b"\0asm"), "it is no module");
    Ok(module)
}

/// Which layer of a manifest has the module: neither the configuration nor an annotation is looked at.
pub fn find(manifest: &Value) -> Result<Found> {
    let layers = manifest["layers"].as_array().context("the manifest has no layers")?;
    let last = layers.last().context("number of layers must be greater than zero")?;
    let digest = |layer: &Value| layer["digest"].as_str().map(str::to_owned).context("a layer has no digest");
    if manifest["mediaType"] == DOCKER_MANIFEST {
        ensure!(last["mediaType"] == DOCKER_LAYER, "invalid media type {}", last["mediaType"]);
        return Ok(Found::Archive(digest(last)?));
    }
    if last["mediaType"] == OCI_LAYER {
        return Ok(Found::Archive(digest(last)?));
    }
    ensure!(layers.len() == 2, "number of layers must be 2 but got {}", layers.len());
    let module = layers.iter().find(|layer| layer["mediaType"] == WASM_LAYER);
    let module = module.with_context(|| format!("could not find the layer of type {WASM_LAYER}"))?;
    Ok(Found::Bare(digest(module)?))
}

/// The file whose last name is `plugin.wasm`, taken out by the system's tar.
fn unpack(archive: &[u8]) -> Result<Vec<u8>> {
    let file = super::scratch("agent")?.join("layer.tar.gz");
    fs::write(&file, archive)?;
    let names = command::run(Command::new("tar").arg("-tzf").arg(&file))?;
    let name = names.lines().find(|name| name.rsplit('/').next() == Some("plugin.wasm"));
    let name = name.context("wasm plugin.wasm not found in the archive")?;
    let unpacked = command::output(Command::new("tar").arg("-xzOf").arg(&file).arg(name))?;
    fs::remove_file(&file)?;
    ensure!(unpacked.status.success(), "tar: {}", String::from_utf8_lossy(&unpacked.stderr));
    Ok(unpacked.stdout)
}

fn get(registry: SocketAddr, target: &str) -> Result<Vec<u8>> {
    let headers = [
        ("host", registry.to_string()),
        ("accept", format!("{DOCKER_MANIFEST}, {OCI_MANIFEST}, */*")),
        ("connection", "close".to_owned()),
    ];
    let headers = headers.map(|(name, value)| (Bytes::from(name), Bytes::from(&value)));
    let mut connection = Connection::open(registry, Duration::from_secs(10))?;
    let response = connection.exchange("GET", target, &headers.to_vec(), b"")?;
    if response.status() != Some(200) {
        bail!("{target} answered {:?}: {}", response.status(), String::from_utf8_lossy(&response.body));
    }
    Ok(response.body)
}

/// The SHA-256 in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{Found, find};
    use serde_json::{Value, json};

    fn manifest(media_type: &str, layers: &[&str]) -> Value {
        let layers: Vec<Value> = layers
            .iter()
            .enumerate()
            .map(|(place, kind)| json!({"mediaType": kind, "digest": place.to_string()}))
            .collect();
        json!({"mediaType": media_type, "layers": layers})
    }

    #[test]
    fn forms_that_the_agent_refuses_are_refused() {
        let oci = "application/vnd.oci.image.manifest.v1+json";
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        let wasm = "application/vnd.module.wasm.content.layer.v1+wasm";
        let config = "application/vnd.module.wasm.config.v1+json";
        let found = |media_type, layers: &[&str]| find(&manifest(media_type, layers)).ok();
        assert_eq!(found(oci, &[gzip]), Some(Found::Archive("0".to_owned())));
        assert_eq!(found(oci, &["other", gzip]), Some(Found::Archive("1".to_owned())));
        assert_eq!(found(oci, &[wasm, config]), Some(Found::Bare("0".to_owned())));
        assert_eq!(found(oci, &[config, wasm]), Some(Found::Bare("1".to_owned())));
        // What the widely copied command with `oras` makes.
        assert_eq!(found(oci, &[wasm]), None);
        assert_eq!(found(oci, &[config, wasm, "other"]), None);
        assert_eq!(found(oci, &["application/wasm"]), None);
        assert_eq!(found(oci, &["application/wasm", config]), None);
        assert_eq!(found(docker, &[gzip]), None);
        assert_eq!(
            found(docker, &["application/vnd.docker.image.rootfs.diff.tar.gzip"]),
            Some(Found::Archive("0".to_owned()))
        );
        assert_eq!(found(oci, &[]), None);
    }
}
