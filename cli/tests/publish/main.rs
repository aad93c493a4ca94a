//! `outrigger publish` and registries, good ones and others. What a real registry and real programs make of it is tried by `cargo xtask e2e --publish`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, as it should; a registry is a thread"
)]

mod fake;
mod plugin;

use fake::{Flaw, Registry};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("publish").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A module of a few bytes that a Proxy-Wasm host would run.
fn module(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
    path.display().to_string()
}

const PROXY_WASM: &str = r#"(module (func (export "proxy_abi_version_0_2_1")))"#;

/// Docker's configuration in a folder of its own.
fn docker(folder: &Path, config: &str) -> PathBuf {
    fs::write(folder.join("config.json"), config).unwrap();
    folder.to_path_buf()
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn outrigger(docker: &Path, arguments: &[&str]) -> Said {
    let mut outrigger = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    let path = format!("{}:{}", docker.display(), std::env::var("PATH").unwrap());
    let output = outrigger
        .args(arguments)
        .env("DOCKER_CONFIG", docker)
        .env("PATH", path)
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Publishes to a registry that may have a flaw, with Docker's configuration as it is, `HOST` in it being the registry.
fn publish(name: &str, flaw: Flaw, config: &str, more: &[&str]) -> (Registry, Said) {
    let folder = scratch(name);
    let registry = Registry::start(flaw);
    let host = registry.address.to_string();
    let docker = docker(&folder, &config.replace("HOST", &host));
    let module = module(&folder, "x.wasm", PROXY_WASM);
    let reference = format!("{host}/a/x:1");
    let said = outrigger(&docker, &[&["publish", &module, &reference, "--plain-http"], more].concat());
    (registry, said)
}

const NOBODY: &str = "{}";
const USER: &str = r#"{"auths":{"HOST":{"auth":"dXNlcjpwYXNz"}}}"#;
const WRONG: &str = r#"{"auths":{"HOST":{"auth":"dXNlcjp3cm9uZw=="}}}"#;
const IDENTITY: &str = r#"{"auths":{"HOST":{"identitytoken":"identity"}}}"#;

#[test]
fn what_is_pushed_is_in_the_registry_and_is_pushed_once() {
    let (registry, said) = publish("good", Flaw::None, NOBODY, &["--form", "both", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let all: Value = serde_json::from_str(&said.out).unwrap();
    for (entry, tag) in all["published"].as_array().unwrap().iter().zip(["1", "1-artifact"]) {
        let manifest = registry.manifest(tag).unwrap();
        assert_eq!(entry["digest"], sha256(&manifest));
        assert_eq!(entry["state"], "pushed");
        assert_eq!(entry["pinned"], format!("{}/a/x@{}", registry.address, sha256(&manifest)));
    }
    let before = registry.requests().len();
    let folder = scratch("good-again");
    let module = module(&folder, "x.wasm", PROXY_WASM);
    let reference = format!("{}/a/x:1", registry.address);
    let again = outrigger(&folder, &["publish", &module, &reference, "--plain-http"]);
    assert!(again.code == 0 && again.out.contains("nothing to do"), "{}{}", again.out, again.err);
    let requests = registry.requests();
    assert!(requests[before..].iter().all(|request| request.method == "HEAD"), "{requests:?}");
}

#[test]
fn a_tag_that_is_there_moves_by_force_alone() {
    let (registry, said) = publish("taken", Flaw::None, NOBODY, &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    let before = registry.manifest("1");
    let folder = scratch("taken-again");
    let module = module(&folder, "x.wasm", PROXY_WASM);
    let reference = format!("{}/a/x:1", registry.address);
    let call = ["publish", &module, &reference, "--plain-http", "--title", "another"];
    let said = outrigger(&folder, &call);
    assert!(said.code == 1 && said.err.contains("--force"), "{}", said.err);
    assert_eq!(registry.manifest("1"), before);
    let said = outrigger(&folder, &[&call[..], &["--force"]].concat());
    assert_eq!(said.code, 0, "{}", said.err);
    assert_ne!(registry.manifest("1"), before);
}

#[test]
fn a_registry_that_is_wrong_is_named_with_what_to_do() {
    for (flaw, config, says) in [
        (Flaw::Fails, NOBODY, "answered 500 (UNKNOWN: the disk is full): try again"),
        (Flaw::Closes, NOBODY, "cannot be reached"),
        (Flaw::NoHttp, NOBODY, "is this an OCI registry"),
        (Flaw::Page, NOBODY, "the answer is no manifest: is this an OCI registry"),
        (Flaw::AnotherDigest, NOBODY, "was pushed, and the registry has sha256:000"),
        (Flaw::BadDigest, NOBODY, "gives `sha256:short` for a digest"),
        (Flaw::Forbids, NOBODY, "forbids it (DENIED: read only): these credentials need the right to push"),
        (Flaw::NoRepository, NOBODY, "no such repository (NAME_UNKNOWN: create it first)"),
        (Flaw::NoLocation, NOBODY, "does not say where to upload to"),
        (Flaw::UploadFails, NOBODY, "the upload of a blob of"),
        (Flaw::Basic, NOBODY, "asks for credentials (its realm is the registry)"),
        (Flaw::Basic, WRONG, "refuses the credentials"),
        (Flaw::Basic, IDENTITY, "takes a user and a password"),
        (Flaw::Bearer, NOBODY, "asks for credentials (its realm is http://127.0.0.1:"),
        (Flaw::Bearer, WRONG, "refuses the credentials of Docker's configuration (its realm is http"),
        (Flaw::Anonymous, NOBODY, "run `docker login"),
        (Flaw::NoToken, USER, "the answer has no token"),
        (Flaw::RealmDown, USER, "127.0.0.1:1: cannot be reached"),
        (Flaw::Negotiate, USER, "neither Basic nor Bearer"),
        (Flaw::Basic, "{", "config.json is not JSON as Docker writes it"),
        (Flaw::Basic, r#"{"auths":{"HOST":{"auth":"!"}}}"#, "unable to decode credential"),
        (Flaw::Basic, r#"{"credsStore":"outrigger-none"}"#, "cannot be run"),
    ] {
        let (_, said) = publish("flaw", flaw, config, &[]);
        assert!(said.code == 1 && said.err.contains(says), "{flaw:?} {config}: {}: {}", said.code, said.err);
        assert!(said.err.lines().count() == 1, "{flaw:?}: {}", said.err);
    }
}

#[test]
fn a_registry_gets_the_credentials_of_dockers_configuration() {
    let by_helper = r#"{"credHelpers":{"HOST":"test"}}"#;
    let by_store = r#"{"auths":{"HOST":{}},"credsStore":"test"}"#;
    for (flaw, config) in [
        (Flaw::Basic, USER),
        (Flaw::Basic, by_helper),
        (Flaw::Basic, by_store),
        (Flaw::Bearer, USER),
        (Flaw::Bearer, IDENTITY),
        (Flaw::Anonymous, USER),
        (Flaw::NoDigest, NOBODY),
    ] {
        let folder = scratch("credentials");
        let helper = folder.join("docker-credential-test");
        fs::write(&helper, "#!/bin/sh\ncat >/dev/null\necho '{\"Username\":\"user\",\"Secret\":\"pass\"}'\n")
            .unwrap();
        Command::new("chmod").arg("+x").arg(&helper).status().unwrap();
        let registry = Registry::start(flaw);
        let host = registry.address.to_string();
        let docker = docker(&folder, &config.replace("HOST", &host));
        let module = module(&folder, "x.wasm", PROXY_WASM);
        let said = outrigger(&docker, &["publish", &module, &format!("{host}/a/x:1"), "--plain-http"]);
        assert_eq!(said.code, 0, "{flaw:?} {config}: {}", said.err);
        assert!(registry.manifest("1").is_some());
    }
}

#[test]
fn no_password_goes_over_plain_http_unless_it_was_asked_for() {
    let registry = Registry::start(Flaw::Bearer);
    let folder = scratch("plain");
    let module = module(&folder, "x.wasm", PROXY_WASM);
    let said = outrigger(&folder, &["publish", &module, &format!("{}/a/x:1", registry.address)]);
    assert!(said.code == 1 && said.err.contains("--plain-http"), "{}", said.err);
    assert!(registry.requests().iter().all(|request| !request.headers.contains_key("authorization")));
}

#[test]
fn a_module_that_no_envoy_would_run_is_refused() {
    let folder = scratch("modules");
    let bare = module(&folder, "bare.wasm", "(module)");
    module(&folder, "other.wasm", PROXY_WASM);
    let text = folder.join("text.wasm").display().to_string();
    fs::write(&text, "no module").unwrap();
    let dist = folder.display().to_string();
    for (named, code, says) in [
        (bare.as_str(), 1, "exports no `proxy_abi_version_...`"),
        (&text, 1, "is no WebAssembly module"),
        ("other", 1, "is not Outrigger's"),
        ("nothing", 2, "cargo xtask build"),
    ] {
        let call = ["publish", named, "registry.example/a/x:1", "--dry-run", "--dist", &dist];
        let said = outrigger(&folder, &call);
        assert!(said.code == code && said.err.contains(says), "{named}: {}: {}", said.code, said.err);
    }
}

#[test]
fn a_wrong_call_is_a_usage_error() {
    let folder = scratch("calls");
    let module = module(&folder, "x.wasm", PROXY_WASM);
    for (reference, more, says) in [
        ("registry.example/a/x", &[][..], "needs a tag"),
        ("a/x:1", &[], "does not name its registry"),
        ("registry.example/a/x:1", &["--ca-file", "/nowhere"], "--ca-file /nowhere"),
        ("registry.example/A:1", &[], "lower-case"),
    ] {
        let said = outrigger(&folder, &[&["publish", &module, reference], more].concat());
        assert!(said.code == 2 && said.err.contains(says), "{reference}: {}: {}", said.code, said.err);
    }
}

#[test]
fn a_layout_has_what_is_pushed_and_keeps_its_other_tags() {
    let folder = scratch("layout");
    let module = module(&folder, "x.wasm", PROXY_WASM);
    let layout = folder.join("out");
    let path = layout.display().to_string();
    let write = |tag: &str, more: &[&str]| {
        let reference = format!("registry.example/a/x:{tag}");
        let call = ["publish", &module, &reference, "--layout", &path, "--json"];
        let said = outrigger(&folder, &[&call[..], more].concat());
        assert_eq!(said.code, 0, "{}", said.err);
        let all: Value = serde_json::from_str(&said.out).unwrap();
        all["published"][0]["digest"].as_str().unwrap().to_owned()
    };
    write("1", &["--title", "first"]);
    let (one, two) = (write("1", &[]), write("2", &["--form", "artifact"]));
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let digests: Vec<_> =
        index["manifests"].as_array().unwrap().iter().map(|entry| &entry["digest"]).collect();
    assert_eq!(digests, [one.as_str(), &two]);
    for entry in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("sha256:{}", path.file_name().unwrap().to_str().unwrap());
        assert_eq!(sha256(&fs::read(&path).unwrap()), name);
    }
    let manifest: Value =
        serde_json::from_slice(&fs::read(layout.join("blobs/sha256").join(&one[7..])).unwrap()).unwrap();
    assert!(manifest["annotations"]["org.opencontainers.image.created"].is_null());
    fs::remove_file(layout.join("index.json")).unwrap();
    let said = outrigger(&folder, &["publish", &module, "registry.example/a/x:1", "--layout", &path]);
    assert!(said.code == 1 && said.err.contains("is no OCI image layout"), "{}", said.err);
}

#[test]
fn annotations_are_what_was_given_and_what_the_module_is() {
    let folder = scratch("annotations");
    let module = module(&folder, "x.wasm", PROXY_WASM);
    let layout = folder.join("out").display().to_string();
    let mut outrigger = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    let output = outrigger
        .args(["publish", &module, "registry.example/a/x:1", "--layout", &layout, "--json"])
        .args(["--source", "https://code.example/x", "--revision", "abc", "--licenses", "Apache-2.0"])
        .args(["--module-version", "1.2.3", "--annotation", "team=mesh"])
        .env("SOURCE_DATE_EPOCH", "1764028800")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let digest = all["published"][0]["digest"].as_str().unwrap();
    let blobs = Path::new(&layout).join("blobs/sha256");
    let manifest: Value = serde_json::from_slice(&fs::read(blobs.join(&digest[7..])).unwrap()).unwrap();
    let wasm = sha256(&fs::read(&module).unwrap());
    assert_eq!(
        manifest["annotations"],
        serde_json::json!({
            "dev.outrigger.abi": "0.2.1", "dev.outrigger.filter": "x", "dev.outrigger.wasm": wasm,
            "module.wasm.image/variant": "compat",
            "org.opencontainers.image.created": "2025-11-25T00:00:00Z",
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.revision": "abc",
            "org.opencontainers.image.source": "https://code.example/x",
            "org.opencontainers.image.title": "x",
            "org.opencontainers.image.version": "1.2.3",
            "team": "mesh"
        })
    );
}
