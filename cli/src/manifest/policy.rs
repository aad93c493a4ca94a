//! What policies need in Istio: a WasmPlugin for each selection of workloads, and an EnvoyFilter that tells it the direct peer's address.
//!
//! Istio adds up all ALLOW policies of a workload: one of them must match. Plugins cannot: each of several must allow. So ALLOW policies of selections that
//! one workload can be in stand in no two plugins. DENY and AUDIT policies can: each decides for itself.

use super::{peer, yaml};
use crate::configuration;
use filter_kit::{Environment, Filter};
use policy::Policy;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// What AuthorizationPolicies, or a configuration of the policy filter, need in Istio: WasmPlugins by selector, and the direct peer's address.
///
/// CUSTOM policies are left to Istio.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// AuthorizationPolicies, or the filter's configuration: JSON or YAML, bare or in a manifest.
    #[arg(long)]
    config: PathBuf,
    /// Where Istio gets the module: `oci://`, `https://` or `file:///`.
    #[arg(long)]
    url: String,
    /// The module's checksum, 64 hexadecimal digits.
    #[arg(long)]
    sha256: Option<String>,
    /// The mesh's root namespace, where the configuration names none: its policies are for all namespaces.
    #[arg(long, default_value = "istio-system")]
    root_namespace: String,
    /// The priority among the plugins of the phase AUTHZ; the highest comes first.
    #[arg(long, default_value_t = 10)]
    priority: i32,
    /// `strict`, where the configuration names no mode.
    #[arg(long, value_parser = ["istio", "strict"])]
    mode: Option<String>,
}

/// Policies of one selection of workloads.
#[derive(Debug)]
struct Group {
    namespace: String,
    selection: Selection,
    policies: Vec<Value>,
}

/// Which workloads policies are for.
#[derive(Debug, Clone, PartialEq)]
enum Selection {
    /// All of the namespace.
    All,
    /// Those with these labels.
    Labels(Map<String, Value>),
    /// Gateways, services and service entries.
    Targets(Value),
}

impl Selection {
    fn of(spec: &Value) -> Self {
        let target = spec.get("targetRefs").cloned();
        let target = target.or_else(|| spec.get("targetRef").map(|target| json!([target])));
        let labels = spec
            .pointer("/selector/matchLabels")
            .and_then(Value::as_object)
            .filter(|labels| !labels.is_empty());
        match (target, labels) {
            (Some(targets), _) => Self::Targets(targets),
            (None, Some(labels)) => Self::Labels(labels.clone()),
            (None, None) => Self::All,
        }
    }

    /// Whether one workload can be in both.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Labels(own), Self::Labels(others)) => {
                own.iter().all(|(name, value)| others.get(name).is_none_or(|other| other == value))
            }
            (Self::Targets(own), Self::Targets(others)) => own == others,
            // A label says nothing of what it is that has it.
            _ => true,
        }
    }

    /// What tells it apart in names.
    fn words(&self) -> Vec<&str> {
        match self {
            Self::All => Vec::new(),
            Self::Labels(labels) => labels.values().filter_map(Value::as_str).collect(),
            Self::Targets(targets) => {
                let targets = targets.as_array().into_iter().flatten();
                targets.filter_map(|target| target["name"].as_str()).collect()
            }
        }
    }

    /// Its field of a manifest, where `selector` has a name of the kind's own.
    fn field(&self, selector: &str, labels_field: &str) -> Option<(String, Value)> {
        match self {
            Self::All => None,
            Self::Labels(labels) => Some((selector.to_owned(), json!({ labels_field: labels }))),
            Self::Targets(targets) => Some(("targetRefs".to_owned(), targets.clone())),
        }
    }
}

/// The manifests, and what is to be said of them.
///
/// # Errors
/// The configuration cannot be read, is refused by the filter, or means something that plugins cannot.
pub fn manifests(args: &Args) -> Result<(String, Vec<String>), String> {
    let name = args.config.display();
    let bytes = configuration::read(&args.config, "policy")?.bytes.unwrap_or_default();
    let mut config: Map<String, Value> =
        serde_json::from_slice(&bytes).map_err(|error| format!("{name}: {error}"))?;
    let policies = match config.remove("policies") {
        Some(Value::Array(policies)) if !policies.is_empty() => policies,
        _ => return Err(format!("{name}: holds no policies")),
    };
    config.entry("root_namespace").or_insert_with(|| json!(args.root_namespace));
    if let Some(mode) = &args.mode {
        config.entry("mode").or_insert_with(|| json!(mode));
    }
    // What Istio makes labels of.
    config.entry("metrics").or_insert_with(|| json!({"labels": "istio"}));
    let mut notes = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    for policy in policies {
        let namespace = text(&policy, "/metadata/namespace").unwrap_or("default").to_owned();
        if text(&policy, "/spec/action") == Some("CUSTOM") {
            notes.push(format!("{}: CUSTOM is left to Istio", id(&policy)));
            continue;
        }
        let selection = Selection::of(policy.get("spec").unwrap_or(&Value::Null));
        match groups.iter_mut().find(|one| one.namespace == namespace && one.selection == selection) {
            Some(group) => group.policies.push(policy),
            None => groups.push(Group { namespace, selection, policies: vec![policy] }),
        }
    }
    let root = config.get("root_namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
    refuse_divided(&groups, &root).map_err(|error| format!("{name}: {error}"))?;
    let mut documents = Vec::new();
    let mut names = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let mut own = group.name();
        if names.contains(&(&group.namespace, own.clone())) {
            own = format!("{own}-{number}");
        }
        names.push((&group.namespace, own.clone()));
        let mut config = config.clone();
        config.insert("policies".to_owned(), json!(group.policies));
        let bytes = Value::from(config.clone()).to_string();
        let filter: Policy = filter_kit::load(bytes.as_bytes(), &Environment::EMPTY)
            .map_err(|error| format!("{name}: {own}: {error}"))?;
        notes.extend(filter.warnings().iter().map(|warning| format!("{own}: {warning}")));
        documents.push(yaml::write(&group.plugin(&own, config, args)));
        if peer::is_looked_at(&json!(group.policies)) {
            let workloads = group.selection.field("workloadSelector", "labels");
            let (name, namespace) = (format!("outrigger-peer-{own}"), Some(group.namespace.as_str()));
            documents.push(yaml::write(&peer::object(&name, namespace, workloads, group.is_gateway())));
        }
    }
    Ok((documents.join("---\n"), notes))
}

/// The text that a JSON Pointer points at.
fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}

/// A policy's namespace and name.
fn id(policy: &Value) -> String {
    let of = |key: &str| text(policy, &["/metadata/", key].concat()).unwrap_or_default().to_owned();
    format!("{}/{}", of("namespace"), of("name"))
}

/// Refuses ALLOW policies that one workload can have in two plugins.
fn refuse_divided(groups: &[Group], root: &str) -> Result<(), String> {
    let allows = |group: &Group, is_dry: bool| {
        let found = group.policies.iter().find(|policy| {
            matches!(text(policy, "/spec/action"), None | Some("ALLOW")) && is_tried(policy) == is_dry
        });
        found.map(id)
    };
    for (place, group) in groups.iter().enumerate() {
        for other in groups.iter().skip(place + 1) {
            let is_near = group.namespace == other.namespace
                || [&group.namespace, &other.namespace].iter().any(|namespace| *namespace == root);
            if !is_near || !group.selection.meets(&other.selection) {
                continue;
            }
            for is_dry in [false, true] {
                if let (Some(one), Some(two)) = (allows(group, is_dry), allows(other, is_dry)) {
                    return Err(format!(
                        "the ALLOW policies {one} and {two} can be for one workload, by different selectors: Istio lets a request in that one of them allows, and two plugins only what both allow; give them one selector"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Whether a policy is only tried, in the words of Go's `strconv.ParseBool`.
fn is_tried(policy: &Value) -> bool {
    let annotation = policy.pointer("/metadata/annotations/istio.io~1dry-run").and_then(Value::as_str);
    annotation.is_some_and(|text| ["1", "t", "T", "true", "TRUE", "True"].contains(&text))
}

impl Group {
    /// A name, of letters that Kubernetes takes: `policy`, and what tells the selection apart.
    fn name(&self) -> String {
        let words: Vec<&str> = std::iter::once("policy").chain(self.selection.words()).collect();
        let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        let name: String = words.join("-").to_ascii_lowercase().chars().map(plain).collect();
        name.trim_end_matches('-').chars().take(48).collect()
    }

    /// Whether the workloads are gateways or waypoints, which have one direction.
    fn is_gateway(&self) -> bool {
        matches!(self.selection, Selection::Targets(_))
    }

    fn plugin(&self, name: &str, config: Map<String, Value>, args: &Args) -> Value {
        let mut spec = Map::new();
        spec.extend(self.selection.field("selector", "matchLabels"));
        spec.insert("url".to_owned(), json!(args.url));
        spec.extend(args.sha256.as_ref().map(|sum| ("sha256".to_owned(), json!(sum))));
        spec.insert("phase".to_owned(), json!("AUTHZ"));
        spec.insert("priority".to_owned(), json!(args.priority));
        spec.insert("failStrategy".to_owned(), json!("FAIL_CLOSE"));
        if !self.is_gateway() {
            spec.insert("match".to_owned(), json!([{"mode": "SERVER"}]));
        }
        spec.insert("pluginConfig".to_owned(), config.into());
        json!({
            "apiVersion": "extensions.istio.io/v1alpha1",
            "kind": "WasmPlugin",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Selection;
    use serde_json::json;

    #[test]
    fn selections_meet_where_one_workload_can_be_in_both() {
        let labels = |labels| Selection::of(&json!({"selector": {"matchLabels": labels}}));
        let [shop, cart] = ["shop", "cart"].map(|app| labels(json!({"app": app})));
        let v2 = labels(json!({"version": "v2"}));
        let gateway = Selection::of(&json!({"targetRefs": [{"kind": "Gateway", "name": "edge"}]}));
        let all = Selection::of(&json!({}));
        assert_eq!(labels(json!({})), all);
        for (one, other, expected) in [
            (&shop, &cart, false),
            (&shop, &v2, true),
            (&shop, &all, true),
            (&all, &gateway, true),
            (&gateway, &gateway, true),
        ] {
            assert_eq!((one.meets(other), other.meets(one)), (expected, expected), "{one:?} {other:?}");
        }
    }
}
