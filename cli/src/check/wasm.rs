//! Plugins in WasmPlugins and TrafficExtensions: what Istio's validation refuses, and what it takes and should not.

use super::{
    object::{At, Object},
    plugin::{Origin, Plugin},
    report::Report,
    rule::rules,
    url::{self, Wrong},
};
use std::collections::BTreeSet;

const WASM: &str = "https://istio.io/latest/docs/reference/config/proxy_extensions/wasm-plugin/";

rules! { "Plugins in Istio";
    WASM_OR_LUA "wasm-or-lua" Error
        "a TrafficExtension is either a Wasm module or a Lua script"
        fix "write one of `wasm` and `lua`"
        "https://github.com/istio/istio/blob/master/pkg/config/validation/validation.go";
    WASM_URL "wasm-url" Error
        "Istio refuses the URL, or can never fetch a module from it"
        fix "write `oci://HOST/REPOSITORY:TAG`, `https://HOST/PATH` or `file:///PATH`" WASM;
    WASM_URL_FILE "wasm-url-file" Warning
        "a file URL with two slashes has a host, and the path is what stands behind it"
        fix "write three slashes: `file:///opt/filters/x.wasm`" WASM;
    WASM_PLAIN_HTTP "wasm-plain-http" Warning
        "over plain HTTP anybody on the way can hand over another module, unless its checksum is given"
        fix "write `https://`, or give `sha256`" WASM;
    WASM_SHA256 "wasm-sha256" Error
        "Istio takes a checksum of 64 lower-case hexadecimal digits, without the `sha256:` that image digests have"
        fix "write the 64 digits alone: of the manifest's digest for oci://, of the module's bytes for https://" WASM;
    ENV_NAME "env-name" Error
        "a variable of the VM needs a name of at most 256 bytes"
        fix "name the variable" WASM;
    ENV_DUPLICATE "env-duplicate" Error
        "Istio refuses two variables of one name"
        fix "leave one of them out" WASM;
    ENV_HOST_VALUE "env-host-value" Error
        "a variable comes from the proxy's environment (HOST) or has a value, not both"
        fix "leave `value` out, or write `valueFrom: INLINE`" WASM;
    MATCH_MODE_MISSING "match-mode-missing" Warning
        "without a mode a plugin sits inbound and outbound, so a request between two sidecars passes it in both, and what it counts counts twice"
        fix "write `match: [{ mode: SERVER }]`, or CLIENT for what the workload calls" WASM;
    POLICY_FAIL_OPEN "policy-fail-open" Error
        "a policy that fails open lets every request in when it cannot be fetched or traps"
        fix "write `failStrategy: FAIL_CLOSE` (in Envoy: `failure_policy: FAIL_CLOSED`), or FAIL_RELOAD" WASM;
    AB_ROUTING_INBOUND "ab-routing-inbound" Error
        "inbound, the route is picked already, and an arm cannot choose a subset any more"
        fix "write `match: [{ mode: CLIENT }]`, or select a gateway" WASM;
    IMAGE_PULL_POLICY "image-pull-policy" Warning
        "a mutable tag that is pulled once stays what it was, and a digest that is pulled always costs a fetch for nothing"
        fix "pin the module by digest and leave `imagePullPolicy` out"
        "https://istio.io/latest/docs/ops/configuration/extensibility/wasm-pull-policy/";
    VERIFICATION_KEY "verification-key" Warning
        "Istio has the field and does not read it: no signature is verified"
        fix "leave it out, and pin the module with `sha256` or by digest" WASM;
}

/// Checks the plugin of an object, if it is a WasmPlugin or a TrafficExtension.
pub fn check(object: &Object<'_>, report: &mut Report) {
    let Some(spec) = object.at.get("spec") else { return };
    if object.is_of("extensions.istio.io", "TrafficExtension") {
        let (wasm, lua) = (spec.get("wasm"), spec.get("lua"));
        if wasm.is_some() == lua.is_some() {
            let message =
                if wasm.is_some() { "has both `wasm` and `lua`" } else { "has neither `wasm` nor `lua`" };
            report.add(object, &WASM_OR_LUA, &spec, message);
        }
        if let Some(code) = lua.and_then(|lua| lua.get("inlineCode")) {
            length(object, &code, 1, 65_536, report);
        }
        if let Some(wasm) = wasm {
            source(object, &wasm, report);
        }
    } else if object.is_of("extensions.istio.io", "WasmPlugin") {
        source(object, &spec, report);
    }
}

/// Where a module comes from, and the VM that it runs in.
fn source(object: &Object<'_>, at: &At<'_>, report: &mut Report) {
    if let Some(place) = at.get("url")
        && let Some(text) = place.str()
    {
        match url::check(text) {
            Err(Wrong::Refused(message)) => report.add(object, &WASM_URL, &place, message),
            Err(Wrong::Misleading(message)) => report.add(object, &WASM_URL_FILE, &place, message),
            Ok(()) if text.starts_with("http://") && at.text("sha256").is_none_or(str::is_empty) => {
                report.add(
                    object,
                    &WASM_PLAIN_HTTP,
                    &place,
                    format!("`{text}` is fetched without TLS and without a checksum"),
                );
            }
            Ok(()) => {}
        }
    }
    if let Some(place) = at.get("sha256")
        && let Some(text) = place.str().filter(|text| !text.is_empty() && !url::is_sha256(text))
    {
        let how = if text.starts_with("sha256:") {
            "begins with `sha256:`".to_owned()
        } else if text.len() == 64 {
            "has other signs than 0-9 and a-f".to_owned()
        } else {
            format!("has {} signs", text.len())
        };
        report.add(
            object,
            &WASM_SHA256,
            &place,
            format!("must be 64 lower-case hexadecimal digits, and {how}"),
        );
    }
    for (name, least, most) in [("imagePullSecret", 1, 253), ("pluginName", 1, 256)] {
        if let Some(place) = at.get(name) {
            length(object, &place, least, most, report);
        }
    }
    if let Some(place) = at.get("verificationKey") {
        report.add(object, &VERIFICATION_KEY, &place, "is not read by Istio");
    }
    pull_policy(object, at, report);
    environment(object, at, report);
}

fn length(object: &Object<'_>, at: &At<'_>, least: usize, most: usize, report: &mut Report) {
    if let Some(text) = at.str().filter(|text| !(least..=most).contains(&text.len())) {
        let message = format!("must have {least} to {most} bytes, and has {}", text.len());
        report.add(object, &super::kinds::INVALID_VALUE, at, message);
    }
}

fn pull_policy(object: &Object<'_>, at: &At<'_>, report: &mut Report) {
    let Some(place) = at.get("imagePullPolicy") else { return };
    let url = at.text("url").unwrap_or_default();
    let is_pinned = url.contains('@') || at.text("sha256").is_some_and(|sum| !sum.is_empty());
    let name = url.rsplit('/').next().unwrap_or_default();
    let is_mutable = !is_pinned && (name.ends_with(":latest") || !name.contains(':'));
    match place.str() {
        Some("Always") if is_pinned => {
            report.add(
                object,
                &IMAGE_PULL_POLICY,
                &place,
                "`Always`, and the module is pinned: it cannot change",
            );
        }
        Some("IfNotPresent") if is_mutable => {
            report.add(
                object,
                &IMAGE_PULL_POLICY,
                &place,
                "`IfNotPresent`, and the module has no tag but `latest`: it will not be renewed",
            );
        }
        _ => {}
    }
}

fn environment(object: &Object<'_>, at: &At<'_>, report: &mut Report) {
    let Some(list) = at.at(&["vmConfig", "env"]) else { return };
    if list.items().count() > 256 {
        report.add(object, &super::kinds::INVALID_VALUE, &list, "must have at most 256 variables");
    }
    let mut names = BTreeSet::new();
    for variable in list.items() {
        if let Some(name) = variable.text("name") {
            if name.is_empty() || name.len() > 256 {
                let message = format!("a variable's name must have 1 to 256 bytes, and has {}", name.len());
                report.missing(object, &ENV_NAME, &variable, "name", message);
            } else if !names.insert(name) {
                report.missing(
                    object,
                    &ENV_DUPLICATE,
                    &variable,
                    "name",
                    format!("`{name}` is there already"),
                );
            }
        }
        let from = variable.text("valueFrom");
        if let Some(value) = variable.get("value").filter(|_| from == Some("HOST")) {
            report.add(object, &ENV_HOST_VALUE, &value, "must not be there beside `valueFrom: HOST`");
        }
        if variable.text("value").is_some_and(|value| value.len() > 2_048) {
            let message = "must have at most 2048 bytes".to_owned();
            report.missing(object, &super::kinds::INVALID_VALUE, &variable, "value", message);
        }
    }
}

/// Checks what depends on which filter a plugin is.
pub fn check_plugin(object: &Object<'_>, plugin: &Plugin<'_>, report: &mut Report) {
    if plugin.runs("policy") {
        for key in ["failStrategy", "failure_policy", "failurePolicy"] {
            if let Some(place) = plugin.at.get(key).filter(|place| place.str() == Some("FAIL_OPEN")) {
                report.add(object, &POLICY_FAIL_OPEN, &place, "must not be FAIL_OPEN");
            }
        }
        for key in ["fail_open", "failOpen"] {
            if plugin.at.flag(key) == Some(true) {
                report.missing(object, &POLICY_FAIL_OPEN, &plugin.at, key, "must not be true");
            }
        }
    }
    let Some(spec) = object.at.get("spec").filter(|_| plugin.origin == Origin::Istio) else { return };
    let matches: Vec<_> = spec.list("match").collect();
    if plugin.runs("ab-routing") {
        for place in
            matches.iter().filter_map(|item| item.get("mode")).filter(|mode| mode.str() == Some("SERVER"))
        {
            report.add(object, &AB_ROUTING_INBOUND, &place, "must be CLIENT, got `SERVER`");
        }
    }
    if is_gateway(&spec) {
        return;
    }
    if matches.is_empty() {
        report.missing(
            object,
            &MATCH_MODE_MISSING,
            &spec,
            "match",
            "is not there: the plugin sits inbound and outbound",
        );
    }
    for item in &matches {
        if matches!(item.text("mode"), None | Some("UNDEFINED")) {
            report.missing(
                object,
                &MATCH_MODE_MISSING,
                item,
                "mode",
                "is not there: the plugin sits inbound and outbound",
            );
        }
    }
}

/// Whether a plugin is a gateway's, where there is one direction only.
pub fn is_gateway(spec: &At<'_>) -> bool {
    let targets = spec.list("targetRefs").chain(spec.get("targetRef"));
    let is_target = targets.into_iter().any(|target| {
        matches!(target.text("kind"), Some("Gateway" | "GatewayClass" | "Service" | "ServiceEntry"))
    });
    let labels = spec.at(&["selector", "matchLabels"]);
    is_target
        || labels.is_some_and(|labels| {
            labels.fields().any(|(_, value)| value.str().is_some_and(|text| text.contains("gateway")))
        })
}
