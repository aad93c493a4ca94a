//! AuthorizationPolicies by chance: every field, every not-twin and every key of `when`, with values that are near each other.

use super::random::Random;
use serde_json::{Map, Value, json};

/// What one pair of listeners is made for.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The policies.
    pub policies: Vec<Value>,
    /// The mesh's trust domain, and its aliases.
    pub trust_domains: Vec<String>,
    /// Where the client's address comes from.
    pub edge: Edge,
}

/// Where Envoy takes the client's address from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// A sidecar: the last address of `x-forwarded-for`.
    Sidecar,
    /// A gateway without trusted proxies before it: the connection.
    Gateway,
    /// A gateway behind one trusted proxy: the last address of `x-forwarded-for`, which that proxy wrote.
    GatewayBehindProxy,
}

pub const HOSTS: [&str; 19] = [
    "shop.example",
    "Shop.Example",
    "*.example",
    "shop.*",
    "SHOP.*",
    "*",
    "shop.example:8080",
    "*:8080",
    "shop.example:*",
    "127.0.0.1",
    "[::1]",
    "[::1]:80",
    "*a*",
    "**",
    "api.shop.example",
    "*.shop.example",
    "*example",
    "xn--bcher-kva.example",
    "shop.example.",
];
pub const METHODS: [&str; 15] = [
    "GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH", "*", "G*", "*T", "get", "PURGE", "P*",
    "M-SEARCH", "GET*",
];
const PATHS: [&str; 57] = [
    "/",
    "/*",
    "*",
    "/admin",
    "/admin/",
    "/admin*",
    "/admin/*",
    "*.html",
    "*/info",
    "/a/b/c",
    "/api/v1/*",
    "/Users",
    "/users",
    "/a%20b",
    "/a;b",
    "/a=b",
    "/store//cart",
    "**",
    "*a*",
    "*/*",
    "/x?y",
    "/x#y",
    "/caf%C3%A9",
    "/café",
    "*%2F*",
    "/a/../b",
    "/./a",
    "/a%2Fb",
    "/a%2fb",
    "*é",
    "admin",
    "admin*",
    "/a*b",
    "/admin/%2e%2e",
    "/admin/{*}",
    "/{*}",
    "/{**}",
    "/a/{**}",
    "/store/{**}/cart",
    "/{*}/{*}/c",
    "/files/{**}/x.html",
    "/{*}/",
    "/a/{*}/b/",
    "/a.b/{*}",
    "/a+(b)/{*}",
    "/$x/{**}",
    "/api/v1/{*}/items/{*}",
    "/%61/{*}",
    "/{**}/",
    "/a;b/{*}",
    "/a:b@c/{*}",
    "/a,b!c/{**}/d",
    "/~x/{*}/'y'/{*}",
    "/{*}/admin",
    "/{*}/{**}",
    "/admin/{**}/",
    "/a&b/{*}",
];
const SEGMENTS: [&str; 14] =
    ["admin", "api", "v1", "users", "a", "b", "c.html", "x%20y", "a.b", "Admin", "%41", "a;v=1", "-", "~"];
const PORTS: [&str; 6] = ["80", "443", "8080", "0080", "15006", "1"];
const PEERS: [&str; 11] = [
    "127.0.0.1",
    "127.0.0.0/8",
    "127.1.0.0/16",
    "127.1.2.3",
    "127.1.2.3/24",
    "10.0.0.0/8",
    "::1",
    "::/0",
    "0.0.0.0/0",
    "127.0.0.1/32",
    "127.200.0.0/9",
];
const CLIENTS: [&str; 15] = [
    "203.0.113.7",
    "203.0.113.0/24",
    "203.0.113.128/25",
    "10.0.0.0/8",
    "10.1.2.3/8",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::/32",
    "2001:DB8::1",
    "192.168.0.0/16",
    "127.0.0.1",
    "198.51.100.7/31",
    "2001:db8:0:0::1/127",
    "172.16.0.0/12",
    "255.255.255.255",
];
const BAD_ADDRESSES: [&str; 7] =
    ["10.0.0.0/33", "300.1.1.1", "10.0.0", "10.0.0.0/", "a", "2001:db8::/129", "10.0.0.0/08"];
const BAD_PORTS: [&str; 5] = ["99999", "http", "-1", "65536", "+80"];
const PRINCIPALS: [&str; 19] = [
    "cluster.local/ns/shop/sa/web",
    "cluster.local/ns/shop/*",
    "*/sa/web",
    "*",
    "td1/ns/shop/sa/web",
    "*local/ns/shop/sa/web",
    "other.example/ns/shop/sa/web-2",
    "cluster.local/ns/shop/extra/sa/web/more",
    "cluster.local*",
    "*/ns/a.b/sa/x.y",
    "old-td/ns/a.b/sa/x.y",
    "cluster.*/ns/shop/sa/web",
    "*-td/ns/a.b/sa/x.y",
    "*/ns/shop/sa/web",
    "cluster.local/ns/shop/sa/WEB",
    "c*",
    "*web*",
    "spiffe://cluster.local/ns/shop/sa/web",
    "cluster.local/ns/istio-system/sa/gateway",
];
const NAMESPACES: [&str; 10] = ["shop", "sh*", "*op", "*", "foo", "a.b", "s*p", "a*b", "istio-system", "ns"];
const ACCOUNTS: [&str; 8] = ["web", "shop/web", "foo/api", "a.b/x.y", "api", "web-2", "gateway", "shop/WEB"];
const TRUST_DOMAINS: [&str; 7] = ["cluster.local", "td1", "*", "cluster*", "*.local", "old-td", "*td*"];
pub const REQUEST_PRINCIPALS: [&str; 19] = [
    "https://issuer.example/alice",
    "https://issuer.example/*",
    "*/alice",
    "*",
    "issuer/*",
    "https*",
    "*lice",
    "*.example/alice",
    "https://issuer.example/al*",
    "issuer",
    "https://issuer.example/",
    "*/*",
    "issuer/bob",
    "*/",
    "**",
    "*e*",
    "https://issuer.example/Alice",
    "https://*",
    "issuer/a/b",
];
const AUDIENCES: [&str; 7] = ["shop", "sh*", "*op", "*", "https://aud.example", "*a*", "SHOP"];
const CLAIMS: [&str; 12] = [
    "[groups]",
    "[realm][role]",
    "[scope]",
    "[sub]",
    "[iss]",
    "[a.b]",
    "[email]",
    "[x]y]",
    "[a][b][c]",
    "[Groups]",
    "[level]",
    "[realm]",
];
const WORDS: [&str; 11] =
    ["admin", "adm*", "*min", "*", "alice@shop.example", "*@shop.example", "5", "true", "a b", "read", "*é*"];
const HEADERS: [&str; 14] = [
    "x-tier",
    "X-Tier",
    "cookie",
    "user-agent",
    "accept",
    "x-forwarded-for",
    "host",
    ":path",
    ":method",
    ":authority",
    "content-type",
    "x-empty",
    "x-forwarded-proto",
    "X_Under",
];
const HEADER_VALUES: [&str; 14] = [
    "gold",
    "go*",
    "*ld",
    "*",
    "Gold",
    "gold,silver",
    "*,silver",
    "a=b",
    "gold *",
    "*o*",
    "text/html",
    "/admin",
    "shop.example",
    "http*",
];
const SNIS: [&str; 7] =
    ["shop.example", "*.example", "shop.*", "*", "other.example", "Shop.Example", "*shop*"];
const FILTERS: [&str; 5] = [".a.b[c]", ".a.b[list]", ".a.b[number]", ".http.jwt_authn[payload]", ".a.b[c"];
const FILTER_VALUES: [&str; 8] = ["exact", "ex*", "*act", "*", "[alpha]", "[al*]", "[*]", "[*et*]"];
const UNKNOWN: [&str; 7] = [
    "source.colour",
    "request.header[x-tier]",
    "destination.labels[version]",
    "request.headersx",
    "request.headers[x]y",
    "experimental.envoy.filters.a.b",
    "destination.user",
];
pub const NAMESPACE_OF_POLICIES: [&str; 3] = ["shop", "foo", "istio-system"];

/// The fields of a source and of an operation.
pub const SOURCE: [&str; 7] = [
    "principals",
    "requestPrincipals",
    "namespaces",
    "serviceAccounts",
    "ipBlocks",
    "remoteIpBlocks",
    "trustDomains",
];
pub const OPERATION: [&str; 4] = ["hosts", "ports", "methods", "paths"];
const KEYS: [&str; 15] = [
    "request.headers",
    "request.headers",
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.serviceAccount",
    "source.principal",
    "source.trustDomain",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "request.auth.claims",
    "destination.ip",
    "destination.port",
    "connection.sni",
];

/// A configuration of one to five policies, none of which has one of these texts.
pub fn configuration(random: &mut Random, without: &[String]) -> Configuration {
    let edges = [Edge::Sidecar, Edge::Gateway, Edge::GatewayBehindProxy];
    let domains: [&[&str]; 4] = [
        &["cluster.local"],
        &["td1", "cluster.local"],
        &["new-td", "old-td", "some-td"],
        &["cluster.local", "*-td"],
    ];
    let count = 1 + random.below(5);
    let policies = (0..count)
        .map(|number| {
            loop {
                let policy = policy(random, number);
                let text = policy.to_string();
                if !without.iter().any(|word| text.contains(word)) {
                    return policy;
                }
            }
        })
        .collect();
    let trust_domains = random.pick(&domains).copied().unwrap_or_default();
    Configuration {
        policies,
        trust_domains: trust_domains.iter().map(|domain| (*domain).to_owned()).collect(),
        edge: random.pick(&edges).copied().unwrap_or(Edge::Sidecar),
    }
}

fn policy(random: &mut Random, number: usize) -> Value {
    let mut metadata =
        json!({"name": format!("p{number}"), "namespace": random.text(&NAMESPACE_OF_POLICIES)});
    if random.percent(5) {
        metadata["annotations"] = json!({"istio.io/dry-run": random.text(&["true", "false"])});
    }
    let action = random.text(&["ALLOW", "ALLOW", "ALLOW", "ALLOW", "DENY", "DENY", "DENY", "AUDIT"]);
    let mut spec = Map::new();
    if action != "ALLOW" || random.percent(70) {
        spec.insert("action".to_owned(), json!(action));
    }
    // Istio refuses a DENY without rules.
    if action == "DENY" || !random.percent(5) {
        let count = 1 + random.below(3);
        let rules: Vec<Value> = (0..count).map(|_| rule(random, &action)).collect();
        spec.insert("rules".to_owned(), json!(rules));
    }
    json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec})
}

fn rule(random: &mut Random, action: &str) -> Value {
    let mut rule = Map::new();
    // A DENY for all hides every other policy of its set.
    if random.percent(if action == "DENY" { 1 } else { 4 }) {
        return Value::Object(rule);
    }
    let shape = random.below(10);
    if shape < 5 {
        let count = 1 + random.below(2);
        let from: Vec<Value> = (0..count).map(|_| json!({"source": source(random)})).collect();
        rule.insert("from".to_owned(), json!(from));
    }
    if (3..9).contains(&shape) {
        let count = 1 + random.below(2);
        let to: Vec<Value> = (0..count).map(|_| json!({"operation": operation(random)})).collect();
        rule.insert("to".to_owned(), json!(to));
    }
    if shape == 9 || random.percent(35) {
        let count = 1 + random.below(2);
        let when: Vec<Value> = (0..count).map(|_| condition(random)).collect();
        rule.insert("when".to_owned(), json!(when));
    }
    Value::Object(rule)
}

fn source(random: &mut Random) -> Value {
    let mut fields = random.some(&SOURCE, 1, 2);
    if fields.contains(&"serviceAccounts") {
        fields.retain(|field| !matches!(*field, "principals" | "namespaces"));
    }
    if fields.is_empty() {
        fields.push("namespaces");
    }
    block(random, &fields)
}

fn operation(random: &mut Random) -> Value {
    let fields = random.some(&OPERATION, 1, 3);
    block(random, &fields)
}

/// The fields, and here and there their not-twins, in their place or with them.
fn block(random: &mut Random, fields: &[&str]) -> Value {
    let mut block = Map::new();
    for field in fields {
        let twin = random.below(10);
        if twin < 8 {
            block.insert((*field).to_owned(), json!(values(random, field)));
        }
        if twin >= 7 {
            let (first, rest) = field.split_at(1);
            let values = values(random, field);
            block.insert(format!("not{}{rest}", first.to_uppercase()), json!(values));
        }
    }
    Value::Object(block)
}

fn condition(random: &mut Random) -> Value {
    let (key, of) = if random.percent(3) {
        (random.text(&UNKNOWN), "request.headers".to_owned())
    } else if random.percent(8) {
        (format!("experimental.envoy.filters{}", random.text(&FILTERS)), "filters".to_owned())
    } else {
        let of = random.text(&KEYS);
        let key = match of.as_str() {
            "request.headers" => format!("{of}[{}]", random.text(&HEADERS)),
            "request.auth.claims" => format!("{of}{}", random.text(&CLAIMS)),
            _ => of.clone(),
        };
        (key, of)
    };
    let mut condition = json!({"key": key});
    let twin = random.below(10);
    if twin < 8 {
        condition["values"] = json!(values(random, &of));
    }
    if twin >= 7 {
        condition["notValues"] = json!(values(random, &of));
    }
    condition
}

fn values(random: &mut Random, of: &str) -> Vec<String> {
    let count = 1 + random.below(3);
    (0..count).map(|_| value(random, of)).collect()
}

fn value(random: &mut Random, of: &str) -> String {
    let is_bad = random.percent(2);
    match of {
        "hosts" => random.text(&HOSTS),
        "methods" => random.text(&METHODS),
        "paths" if random.percent(30) => path(random),
        "paths" => random.text(&PATHS),
        "ports" | "destination.port" => random.text(if is_bad { &BAD_PORTS } else { &PORTS }),
        "ipBlocks" | "remoteIpBlocks" | "source.ip" | "remote.ip" | "destination.ip" if is_bad => {
            random.text(&BAD_ADDRESSES)
        }
        "ipBlocks" | "source.ip" => random.text(&PEERS),
        "remoteIpBlocks" | "remote.ip" | "destination.ip" => random.text(&CLIENTS),
        "principals" | "source.principal" => random.text(&PRINCIPALS),
        "namespaces" | "source.namespace" => random.text(&NAMESPACES),
        "serviceAccounts" | "source.serviceAccount" => random.text(&ACCOUNTS),
        "trustDomains" | "source.trustDomain" => random.text(&TRUST_DOMAINS),
        "requestPrincipals" | "request.auth.principal" => random.text(&REQUEST_PRINCIPALS),
        "request.auth.audiences" | "request.auth.presenter" => random.text(&AUDIENCES),
        "request.auth.claims" => random.text(&WORDS),
        "connection.sni" => random.text(&SNIS),
        "filters" => random.text(&FILTER_VALUES),
        _ => random.text(&HEADER_VALUES),
    }
}

/// A path of segments, with a star at an end or with templates.
fn path(random: &mut Random) -> String {
    let count = 1 + random.below(4);
    let mut segments: Vec<String> = (0..count).map(|_| random.text(&SEGMENTS)).collect();
    match random.below(4) {
        0 => return format!("/{}*", segments.join("/")),
        1 => return format!("*/{}", segments.join("/")),
        2 => {
            let is_literal = |segment: &String| !segment.contains('=');
            segments.retain(is_literal);
            let last = random.text(&["{*}", "{**}", "{*}"]);
            let place = random.below(segments.len() + 1);
            if random.percent(40) {
                segments.insert(0, "{*}".to_owned());
            }
            segments.insert(place.min(segments.len()), "{*}".to_owned());
            segments.push(last);
        }
        _ => {}
    }
    format!("/{}", segments.join("/"))
}
