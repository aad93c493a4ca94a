//! Scenario files: one exchange or several, a configuration, and what must come of it.

mod load;
mod raw;
#[cfg(test)]
mod tests;
mod values;

pub use load::{ScenarioError, load_dir, load_file};

use crate::{Bytes, expect::Expect};
use std::{collections::BTreeMap, path::PathBuf};

/// Names and values, in order.
pub type Headers = Vec<(Bytes, Bytes)>;

/// A scenario: what is done and what must come of it, on the harness and on Envoy alike.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    /// What must be so.
    pub name: String,
    /// The file it is from.
    pub file: PathBuf,
    /// Why it runs on the harness only.
    pub only_harness: Option<String>,
    /// The seed of the harness's random source.
    pub seed: u64,
    /// The time at which the harness's clock stands, in nanoseconds since 1970.
    pub clock: u64,
    /// The plugin's configuration, as it is handed to the module; none is no bytes.
    pub config: Option<Vec<u8>>,
    /// The routes, the first that matches; without one a request goes to the upstream `v1`.
    pub routes: Vec<Route>,
    /// Clusters for callouts, by name.
    pub upstreams: BTreeMap<String, Cluster>,
    /// Whether the client keeps cookies from exchange to exchange.
    pub cookies: bool,
    /// The text that the log holds when the configuration is refused; there are no exchanges then.
    pub config_error: Option<String>,
    /// The exchanges, one after the other, through one VM.
    pub exchanges: Vec<Exchange>,
}

/// A route, picked by the request's headers after the filter changed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// A header and the value that it must have.
    pub header: Option<(String, String)>,
    /// What the path must begin with.
    pub prefix: Option<String>,
    /// The upstream, `v1` or `v2`.
    pub upstream: String,
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
}

/// A request of the client, its answer by the upstream, and what must come of it.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
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
    /// The headers, in order.
    pub headers: Headers,
    /// The body's chunks. One is sent with its length, several are sent one by one; none is no body.
    pub chunks: Vec<Bytes>,
    /// Whether the body was given in chunks, and is sent so.
    pub is_chunked: bool,
    /// The trailers; a body with trailers is sent in chunks.
    pub trailers: Headers,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            authority: "shop.example".to_owned(),
            headers: Vec::new(),
            chunks: Vec::new(),
            is_chunked: false,
            trailers: Vec::new(),
        }
    }
}

/// What an upstream answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, in order.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// The trailers; a body with trailers is sent in chunks.
    pub trailers: Headers,
}

impl Default for Response {
    fn default() -> Self {
        Self { status: 200, headers: Vec::new(), body: Bytes::default(), trailers: Vec::new() }
    }
}

impl Scenario {
    /// The upstream that a request goes to, by its headers after the filter.
    pub fn route(&self, path: &[u8], header: &dyn Fn(&str) -> Option<Vec<u8>>) -> &str {
        let matches = |route: &&Route| {
            route.prefix.as_ref().is_none_or(|prefix| path.starts_with(prefix.as_bytes()))
                && route
                    .header
                    .as_ref()
                    .is_none_or(|(name, value)| header(name).as_deref() == Some(value.as_bytes()))
        };
        self.routes.iter().find(matches).map_or("v1", |route| &route.upstream)
    }
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
