//! An Envoy with a listener for each thing that is attacked and each who decides on it, which answers with what it has seen.

use super::{
    corpus::{Corpus, Row, Send, Set},
    signed::SECRET,
    two,
};
use crate::{
    build,
    e2e::rbac::{
        client::{self, Listener},
        identity::{Credentials, IDENTITIES},
        listeners::{self, address, kind, plugin},
        request::Caller,
        translate,
    },
    envoy::Envoy,
};
use anyhow::{Context as _, Result};
use harness::{Bytes, scenario::Headers};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judge {
    /// Envoy's own RBAC.
    Rbac,
    /// The module, in Istio's mode; of a filter without modes, as it is.
    Istio,
    /// The module in strict mode.
    Strict,
}

impl Judge {
    /// Those of a filter and a set.
    pub fn all(filter: &str, set: &Set) -> Vec<Self> {
        match (filter, set.beyond_istio) {
            ("policy", false) => vec![Self::Rbac, Self::Istio, Self::Strict],
            ("policy", true) => vec![Self::Istio, Self::Strict],
            _ => vec![Self::Istio],
        }
    }

    /// The filter's configuration.
    pub fn config(self, filter: &str, set: &Set) -> Value {
        let mut config = set.config.clone();
        if filter == "policy" {
            config["mode"] = json!(if self == Self::Strict { "strict" } else { "istio" });
        }
        config
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rbac => "rbac",
            Self::Istio => "istio",
            Self::Strict => "strict",
        }
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The status; 0 if there was no answer.
    pub status: u16,
    /// Whether the trace of the decision came with it.
    pub explained: bool,
    /// The client's address as the filter was told; none where Envoy has refused the request before.
    pub remote: Option<IpAddr>,
    /// The request's headers before the filter and behind it, where it got so far.
    pub before: Option<Headers>,
    /// Behind it.
    pub after: Option<Headers>,
}

/// An Envoy for a corpus.
pub struct Site {
    listeners: BTreeMap<String, SocketAddr>,
    credentials: Credentials,
    _envoy: Envoy,
}

/// Writes a map of headers in hexadecimal digits, and says instead that it is long: `NAME:VALUE,NAME:VALUE,`.
const DUMP: &str = r#"
local function hex(text)
  return (text:gsub(".", function(byte) return string.format("%02x", string.byte(byte)) end))
end
local function dump(handle, key)
  local parts = {}
  for name, value in pairs(handle:headers()) do
    if #value > 20000 then parts = {"long"} break end
    table.insert(parts, hex(name) .. ":" .. hex(value) .. ",")
  end
  handle:streamInfo():dynamicMetadata():set("outrigger.seen", key, table.concat(parts))
end
"#;

fn lua(what: &str) -> Value {
    let code = format!("{DUMP}\nfunction envoy_on_request(handle)\n{what}\nend");
    json!({"name": "envoy.filters.http.lua", "typed_config": {
        "@type": kind("http.lua.v3.Lua"),
        "default_source_code": {"inline_string": code}
    }})
}

impl Site {
    /// Starts an Envoy.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &Path, corpus: &Corpus) -> Result<Self> {
        let credentials = Credentials::make()?;
        let mut all = Vec::new();
        for (name, set) in &corpus.sets {
            for judge in Judge::all(&corpus.filter, set) {
                let name = format!("{name} {}", judge.name());
                all.push(listener(&name, &corpus.filter, set, judge, credentials.server()));
            }
        }
        let bootstrap = json!({
            "admin": {"address": address("127.0.0.1")},
            "static_resources": {"listeners": all},
            "stats_config": {"stats_matcher": {"reject_all": true}}
        });
        let envoy = Envoy::start(program, &bootstrap, &["--concurrency", "2"])?;
        Ok(Self { listeners: envoy.listeners()?, credentials, _envoy: envoy })
    }

    /// Makes an attempt.
    ///
    /// # Errors
    /// There is no answer in time, or it cannot be read.
    pub fn ask(&self, set: &str, judge: Judge, row: &Row) -> Result<Seen> {
        let v4 = *self.listeners.get(&format!("{set} {}", judge.name())).context("there is no listener")?;
        let caller = caller(row)?;
        let mut stream = client::connect(&caller, &self.credentials, Listener { v4, v6: None })?;
        let answer = match &row.send {
            Send::Two(fields) => two::ask(stream.as_mut(), fields)?,
            Send::One(bytes, method) => {
                // A server that has closed already has answered before.
                let _ = stream.write_all(bytes).and_then(|()| stream.flush());
                client::read(stream.as_mut(), &mut Vec::new(), method == "HEAD")?.0
            }
        };
        let mut seen = Seen { status: answer.status, explained: answer.explained, ..Seen::default() };
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        if let [remote, before, after] = body.lines().collect::<Vec<_>>().as_slice() {
            seen.remote = remote.parse().ok();
            (seen.before, seen.after) = (headers(before), headers(after));
        }
        Ok(seen)
    }
}

/// Who makes an attempt.
pub fn caller(row: &Row) -> Result<Caller> {
    let place = |uri: &str| {
        let place = IDENTITIES.iter().position(|identity| identity.uri == Some(uri));
        place.with_context(|| format!("there is no certificate of {uri}"))
    };
    Ok(Caller {
        identity: row.certificate.as_deref().map(place).transpose()?,
        sni: None,
        source: IpAddr::from([203, 0, 113, 7]),
        destination: SocketAddr::from(([10, 0, 0, 1], 8080)),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
    })
}

fn listener(name: &str, filter: &str, set: &Set, judge: Judge, server: &Value) -> Value {
    let domains: Vec<String> =
        serde_json::from_value(set.config["trust_domains"].clone()).unwrap_or_default();
    let policies = set.config["policies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let judged = match judge {
        Judge::Rbac => translate(policies, &domains),
        Judge::Istio | Judge::Strict => {
            let environment = [SECRET].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            vec![plugin(name, &build::module(filter), &judge.config(filter, set), &environment)]
        }
    };
    let mut filters = vec![lua("dump(handle, 'before')")];
    filters.extend(judged);
    filters.push(lua("dump(handle, 'after') handle:respond({[':status'] = '200'}, 'ok')"));
    let mut listener = listeners::listener(name, (set.edge, set.paths), filters, server);
    listener["address"] = address("127.0.0.1");
    let seen = |key: &str| format!("%DYNAMIC_METADATA(outrigger.seen:{key})%");
    let body = format!("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\n{}\n{}", seen("before"), seen("after"));
    for chain in listener["filter_chains"].as_array_mut().into_iter().flatten() {
        let manager = &mut chain["filters"][0]["typed_config"];
        manager["local_reply_config"]["body_format"] = json!({"text_format_source": {"inline_string": body}});
        manager["max_request_headers_kb"] = json!(96);
    }
    listener
}

/// What was dumped; none where it was not, or is long.
fn headers(dump: &str) -> Option<Headers> {
    let text = |hex: &str| -> Option<Bytes> {
        let digits: Option<Vec<u8>> =
            hex.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        Some(Bytes(
            digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect(),
        ))
    };
    let pair = |part: &str| {
        let (name, value) = part.split_once(':')?;
        Some((text(name)?, text(value)?))
    };
    let parts: Option<Headers> = dump.split(',').filter(|part| !part.is_empty()).map(pair).collect();
    parts.filter(|parts| !parts.is_empty())
}
