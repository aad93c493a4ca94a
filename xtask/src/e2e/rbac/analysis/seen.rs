//! A generated request as a filter sees it natively.

use super::super::{
    identity::IDENTITIES,
    random::Random,
    request::{Caller, Request, example, near_or_inside},
};
use filter_kit::{fake::Stream, settings::Node};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

/// A request, and what of it a claim may leave out.
pub struct Seen {
    /// The request.
    pub stream: Stream,
    /// Whether the caller's certificate has one name at most.
    pub has_one_name: bool,
}

/// What a filter sees; `None` of a request that Envoy refuses before any filter (tried on Envoy 1.40).
pub fn seen(random: &mut Random, rule: &Value, caller: &Caller, request: &Request) -> Option<Seen> {
    let (target, authority) = target(&request.target);
    let header = |wanted: &str| {
        let same = |name: &[u8]| name.eq_ignore_ascii_case(wanted.as_bytes());
        request.headers.iter().find(|(name, _)| same(&name.0)).map(|(_, value)| value.0.clone())
    };
    let authority = authority.or_else(|| header("host"))?;
    let is_odd = |byte: &u8| matches!(byte, b'/' | b'?' | b' ') || !byte.is_ascii();
    if target.first() != Some(&b'/') || authority.iter().any(is_odd) {
        return None;
    }
    let mut headers = vec![
        (":authority".to_owned(), authority),
        (":path".to_owned(), target),
        (":method".to_owned(), request.method.clone().into_bytes()),
        (":scheme".to_owned(), b"http".to_vec()),
    ];
    for (name, value) in request.headers.iter().filter(|(name, _)| !name.0.eq_ignore_ascii_case(b"host")) {
        headers.push((name.lossy().to_ascii_lowercase(), value.0.trim_ascii().to_vec()));
    }
    let forwarded = header("x-forwarded-for").and_then(|value| {
        let text = String::from_utf8(value).ok()?;
        text.rsplit(',').next()?.trim().parse::<IpAddr>().ok()
    });
    let remote = block(random, rule, &["remoteIpBlocks", "remote.ip"]).or(forwarded).unwrap_or(caller.source);
    let peer = block(random, rule, &["ipBlocks", "source.ip"]).unwrap_or(caller.peer);
    let destination = block(random, rule, &["destination.ip"])
        .map_or(caller.destination, |ip| SocketAddr::new(ip, caller.destination.port()));
    let mut metadata = json!({});
    if let Some(claims) = request.claims.clone().filter(|_| !request.is_forged) {
        metadata["envoy.filters.http.jwt_authn"] = json!({"payload": claims});
    }
    if let Some(text) = header("x-meta").and_then(|value| String::from_utf8(value).ok()) {
        let c = if random.percent(20) { json!(5) } else { json!(text) };
        metadata["envoy.filters.a.b"] = json!({"c": c, "list": [text, "alpha"], "number": 5});
    }
    let metadata = metadata.to_string();
    let mut stream = Stream::of(headers, vec![(":status".to_owned(), b"200".to_vec())])
        .metadata(&Node::parse(metadata.as_bytes()).ok()?)
        .property("connection.requested_server_name", caller.sni.clone().unwrap_or_default());
    // What the host may fail to say.
    for (path, value) in [
        ("filter_state.outrigger.peer", peer.to_string()),
        ("source.address", SocketAddr::new(remote, 40_000).to_string()),
        ("destination.address", destination.to_string()),
    ] {
        match random.below(40) {
            0 => {}
            1 => stream = stream.property(path, "/run/pipe"),
            _ => stream = stream.property(path, value),
        }
    }
    let names = names(random, rule, caller);
    let has_one_name = names.len() <= 1;
    for (path, name) in names {
        stream = stream.property(path, name);
    }
    Some(Seen { stream, has_one_name })
}

/// The path and, of a target in absolute form, the host.
fn target(target: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let Some(rest) = target.strip_prefix(b"http://") else { return (target.to_vec(), None) };
    match rest.iter().position(|byte| *byte == b'/') {
        Some(at) => (rest[at..].to_vec(), Some(rest[..at].to_vec())),
        None => (b"/".to_vec(), Some(rest.to_vec())),
    }
}

/// The values of some fields and keys of a rule, and of their not-twins.
fn values<'r>(rule: &'r Value, names: &[&str]) -> Vec<&'r str> {
    let mut found = Vec::new();
    let mut add =
        |list: &'r Value| found.extend(list.as_array().into_iter().flatten().filter_map(Value::as_str));
    for (list, inner) in [("from", "source"), ("to", "operation")] {
        for item in rule[list].as_array().into_iter().flatten() {
            for name in names {
                let (first, rest) = name.split_at(1);
                add(&item[inner][*name]);
                add(&item[inner][format!("not{}{rest}", first.to_uppercase())]);
            }
        }
    }
    for condition in rule["when"].as_array().into_iter().flatten() {
        if condition["key"].as_str().is_some_and(|key| names.contains(&key)) {
            add(&condition["values"]);
            add(&condition["notValues"]);
        }
    }
    found
}

/// Now and then an address in or beside a block of the rule.
fn block(random: &mut Random, rule: &Value, names: &[&str]) -> Option<IpAddr> {
    let blocks = values(rule, names);
    let block = random.pick(&blocks).copied().filter(|_| random.percent(60))?;
    near_or_inside(random, block)
}

/// The names of the caller's certificate: those of a known identity, or made of the rule's own values.
fn names(random: &mut Random, rule: &Value, caller: &Caller) -> Vec<(&'static str, String)> {
    const URI: &str = "connection.uri_san_peer_certificate";
    const DNS: &str = "connection.dns_san_peer_certificate";
    const SUBJECT: &str = "connection.subject_peer_certificate";
    let identity = caller.identity.and_then(|place| IDENTITIES.get(place));
    let mut names = Vec::new();
    if let Some(identity) = identity {
        names.extend(identity.uri.map(|uri| (URI, uri.to_owned())));
        names.extend(identity.dns.map(|dns| (DNS, dns.to_owned())));
        if names.is_empty() {
            names.push((SUBJECT, format!("CN={}", identity.subject)));
        }
    }
    if random.percent(60) {
        names = vec![(URI, made(random, rule))];
    }
    if random.percent(5) {
        names.push((if random.percent(50) { DNS } else { SUBJECT }, made(random, rule)));
    }
    names
}

/// A name that is near those of the rule.
fn made(random: &mut Random, rule: &Value) -> String {
    let of = |names: &[&str]| values(rule, names).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let fill = |random: &mut Random, value: &str| {
        value.split('*').map(str::to_owned).collect::<Vec<_>>().join(&random.word())
    };
    let pick = |random: &mut Random, names: &[&str]| random.pick(&of(names)).cloned();
    let domain =
        pick(random, &["trustDomains", "source.trustDomain"]).unwrap_or_else(|| "cluster.local".to_owned());
    let namespace = pick(random, &["namespaces", "source.namespace"]).unwrap_or_else(|| "shop".to_owned());
    let account =
        pick(random, &["serviceAccounts", "source.serviceAccount"]).unwrap_or_else(|| "web".to_owned());
    let account = account.rsplit('/').next().unwrap_or_default().to_owned();
    let principal = pick(random, &["principals", "source.principal"]).filter(|_| random.percent(60));
    let mut name = match principal {
        Some(principal) => format!("spiffe://{}", example(random, &principal)),
        None => format!("spiffe://{domain}/ns/{namespace}/sa/{account}"),
    };
    name = fill(random, &name);
    match random.below(10) {
        0 => name.push('x'),
        1 => name = name.replacen("/ns/", "/ns/other/ns/", 1),
        2 => name = name.replacen("/sa/", "/k/v/sa/", 1),
        3 => name.push_str("/more"),
        4 => name = name.to_uppercase().replacen("SPIFFE", "spiffe", 1),
        _ => {}
    }
    name
}
