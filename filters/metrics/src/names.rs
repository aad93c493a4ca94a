//! What the default set is called, and in which buckets it counts.

use filter_kit::choices;

/// Whose names the default set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convention {
    /// OpenTelemetry's semantic conventions for HTTP servers (v1.23 and later), written as Prometheus does.
    OpenTelemetry,
    /// Those of Istio's standard metrics.
    Istio,
}

choices!(Convention { "opentelemetry" => OpenTelemetry, "istio" => Istio });

/// The unit of durations. Envoy's histograms hold whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
}

choices!(Unit { "ms" => Milliseconds, "us" => Microseconds });

impl Unit {
    /// Nanoseconds in whole units.
    pub const fn of(self, nanoseconds: u64) -> u64 {
        nanoseconds / self.nanoseconds()
    }

    /// How many of it make a second.
    pub const fn per_second(self) -> u64 {
        1_000_000_000 / self.nanoseconds()
    }

    /// What a name ends in.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
        }
    }

    const fn nanoseconds(self) -> u64 {
        match self {
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1000,
        }
    }
}

/// The names of the default set.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Requests that are over.
    pub requests: &'static str,
    /// Of these, those that failed: 5xx, or no response.
    pub errors: &'static str,
    /// The duration, without its unit.
    pub duration: &'static str,
    /// The size of the request's body, in bytes.
    pub request_size: &'static str,
    /// The size of the response's body, in bytes.
    pub response_size: &'static str,
    /// Requests that the filter has seen begin.
    pub started: &'static str,
    /// Of these, those that it has seen end.
    pub ended: &'static str,
    /// The label of the route.
    pub route: &'static str,
    /// The label of the method.
    pub method: &'static str,
    /// The label of the status' class.
    pub status_class: &'static str,
    /// The label of the arm.
    pub arm: &'static str,
}

impl Convention {
    /// The names.
    pub const fn names(self) -> Names {
        match self {
            Self::OpenTelemetry => Names {
                requests: "http_server_requests_total",
                errors: "http_server_errors_total",
                duration: "http_server_request_duration",
                request_size: "http_server_request_body_size_bytes",
                response_size: "http_server_response_body_size_bytes",
                started: "http_server_requests_started_total",
                ended: "http_server_requests_ended_total",
                route: "http_route",
                method: "http_request_method",
                status_class: "http_response_status_class",
                arm: "arm",
            },
            Self::Istio => Names {
                requests: "istio_requests_total",
                errors: "istio_request_errors_total",
                duration: "istio_request_duration",
                request_size: "istio_request_bytes",
                response_size: "istio_response_bytes",
                started: "istio_requests_started_total",
                ended: "istio_requests_ended_total",
                route: "request_operation",
                method: "request_method",
                status_class: "response_code_class",
                arm: "arm",
            },
        }
    }

    /// The upper bounds of the durations' buckets. OpenTelemetry's are 5 ms to 10 s; Istio's proxies have Envoy's own, 0.5 ms to an hour, of
    /// which those below a whole unit say nothing.
    pub fn duration_buckets(self, unit: Unit) -> Vec<u64> {
        let milliseconds: &[u64] = match self {
            Self::OpenTelemetry => &[5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000],
            Self::Istio => &[
                1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000,
                1_800_000, 3_600_000,
            ],
        };
        milliseconds.iter().map(|bound| bound * unit.per_second() / 1000).collect()
    }

    /// The upper bounds of the sizes' buckets, in bytes; neither convention has any of its own.
    pub fn size_buckets(self) -> Vec<u64> {
        vec![128, 1 << 10, 8 << 10, 64 << 10, 512 << 10, 4 << 20, 32 << 20]
    }
}

/// The method, if RFC 9110 or RFC 5789 has it, else `_OTHER`: a client may write anything there.
pub fn method(method: &[u8]) -> &'static str {
    match method {
        b"GET" => "GET",
        b"POST" => "POST",
        b"PUT" => "PUT",
        b"DELETE" => "DELETE",
        b"HEAD" => "HEAD",
        b"OPTIONS" => "OPTIONS",
        b"PATCH" => "PATCH",
        b"CONNECT" => "CONNECT",
        b"TRACE" => "TRACE",
        _ => "_OTHER",
    }
}

/// How many classes of status there are: 1xx to 5xx, and none.
pub const CLASSES: usize = 6;

/// The place of a status' class; 0 is for what is no status, or none at all.
pub fn class(status: Option<u16>) -> usize {
    status.map(|status| usize::from(status / 100)).filter(|class| *class < CLASSES).unwrap_or(0)
}

/// The text of a class.
pub fn class_text(class: usize) -> &'static str {
    ["none", "1xx", "2xx", "3xx", "4xx", "5xx"].get(class).copied().unwrap_or("none")
}

#[cfg(test)]
mod tests {
    use super::{Convention, Unit, class, class_text};

    #[test]
    fn buckets_are_scaled_with_the_unit() {
        assert_eq!(Convention::OpenTelemetry.duration_buckets(Unit::Milliseconds).first(), Some(&5));
        assert_eq!(Convention::OpenTelemetry.duration_buckets(Unit::Microseconds).last(), Some(&10_000_000));
        assert_eq!(Unit::Microseconds.of(1_999_999), 1999);
    }

    #[test]
    fn a_status_has_a_class() {
        let classes = [None, Some(0), Some(101), Some(204), Some(503), Some(999)];
        assert_eq!(
            classes.map(|status| class_text(class(status))),
            ["none", "none", "1xx", "2xx", "5xx", "none"]
        );
    }
}
