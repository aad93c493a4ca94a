//! Where records are sent to, how much at a time and how often.

use super::{batch::Envelope, delay::MILLISECOND};
use filter_kit::{Callout, Environment, HeaderName, settings::Field};
use std::{borrow::Cow, fmt, time::Duration};

/// The most headers, and the most attributes of a resource.
const LIST_LIMIT: usize = 32;

/// The longest value of a header, in bytes.
const VALUE_LIMIT: usize = 4096;

/// A collector, as a request names it.
#[derive(Debug)]
pub(super) struct Destination {
    cluster: Box<str>,
    authority: Box<str>,
    path: Box<str>,
    headers: Vec<Header>,
}

/// A header of every request. Its value may be a secret: it is in nobody's log.
struct Header(HeaderName, Box<[u8]>);

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Bounds of sizes, in bytes, and of times, in nanoseconds.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) records: usize,
    pub(super) batch_bytes: usize,
    pub(super) queue_bytes: usize,
    pub(super) interval: u64,
    pub(super) timeout: u64,
    pub(super) initial: u64,
    pub(super) max: u64,
    pub(super) elapsed: u64,
}

impl Destination {
    pub(super) fn callout<'a>(&'a self, body: Cow<'a, [u8]>, timeout: Duration) -> Callout<'a> {
        let header = |Header(name, value): &'a Header| (name, Cow::Borrowed(&**value));
        Callout {
            cluster: &self.cluster,
            method: "POST",
            authority: &self.authority,
            path: Cow::Borrowed(&self.path),
            headers: self.headers.iter().map(header).collect(),
            body,
            timeout,
            tag: 0,
        }
    }
}

/// Reads a configuration; `None` without a cluster, which is refused.
pub(super) fn read(
    config: &Field<'_, '_>,
    environment: &Environment<'_>,
) -> Option<(Destination, Envelope, Limits)> {
    config.only(&[
        "cluster",
        "authority",
        "path",
        "timeout_ms",
        "batch",
        "queue_bytes",
        "headers",
        "headers_env",
        "resource",
        "retry",
    ]);
    let cluster = config.get("cluster");
    let Some(name) = cluster.text() else {
        cluster.refuse("must be the name of a cluster, got nothing");
        return None;
    };
    check_text(&cluster, name, "must be 1 to 255 characters of visible ASCII", 255, |_| true);
    let (authority, path) = (config.get("authority"), config.get("path"));
    let authority_text = authority.text().unwrap_or(name);
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    if authority.is_given() {
        check_text(&authority, authority_text, "must be a host, with or without a port", 255, is_host);
    }
    let path_text = path.text().unwrap_or("/v1/logs");
    check_text(&path, path_text, "must be a path of at most 1024 bytes that begins with `/`", 1024, |byte| {
        byte != b'#'
    });
    if !path_text.starts_with('/') {
        path.refuse_text("must begin with `/`", path_text);
    }
    let destination = Destination {
        cluster: name.into(),
        authority: authority_text.into(),
        path: path_text.into(),
        headers: headers(config, environment),
    };
    let limits = limits(config);
    let envelope = resource(&config.get("resource"), &limits);
    Some((destination, envelope, limits))
}

fn check_text(field: &Field<'_, '_>, text: &str, rule: &str, most: usize, is_part: impl Fn(u8) -> bool) {
    let is_right = |byte: u8| byte.is_ascii_graphic() && is_part(byte);
    if !(1..=most).contains(&text.len()) || !text.bytes().all(is_right) {
        field.refuse_text(rule, text);
    }
}

fn limits(config: &Field<'_, '_>) -> Limits {
    let (batch, retry, queue) = (config.get("batch"), config.get("retry"), config.get("queue_bytes"));
    batch.only(&["records", "bytes", "interval_ms"]);
    retry.only(&["initial_ms", "max_ms", "elapsed_ms"]);
    let whole = |field: &Field<'_, '_>, least: i64, most: i64, otherwise: u32| {
        field.whole(least, most).and_then(|number| u32::try_from(number).ok()).unwrap_or(otherwise)
    };
    let batch_bytes = whole(&batch.get("bytes"), 4096, 4 << 20, 262_144);
    let queue_bytes = whole(&queue, 4096, 64 << 20, batch_bytes.max(1 << 20));
    if queue_bytes < batch_bytes {
        let rule = ["must hold at least a batch of ", &batch_bytes.to_string(), " bytes"].concat();
        queue.refuse_got(&rule, &queue_bytes.to_string());
    }
    let milliseconds = |field: &Field<'_, '_>, least, most, otherwise| {
        u64::from(whole(field, least, most, otherwise)) * MILLISECOND
    };
    let initial = milliseconds(&retry.get("initial_ms"), 1, 60_000, 500);
    let max = retry.get("max_ms");
    let longest = milliseconds(&max, 1, 600_000, 30_000);
    if longest < initial {
        max.refuse_got("must be at least initial_ms", &(longest / MILLISECOND).to_string());
    }
    Limits {
        records: whole(&batch.get("records"), 1, 10_000, 512) as usize,
        batch_bytes: batch_bytes as usize,
        queue_bytes: queue_bytes as usize,
        interval: milliseconds(&batch.get("interval_ms"), 10, 60_000, 1000),
        timeout: milliseconds(&config.get("timeout_ms"), 1, 60_000, 10_000),
        initial,
        max: longest,
        elapsed: milliseconds(&retry.get("elapsed_ms"), 0, 3_600_000, 300_000),
    }
}

fn resource(field: &Field<'_, '_>, limits: &Limits) -> Envelope {
    let mut attributes = Vec::new();
    for (key, value) in field.fields() {
        let text = value.text().unwrap_or_default();
        if key.is_empty() || key.len() > 128 || text.is_empty() || text.len() > 1024 {
            value.refuse("must be 1 to 1024 bytes, under a key of at most 128");
        }
        attributes.push((key, text));
    }
    if attributes.len() > LIST_LIMIT {
        field.refuse_got("must hold at most 32", &attributes.len().to_string());
    }
    // The resource semantic conventions require a name, and say which one it has without.
    if !attributes.iter().any(|(key, _)| *key == "service.name") {
        attributes.push(("service.name", "unknown_service"));
    }
    let envelope = Envelope::new(&attributes);
    if envelope.size() > limits.batch_bytes / 2 {
        field.refuse("must take at most half the bytes of a batch");
    }
    envelope
}

fn headers(config: &Field<'_, '_>, environment: &Environment<'_>) -> Vec<Header> {
    let mut headers = Vec::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", concat!("outrigger-access-log/", env!("CARGO_PKG_VERSION"))),
    ] {
        headers.extend(HeaderName::parse(name).ok().map(|name| Header(name, value.as_bytes().into())));
    }
    let plain = config.get("headers");
    for (name, value) in plain.fields() {
        let text = value.text().unwrap_or_default();
        if is_secret(name) {
            let rule =
                "must not stand in a configuration: name a variable of the VM's environment in `headers_env`";
            value.refuse(rule);
            continue;
        }
        add(&mut headers, &value, name, text);
    }
    let secret = config.get("headers_env");
    for (name, value) in secret.fields() {
        let Some(variable) = value.text() else { continue };
        match environment.get(variable) {
            Some(text) => add(&mut headers, &value, name, &text),
            None => value.refuse_text("must name a variable of the VM's environment that is set", variable),
        }
    }
    if headers.len() > LIST_LIMIT {
        plain.refuse("must hold at most 30, with those of `headers_env`");
    }
    headers
}

/// Adds a header. Its value, which may be a secret, is in no message.
fn add(headers: &mut Vec<Header>, field: &Field<'_, '_>, name: &str, value: &str) {
    let Some(header) = field.header_named(name, false) else { return };
    // What frames the request is the proxy's own; `authorization`, which a filter writes into no one's request, is a collector's due.
    let is_own = header.as_str() == "authorization" || HeaderName::writable(name).is_ok();
    if !is_own || headers.iter().any(|Header(other, _)| *other == header) {
        field.refuse("must be a header that is neither the proxy's own nor written already");
        return;
    }
    let is_part = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if !(1..=VALUE_LIMIT).contains(&value.len()) || !value.bytes().all(is_part) || value.trim_ascii() != value
    {
        field.refuse("must have a value of 1 to 4096 characters of visible ASCII without spaces around it");
        return;
    }
    headers.push(Header(header, value.as_bytes().into()));
}

/// Whether a header of this name holds a secret, as collectors and vendors name theirs.
fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 12] = [
        "apikey",
        "auth",
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "key",
        "password",
        "secret",
        "signature",
        "team",
        "token",
    ];
    name.split(['-', '_']).any(|part| PARTS.iter().any(|secret| secret.eq_ignore_ascii_case(part)))
}
