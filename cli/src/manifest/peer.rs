//! The direct peer's address, for `ipBlocks` and `source.ip`: no attribute that a plugin can read has it, so an EnvoyFilter leaves it in filter state.

use serde_json::{Map, Value, json};

/// Whether a rule of policies looks at it.
pub fn is_looked_at(policies: &Value) -> bool {
    match policies {
        Value::Array(items) => items.iter().any(is_looked_at),
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            matches!(name.as_str(), "ipBlocks" | "notIpBlocks")
                || name == "key" && value == "source.ip"
                || name == "on" && value == "peer"
                || is_looked_at(value)
        }),
        _ => false,
    }
}

/// The EnvoyFilter that tells a plugin, for the workloads of a field of its `spec`; of the namespace that it is applied to, where none is named.
pub fn object(
    name: &str,
    namespace: Option<&str>,
    workloads: Option<(String, Value)>,
    is_gateway: bool,
) -> Value {
    let namespace = namespace.map(|namespace| ("namespace".to_owned(), json!(namespace)));
    let mut metadata: Map<String, Value> = namespace.into_iter().collect();
    metadata.insert("name".to_owned(), json!(name));
    let context = if is_gateway { "GATEWAY" } else { "SIDECAR_INBOUND" };
    let manager = "envoy.filters.network.http_connection_manager";
    let address = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%";
    let mut spec: Map<String, Value> = workloads.into_iter().collect();
    spec.insert(
        "configPatches".to_owned(),
        json!([{
            "applyTo": "HTTP_FILTER",
            "match": {"context": context, "listener": {"filterChain": {"filter": {"name": manager}}}},
            "patch": {"operation": "INSERT_FIRST", "value": {
                "name": "outrigger.peer",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
                    "on_request_headers": [{
                        "object_key": "outrigger.peer",
                        "factory_key": "envoy.string",
                        "format_string": {"text_format_source": {"inline_string": address}}
                    }]
                }
            }}
        }]),
    );
    json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": metadata, "spec": spec})
}
