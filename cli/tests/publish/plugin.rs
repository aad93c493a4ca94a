//! `outrigger manifest plugin`: pinned to what was published, and as Istio takes it.

use super::{Flaw, fake, outrigger, scratch};
use std::{fs, path::Path};

#[path = "../check/modules.rs"]
mod modules;

const DIGEST: &str = "sha256:1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210";

fn example(filter: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("filters").join(filter).join("config.example.json").display().to_string()
}

#[test]
fn what_is_written_is_what_check_has_nothing_against() {
    let folder = scratch("manifests");
    modules::write(&folder);
    let dist = folder.display().to_string();
    for filter in ["ab-routing", "access-log", "all-in-one", "metrics", "policy"] {
        for kind in ["wasm-plugin", "traffic-extension"] {
            for place in ["sidecar", "gateway"] {
                let image = format!("registry.example/outrigger/{filter}:0.1.0@{DIGEST}");
                let http = format!("http://modules.example/{filter}.wasm");
                for module in [&image, &http] {
                    let config = example(filter);
                    let call = ["manifest", "plugin", filter, module, "--config", &config];
                    let more = ["--kind", kind, "--for", place, "--selector", "app=shop", "--dist", &dist];
                    let said = outrigger(&folder, &[&call[..], &more].concat());
                    assert_eq!(said.code, 0, "{}", said.err);
                    assert!(said.out.ends_with('\n'));
                    let expected = if *module == image {
                        format!("url: \"oci://registry.example/outrigger/{filter}@{DIGEST}\"")
                    } else {
                        let wasm = fs::read(folder.join(format!("{filter}.wasm"))).unwrap();
                        format!("sha256: \"{}\"", &super::sha256(&wasm)[7..])
                    };
                    // A digest that begins with a letter and has no other sign is no string that needs quotes.
                    let bare = said.out.replace('"', "");
                    assert!(bare.contains(&expected.replace('"', "")), "{}", said.out);
                    let text = fs::read_to_string(&config).unwrap().to_lowercase();
                    let wants_peer = text.contains("ipblocks") && !text.contains("remoteipblocks");
                    assert_eq!(said.out.contains("kind: EnvoyFilter"), wants_peer, "{}", said.out);
                    let file = folder.join("manifest.yaml");
                    fs::write(&file, &said.out).unwrap();
                    let file = file.display().to_string();
                    let checked = outrigger(&folder, &["check", "--strict", "--dist", &dist, &file]);
                    assert_eq!(checked.code, 0, "{}{}\n{}", checked.out, checked.err, said.out);
                }
            }
        }
    }
}

#[test]
fn the_digest_is_the_registrys_or_the_layouts_where_the_reference_has_none() {
    let (registry, said) = super::publish("pinned", Flaw::None, super::NOBODY, &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    let digest = super::sha256(&registry.manifest("1").unwrap());
    let folder = scratch("pinned-manifests");
    modules::write(&folder);
    let dist = folder.display().to_string();
    let config = example("metrics");
    let write = |reference: &str, more: &[&str]| {
        let call = ["manifest", "plugin", "metrics", reference, "--config", &config, "--dist", &dist];
        outrigger(&folder, &[&call[..], &["--for", "gateway"], more].concat())
    };
    let name = format!("{}/a/x", registry.address);
    let said = write(&format!("{name}:1"), &["--plain-http"]);
    assert!(
        said.code == 0 && said.out.contains(&format!("oci://{name}@{digest}")),
        "{}{}",
        said.out,
        said.err
    );
    let said = write(&format!("{name}:2"), &["--plain-http"]);
    assert!(said.code == 1 && said.err.contains("publish it first"), "{}", said.err);
    let layout = folder.join("out").display().to_string();
    let module = format!("{dist}/metrics.wasm");
    let said = outrigger(&folder, &["publish", &module, "registry.example/a/x:1", "--layout", &layout]);
    assert_eq!(said.code, 0, "{}", said.err);
    let said = write("registry.example/a/x:1", &["--layout", &layout]);
    assert!(
        said.code == 0 && said.out.contains("oci://registry.example/a/x@sha256:"),
        "{}{}",
        said.out,
        said.err
    );
    let said = write("registry.example/a/x:2", &["--layout", &layout]);
    assert!(said.code == 1 && said.err.contains("has no tag 2; it has: 1"), "{}", said.err);
    let down = fake::Registry::start(Flaw::Closes);
    let said = write(&format!("{}/a/x:1", down.address), &["--plain-http"]);
    assert!(said.code == 1 && said.err.contains("cannot be reached"), "{}", said.err);
}

#[test]
fn a_wrong_call_is_refused_with_what_is_right() {
    let folder = scratch("wrong-manifests");
    modules::write(&folder);
    let dist = folder.display().to_string();
    let config = example("metrics");
    let pinned = format!("registry.example/a/x@{DIGEST}");
    for (filter, module, says) in [
        ("metrics", pinned.as_str(), "--selector app=shop"),
        ("nothing", &pinned, "must be one of ab-routing"),
        ("metrics", "a/x:1", "does not name its registry"),
        ("metrics", "https://", "has no host"),
    ] {
        let call = ["manifest", "plugin", filter, module, "--config", &config, "--dist", &dist];
        let said = outrigger(&folder, &call);
        assert!(said.code == 2 && said.err.contains(says), "{filter} {module}: {}: {}", said.code, said.err);
    }
}
