//! Requests and responses as Envoy's connection manager hands them to filters, and as its codecs send them on.

use super::{abi::MapType, chain::DOWNSTREAM_PROTOCOL_ERROR, inline, stream::Reply};
use crate::{
    Bytes,
    scenario::{Chunk, Headers, Request, Response},
};

/// One direction of a stream, before the filter.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) headers: Headers,
    /// The parts of the body, as they arrive.
    pub(crate) parts: Vec<Chunk>,
    /// Whether anything follows the headers.
    pub(crate) has_body: bool,
    /// Whether the end of the body arrives by itself, as an empty part behind the others. So it is in HTTP/1.
    pub(crate) ends_apart: bool,
    /// How many milliseconds behind the last part the end comes.
    pub(crate) end_after_ms: u64,
    pub(crate) trailers: Headers,
}

/// The date that responses say: it does not go with the clock.
pub(crate) const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

/// The most headers of a request by Envoy's default, `host` and those of the framing among them.
const HEADERS_LIMIT: usize = 100;

/// A client's request: pseudo headers first, the client's in their order, then Envoy's own. What belongs to the connection is gone, `host` and the
/// framing by chunks too.
pub(crate) fn request(request: &Request, id: &str) -> Message {
    // Of several `host` headers Envoy makes one authority.
    let hosts = request.headers.iter().filter(|(name, _)| name.0.eq_ignore_ascii_case(b"host"));
    let authority = hosts.fold(request.authority.clone(), |all, (_, host)| all + "," + &host.lossy());
    let mut headers = headers_of(&[
        (":authority", &authority),
        (":path", &request.path),
        (":method", &request.method),
        (":scheme", &request.scheme),
    ]);
    let is_kept = |name: &[u8], value: &[u8]| match name {
        b"te" => value == b"trailers",
        b"host"
        | b"connection"
        | b"keep-alive"
        | b"proxy-connection"
        | b"transfer-encoding"
        | b"upgrade"
        | b"x-forwarded-client-cert" => false,
        _ => true,
    };
    headers.extend(inline::all(&request.headers, MapType::RequestHeaders));
    headers.retain(|(name, value)| is_kept(&name.0, &value.0));
    let length: usize = request.chunks.iter().map(|chunk| chunk.bytes.0.len()).sum();
    if length > 0 && !request.is_chunked {
        headers.push((Bytes::from("content-length"), Bytes::from(&length.to_string())));
    }
    for (name, value) in [("x-forwarded-proto", request.scheme.as_str()), ("x-request-id", id)] {
        if !headers.iter().any(|(other, _)| other.0 == name.as_bytes()) {
            headers.push((Bytes::from(name), Bytes::from(value)));
        }
    }
    Message {
        headers,
        parts: request.chunks.iter().filter(|chunk| !chunk.bytes.0.is_empty()).cloned().collect(),
        has_body: request.is_chunked || length > 0,
        ends_apart: true,
        end_after_ms: request.end_after_ms,
        trailers: lower(&request.trailers),
    }
}

/// Whether Envoy refuses a request before any filter sees it.
pub(crate) fn is_too_large(request: &Request) -> bool {
    let has_framing = request.is_chunked || !request.chunks.is_empty();
    request.headers.len() + 1 + usize::from(has_framing) > HEADERS_LIMIT
}

/// An upstream's response to a request of this method, that has been waited for so many milliseconds.
pub(crate) fn response(response: &Response, method: &str, waited_ms: u64) -> Message {
    let mut headers = headers_of(&[(":status", &response.status.to_string())]);
    headers.extend(inline::all(&response.headers, MapType::ResponseHeaders));
    let is_chunked = response.is_chunked || !response.trailers.is_empty();
    let length: usize = response.chunks.iter().map(|chunk| chunk.bytes.0.len()).sum();
    if is_chunked {
        headers.push((Bytes::from("transfer-encoding"), Bytes::from("chunked")));
    } else if !(response.status == 204 && length == 0) {
        // Envoy takes the length 0 away from a 204, which may have none (RFC 9110, 8.6).
        headers.push((Bytes::from("content-length"), Bytes::from(&length.to_string())));
    }
    headers.push((Bytes::from("x-envoy-upstream-service-time"), Bytes::from(&waited_ms.to_string())));
    let may_have_body = !is_bodyless(method, response.status);
    let has_body = may_have_body && (length > 0 || is_chunked);
    let mut parts = if has_body { response.chunks.clone() } else { Vec::new() };
    parts.retain(|chunk| !chunk.bytes.0.is_empty());
    Message {
        headers,
        parts,
        has_body,
        ends_apart: true,
        end_after_ms: response.end_after_ms,
        trailers: if may_have_body { lower(&response.trailers) } else { Headers::new() },
    }
}

/// Whether there can be a route for a request: none for one that has lost its path or `x-forwarded-proto`.
pub(crate) fn has_route(headers: &Headers) -> bool {
    has(headers, "x-forwarded-proto") && has(headers, ":path")
}

/// Whether a request can be sent on: one without a method cannot.
pub(crate) fn check_method(headers: &Headers) -> Result<(), Reply> {
    if has(headers, ":method") {
        return Ok(());
    }
    let details = "filter_removed_required_request_headers{missing_required_header:_:method}";
    Err(Reply::of(503, "missing required header: :method", details).flagged(DOWNSTREAM_PROTOCOL_ERROR))
}

fn has(headers: &Headers, wanted: &str) -> bool {
    headers.iter().any(|(name, _)| name.0 == wanted.as_bytes())
}

/// Whether a response that left the filters can be sent: one whose status is none is answered by Envoy instead.
pub(crate) fn checked(headers: &Headers) -> Result<(), Reply> {
    let status = headers.iter().find(|(name, _)| name.0 == b":status").map(|(_, value)| value.lossy());
    if status.is_some_and(|status| status.parse::<u64>().is_ok()) {
        return Ok(());
    }
    let details = "filter_removed_required_response_headers{missing_required_header:_:status}";
    Err(Reply::of(502, "missing required header: :status", details))
}

/// What the connection manager does to a response behind the filters.
pub(crate) fn finish(headers: &mut Headers) {
    headers.retain(|(name, _)| !matches!(name.0.as_slice(), b"transfer-encoding" | b"date" | b"server"));
    headers.extend(headers_of(&[("date", DATE), ("server", "envoy")]));
}

/// The beginning of a response's headers as HTTP/1 writes them: as much of them as a second writing of them shows, which is cut to the body's
/// length in all but odd cases.
pub(crate) fn written(headers: &Headers) -> Vec<u8> {
    let status = headers.iter().find(|(name, _)| name.0 == b":status").map(|(_, value)| value.lossy());
    let mut text = format!("HTTP/1.1 {} OK\r\n", status.unwrap_or_default()).into_bytes();
    for (name, value) in headers.iter().filter(|(name, _)| !name.0.starts_with(b":")) {
        text.extend([&name.0[..], b": ", &value.0, b"\r\n"].concat());
    }
    text.extend(b"\r\n");
    text
}

/// A filter's reply as Envoy completes it: the length is its own, and text is the type of a body without one. A gRPC request is answered by
/// headers alone, which say the status and the body's text.
pub(crate) fn local(reply: Reply, request: &Headers) -> Message {
    let value =
        |name: &[u8]| request.iter().find(|(other, _)| other.0 == name).map(|(_, value)| &value.0[..]);
    let mut headers = headers_of(&[(":status", &reply.status.to_string())]);
    headers.extend(inline::all(&reply.headers, MapType::ResponseHeaders));
    headers.retain(|(name, _)| name.0 != b"content-length");
    let mut parts = Vec::new();
    if value(b"content-type").is_some_and(is_grpc) {
        let mut set = vec![
            (":status", b"200".to_vec()),
            ("content-type", b"application/grpc".to_vec()),
            ("grpc-status", reply.grpc_status.unwrap_or(grpc_status(reply.status)).to_string().into_bytes()),
        ];
        if !reply.body.is_empty() {
            set.push(("grpc-message", percent_encoded(&reply.body)));
        }
        headers.retain(|(name, _)| set.iter().all(|(other, _)| other.as_bytes() != name.0));
        headers.extend(set.into_iter().map(|(name, value)| (Bytes::from(name), Bytes(value))));
    } else if !reply.body.is_empty() {
        headers.push((Bytes::from("content-length"), Bytes::from(&reply.body.len().to_string())));
        if !headers.iter().any(|(name, _)| name.0 == b"content-type") {
            headers.push((Bytes::from("content-type"), Bytes::from("text/plain")));
        }
        if value(b":method") != Some(b"HEAD") {
            parts.push(Chunk::from(Bytes(reply.body)));
        }
    }
    Message {
        headers,
        has_body: !parts.is_empty(),
        parts,
        ends_apart: false,
        end_after_ms: 0,
        trailers: Headers::new(),
    }
}

/// Whether a response has no body, whatever its length says.
pub(crate) fn is_bodyless(method: &str, status: u16) -> bool {
    method == "HEAD" || matches!(status, 100..=199 | 204 | 304)
}

/// A body as it arrives at the other end of an HTTP/1 connection: Envoy does not mend a length that a filter has made wrong. What is beyond it
/// is not sent, and for what is missing the other end waits in vain: none.
pub(crate) fn framed(headers: &Headers, mut body: Vec<u8>) -> Option<Vec<u8>> {
    if let Some(length) = content_length(headers) {
        if length > body.len() {
            return None;
        }
        body.truncate(length);
    }
    Some(body)
}

/// Trailers as they arrive: only behind a body in chunks.
pub(crate) fn framed_trailers(headers: &Headers, trailers: &Headers) -> Headers {
    if has_length(headers) { Headers::new() } else { trailers.clone() }
}

/// Whether the body's length is stated.
pub(crate) fn has_length(headers: &Headers) -> bool {
    content_length(headers).is_some()
}

/// The length of the body that headers state.
pub(crate) fn content_length(headers: &Headers) -> Option<usize> {
    headers.iter().find(|(name, _)| name.0 == b"content-length")?.1.lossy().parse().ok()
}

/// Headers out of text.
pub(crate) fn headers_of(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| (Bytes::from(*name), Bytes::from(*value))).collect()
}

fn lower(headers: &Headers) -> Headers {
    headers.iter().map(|(name, value)| (Bytes(name.0.to_ascii_lowercase()), value.clone())).collect()
}

fn is_grpc(content_type: &[u8]) -> bool {
    content_type
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
}

/// The gRPC status that stands for an HTTP status (gRPC, "HTTP to gRPC Status Code Mapping").
pub(crate) fn grpc_status(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// A `grpc-message`: all but printable ASCII, and the percent sign, is encoded (gRPC over HTTP2, "Responses").
fn percent_encoded(text: &[u8]) -> Vec<u8> {
    let encode = |byte: &u8| match byte {
        b'%' | 0..=0x1f | 0x7f..=0xff => format!("%{byte:02X}").into_bytes(),
        plain => vec![*plain],
    };
    text.iter().flat_map(encode).collect()
}
