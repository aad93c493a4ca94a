//! What is compared: no filter, the least a module can be, SDKs that do nothing, Lua, peers, and this project's filters.

use super::COPIES;
use crate::{build, project};
use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Gets a header and sets one: the least that a filter of any use does.
const LUA: &str = "function envoy_on_request(handle)\n  local headers = handle:headers()\n  headers:replace('x-lua', headers:get('cookie'))\nend\n";

/// Something whose cost is measured.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its name in the table.
    pub name: String,
    /// The HTTP filter, once; none is no filter.
    filter: Option<Value>,
    /// A counter, and by how much it must move for every request and copy.
    pub counter: Option<(String, usize)>,
    /// Headers of the requests beside the usual ones.
    pub headers: Vec<(String, String)>,
    /// The request headers that it writes.
    writes: Vec<String>,
}

/// A filter's `bench.json`: what it is measured at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    /// What follows the filter's name in the table.
    #[serde(default)]
    name: String,
    headers: Vec<(String, String)>,
    /// The request headers that it writes.
    writes: Vec<String>,
    config: Value,
    /// A counter, and by how much it moves in a request.
    counter: Option<(String, usize)>,
}

/// All variants, the baseline first.
///
/// # Errors
/// A module does not build.
pub fn all(peers: &[(String, PathBuf)]) -> Result<Vec<Variant>> {
    build::modules()?;
    let floor = project::scratch("bench")?.join("floor.wasm");
    fs::write(&floor, wat::parse_str(include_str!("floor.wat")).context("floor.wat")?)?;
    let plain = |name: &str, filter: Option<Value>| Variant {
        name: name.to_owned(),
        filter,
        counter: None,
        headers: Vec::new(),
        writes: Vec::new(),
    };
    let module = |name: &str, path: &Path| plain(name, Some(wasm(name, path, None)));
    let lua = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": LUA}
    });
    let mut variants = vec![
        plain("none", None),
        module("raw floor", &floor),
        module("kit no-op", &build::fixture("kit_noop")?),
        module("SDK no-op", &build::fixture("sdk_noop")?),
        module("SDK, ten properties in on_log", &build::fixture("sdk_ten_properties")?),
        Variant {
            counter: Some(("sdk_requests_ended_total".to_owned(), 1)),
            ..module("SDK, two counters and a histogram", &build::fixture("sdk_metrics")?)
        },
        Variant { writes: vec!["x-lua".to_owned()], ..plain("Lua get and set", Some(lua)) },
    ];
    variants.extend(peers.iter().map(|(name, path)| module(name, path)));
    for filter in project::filters()? {
        let path = project::root().join("filters").join(&filter).join("bench.json");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let all: Vec<Own> =
            serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
        for own in all {
            let name = format!("{filter} {}", own.name).trim_end().to_owned();
            let module = wasm(&name, &build::module(&filter), Some(&own.config));
            variants.push(Variant {
                name,
                filter: Some(module),
                counter: own.counter,
                headers: own.headers,
                writes: own.writes,
            });
        }
    }
    Ok(variants)
}

fn wasm(name: &str, path: &Path, config: Option<&Value>) -> Value {
    let mut plugin = json!({
        "name": name,
        "root_id": name,
        "vm_config": {"vm_id": name, "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": path}}}
    });
    if let Some(config) = config {
        plugin["configuration"] =
            json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()});
    }
    json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": plugin})
}

/// One Envoy with a listener for every variant, each with eight copies in one chain before a direct response. Behind every copy, and in the
/// chain without any, a filter of Envoy's own takes away what a variant writes: each copy sees the request as the only one would.
pub fn bootstrap(variants: &[Variant]) -> Value {
    let written: BTreeSet<&str> =
        variants.iter().flat_map(|variant| &variant.writes).map(String::as_str).collect();
    let removals: Vec<Value> = written.into_iter().map(|name| json!({"remove": name})).collect();
    let eraser = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": removals}
    });
    let listeners: Vec<Value> = variants.iter().map(|variant| listener(variant, &eraser)).collect();
    let socket = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    json!({"admin": {"address": socket}, "static_resources": {"listeners": listeners}})
}

fn listener(variant: &Variant, eraser: &Value) -> Value {
    let copy = |number| {
        let filter = variant.filter.as_ref();
        let filter = filter.map(|filter| json!({"name": format!("copy{number}"), "typed_config": filter}));
        filter.into_iter().chain([json!({"name": format!("eraser{number}"), "typed_config": eraser})])
    };
    let mut filters: Vec<Value> = (0..COPIES).flat_map(copy).collect();
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    }));
    let routes = json!([{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "hi"}}}]);
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "bench", "domains": ["*"], "routes": routes}]},
        "http_filters": filters
    });
    json!({
        "name": variant.name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}]
    })
}
