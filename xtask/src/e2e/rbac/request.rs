//! Requests made to meet a rule, from the rule's own values.

use super::{
    generate::{Configuration, Edge},
    identity::{IDENTITIES, SNIS},
    mutate,
    random::Random,
    values::{HOSTS, METHODS, REQUEST_PRINCIPALS},
};
use harness::{Bytes, scenario::Headers};
use serde_json::{Value, json};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// How many requests a caller sends on a connection.
const OF_A_VISIT: usize = 8;

/// Who calls: what a connection has, whatever is sent on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The certificate by its place among the identities, or the place after the last; without TLS there is none.
    pub identity: Option<usize>,
    /// The server's name in the handshake.
    pub sni: Option<String>,
    /// The client by the proxy protocol.
    pub source: IpAddr,
    /// What the client connected to by the proxy protocol.
    pub destination: SocketAddr,
    /// The address on loopback that the connection comes from.
    pub peer: IpAddr,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target as it is sent.
    pub target: Vec<u8>,
    /// The headers as they are sent, but for the token.
    pub headers: Headers,
    /// The token's claims.
    pub claims: Option<Value>,
    /// Whether the token's signature is wrong.
    pub is_forged: bool,
}

/// A caller and its requests.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The caller.
    pub caller: Caller,
    /// What it sends, one after the other.
    pub requests: Vec<Request>,
}

impl Request {
    /// `GET /` of the shop.
    pub fn plain() -> Self {
        Self {
            method: "GET".to_owned(),
            target: b"/".to_vec(),
            headers: vec![(Bytes::from("host"), Bytes::from("shop.example"))],
            claims: None,
            is_forged: false,
        }
    }

    /// Leaves each header its first value alone.
    pub fn keep_first_values(&mut self) {
        let mut seen = Vec::new();
        self.headers.retain(|(name, _)| {
            let name = name.0.to_ascii_lowercase();
            let is_first = !seen.contains(&name);
            seen.push(name);
            is_first
        });
    }

    /// Replaces a header, or adds it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(other, _)| !other.0.eq_ignore_ascii_case(name.as_bytes()));
        self.headers.push((Bytes::from(name), Bytes::from(value)));
    }

    fn claim(&mut self, path: &[&str], value: Value) {
        let mut place = self.claims.get_or_insert_with(|| json!({}));
        for name in path {
            if !place[*name].is_object() {
                place[*name] = json!({});
            }
            place = &mut place[*name];
        }
        *place = value;
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.identity.map(|place| IDENTITIES.get(place)) {
            None => "plain text".to_owned(),
            Some(None) => "TLS without a certificate".to_owned(),
            Some(Some(identity)) => {
                format!("TLS as {:?} {:?} {:?}", identity.uri, identity.dns, identity.subject)
            }
        };
        let (sni, source) = (&self.sni, self.source);
        write!(formatter, "{who}, sni {sni:?}, client {source}, to {}, from {}", self.destination, self.peer)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.target.escape_ascii())?;
        for (name, value) in &self.headers {
            write!(formatter, "\n    {}: {}", name.0.escape_ascii(), value.0.escape_ascii())?;
        }
        if let Some(claims) = &self.claims {
            write!(formatter, "\n    token{}: {claims}", if self.is_forged { " (forged)" } else { "" })?;
        }
        Ok(())
    }
}

/// A caller and requests that meet one rule of the configuration, or nearly.
pub fn visit(random: &mut Random, configuration: &Configuration) -> Visit {
    let mut caller = someone(random);
    let rules: Vec<(&Value, &str)> = configuration.policies.iter().flat_map(rules_of).collect();
    let first = random.pick(&rules).copied();
    let mut requests = Vec::new();
    for number in 0..OF_A_VISIT {
        let mut request = Request::plain();
        let rule = if random.percent(75) { first } else { random.pick(&rules).copied() };
        let mut unheeded = caller.clone();
        // The first request says what the connection is like.
        let caller = if number == 0 { &mut caller } else { &mut unheeded };
        if let Some((rule, namespace)) = rule {
            let mut wish =
                Wish { random, caller, request: &mut request, edge: configuration.edge, namespace };
            wish.meet(rule);
        }
        if random.percent(55) {
            let count = 1 + random.below(2);
            (0..count).for_each(|_| mutate::request(random, &mut request));
        }
        requests.push(request);
    }
    if random.percent(25) {
        mutate::caller(random, &mut caller);
    }
    Visit { caller, requests }
}

/// A caller and a request that meet this rule of a policy in this namespace, or nearly.
#[cfg(test)]
pub fn aimed(random: &mut Random, rule: &Value, namespace: &str) -> (Caller, Request) {
    let (mut caller, mut request) = (someone(random), Request::plain());
    let edge = Edge::Sidecar;
    Wish { random, caller: &mut caller, request: &mut request, edge, namespace }.meet(rule);
    if random.percent(50) {
        let count = 1 + random.below(2);
        (0..count).for_each(|_| mutate::request(random, &mut request));
    }
    if random.percent(15) {
        mutate::caller(random, &mut caller);
    }
    (caller, request)
}

fn rules_of(policy: &Value) -> Vec<(&Value, &str)> {
    let namespace = policy["metadata"]["namespace"].as_str().unwrap_or_default();
    policy["spec"]["rules"].as_array().into_iter().flatten().map(|rule| (rule, namespace)).collect()
}

fn someone(random: &mut Random) -> Caller {
    let identity = random.percent(70).then(|| random.below(IDENTITIES.len() + 1));
    let sni = (identity.is_some() && random.percent(70)).then(|| random.text(&SNIS));
    Caller {
        identity,
        sni,
        source: IpAddr::from([203, 0, 113, 7]),
        destination: SocketAddr::from(([10, 0, 0, 1], 8080)),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

/// A rule's conditions on the way into a request and its caller.
struct Wish<'a> {
    random: &'a mut Random,
    caller: &'a mut Caller,
    request: &'a mut Request,
    edge: Edge,
    namespace: &'a str,
}

impl Wish<'_> {
    fn meet(&mut self, rule: &Value) {
        for (list, field) in [("from", "source"), ("to", "operation")] {
            let items = rule[list].as_array().map(Vec::as_slice).unwrap_or_default();
            let Some(item) = self.random.pick(items) else { continue };
            for (name, values) in item[field].as_object().into_iter().flatten() {
                self.meet_values(name, values);
            }
        }
        for condition in rule["when"].as_array().into_iter().flatten() {
            let key = condition["key"].as_str().unwrap_or_default();
            let either = if condition["values"].is_null() { "notValues" } else { "values" };
            if either == "values" || self.random.percent(30) {
                self.meet_values(key, &condition[either]);
            }
        }
    }

    fn meet_values(&mut self, name: &str, values: &Value) {
        let values: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let Some(value) = self.random.pick(&values).copied() else { return };
        let not_twin = name.strip_prefix("not").filter(|_| !name.contains('.'));
        let name = match not_twin {
            // What must not be is near what must be.
            Some(rest) if self.random.percent(30) => {
                let (first, rest) = rest.split_at(1);
                format!("{}{rest}", first.to_lowercase())
            }
            Some(_) => return,
            None => name.to_owned(),
        };
        self.meet_value(&name, value);
    }

    fn meet_value(&mut self, name: &str, value: &str) {
        let text = example(self.random, value);
        match name {
            "hosts" => self.request.set("host", &text),
            "methods" => self.request.method = if value == "*" { "GET".to_owned() } else { text },
            "paths" => self.request.target = path(self.random, value).into_bytes(),
            "ports" | "destination.port" => {
                if let Ok(port) = value.parse() {
                    self.caller.destination.set_port(port);
                }
            }
            "ipBlocks" | "source.ip" => {
                if let Some(address) = inside(self.random, value)
                    && address.is_loopback()
                {
                    self.caller.peer = address;
                }
            }
            "remoteIpBlocks" | "remote.ip" => {
                let Some(address) = inside(self.random, value) else { return };
                if self.edge == Edge::GatewayBehindProxy
                    || (self.edge == Edge::Sidecar && self.random.percent(60))
                {
                    let before = self.random.text(&["", "", "192.0.2.1, ", "203.0.113.7,"]);
                    self.request.set("x-forwarded-for", &format!("{before}{address}"));
                } else {
                    self.caller.source = address;
                    self.caller.destination = beside(address, self.caller.destination);
                }
            }
            "destination.ip" => {
                if let Some(address) = inside(self.random, value) {
                    self.caller.destination.set_ip(address);
                    self.caller.source = beside(address, SocketAddr::new(self.caller.source, 0)).ip();
                }
            }
            "principals" | "source.principal" => self.be(&format!("spiffe://{value}")),
            "namespaces" | "source.namespace" => self.be(&format!("*/ns/{value}/*")),
            "serviceAccounts" | "source.serviceAccount" => {
                let (namespace, account) = value.split_once('/').unwrap_or((self.namespace, value));
                self.be(&format!("*/ns/{namespace}/sa/{account}"));
            }
            "trustDomains" | "source.trustDomain" => self.be(&format!("spiffe://{value}/*")),
            "connection.sni" => {
                let near: Vec<&str> = SNIS.into_iter().filter(|name| glob(value, name)).collect();
                if let Some(name) = self.random.pick(&near) {
                    self.caller.sni = Some((*name).to_owned());
                    self.caller.identity.get_or_insert(IDENTITIES.len());
                }
            }
            "requestPrincipals" | "request.auth.principal" => self.request_principal(value),
            "request.auth.audiences" => self.claim(&["aud"], &text),
            "request.auth.presenter" => self.claim(&["azp"], &text),
            _ if value == "*" && self.random.percent(35) => self.meet_named(name, ""),
            _ => self.meet_named(name, &text),
        }
    }

    fn meet_named(&mut self, key: &str, text: &str) {
        let inner = key.split_once('[').map(|(_, inner)| inner.trim_end_matches(']')).unwrap_or_default();
        if key.starts_with("request.auth.claims") {
            let path: Vec<&str> = inner.split("][").collect();
            self.claim(&path, text);
        } else if key.starts_with("experimental.") {
            self.request.set("x-meta", text);
        } else if key.starts_with("request.headers") {
            // A header that is there and empty is there.
            let text = if self.random.percent(8) { "" } else { text };
            match inner {
                ":path" => self.request.target = text.as_bytes().to_vec(),
                ":method" if text.is_empty() => {}
                ":method" => text.clone_into(&mut self.request.method),
                ":authority" => self.request.set("host", text),
                // What is no name of a header cannot be sent, and a length must be true.
                name if name == "content-length"
                    || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) => {}
                name => self.request.set(name, text),
            }
        }
    }

    /// Takes a certificate that is like the pattern, if there is one: or goes on where the pattern ends, or is of another trust domain.
    fn be(&mut self, pattern: &str) {
        let pattern = match (self.random.below(5), pattern.split_once("/ns/")) {
            (0, _) => format!("{pattern}*"),
            (1, Some((_, rest))) => format!("*/ns/{rest}"),
            _ => pattern.to_owned(),
        };
        let is_like = |place: &usize| {
            IDENTITIES.get(*place).and_then(|identity| identity.uri).is_some_and(|uri| glob(&pattern, uri))
        };
        let near: Vec<usize> = (0..IDENTITIES.len()).filter(is_like).collect();
        if let Some(place) = self.random.pick(&near) {
            self.caller.identity = Some(*place);
        }
    }

    /// A claim as a string, or as a list that holds it.
    fn claim(&mut self, path: &[&str], text: &str) {
        let value = match self.random.below(4) {
            0 => json!([text]),
            1 => json!(["other", text]),
            _ => json!(text),
        };
        self.request.claim(path, value);
    }

    fn request_principal(&mut self, value: &str) {
        let (issuer, subject) = match value.rsplit_once('/') {
            Some((issuer, subject)) => (example(self.random, issuer), example(self.random, subject)),
            None if value.ends_with('*') && value != "*" => (example(self.random, value), "alice".to_owned()),
            None if value.starts_with('*') => ("issuer".to_owned(), example(self.random, value)),
            None => (value.to_owned(), String::new()),
        };
        self.request.claim(&["iss"], json!(issuer));
        self.request.claim(&["sub"], json!(subject));
    }
}

/// Something that a value with or without a star stands for.
pub fn example(random: &mut Random, value: &str) -> String {
    match (value.strip_prefix('*'), value.strip_suffix('*')) {
        _ if value == "*" => random.word(),
        (Some(end), _) if random.percent(90) => format!("{}{end}", random.word()),
        (Some(end), _) => end.to_owned(),
        (None, Some(beginning)) if random.percent(90) => format!("{beginning}{}", random.word()),
        (None, Some(beginning)) => beginning.to_owned(),
        (None, None) => value.to_owned(),
    }
}

/// A path that a value stands for.
fn path(random: &mut Random, value: &str) -> String {
    if !value.contains('{') {
        let text = example(random, value);
        return if value.starts_with('*') { format!("/{text}") } else { text };
    }
    let mut path = String::new();
    let mut rest = value;
    while let Some(place) = rest.find('{') {
        let (before, after) = rest.split_at(place);
        path.push_str(before);
        if let Some(after) = after.strip_prefix("{**}") {
            let words = ["", "x", "x/y", "x/", "/", "x//y", "a=b", "%2e", "x/y/z.html", "*"];
            path.push_str(&random.text(&words));
            rest = after;
        } else {
            path.push_str(
                &random.text(&["x", "x", "y.z", "", "a=b", "%41", "a;b", "a b", "é", "x:y@z", "*", "'"]),
            );
            rest = after.strip_prefix("{*}").unwrap_or(after.get(1..).unwrap_or_default());
        }
    }
    path + rest
}

/// Whether a text is like a pattern with stars anywhere: good enough to choose by.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            after.is_empty()
                || (0..=rest.len()).any(|place| rest.get(place..).is_some_and(|rest| glob(after, rest)))
        }),
    }
}

/// An address in a block, or just outside of it: one that a connection can come from and go to.
fn inside(random: &mut Random, value: &str) -> Option<IpAddr> {
    let is_of_one = |address: &IpAddr| {
        !address.is_unspecified() && !address.is_multicast() && *address != IpAddr::V4(Ipv4Addr::BROADCAST)
    };
    near_or_inside(random, value).filter(is_of_one)
}

pub fn near_or_inside(random: &mut Random, value: &str) -> Option<IpAddr> {
    let (address, length) = value.split_once('/').map_or((value, None), |(a, l)| (a, l.parse::<u32>().ok()));
    let noise = u128::try_from(random.below(usize::MAX)).unwrap_or_default() * 0x1_0000_0001_0000_0001;
    let bits = |all: u32| all.saturating_sub(length.unwrap_or(all));
    // One in ten has another last bit of the block's own.
    let near = u32::from(random.percent(10));
    match address.parse().ok()? {
        IpAddr::V4(address) => {
            let free = u64::MAX.checked_shl(bits(32)).map_or(0, |mask| !mask);
            let free = u32::try_from(free).unwrap_or(u32::MAX);
            let flip = near.checked_shl(bits(32)).unwrap_or(0);
            let noise = u32::try_from(noise & u128::from(u32::MAX)).unwrap_or_default();
            Some(IpAddr::V4(Ipv4Addr::from(((u32::from(address) & !free) | (noise & free)) ^ flip)))
        }
        IpAddr::V6(address) => {
            let free = u128::MAX.checked_shl(bits(128)).map_or(u128::MAX, |mask| !mask);
            let flip = u128::from(near).checked_shl(bits(128)).unwrap_or(0);
            Some(IpAddr::V6((((u128::from(address) & !free) | (noise & free)) ^ flip).into()))
        }
    }
}

/// An address of the same family as another, with the port that there was.
fn beside(other: IpAddr, address: SocketAddr) -> SocketAddr {
    if other.is_ipv4() == address.is_ipv4() {
        return address;
    }
    let ip: IpAddr = if other.is_ipv4() {
        IpAddr::from([10, 0, 0, 1])
    } else {
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2])
    };
    SocketAddr::new(ip, address.port())
}

/// What mutations take words from.
pub const NEAR: [&[&str]; 3] = [&HOSTS, &METHODS, &REQUEST_PRINCIPALS];
