//! The tool on the modules that are deployed: what `outrigger replay` says is what a real Envoy does with the same requests.

mod filters;
mod policies;

use super::Count;
use crate::{
    bootstrap::Bootstrap, build, command, envoy::Envoy, http::Connection, progress, project, setup,
    upstream::Upstream,
};
use anyhow::{Context as _, Result, ensure};
use harness::Bytes;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

/// How many users ask.
const USERS: usize = 200;
/// The keys of every decision.
const KEYS: [&str; 14] = [
    "id",
    "filter",
    "action",
    "status",
    "reply_headers",
    "reply_body",
    "verdict",
    "policy",
    "arms",
    "request_headers",
    "response_headers",
    "metrics",
    "log",
    "explain",
];

/// Runs the tool.
///
/// # Errors
/// Something is not as the design has it, or Envoy does otherwise than replay says.
pub fn run() -> Result<Count> {
    build::modules()?;
    let tool = build::outrigger()?;
    let _work = progress::begin("the tool on the modules");
    let folder = project::scratch("tool")?;
    let requests = folder.join("requests.jsonl");
    let lines: Vec<String> = (0..USERS).map(|user| request(user).to_string()).collect();
    fs::write(&requests, lines.join("\n"))?;
    let (first, second) = (folder.join("first.json"), folder.join("second.json"));
    fs::write(&first, config(5000).to_string())?;
    fs::write(&second, config(8000).to_string())?;
    let replay = |more: &[&str]| {
        let mut arguments = vec!["replay", "--filter", "ab-routing", "--config"];
        arguments.extend(more);
        output(&tool, &arguments)
    };
    let (config, all) = (text(&first), text(&requests));
    let said = replay(&[&config, &all])?;
    ensure!(said.status.code() == Some(0), "replay: {said:?}");
    ensure!(said.stdout == replay(&[&config, &all])?.stdout, "two runs of one file differ");
    let decisions: Vec<Value> =
        String::from_utf8(said.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(decisions.len() == USERS, "{} decisions", decisions.len());
    for decision in &decisions {
        let keys: Vec<&str> =
            decision.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        ensure!(KEYS.iter().all(|key| keys.contains(key)) && keys.len() == KEYS.len(), "{decision}");
    }
    on_envoy(&first, &decisions)?;
    exit_codes(&tool, &folder, &first, &second, &requests)?;
    filters::check(&tool, &folder)?;
    policies::check(&tool, &folder)?;
    policies::check_candidate(&tool, &folder)?;
    Ok(Count { passed: 1, ..Count::default() })
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn config(weight: u32) -> Value {
    json!({"experiments": [{
        "name": "checkout", "key": [{"header": "x-user-id"}],
        "arms": [{"name": "control", "weight": 10_000 - weight}, {"name": "b", "weight": weight}]
    }]})
}

fn request(user: usize) -> Value {
    json!({"id": user.to_string(), "method": "GET", "path": format!("/cart?item={user}"), "headers": [["x-user-id", format!("user-{user}")]]})
}

fn output(tool: &Path, arguments: &[&str]) -> Result<Output> {
    command::output(Command::new(tool).args(arguments).current_dir(project::root()))
}

/// Sends the same requests through a real Envoy.
fn on_envoy(config: &Path, decisions: &[Value]) -> Result<()> {
    let program = setup::envoy(None)?;
    let shops = [Upstream::start("v1", 0)?, Upstream::start("v2", 0)?];
    let mut bootstrap = Bootstrap::load("ab-routing")?;
    bootstrap.with_free_ports();
    bootstrap.set_module(&build::module("ab-routing"));
    bootstrap.set_plugin_configuration(Some(&fs::read(config)?));
    for (name, shop) in ["v1", "v2"].iter().zip(&shops) {
        bootstrap.set_cluster(name, Some(shop.address()));
    }
    let envoy = Envoy::start(&program, &bootstrap.0, &["--concurrency", "1"])?;
    let mut connection = Connection::open(envoy.listener("main")?, Duration::from_secs(5))?;
    for (user, decision) in decisions.iter().enumerate() {
        let headers = [("host", "shop.example".to_owned()), ("x-user-id", format!("user-{user}"))];
        let headers = headers.map(|(name, value)| (Bytes::from(name), Bytes::from(&value))).to_vec();
        let response = connection.exchange("GET", &format!("/cart?item={user}"), &headers, b"")?;
        let received = shops.iter().find_map(|shop| shop.take_received().into_iter().next());
        let received = received.context("no shop got the request")?;
        let arm =
            received.headers.iter().find(|(name, _)| name.0 == b"x-arm").map(|(_, value)| value.lossy());
        let is_same =
            decision["status"] == json!(response.status()) && decision["arms"]["checkout"] == json!(arm);
        ensure!(is_same, "Envoy: {:?} and arm {arm:?}; replay: {decision}", response.status());
    }
    Ok(())
}

/// The exit codes of the design, and that errors say what to do.
fn exit_codes(tool: &Path, folder: &Path, first: &Path, second: &Path, requests: &Path) -> Result<()> {
    let bad = folder.join("bad.jsonl");
    fs::write(&bad, format!("{}\nnot JSON\n{}\n", request(1), request(2)))?;
    let page: PathBuf = folder.join("changes.html");
    let [first, second, requests, bad, page] = [first, second, requests, &bad, &page].map(text);
    let ab = ["--filter", "ab-routing"];
    let cases: [(&[&str], i32, &str); 8] = [
        (&["diff", ab[0], ab[1], &first, &first, &requests], 0, "0 of 200 decisions differ"),
        (
            &["diff", ab[0], ab[1], &first, &second, "--keys", "500", "--html", &page],
            1,
            "of 500 decisions differ",
        ),
        (&["replay", ab[0], ab[1], "--config", &first, "--against", &second, &requests], 1, "arm checkout"),
        (&["replay", ab[0], ab[1], "--config", &first, &bad], 2, "bad.jsonl:2: "),
        (&["replay", "--filter", "nothing", &requests], 2, "cargo xtask build"),
        (&["replay", ab[0], ab[1], "--config", &requests, &requests], 2, "requests.jsonl"),
        (&["inspect", "dist/access-log.wasm"], 0, "proxy_on_log"),
        (&["inspect", &first], 2, "is no module"),
    ];
    for (arguments, code, says) in cases {
        let said = output(tool, arguments)?;
        let all =
            format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        ensure!(
            said.status.code() == Some(code) && all.contains(says),
            "outrigger {arguments:?}: {:?}\n{all}",
            said.status.code()
        );
    }
    let html = fs::read_to_string(&page)?;
    ensure!(html.contains("Who is where") && !html.contains("http"), "the page is not by itself");
    Ok(())
}
