//! Envoy's admin interface, as a client: a few answers, each of bounded size and time.

use serde_json::Value;
use std::{fmt, str::FromStr, time::Duration};
use ureq::Agent;

/// The most bytes of an answer.
const LIMIT: u64 = 64 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Counters and gauges: `^wasm|^http\.…` of `/stats`, escaped. Those of the connection managers are there without any filter of ours.
const STATS: &str =
    "/stats?format=json&filter=%5Ewasm%7C%5Ehttp%5C..*%5C.downstream_rq_(total%7C5xx%7Cactive)%24";
/// Histograms of plugins, with the bins of all their values and of the last five seconds'.
const HISTOGRAMS: &str =
    "/stats?format=json&type=Histograms&histogram_buckets=detailed&filter=%5Ewasmcustom.*duration";
/// The parts of a configuration that hold filters.
const DUMPS: [&str; 3] = ["static_listeners", "dynamic_listeners", "ecds_filters"];

/// The address of an admin interface: `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(String);

impl FromStr for Url {
    type Err = String;

    /// # Errors
    /// It is no URL of plain HTTP, or has a user in it.
    fn from_str(text: &str) -> Result<Self, String> {
        let base = text.strip_prefix("http://").unwrap_or(text);
        let authority = base.strip_suffix('/').unwrap_or(base);
        if base.contains("://") || authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) {
            return Err(format!(
                "must be http://HOST:PORT of Envoy's admin interface, such as http://127.0.0.1:9901, got {text}"
            ));
        }
        let url = format!("http://{authority}");
        http::Uri::try_from(&url).map_err(|error| format!("{text}: {error}"))?;
        Ok(Self(url))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why Envoy could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// A client of an admin interface.
#[derive(Debug)]
pub struct Admin {
    url: Url,
    agent: Agent,
}

impl Admin {
    /// A client, which connects when it is asked.
    pub fn new(url: Url) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("outrigger/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        Self { url, agent }
    }

    /// `/server_info`, by which an Envoy is known.
    ///
    /// # Errors
    /// There is no answer, or it is not Envoy's.
    pub fn server_info(&self) -> Result<Value, Problem> {
        let info = self.json("/server_info")?;
        if info["version"].is_string() && info["state"].is_string() {
            return Ok(info);
        }
        Err(self.no_envoy("/server_info has no version and no state"))
    }

    /// Counters and gauges of plugins, and of the connection managers.
    ///
    /// # Errors
    /// There is no answer, or it is not Envoy's.
    pub fn stats(&self) -> Result<Value, Problem> {
        self.json(STATS)
    }

    /// Durations of plugins.
    ///
    /// # Errors
    /// There is no answer, or it is not Envoy's.
    pub fn histograms(&self) -> Result<Value, Problem> {
        self.json(HISTOGRAMS)
    }

    /// The listeners and the filters that Envoy was sent, of which [`Plugins`](crate::plugins::Plugins) takes just what it names.
    ///
    /// # Errors
    /// There is no answer, or it is not Envoy's.
    pub fn plugins(&self) -> Result<Vec<Value>, Problem> {
        let mut parts = Vec::new();
        for part in DUMPS {
            let (status, body) = self.get(&format!("/config_dump?resource={part}"))?;
            // Envoy answers 404 where it has none.
            if status == 200 {
                parts.push(self.read(&body, "/config_dump")?);
            }
        }
        Ok(parts)
    }

    fn json(&self, path: &str) -> Result<Value, Problem> {
        let name = path.split('?').next().unwrap_or_default();
        match self.get(path)? {
            (200, body) => self.read(&body, name),
            (status, _) => Err(self.no_envoy(&format!("{name} is answered {status}"))),
        }
    }

    fn read(&self, body: &[u8], name: &str) -> Result<Value, Problem> {
        serde_json::from_slice(body).map_err(|_| self.no_envoy(&format!("{name} is no JSON")))
    }

    fn get(&self, path: &str) -> Result<(u16, Vec<u8>), Problem> {
        let unreachable = |error: &ureq::Error| {
            let what = match error {
                ureq::Error::Timeout(_) => {
                    format!("{} does not answer within {} s", self.url, PATIENCE.as_secs())
                }
                ureq::Error::BodyExceedsLimit(_) => {
                    format!("{} answers with more than {} MB", self.url, LIMIT >> 20)
                }
                ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
                    return self.no_envoy(&format!("the answer is no HTTP ({error})"));
                }
                ureq::Error::Io(error) => format!("{} cannot be reached: {error}", self.url),
                other => format!("{} cannot be reached: {other}", self.url),
            };
            Problem {
                what,
                fix: "Start Envoy, or name its admin address with --envoy. The page goes on as soon as it answers.".to_owned(),
            }
        };
        let mut response =
            self.agent.get(format!("{}{path}", self.url)).call().map_err(|error| unreachable(&error))?;
        let body = response.body_mut().with_config().limit(LIMIT).read_to_vec();
        Ok((response.status().as_u16(), body.map_err(|error| unreachable(&error))?))
    }

    fn no_envoy(&self, why: &str) -> Problem {
        Problem {
            what: format!("{} is no Envoy's admin interface: {why}", self.url),
            fix:
                "Name the address that the bootstrap has under `admin`; in an Istio sidecar it is port 15000."
                    .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn a_url_is_plain_http_without_a_path_or_a_user() {
        for good in
            ["http://127.0.0.1:9901", "http://127.0.0.1:9901/", "127.0.0.1:9901", "http://[::1]:15000"]
        {
            assert!(good.parse::<Url>().is_ok(), "{good}");
        }
        for bad in ["", "http://", "https://a:1", "http://u:p@a:1", "http://a:1/stats", "http://a b", "a:1?x"]
        {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }
}
