//! The clusters of a scenario: real servers on loopback, which callouts are really sent to.

use super::{
    message::headers_of,
    state::{Answer, Callout},
};
use crate::{Bytes, mock::Mocks, scenario::Headers};
use std::{io::ErrorKind, time::Duration};
use ureq::{Agent, http};

/// The servers, and the client that stands for Envoy's.
pub struct Clusters {
    mocks: Mocks,
}

impl Clusters {
    /// Answers callouts by these servers.
    pub fn new(mocks: Mocks) -> Self {
        Self { mocks }
    }

    /// Takes out the callout whose answer comes first: by the clusters' delays, else in the order in which they were made.
    pub(super) fn next(&self, callouts: &mut Vec<Callout>) -> Option<Callout> {
        let time =
            |callout: &Callout| self.mocks.delay_ms(&callout.cluster).min(u64::from(callout.timeout_ms));
        let (first, _) = callouts.iter().enumerate().min_by_key(|(_, callout)| time(callout))?;
        Some(callouts.remove(first))
    }

    /// Sends a callout. What fails is answered as Envoy does: 504 when the time is up, 503 when there is no connection.
    pub(super) fn send(&self, callout: &Callout) -> Answer {
        match self.request(callout) {
            Ok(answer) => answer,
            Err(ureq::Error::Timeout(_)) => failure("504", "upstream request timeout"),
            Err(ureq::Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => failure(
                "503",
                "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
            ),
            Err(error) => failure(
                "503",
                &format!("upstream connect error or disconnect/reset before headers. reset reason: {error}"),
            ),
        }
    }

    fn request(&self, callout: &Callout) -> Result<Answer, ureq::Error> {
        let value = |name: &str| {
            callout
                .headers
                .iter()
                .find(|(other, _)| other.0 == name.as_bytes())
                .map(|(_, value)| value.0.as_slice())
        };
        let address = self.mocks.address(&callout.cluster).ok_or(ureq::Error::HostNotFound)?;
        let path = String::from_utf8_lossy(value(":path").unwrap_or(b"/")).into_owned();
        let mut request = http::Request::builder()
            .method(value(":method").unwrap_or(b"GET"))
            .uri(format!("http://{address}{path}"))
            .header("host", value(":authority").unwrap_or_default());
        for (name, value) in callout.headers.iter().filter(|(name, _)| name.0.first() != Some(&b':')) {
            request = request.header(name.0.as_slice(), value.0.as_slice());
        }
        let timeout = Duration::from_millis(u64::from(callout.timeout_ms.max(1)));
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // An answer is handed on as it is, and no proxy of the environment stands between.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .allow_non_standard_methods(true);
        let agent = Agent::new_with_config(config.build());
        let mut response = agent.run(request.body(callout.body.clone())?)?;
        let mut headers: Headers = vec![(Bytes::from(":status"), Bytes::from(response.status().as_str()))];
        headers.extend(
            response
                .headers()
                .iter()
                .map(|(name, value)| (Bytes::from(name.as_str()), Bytes::from(value.as_bytes()))),
        );
        headers.push((Bytes::from("x-envoy-upstream-service-time"), Bytes::from("0")));
        Ok(Answer { headers, body: response.body_mut().read_to_vec()? })
    }
}

fn failure(status: &str, body: &str) -> Answer {
    let length = body.len().to_string();
    let headers =
        headers_of(&[(":status", status), ("content-length", &length), ("content-type", "text/plain")]);
    Answer { headers, body: body.as_bytes().to_vec() }
}
