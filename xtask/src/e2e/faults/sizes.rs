//! Headers at and past what Envoy takes, trailers, and bodies of a megabyte in chunks of a byte.

use super::{
    Tried,
    accounts::{Client, End, Filters, Rule, Seen, Upstream},
    client,
    http2::Connection,
    shop,
    site::Site,
    upstreams::WELL,
};
use anyhow::{Result, ensure};
use std::{io::Write as _, net::SocketAddr};

/// How often each is tried.
const TIMES: usize = 6;
/// The values that access-log drops as encoded too deep: the header of one request, and of another the long path and the long query.
const DEEP: usize = 3;
const BIG_TIMES: usize = 2;
/// A long header, in bytes: with the others less than the 96 KB of the listener (`max_request_headers_kb`).
const LONG: usize = 60_000;
/// One that is longer than that.
const TOO_LONG: usize = 100_000;
/// With the others as many headers as Envoy takes (`max_headers_count` is 100), and one more.
const MANY: usize = 90;
const TOO_MANY: usize = 101;
/// A body that policy still reads (`body.limit_bytes`), in bytes, and one that it does not.
const BODY: usize = 1_000_000;
const TOO_BIG: usize = 1_100_000;
/// A body of HTTP/2, each byte of which is a callback in every filter that reads bodies: the chunks of HTTP/1 that come together are one.
const FRAMES: usize = 200_000;

const fn refused(name: &'static str, ends: &'static [End], client: Client) -> Rule {
    Rule { name, ends, client, upstream: Upstream::Never, filters: Filters::LogNameless, promised: None }
}

static TOO_LONG_1: Rule =
    refused("too long a header, HTTP/1", &[(431, "DPE", "http1.headers_too_large")], Client::Answer);
static TOO_MANY_1: Rule =
    refused("too many headers, HTTP/1", &[(431, "DPE", "http1.too_many_headers")], Client::Answer);
static TOO_LONG_2: Rule = Rule {
    filters: Filters::Nothing,
    ..refused("too long a header, HTTP/2", &[(0, "DPE", "codec_error")], Client::Nothing)
};
static TOO_MANY_2: Rule = Rule {
    filters: Filters::Nothing,
    ..refused("too many headers, HTTP/2", &[(0, "DR", "http2.too_many_headers")], Client::Nothing)
};
static ANSWER_TOO_LONG: Rule = Rule {
    name: "an answer with too much in its head",
    ends: &[(502, "UPE", "upstream_reset_before_response_started{protocol_error")],
    ..WELL
};
static TRAILERS: Rule = Rule { name: "trailers", upstream: Upstream::Exactly(64, 1), ..WELL };
static CHUNKS: Rule = Rule { name: "a megabyte in chunks", upstream: Upstream::Exactly(BODY, 0), ..WELL };
static BYTES: Rule =
    Rule { name: "a body in frames of a byte, HTTP/2", upstream: Upstream::Exactly(FRAMES, 0), ..WELL };
static BIG_ANSWER: Rule = Rule { name: "an answer of a megabyte in chunks", ..WELL };
static DENIED: Rule = Rule {
    name: "a megabyte in chunks that policy denies",
    ends: &[(403, "-", "ns[shop]-policy[dear]-rule[0]")],
    upstream: Upstream::Head,
    ..WELL
};
static BIG: Rule = Rule {
    name: "more than policy reads, in chunks",
    ends: &[(413, "-", "ns[shop]-policy[dear]-rule[0]")],
    upstream: Upstream::Head,
    ..WELL
};

/// A path, headers, how the upstream answers, and whether it is HTTP/2.
type Kind = (String, Vec<(String, String)>, String, bool);

/// Requests and answers with much in their heads.
pub fn headers(site: &Site) -> Result<Tried> {
    let value = |length: usize| ("x-long".to_owned(), "all is well. ".chars().cycle().take(length).collect());
    // Base64 of base64 and so on, deeper than anybody reads: access-log drops the value, and counts it.
    let deep = ("x-long".to_owned(), "v".repeat(LONG));
    let personal = ("x-long".to_owned(), "joe@example.com 4111-1111-1111-1111 ".repeat(LONG / 36));
    let cookie = ("cookie".to_owned(), "visitor=joe@example.com; ".repeat(LONG / 25));
    let many = |count: usize| {
        (0..count).map(|place| (format!("x-more-{place}"), "1".to_owned())).collect::<Vec<_>>()
    };
    let path = format!("/users/{}?q=joe%40example.com&{}", "a.b/".repeat(LONG / 8), "b=1&".repeat(LONG / 8));
    let short = String::from("/shop");
    let kind = |path: &String, headers: Vec<(String, String)>, fault: &str, is_two: bool| -> Kind {
        (path.clone(), headers, fault.to_owned(), is_two)
    };
    let mut kinds: Vec<(&'static Rule, Kind)> = Vec::new();
    for is_two in [false, true] {
        kinds.extend([
            (&WELL, kind(&short, vec![value(LONG)], "", is_two)),
            (&WELL, kind(&short, vec![deep.clone()], "", is_two)),
            (&WELL, kind(&short, vec![personal.clone()], "", is_two)),
            (&WELL, kind(&short, vec![cookie.clone()], "", is_two)),
            (&WELL, kind(&short, many(MANY), "", is_two)),
            (&WELL, kind(&path, Vec::new(), "", is_two)),
            (&WELL, kind(&short, Vec::new(), "headers 90", is_two)),
            (&ANSWER_TOO_LONG, kind(&short, Vec::new(), "headers 150", is_two)),
            (&WELL, kind(&short, Vec::new(), "header 50000", is_two)),
            (&ANSWER_TOO_LONG, kind(&short, Vec::new(), "header 100000", is_two)),
        ]);
    }
    kinds.extend([
        (&TOO_LONG_1, kind(&short, vec![value(TOO_LONG)], "", false)),
        (&TOO_MANY_1, kind(&short, many(TOO_MANY), "", false)),
        (&TOO_LONG_2, kind(&short, vec![value(TOO_LONG)], "", true)),
        (&TOO_MANY_2, kind(&short, many(TOO_MANY), "", true)),
    ]);
    let sent = client::all(&kinds, TIMES, |(path, headers, fault, is_two), name| {
        if *is_two {
            let more: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut connection = Connection::open(site.listener())?;
            let id = connection.head(name, ("GET", path), fault, &more, true);
            connection.flush();
            return only(&mut connection, id);
        }
        let mut request = client::head("GET", path, name, fault);
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        client::ask(site.listener(), request.as_bytes())
    })?;
    let mut tried = Tried::from(sent);
    tried.also[1].push(("access_log_values_dropped_total reason=undecodable", 2 * TIMES * DEEP));
    Ok(tried)
}

fn only(connection: &mut Connection, id: u32) -> Result<Seen> {
    Ok(connection.finish(&[id])?.first().copied().unwrap_or(Seen::Nothing))
}

/// Trailers of requests and of answers.
pub fn trailers(site: &Site) -> Result<Tried> {
    let kinds = [(&TRAILERS, false), (&TRAILERS, true)];
    let body = shop::json(64);
    let json = [("content-type", "application/json"), ("te", "trailers")];
    let sent = client::all(&kinds, TIMES * 5, |is_two, name| {
        if *is_two {
            let mut connection = Connection::open(site.listener())?;
            let id = connection.head(name, ("POST", "/orders"), "trickle 100", &json, false);
            connection.data(id, &body, false);
            connection.trailers(id, &[("x-sum", "1")]);
            connection.flush();
            return only(&mut connection, id);
        }
        let head = client::head("POST", "/orders", name, "trickle 100");
        let head = format!(
            "{head}content-type: application/json\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let request = [head.as_bytes(), &shop::chunks(&body), b"0\r\nx-sum: 1\r\n\r\n"].concat();
        answer(site.listener(), &request, 100, 1)
    })?;
    let mut tried = Tried::from(sent);
    tried.also[1].push(("amount_total", 7 * tried.sent.len()));
    Ok(tried)
}

/// Sends a request, of which the answer must have a body of this length and so many trailers.
fn answer(listener: SocketAddr, request: &[u8], body: usize, trailers: usize) -> Result<Seen> {
    let mut connection = client::open(listener)?;
    let _ = connection.writer().write_all(request);
    let (seen, message) = client::read(&mut connection, "POST")?;
    if seen == Seen::Answer(200) {
        let got = (message.body.len(), message.trailers.len());
        ensure!(
            got == (body, trailers),
            "a body and trailers of {got:?} came, and not of {:?}",
            (body, trailers)
        );
    }
    Ok(seen)
}

/// What is sent in chunks of a byte.
#[derive(Debug, Clone, Copy)]
enum Big {
    /// A request of so many bytes, with an amount, by HTTP/2 or not.
    Request { length: usize, amount: &'static str, is_two: bool },
    /// An answer.
    Answer,
}

/// Bodies of a megabyte, both ways, each byte by itself: three filters read them.
pub fn chunks(site: &Site) -> Result<Tried> {
    let request = |length, amount, is_two| Big::Request { length, amount, is_two };
    let kinds = [
        (&BIG_ANSWER, Big::Answer),
        (&CHUNKS, request(BODY, "7", false)),
        (&DENIED, request(BODY, "7000", false)),
        (&BIG, request(TOO_BIG, "7", false)),
    ];
    let mut sent = client::all(&kinds, BIG_TIMES, |big, name| send(site.listener(), *big, name))?;
    // By itself: a worker that is busy with it has no time for others.
    let alone = [(&BYTES, request(FRAMES, "7", true))];
    sent.extend(client::all(&alone, 1, |big, name| send(site.listener(), *big, name))?);
    Ok(sent.into())
}

fn send(listener: SocketAddr, big: Big, name: &str) -> Result<Seen> {
    let Big::Request { length, amount, is_two } = big else {
        let head = client::head("GET", "/shop", name, &format!("trickle {BODY}"));
        return answer(listener, format!("{head}te: trailers\r\n\r\n").as_bytes(), BODY, 1);
    };
    let text = String::from_utf8(shop::json(length - amount.len() + 1))?;
    let body = text.replacen(":7,", &format!(":{amount},"), 1).into_bytes();
    if is_two {
        let mut connection = Connection::open(listener)?;
        let id =
            connection.head(name, ("POST", "/orders"), "", &[("content-type", "application/json")], false);
        connection.bytes(id, &body)?;
        return only(&mut connection, id);
    }
    let head = client::head("POST", "/orders", name, "");
    let head = format!("{head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n");
    answer(listener, &[head.as_bytes(), &shop::chunks(&body), b"0\r\n\r\n"].concat(), 3, 0)
}
