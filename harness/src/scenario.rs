//! Scenario files: one exchange or several, a configuration, and what must come of it.

mod connection;
mod lines;
mod load;
mod raw;
mod rules;
#[cfg(test)]
mod tests;
mod values;

pub use connection::Connection;
pub use load::{ScenarioError, load, load_dir, load_file};

use crate::{
    Bytes, Exploration,
    expect::{Expect, Expected},
    lint::Lint,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

/// Names and values, in order.
pub type Headers = Vec<(Bytes, Bytes)>;

/// A scenario: what is done and what must come of it, on the harness and on Envoy alike.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    /// What must be so.
    pub name: String,
    /// The file it is from.
    pub file: PathBuf,
    /// The line where it begins there, from 1.
    pub line: usize,
    /// Why it runs on the harness only.
    pub only_harness: Option<String>,
    /// The lints that are switched off, each with the reason why. The harness alone has lints.
    pub allow: BTreeMap<Lint, String>,
    /// How it is explored, if it is. The harness alone explores.
    pub explore: Option<Exploration>,
    /// The file of its trace's snapshot, which the harness compares.
    pub snapshot: Option<PathBuf>,
    /// The seed of the harness's random source.
    pub seed: u64,
    /// The time at which the harness's clock stands, in nanoseconds since 1970.
    pub clock: u64,
    /// The plugin's configuration, as it is handed to the module; none is no bytes.
    pub config: Option<Vec<u8>>,
    /// The VM's environment.
    pub env: BTreeMap<String, String>,
    /// The plugin's root id, for modules that hold several plugins.
    pub root_id: String,
    /// The VM's configuration, as `proxy_on_vm_start` gets it; none is no bytes.
    pub vm_config: Option<String>,
    /// The routes, the first that matches; without one a request goes to the upstream `v1`.
    pub routes: Vec<Route>,
    /// Clusters for callouts, by name.
    pub upstreams: BTreeMap<String, Cluster>,
    /// Whether the client keeps cookies from exchange to exchange.
    pub cookies: bool,
    /// Whether the exchanges are TCP connections, and the plugin a network filter.
    pub is_tcp: bool,
    /// The text that the log holds when the configuration is refused; there are no exchanges then.
    pub config_error: Option<String>,
    /// The exchanges, one after the other, through one VM.
    pub exchanges: Vec<Exchange>,
}

impl Scenario {
    /// The scenario for a module of several filters: its configuration stands in a field of that module's. What is bounded by a filter's own cost is
    /// not bounded any more, and its trace is another one.
    #[must_use]
    pub fn inside(mut self, field: &str) -> Self {
        let own = self.config.filter(|config| !config.trim_ascii().is_empty());
        let own = own.unwrap_or_else(|| b"{}".to_vec());
        self.config = Some([format!("{{{field:?}:").as_bytes(), &own, b"}"].concat());
        // What is wrong is said with the field before it, and at another column.
        self.config_error = self.config_error.map(|error| {
            let error =
                error.rsplit_once("configuration refused: ").map_or(error.as_str(), |(_, error)| error);
            error.split(" at line ").next().unwrap_or_default().to_owned()
        });
        self.snapshot = None;
        for exchange in &mut self.exchanges {
            exchange.expect.max_instructions = None;
        }
        self
    }

    /// The configuration that stands in a field of the scenario's, if there is one.
    pub fn part(&self, field: &str) -> Option<Vec<u8>> {
        let all: serde_json::Value = serde_json::from_slice(self.config.as_deref()?).ok()?;
        all.get(field).filter(|part| !part.is_null()).map(|part| part.to_string().into_bytes())
    }
}

/// A route, picked by the request's headers after the filter changed them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Its name, for `xds.route_name`; none is empty.
    pub name: String,
    /// A header and the value that it must have.
    pub header: Option<(String, String)>,
    /// What the path must begin with.
    pub prefix: Option<String>,
    /// The upstream: `v1`, `v2`, or a cluster that does not answer.
    pub upstream: String,
    /// How many milliseconds the whole response may take behind the request; none is 15 seconds.
    pub timeout_ms: Option<u64>,
}

/// A cluster for callouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cluster {
    /// It answers.
    Answers {
        /// What it answers.
        response: Response,
        /// After how many milliseconds.
        delay_ms: u64,
    },
    /// Nothing listens there.
    Refuses,
    /// It has no hosts.
    Empty,
    /// It speaks gRPC.
    Grpc(GrpcAnswers),
}

/// What a gRPC server answers: each message of the client's by its next one, and the trailers when it has no further ones, or the client has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrpcAnswers {
    /// The initial metadata.
    pub initial: Headers,
    /// The messages. Without one the server answers with its trailers alone.
    pub messages: Vec<Bytes>,
    /// The trailing metadata, beside the status.
    pub trailers: Headers,
    /// The status, 0..=16.
    pub status: u32,
    /// The status's message.
    pub message: String,
    /// After how many milliseconds each answer comes.
    pub delay_ms: u64,
}

impl GrpcAnswers {
    /// The status's message as it is sent.
    pub fn sent_message(&self) -> String {
        percent_encoded(self.message.as_bytes())
    }
}

/// A status's message as gRPC sends it: what is no printable ASCII, and percent signs, as such a sign and two digits (gRPC over HTTP/2,
/// "Percent-Encoded").
pub(crate) fn percent_encoded(message: &[u8]) -> String {
    let mut text = String::new();
    for byte in message {
        let _ = match byte {
            b' '..=b'~' if *byte != b'%' => write!(text, "{}", char::from(*byte)),
            _ => write!(text, "%{byte:02X}"),
        };
    }
    text
}

/// A part of a body, and how many milliseconds behind the one before it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes.
    pub bytes: Bytes,
    /// The pause before it, in milliseconds.
    pub after_ms: u64,
}

/// The upstreams that take requests, by name. A request that no route is for goes to the first.
pub const UPSTREAMS: [&str; 2] = ["v1", "v2"];

/// The pause between chunks of which nothing else is said, in milliseconds: long enough for Envoy to read them one by one.
pub const PAUSE_MS: u64 = 40;

impl Chunk {
    /// A chunk that comes by itself.
    pub fn apart(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), after_ms: PAUSE_MS }
    }
}

impl<T: Into<Bytes>> From<T> for Chunk {
    fn from(bytes: T) -> Self {
        Self { bytes: bytes.into(), after_ms: 0 }
    }
}

/// Reads a time of RFC 3339 in UTC, such as `2026-11-23T00:00:00.5Z`: nanoseconds since 1970.
pub fn nanoseconds(text: &str) -> Option<u64> {
    values::nanoseconds("", text).ok()
}

/// Bytes as scenarios have them: a string, `{ hex = ".." }` or `{ repeat = "..", times = N }`.
///
/// # Errors
/// It is none of these: the rule that it breaks.
pub fn bytes(value: &toml::Value) -> Result<Bytes, String> {
    values::bytes("", value).map_err(|problem| problem.rule)
}

/// Headers as scenarios have them: a table of values, or a list of pairs.
///
/// # Errors
/// It is neither: the rule that it breaks.
pub fn headers(value: &toml::Value) -> Result<Headers, String> {
    values::headers("", Some(value)).map_err(|problem| problem.rule)
}

/// What must be of headers, as scenarios have it.
///
/// # Errors
/// The rule that is broken.
pub fn expected(table: &toml::Table) -> Result<Vec<(String, Expected)>, String> {
    values::each("", table).map_err(|problem| problem.rule)
}

/// A request of the client, its answer by the upstream, and what must come of it.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// How many milliseconds pass before it.
    pub after_ms: u64,
    /// Whether it is a TCP connection: the bodies are what client and upstream send. Each chunk of the client's is answered by the upstream's next
    /// one, and its end by those that are left.
    pub is_tcp: bool,
    /// Who sends it.
    pub connection: Connection,
    /// What the client sends.
    pub request: Request,
    /// What the upstream answers.
    pub response: Response,
    /// What must come of it.
    pub expect: Expect,
}

/// What the client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target: path and query.
    pub path: String,
    /// The authority.
    pub authority: String,
    /// The scheme, as `x-forwarded-proto` has it.
    pub scheme: String,
    /// The headers, in order.
    pub headers: Headers,
    /// The body's chunks. One is sent with its length, several are sent one by one; none is no body.
    pub chunks: Vec<Chunk>,
    /// Whether the body was given in chunks, and is sent so.
    pub is_chunked: bool,
    /// The trailers; a body with trailers is sent in chunks.
    pub trailers: Headers,
    /// How many milliseconds behind the last chunk the end of the body comes, with the trailers.
    pub end_after_ms: u64,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            authority: "shop.example".to_owned(),
            scheme: "http".to_owned(),
            headers: Vec::new(),
            chunks: Vec::new(),
            is_chunked: false,
            trailers: Vec::new(),
            end_after_ms: 0,
        }
    }
}

impl Request {
    /// A GET.
    pub fn get(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// A POST of a body that is sent whole.
    pub fn post(path: &str, body: impl Into<Bytes>) -> Self {
        Self { method: "POST".to_owned(), chunks: vec![Chunk::from(body)], ..Self::get(path) }
    }

    /// With a further header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((Bytes::from(name), Bytes::from(value)));
        self
    }
}

impl From<Request> for Exchange {
    /// The upstream answers 200, without a body.
    fn from(request: Request) -> Self {
        Self { request, ..Self::default() }
    }
}

impl From<(Request, Response)> for Exchange {
    fn from((request, response): (Request, Response)) -> Self {
        Self { request, response, ..Self::default() }
    }
}

/// What an upstream answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, in order.
    pub headers: Headers,
    /// The body's chunks. One is sent with its length, several are sent one by one; none is no body.
    pub chunks: Vec<Chunk>,
    /// Whether the body was given in chunks, and is sent so.
    pub is_chunked: bool,
    /// The trailers; a body with trailers is sent in chunks.
    pub trailers: Headers,
    /// How many milliseconds behind the last chunk the end of the body comes, with the trailers.
    pub end_after_ms: u64,
    /// How many milliseconds behind the request it comes.
    pub after_ms: u64,
    /// Where the upstream breaks off; none is a whole response.
    pub cut: Option<Cut>,
}

/// Where an upstream closes the connection instead of going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Before it has sent anything.
    BeforeHeaders,
    /// Behind the first part of the body.
    InBody,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            chunks: Vec::new(),
            is_chunked: false,
            trailers: Vec::new(),
            end_after_ms: 0,
            after_ms: 0,
            cut: None,
        }
    }
}

impl Response {
    /// A response with a body that is sent whole.
    pub fn of(body: impl Into<Bytes>) -> Self {
        Self { chunks: vec![Chunk::from(body)], ..Self::default() }
    }

    /// A response without a body.
    pub fn with_status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// With a further header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((Bytes::from(name), Bytes::from(value)));
        self
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|chunk| chunk.bytes.0.iter().copied()).collect()
    }
}

/// The first route that matches a request's headers.
pub fn pick<'r>(routes: &'r [Route], headers: &Headers) -> Option<&'r Route> {
    let value = |name: &str| {
        let found = headers.iter().find(|(other, _)| other.0 == name.as_bytes());
        found.map(|(_, value)| value.0.as_slice())
    };
    let path = value(":path").unwrap_or_default();
    routes.iter().find(|route| {
        route.prefix.as_ref().is_none_or(|prefix| path.starts_with(prefix.as_bytes()))
            && route.header.as_ref().is_none_or(|(name, wanted)| value(name) == Some(wanted.as_bytes()))
    })
}

/// The cookies that a client keeps: names and values, without their attributes.
#[derive(Debug, Clone, Default)]
pub struct CookieJar(BTreeMap<Vec<u8>, Vec<u8>>);

impl CookieJar {
    /// Keeps the cookies that a response sets.
    pub fn keep(&mut self, response_headers: &Headers) {
        for (_, value) in
            response_headers.iter().filter(|(name, _)| name.0.eq_ignore_ascii_case(b"set-cookie"))
        {
            let pair = value.0.split(|byte| *byte == b';').next().unwrap_or_default();
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                self.0.insert(name.to_vec(), value.to_vec());
            }
        }
    }

    /// Adds the cookies to a request.
    pub fn add_to(&self, request: &mut Request) {
        if !self.0.is_empty() {
            let pairs: Vec<Vec<u8>> =
                self.0.iter().map(|(name, value)| [name, &b"="[..], value].concat()).collect();
            request.headers.push((Bytes::from("cookie"), Bytes(pairs.join(&b"; "[..]))));
        }
    }
}
