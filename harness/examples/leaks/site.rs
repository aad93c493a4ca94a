//! Two proxies with all filters, which write all that they can by all ways out: a chain of the four, and all-in-one.
#![allow(clippy::indexing_slicing, reason = "JSON is written by index, which makes what is not there")]

use crate::{CHAIN, batch, outputs::Outputs};
use harness::{
    Bytes, Module, Options, Proxy, Settings, StartError,
    scenario::{Cluster, Exchange, Response},
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// The secret of everything that is signed.
const SECRET: &str = "a secret of the leaks that is long enough";

/// A chain of all filters, and all-in-one.
pub struct Site {
    proxies: [(&'static str, Proxy); 2],
    is_traced: bool,
}

impl Site {
    /// Proxies whose configuration knows fields of these names; `plant` names what one of them is let write.
    pub fn new(
        chain: &[Module],
        all_in_one: &Module,
        keys: &[&str],
        is_traced: bool,
        plant: Option<&str>,
    ) -> Result<Self, StartError> {
        let parts = [metrics(keys, plant), access_log(keys, plant), policy(plant), ab_routing(keys)];
        let (mut one, mut other) = (proxy(), proxy());
        for (module, ((_, field), part)) in chain.iter().zip(CHAIN.iter().zip(&parts)) {
            one.add(module, &options(field), Some(part.to_string().as_bytes()))?;
        }
        let all: Map<String, Value> =
            CHAIN.iter().zip(parts).map(|((_, field), part)| ((*field).to_owned(), part)).collect();
        other.add(all_in_one, &options("all"), Some(Value::from(all).to_string().as_bytes()))?;
        if is_traced {
            one.start_trace();
            other.start_trace();
        }
        Ok(Self { proxies: [("the chain", one), ("all-in-one", other)], is_traced })
    }

    /// The traps that have killed VMs.
    pub fn traps(&self) -> String {
        let traps = self.proxies.iter().flat_map(|(_, proxy)| proxy.traps());
        traps.map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// Takes an exchange through both, signed for a trace.
    pub fn exchange(&mut self, exchange: &Exchange) -> Vec<Outputs> {
        let is_traced = self.is_traced;
        let outputs = self.proxies.iter_mut().map(|(name, proxy)| {
            let mut exchange = exchange.clone();
            exchange.request.headers.push((Bytes::from("x-explain"), signature(&exchange, proxy.now())));
            let outcome = proxy.exchange(&exchange);
            let mut outputs = Outputs::new(name, &exchange, &outcome);
            // What is sent by a timer, and what is counted by the second.
            proxy.take_log();
            proxy.advance(Duration::from_millis(120));
            outputs.add_calls(&proxy.take_calls());
            let log: Vec<_> = proxy.take_log().into_iter().map(|(_, line)| line).collect();
            outputs.add_log(&log);
            if is_traced {
                outputs.add_steps(&proxy.take_trace());
            }
            outputs
        });
        outputs.collect()
    }
}

/// A VM that logs at every level.
pub fn options(vm_id: &str) -> Options {
    let environment = BTreeMap::from([("LEAKS".to_owned(), SECRET.to_owned())]);
    Options { environment, log_level: 0, vm_id: vm_id.to_owned(), ..Options::default() }
}

fn proxy() -> Proxy {
    let collector = Cluster::Answers { response: Response::default(), delay_ms: 0 };
    let clusters = BTreeMap::from([("collector".to_owned(), collector)]);
    Proxy::new(Settings { clusters, ..Settings::default() })
}

/// What asks policy for a trace of this very request.
fn signature(exchange: &Exchange, now: u64) -> Bytes {
    let request = &exchange.request;
    let until = now / 1_000_000_000 + 30;
    let text =
        format!("outrigger-explain-1\n{}\n{}\n{}\n{until}", request.method, request.authority, request.path);
    let mut signature = format!("{until}.");
    for byte in hmac(SECRET.as_bytes(), text.as_bytes()).iter().take(16) {
        _ = write!(signature, "{byte:02x}");
    }
    Bytes::from(signature.as_str())
}

/// HMAC-SHA-256 (RFC 2104) with a key of less than 64 bytes.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn header(key: &str) -> String {
    format!("x-{}", key.to_ascii_lowercase())
}

/// Labels from headers, cookies and parameters of all names.
fn metrics(keys: &[&str], plant: Option<&str>) -> Value {
    let label = |on: &str, name: String, number: usize| json!({"label": format!("l{number}"), "on": on, "name": name});
    let labels = |on: &str, names: Vec<String>| -> Vec<Value> {
        names.into_iter().enumerate().map(|(number, name)| label(on, name, number)).collect()
    };
    let own: Vec<String> = keys.iter().map(|key| header(key)).collect();
    let known: Vec<String> = batch::HEADERS
        .iter()
        .chain(&["cookie", "content-type", ":authority"])
        .map(|name| (*name).to_owned())
        .collect();
    let names: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    let define = [
        ("by_header", labels("header", own.clone())),
        ("by_known_header", labels("header", known)),
        ("by_response", labels("response_header", own.into_iter().chain(["location".to_owned()]).collect())),
        ("by_cookie", labels("cookie", names.clone())),
        ("by_query", labels("query", names)),
        ("by_route", vec![json!({"label": "route", "on": "route"})]),
    ];
    let define: Vec<Value> = define
        .into_iter()
        .map(|(name, labels)| json!({"name": name, "kind": "counter", "labels": labels, "budget": 20_000}))
        .collect();
    let allow: &[&str] = if plant == Some("labels") { &["email"] } else { &[] };
    json!({
        "default_set": {"budget": 20_000},
        "arm": {"header": "x-arm"},
        "verdict": {"header": "x-policy"},
        "define": define,
        "guard": {"allow": allow},
        "metrics": {"budget": 100_000}
    })
}

/// What keeps e-mail addresses as they are, for a leak that is planted.
fn kept(is_planted: bool) -> Value {
    if is_planted { json!({"operators": {"email": {"do": "keep"}}}) } else { json!({}) }
}

/// Every field, header and way out.
fn access_log(keys: &[&str], plant: Option<&str>) -> Value {
    let own = || keys.iter().map(|key| header(key));
    let known = batch::HEADERS.iter().chain(&["cookie"]).map(|name| (*name).to_owned());
    let request: Vec<String> = own().chain(known).collect();
    let response: Vec<String> = own().chain(["location".to_owned()]).collect();
    let fields: Vec<String> =
        keys.iter().flat_map(|key| [(*key).to_owned(), format!("more.{key}")]).collect();
    json!({
        "outputs": {
            "filter_state": {"fields": ["path", "query", "route", "authority", "method", "request_id", "trace_id"]},
            "log": true,
            "otlp": {"cluster": "collector", "batch": {"records": 1, "interval_ms": 100}}
        },
        "headers": {"request": request, "response": response, "others": true},
        "body": {"fields": fields},
        "arms": [{"experiment": "e", "header": "x-arm"}],
        "verdict": {"header": "x-policy", "record": true},
        "flow": {"scan": ["cookies", "headers", "body"], "learn_seconds": 0},
        "pii": kept(plant == Some("records")),
        "metrics": {"budget": 100_000},
        "value_bytes": 65_536
    })
}

/// Rules that note, try, deny and redact.
fn policy(plant: Option<&str>) -> Value {
    let redacted: Vec<&str> =
        batch::HEADERS.into_iter().filter(|name| !matches!(*name, "baggage" | "x-force-arm")).collect();
    let rule = |name: &str, action: &str, rules: Value| json!({"metadata": {"name": name}, "spec": {"action": action, "rules": rules}});
    let mut tried = rule("tried", "DENY", json!([{}]));
    tried["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
    let mut denied = rule(
        "denied",
        "DENY",
        json!([{"outrigger": {"match": [{"on": "header", "name": "x-deny", "exact": "1"}]}}]),
    );
    denied["outrigger"] = json!({"body": "ask the platform team", "reason": "DENIED", "headers": {"x-help": "https://help.example"}});
    json!({
        "verdict_header": "x-policy",
        "record_allowed": true,
        "explain": {"header": "x-explain", "secret_env": "LEAKS", "respond": true},
        "policies": [
            rule("all", "AUDIT", json!([{}])),
            rule("personal", "AUDIT", json!([
                {"outrigger": {"personal_data": {"in": ["path", "header_names"]}}},
                {"outrigger": {"personal_data": {"in": ["query", "headers"], "headers": redacted, "redact": true}}},
                {"outrigger": {"body": {"fields": [{"pointer": "/page", "over": 0}]}}}
            ])),
            tried,
            denied,
            rule("allowed", "ALLOW", json!([{}]))
        ],
        "candidate": {"examples": 16, "policies": [rule("get", "ALLOW", json!([{"to": [{"operation": {"methods": ["GET"]}}]}]))]},
        "decision_log": {"per_second": 1000},
        "pii": kept(plant == Some("lines"))
    })
}

/// Every value is somebody's key, by a header, a cookie or a parameter.
fn ab_routing(keys: &[&str]) -> Value {
    let sources: Vec<Value> = keys
        .iter()
        .flat_map(|key| [json!({"header": header(key)}), json!({"cookie": key}), json!({"query": key})])
        .collect();
    json!({
        "experiments": [{
            "name": "e",
            "key": sources,
            "visitor_cookie": {"name": "visitor", "secure": false},
            "sticky": {"bucket_version": 1},
            "arms": [{"name": "a", "weight": 5000}, {"name": "b", "weight": 5000}],
            "guardrail": {"errors": {"margin": 500}},
            "response": {"header": "x-served-arm", "cache": "vary"}
        }],
        "overrides": {"header": "x-force-arm", "query": "force-arm", "secret_env": "LEAKS"},
        "propagate": {"baggage": "ab-arms", "secret_env": "LEAKS"},
        "sticky": {"cookie": {"name": "arms", "secure": false}, "secret_env": "LEAKS"},
        "count_forged": true
    })
}
