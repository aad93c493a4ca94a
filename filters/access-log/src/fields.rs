//! What can be logged, and what it is called.

use crate::host::{OwnNumber, OwnText};
use filter_kit::{choices, json};

/// A part of a record that is the same for all exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// When the request arrived.
    Time,
    /// How long the exchange took.
    Duration,
    /// The method, `_OTHER` for one that RFC 9110 and RFC 5789 do not have.
    Method,
    /// The path's template.
    Route,
    /// The path, redacted.
    Path,
    /// The query, redacted.
    Query,
    /// The host that was asked for, redacted.
    Authority,
    /// The status.
    Status,
    /// The id of the request, redacted.
    RequestId,
    /// The id of the trace.
    TraceId,
    /// The id of the span.
    SpanId,
    /// The verdict of the policy.
    Verdict,
    /// How often each entity was found in the path, the query and the headers that are logged.
    Entities,
    /// What Envoy says of itself.
    Text(OwnText),
    /// What Envoy counts.
    Number(OwnNumber),
}

choices!(Item {
    "time" => Time,
    "duration" => Duration,
    "method" => Method,
    "route" => Route,
    "path" => Path,
    "query" => Query,
    "authority" => Authority,
    "status" => Status,
    "flags" => FLAGS,
    "details" => DETAILS,
    "bytes_received" => BYTES_RECEIVED,
    "bytes_sent" => BYTES_SENT,
    "upstream" => UPSTREAM,
    "cluster" => CLUSTER,
    "route_name" => ROUTE_NAME,
    "protocol" => PROTOCOL,
    "request_id" => RequestId,
    "trace_id" => TraceId,
    "span_id" => SpanId,
    "verdict" => Verdict,
    "entities" => Entities,
});

impl Item {
    /// The bits of the response's flags, as letters.
    pub const FLAGS: Self = Self::Number(OwnNumber::Flags);
    /// Why the response has its code.
    pub const DETAILS: Self = Self::Text(OwnText::Details);
    /// The bytes of the request's body.
    pub const BYTES_RECEIVED: Self = Self::Number(OwnNumber::BytesReceived);
    /// The bytes of the response's body.
    pub const BYTES_SENT: Self = Self::Number(OwnNumber::BytesSent);
    /// The address of the upstream's host.
    pub const UPSTREAM: Self = Self::Text(OwnText::UpstreamHost);
    /// The cluster.
    pub const CLUSTER: Self = Self::Text(OwnText::UpstreamCluster);
    /// The name of the route.
    pub const ROUTE_NAME: Self = Self::Text(OwnText::RouteName);
    /// The protocol.
    pub const PROTOCOL: Self = Self::Text(OwnText::Protocol);

    /// Whether it costs a host call of its own. A native access logger prints the same without one.
    pub fn is_property(self) -> bool {
        matches!(self, Self::Text(_) | Self::Number(_))
    }

    /// What it is called: by Istio's default JSON log, OpenTelemetry's semantic conventions, the Elastic Common Schema. What one of them has no name
    /// for is called as Istio does.
    pub fn name(self, names: Names) -> Name {
        let [istio, opentelemetry, ecs] = self.names();
        Name::new(match names {
            Names::Istio => istio,
            Names::OpenTelemetry => opentelemetry,
            Names::Ecs => ecs,
        })
    }

    fn names(self) -> [&'static str; 3] {
        match self {
            Self::Time | Self::Number(OwnNumber::Start) => ["start_time", "timestamp", "@timestamp"],
            Self::Duration | Self::Number(OwnNumber::Duration) => {
                ["duration", "http.server.request.duration", "event.duration"]
            }
            Self::Method => ["method", "http.request.method", "http.request.method"],
            Self::Route => ["route_template", "http.route", "url.template"],
            Self::Path => ["path", "url.path", "url.path"],
            Self::Query => ["query", "url.query", "url.query"],
            Self::Authority => ["authority", "server.address", "url.domain"],
            Self::Status => ["response_code", "http.response.status_code", "http.response.status_code"],
            Self::RequestId => ["request_id", "http.request.id", "http.request.id"],
            Self::TraceId => ["trace_id", "trace_id", "trace.id"],
            Self::SpanId => ["span_id", "span_id", "span.id"],
            Self::Verdict => ["policy_verdict", "outrigger.policy.verdict", "outrigger.policy.verdict"],
            Self::Entities => ["pii", "pii", "pii"],
            Self::Number(OwnNumber::Flags) => {
                ["response_flags", "envoy.response_flags", "envoy.response_flags"]
            }
            Self::Number(OwnNumber::BytesReceived) => {
                ["bytes_received", "http.request.body.size", "http.request.body.bytes"]
            }
            Self::Number(OwnNumber::BytesSent) => {
                ["bytes_sent", "http.response.body.size", "http.response.body.bytes"]
            }
            Self::Text(OwnText::Details) => {
                ["response_code_details", "envoy.response_code_details", "envoy.response_code_details"]
            }
            Self::Text(OwnText::UpstreamHost) => {
                ["upstream_host", "envoy.upstream_host", "destination.address"]
            }
            Self::Text(OwnText::UpstreamCluster) => {
                ["upstream_cluster", "envoy.upstream_cluster", "envoy.upstream_cluster"]
            }
            Self::Text(OwnText::RouteName) => ["route_name", "envoy.route_name", "envoy.route_name"],
            Self::Text(OwnText::Protocol) => ["protocol", "network.protocol.name", "network.protocol"],
        }
    }
}

/// Whose names the values have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// Those of Istio's default JSON log.
    #[default]
    Istio,
    /// OpenTelemetry's semantic conventions.
    OpenTelemetry,
    /// The Elastic Common Schema.
    Ecs,
}

choices!(Names { "istio" => Istio, "opentelemetry" => OpenTelemetry, "ecs" => Ecs });

impl Names {
    /// How a length of time is written.
    pub const fn duration(self) -> Duration {
        match self {
            Self::Istio => Duration::Milliseconds,
            Self::OpenTelemetry => Duration::Seconds,
            Self::Ecs => Duration::Nanoseconds,
        }
    }

    /// What the record of a policy's decision is called.
    pub fn policy_record(self) -> Name {
        Name::new(if self == Self::Istio { "policy_record" } else { "outrigger.policy.record" })
    }

    /// What a header is called: `user_agent`, `http.request.header.user-agent`, `http.request.headers.user-agent`.
    pub fn header(self, header: &str, is_response: bool) -> Name {
        let side = if is_response { "response" } else { "request" };
        Name::new(&match self {
            Self::Istio if is_response => ["response_", &header.replace('-', "_")].concat(),
            Self::Istio => header.replace('-', "_"),
            Self::OpenTelemetry => ["http.", side, ".header.", header].concat(),
            Self::Ecs => ["http.", side, ".headers.", header].concat(),
        })
    }
}

/// How a length of time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duration {
    /// Whole milliseconds.
    Milliseconds,
    /// Seconds with all decimals that there are.
    Seconds,
    /// Whole nanoseconds.
    Nanoseconds,
}

impl Duration {
    /// Writes nanoseconds in this unit.
    pub fn write(self, nanoseconds: u64, out: &mut String) {
        const SECOND: u64 = 1_000_000_000;
        match self {
            Self::Milliseconds => json::unsigned(out, nanoseconds / 1_000_000),
            Self::Nanoseconds => json::unsigned(out, nanoseconds),
            Self::Seconds => {
                json::unsigned(out, nanoseconds / SECOND);
                let mut rest = nanoseconds % SECOND;
                if rest > 0 {
                    out.push('.');
                }
                while rest > 0 {
                    rest *= 10;
                    // Below ten, for the rest is below a second.
                    out.push(char::from(b'0' + u8::try_from(rest / SECOND).unwrap_or(0)));
                    rest %= SECOND;
                }
            }
        }
    }
}

/// A name, as each output writes it before a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// `"path":`
    pub(crate) json: Box<str>,
    /// `{"key":"url.path","value":`
    pub(crate) otlp: Box<str>,
}

impl Name {
    /// Of a name in plain text.
    pub fn new(name: &str) -> Self {
        let mut quoted = String::new();
        json::string(&mut quoted, name);
        Self {
            json: [&quoted, ":"].concat().into(),
            otlp: ["{\"key\":", &quoted, ",\"value\":"].concat().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Names};

    #[test]
    fn a_length_of_time_has_the_unit_of_the_convention() {
        let written = |names: Names, nanoseconds| {
            let mut out = String::new();
            names.duration().write(nanoseconds, &mut out);
            out
        };
        assert_eq!(written(Names::Istio, 12_345_678), "12");
        assert_eq!(written(Names::OpenTelemetry, 12_345_678), "0.012345678");
        assert_eq!(written(Names::OpenTelemetry, 2_500_000_000), "2.5");
        assert_eq!(written(Names::OpenTelemetry, 3_000_000_000), "3");
        assert_eq!(written(Names::Ecs, 12_345_678), "12345678");
        let mut out = String::new();
        Duration::Seconds.write(u64::MAX, &mut out);
        assert_eq!(out, "18446744073.709551615");
    }

    #[test]
    fn headers_are_called_as_the_convention_does() {
        let name = |names: Names, is_response| names.header("user-agent", is_response).json.into_string();
        assert_eq!(name(Names::Istio, false), r#""user_agent":"#);
        assert_eq!(name(Names::OpenTelemetry, false), r#""http.request.header.user-agent":"#);
        assert_eq!(name(Names::Ecs, true), r#""http.response.headers.user-agent":"#);
    }
}
