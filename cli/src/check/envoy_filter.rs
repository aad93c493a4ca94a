//! Patches of EnvoyFilters: what Istio's validation refuses.

use super::{object::Object, report::Report, rule::rules};

const ENVOY_FILTER: &str = "https://istio.io/latest/docs/reference/config/networking/envoy-filter/";

rules! { "EnvoyFilter";
    ENVOY_FILTER_PATCH "envoy-filter-patch" Error
        "a patch without a place, an operation or a value is refused"
        fix "write `applyTo`, `patch.operation` and, but for REMOVE, `patch.value`" ENVOY_FILTER;
    ENVOY_FILTER_MATCH "envoy-filter-match" Error
        "what a patch matches on must be of the class that it applies to"
        fix "match on a listener for filters, on a routeConfiguration for routes, on a cluster for clusters, and on a waypoint for waypoints" ENVOY_FILTER;
}

/// Checks the patches.
pub fn check(object: &Object<'_>, report: &mut Report) {
    if !object.is_of("networking.istio.io", "EnvoyFilter") {
        return;
    }
    let Some(spec) = object.at.get("spec") else { return };
    for patch in spec.list("configPatches") {
        let matched = patch.get("match");
        let context = matched.as_ref().and_then(|matched| matched.text("context"));
        let has = |name: &str| matched.as_ref().is_some_and(|matched| matched.get(name).is_some());
        if (context == Some("WAYPOINT")) != has("waypoint")
            && (has("waypoint") || has("listener") || has("cluster") || has("routeConfiguration"))
        {
            report.missing(
                object,
                &ENVOY_FILTER_MATCH,
                &patch,
                "match",
                "must have a `waypoint` with the context WAYPOINT, and only there",
            );
            continue;
        }
        if context == Some("WAYPOINT") {
            continue;
        }
        let apply_to = patch.text("applyTo").unwrap_or("INVALID");
        if apply_to == "INVALID" {
            report.missing(object, &ENVOY_FILTER_PATCH, &patch, "applyTo", "must be there");
            continue;
        }
        let Some(value) = patch.get("patch") else {
            report.missing(object, &ENVOY_FILTER_PATCH, &patch, "patch", "must be there");
            continue;
        };
        let operation = value.text("operation").unwrap_or("INVALID");
        if operation == "INVALID" {
            report.missing(object, &ENVOY_FILTER_PATCH, &value, "operation", "must be there");
            continue;
        }
        if operation != "REMOVE" && value.get("value").is_none() {
            report.missing(
                object,
                &ENVOY_FILTER_PATCH,
                &value,
                "value",
                format!("must be there for {operation}"),
            );
            continue;
        }
        let wanted = match apply_to {
            "LISTENER" | "FILTER_CHAIN" | "NETWORK_FILTER" | "HTTP_FILTER" => "listener",
            "ROUTE_CONFIGURATION" | "VIRTUAL_HOST" | "HTTP_ROUTE" => "routeConfiguration",
            "CLUSTER" => "cluster",
            _ => continue,
        };
        let is_other = ["listener", "routeConfiguration", "cluster"].iter().any(|name| has(name));
        if is_other && !has(wanted) {
            let message = format!("must have a `{wanted}` where the patch applies to {apply_to}");
            report.missing(object, &ENVOY_FILTER_MATCH, &patch, "match", message);
        }
        let filter = matched.and_then(|matched| matched.at(&["listener", "filterChain", "filter"]));
        let Some(filter) = filter.filter(|_| wanted == "listener") else { continue };
        let name = filter.text("name").unwrap_or_default();
        if name.is_empty() {
            report.missing(object, &ENVOY_FILTER_MATCH, &filter, "name", "must be there");
        } else if let Some(sub) = filter.get("subFilter") {
            if apply_to != "HTTP_FILTER" {
                report.add(
                    object,
                    &ENVOY_FILTER_MATCH,
                    &sub,
                    format!("must be there for HTTP_FILTER only, not for {apply_to}"),
                );
            } else if !["envoy.filters.network.http_connection_manager", "envoy.http_connection_manager"]
                .contains(&name)
            {
                report.add(
                    object,
                    &ENVOY_FILTER_MATCH,
                    &sub,
                    format!("is in the connection manager, and the filter is `{name}`"),
                );
            } else if sub.text("name").unwrap_or_default().is_empty() {
                report.missing(object, &ENVOY_FILTER_MATCH, &sub, "name", "must be there");
            }
        }
    }
}
