//! What an object of Istio's is for: its selector, or the targets that it names.

use super::{
    object::{At, Object},
    report::Report,
    rule::rules,
};

const TARGETS: &str = "https://istio.io/latest/docs/reference/config/type/workload-selector/";

rules! { "Selectors and targets in Istio";
    SELECTOR_AND_TARGET "selector-and-target" Error
        "an object is for the workloads of a selector or for the targets it names, not for both"
        fix "write one of `selector` and `targetRefs`" TARGETS;
    TARGET_REF "target-ref" Error
        "Istio takes a Gateway, a GatewayClass, a Service or a ServiceEntry of the same namespace as a target"
        fix "name such an object with its `group`, `kind` and `name`, and no `namespace`" TARGETS;
    SELECTOR_WILDCARD "selector-wildcard" Error
        "a selector's labels are compared as they stand: Istio refuses `*` and empty keys in them"
        fix "write the whole label" TARGETS;
    SELECTOR_EMPTY "selector-empty" Warning
        "a selector without labels selects every workload of the namespace"
        fix "write a label, or leave the selector out" TARGETS;
}

/// The groups and kinds that may be targets.
const ALLOWED: [(&str, &str); 5] = [
    ("", "Service"),
    ("core", "Service"),
    ("networking.istio.io", "ServiceEntry"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
];

/// Checks the selector and the targets of an object of Istio's that may have them.
pub fn check(object: &Object<'_>, report: &mut Report) {
    let kinds = [
        ("extensions.istio.io", "WasmPlugin"),
        ("extensions.istio.io", "TrafficExtension"),
        ("networking.istio.io", "EnvoyFilter"),
        ("security.istio.io", "AuthorizationPolicy"),
        ("security.istio.io", "PeerAuthentication"),
        ("networking.istio.io", "DestinationRule"),
        ("telemetry.istio.io", "Telemetry"),
    ];
    let Some(spec) = object.at.get("spec") else { return };
    if !kinds.iter().any(|(group, kind)| object.is_of(group, kind)) {
        return;
    }
    let selector = spec.get("selector").or_else(|| spec.get("workloadSelector"));
    let one = spec.get("targetRef");
    let many = spec.get("targetRefs").filter(|list| !list.is_empty());
    let set = [&selector, &one, &many].into_iter().flatten().collect::<Vec<_>>();
    if let [_, second, ..] = set.as_slice() {
        report.add(
            object,
            &SELECTOR_AND_TARGET,
            second,
            "must not be there beside another selector or target",
        );
    }
    if let Some(selector) = &selector {
        labels(object, selector, report);
    }
    if many.as_ref().is_some_and(|list| list.items().count() > 16) {
        report.missing(object, &TARGET_REF, &spec, "targetRefs", "must have at most 16 targets");
    }
    let targets = many.iter().flat_map(At::items).chain(one);
    for target in targets {
        check_target(object, &target, report);
    }
}

fn labels(object: &Object<'_>, selector: &At<'_>, report: &mut Report) {
    let labels = selector.get("matchLabels").or_else(|| selector.get("labels"));
    if labels.as_ref().is_none_or(At::is_empty) {
        report.add(object, &SELECTOR_EMPTY, selector, "has no labels");
    }
    for (key, value) in labels.iter().flat_map(At::fields) {
        if key.is_empty() || key.contains('*') || value.str().is_some_and(|text| text.contains('*')) {
            report.add(
                object,
                &SELECTOR_WILDCARD,
                &value,
                format!("`{key}: {}` must have no `*`, and a key", value.str().unwrap_or_default()),
            );
        }
        if value.str().is_some_and(|text| text.len() > 63) {
            report.add(object, &super::kinds::INVALID_VALUE, &value, "must have at most 63 bytes");
        }
    }
}

fn check_target(object: &Object<'_>, target: &At<'_>, report: &mut Report) {
    let text = |key| target.text(key).unwrap_or_default();
    let (group, kind) = (text("group"), text("kind"));
    if target.text("name").is_some_and(str::is_empty) {
        report.missing(object, &TARGET_REF, target, "name", "must not be empty");
    }
    if !text("namespace").is_empty() {
        report.missing(
            object,
            &TARGET_REF,
            target,
            "namespace",
            "must not be there: a target is in the object's namespace",
        );
    }
    if target.get("kind").is_some() && !ALLOWED.contains(&(group, kind)) {
        let message = format!(
            "must be a Gateway, GatewayClass, Service or ServiceEntry with its group, got `{group}/{kind}`"
        );
        report.missing(object, &TARGET_REF, target, "kind", message);
    }
}
