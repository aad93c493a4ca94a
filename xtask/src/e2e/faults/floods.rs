//! Floods of small streams of HTTP/2: streams that end well, that are taken back as soon as they are opened, and more of these than Envoy bears.

use super::{
    Tried,
    accounts::{Client, Filters, Rule, Seen, Sent, Upstream},
    client,
    http2::Connection,
    site::Site,
    upstreams::WELL,
};
use crate::parallel;
use anyhow::{Result, ensure};

const CONNECTIONS: usize = 8;
/// The streams of a connection, and how many of them are under way at once.
const STREAMS: usize = 300;
const BATCH: usize = 50;
/// The streams that are reset on a connection that Envoy closes: it bears 250 that are reset within a second of their beginning
/// (`overload.premature_reset_total_stream_count` is 500, and half of them may).
const TOO_MANY: usize = 1000;

/// A stream that is taken back: Envoy may have sent it to the upstream, or not yet.
static RESET: Rule = Rule {
    name: "a stream that is reset",
    ends: &[(0, "DR", "http2.remote_reset")],
    client: Client::Left,
    upstream: Upstream::Perhaps,
    filters: Filters::All,
    promised: None,
};

/// One that Envoy may not have read when it closed the connection.
static TOO_LATE: Rule =
    Rule { name: "a stream that is reset among too many", filters: Filters::Perhaps, ..RESET };

/// Small streams, each to its end.
pub fn streams(site: &Site) -> Result<Tried> {
    on_each(|| {
        let mut connection = Connection::open(site.listener())?;
        let mut sent = Vec::new();
        for _ in 0..STREAMS / BATCH {
            let names: Vec<String> = (0..BATCH).map(|_| client::name()).collect();
            let ids: Vec<u32> =
                names.iter().map(|name| connection.head(name, ("GET", "/shop"), "", &[], true)).collect();
            connection.flush();
            let seen = connection.finish(&ids)?;
            sent.extend(names.into_iter().zip(seen).map(|(name, seen)| Sent { name, rule: &WELL, seen }));
        }
        Ok(sent)
    })
}

/// Streams that are reset in the packet that opens them, each fourth one alone to its end: fewer on a connection than make Envoy close it.
pub fn resets(site: &Site) -> Result<Tried> {
    on_each(|| {
        let mut connection = Connection::open(site.listener())?;
        let mut sent = Vec::new();
        for _ in 0..STREAMS / BATCH {
            let mut wait = Vec::new();
            for place in 0..BATCH {
                let name = client::name();
                let id = connection.head(&name, ("GET", "/shop"), "", &[], true);
                if place % 4 == 0 {
                    wait.push(id);
                    sent.push(Sent { name, rule: &WELL, seen: Seen::Nothing });
                } else {
                    connection.cancel(id);
                    sent.push(Sent { name, rule: &RESET, seen: Seen::Left });
                }
            }
            connection.flush();
            let seen = connection.finish(&wait)?;
            let first = sent.len() - BATCH;
            let waiting = sent.iter_mut().skip(first).filter(|sent| sent.seen == Seen::Nothing);
            waiting.zip(seen).for_each(|(sent, seen)| sent.seen = seen);
        }
        ensure!(connection.goaway.is_none(), "Envoy has closed a connection: {:?}", connection.goaway);
        Ok(sent)
    })
}

/// So many resets that Envoy closes the connection.
pub fn too_many(site: &Site) -> Result<Tried> {
    let mut tried = on_each(|| {
        let mut connection = Connection::open(site.listener())?;
        let mut sent = Vec::new();
        for _ in 0..TOO_MANY / BATCH {
            for _ in 0..BATCH {
                let name = client::name();
                let id = connection.head(&name, ("GET", "/shop"), "", &[], true);
                connection.cancel(id);
                sent.push(Sent { name, rule: &TOO_LATE, seen: Seen::Left });
            }
            if !connection.flush() {
                break;
            }
        }
        connection.end()?;
        Ok(sent)
    })?;
    tried.also[0].push(("downstream_rq_too_many_premature_resets", CONNECTIONS));
    Ok(tried)
}

/// Makes requests on several connections at once.
fn on_each(send: impl Fn() -> Result<Vec<Sent>> + Sync) -> Result<Tried> {
    let of_each = parallel::map(&[(); CONNECTIONS], CONNECTIONS, |()| send());
    let all: Vec<Sent> = of_each.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    Ok(all.into())
}
