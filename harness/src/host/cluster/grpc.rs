//! What comes of gRPC calls and streams.

use super::{UNREACHABLE, headers, is_late};
use crate::{
    Bytes,
    host::{
        grpc::{Event, Server},
        message::headers_of,
    },
    scenario::{Cluster, GrpcAnswers, Headers, Response},
};

/// The status of a call whose server cannot be reached, of one that breaks the protocol, and of one that has no status of its own (gRPC, "Status
/// codes").
const UNAVAILABLE: u32 = 14;
const INTERNAL: u32 = 13;
const UNKNOWN: u32 = 2;

/// How Envoy got an answer, which it adds to the status's message.
const VIA_UPSTREAM: &str = "via_upstream";
const NOT_CONNECTED: &str = "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}";

/// A request that Envoy itself does not send.
pub(in crate::host) struct Refused {
    /// Whether the call that makes it fails.
    pub(in crate::host) is_at_once: bool,
    pub(in crate::host) close: Event,
}

/// There is no such cluster.
pub(in crate::host) fn absent() -> Event {
    Event::Close(UNAVAILABLE, "Cluster not available".to_owned())
}

/// There is nobody in the cluster: the trailers of Envoy's own answer, and the close.
pub(in crate::host) fn without_hosts() -> (Headers, Event) {
    let message = "no healthy upstream";
    (all_in_trailers(UNAVAILABLE, message, &[]), close(UNAVAILABLE, message, "no_healthy_upstream"))
}

/// Whether a path and metadata cannot be sent.
pub(in crate::host) fn refused(path: &[u8], metadata: &Headers) -> Option<Refused> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(byte);
    let values = || {
        [(&b":path"[..], path)]
            .into_iter()
            .chain(metadata.iter().map(|(name, value)| (&name.0[..], &value.0[..])))
    };
    if values().any(|(name, value)| !name.iter().all(is_token) || value.contains(&0)) {
        return Some(Refused { is_at_once: true, close: Event::Close(UNAVAILABLE, String::new()) });
    }
    let (name, _) = values().find(|(_, value)| value.iter().any(|byte| matches!(byte, b'\n' | b'\r')))?;
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let message = format!("invalid header value for: {name}");
    let details = format!("filter_removed_required_request_headers{{{}}}", message.replace(' ', "_"));
    Some(Refused { is_at_once: false, close: close(UNAVAILABLE, &message, &details) })
}

/// What becomes of a unary call, and after how many milliseconds.
pub(in crate::host) fn called(cluster: Option<&Cluster>, timeout_ms: u32) -> (u64, Event) {
    let (delay, events) = match cluster {
        Some(Cluster::Grpc(answers)) => {
            (answers.delay_ms, answered(answers, &mut Server::default(), true, true))
        }
        Some(Cluster::Answers { response, delay_ms }) => (*delay_ms, of_http(response)),
        Some(Cluster::Refuses | Cluster::Empty) | None => {
            return (0, close(UNAVAILABLE, UNREACHABLE, NOT_CONNECTED));
        }
    };
    if is_late(delay, timeout_ms) {
        return (timeout_ms.into(), close(UNAVAILABLE, "upstream request timeout", "response_timeout"));
    }
    let end = events.last().cloned().unwrap_or_else(absent);
    let message = events.into_iter().rfind(|event| matches!(event, Event::Message(_)));
    let event = match (end, message) {
        (Event::Close(0, _), Some(message)) => message,
        (Event::Close(0, _), None) => Event::Close(INTERNAL, String::new()),
        (end, _) => end,
    };
    (delay, event)
}

/// What comes of a stream that was opened.
pub(in crate::host) fn opened(cluster: Option<&Cluster>, refusal: Option<Event>) -> Vec<Event> {
    match (cluster, refusal) {
        (_, Some(close)) => {
            let message = match &close {
                Event::Close(_, message) => message.split('{').next().unwrap_or_default().to_owned(),
                _ => String::new(),
            };
            ended(all_in_trailers(UNAVAILABLE, &message, &[]), close)
        }
        (Some(Cluster::Grpc(_) | Cluster::Answers { .. }), None) => Vec::new(),
        _ => ended(
            all_in_trailers(UNAVAILABLE, UNREACHABLE, &[]),
            close(UNAVAILABLE, UNREACHABLE, NOT_CONNECTED),
        ),
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
            headers.push((Bytes::from("x-envoy-upstream-service-time"), Bytes::from("0")));
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
            headers.push((Bytes::from("x-envoy-upstream-service-time"), Bytes::from("0")));
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

/// The headers of an answer that has all in one, which come as trailing metadata.
fn all_in_trailers(status: u32, message: &str, more: &[(&str, &str)]) -> Headers {
    let mut headers = headers_of(&[
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("grpc-status", &status.to_string()),
    ]);
    headers.extend(headers_of(&[("grpc-message", message)]));
    headers.extend(headers_of(more));
    headers
}

/// The events of such an answer.
fn ended(trailers: Headers, close: Event) -> Vec<Event> {
    vec![Event::InitialMetadata(Headers::new()), Event::TrailingMetadata(trailers), close]
}

/// A close, with the status's message and how Envoy got it.
fn close(status: u32, message: &str, details: &str) -> Event {
    let text = if message.is_empty() { details.to_owned() } else { format!("{message}{{{details}}}") };
    Event::Close(status, text)
}
