//! Clients that are slow, that close their half of the connection, and that vanish.

use super::{
    Tried,
    accounts::{Client, End, Filters, Rule, Seen, Upstream},
    client::{self, open, watch},
    shop,
    site::Site,
    upstreams::WELL,
};
use anyhow::{Context as _, Result};
use std::{
    io::Write as _,
    net::{Shutdown, SocketAddr},
    thread,
    time::Duration,
};

const TIMES: usize = 12;
/// The length of a body.
const BODY: u64 = 64;
/// Between two bytes of a slow client.
const BYTE: Duration = Duration::from_millis(2);
/// Until Envoy has what was sent, and the upstream has it from Envoy.
const ARRIVES: Duration = Duration::from_millis(150);

const fn left(name: &'static str, ends: &'static [End], upstream: Upstream) -> Rule {
    Rule { name, ends, client: Client::Left, upstream, filters: Filters::All, promised: None }
}

/// The client's end of the connection is the end of the exchange: Envoy writes no status where there was no head of an answer.
const GONE: &[End] = &[(0, "DC", "downstream_remote_disconnect")];

static BEFORE_ANSWER: Rule = left("a client that leaves before the answer", GONE, Upstream::Whole);
static WITHIN_BODY: Rule =
    Rule { promised: Some(BODY), ..left("a client that leaves within its body", GONE, Upstream::Head) };
static WITHIN_ANSWER: Rule = left(
    "a client that leaves within the answer",
    &[(200, "DC", "downstream_remote_disconnect")],
    Upstream::Whole,
);
static WITHIN_HEAD: Rule = Rule {
    name: "a client that leaves within its head",
    ends: &[(0, "DC", "downstream_remote_disconnect")],
    client: Client::Left,
    upstream: Upstream::Never,
    filters: Filters::Nothing,
    promised: None,
};
/// Envoy reads the end of what a client sends as the end of the client.
static HALF: Rule = Rule {
    name: "a client that closes its half",
    client: Client::Nothing,
    ..left("", GONE, Upstream::Perhaps)
};
static HEAD_TOO_SLOW: Rule = Rule {
    name: "a head that never ends",
    ends: &[(408, "-", "request_header_timeout")],
    client: Client::Answer,
    upstream: Upstream::Never,
    filters: Filters::LogNameless,
    promised: None,
};
static BODY_TOO_SLOW: Rule = Rule {
    name: "a body that never ends",
    ends: &[(408, "SI", "stream_idle_timeout")],
    client: Client::Answer,
    upstream: Upstream::Head,
    filters: Filters::All,
    promised: Some(BODY),
};

/// What a client does with its connection.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Sends its request and waits.
    Wait,
    /// Sends every byte by itself.
    Slowly,
    /// Sends its request, closes its half, and reads.
    Half,
    /// Sends so much of its request, and is gone by a FIN or by a reset.
    Leave { part: Part, reset: bool },
    /// Sends so much and waits.
    Stop(Part),
}

/// How much of a request is sent.
#[derive(Debug, Clone, Copy)]
enum Part {
    FirstLine,
    Head,
    HalfBody,
    All,
    /// All, and the head of the answer has come.
    Answer,
}

/// Each way of a client, among those that do all well.
pub fn misbehave(site: &Site) -> Result<Tried> {
    let leave = |part, reset| Act::Leave { part, reset };
    let kinds = [
        (&WELL, (Act::Wait, "")),
        (&WELL, (Act::Slowly, "")),
        (&HALF, (Act::Half, "late 100")),
        (&WELL, (Act::Wait, "early")),
        (&WITHIN_HEAD, (leave(Part::FirstLine, false), "")),
        (&WITHIN_HEAD, (leave(Part::FirstLine, true), "")),
        (&WITHIN_HEAD, (leave(Part::Head, false), "")),
        (&WITHIN_HEAD, (leave(Part::Head, true), "")),
        (&WITHIN_BODY, (leave(Part::HalfBody, false), "")),
        (&WITHIN_BODY, (leave(Part::HalfBody, true), "")),
        (&BEFORE_ANSWER, (leave(Part::All, false), "late 400")),
        (&BEFORE_ANSWER, (leave(Part::All, true), "late 400")),
        (&WITHIN_ANSWER, (leave(Part::Answer, false), "stall 400")),
        (&WITHIN_ANSWER, (leave(Part::Answer, true), "stall 400")),
        (&HEAD_TOO_SLOW, (Act::Stop(Part::Head), "")),
        (&BODY_TOO_SLOW, (Act::Stop(Part::HalfBody), "")),
    ];
    Ok(client::all(&kinds, TIMES, |(act, fault), name| one(site.listener(), *act, fault, name))?.into())
}

fn one(listener: SocketAddr, act: Act, fault: &str, name: &str) -> Result<Seen> {
    let body = shop::json(usize::try_from(BODY)?);
    let head = format!(
        "{}content-type: application/json\r\ncontent-length: {}\r\n",
        client::head("POST", "/shop", name, fault),
        body.len()
    );
    let request = [head.as_bytes(), b"\r\n", &body].concat();
    let part = |part: Part| -> &[u8] {
        let length = match part {
            Part::FirstLine => 9,
            Part::Head => head.len(),
            Part::HalfBody => request.len() - body.len() / 2,
            Part::All | Part::Answer => request.len(),
        };
        request.get(..length).unwrap_or_default()
    };
    let mut connection = open(listener)?;
    match act {
        Act::Wait => connection.writer().write_all(&request)?,
        Act::Slowly => {
            for byte in &request {
                connection.writer().write_all(&[*byte])?;
                thread::sleep(BYTE);
            }
        }
        Act::Half => {
            connection.writer().write_all(&request)?;
            connection.writer().shutdown(Shutdown::Write)?;
        }
        Act::Stop(wanted) => connection.writer().write_all(part(wanted))?,
        Act::Leave { part: wanted, reset } => {
            connection.writer().write_all(part(wanted))?;
            if matches!(wanted, Part::Answer) {
                connection.read_response_head().context("the head of the answer")?;
            }
            thread::sleep(ARRIVES);
            if reset {
                shop::reset(connection.writer())?;
            }
            return Ok(Seen::Left);
        }
    }
    watch(&mut connection, "POST")
}
