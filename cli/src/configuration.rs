//! The configuration of one filter, out of whatever file holds it.

use crate::document::{self, Node};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// A plugin's configuration as the host hands it to the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Its bytes; none where the file gives none.
    pub bytes: Option<Vec<u8>>,
    /// The VM's environment that the file sets. What comes from the proxy's own environment is not here.
    pub environment: BTreeMap<String, String>,
}

/// Reads a configuration from a file: bare JSON or YAML, a WasmPlugin or TrafficExtension, an Envoy bootstrap or EnvoyFilter, or for the policy
/// filter AuthorizationPolicies, several documents of them.
///
/// # Errors
/// The file cannot be read, is no YAML, or holds no configuration of this filter.
pub fn read(path: &Path, filter: &str) -> Result<Configuration, String> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let documents = document::parse(&text)
        .map_err(|error| format!("{name}:{}: must be YAML or JSON: {}", error.line, error.message))?;
    of(&documents, filter).ok_or_else(|| format!("{name}: holds no configuration of {filter}"))
}

fn of(documents: &[Node], filter: &str) -> Option<Configuration> {
    let kind = |node: &Node| node.get("kind").and_then(Node::as_str).map(str::to_owned);
    let policies: Vec<Value> = documents
        .iter()
        .filter(|document| kind(document).as_deref() == Some("AuthorizationPolicy"))
        .map(Node::to_json)
        .collect();
    if !policies.is_empty() {
        return Some(Configuration {
            bytes: Some(json!({ "policies": policies }).to_string().into_bytes()),
            ..Configuration::default()
        });
    }
    if let Some(found) = documents.iter().find_map(|document| of_manifest(document, filter)) {
        return Some(found);
    }
    match documents {
        [] => Some(Configuration::default()),
        [bare] if kind(bare).is_none() && bare.get("static_resources").is_none() => Some(Configuration {
            bytes: Some(bare.to_json().to_string().into_bytes()),
            ..Configuration::default()
        }),
        _ => None,
    }
}

/// The configuration in a manifest or a bootstrap: that of the module with the filter's name, or else the only one.
fn of_manifest(document: &Node, filter: &str) -> Option<Configuration> {
    let spec = match document.get("kind").and_then(Node::as_str) {
        Some("WasmPlugin") => Some(document.at(&["spec"])?),
        Some("TrafficExtension") => Some(document.at(&["spec", "wasm"])?),
        _ => None,
    };
    if let Some(spec) = spec {
        let url = spec.get("url").and_then(Node::as_str).unwrap_or_default();
        return is_of(url, filter).then(|| Configuration {
            bytes: spec.get("pluginConfig").map(|node| node.to_json().to_string().into_bytes()),
            environment: pairs(spec.at(&["vmConfig", "env"]).map(Node::items).unwrap_or_default()),
        });
    }
    let mut found = Vec::new();
    let is_plugin = |node: &Node| node.at(&["vm_config", "code"]).is_some();
    document.find("", &is_plugin, &mut found);
    let file = |node: &Node| {
        let file = node.at(&["vm_config", "code", "local", "filename"]).and_then(Node::as_str);
        file.unwrap_or_default().to_owned()
    };
    let (_, plugin) =
        found.iter().find(|(_, node)| is_of(&file(node), filter)).or(match found.as_slice() {
            [only] => Some(only),
            _ => None,
        })?;
    let value = plugin.at(&["configuration", "value"]).and_then(Node::as_str);
    let own = plugin
        .at(&["vm_config", "environment_variables", "key_values"])
        .map(Node::fields)
        .unwrap_or_default();
    Some(Configuration {
        bytes: value.map(|value| value.as_bytes().to_vec()),
        environment: own
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
    })
}

/// Whether a module's URL or file is that of a filter, which is a name or a path.
fn is_of(url: &str, filter: &str) -> bool {
    let name = |text: &str| {
        let last = text.rsplit('/').next().unwrap_or(text);
        last.split(['@', ':']).next().unwrap_or(last).trim_end_matches(".wasm").to_owned()
    };
    name(url) == name(filter)
}

fn pairs(items: &[Node]) -> BTreeMap<String, String> {
    let text = |node: &Node, field: &str| node.get(field).and_then(Node::as_str).map(str::to_owned);
    items.iter().filter_map(|node| Some((text(node, "name")?, text(node, "value")?))).collect()
}

#[cfg(test)]
mod tests {
    use super::{Configuration, of};
    use crate::document;

    #[track_caller]
    fn check(text: &str, filter: &str, expected: Option<&str>) {
        let found = of(&document::parse(text).unwrap(), filter);
        let bytes = found.and_then(|Configuration { bytes, .. }| bytes);
        assert_eq!(bytes.map(|bytes| String::from_utf8(bytes).unwrap()).as_deref(), expected, "{text}");
    }

    #[test]
    fn a_configuration_is_found_in_whatever_holds_it() {
        check("a: 1", "x", Some(r#"{"a":1}"#));
        check("", "x", None);
        let plugin = "kind: WasmPlugin\nspec:\n  url: oci://registry.example/x:1\n  pluginConfig: {a: 1}\n";
        check(plugin, "x", Some(r#"{"a":1}"#));
        check(plugin, "dist/x.wasm", Some(r#"{"a":1}"#));
        check(plugin, "y", None);
        check(
            "kind: TrafficExtension\nspec: {wasm: {url: file:///x.wasm, pluginConfig: {a: 2}}}\n",
            "x",
            Some(r#"{"a":2}"#),
        );
        check(
            "kind: Service\n---\nkind: AuthorizationPolicy\nspec: {action: DENY}\n",
            "policy",
            Some(r#"{"policies":[{"kind":"AuthorizationPolicy","spec":{"action":"DENY"}}]}"#),
        );
        let envoy = r#"{"static_resources":{"a":[
            {"config":{"vm_config":{"code":{"local":{"filename":"dist/x.wasm"}}},"configuration":{"value":"{\"a\":3}"}}},
            {"config":{"vm_config":{"code":{"local":{"filename":"dist/y.wasm"}}},"configuration":{"value":"{\"a\":4}"}}}]}}"#;
        check(envoy, "y", Some(r#"{"a":4}"#));
        check(envoy, "z", None);
    }
}
