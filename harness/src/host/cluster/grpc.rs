//! What comes of gRPC calls and streams.

use super::{UNREACHABLE, headers, is_late};
use crate::{
    Bytes,
    host::{
        grpc::{Event, SERVICE_TIME, Server},
        message::headers_of,
    },
    scenario::{Cluster, GrpcAnswers, Headers, Response, percent_encoded},
};

/// The status of a call whose server cannot be reached, of one that breaks the protocol, and of one that has no status of its own (gRPC, "Status
/// codes").
const UNAVAILABLE: u32 = 14;
const INTERNAL: u32 = 13;
const UNKNOWN: u32 = 2;

/// How Envoy got an answer, which it adds to the status's message.
const VIA_UPSTREAM: &[u8] = b"via_upstream";
const NOT_CONNECTED: &[u8] =
    b"upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}";

/// What comes of a call to a cluster that there is not.
pub(in crate::host) fn absent() -> Event {
    Event::Close(UNAVAILABLE, Bytes::from("Cluster not available"))
}

/// What comes of a stream to a cluster with nobody in it.
pub(in crate::host) fn without_hosts() -> Vec<Event> {
    by_envoy("no healthy upstream", b"no_healthy_upstream")
}

/// What comes of a path or metadata that cannot be sent; none if it can.
pub(in crate::host) fn refused(path: &[u8], metadata: &Headers) -> Option<Vec<Event>> {
    let path = (&b":path"[..], path);
    let mut headers = metadata.iter().map(|(name, value)| (&name.0[..], &value.0[..]));
    let (what, name) = std::iter::once(path).chain(&mut headers).find_map(|(name, value)| {
        // The values of such names are sent in letters.
        let is_binary = name.to_ascii_lowercase().ends_with(b"-bin");
        if !name.iter().all(|byte| is_of_name(*byte)) {
            Some(("name:", name))
        } else if !is_binary && value.iter().any(|byte| is_control(*byte)) {
            Some(("value for:", name))
        } else {
            None
        }
    })?;
    let text = [format!("invalid header {what} ").as_bytes(), &name.to_ascii_lowercase()].concat();
    let details: Vec<u8> = text.iter().map(|byte| if *byte == b' ' { b'_' } else { *byte }).collect();
    let details = [&b"filter_removed_required_request_headers{"[..], &details, b"}"].concat();
    Some(by_envoy(&percent_encoded(&text), &details))
}

/// The characters of a header's name (RFC 9110, 5.1), and the colon of `:path`.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte)
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// What becomes of a unary call; without a cluster it is for a server that Google's client reaches, and here it reaches none, and after how many milliseconds.
pub(in crate::host) fn called(cluster: Option<&Cluster>, timeout_ms: u32) -> (u64, Event) {
    let (delay, events) = match cluster {
        Some(Cluster::Grpc(answers)) => {
            (answers.delay_ms, answered(answers, &mut Server::default(), true, true))
        }
        Some(Cluster::Answers { response, delay_ms }) => (*delay_ms, of_http(response)),
        None => return (0, Event::Close(INTERNAL, Bytes::default())),
        Some(Cluster::Refuses | Cluster::Empty) => {
            return (0, close(UNAVAILABLE, UNREACHABLE, NOT_CONNECTED));
        }
    };
    if is_late(delay, timeout_ms) {
        return (timeout_ms.into(), close(UNAVAILABLE, "upstream request timeout", b"response_timeout"));
    }
    let end = events.last().cloned().unwrap_or_else(absent);
    let message = events.into_iter().rfind(|event| matches!(event, Event::Message(_)));
    let event = match (end, message) {
        (Event::Close(0, _), Some(message)) => message,
        (Event::Close(0, _), None) => Event::Close(INTERNAL, Bytes::default()),
        (end, _) => end,
    };
    (delay, event)
}

/// What comes of a stream that was opened.
pub(in crate::host) fn opened(cluster: Option<&Cluster>) -> Vec<Event> {
    match cluster {
        Some(Cluster::Grpc(_) | Cluster::Answers { .. }) => Vec::new(),
        None => vec![Event::TrailingMetadata(Headers::new()), Event::Close(INTERNAL, Bytes::default())],
        _ => by_envoy(UNREACHABLE, NOT_CONNECTED),
    }
}

/// What comes of a message on a stream, or of the end of the client's side, or of both, and after how many milliseconds.
pub(in crate::host) fn sent(
    cluster: Option<&Cluster>,
    server: &mut Server,
    has_message: bool,
    is_last: bool,
) -> (u64, Vec<Event>) {
    match cluster {
        Some(Cluster::Grpc(answers)) => (answers.delay_ms, answered(answers, server, has_message, is_last)),
        Some(Cluster::Answers { response, delay_ms }) if is_last => (*delay_ms, of_http(response)),
        _ => (0, Vec::new()),
    }
}

/// What a server answers: each message by its next one, and it ends when it has none left, or the client has ended.
fn answered(answers: &GrpcAnswers, server: &mut Server, has_message: bool, is_last: bool) -> Vec<Event> {
    let mut events = Vec::new();
    if server.has_ended {
        return events;
    }
    if let Some(message) = answers.messages.get(server.answered).filter(|_| has_message) {
        if server.answered == 0 {
            let mut headers = headers_of(&[(":status", "200"), ("content-type", "application/grpc")]);
            headers.extend(answers.initial.iter().cloned());
            headers.push((Bytes::from(SERVICE_TIME), Bytes::from("0")));
            events.push(Event::InitialMetadata(headers));
        }
        events.push(Event::Message(message.0.clone()));
        server.answered += 1;
    }
    if is_last || server.answered == answers.messages.len() {
        server.has_ended = true;
        let message = answers.sent_message();
        let end = close(answers.status, &message, VIA_UPSTREAM);
        if server.answered == 0 {
            let mut headers = headers_of(&[(":status", "200"), ("content-type", "application/grpc")]);
            headers.extend(answers.initial.iter().cloned());
            headers.extend(trailers(answers));
            headers.push((Bytes::from(SERVICE_TIME), Bytes::from("0")));
            events.extend(ended(headers, end));
        } else {
            events.extend([Event::TrailingMetadata(trailers(answers)), end]);
        }
    }
    events
}

fn trailers(answers: &GrpcAnswers) -> Headers {
    let mut headers = headers_of(&[("grpc-status", &answers.status.to_string())]);
    if !answers.message.is_empty() {
        headers.extend(headers_of(&[("grpc-message", &answers.sent_message())]));
    }
    headers.extend(answers.trailers.iter().cloned());
    headers
}

/// What a server says that does not speak gRPC. Its body is read as messages.
fn of_http(response: &Response) -> Vec<Event> {
    let body = response.body();
    let mut events = Vec::new();
    let status = match response.status {
        200 if body.is_empty() => {
            return ended(headers(response, 0), close(UNKNOWN, "", VIA_UPSTREAM));
        }
        200 => {
            events.push(Event::InitialMetadata(headers(response, body.len())));
            let (messages, is_fine) = messages(&body);
            events.extend(messages);
            if is_fine { UNKNOWN } else { INTERNAL }
        }
        status => {
            events.push(Event::InitialMetadata(Headers::new()));
            of_status(status)
        }
    };
    events.extend([Event::TrailingMetadata(Headers::new()), close(status, "", VIA_UPSTREAM)]);
    events
}

/// The messages in a body, and whether it consists of such (gRPC over HTTP/2, "Length-Prefixed-Message").
fn messages(mut body: &[u8]) -> (Vec<Event>, bool) {
    let mut messages = Vec::new();
    while let Some((flags, rest)) = body.split_first() {
        if *flags > 1 {
            // What was whole in what came at once is not told of either.
            return (Vec::new(), false);
        }
        let Some((length, rest)) = rest.split_first_chunk() else { break };
        let Some((message, rest)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize) else {
            break;
        };
        if *flags == 1 && !message.is_empty() {
            return (messages, false);
        }
        messages.push(Event::Message(message.to_vec()));
        body = rest;
    }
    (messages, true)
}

/// The status of gRPC that stands for one of HTTP (gRPC, "HTTP to gRPC Status Code Mapping").
fn of_status(status: u16) -> u32 {
    match status {
        400 => INTERNAL,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// Envoy's own answer, which has all in one: how it is told of.
fn by_envoy(message: &str, details: &[u8]) -> Vec<Event> {
    let status = UNAVAILABLE.to_string();
    let headers = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", &status)];
    let mut headers = headers_of(&headers);
    headers.extend(headers_of(&[("grpc-message", message)]));
    ended(headers, close(UNAVAILABLE, message, details))
}

/// What is told of an answer that has all in one: its headers are trailing metadata.
fn ended(trailers: Headers, close: Event) -> Vec<Event> {
    vec![Event::InitialMetadata(Headers::new()), Event::TrailingMetadata(trailers), close]
}

/// A close, with the status's message and how Envoy got it.
fn close(status: u32, message: &str, details: &[u8]) -> Event {
    let text = if message.is_empty() {
        details.to_vec()
    } else {
        [message.as_bytes(), b"{", details, b"}"].concat()
    };
    Event::Close(status, Bytes(text))
}

#[cfg(test)]
mod tests {
    use super::{Event, messages, refused};
    use crate::Bytes;

    #[test]
    fn a_body_is_read_as_messages() {
        let count = |body: &[u8]| {
            let (messages, is_fine) = messages(body);
            (messages.len(), is_fine)
        };
        assert_eq!(count(b"\0\0\0\0\x01a\0\0\0\0\0"), (2, true));
        assert_eq!(count(b"\0\0\0\0\x05a"), (0, true));
        assert_eq!(count(b"text"), (0, false));
        assert_eq!(count(b"\0\0\0\0\0\x01\0\0\0\x01a"), (1, false));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_its_name() {
        let close = |path: &[u8], name: &str, value: &[u8]| {
            let events = refused(path, &vec![(name.into(), Bytes(value.to_vec()))])?;
            let Some(Event::Close(14, text)) = events.last() else { return None };
            Some(text.lossy())
        };
        assert_eq!(close(b"s/m", "x-a", b"\t\xff"), None);
        assert_eq!(close(b"s/m", "X-Bin", b"\0\n"), None);
        let of = |text: &str| {
            format!(
                "invalid header {text}{{filter_removed_required_request_headers{{invalid_header_{}}}}}",
                text.replace(' ', "_")
            )
        };
        assert_eq!(close(b"s/m", "x A", b""), Some(of("name: x a")));
        assert_eq!(close(b"s/m", "X-A", b"a\x7f"), Some(of("value for: x-a")));
        assert_eq!(close(b"s\n", "x A", b""), Some(of("value for: :path")));
    }
}
