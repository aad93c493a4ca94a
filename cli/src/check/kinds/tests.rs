use super::{
    KINDS, is_duration,
    shape::{Kind, Shape},
};
use crate::document::{self, Node};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

/// What a description says, as lines of `path type`.
fn lines(path: &str, shape: &Shape, out: &mut BTreeSet<String>) {
    match shape {
        Shape::Any => out.insert(format!("{path} any")),
        Shape::Text | Shape::Duration => out.insert(format!("{path} string")),
        Shape::Integer(range) => out.insert(format!("{path} integer {range:?}")),
        Shape::Number(range) => out.insert(format!("{path} number {range:?}")),
        Shape::Truth => out.insert(format!("{path} boolean")),
        Shape::OneOf(words) => {
            let words: BTreeSet<_> = words.iter().copied().collect();
            out.insert(format!("{path} {words:?}"))
        }
        Shape::List(item) => {
            lines(&format!("{path}[]"), item, out);
            true
        }
        Shape::Map(item) => {
            lines(&format!("{path}.*"), item, out);
            true
        }
        Shape::Object(fields) => {
            for field in fields.iter() {
                let path = format!("{path}.{}", field.name);
                if field.is_required {
                    out.insert(format!("{path} required"));
                }
                lines(&path, &field.shape, out);
            }
            true
        }
    };
}

/// The same of a schema.
fn schema_lines(path: &str, schema: &Node, out: &mut BTreeSet<String>) {
    if let Some(words) = schema.get("enum") {
        let words: BTreeSet<_> = words.items().iter().filter_map(Node::as_str).collect();
        out.insert(format!("{path} {words:?}"));
        return;
    }
    if schema.get("x-kubernetes-preserve-unknown-fields").is_some() {
        out.insert(format!("{path}.* any"));
        return;
    }
    match schema.get("type").and_then(Node::as_str) {
        Some("array") => schema_lines(&format!("{path}[]"), schema.get("items").unwrap(), out),
        Some("object") => {
            for name in schema.get("required").map(Node::items).unwrap_or_default() {
                out.insert(format!("{path}.{} required", name.as_str().unwrap()));
            }
            for (name, field) in schema.get("properties").map(Node::fields).unwrap_or_default() {
                schema_lines(&format!("{path}.{name}"), field, out);
            }
            if let Some(item) = schema.get("additionalProperties") {
                schema_lines(&format!("{path}.*"), item, out);
            }
        }
        Some(other @ ("integer" | "number")) => {
            let limit = |name| schema.get(name).and_then(|node| node.to_json().as_i64());
            let range = (limit("minimum").unwrap_or(i64::MIN), limit("maximum").unwrap_or(i64::MAX));
            out.insert(format!("{path} {other} {range:?}"));
        }
        Some(other) => drop(out.insert(format!("{path} {other}"))),
        None => drop(out.insert(format!("{path} any"))),
    }
}

fn compare(kind: &Kind, crd: &Node) -> Vec<String> {
    let versions = crd.at(&["spec", "versions"]).unwrap().items();
    let served: BTreeSet<_> =
        versions.iter().filter_map(|version| version.get("name").and_then(Node::as_str)).collect();
    assert_eq!(kind.versions.iter().copied().collect::<BTreeSet<_>>(), served, "{}", kind.name);
    // What a CRD says in an expression, and not in the schema.
    let by_rule = "spec.configPatches[].match.waypoint.portNumber";
    let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
    lines("spec", &kind.spec, &mut ours);
    let schema = versions[0].at(&["schema", "openAPIV3Schema", "properties", "spec"]).unwrap();
    schema_lines("spec", schema, &mut theirs);
    ours.symmetric_difference(&theirs)
        .filter(|line| !line.starts_with(by_rule))
        .map(|line| format!("{}: {line}", kind.name))
        .collect()
}

#[test]
fn the_fields_are_those_of_istios_crds() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/crds");
    let folder = env::var_os("OUTRIGGER_CRDS").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        println!(
            "NOT CHECKED: no CRDs in ../shared/crds beside the repository or in $OUTRIGGER_CRDS, so nothing says"
        );
        println!("NOT CHECKED: whether kinds.txt is what Istio has");
        return;
    }
    let (mut compared, mut differ) = (0, Vec::new());
    for kind in KINDS.iter() {
        let file = folder.join(
            format!("{}s.{}.yaml", kind.name.to_lowercase(), kind.group).replace("policys.", "policies."),
        );
        // There is no CRD of PeerAuthentication in the folder.
        let Ok(text) = fs::read_to_string(&file) else {
            println!("NOT CHECKED: no {}", file.display());
            continue;
        };
        differ.extend(compare(kind, &document::parse(&text).unwrap()[0]));
        compared += 1;
    }
    assert!(differ.is_empty(), "{differ:#?}");
    assert!(compared >= 6, "only {compared} kinds were compared");
}

#[test]
fn all_kinds_are_read() {
    let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(
        names,
        [
            "WasmPlugin",
            "TrafficExtension",
            "EnvoyFilter",
            "AuthorizationPolicy",
            "PeerAuthentication",
            "DestinationRule",
            "VirtualService"
        ]
    );
}

#[test]
fn durations_are_those_of_go() {
    for good in ["1s", "1.5h", "1m30s", "1ms", "1000us"] {
        assert!(is_duration(good), "{good}");
    }
    for bad in ["", "1", "s", "0s", "1d", "1 s", "-1s", "999us"] {
        assert!(!is_duration(bad), "{bad}");
    }
}
