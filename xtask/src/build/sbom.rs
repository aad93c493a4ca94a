//! What a module is made of: a bill of materials in CycloneDX 1.5 (ECMA-424), which is the same for the same module.

use crate::{command, project, setup};
use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    process::Command,
};

/// What stands between the fields of a line of `cargo tree`.
const FIELD: char = '\t';

/// The lock file, as far as it is read here.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    /// The SHA-256 of the archive that the registry has; none for what is in this workspace.
    checksum: Option<String>,
}

/// A crate, and what it needs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Crate {
    licences: String,
    repository: String,
    needs: BTreeSet<String>,
}

/// The bill of a filter's module, of which the SHA-256 is given.
///
/// # Errors
/// Cargo does not say what the module is made of, or something in it has no licence.
pub fn of(filter: &str, sha256: &str) -> Result<String> {
    let tree = command::run(&mut command::cargo(&[
        "tree",
        "--quiet",
        "--locked",
        "--package",
        filter,
        "--features",
        "module",
        "--target",
        setup::WASM,
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "depth",
        "--format",
        "\t{p}\t{l}\t{r}",
    ]))?;
    let lock: Lock = toml::from_str(&fs::read_to_string(project::root().join("Cargo.lock"))?)?;
    let sums = lock
        .package
        .into_iter()
        .filter_map(|Locked { name, version, checksum }| Some((format!("{name}@{version}"), checksum?)))
        .collect();
    let rustc = command::run(Command::new("rustc").arg("--version").current_dir(project::root()))?;
    let rustc = rustc.split_whitespace().nth(1).context("rustc does not say its version")?;
    let bill = bill(&crates(&tree)?, &sums, rustc, sha256)?;
    Ok(format!("{}\n", serde_json::to_string_pretty(&bill)?))
}

/// The crates of a tree, by name and version, the module's own first.
fn crates(tree: &str) -> Result<(String, BTreeMap<String, Crate>)> {
    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    let mut path: Vec<String> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split(FIELD).collect();
        let [depth, package, licences, repository] = fields.as_slice() else {
            anyhow::bail!("`cargo tree` writes `{line}`")
        };
        let mut words = package.split(' ');
        let name = words.next().unwrap_or_default();
        let version = words.next().and_then(|word| word.strip_prefix('v')).context("no version")?;
        let name = format!("{name}@{version}");
        path.truncate(depth.parse()?);
        if let Some(parent) = path.last().and_then(|parent| crates.get_mut(parent)) {
            parent.needs.insert(name.clone());
        }
        let own = crates.entry(name.clone()).or_default();
        // A crate that was written before has a mark behind it.
        repository.trim_end_matches(" (*)").clone_into(&mut own.repository);
        licences.replace('/', " OR ").clone_into(&mut own.licences);
        path.push(name);
    }
    let root = path.into_iter().next().context("`cargo tree` writes nothing")?;
    Ok((root, crates))
}

fn bill(
    (root, crates): &(String, BTreeMap<String, Crate>),
    sums: &BTreeMap<String, String>,
    rustc: &str,
    sha256: &str,
) -> Result<Value> {
    let std = format!("std@{rustc}");
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    let mut own = Value::Null;
    for (name, Crate { licences, repository, needs }) in crates {
        anyhow::ensure!(!licences.is_empty(), "{name} has no licence");
        let (short, version) = name.split_once('@').context("a crate has a version")?;
        let mut component = json!({
            "type": "library", "bom-ref": name, "name": short, "version": version,
            "licenses": [{ "expression": licences }]
        });
        // What is in this workspace is in no registry.
        if let Some(sum) = sums.get(name) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
            component["purl"] = json!(format!("pkg:cargo/{short}@{version}"));
        }
        if !repository.is_empty() {
            component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
        }
        let mut depends_on: Vec<&str> = needs.iter().map(String::as_str).collect();
        depends_on.push(&std);
        dependencies.push(json!({"ref": name, "dependsOn": depends_on}));
        if name == root {
            component["type"] = json!("application");
            component["mime-type"] = json!("application/wasm");
            component["hashes"] = json!([{"alg": "SHA-256", "content": sha256}]);
            own = component;
        } else {
            components.push(component);
        }
    }
    dependencies.push(json!({ "ref": std }));
    components.push(json!({
        "type": "library", "bom-ref": std, "name": "std", "version": rustc,
        "description": "Rust's standard library, with the parts of wasi-libc that its target has.",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "purl": format!("pkg:github/rust-lang/rust@{rustc}")
    }));
    // Neither a time nor a random number is in it: the serial number is a UUID of version 8 (RFC 9562) out of the module's digest.
    let part = |range: Range<usize>| sha256.get(range).unwrap_or_default();
    let serial =
        format!("{}-{}-8{}-a{}-{}", part(0..8), part(8..12), part(13..16), part(17..20), part(20..32));
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{serial}"),
        "version": 1,
        "metadata": {
            "component": own,
            "tools": {"components": [{"type": "application", "name": "rustc", "version": rustc}]},
            "properties": [{"name": "outrigger:target", "value": setup::WASM}]
        },
        "components": components,
        "dependencies": dependencies
    }))
}

#[cfg(test)]
mod tests {
    use super::{bill, crates};
    use serde_json::json;
    use std::collections::BTreeMap;

    const TREE: &str = "0\tpolicy v0.1.0 (/home/me/outrigger/filters/policy)\tApache-2.0\t
1\tpii v0.1.0 (/home/me/outrigger/pii)\tApache-2.0\t
2\thmac v0.12.1\tMIT/Apache-2.0\thttps://code.example/macs
3\tdigest v0.10.7\tMIT\thttps://code.example/traits
1\thmac v0.12.1\tMIT/Apache-2.0\thttps://code.example/macs (*)
";

    #[test]
    fn a_bill_has_each_crate_once_with_what_it_needs() {
        let crates = crates(TREE).unwrap();
        let sums = BTreeMap::from([("hmac@0.12.1".to_owned(), "abc".to_owned())]);
        let sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let bill = bill(&crates, &sums, "1.95.0", sha256).unwrap();
        let text = bill.to_string();
        assert!(!text.contains("/home"), "{text}");
        assert_eq!(bill["serialNumber"], "urn:uuid:01234567-89ab-8def-a123-456789abcdef");
        let own = &bill["metadata"]["component"];
        assert_eq!((&own["name"], &own["hashes"][0]["content"]), (&json!("policy"), &json!(sha256)));
        let names: Vec<_> = bill["components"].as_array().unwrap().iter().map(|c| &c["bom-ref"]).collect();
        assert_eq!(names, ["digest@0.10.7", "hmac@0.12.1", "pii@0.1.0", "std@1.95.0"]);
        let hmac = &bill["components"][1];
        assert_eq!(
            *hmac,
            json!({
                "type": "library", "bom-ref": "hmac@0.12.1", "name": "hmac", "version": "0.12.1",
                "licenses": [{"expression": "MIT OR Apache-2.0"}],
                "hashes": [{"alg": "SHA-256", "content": "abc"}],
                "purl": "pkg:cargo/hmac@0.12.1",
                "externalReferences": [{"type": "vcs", "url": "https://code.example/macs"}]
            })
        );
        assert!(bill["components"][2]["purl"].is_null());
        assert_eq!(
            bill["dependencies"],
            json!([
                {"ref": "digest@0.10.7", "dependsOn": ["std@1.95.0"]},
                {"ref": "hmac@0.12.1", "dependsOn": ["digest@0.10.7", "std@1.95.0"]},
                {"ref": "pii@0.1.0", "dependsOn": ["hmac@0.12.1", "std@1.95.0"]},
                {"ref": "policy@0.1.0", "dependsOn": ["hmac@0.12.1", "pii@0.1.0", "std@1.95.0"]},
                {"ref": "std@1.95.0"}
            ])
        );
    }

    #[test]
    fn what_has_no_licence_is_in_no_bill() {
        let crates = crates("0\tx v1.0.0\t\t\n").unwrap();
        let error = bill(&crates, &BTreeMap::new(), "1.95.0", "").unwrap_err();
        assert_eq!(error.to_string(), "x@1.0.0 has no licence");
    }
}
