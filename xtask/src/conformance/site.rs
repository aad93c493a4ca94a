//! The plan on a real Envoy.

use crate::{
    bootstrap,
    e2e::client,
    envoy::{Envoy, Line},
    http::Connection,
    progress::Work,
    upstream::{Answer, Upstream},
};
use anyhow::Result;
use harness::{
    Bytes,
    conformance::{self, DEATHS, Kind, PATIENCE, POLICIES, Run, Sheet},
    mock::Mocks,
    scenario::Exchange,
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How long the last lines of a stream may take, once the client is gone.
const SETTLING: Duration = Duration::from_secs(1);
/// How long callbacks that come behind a stream's end may take.
const AFTERMATH: Duration = Duration::from_millis(15);

/// Runs the plan.
pub fn run(program: &Path, probe: &Path, sheets: &[Sheet], work: &Work) -> Result<Vec<Run>> {
    let mocks = Mocks::start(&conformance::clusters())?;
    let upstream = Upstream::start("v1", 0)?;
    let bootstrap = setting(probe, sheets, &mocks, upstream.address());
    let start = || Envoy::start(program, &bootstrap, &["--concurrency", "1"]);
    let mut envoy = start()?;
    thread::sleep(SETTLING);
    let mut runs = Vec::new();
    let started = envoy.log_since(0);
    for sheet in sheets.iter().filter(|sheet| sheet.kinds.contains(&Kind::Root)) {
        let id = conformance::vm_id(Some(&sheet.name));
        runs.push(Run {
            sheet: sheet.name.clone(),
            kind: Some(Kind::Root),
            lines: of_vm(&started, &id),
            ..Run::default()
        });
        work.step();
    }
    let mut listener = envoy.listener("main")?;
    for sheet in sheets {
        for kind in sheet.kinds.iter().copied().filter(|kind| !matches!(kind, Kind::Root | Kind::Trap)) {
            let mut run = exchange(&envoy, listener, &upstream, &sheet.name, kind)?;
            if Connection::open(listener, PATIENCE).is_err() || is_stuck(&run.lines) {
                run = Run { lines: vec![conformance::CRASH.to_owned()], ..Run::of(&sheet.name, kind) };
                envoy = start()?;
                listener = envoy.listener("main")?;
            }
            runs.push(run);
            work.step();
        }
    }
    for sheet in sheets.iter().filter(|sheet| sheet.kinds.contains(&Kind::Trap)) {
        for (policy, _) in POLICIES {
            runs.push(trapped(&envoy, &upstream, &sheet.name, policy)?);
            work.step();
        }
    }
    Ok(runs)
}

/// A VM dies, and is asked again at once and after a while.
fn trapped(envoy: &Envoy, upstream: &Upstream, sheet: &str, policy: &str) -> Result<Run> {
    let id = conformance::trap_id(sheet, policy);
    let listener = envoy.listener(&id)?;
    let mut run = Run::of(&id, Kind::Trap);
    for (number, (is_deadly, pause)) in DEATHS.into_iter().enumerate() {
        let name = if is_deadly { sheet } else { "none" };
        // Envoy itself has been up for long.
        if policy == "reload" && number > 0 {
            thread::sleep(pause);
        }
        let next = exchange_with(listener, upstream, &conformance::exchange(name, Kind::Trap))?;
        run.lines.push(format!("then {:?} {:?}", next.status, next.response_body.lossy()));
        run.status = next.status;
    }
    Ok(run)
}

/// Sends a request and keeps the answer.
fn exchange_with(listener: SocketAddr, upstream: &Upstream, exchange: &Exchange) -> Result<Run> {
    upstream.set_answer(Answer::from(&exchange.response));
    upstream.take_received();
    let mut run = Run::default();
    let mut connection = Connection::open(listener, PATIENCE)?;
    if let Ok(response) = client::send(&mut connection, &exchange.request) {
        run.status = response.status();
        run.response_headers = response.headers;
        run.response_body = Bytes(response.body);
    }
    Ok(run)
}

fn exchange(
    envoy: &Envoy,
    listener: SocketAddr,
    upstream: &Upstream,
    sheet: &str,
    kind: Kind,
) -> Result<Run> {
    let exchange = conformance::exchange(sheet, kind);
    let logged = envoy.log_since(0).len();
    let mut run =
        Run { sheet: sheet.to_owned(), kind: Some(kind), ..exchange_with(listener, upstream, &exchange)? };
    let deadline = Instant::now() + SETTLING;
    loop {
        run.lines = of_vm(&envoy.log_since(logged), &conformance::vm_id(None));
        let is_over = run.lines.iter().any(|line| line.starts_with("call delete["));
        if is_over || Instant::now() > deadline {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    let waits = if sheet.contains("callout") || sheet.contains("grpc") { SETTLING / 5 } else { AFTERMATH };
    thread::sleep(waits);
    run.lines = of_vm(&envoy.log_since(logged), &conformance::vm_id(None));
    if let Some(received) = upstream.take_received().into_iter().next() {
        run.request_headers = received.headers;
        run.request_body = received.body;
    }
    Ok(run)
}

/// Whether a stream was begun and not ended, though its client is gone: then the worker is in it for ever.
fn is_stuck(lines: &[String]) -> bool {
    let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
    has("call context_create[") && !has("call delete[")
}

fn of_vm(lines: &[Line], id: &str) -> Vec<String> {
    let texts = lines.iter().filter_map(Line::of_vm).filter(|(vm, _)| *vm == id);
    texts.map(|(_, text)| text.to_owned()).collect()
}

fn setting(probe: &Path, sheets: &[Sheet], mocks: &Mocks, upstream: SocketAddr) -> Value {
    let id = conformance::vm_id;
    let mut listeners = vec![listener("main", probe, sheets, None, &id(None), None)];
    for sheet in sheets.iter().filter(|sheet| sheet.kinds.contains(&Kind::Root)) {
        let root = Some(sheet.name.as_str());
        listeners.push(listener(&sheet.name, probe, sheets, root, &id(root), None));
    }
    for sheet in sheets.iter().filter(|sheet| sheet.kinds.contains(&Kind::Trap)) {
        for (policy, name) in POLICIES {
            let id = conformance::trap_id(&sheet.name, policy);
            listeners.push(listener(&id, probe, sheets, None, &id, name));
        }
    }
    let mut clusters = vec![cluster("v1", Some(upstream))];
    clusters.extend(mocks.addresses().map(|(name, address)| {
        let mut cluster = cluster(name, address);
        if mocks.is_grpc(name) {
            cluster["typed_extension_protocol_options"] =
                bootstrap::protocol("http2_protocol_options", &json!({}));
        }
        cluster
    }));
    json!({
        "node": {"id": "node-id", "cluster": "node-cluster"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"listeners": listeners, "clusters": clusters}
    })
}

fn listener(
    name: &str,
    probe: &Path,
    sheets: &[Sheet],
    root: Option<&str>,
    vm_id: &str,
    policy: Option<&str>,
) -> Value {
    let text =
        |text: &str| json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text});
    let mut plugin = json!({
        "name": "probe",
        "root_id": "probe-root",
        "configuration": text("plugin config"),
        "vm_config": {
            "vm_id": vm_id,
            "runtime": "envoy.wasm.runtime.v8",
            "configuration": text(&conformance::vm_configuration(sheets, root)),
            "code": {"local": {"filename": probe}}
        }
    });
    if let Some(policy) = policy {
        plugin["failure_policy"] = json!(policy);
    }
    let routes = json!([{"match": {"prefix": "/"}, "name": "route-one", "route": {"cluster": "v1"}}]);
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "conformance",
        "http_protocol_options": {"enable_trailers": true},
        "preserve_external_request_id": true,
        "route_config": {"name": "routes", "virtual_hosts": [{"name": "host-one", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "probe", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": plugin}},
            {"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
        ]
    });
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"name": "chain-one", "filters": [{"name": "manager", "typed_config": manager}]}]
    })
}

fn cluster(name: &str, address: Option<SocketAddr>) -> Value {
    let endpoint = |address: SocketAddr| json!({"endpoint": {"address": {"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}}}});
    let endpoints: Vec<Value> = address.into_iter().map(endpoint).collect();
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options":
            bootstrap::protocol("http_protocol_options", &json!({"enable_trailers": true}))
    })
}
