//! Envoy with two listeners a configuration: its own RBAC, and the policy module.

use super::{
    client::KEY,
    fault::Fault,
    generate::{Configuration, Edge, Paths},
    translate,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path};

/// What decides at a listener.
#[derive(Debug, Clone, Copy)]
pub enum Judge<'a> {
    /// Envoy's own RBAC, by our translation.
    Native,
    /// The same, with something wrong.
    Broken(Fault),
    /// The module at this path, in a mode.
    Module(&'a Path, &'static str),
}

/// The type of a filter's configuration.
pub fn kind(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.filters.{name}")
}

/// The bootstrap for these configurations. A configuration's listeners have its number and `a` or `b`,
/// and a 6 where they are on the other loopback.
pub fn bootstrap(
    configurations: &[Configuration],
    judges: [Judge<'_>; 2],
    server: &Value,
    has_v6: bool,
) -> Value {
    let mut listeners = Vec::new();
    for (number, configuration) in configurations.iter().enumerate() {
        for (judge, letter) in judges.iter().zip(["a", "b"]) {
            let name = format!("{number}{letter}");
            let filters = judged(&name, configuration, *judge);
            let mut listener = listener(&name, (configuration.edge, configuration.paths), filters, server);
            if has_v6 {
                let mut v6 = listener.clone();
                v6["name"] = json!(format!("{name}6"));
                v6["address"] = address("::1");
                listeners.push(v6);
            }
            listener["address"] = address("127.0.0.1");
            listeners.push(listener);
        }
    }
    json!({
        "admin": {"address": address("127.0.0.1")},
        "static_resources": {"listeners": listeners},
        "stats_config": {"stats_matcher": {"reject_all": true}}
    })
}

/// A socket of a loopback, of which Envoy chooses the port.
pub fn address(loopback: &str) -> Value {
    json!({"socket_address": {"address": loopback, "port_value": 0}})
}

/// A listener with these filters before its answer, `ok`, and behind what Istio puts before them.
pub fn listener(name: &str, settings: (Edge, Paths), filters: Vec<Value>, server: &Value) -> Value {
    let manager = manager(settings, filters);
    let listener_filter = |name: &str, package: &str, message: &str| {
        let kind = format!("type.googleapis.com/envoy.extensions.filters.listener.{package}.v3.{message}");
        json!({"name": name, "typed_config": {"@type": kind}})
    };
    json!({
        "name": name,
        "listener_filters": [
            listener_filter("envoy.filters.listener.proxy_protocol", "proxy_protocol", "ProxyProtocol"),
            listener_filter("envoy.filters.listener.tls_inspector", "tls_inspector", "TlsInspector")
        ],
        "filter_chains": [
            {
                "filter_chain_match": {"transport_protocol": "tls"},
                "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": server},
                "filters": [manager]
            },
            {"filters": [manager]}
        ]
    })
}

/// The connection manager, with paths as Istio has them.
fn manager((edge, paths): (Edge, Paths), judged: Vec<Value>) -> Value {
    let mut filters = before();
    filters.extend(judged);
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": kind("http.router.v3.Router")}
    }));
    let header = |key: &str, value: &str| json!({"header": {"key": key, "value": value}});
    let (use_remote_address, hops) = match edge {
        Edge::Sidecar => (false, 0),
        Edge::Gateway => (true, 0),
        Edge::GatewayBehindProxy => (true, 1),
    };
    // As istiod sets them (`pilot/pkg/networking/core`, `buildPathNormalization`).
    let (merge_slashes, escaped_slashes) = match paths {
        Paths::Base => (false, "KEEP_UNCHANGED"),
        Paths::MergeSlashes => (true, "KEEP_UNCHANGED"),
        Paths::DecodeAndMergeSlashes => (true, "UNESCAPE_AND_FORWARD"),
    };
    let is_403 = json!({"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": 403, "runtime_key": "unused"}}}});
    json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": kind("network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "a",
        "normalize_path": true,
        "merge_slashes": merge_slashes,
        "path_with_escaped_slashes_action": escaped_slashes,
        "use_remote_address": use_remote_address,
        "xff_num_trusted_hops": hops,
        // Istio does not set it; with it, methods that are not well known reach the filters too.
        "http_protocol_options": {"allow_custom_methods": true},
        "local_reply_config": {"mappers": [
            {"filter": is_403, "headers_to_add": [header("x-details", "%RESPONSE_CODE_DETAILS%"), header("x-audited", AUDITED)]}
        ]},
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}],
            "response_headers_to_add": [header("x-audited", AUDITED)]
        }]},
        "http_filters": filters
    }})
}

const AUDITED: &str = "%DYNAMIC_METADATA(envoy.common:access_log_hint)%";

/// What stands before the judge: tokens, metadata of other filters, and the direct peer's address where the module looks for it.
fn before() -> Vec<Value> {
    let key = json!({"keys": [{"kty": "oct", "alg": "HS256", "kid": "k", "k": URL_SAFE_NO_PAD.encode(KEY)}]});
    let provider = json!({
        "local_jwks": {"inline_string": key.to_string()},
        "payload_in_metadata": "payload",
        "forward": true,
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope", "permission"]}
    });
    let requires =
        json!({"requires_any": {"requirements": [{"provider_name": "p"}, {"allow_missing_or_failed": {}}]}});
    let peer = json!({
        "object_key": "outrigger.peer",
        "factory_key": "envoy.string",
        "format_string": {"text_format_source": {"inline_string": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}}
    });
    vec![
        json!({"name": "envoy.filters.http.jwt_authn", "typed_config": {
            "@type": kind("http.jwt_authn.v3.JwtAuthentication"),
            "providers": {"p": provider},
            "rules": [{"match": {"prefix": ""}, "requires": requires}]
        }}),
        json!({"name": "envoy.filters.http.header_to_metadata", "typed_config": {
            "@type": kind("http.header_to_metadata.v3.Config"),
            "request_rules": [{"header": "x-meta", "on_header_present": {"metadata_namespace": "envoy.filters.a.b", "key": "c", "type": "STRING"}}]
        }}),
        json!({"name": "envoy.filters.http.set_metadata", "typed_config": {
            "@type": kind("http.set_metadata.v3.Config"),
            "metadata": [{"metadata_namespace": "envoy.filters.a.b", "value": {"list": ["alpha", "beta", 5], "number": 5}}]
        }}),
        json!({"name": "envoy.filters.http.set_filter_state", "typed_config": {
            "@type": kind("http.set_filter_state.v3.Config"),
            "on_request_headers": [peer]
        }}),
    ]
}

fn judged(name: &str, configuration: &Configuration, judge: Judge<'_>) -> Vec<Value> {
    match judge {
        Judge::Native => translate::filters(&configuration.policies, &configuration.trust_domains),
        Judge::Broken(fault) => {
            let mut configuration = configuration.clone();
            fault.before(&mut configuration);
            let mut filters = translate::filters(&configuration.policies, &configuration.trust_domains);
            fault.after(&mut filters);
            filters
        }
        Judge::Module(path, mode) => {
            let config = json!({
                "mode": mode,
                "root_namespace": "istio-system",
                "trust_domains": configuration.trust_domains,
                "policies": configuration.policies
            });
            vec![plugin(&format!("policy-{name}"), path, &config, &BTreeMap::new())]
        }
    }
}

/// A plugin of this name, with a VM of its own.
pub fn plugin(name: &str, module: &Path, config: &Value, environment: &BTreeMap<String, String>) -> Value {
    json!({"name": "outrigger", "typed_config": {
        "@type": kind("http.wasm.v3.Wasm"),
        "config": {
            "name": name,
            "failure_policy": "FAIL_RELOAD",
            "vm_config": {
                "vm_id": name,
                "runtime": "envoy.wasm.runtime.v8",
                "environment_variables": {"key_values": environment},
                "code": {"local": {"filename": module}}
            },
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()}
        }
    }})
}
