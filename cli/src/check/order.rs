//! The order of filters in a chain: in Envoy as they are listed, in Istio by phase and priority.

use super::{
    object::{At, Object},
    plugin::{self, Origin, Plugin},
    report::Report,
    rule::rules,
};
use crate::document::Node;

const PHASE: &str = "https://istio.io/latest/docs/reference/config/proxy_extensions/wasm-plugin/#PluginPhase";

rules! { "The order of filters";
    FILTER_ORDER "filter-order" Error
        "ab-routing changes headers and counts exposures, so a request that policy denies would count, and policy would judge what the client did not send"
        fix "put policy before ab-routing: an earlier phase, or a higher priority in the same one" PHASE;
    FILTER_ORDER_UNCLEAR "filter-order-unclear" Warning
        "of two plugins of one phase and priority, nothing that you wrote says which comes first"
        fix "give policy the higher `priority`, or `phase: AUTHZ`" PHASE;
    POLICY_BEFORE_JWT "policy-before-jwt" Error
        "in the phase AUTHN no token is verified yet, so no claim and no request principal is there, and a rule on one never matches"
        fix "write `phase: AUTHZ`" PHASE;
    FILTER_AFTER_ROUTER "filter-after-router" Error
        "the router ends the chain: Envoy refuses a filter behind it"
        fix "put the filter before envoy.filters.http.router"
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter";
}

/// Checks the chains of a configuration of Envoy.
pub fn check(object: &Object<'_>, report: &mut Report) {
    let mut found = Vec::new();
    object.at.node.find(&object.at.path, &|node| node.get("http_filters").is_some(), &mut found);
    for (path, node) in found {
        let mut router = false;
        let mut ab_routing = false;
        for filter in (At { node, path }).list("http_filters") {
            let plugin =
                filter.get("typed_config").and_then(|config| plugin::envoy(&config.path, config.node));
            let runs = |name| plugin.as_ref().is_some_and(|plugin| plugin.runs(name));
            if router {
                report.add(object, &FILTER_AFTER_ROUTER, &filter, "stands behind the router");
            }
            if runs("policy") && ab_routing {
                report.add(object, &FILTER_ORDER, &filter, "policy stands behind ab-routing");
            }
            ab_routing |= runs("ab-routing");
            let kind = filter.node.at(&["typed_config", "@type"]).and_then(Node::as_str).unwrap_or_default();
            router |= kind.ends_with(".router.v3.Router");
        }
    }
}

/// Where Istio puts a plugin: the phase, and the priority turned round, so that less is earlier.
fn rank(spec: &At<'_>) -> (u8, i64) {
    let phase = match spec.text("phase") {
        Some("AUTHN") => 0,
        Some("AUTHZ") => 1,
        Some("STATS") => 2,
        _ => 3,
    };
    (phase, -spec.get("priority").and_then(|at| at.integer()).unwrap_or(0))
}

/// Whether a plugin sits inbound, and outbound.
fn directions(spec: &At<'_>) -> (bool, bool) {
    let modes: Vec<_> = spec.list("match").map(|item| item.text("mode").unwrap_or_default()).collect();
    let has = |mode| {
        modes.is_empty() || modes.iter().any(|own| *own == mode || !["CLIENT", "SERVER"].contains(own))
    };
    (has("SERVER"), has("CLIENT"))
}

/// Whether two plugins can be in the chain of one workload.
fn meet(one: (&Object<'_>, &At<'_>), other: (&Object<'_>, &At<'_>)) -> bool {
    let place = |spec: &At<'_>| {
        ["selector", "targetRef", "targetRefs"].map(|key| spec.node.get(key).map(Node::to_json))
    };
    let (own, others) = (place(one.1), place(other.1));
    let is_all = |place: &[Option<serde_json::Value>]| place.iter().all(Option::is_none);
    let (own_way, other_way) = (directions(one.1), directions(other.1));
    one.0.namespace() == other.0.namespace()
        && (own == others || is_all(&own) || is_all(&others))
        && (own_way.0 && other_way.0 || own_way.1 && other_way.1)
}

/// Checks the plugins of all files against each other.
pub fn check_all(plugins: &[(&Object<'_>, Plugin<'_>)], report: &mut Report) {
    let in_istio = |filter: &'static str| {
        let own = plugins.iter().filter(|(_, plugin)| plugin.origin == Origin::Istio);
        own.filter_map(move |(object, plugin)| Some((*object, plugin.part(filter)?)))
    };
    for (object, part) in in_istio("policy") {
        let Some(spec) = object.at.get("spec") else { continue };
        let place = spec.get("phase").unwrap_or_else(|| spec.clone());
        if rank(&spec).0 == 0 && part.config.is_some_and(|config| reads_claims(&config)) {
            let message =
                "the phase AUTHN is before the filter that verifies tokens, and the policy reads claims"
                    .to_owned();
            report.add_to(object, &POLICY_BEFORE_JWT, place.node.line, &spec.path_of("phase"), message);
        }
        // Within a module policy is before ab-routing; and one of the same name with a policy too is the same plugin, written as the other kind.
        let is_same = |other: &Object<'_>| {
            other.metadata("name") == object.metadata("name")
                && in_istio("policy").any(|(one, _)| std::ptr::eq(one, other))
        };
        for (other, _) in in_istio("ab-routing").filter(|(other, _)| !is_same(other)) {
            let Some(others) = other.at.get("spec").filter(|others| meet((object, &spec), (other, others)))
            else {
                continue;
            };
            let name = other.metadata("name").unwrap_or("ab-routing");
            let (rule, message) = match rank(&spec).cmp(&rank(&others)) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => (
                    &FILTER_ORDER_UNCLEAR,
                    format!("policy has the phase and the priority of `{name}`, which runs ab-routing"),
                ),
                std::cmp::Ordering::Greater => {
                    (&FILTER_ORDER, format!("policy comes after `{name}`, which runs ab-routing"))
                }
            };
            report.add_to(object, rule, place.node.line, &spec.path_of("phase"), message);
        }
    }
}

/// A name without case, `_` and `-`.
pub fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// Whether a policy looks at what a verified token says.
fn reads_claims(config: &Node) -> bool {
    let names = ["requestprincipals", "notrequestprincipals", "claims", "claim"];
    let has_name = |node: &Node| node.fields().iter().any(|(name, _)| names.contains(&plain(name).as_str()));
    let has_key = |node: &Node| {
        let key = node.get("key").or_else(|| node.get("on")).and_then(Node::as_str).unwrap_or_default();
        key.starts_with("request.auth.") || key == "claim"
    };
    let mut found = Vec::new();
    config.find("", &|node| has_name(node) || has_key(node), &mut found);
    !found.is_empty()
}
