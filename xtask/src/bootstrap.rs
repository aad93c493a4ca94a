//! Envoy bootstraps: the files of envoy-configs/, with what a run changes.

use crate::{envoy::LINE_BEGINS, project};
use anyhow::{Context as _, Result};
use harness::scenario::{Route, Scenario};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The field of a plugin that says what its module may call.
const RESTRICTION: &str = "capability_restriction_config";

/// The logger of lines of filter state.
pub const STATE_LOGGER: &str = "filter_state";

/// A bootstrap of envoy-configs/. What a run does not change stays as users read it.
#[derive(Debug, Clone)]
pub struct Bootstrap(pub Value);

impl Bootstrap {
    /// Reads `envoy-configs/NAME.yaml`.
    ///
    /// # Errors
    /// There is no such file, or it is no YAML.
    pub fn load(name: &str) -> Result<Self> {
        let path = project::root().join("envoy-configs").join(format!("{name}.yaml"));
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self(serde_saphyr::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?))
    }

    /// Lets Envoy choose the ports of all listeners and of the admin interface.
    pub fn with_free_ports(&mut self) {
        for listener in self.0["static_resources"]["listeners"].as_array_mut().into_iter().flatten() {
            listener["address"]["socket_address"]["port_value"] = json!(0);
        }
        self.0["admin"]["address"]["socket_address"]["port_value"] = json!(0);
        self.0["stats_flush_interval"] = json!("0.1s");
    }

    /// Listens on these addresses of loopback.
    pub fn set_ports(&mut self, listener: SocketAddr, admin: SocketAddr) {
        for main in self.0["static_resources"]["listeners"].as_array_mut().into_iter().flatten() {
            main["address"]["socket_address"]["port_value"] = json!(listener.port());
        }
        self.0["admin"]["address"]["socket_address"]["port_value"] = json!(admin.port());
    }

    /// Lets trailers through to the upstreams, which Envoy keeps back unless it is told.
    pub fn pass_trailers(&mut self) {
        let options = protocol("http_protocol_options", &json!({"enable_trailers": true}));
        for cluster in self.0["static_resources"]["clusters"].as_array_mut().into_iter().flatten() {
            cluster["typed_extension_protocol_options"] = options.clone();
        }
    }

    /// Speaks HTTP/2 with a cluster, as gRPC does.
    pub fn speak_http2(&mut self, name: &str) {
        for cluster in self.0["static_resources"]["clusters"].as_array_mut().into_iter().flatten() {
            if cluster["name"] == *name {
                cluster["typed_extension_protocol_options"] = protocol("http2_protocol_options", &json!({}));
            }
        }
    }

    /// Runs another form of the plugins' modules, which may call what they may.
    pub fn set_variant(&mut self, path: &Path) {
        each(&mut self.0, "local", &mut |local| local["filename"] = json!(path));
    }

    /// Runs another module, which may call what the bootstrap of its filter lets it; one that has none may call all.
    pub fn set_module(&mut self, path: &Path) {
        each(&mut self.0, "local", &mut |local| local["filename"] = json!(path));
        let restriction = restriction(path);
        plugins(&mut self.0, &mut |plugin| restrict(plugin, restriction.as_ref()));
    }

    /// What the module of each filter may call, by the filters' names.
    pub fn capabilities(&mut self) -> BTreeMap<String, BTreeSet<String>> {
        let mut lists = BTreeMap::new();
        plugins(&mut self.0, &mut |plugin| {
            let module = plugin["vm_config"]["code"]["local"]["filename"].as_str().map(Path::new);
            let name = module.and_then(Path::file_stem).map(|name| name.to_string_lossy().into_owned());
            let list = plugin[RESTRICTION]["allowed_capabilities"].as_object();
            if let Some(name) = name {
                lists.insert(name, list.into_iter().flatten().map(|(name, _)| name.clone()).collect());
            }
        });
        lists
    }

    /// Takes a capability from the plugins' modules.
    pub fn forbid(&mut self, capability: &str) {
        plugins(&mut self.0, &mut |plugin| {
            let list = plugin[RESTRICTION]["allowed_capabilities"].as_object_mut();
            _ = list.and_then(|list| list.remove(capability));
        });
    }

    /// Runs the modules of dist/ wherever Envoy is started.
    pub fn set_modules(&mut self) {
        each(&mut self.0, "filename", &mut |name| {
            if let Some(module) = name.as_str().and_then(|name| name.strip_prefix("dist/")) {
                *name = json!(project::dist().join(module));
            }
        });
    }

    /// The plugin of this name: its `config`.
    pub fn plugin(&mut self, name: &str) -> Option<&mut Value> {
        let manager =
            &mut self.0["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        let filters = manager["http_filters"].as_array_mut()?;
        Some(&mut filters.iter_mut().find(|filter| filter["name"] == name)?["typed_config"]["config"])
    }

    /// Hands the plugins another configuration; none is no bytes.
    pub fn set_plugin_configuration(&mut self, config: Option<&[u8]>) {
        let value = config.map(string_value);
        plugins(&mut self.0, &mut |plugin| match &value {
            Some(value) => plugin["configuration"] = value.clone(),
            None => _ = plugin.as_object_mut().and_then(|plugin| plugin.remove("configuration")),
        });
    }

    /// Puts a chain of modules in the place of the first plugin: each has its part of the scenario's configuration, and is left out where there is none.
    pub fn set_chain(&mut self, chain: &[(&str, PathBuf)], scenario: &Scenario) {
        each(&mut self.0, "http_filters", &mut |filters| {
            let Some(list) = filters.as_array_mut() else { return };
            let Some(place) =
                list.iter().position(|filter| !filter["typed_config"]["config"]["vm_config"].is_null())
            else {
                return;
            };
            let template = list.remove(place);
            let plugins = chain.iter().filter_map(|(field, module)| {
                let mut filter = template.clone();
                let config = &mut filter["typed_config"]["config"];
                config["vm_config"]["vm_id"] = json!(field);
                config["vm_config"]["code"]["local"]["filename"] = json!(module);
                restrict(config, restriction(module).as_ref());
                config["configuration"] = string_value(&scenario.part(field)?);
                Some(filter)
            });
            list.splice(place..place, plugins);
        });
    }

    /// Sets the plugins' root id, and the configuration of their VMs; none is no bytes.
    pub fn set_root(&mut self, root_id: &str, vm_config: Option<&str>) {
        plugins(&mut self.0, &mut |plugin| {
            if !root_id.is_empty() {
                plugin["root_id"] = json!(root_id);
            }
            if let Some(config) = vm_config {
                plugin["vm_config"]["configuration"] = string_value(config.as_bytes());
            }
        });
    }

    /// Runs the plugin as a network filter before the TCP proxy, which sends to `v1` unless the plugin says otherwise.
    pub fn be_tcp(&mut self) {
        let mut config = Value::Null;
        plugins(&mut self.0, &mut |plugin| config = plugin.take());
        let kind = |name: &str| format!("type.googleapis.com/envoy.extensions.filters.network.{name}");
        self.0["static_resources"]["listeners"][0]["filter_chains"][0]["filters"] = json!([
            {"name": "plugin", "typed_config": {"@type": kind("wasm.v3.Wasm"), "config": config}},
            {"name": "tcp", "typed_config": {"@type": kind("tcp_proxy.v3.TcpProxy"), "stat_prefix": "tcp", "cluster": "v1"}}
        ]);
        // What speaks HTTP to upstreams has no part in it.
        for cluster in self.0["static_resources"]["clusters"].as_array_mut().into_iter().flatten() {
            _ = cluster
                .as_object_mut()
                .and_then(|cluster| cluster.remove("typed_extension_protocol_options"));
        }
    }

    /// Names the plugins and their VMs as the harness does by itself, and lets requests fail when they have trapped.
    pub fn be_plain(&mut self) {
        plugins(&mut self.0, &mut |plugin| {
            plugin["name"] = json!("plugin");
            plugin["vm_config"]["vm_id"] = json!("");
            _ = plugin.as_object_mut().and_then(|plugin| plugin.remove("failure_policy"));
        });
    }

    /// Leaves dynamic metadata before the plugins, by the names of the filters that it is of.
    pub fn set_metadata(&mut self, metadata: &BTreeMap<String, Value>) {
        if metadata.is_empty() {
            return;
        }
        let entry = |(name, value): (&String, &Value)| json!({"metadata_namespace": name, "value": value});
        let entries: Vec<Value> = metadata.iter().map(entry).collect();
        let filter = json!({"name": "metadata", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config", "metadata": entries
        }});
        each(&mut self.0, "http_filters", &mut |filters| {
            if let Some(list) = filters.as_array_mut() {
                list.insert(0, filter.clone());
            }
        });
    }

    /// Gives the plugins' VMs an environment.
    pub fn set_environment(&mut self, variables: &BTreeMap<String, String>) {
        if !variables.is_empty() {
            plugins(&mut self.0, &mut |plugin| {
                plugin["vm_config"]["environment_variables"] = json!({"key_values": variables});
            });
        }
    }

    /// Sends a cluster's requests to this address; a cluster that is not there is added.
    pub fn set_cluster(&mut self, name: &str, address: Option<SocketAddr>) {
        let endpoint = |address: SocketAddr| json!({"endpoint": {"address": {"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}}}});
        let endpoints: Vec<Value> = address.into_iter().map(endpoint).collect();
        let assignment = json!({"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]});
        let Some(clusters) = self.0["static_resources"]["clusters"].as_array_mut() else { return };
        match clusters.iter_mut().find(|cluster| cluster["name"] == *name) {
            Some(cluster) => cluster["load_assignment"] = assignment,
            None => clusters.push(json!({"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment})),
        }
        if let Some(cluster) = clusters.iter_mut().find(|cluster| cluster["name"] == *name) {
            cluster["type"] = json!("STATIC");
        }
    }

    /// Prints these keys of filter state to Envoy's own log, as lines of the logger [`STATE_LOGGER`], when an exchange is over.
    pub fn print_state<'k>(&mut self, keys: impl IntoIterator<Item = &'k str>) {
        let line = |key| format!("{LINE_BEGINS}info {STATE_LOGGER} {key} %FILTER_STATE(wasm.{key}:PLAIN)%\n");
        let format: String = keys.into_iter().map(line).collect();
        if format.is_empty() {
            return;
        }
        let logger = json!({"name": "envoy.access_loggers.stderr", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
            "log_format": {"text_format_source": {"inline_string": format}}
        }});
        each(&mut self.0, "typed_config", &mut |config| {
            if config["@type"].as_str().is_some_and(|kind| kind.ends_with(".v3.HttpConnectionManager")) {
                match config["access_log"].as_array_mut() {
                    Some(loggers) => loggers.push(logger.clone()),
                    None => config["access_log"] = json!([logger]),
                }
            }
        });
    }

    /// Replaces the routes by a scenario's, with `v1` for what none of them is for.
    pub fn set_routes(&mut self, routes: &[Route]) {
        let mut list: Vec<Value> = routes.iter().map(route).collect();
        list.push(json!({"match": {"prefix": "/"}, "route": {"cluster": "v1"}}));
        self.set_route_list(&json!(list));
    }

    /// Replaces the routes by these.
    pub fn set_route_list(&mut self, list: &Value) {
        each(&mut self.0, "virtual_hosts", &mut |hosts| {
            for host in hosts.as_array_mut().into_iter().flatten() {
                host["routes"] = list.clone();
            }
        });
    }
}

/// What the module of a filter in dist/ may call, as the filter's bootstrap says it.
fn restriction(module: &Path) -> Option<Value> {
    let name = module.strip_prefix(project::dist()).ok()?.file_stem()?.to_str()?;
    let mut restriction = None;
    plugins(&mut Bootstrap::load(name).ok()?.0, &mut |plugin| {
        restriction = Some(plugin[RESTRICTION].clone());
    });
    restriction.filter(|restriction| !restriction.is_null())
}

fn restrict(plugin: &mut Value, restriction: Option<&Value>) {
    match restriction {
        Some(restriction) => plugin[RESTRICTION] = restriction.clone(),
        None => _ = plugin.as_object_mut().and_then(|plugin| plugin.remove(RESTRICTION)),
    }
}

/// A plugin's configuration that arrives as it is.
fn string_value(config: &[u8]) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": String::from_utf8_lossy(config)})
}

/// The options that make a cluster speak one protocol, for `typed_extension_protocol_options`.
pub fn protocol(field: &str, options: &Value) -> Value {
    json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {field: options}
    }})
}

/// A route as Envoy has it.
pub fn route(route: &Route) -> Value {
    let mut matches = json!({"prefix": route.prefix.as_deref().unwrap_or("/")});
    if let Some((name, value)) = &route.header {
        matches["headers"] = json!([{"name": name, "string_match": {"exact": value}}]);
    }
    let mut action = json!({"cluster": route.upstream});
    if let Some(timeout_ms) = route.timeout_ms {
        action["timeout"] = json!(format!("{}.{:03}s", timeout_ms / 1000, timeout_ms % 1000));
    }
    json!({"name": route.name, "match": matches, "route": action})
}

/// Calls `change` on the value of every field of this name.
fn each(value: &mut Value, field: &str, change: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == field {
                    change(value);
                }
                each(value, field, change);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, field, change)),
        _ => {}
    }
}

/// Calls `change` on the plugin configuration of every Wasm filter.
fn plugins(value: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    each(value, "typed_config", &mut |config| {
        if config["@type"].as_str().is_some_and(|kind| {
            kind.ends_with("http.wasm.v3.Wasm") || kind.ends_with(".wasm.v3.WasmAccessLog")
        }) {
            change(&mut config["config"]);
        }
    });
}
