//! Requests as they are recorded: a JSON object a line, or a HAR.

use harness::{
    Bytes,
    scenario::{Chunk, Connection, Exchange, Headers, Request, Response},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt,
    io::{BufRead, Read},
    net::{IpAddr, SocketAddr},
};

/// A recorded request.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// What it is called: its own id, or its line's number.
    pub id: Value,
    /// When it came, in nanoseconds since 1970 (UTC); none goes on from the one before.
    pub time: Option<u64>,
    /// The request, its connection and the upstream's answer.
    pub exchange: Exchange,
}

/// A line as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    id: Value,
    method: String,
    path: String,
    authority: Option<String>,
    scheme: Option<String>,
    #[serde(default)]
    headers: Vec<(String, Text)>,
    body: Option<String>,
    body_base64: Option<String>,
    #[serde(default)]
    trailers: Vec<(String, Text)>,
    #[serde(default)]
    source: Source,
    remote_ip: Option<IpAddr>,
    destination: Option<Destination>,
    #[serde(default)]
    sni: String,
    #[serde(default)]
    claims: serde_json::Map<String, Value>,
    #[serde(default)]
    response: Answer,
    time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    ip: Option<IpAddr>,
    port: Option<u16>,
    principal: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Destination {
    ip: Option<IpAddr>,
    port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Answer {
    status: Option<u16>,
    headers: Vec<(String, Text)>,
    body: Option<String>,
    body_base64: Option<String>,
}

/// Text, or bytes that are none.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Bytes { base64: String },
}

impl Text {
    fn bytes(&self) -> Result<Bytes, String> {
        match self {
            Self::Plain(text) => Ok(Bytes::from(text)),
            Self::Bytes { base64 } => decode(base64),
        }
    }
}

fn decode(text: &str) -> Result<Bytes, String> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map(Bytes)
        .map_err(|error| format!("base64: {error}"))
}

fn headers(pairs: &[(String, Text)]) -> Result<Headers, String> {
    pairs.iter().map(|(name, value)| Ok((Bytes::from(name), value.bytes()?))).collect()
}

fn body(plain: Option<&str>, encoded: Option<&str>) -> Result<Vec<Chunk>, String> {
    let bytes = match (plain, encoded) {
        (Some(_), Some(_)) => return Err("must have body or body_base64, not both".to_owned()),
        (Some(text), None) => Bytes::from(text),
        (None, Some(text)) => decode(text)?,
        (None, None) => return Ok(Vec::new()),
    };
    Ok(if bytes.0.is_empty() { Vec::new() } else { vec![Chunk::from(bytes)] })
}

impl Line {
    fn convert(self, number: usize) -> Result<Recorded, String> {
        let default = Request::default();
        let connection = Connection::default();
        let source = SocketAddr::new(
            self.source.ip.unwrap_or(connection.source.ip()),
            self.source.port.unwrap_or(connection.source.port()),
        );
        let destination = self.destination.map_or(connection.destination, |destination| {
            SocketAddr::new(
                destination.ip.unwrap_or(connection.destination.ip()),
                destination.port.unwrap_or(connection.destination.port()),
            )
        });
        // Where Istio's request authentication leaves claims, and where a policy looks for the direct peer.
        let mut metadata = BTreeMap::new();
        if !self.claims.is_empty() {
            metadata.insert("envoy.filters.http.jwt_authn".to_owned(), json!({ "payload": self.claims }));
        }
        let peer = Bytes::from(&source.ip().to_string());
        let state = ["outrigger.peer", "wasm.outrigger.peer"].map(|key| (key.to_owned(), peer.clone()));
        let trailers = headers(&self.trailers)?;
        Ok(Recorded {
            id: if self.id.is_null() { json!(number.to_string()) } else { self.id },
            time: self.time.as_deref().map(nanoseconds).transpose()?,
            exchange: Exchange {
                connection: Connection {
                    source,
                    remote: self.remote_ip,
                    destination,
                    principal: self.source.principal,
                    sni: self.sni,
                    metadata,
                    state: state.into(),
                },
                request: Request {
                    method: self.method,
                    path: self.path,
                    authority: self.authority.unwrap_or(default.authority),
                    scheme: self.scheme.unwrap_or(default.scheme),
                    headers: headers(&self.headers)?,
                    chunks: body(self.body.as_deref(), self.body_base64.as_deref())?,
                    is_chunked: !trailers.is_empty(),
                    trailers,
                    end_after_ms: 0,
                },
                response: Response {
                    status: self.response.status.unwrap_or(200),
                    headers: headers(&self.response.headers)?,
                    chunks: body(self.response.body.as_deref(), self.response.body_base64.as_deref())?,
                    ..Response::default()
                },
                ..Exchange::default()
            },
        })
    }
}

/// Reads `2026-11-23T00:00:00Z`, with or without a fraction of a second.
fn nanoseconds(text: &str) -> Result<u64, String> {
    harness::scenario::nanoseconds(text)
        .ok_or_else(|| format!("time: must be such as 2026-11-23T00:00:00Z, got {text:?}"))
}

/// Reads requests of a JSON object a line, and hands each to `take` as it comes. A bad line is told to `refuse` with its number; the rest goes on.
///
/// # Errors
/// The text cannot be read, or `take` has had enough.
pub fn lines<E: From<std::io::Error>>(
    mut input: impl BufRead,
    mut take: impl FnMut(Recorded) -> Result<(), E>,
    mut refuse: impl FnMut(usize, String),
) -> Result<(), E> {
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        number += 1;
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let read = serde_json::from_slice::<Line>(text).map_err(|error| error.to_string());
        match read.and_then(|line| line.convert(number)) {
            Ok(recorded) => take(recorded)?,
            Err(error) => refuse(number, error),
        }
    }
}

/// An entry of a HAR (HTTP Archive 1.2).
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "startedDateTime")]
    started: Option<String>,
    request: HarRequest,
    response: Option<HarResponse>,
}

#[derive(Debug, Deserialize)]
struct HarRequest {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<HarHeader>,
    #[serde(rename = "postData")]
    post: Option<HarText>,
}

#[derive(Debug, Deserialize)]
struct HarResponse {
    status: i64,
    #[serde(default)]
    headers: Vec<HarHeader>,
    content: Option<HarText>,
}

#[derive(Debug, Deserialize)]
struct HarHeader {
    name: String,
    value: String,
}

#[derive(Debug, Deserialize)]
struct HarText {
    text: Option<String>,
    encoding: Option<String>,
}

impl HarText {
    fn chunks(&self) -> Result<Vec<Chunk>, String> {
        match (&self.text, self.encoding.as_deref()) {
            (Some(text), Some("base64")) => body(None, Some(text)),
            (text, _) => body(text.as_deref(), None),
        }
    }
}

impl Entry {
    fn convert(self, number: usize) -> Result<Recorded, String> {
        let (scheme, rest) =
            self.request.url.split_once("://").ok_or("request.url: must be an absolute URL")?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let path = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        // What HTTP/2 and the connection have of their own is in the request line here.
        let own = |header: &&HarHeader| {
            !header.name.starts_with(':')
                && !header.name.eq_ignore_ascii_case("host")
                && !is_framing(&header.name)
        };
        let list = |headers: &[HarHeader]| -> Headers {
            let pair = |header: &HarHeader| {
                (Bytes::from(&header.name.to_ascii_lowercase()), Bytes::from(&header.value))
            };
            headers.iter().filter(own).map(pair).collect()
        };
        let mut response = Response::default();
        if let Some(answer) = &self.response {
            // A browser writes 0 for what was not answered.
            response.status =
                u16::try_from(answer.status).ok().filter(|status| *status >= 200).unwrap_or(200);
            response.headers = list(&answer.headers);
            response.headers.retain(|(name, _)| name.0 != b"content-encoding");
            response.chunks = answer.content.as_ref().map_or(Ok(Vec::new()), HarText::chunks)?;
        }
        Ok(Recorded {
            id: json!(number.to_string()),
            time: self.started.as_deref().and_then(|text| nanoseconds(text).ok()),
            exchange: Exchange {
                request: Request {
                    method: self.request.method,
                    path,
                    authority: authority.to_owned(),
                    scheme: scheme.to_owned(),
                    headers: list(&self.request.headers),
                    chunks: self.request.post.as_ref().map_or(Ok(Vec::new()), HarText::chunks)?,
                    ..Request::default()
                },
                response,
                ..Exchange::default()
            },
        })
    }
}

fn is_framing(name: &str) -> bool {
    ["content-length", "transfer-encoding", "connection"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Reads the entries of a HAR one by one, however long it is.
///
/// # Errors
/// The text is no HAR, or cannot be read.
pub fn har(
    input: impl Read,
    mut take: impl FnMut(Recorded) -> Result<(), String>,
    mut refuse: impl FnMut(usize, String),
) -> Result<(), String> {
    let mut number = 0;
    let mut entry = |value: Value| {
        number += 1;
        let read = serde_json::from_value::<Entry>(value).map_err(|error| error.to_string());
        match read.and_then(|entry| entry.convert(number)) {
            Ok(recorded) => take(recorded),
            Err(error) => {
                refuse(number, error);
                Ok(())
            }
        }
    };
    let mut deserializer = serde_json::Deserializer::from_reader(std::io::BufReader::new(input));
    let inside = Inside { path: &["log", "entries"], entry: &mut entry };
    inside.deserialize(&mut deserializer).map_err(|error| format!("is no HAR: {error}"))
}

/// Goes down to the list of entries and hands each on.
struct Inside<'a> {
    path: &'a [&'static str],
    entry: &'a mut dyn FnMut(Value) -> Result<(), String>,
}

impl<'de> DeserializeSeed<'de> for Inside<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with log.entries, a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((name, rest)) = self.path.split_first() else {
            return Err(serde::de::Error::custom("must be a list"));
        };
        let mut is_there = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == *name {
                is_there = true;
                map.next_value_seed(Inside { path: rest, entry: &mut *self.entry })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if is_there { Ok(()) } else { Err(serde::de::Error::missing_field(name)) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if let Some(name) = self.path.first() {
            return Err(serde::de::Error::missing_field(name));
        }
        while let Some(value) = items.next_element::<Value>()? {
            (self.entry)(value).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Recorded, har, lines};

    fn read(text: &str) -> (Vec<Recorded>, Vec<(usize, String)>) {
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        let take = |recorded| {
            taken.push(recorded);
            Ok::<_, std::io::Error>(())
        };
        lines(text.as_bytes(), take, |number, error| refused.push((number, error))).unwrap();
        (taken, refused)
    }

    #[test]
    fn a_bad_line_is_named_and_the_rest_is_read() {
        let text = "{\"method\":\"GET\",\"path\":\"/\"}\n\nnot JSON\n{\"id\":7,\"method\":\"GET\",\"path\":\"/b\",\"headers\":[[\"a\",{\"base64\":\"/w==\"}]],\"extra\":1}\n{\"id\":\"x\",\"method\":\"PUT\",\"path\":\"/c\",\"body_base64\":\"/w==\",\"headers\":[[\"a\",{\"base64\":\"/w==\"}]],\"time\":\"2026-11-23T00:00:00Z\"}";
        let (taken, refused) = read(text);
        let ids: Vec<String> = taken.iter().map(|recorded| recorded.id.to_string()).collect();
        assert_eq!(ids, ["\"1\"", "\"x\""]);
        assert_eq!(refused.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 4]);
        assert!(refused[1].1.contains("unknown field `extra`"), "{refused:?}");
        let last = &taken[1];
        assert_eq!(last.time, Some(1_795_392_000_000_000_000));
        assert_eq!(
            (&last.exchange.request.headers[0].1.0[..], &last.exchange.request.chunks[0].bytes.0[..]),
            (&b"\xff"[..], &b"\xff"[..])
        );
    }

    #[test]
    fn a_har_is_read_entry_by_entry() {
        let text = r#"{"log":{"version":"1.2","creator":{},"entries":[
            {"startedDateTime":"2026-11-23T00:00:00.5Z","request":{"method":"POST","url":"https://shop.example/a?b=c","headers":[{"name":":path","value":"/"},{"name":"Cookie","value":"u=1"}],"postData":{"text":"x"}},"response":{"status":404,"headers":[],"content":{"text":"no"}}},
            {"request":{"method":"GET","url":"nowhere"}}]}}"#;
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        har(
            text.as_bytes(),
            |recorded| {
                taken.push(recorded);
                Ok(())
            },
            |number, error| refused.push((number, error)),
        )
        .unwrap();
        let request = &taken[0].exchange.request;
        assert_eq!(
            (
                request.path.as_str(),
                request.authority.as_str(),
                request.scheme.as_str(),
                request.headers.len()
            ),
            ("/a?b=c", "shop.example", "https", 1)
        );
        assert_eq!((taken[0].exchange.response.status, taken.len(), refused[0].0), (404, 1, 2));
        assert!(har(&b"{}"[..], |_| Ok(()), |_, _| {}).unwrap_err().contains("missing field `log`"));
    }
}
