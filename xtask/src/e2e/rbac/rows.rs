//! `cargo xtask e2e --policy`: rows of policies, requests and the decisions that the docs name.
//!
//! In istio mode Envoy's own RBAC must decide so too; what strict mode decides otherwise stands beside it.

use super::{
    Caller, Count, Credentials, Request, Run,
    client::Answer,
    generate::{Configuration, Edge, Paths},
    listeners::Judge,
};
use crate::{build, progress, setup};
use anyhow::Result;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// A policy, a request to it, and what the two judges answer.
struct Row {
    what: &'static str,
    edge: Edge,
    paths: Paths,
    policy: Value,
    caller: Caller,
    request: Request,
    expected: [u16; 2],
}

/// Runs all rows.
///
/// # Errors
/// Something that the run needs is missing, or Envoy does not start.
pub fn run() -> Result<Count> {
    let program = setup::envoy(None)?;
    build::modules()?;
    let module = build::module("policy");
    let credentials = Credentials::make()?;
    let has_v6 = TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0)).is_ok();
    let judge = |mode| Judge::Module(&module, mode);
    let mut count = Count::default();
    for (title, judges, rows) in [
        ("istio mode and RBAC", [judge("istio"), Judge::Native], istio()),
        ("strict mode and istio mode", [judge("strict"), judge("istio")], strict()),
    ] {
        let work = progress::begin(title);
        let run = Run { program: &program, credentials: &credentials, judges, has_v6 };
        let configurations: Vec<Configuration> = rows.iter().map(Row::configuration).collect();
        let site = run.start(&configurations)?;
        let mut failed = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let answers = run.visit(site.pair(place), &row.caller, std::slice::from_ref(&row.request));
            let statuses = answers.into_iter().next().unwrap_or_default().map(|answer: Answer| answer.status);
            if statuses == row.expected {
                count.passed += 1;
            } else {
                count.failed += 1;
                failed.push(format!("{}: {statuses:?}, not {:?}", row.what, row.expected));
            }
        }
        drop(work);
        for why in failed {
            progress::failed(title, &why);
        }
    }
    Ok(count)
}

impl Row {
    fn new(what: &'static str, action: &str, rule: &Value, expected: [u16; 2]) -> Self {
        let policy = json!({
            "metadata": {"name": "p", "namespace": "shop"},
            "spec": {"action": action, "rules": [rule]}
        });
        let caller = Caller {
            identity: None,
            sni: None,
            source: IpAddr::from([203, 0, 113, 7]),
            destination: SocketAddr::from(([10, 0, 0, 1], 8080)),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let request = Request::plain();
        Self { what, edge: Edge::Sidecar, paths: Paths::Base, policy, caller, request, expected }
    }

    fn configuration(&self) -> Configuration {
        Configuration {
            policies: vec![self.policy.clone()],
            trust_domains: vec!["cluster.local".to_owned()],
            edge: self.edge,
            paths: self.paths,
        }
    }

    fn claims(mut self, claims: Value) -> Self {
        self.request.claims = Some(claims);
        self
    }

    fn identity(mut self, place: usize) -> Self {
        self.caller.identity = Some(place);
        self
    }

    fn forwarded(mut self, edge: Edge, addresses: &str) -> Self {
        self.edge = edge;
        self.request.set("x-forwarded-for", addresses);
        self
    }

    fn target(mut self, paths: Paths, target: &str) -> Self {
        self.paths = paths;
        self.request.target = target.as_bytes().to_vec();
        self
    }
}

const OK: [u16; 2] = [200, 200];
const DENIED: [u16; 2] = [403, 403];

fn istio() -> Vec<Row> {
    let when = |key: &str, value: &str| json!({"when": [{"key": key, "values": [value]}]});
    let role = when("request.auth.claims[role]", "7");
    let from = |field: &str, value: &str| json!({"from": [{"source": {field: [value]}}]});
    let subject = from("requestPrincipals", "https://issuer.example/alice");
    let alice = json!({"iss": "https://issuer.example", "sub": "alice", "role": "7"});
    let forged = |mut row: Row| {
        row.request.is_forged = true;
        row
    };
    let web = from("principals", "cluster.local/ns/shop/sa/web");
    let no_web = json!({"from": [{"source": {"notPrincipals": ["cluster.local/ns/shop/sa/web"]}}]});
    let block = from("remoteIpBlocks", "198.51.100.0/24");
    let peer = from("ipBlocks", "127.0.0.0/8");
    let nested = when("request.auth.claims[realm][role]", "7");
    let mut rows = vec![
        Row::new("a claim that is a string", "ALLOW", &role, OK).claims(alice.clone()),
        Row::new("a list that has it", "ALLOW", &role, OK).claims(json!({"role": ["1", "7"]})),
        Row::new("a list that has it not", "ALLOW", &role, DENIED).claims(json!({"role": ["1", 7]})),
        Row::new("a number", "ALLOW", &role, DENIED).claims(json!({"role": 7})),
        Row::new("a boolean", "ALLOW", &role, DENIED).claims(json!({"role": true})),
        Row::new("an object", "ALLOW", &role, DENIED).claims(json!({"role": {"7": "7"}})),
        Row::new("a number is not denied", "DENY", &role, OK).claims(json!({"role": 7})),
        Row::new("no such claim", "ALLOW", &role, DENIED).claims(json!({"iss": "x"})),
        Row::new("no token", "ALLOW", &role, DENIED),
        forged(Row::new("a forged token", "ALLOW", &role, DENIED).claims(alice.clone())),
        Row::new("a claim in a claim", "ALLOW", &nested, OK).claims(json!({"realm": {"role": "7"}})),
        Row::new("a claim in a string", "ALLOW", &nested, DENIED).claims(json!({"realm": "role"})),
        Row::new("issuer and subject", "ALLOW", &subject, OK).claims(alice),
        Row::new("another subject", "ALLOW", &subject, DENIED)
            .claims(json!({"iss": "https://issuer.example", "sub": "bob"})),
        Row::new("a certificate's URI", "ALLOW", &web, OK).identity(0),
        Row::new("another trust domain", "ALLOW", &web, DENIED).identity(2),
        Row::new("another account", "ALLOW", &web, DENIED).identity(10),
        Row::new("a URI that is not SPIFFE's", "ALLOW", &web, DENIED).identity(7),
        Row::new("a certificate without URI", "ALLOW", &web, DENIED).identity(13),
        Row::new("TLS without a certificate", "ALLOW", &web, DENIED).identity(15),
        Row::new("no TLS", "ALLOW", &web, DENIED),
        Row::new("no TLS is not that principal", "DENY", &no_web, DENIED),
        Row::new("that principal", "DENY", &no_web, OK).identity(0),
        Row::new("a namespace", "ALLOW", &from("namespaces", "foo"), OK).identity(1),
        Row::new("another namespace", "ALLOW", &from("namespaces", "foo"), DENIED).identity(0),
        Row::new("a sidecar reads the last address", "ALLOW", &block, OK)
            .forwarded(Edge::Sidecar, "203.0.113.9, 198.51.100.1"),
        Row::new("a sidecar reads no other", "ALLOW", &block, DENIED)
            .forwarded(Edge::Sidecar, "198.51.100.1, 203.0.113.9"),
        Row::new("a gateway reads none", "ALLOW", &block, DENIED).forwarded(Edge::Gateway, "198.51.100.1"),
        Row::new("a gateway behind a proxy reads that proxy's", "ALLOW", &block, OK)
            .forwarded(Edge::GatewayBehindProxy, "203.0.113.9, 198.51.100.1"),
        Row::new("what a client wrote before it counts not", "ALLOW", &block, DENIED)
            .forwarded(Edge::GatewayBehindProxy, "198.51.100.1, 203.0.113.9"),
        Row::new("no header forges the peer", "ALLOW", &from("ipBlocks", "198.51.100.0/24"), DENIED)
            .forwarded(Edge::Sidecar, "198.51.100.1"),
        Row::new("the peer is who connects", "ALLOW", &peer, OK).forwarded(Edge::Sidecar, "198.51.100.1"),
    ];
    let admin = json!({"to": [{"operation": {"paths": ["/a/b"]}}]});
    for (target, base, merged, decoded) in [
        ("/a/b", 403, 403, 403),
        ("/a/./b", 403, 403, 403),
        ("/a/x/../b", 403, 403, 403),
        ("/a\\b", 403, 403, 403),
        ("/%61/b", 403, 403, 403),
        ("//a/b", 200, 403, 403),
        ("/a//b", 200, 403, 403),
        ("/a/%2e/b", 403, 403, 403),
        ("/a%2fb", 200, 200, 403),
        ("/a%2Fb", 200, 200, 403),
        ("/a%5cb", 200, 200, 403),
        ("/a%2f%2fb", 200, 200, 403),
        ("/a%252fb", 200, 200, 200),
        ("/A/b", 200, 200, 200),
        ("/a/b/", 200, 200, 200),
        ("/a;v=1/b", 200, 200, 200),
    ] {
        for (paths, status) in
            [(Paths::Base, base), (Paths::MergeSlashes, merged), (Paths::DecodeAndMergeSlashes, decoded)]
        {
            rows.push(Row::new(target, "DENY", &admin, [status; 2]).target(paths, target));
        }
    }
    rows
}

fn strict() -> Vec<Row> {
    let role = json!({"when": [{"key": "request.auth.claims[role]", "values": ["7"]}]});
    let admin = json!({"to": [{"operation": {"paths": ["/a/b"]}}]});
    let mut rows = vec![
        Row::new("a number cannot be compared", "DENY", &role, [403, 200]).claims(json!({"role": 7})),
        Row::new("a number in a list is no string", "DENY", &role, OK).claims(json!({"role": [7]})),
        Row::new("a string can be", "DENY", &role, OK).claims(json!({"role": "8"})),
    ];
    for (target, expected) in [
        ("/a/b", DENIED),
        ("//a/b", [403, 200]),
        ("/a%2fb", [403, 200]),
        ("/a%5cb", [403, 200]),
        ("/a;v=1/b", [403, 200]),
        ("/a%252fb", [403, 200]),
        ("/c", OK),
    ] {
        rows.push(Row::new(target, "DENY", &admin, expected).target(Paths::Base, target));
    }
    rows
}
