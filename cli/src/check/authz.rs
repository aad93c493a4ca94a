//! AuthorizationPolicies: what Istio's validation refuses.

use super::{
    object::{At, Object},
    report::Report,
    rule::rules,
};
use std::net::IpAddr;

const POLICY: &str = "https://istio.io/latest/docs/reference/config/security/authorization-policy/";
const CONDITIONS: &str = "https://istio.io/latest/docs/reference/config/security/conditions/";

rules! { "AuthorizationPolicy";
    AUTHZ_PROVIDER "authz-provider" Error
        "CUSTOM asks the provider that is named, and no other action asks one"
        fix "write `provider: { name: ... }` with CUSTOM, and only there" POLICY;
    AUTHZ_NEVER_MATCHES "authz-never-matches" Error
        "CUSTOM and DENY without rules never match, and Istio refuses them"
        fix "write a rule, or `rules: [{}]` for every request" POLICY;
    AUTHZ_CUSTOM "authz-custom" Error
        "CUSTOM is decided before any identity is known, so its rules cannot ask for one"
        fix "match on paths, hosts, ports, methods or addresses" POLICY;
    AUTHZ_EMPTY "authz-empty" Error
        "an empty list or text matches nothing or everything, and Istio refuses it"
        fix "write a value, or leave the field out" POLICY;
    AUTHZ_SERVICE_ACCOUNTS "authz-service-accounts" Error
        "service accounts are whole names, `NAMESPACE/NAME` or `NAME`, at most 16, and not beside principals or namespaces"
        fix "write `serviceAccounts: [\"NAMESPACE/NAME\"]` alone" POLICY;
    AUTHZ_IP "authz-ip" Error
        "Istio takes addresses and CIDR ranges"
        fix "write an address such as `203.0.113.4` or a range such as `203.0.113.0/24`" POLICY;
    AUTHZ_PORT "authz-port" Error
        "Istio takes ports as texts, from 0 to 65535"
        fix "write a port in quotes, such as `\"8080\"`" POLICY;
    AUTHZ_PATH "authz-path" Error
        "a template is `{*}` for one segment or `{**}` for the rest, each a segment of its own, and `{**}` once and before no other"
        fix "write a path such as `/users/{*}/orders/{**}`" POLICY;
    AUTHZ_WILDCARD "authz-wildcard" Error
        "in a trust domain `*` stands once, at the beginning or the end"
        fix "write the trust domain, or `*` at one end of it" POLICY;
    AUTHZ_CONDITION "authz-condition" Error
        "a condition on an attribute that Istio does not know makes the policy invalid"
        fix "write a key of Istio's list, such as `request.headers[x-user]`, and values for it" CONDITIONS;
}

const SOURCE: [&str; 14] = [
    "principals",
    "notPrincipals",
    "requestPrincipals",
    "notRequestPrincipals",
    "namespaces",
    "notNamespaces",
    "ipBlocks",
    "notIpBlocks",
    "remoteIpBlocks",
    "notRemoteIpBlocks",
    "serviceAccounts",
    "notServiceAccounts",
    "trustDomains",
    "notTrustDomains",
];
const OPERATION: [&str; 8] =
    ["hosts", "notHosts", "ports", "notPorts", "methods", "notMethods", "paths", "notPaths"];

/// Whether an object is an AuthorizationPolicy.
pub fn is_policy(object: &Object<'_>) -> bool {
    object.is_of("security.istio.io", "AuthorizationPolicy")
}

/// Checks an AuthorizationPolicy.
pub fn check(object: &Object<'_>, report: &mut Report) {
    if !is_policy(object) {
        return;
    }
    let Some(spec) = object.at.get("spec") else { return };
    let action = spec.text("action").unwrap_or("ALLOW");
    let place = spec.get("action").unwrap_or_else(|| spec.clone());
    if ["CUSTOM", "DENY"].contains(&action) && spec.get("rules").is_none_or(|rules| rules.is_null()) {
        report.missing(object, &AUTHZ_NEVER_MATCHES, &spec, "rules", format!("must be there with {action}"));
    }
    let provider = spec.get("provider");
    let has_name =
        provider.as_ref().and_then(|provider| provider.text("name")).is_some_and(|name| !name.is_empty());
    if action == "CUSTOM" && !has_name {
        report.missing(object, &AUTHZ_PROVIDER, &place, "provider.name", "must be there with CUSTOM");
    }
    if let Some(provider) = provider.filter(|_| action != "CUSTOM") {
        report.add(object, &AUTHZ_PROVIDER, &provider, format!("must not be there with {action}"));
    }
    for rule in spec.list("rules") {
        check_rule(object, &rule, action, report);
    }
}

fn check_rule(object: &Object<'_>, rule: &At<'_>, action: &str, report: &mut Report) {
    for (list, inner, fields) in
        [("from", "source", SOURCE.as_slice()), ("to", "operation", OPERATION.as_slice())]
    {
        if rule.get(list).is_some_and(|list| list.is_empty()) {
            report.missing(object, &AUTHZ_EMPTY, rule, list, "must not be empty");
        }
        for item in rule.list(list) {
            let Some(part) = item.get(inner).filter(|part| !part.is_null()) else {
                report.missing(object, &AUTHZ_EMPTY, &item, inner, "must be there");
                continue;
            };
            if fields.iter().all(|name| part.get(name).is_none_or(|list| list.is_empty())) {
                report.add(object, &AUTHZ_EMPTY, &part, "must have a field that is not empty");
            }
            for name in fields {
                if let Some(list) = part.get(name) {
                    values(object, name, &list, report);
                }
            }
            if inner == "source" {
                source(object, &part, action, report);
            }
        }
    }
    for condition in rule.list("when") {
        when(object, &condition, action, report);
    }
}

fn source(object: &Object<'_>, source: &At<'_>, action: &str, report: &mut Report) {
    let has = |name: &str| source.get(name).is_some_and(|list| !list.is_empty());
    let accounts = ["serviceAccounts", "notServiceAccounts"];
    let beside = ["principals", "notPrincipals", "namespaces", "notNamespaces"];
    if let Some(name) = accounts.iter().find(|name| has(name))
        && beside.iter().any(|name| has(name))
    {
        report.missing(
            object,
            &AUTHZ_SERVICE_ACCOUNTS,
            source,
            name,
            "must not be there beside principals or namespaces",
        );
    }
    if action == "CUSTOM" {
        for name in SOURCE.iter().filter(|name| !name.to_lowercase().contains("ipblocks") && has(name)) {
            report.missing(object, &AUTHZ_CUSTOM, source, name, "must not be there with CUSTOM");
        }
    }
}

/// Checks the values of a list by what the list is of.
fn values(object: &Object<'_>, name: &str, list: &At<'_>, report: &mut Report) {
    if name.to_lowercase().ends_with("serviceaccounts") && list.items().count() > 16 {
        report.add(object, &AUTHZ_SERVICE_ACCOUNTS, list, "must have at most 16 values");
    }
    for at in list.items() {
        let Some(value) = at.str() else { continue };
        if value.is_empty() {
            report.add(object, &AUTHZ_EMPTY, &at, "must not be empty");
            continue;
        }
        let kind = name.strip_prefix("not").unwrap_or(name).to_lowercase();
        match kind.as_str() {
            "ipblocks" | "remoteipblocks" if !is_address(value) => {
                report.add(
                    object,
                    &AUTHZ_IP,
                    &at,
                    format!("must be an address or a CIDR range, got `{value}`"),
                );
            }
            "ports" if value.parse::<u16>().is_err() => {
                report.add(object, &AUTHZ_PORT, &at, format!("must be 0..=65535, got `{value}`"));
            }
            "serviceaccounts" if !is_account(value) => {
                report.add(
                    object,
                    &AUTHZ_SERVICE_ACCOUNTS,
                    &at,
                    format!("must be NAMESPACE/NAME or NAME, got `{value}`"),
                );
            }
            "trustdomains" if !is_trust_domain(value) => {
                report.add(
                    object,
                    &AUTHZ_WILDCARD,
                    &at,
                    format!("must have no `/`, and one `*` at an end, got `{value}`"),
                );
            }
            "paths" if !is_path(value) => {
                report.add(object, &AUTHZ_PATH, &at, format!("must be a path or a template, got `{value}`"));
            }
            _ => {}
        }
    }
}

fn when(object: &Object<'_>, condition: &At<'_>, action: &str, report: &mut Report) {
    let Some(key) = condition.text("key") else { return };
    if key.is_empty() {
        return report.missing(object, &AUTHZ_CONDITION, condition, "key", "must not be empty");
    }
    let lists = || ["values", "notValues"].into_iter().filter_map(|name| condition.get(name));
    if lists().all(|list| list.is_empty()) {
        report.missing(object, &AUTHZ_CONDITION, condition, "values", "must be there, or `notValues`");
    }
    let kind = match key {
        "source.ip" | "remote.ip" | "destination.ip" => "ipBlocks",
        "destination.port" => "ports",
        "source.serviceAccount" => "serviceAccounts",
        "source.trustDomain" => "trustDomains",
        _ => "",
    };
    for list in lists() {
        values(object, kind, &list, report);
    }
    if !is_attribute(key) {
        report.missing(object, &AUTHZ_CONDITION, condition, "key", format!("Istio has no attribute `{key}`"));
    }
    let identities = ["source.namespace", "source.serviceAccount", "source.trustDomain", "source.principal"];
    if action == "CUSTOM" && (identities.contains(&key) || key.starts_with("request.auth.")) {
        report.missing(
            object,
            &AUTHZ_CUSTOM,
            condition,
            "key",
            format!("`{key}` must not be there with CUSTOM"),
        );
    }
}

fn is_attribute(key: &str) -> bool {
    let plain = [
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.serviceAccount",
        "source.principal",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "destination.ip",
        "destination.port",
        "connection.sni",
    ];
    let nested = ["request.headers", "request.auth.claims", "experimental.envoy.filters."];
    let has_key = key.find('[').is_some_and(|open| open > 0 && key.ends_with(']') && open + 2 < key.len());
    plain.contains(&key) || has_key && nested.iter().any(|start| key.starts_with(start))
}

fn is_address(value: &str) -> bool {
    let (address, bits) =
        value.split_once('/').map_or((value, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let is_number = |bits: &str| bits == "0" || !bits.starts_with(['0', '+']);
    bits.is_none_or(|bits| is_number(bits) && bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}

fn is_account(value: &str) -> bool {
    let parts: Vec<_> = value.split('/').collect();
    value.len() <= 320
        && !value.contains('*')
        && parts.len() <= 2
        && parts.iter().all(|part| !part.is_empty())
}

fn is_trust_domain(value: &str) -> bool {
    let stars = value.matches('*').count();
    !value.contains('/') && (stars == 0 || stars == 1 && (value.starts_with('*') || value.ends_with('*')))
}

/// Whether a path is a literal, or a template as Istio takes them.
fn is_path(value: &str) -> bool {
    let is_template = value.contains("{*}") || value.contains("{**}");
    let is_literal = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "-._~%!$&'()+,;:@=".contains(letter))
    };
    let mut rest = false;
    value.trim_matches('/').split('/').all(|part| match part {
        "{*}" => !rest,
        "{**}" => !std::mem::replace(&mut rest, true),
        part => !part.contains(['{', '}']) && (!is_template || is_literal(part)),
    })
}
