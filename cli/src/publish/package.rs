//! A module as an OCI image: the blobs and the manifest of each form. The same module and annotations give the same bytes.

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, fmt::Write as _, io::Write as _};

/// The media type of manifests.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const RUNTIME_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";
const CONTENT: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
/// The operating system that a gzip header names: none is known.
const NO_SYSTEM: u8 = 255;

/// A form of publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An image of one layer with `plugin.wasm`, as `docker build` from scratch makes it ("compat" in the Wasm image specification).
    Image,
    /// An artifact of exactly two layers, the module and its runtime configuration ("oci" in the Wasm artifact image specification).
    Artifact,
}

impl Form {
    /// The word of the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Artifact => "artifact",
        }
    }
}

/// Content that is known by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its media type.
    pub media_type: &'static str,
    /// `sha256:` and the digest of the bytes in hexadecimal digits.
    pub digest: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { media_type, digest: digest(&bytes), bytes }
    }

    /// How a manifest or an index names it.
    pub fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// All that is pushed of one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The configuration and the layers.
    pub blobs: Vec<Blob>,
    /// The manifest, which names them.
    pub manifest: Blob,
}

impl Package {
    /// Packs a module.
    ///
    /// `created` is the time of creation in RFC 3339, `abi` the ABI's version such as `0.2.1`.
    pub fn new(
        form: Form,
        wasm: &[u8],
        abi: &str,
        created: Option<&str>,
        annotations: &BTreeMap<String, String>,
    ) -> Self {
        let mut annotations = annotations.clone();
        let (config, layers, artifact_type) = match form {
            Form::Image => {
                annotations.insert("module.wasm.image/variant".to_owned(), "compat".to_owned());
                let (config, layer) = image(wasm, created);
                (config, vec![layer], None)
            }
            Form::Artifact => {
                let runtime = json!({"type": "envoy_proxy", "abiVersions": [abi], "config": {}});
                let runtime = Blob::new(RUNTIME_CONFIG, runtime.to_string().into_bytes());
                // Readers that are stricter than Istio's want the module last.
                let layers = vec![runtime, Blob::new(CONTENT, wasm.to_vec())];
                (Blob::new(EMPTY, b"{}".to_vec()), layers, Some(RUNTIME_CONFIG))
            }
        };
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
            "annotations": annotations,
        });
        if let (Some(kind), Some(fields)) = (artifact_type, manifest.as_object_mut()) {
            fields.insert("artifactType".to_owned(), kind.into());
        }
        let manifest = Blob::new(MANIFEST, manifest.to_string().into_bytes());
        Self { blobs: [vec![config], layers].concat(), manifest }
    }
}

/// The configuration and the layer of an image. Docker takes an image for its own system alone, so it is one of Linux.
fn image(wasm: &[u8], created: Option<&str>) -> (Blob, Blob) {
    let archive = tar(wasm);
    let layer = Blob::new(LAYER, gzip(&archive));
    let history = "outrigger publish: plugin.wasm";
    let mut config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(&archive)]},
        "history": [{"created_by": history}],
    });
    if let (Some(created), Some(fields)) = (created, config.as_object_mut()) {
        fields.insert("created".to_owned(), created.into());
    }
    (Blob::new(CONFIG, config.to_string().into_bytes()), layer)
}

/// An archive with `plugin.wasm` alone, of nobody and no time.
fn tar(wasm: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(wasm.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let mut archive = tar::Builder::new(Vec::new());
    in_memory(archive.append_data(&mut header, "plugin.wasm", wasm));
    in_memory(archive.into_inner())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip =
        GzBuilder::new().mtime(0).operating_system(NO_SYSTEM).write(Vec::new(), Compression::best());
    in_memory(gzip.write_all(bytes));
    in_memory(gzip.finish())
}

#[expect(clippy::expect_used, reason = "a vector takes whatever is written")]
fn in_memory<T>(written: std::io::Result<T>) -> T {
    written.expect("a vector takes whatever is written")
}

/// `sha256:` and the digest in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{Form, Package, digest};
    use flate2::read::GzDecoder;
    use std::{collections::BTreeMap, io::Read as _};

    fn package(form: Form) -> Package {
        let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        Package::new(form, b"\0asm module", "0.2.1", None, &annotations)
    }

    #[test]
    fn the_same_module_gives_the_same_bytes() {
        // Digests of one day, in a program that is compiled anew on another: no time, no user and no system are in them.
        let digests = [Form::Image, Form::Artifact].map(|form| package(form).manifest.digest);
        assert_eq!(
            digests,
            [
                "sha256:002b554dce8d421cfa6f853ff77df41905dfcfff0c4439fde2eaa9ff2c8b026a",
                "sha256:8dbe17870da91fef4a7f4dca2a36d38502feb40a73f25d6dbbe224d9305419e3"
            ]
        );
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn an_image_has_the_module_in_its_layer_and_the_layers_digest_in_its_configuration() {
        let package = package(Form::Image);
        let [config, layer] = package.blobs.as_slice() else { panic!("{} blobs", package.blobs.len()) };
        // Bytes 4 to 8 of a gzip header are the time, byte 9 is the system (RFC 1952).
        assert_eq!(layer.bytes[4..8], [0; 4]);
        assert_eq!(layer.bytes[9], 255);
        let mut archive = Vec::new();
        GzDecoder::new(layer.bytes.as_slice()).read_to_end(&mut archive).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config.bytes).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&archive));
        let mut archive = tar::Archive::new(archive.as_slice());
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, ["plugin.wasm"].map(Into::<std::path::PathBuf>::into));
    }
}
