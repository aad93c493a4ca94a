//! What this project's filters are compared with: the least that a module can be, SDKs, Lua, and Envoy's own filters.

use super::{COPIES, variant::Variant};
use crate::{build, e2e::rbac, project};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{fmt::Write as _, fs};

/// Gets a header and sets one: the least that a filter of any use does.
const LUA: &str = "function envoy_on_request(handle)\n  local headers = handle:headers()\n  headers:replace('x-lua', headers:get('cookie'))\nend\n";

/// All of them.
///
/// # Errors
/// A module does not build.
pub fn all() -> Result<Vec<Variant>> {
    let own = |name: &str, filter: Value| Variant {
        name: name.to_owned(),
        filters: vec![filter],
        ..Variant::default()
    };
    let writes = |name: &str| vec![name.to_owned()];
    let mut all = vec![
        raw("raw floor", &["proxy_on_request_headers".to_owned()])?,
        Variant::module("kit no-op", &build::fixture("kit_noop")?),
        Variant::module("SDK no-op", &build::fixture("sdk_noop")?),
        Variant::module("SDK, ten properties in on_log", &build::fixture("sdk_ten_properties")?),
        Variant {
            counter: Some(("sdk_requests_ended_total".to_owned(), 1)),
            ..Variant::module("SDK, two counters and a histogram", &build::fixture("sdk_metrics")?)
        },
        Variant { writes: writes("x-lua"), ..own("Lua get and set", lua()) },
        Variant { writes: writes("x-mutated"), ..own("header_mutation, one header", mutation()) },
        // A route of every copy is tried before the one that answers.
        Variant {
            name: "ten routes by header".to_owned(),
            routes: routes(10 * COPIES),
            ..Variant::default()
        },
        Variant {
            name: "JSON access log, ten fields".to_owned(),
            logger: Some(json_log()),
            ..Variant::default()
        },
    ];
    for count in [10, 100, 1000] {
        let filters = rbac::translate(&policies(count), &["cluster.local".to_owned()]);
        let filters = filters.into_iter().map(|mut filter| filter["typed_config"].take()).collect();
        all.push(Variant { name: format!("RBAC, {count} rules"), filters, ..Variant::default() });
    }
    Ok(all)
}

/// A module without an SDK that exports callbacks and does nothing in them.
///
/// # Errors
/// It cannot be written.
pub fn raw(name: &str, callbacks: &[String]) -> Result<Variant> {
    let mut text = String::from(
        r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")) (func (export "_initialize"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))"#,
    );
    for export in callbacks {
        let signature = match export.as_str() {
            "proxy_on_log" | "proxy_on_tick" | "proxy_on_delete" => "(param i32)",
            "proxy_on_context_create" => "(param i32 i32)",
            "proxy_on_http_call_response" => "(param i32 i32 i32 i32 i32)",
            "proxy_on_request_trailers" | "proxy_on_response_trailers" => {
                "(param i32 i32) (result i32) (i32.const 0)"
            }
            _ => "(param i32 i32 i32) (result i32) (i32.const 0)",
        };
        let _ = write!(text, r#" (func (export "{export}") {signature})"#);
    }
    text.push(')');
    let path = project::scratch("bench")?.join(format!("{}.wasm", name.replace(' ', "-")));
    fs::write(&path, wat::parse_str(text).context("the raw module")?)?;
    Ok(Variant::module(name, &path))
}

/// A DENY policy of so many rules, as Istio's objects, none of which a `GET` meets.
pub fn policies(count: usize) -> Vec<Value> {
    let rule = |number| json!({"to": [{"operation": {"paths": [format!("/service{number}/items*")], "methods": ["POST"]}}]});
    let rules: Vec<Value> = (0..count).map(rule).collect();
    vec![json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": {"action": "DENY", "rules": rules}})]
}

/// What all routes answer.
pub fn answer() -> Value {
    json!({"status": 200, "body": {"inline_string": "hi"}})
}

fn lua() -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": LUA}
    })
}

fn mutation() -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": [
            {"append": {"header": {"key": "x-mutated", "value": "%REQ(cookie)%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
        ]}
    })
}

fn routes(count: usize) -> Vec<Value> {
    let route = |number: usize| {
        let header = json!({"name": "x-arm", "string_match": {"exact": format!("arm{number}")}});
        json!({"match": {"prefix": "/", "headers": [header]}, "direct_response": answer()})
    };
    (0..count).map(route).collect()
}

fn json_log() -> Value {
    let fields = json!({
        "time": "%START_TIME%", "duration": "%DURATION%", "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%",
        "status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "authority": "%REQ(:AUTHORITY)%",
        "agent": "%REQ(USER-AGENT)%", "request_id": "%REQ(X-REQUEST-ID)%", "trace": "%REQ(TRACEPARENT)%"
    });
    json!({"name": "envoy.access_loggers.file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": "/dev/null",
        "log_format": {"json_format": fields}
    }})
}
