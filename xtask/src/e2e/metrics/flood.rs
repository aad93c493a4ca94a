//! A flood of label values: series stay at the bound, memory stays where it is, and what was refused is counted to the last request.

use super::{Exposition, start, until};
use crate::{http, parallel, upstream::Upstream};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

/// The connections of a flood, and how many requests of each are under way at once: Envoy closes one on which more are.
const CONNECTIONS: usize = 32;
const BATCH: usize = 1;
/// The requests before memory is looked at.
const WARM_UP: usize = 50_000;
/// The values of the flood, and how long it may take.
const VALUES: usize = 1_000_000;
const TIME: Duration = Duration::from_mins(2);
/// The label sets that the metric may have.
const BUDGET: usize = 1000;
/// How much larger Envoy may be after the flood than before it, in bytes.
const GROWTH: u64 = 8 << 20;

/// Sends a million requests, each with a label value of its own, or as many as there is time for.
pub fn run(program: &Path) -> Result<bool> {
    let shop = Upstream::start("v1", 0)?;
    let config = json!({"define": [
        {"name": "by_tenant_total", "kind": "counter", "budget": BUDGET, "labels": [{"label": "tenant", "on": "header", "name": "x-tenant"}]}
    ]});
    let envoy = start(program, &shop, Some(&config))?;
    let listener = envoy.listener("main")?;
    let request =
        |tenant: &str| format!("GET /shop HTTP/1.1\r\nhost: shop.example\r\nx-tenant: {tenant}\r\n\r\n");
    let one = request("acme");
    send(listener, WARM_UP, |_| one.clone())?;
    let before = envoy.resident()?;
    let begun = Instant::now();
    let mut sent = 0;
    // In parts, so that the time can be looked at between them.
    while sent < VALUES && begun.elapsed() < TIME {
        let part = 50_000.min(VALUES - sent);
        send(listener, part, |number| request(&word(sent + number)))?;
        sent += part;
    }
    let after = envoy.resident()?;
    let all = u64::try_from(WARM_UP + sent)?;
    let exposition = until(|| {
        let exposition =
            Exposition::parse(&http::get(envoy.admin(), "/stats/prometheus?filter=wasmcustom")?)?;
        Ok((exposition.sum("http_server_requests_total", &[]) == all).then_some(exposition))
    })?;
    let overflow = exposition.sum("by_tenant_total", &[("otel_metric_overflow", "true")]);
    let (total, series) = (exposition.sum("by_tenant_total", &[]), exposition.count("by_tenant_total"));
    let refused = exposition.sum("metrics_refused_total", &[("metric", "by_tenant_total")]);
    let redacted = exposition.sum("metrics_labels_redacted_total", &[]);
    // One of the sets is that of the warm-up; each of the others has been seen once.
    let expected = u64::try_from(sent + 1 - BUDGET)?;
    println!(
        "{sent} label values in {} s: {series} series, {overflow} overflowed, Envoy grew by {} KB",
        begun.elapsed().as_secs(),
        after.saturating_sub(before) >> 10
    );
    ensure!(redacted == 0, "{redacted} values were taken for personal data: they are no flood");
    ensure!(series == BUDGET + 1, "there are {series} series, and must be {BUDGET} and one of overflow");
    ensure!(total == all, "{total} of {all} requests were counted");
    ensure!(
        overflow == expected && refused == expected,
        "{overflow} overflowed, {refused} were refused, and {expected} must"
    );
    ensure!(after.saturating_sub(before) < GROWTH, "Envoy grew by {} bytes", after - before);
    Ok(true)
}

/// A word for each number, which is nothing personal.
pub fn word(mut number: usize) -> String {
    let mut word = String::from("shop-");
    for _ in 0..5 {
        word.push(char::from(b"abcdefghijklmnopqrst".get(number % 20).copied().unwrap_or(b'a')));
        number /= 20;
    }
    word
}

/// Sends so many requests, made from their numbers, over all connections. Each must be answered.
pub fn send(listener: SocketAddr, count: usize, request: impl Fn(usize) -> String + Sync) -> Result<()> {
    let connections: Vec<usize> = (0..CONNECTIONS).collect();
    let outcomes = parallel::map(&connections, CONNECTIONS, |connection| {
        let first = count * connection / CONNECTIONS;
        let end = count * (connection + 1) / CONNECTIONS;
        send_on(listener, BATCH, end - first, &|number| request(first + number))
    });
    outcomes.into_iter().collect()
}

/// Sends requests on one connection, so many at a time.
pub fn send_on(
    listener: SocketAddr,
    batch: usize,
    count: usize,
    request: &dyn Fn(usize) -> String,
) -> Result<()> {
    let mut stream = TcpStream::connect(listener)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_nodelay(true)?;
    let mut part = vec![0; 64 << 10];
    let mut sent = 0;
    while sent < count {
        let now = batch.min(count - sent);
        let text: Vec<u8> = (sent..sent + now).flat_map(|number| latin1(&request(number))).collect();
        stream.write_all(&text)?;
        let mut answers = Vec::new();
        let mut answered = 0;
        while answered < now {
            let length = stream.read(&mut part).context("no answer")?;
            if length == 0 {
                bail!("Envoy closed the connection");
            }
            answers.extend_from_slice(part.get(..length).unwrap_or_default());
            answered = ends(&answers);
        }
        sent += now;
    }
    Ok(())
}

/// One byte for each character, as headers may have.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(char).unwrap_or(b'?')).collect()
}

/// How many whole answers there are.
fn ends(answers: &[u8]) -> usize {
    let mut rest = answers;
    let mut count = 0;
    loop {
        let mut space = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut space);
        let Ok(httparse::Status::Complete(head)) = response.parse(rest) else { return count };
        let length =
            response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length = length
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok())
            .unwrap_or(0);
        let Some(behind) = rest.get(head + length..) else { return count };
        rest = behind;
        count += 1;
    }
}
