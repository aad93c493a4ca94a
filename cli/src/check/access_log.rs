//! What else writes of a request that access-log cleans, and what policy needs beside it.

use super::{
    object::{At, Object},
    order::plain,
    plugin::{self, Origin, Plugin},
    report::Report,
    rule::rules,
};
use crate::document::{Data, Node};

rules! { "Around the filters";
    ACCESS_LOG_RAW_PATH "access-log-raw-path" Error
        "a logger beside access-log that writes the raw path writes the personal data that access-log takes out"
        fix "print the record, `%FILTER_STATE(wasm.outrigger.log:PLAIN)%`, in place of the path, or remove the logger"
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage";
    POLICY_PEER_UNKNOWN "policy-peer-unknown" Warning
        "a plugin cannot see the direct peer's address: without the filter state that tells it, a rule on ipBlocks has nothing to compare"
        fix "put envoy.filters.http.set_filter_state before policy, with `object_key: outrigger.peer` and %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/set_filter_state";
}

/// Checks the connection managers of a configuration of Envoy.
pub fn check(object: &Object<'_>, report: &mut Report) {
    let mut found = Vec::new();
    let is_manager = |node: &Node| node.get("http_filters").is_some() || node.get("access_log").is_some();
    object.at.node.find(&object.at.path, &is_manager, &mut found);
    for (path, node) in found {
        let manager = At { node, path };
        let entries = || manager.list("http_filters").chain(manager.list("access_log"));
        let is_ours = |entry: &At<'_>| {
            let plugin =
                entry.get("typed_config").and_then(|config| plugin::envoy(&config.path, config.node));
            plugin.is_some_and(|plugin| plugin.runs("access-log"))
        };
        if !entries().any(|entry| is_ours(&entry)) {
            continue;
        }
        for logger in manager.list("access_log").filter(|logger| !is_ours(logger)) {
            if let Some(message) = raw_path(logger.node) {
                let place = logger.get("typed_config").unwrap_or(logger);
                report.add(object, &ACCESS_LOG_RAW_PATH, &place, message);
            }
        }
    }
}

/// How a logger comes to write the raw path, if it does.
fn raw_path(logger: &Node) -> Option<&'static str> {
    let config = logger.get("typed_config")?;
    let kind = config.get("@type").and_then(Node::as_str).unwrap_or_default();
    let kind = kind.rsplit('.').next().unwrap_or_default();
    if kind == "HttpGrpcAccessLogConfig" {
        return Some("the gRPC logger always sends the raw path");
    }
    if texts(config, &|text| has_raw_path(text)) {
        return Some("the format has the raw path");
    }
    let formats = ["log_format", "format", "json_format", "typed_json_format"];
    let has_format = formats.iter().any(|name| config.get(name).is_some());
    let has_default = ["FileAccessLog", "StdoutAccessLog", "StderrAccessLog"].contains(&kind);
    (has_default && !has_format).then_some("no format is given, and Envoy's default format has the raw path")
}

/// Whether a format prints `:path`, or the path before a rewrite.
fn has_raw_path(format: &str) -> bool {
    format.to_ascii_uppercase().split('%').skip(1).any(|command| {
        let Some(headers) = command.strip_prefix("REQ(").and_then(|rest| rest.split(')').next()) else {
            return command.starts_with("PATH(") || command == "REQUESTED_PATH";
        };
        headers.split('?').any(|header| header == ":PATH" || header == "X-ENVOY-ORIGINAL-PATH")
    })
}

/// Whether any text within a value is one that is wanted.
fn texts(node: &Node, wanted: &dyn Fn(&str) -> bool) -> bool {
    match &node.data {
        Data::Scalar(value) => value.as_str().is_some_and(wanted),
        Data::List(items) => items.iter().any(|item| texts(item, wanted)),
        Data::Map(fields) => fields.iter().any(|(_, field)| texts(field, wanted)),
    }
}

/// Checks the plugins of all files against what stands beside them.
pub fn check_all(plugins: &[(&Object<'_>, Plugin<'_>)], objects: &[Object<'_>], report: &mut Report) {
    for telemetry in objects.iter().filter(|object| object.is_of("telemetry.istio.io", "Telemetry")) {
        let is_near = |object: &Object<'_>| {
            telemetry.namespace() == "istio-system" || object.namespace() == telemetry.namespace()
        };
        let has_access_log = plugins.iter().any(|(object, plugin)| {
            plugin.origin == Origin::Istio && plugin.runs("access-log") && is_near(object)
        });
        if has_access_log {
            default_format(telemetry, report);
        }
    }
    for (object, plugin) in plugins {
        let Some(part) = plugin.part("policy") else { continue };
        let Some(path) = part.config.as_ref().and_then(|config| ip_blocks(config, &part.path)) else {
            continue;
        };
        let tells = |object: &Object<'_>| {
            let is_peer =
                |node: &Node| node.get("object_key").and_then(Node::as_str) == Some("outrigger.peer");
            let mut found = Vec::new();
            object.at.node.find("", &is_peer, &mut found);
            !found.is_empty()
        };
        let has_peer = match plugin.origin {
            Origin::Plain => true,
            Origin::Envoy if object.kind.is_empty() => tells(object),
            _ => {
                objects.iter().any(|other| other.is_of("networking.istio.io", "EnvoyFilter") && tells(other))
            }
        };
        if !has_peer {
            let (line, field) = plugin.place(&path);
            let message =
                "compares the direct peer's address, and nothing sets the filter state `outrigger.peer`"
                    .to_owned();
            report.add_to(object, &POLICY_PEER_UNKNOWN, line, &field, message);
        }
    }
}

/// Istio's provider `envoy` writes Envoy's default format.
fn default_format(telemetry: &Object<'_>, report: &mut Report) {
    for logging in telemetry.at.get("spec").iter().flat_map(|spec| spec.list("accessLogging")) {
        if logging.flag("disabled") == Some(true) {
            continue;
        }
        for provider in logging.list("providers").filter(|provider| provider.text("name") == Some("envoy")) {
            let message = "the provider `envoy` writes the default format, which has the raw path";
            report.add(telemetry, &ACCESS_LOG_RAW_PATH, &provider, message);
        }
    }
}

/// The path of the first rule of a policy that looks at the direct peer's address; the policy stands at `path`.
fn ip_blocks(config: &Node, path: &str) -> Option<String> {
    let names = ["ipblocks", "notipblocks"];
    let looks = |node: &Node| {
        node.fields().iter().any(|(name, value)| {
            names.contains(&plain(name).as_str())
                || (name == "key" && value.as_str() == Some("source.ip"))
                || (name == "on" && value.as_str() == Some("peer"))
        })
    };
    let mut found = Vec::new();
    config.find(path, &looks, &mut found);
    found.into_iter().next().map(|(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::has_raw_path;

    #[test]
    fn raw_paths_are_seen_in_every_form() {
        for raw in [
            "%REQ(:PATH)%",
            "x %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% y",
            "%req(:path):10%",
            "%REQ(X-ENVOY-ORIGINAL-PATH)%",
            "%PATH(WQ)%",
        ] {
            assert!(has_raw_path(raw), "{raw}");
        }
        for clean in [
            "%REQ(:METHOD)%",
            "%REQ(X-PATH)%",
            "%FILTER_STATE(wasm.outrigger.log:PLAIN)%",
            "PATH(",
            "%ROUTE_NAME%",
        ] {
            assert!(!has_raw_path(clean), "{clean}");
        }
    }
}
