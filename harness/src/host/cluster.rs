//! The clusters of a proxy: what they answer to callouts, and when.

use super::{
    abi::{BufferType, MapType},
    grpc::Event,
    inline,
    message::{DATE, headers_of},
    state::{Answer, Callout},
};
use crate::{
    Bytes,
    scenario::{Cluster, GrpcAnswers, Headers, Response},
};

/// The status of a gRPC call whose server cannot be reached, and of one that has no status of its own (gRPC, "Status codes").
const UNAVAILABLE: u32 = 14;
const UNKNOWN: u32 = 2;
const UNREACHABLE: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";

/// What a callout is answered, and after how many milliseconds. What fails is answered as Envoy does: 504 when the time is up, 503 when there is
/// no connection.
pub(super) fn answer(cluster: Option<&Cluster>, callout: &Callout) -> (u64, Answer) {
    match cluster {
        Some(Cluster::Answers { delay_ms, .. }) if *delay_ms >= u64::from(callout.timeout_ms.max(1)) => {
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

fn answered(response: &Response, is_head: bool) -> Answer {
    let mut headers = headers_of(&[(":status", &response.status.to_string())]);
    headers.extend(inline::all(&response.headers, MapType::ResponseHeaders));
    let body = if is_head { Vec::new() } else { response.body() };
    headers.extend(headers_of(&[("content-length", &body.len().to_string()), ("date", DATE)]));
    headers.push((Bytes::from("x-envoy-upstream-service-time"), Bytes::from("0")));
    Answer {
        maps: vec![(MapType::CalloutHeaders, headers)],
        body: Some((BufferType::CalloutBody, body)),
        ..Answer::default()
    }
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

/// What becomes of a unary call, and after how many milliseconds.
pub(super) fn grpc_call(cluster: Option<&Cluster>, timeout_ms: u32) -> (u64, Event) {
    match cluster {
        Some(Cluster::Grpc(answers)) if answers.delay_ms >= u64::from(timeout_ms.max(1)) => {
            (u64::from(timeout_ms), Event::Close(UNAVAILABLE, "upstream request timeout".to_owned()))
        }
        Some(Cluster::Grpc(answers)) => {
            let event = match answers.messages.first() {
                Some(message) if answers.status == 0 => Event::Message(message.0.clone()),
                None if answers.status == 0 => Event::Close(UNKNOWN, String::new()),
                _ => Event::Close(answers.status, answers.message.clone()),
            };
            (answers.delay_ms, event)
        }
        Some(Cluster::Answers { delay_ms, .. }) => (*delay_ms, Event::Close(UNKNOWN, String::new())),
        Some(Cluster::Refuses | Cluster::Empty) | None => {
            (0, Event::Close(UNAVAILABLE, UNREACHABLE.to_owned()))
        }
    }
}

/// What comes of a stream that was opened.
pub(super) fn grpc_open(cluster: Option<&Cluster>) -> (u64, Vec<Event>) {
    match cluster {
        Some(Cluster::Grpc(answers)) => (answers.delay_ms, Vec::new()),
        _ => (0, trailers_only(UNAVAILABLE, UNREACHABLE)),
    }
}

/// What comes of a message of this number, from 0, or of the end of the client's side. The server answers each message by its next one, and ends when it has none left, or the
/// client has ended.
pub(super) fn grpc_sent(
    cluster: Option<&Cluster>,
    number: Option<usize>,
    is_last: bool,
) -> (u64, Vec<Event>) {
    let Some(Cluster::Grpc(answers)) = cluster else { return (0, Vec::new()) };
    let mut events = Vec::new();
    if let Some(number) = number {
        if number == 0 && !answers.messages.is_empty() {
            events.push(Event::InitialMetadata(initial(answers)));
        }
        events.extend(answers.messages.get(number).map(|message| Event::Message(message.0.clone())));
    }
    let has_more = number.is_some_and(|number| number + 1 < answers.messages.len());
    let has_begun = !answers.messages.is_empty();
    if is_last || !has_more {
        if has_begun {
            events.push(Event::TrailingMetadata(trailing(answers)));
            events.push(Event::Close(answers.status, answers.message.clone()));
        } else {
            events.extend(trailers_only(answers.status, &answers.message));
        }
    }
    (answers.delay_ms, events)
}

fn initial(answers: &GrpcAnswers) -> Headers {
    let mut headers = headers_of(&[(":status", "200"), ("content-type", "application/grpc")]);
    headers.extend(answers.initial.iter().cloned());
    headers.push((Bytes::from("x-envoy-upstream-service-time"), Bytes::from("0")));
    headers
}

fn trailing(answers: &GrpcAnswers) -> Headers {
    let mut headers = headers_of(&[("grpc-status", &answers.status.to_string())]);
    if !answers.message.is_empty() {
        headers.extend(headers_of(&[("grpc-message", &answers.message)]));
    }
    headers.extend(answers.trailers.iter().cloned());
    headers
}

fn trailers_only(status: u32, message: &str) -> Vec<Event> {
    let mut headers = headers_of(&[
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("grpc-status", &status.to_string()),
    ]);
    if !message.is_empty() {
        headers.extend(headers_of(&[("grpc-message", message)]));
    }
    vec![
        Event::InitialMetadata(Headers::new()),
        Event::TrailingMetadata(headers),
        Event::Close(status, message.to_owned()),
    ]
}
