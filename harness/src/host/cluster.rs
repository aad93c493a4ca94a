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

/// What a callout is answered, and after how many milliseconds. What fails is answered as Envoy does: 504 when the time is up, 503 when there is
/// no connection.
pub(super) fn answer(cluster: Option<&Cluster>, callout: &Callout) -> (u64, Answer) {
    match cluster {
        Some(Cluster::Answers { delay_ms, .. }) if is_late(*delay_ms, callout.timeout_ms) => {
            (u64::from(callout.timeout_ms), failure("504", "upstream request timeout"))
        }
        Some(Cluster::Answers { response, delay_ms }) => {
            let is_head =
                callout.headers.iter().any(|(name, value)| name.0 == b":method" && value.0 == b"HEAD");
            (*delay_ms, answered(response, is_head))
        }
        Some(Cluster::Refuses | Cluster::Empty | Cluster::Grpc(_)) | None => (0, failure("503", UNREACHABLE)),
    }
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
