//! The bootstraps of the plan.

use crate::bootstrap;
use harness::conformance::{self, Listener, Sheet};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path};

/// These listeners, whose probes know all the sheets, in front of these clusters.
pub fn bootstrap<'c>(
    probes: &Path,
    sheets: &[Sheet],
    listeners: &[Listener],
    clusters: impl Iterator<Item = (&'c str, Option<SocketAddr>)>,
) -> Value {
    let listeners: Vec<Value> = listeners
        .iter()
        .map(|of| {
            let root = of.root.as_deref();
            let plugins = of.site.probes.iter().map(|probe| {
                let mut plugin = json!({
                    "name": "probe",
                    "root_id": probe.name,
                    "configuration": text("plugin config"),
                    "vm_config": {
                        "vm_id": of.vm_id(probe),
                        "runtime": "envoy.wasm.runtime.v8",
                        "configuration": text(&conformance::vm_configuration(sheets, root)),
                        "code": {"local": {"filename": probes.join(probe.abi.probe())}}
                    }
                });
                if let Some(policy) = of.policy {
                    plugin["failure_policy"] = json!(policy);
                }
                if probe.stops_headers_alone {
                    plugin["allow_on_headers_stop_iteration"] = json!(true);
                }
                plugin
            });
            listener(of, plugins.collect())
        })
        .collect();
    let clusters: Vec<Value> = clusters.map(|(name, address)| cluster(name, address)).collect();
    json!({
        "stats_flush_interval": "0.1s",
        "node": {"id": "node-id", "cluster": "node-cluster"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"listeners": listeners, "clusters": clusters}
    })
}

/// A listener with a module of which nothing is known.
pub fn of_module(file: &Path) -> Value {
    let plugin = json!({
        "name": "module",
        "configuration": text("{}"),
        "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": file}}}
    });
    let of = conformance::of_exchanges(&conformance::SITES[0]);
    json!({"static_resources": {"listeners": [listener(&of, vec![plugin])]}})
}

fn text(text: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text})
}

fn listener(of: &Listener, plugins: Vec<Value>) -> Value {
    let mut routes: Vec<Value> = conformance::routes().iter().map(bootstrap::route).collect();
    routes.push(json!({"match": {"prefix": "/"}, "name": "route-one", "route": {"cluster": "v1"}}));
    let mut filters: Vec<Value> = plugins
        .into_iter()
        .map(|plugin| {
            json!({"name": "probe", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": plugin}})
        })
        .collect();
    filters.push(json!({"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}));
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "conformance",
        "http_protocol_options": {"enable_trailers": true},
        "preserve_external_request_id": true,
        // A cluster that is nowhere is a route's own mistake, and is answered so.
        "route_config": {"name": "routes", "validate_clusters": false, "virtual_hosts": [{"name": "host-one", "domains": ["*"], "routes": routes}]},
        "http_filters": filters
    });
    json!({
        "name": of.name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"name": "chain-one", "filters": [{"name": "manager", "typed_config": manager}]}]
    })
}

fn cluster(name: &str, address: Option<SocketAddr>) -> Value {
    let endpoint = |address: SocketAddr| json!({"endpoint": {"address": {"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}}}});
    let endpoints: Vec<Value> = address.into_iter().map(endpoint).collect();
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}}
        }}
    })
}
