//! The clusters of a proxy: what they answer to callouts, and when.

pub(super) mod grpc;

use super::{
    abi::{BufferType, MapType},
    inline,
    message::{DATE, headers_of},
    state::{Answer, Callout},
};
use crate::{
    Bytes,
    scenario::{Cluster, Headers, Response},
};

const UNREACHABLE: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";

/// What a callout is answered, and after how many milliseconds; none is never. What fails is answered as Envoy does: 504 when the time is up, 503
/// when there is no connection.
pub(super) fn answer(cluster: Option<&Cluster>, callout: &Callout) -> Option<(u64, Answer)> {
    let too_late = || Some((u64::from(callout.timeout_ms), failure("504", "upstream request timeout")));
    match cluster {
        Some(Cluster::Answers { delay_ms, .. }) if is_late(*delay_ms, callout.timeout_ms) => too_late(),
        Some(Cluster::Answers { .. }) if waits_for_body(callout) => {
            if callout.timeout_ms == 0 {
                None
            } else {
                too_late()
            }
        }
        Some(Cluster::Answers { response, delay_ms }) => {
            let is_head =
                callout.headers.iter().any(|(name, value)| name.0 == b":method" && value.0 == b"HEAD");
            Some((*delay_ms, answered(response, is_head)))
        }
        Some(Cluster::Refuses | Cluster::Empty | Cluster::Grpc(_)) | None => {
            Some((0, failure("503", UNREACHABLE)))
        }
    }
}

/// Whether the server waits for a body in vain. Envoy states the length of a body that it is given; without one the length of the callout's headers
/// stays, such as that of a client's request whose headers a plugin passes on.
fn waits_for_body(callout: &Callout) -> bool {
    let length = callout.headers.iter().find(|(name, _)| name.0 == b"content-length");
    callout.body.is_empty()
        && length.is_some_and(|(_, value)| value.lossy().parse::<u64>().is_ok_and(|length| length > 0))
}

/// Whether an answer comes behind the timeout; 0 is none.
fn is_late(delay_ms: u64, timeout_ms: u32) -> bool {
    timeout_ms > 0 && delay_ms >= u64::from(timeout_ms)
}

fn answered(response: &Response, is_head: bool) -> Answer {
    let body = if is_head { Vec::new() } else { response.body() };
    Answer {
        maps: vec![(MapType::CalloutHeaders, headers(response, body.len()))],
        body: Some((BufferType::CalloutBody, body)),
        ..Answer::default()
    }
}

/// A response's headers as they come from the server, with what Envoy adds.
fn headers(response: &Response, length: usize) -> Headers {
    let mut headers = headers_of(&[(":status", &response.status.to_string())]);
    headers.extend(inline::all(&response.headers, MapType::ResponseHeaders));
    headers.extend(headers_of(&[("content-length", &length.to_string()), ("date", DATE)]));
    headers.push((Bytes::from("x-envoy-upstream-service-time"), Bytes::from("0")));
    headers
}

fn failure(status: &str, body: &str) -> Answer {
    let length = body.len().to_string();
    let headers =
        headers_of(&[(":status", status), ("content-length", &length), ("content-type", "text/plain")]);
    Answer {
        maps: vec![(MapType::CalloutHeaders, headers)],
        body: Some((BufferType::CalloutBody, body.as_bytes().to_vec())),
        ..Answer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{answer, headers_of};
    use crate::{
        host::state::Callout,
        scenario::{Cluster, Response},
    };

    #[test]
    fn a_server_waits_for_a_body_whose_length_was_passed_on_and_that_never_comes() {
        let cluster = Cluster::Answers { response: Response::default(), delay_ms: 3 };
        let after = |length: &str, body: &str, timeout_ms| {
            let headers = headers_of(&[(":method", "POST"), ("content-length", length)]);
            let callout = Callout { headers, body: body.into(), timeout_ms, ..Callout::default() };
            answer(Some(&cluster), &callout).map(|(delay_ms, _)| delay_ms)
        };
        assert_eq!([after("3", "", 50), after("3", "", 0)], [Some(50), None]);
        assert_eq!([after("0", "", 50), after("x", "", 50), after("3", "abc", 50)], [Some(3); 3]);
    }
}
