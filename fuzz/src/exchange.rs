//! Exchanges made of a fuzzer's bytes.

use arbitrary::{Result, Unstructured};
use harness::{
    Bytes,
    scenario::{Chunk, Cut, Exchange, Headers, Request, Response},
};

/// Names that filters read, and then any.
const NAMES: [&str; 28] = [
    "cookie",
    "x-user-id",
    "x-arm",
    "baggage",
    "traceparent",
    "content-type",
    "content-encoding",
    "content-length",
    "user-agent",
    "referer",
    "x-forwarded-for",
    "authorization",
    "x-api-key",
    "x-tenant",
    "accept",
    "host",
    "set-cookie",
    "cache-control",
    "vary",
    "x-ab-force",
    "x-policy",
    "x-outrigger-explain",
    "grpc-status",
    "retry-after",
    "sec-purpose",
    "te",
    "x-request-id",
    "expect",
];
const TYPES: [&str; 5] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "text/plain",
    "application/grpc",
];
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "X-ANY"];

/// An exchange: what a client and an upstream can send through Envoy's codec, of any bytes that it lets through.
pub fn make(bytes: &mut Unstructured<'_>) -> Result<Exchange> {
    let mut request = Request {
        method: (*bytes.choose(&METHODS)?).to_owned(),
        path: format!("/{}", String::from_utf8_lossy(&value(bytes, false)?)),
        headers: headers(bytes)?,
        ..Request::default()
    };
    (request.chunks, request.is_chunked) = body(bytes)?;
    if request.is_chunked && bytes.ratio(1, 4)? {
        request.trailers = headers(bytes)?;
    }
    let mut response = Response {
        status: *bytes.choose(&[200, 200, 204, 206, 302, 404, 429, 500, 503, 599])?,
        headers: headers(bytes)?,
        after_ms: u64::from(bytes.arbitrary::<u8>()?) * 4,
        ..Response::default()
    };
    (response.chunks, response.is_chunked) = body(bytes)?;
    if response.is_chunked && bytes.ratio(1, 4)? {
        response.trailers = headers(bytes)?;
    }
    if bytes.ratio(1, 8)? {
        response.cut = Some(*bytes.choose(&[Cut::BeforeHeaders, Cut::InBody])?);
    }
    Ok(Exchange { request, response, after_ms: u64::from(bytes.arbitrary::<u16>()?), ..Exchange::default() })
}

fn headers(bytes: &mut Unstructured<'_>) -> Result<Headers> {
    let mut headers = Headers::new();
    for _ in 0..bytes.int_in_range(0..=10)? {
        let name = if bytes.ratio(3, 4)? {
            (*bytes.choose(&NAMES)?).to_owned()
        } else {
            let length = usize::from(bytes.arbitrary::<u8>()? % 24).min(bytes.len());
            let name = bytes.bytes(length)?;
            name.iter()
                .map(|byte| char::from(b"abcdefghijklmnopqrstuvwxyz-_0123"[usize::from(*byte) % 32]))
                .collect()
        };
        // The body's own length and framing are the codec's.
        if name.is_empty() || ["content-length", "host", "te", "expect"].contains(&name.as_str()) {
            continue;
        }
        let value = if name == "content-type" && bytes.ratio(7, 8)? {
            bytes.choose(&TYPES)?.as_bytes().to_vec()
        } else {
            value(bytes, true)?
        };
        headers.push((Bytes::from(name.as_str()), Bytes(value)));
    }
    Ok(headers)
}

/// Bytes that may stand in a header: no NUL, no end of a line.
fn value(bytes: &mut Unstructured<'_>, is_any: bool) -> Result<Vec<u8>> {
    let length = usize::from(bytes.arbitrary::<u16>()?) % 600;
    let value = bytes.bytes(length.min(bytes.len()))?;
    let fits = |byte: u8| !matches!(byte, 0 | b'\r' | b'\n') && (is_any || (0x21..0x7f).contains(&byte));
    let value: Vec<u8> = value.iter().copied().filter(|byte| fits(*byte)).collect();
    Ok(value.trim_ascii().to_vec())
}

fn body(bytes: &mut Unstructured<'_>) -> Result<(Vec<Chunk>, bool)> {
    let mut chunks = Vec::new();
    let count = bytes.int_in_range(0..=5)?;
    for number in 0..count {
        let length = usize::from(bytes.arbitrary::<u16>()?) % 1000;
        let part = bytes.bytes(length.min(bytes.len()))?.to_vec();
        chunks.push(if number > 0 && bytes.arbitrary()? {
            Chunk::apart(Bytes(part))
        } else {
            Chunk::from(Bytes(part))
        });
    }
    Ok((chunks, count > 1))
}
