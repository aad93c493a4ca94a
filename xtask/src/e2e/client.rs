//! Sends one exchange of a scenario through an Envoy and observes what comes of it.

use super::Site;
use crate::{
    envoy::{self, Line},
    http::{Connection, Message, write_chunk, write_head, write_last_chunk},
    upstream::Answer,
};
use anyhow::Result;
use harness::{
    Bytes,
    outcome::ExchangeOutcome,
    scenario::{Exchange, Headers, Request},
};
use std::{
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

/// How long the client waits for an answer; a stream that hangs takes as long.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long metrics and log lines may take to arrive after the answer: those of `on_log` come later, and histograms at the next flush.
const SETTLING: Duration = Duration::from_millis(1500);

/// Sends the exchange. `expected` is what came of it on the harness: what is observed last is waited for until it agrees, or time is up. Of
/// filter state, `printed` are the keys that Envoy prints at each exchange's end.
pub fn exchange(
    site: &dyn Site,
    exchange: &Exchange,
    expected: &ExchangeOutcome,
    printed: &[&str],
) -> Result<ExchangeOutcome> {
    site.set_answer(&Answer::from(&exchange.response))?;
    site.received()?;
    let (stats, logged) = (envoy::plugin_stats(site.admin())?, site.log()?.len());
    let mut outcome = ExchangeOutcome::default();
    thread::sleep(Duration::from_millis(exchange.after_ms));
    let mut connection = Connection::open(site.listener(), PATIENCE)?;
    if let Ok(response) = send(&mut connection, &exchange.request) {
        outcome.status = response.status();
        outcome.response_headers = response.headers;
        outcome.response_body = Bytes(response.body);
        outcome.response_trailers = response.trailers;
    }
    drop(connection);
    if let Some((upstream, received)) = site.received()?.into_iter().next() {
        outcome.upstream = Some(upstream);
        outcome.request_headers = received.headers;
        outcome.request_body = received.body;
        outcome.request_trailers = received.trailers;
    }
    // All of it is waited for, expected or not: what came late would be the next exchange's.
    let keys = printed.iter().filter(|key| expected.state.contains_key(**key)).count();
    let deadline = Instant::now() + SETTLING;
    loop {
        outcome.metrics = envoy::steps(&stats, &envoy::plugin_stats(site.admin())?);
        let lines = site.log()?;
        let lines = lines.get(logged..).unwrap_or_default();
        outcome.log = lines.iter().filter_map(Line::of_module).collect();
        let pair = |(key, value): (&str, &str)| (key.to_owned(), Bytes::from(value));
        outcome.state = lines.iter().filter_map(Line::of_state).map(pair).collect();
        let is_there = outcome.log.len() >= expected.log.len()
            && outcome.state.len() >= keys
            && outcome.metrics.values().sum::<i64>() >= expected.metrics.values().sum();
        if is_there || Instant::now() > deadline {
            return Ok(outcome);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a request and reads the answer.
///
/// # Errors
/// There is no whole answer in time.
pub fn send(connection: &mut Connection, request: &Request) -> Result<Message> {
    let mut headers: Headers = vec![(Bytes::from("host"), Bytes::from(&request.authority))];
    headers.extend(request.headers.iter().cloned());
    let length: usize = request.chunks.iter().map(|chunk| chunk.bytes.0.len()).sum();
    if request.is_chunked {
        headers.push((Bytes::from("transfer-encoding"), Bytes::from("chunked")));
    } else if length > 0 {
        headers.push((Bytes::from("content-length"), Bytes::from(&length.to_string())));
    }
    let writer = connection.writer();
    write_head(writer, &format!("{} {} HTTP/1.1", request.method, request.path), &headers)?;
    for chunk in &request.chunks {
        thread::sleep(Duration::from_millis(chunk.after_ms));
        if request.is_chunked {
            write_chunk(writer, &chunk.bytes.0)?;
        } else {
            writer.write_all(&chunk.bytes.0)?;
        }
    }
    if request.is_chunked {
        thread::sleep(Duration::from_millis(request.end_after_ms));
        write_last_chunk(writer, &request.trailers)?;
    }
    connection.read_response(&request.method)
}
