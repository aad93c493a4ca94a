//! AuthorizationPolicies by chance: every field, every not-twin and every key of `when`, with values that are near each other.

use super::{
    random::Random,
    values::{
        ACCOUNTS, AUDIENCES, BAD, CLAIMS, CLIENTS, FILTER_VALUES, FILTERS, HEADER_VALUES, HEADERS, HOSTS,
        KEYS, METHODS, NAMESPACE_OF_POLICIES, NAMESPACES, OPERATION, PATHS, PEERS, PORTS, PRINCIPALS,
        REQUEST_PRINCIPALS, SEGMENTS, SNIS, SOURCE, TRUST_DOMAINS, UNKNOWN, WORDS,
    },
};
use serde::Deserialize;
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
    /// What Envoy makes of paths before any filter.
    pub paths: Paths,
}

/// Istio's `pathNormalization` of a mesh, but for NONE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paths {
    /// BASE: dot segments, `\`, needless escapes.
    #[default]
    Base,
    /// MERGE_SLASHES: `//` is `/` too.
    MergeSlashes,
    /// DECODE_AND_MERGE_SLASHES: and `%2f` and `%5c` before that.
    DecodeAndMergeSlashes,
}

/// Where Envoy takes the client's address from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// A sidecar: the last address of `x-forwarded-for`.
    #[default]
    Sidecar,
    /// A gateway without trusted proxies before it: the connection.
    Gateway,
    /// A gateway behind one trusted proxy: the last address of `x-forwarded-for`, which that proxy wrote.
    GatewayBehindProxy,
}

/// A configuration of one to five policies, none of which has one of these texts.
pub fn configuration(random: &mut Random, without: &[String]) -> Configuration {
    let paths = [Paths::Base, Paths::MergeSlashes, Paths::DecodeAndMergeSlashes];
    let edges = [Edge::Sidecar, Edge::Gateway, Edge::GatewayBehindProxy];
    let domains: [&[&str]; 4] = [
        &["cluster.local"],
        &["td1", "cluster.local"],
        &["new-td", "old-td", "some-td"],
        &["cluster.local", "*-td"],
    ];
    let count = random.pick(&[1, 1, 2, 3, 4, 5]).copied().unwrap_or(1);
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
        paths: random.pick(&paths).copied().unwrap_or(Paths::Base),
    }
}

/// Whether a policy of this place is of one rule with hardly more than one condition: then nothing hides what that condition decides.
fn is_small(random: &mut Random, number: usize) -> bool {
    random.percent(if number == 0 { 60 } else { 25 })
}

fn policy(random: &mut Random, number: usize) -> Value {
    let mut metadata =
        json!({"name": format!("p{number}"), "namespace": random.text(&NAMESPACE_OF_POLICIES)});
    if random.percent(5) {
        metadata["annotations"] =
            json!({"istio.io/dry-run": random.text(&["true", "false", "1", "T", "yes", "TRUE"])});
    }
    let action = random.text(&["ALLOW", "ALLOW", "ALLOW", "ALLOW", "DENY", "DENY", "DENY", "AUDIT"]);
    let mut spec = Map::new();
    if action != "ALLOW" || random.percent(70) {
        spec.insert("action".to_owned(), json!(action));
    }
    // Istio refuses a DENY without rules.
    if action == "DENY" || !random.percent(5) {
        let rules: Vec<Value> = if is_small(random, number) {
            vec![small_rule(random)]
        } else if action == "ALLOW" && random.percent(6) {
            (0..40).map(|_| small_rule(random)).collect()
        } else {
            let count = 1 + random.below(3);
            (0..count).map(|_| rule(random, &action)).collect()
        };
        spec.insert("rules".to_owned(), json!(rules));
    }
    // What says where a policy counts, and what the API server adds, decides nothing.
    if random.percent(10) {
        spec.insert("selector".to_owned(), json!({"matchLabels": {"app": "shop"}}));
        metadata["labels"] = json!({"app": "shop"});
    }
    let mut policy = json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec});
    if random.percent(5) {
        policy["status"] = json!({});
    }
    policy
}

/// One field or one condition, perhaps with its not-twin.
fn small_rule(random: &mut Random) -> Value {
    match random.below(10) {
        0..=2 => json!({"from": [{"source": source(random, 1)}]}),
        3..=5 => json!({"to": [{"operation": operation(random, 1)}]}),
        _ => json!({"when": [condition(random)]}),
    }
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
        let from: Vec<Value> = (0..count).map(|_| json!({"source": source(random, 2)})).collect();
        rule.insert("from".to_owned(), json!(from));
    }
    if (3..9).contains(&shape) {
        let count = 1 + random.below(2);
        let to: Vec<Value> = (0..count).map(|_| json!({"operation": operation(random, 3)})).collect();
        rule.insert("to".to_owned(), json!(to));
    }
    if shape == 9 || random.percent(35) {
        let count = 1 + random.below(2);
        let when: Vec<Value> = (0..count).map(|_| condition(random)).collect();
        rule.insert("when".to_owned(), json!(when));
    }
    Value::Object(rule)
}

fn source(random: &mut Random, most: usize) -> Value {
    let mut fields = random.some(&SOURCE, 1, most);
    if fields.contains(&"serviceAccounts") {
        fields.retain(|field| !matches!(*field, "principals" | "namespaces"));
    }
    block(random, &fields)
}

fn operation(random: &mut Random, most: usize) -> Value {
    let mut fields = random.some(&OPERATION, 1, most);
    if random.percent(30) {
        fields = vec!["paths"];
    }
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
    // Whether a header that may be empty is there.
    if random.percent(5) {
        let either = random.text(&["values", "notValues"]);
        return json!({"key": "request.headers[x-empty]", either: ["*"]});
    }
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
        "ports" | "destination.port" => random.text(if is_bad { &BAD[7..] } else { &PORTS }),
        "ipBlocks" | "remoteIpBlocks" | "source.ip" | "remote.ip" | "destination.ip" if is_bad => {
            random.text(&BAD[..7])
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
