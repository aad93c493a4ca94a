//! What is compared: no filter, [peers](super::peers), and this project's filters at what their `bench.json` names.

use super::{COPIES, peers};
use crate::{build, project};
use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Something whose cost is measured.
#[derive(Debug, Clone, Default)]
pub struct Variant {
    /// Its name in the table.
    pub name: String,
    /// The HTTP filters that are a copy of it; none is no filter.
    pub filters: Vec<Value>,
    /// An access logger that is a copy of it.
    pub logger: Option<Value>,
    /// Routes in the place of the one for all requests.
    pub routes: Vec<Value>,
    /// A counter, and by how much it must move for every request and copy.
    pub counter: Option<(String, usize)>,
    /// Headers of the requests beside the usual ones.
    pub headers: Vec<(String, String)>,
    /// The request headers that it writes.
    pub writes: Vec<String>,
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
    /// So many rules of policy that a request meets none of, in `policies`.
    rules: Option<usize>,
    /// The fields of the configuration and the filters that run in a chain in the place of the one module.
    chain: Option<Vec<(String, String)>>,
    /// A counter, and by how much it moves in a request.
    counter: Option<(String, usize)>,
}

/// All variants, the baseline first.
///
/// # Errors
/// A module does not build.
pub fn all(given: &[(String, PathBuf)]) -> Result<Vec<Variant>> {
    build::modules()?;
    let mut variants = vec![Variant { name: "none".to_owned(), ..Variant::default() }];
    variants.extend(peers::all()?);
    variants.extend(given.iter().map(|(name, path)| Variant::module(name, path)));
    for filter in project::filters()? {
        // What a filter without a configuration costs, beside what its callbacks cost alone.
        let callbacks = build::callbacks(&fs::read(build::module(&filter))?)?.exported;
        variants.push(peers::raw(&format!("raw, exports of {filter}"), &callbacks)?);
        variants.push(Variant::module(&format!("{filter}, empty"), &build::module(&filter)));
        let path = project::root().join("filters").join(&filter).join("bench.json");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let all: Vec<Own> =
            serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
        for own in all {
            variants.push(own.variant(&filter));
        }
    }
    Ok(variants)
}

impl Own {
    fn variant(mut self, filter: &str) -> Variant {
        let name = format!("{filter} {}", self.name).trim_end().to_owned();
        if let Some(count) = self.rules {
            self.config["policies"] = json!(peers::policies(count));
        }
        // All-in-one is measured beside its parts, each in a module of its own.
        let filters = match &self.chain {
            None => vec![wasm(&name, &build::module(filter), Some(&self.config))],
            Some(chain) => {
                let link = |(field, filter): &(String, String)| {
                    wasm(&format!("{name} {field}"), &build::module(filter), Some(&self.config[field]))
                };
                chain.iter().map(link).collect()
            }
        };
        Variant {
            name,
            filters,
            counter: self.counter,
            headers: self.headers,
            writes: self.writes,
            ..Variant::default()
        }
    }
}

impl Variant {
    /// A module without a configuration.
    pub fn module(name: &str, path: &Path) -> Self {
        Self { name: name.to_owned(), filters: vec![wasm(name, path, None)], ..Self::default() }
    }
}

/// A Wasm filter, as `typed_config` has it.
pub fn wasm(name: &str, path: &Path, config: Option<&Value>) -> Value {
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
        let filters = variant.filters.iter().enumerate();
        let filters = filters.map(
            move |(link, filter)| json!({"name": format!("copy{number}.{link}"), "typed_config": filter}),
        );
        filters.chain([json!({"name": format!("eraser{number}"), "typed_config": eraser})])
    };
    let mut filters: Vec<Value> = (0..COPIES).flat_map(copy).collect();
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    }));
    let mut routes = variant.routes.clone();
    routes.push(json!({"match": {"prefix": "/"}, "direct_response": peers::answer()}));
    let loggers: Vec<Value> =
        variant.logger.iter().flat_map(|logger| std::iter::repeat_n(logger.clone(), COPIES)).collect();
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "bench", "domains": ["*"], "routes": routes}]},
        "access_log": loggers,
        "http_filters": filters
    });
    json!({
        "name": variant.name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}]
    })
}
