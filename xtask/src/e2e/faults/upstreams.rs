//! Upstreams that reset, close, answer garbage, or answer too late.

use super::{
    Tried,
    accounts::{Client, End, Filters, Rule, Upstream},
    client,
    site::Site,
};
use anyhow::Result;

const TIMES: usize = 30;

const fn rule(name: &'static str, ends: &'static [End], client: Client) -> Rule {
    Rule { name, ends, client, upstream: Upstream::Whole, filters: Filters::All, promised: None }
}

/// A request of which nothing is wrong.
pub static WELL: Rule = rule("well", &[(200, "-", "via_upstream")], Client::Answer);
static BEFORE: Rule = rule(
    "the upstream ends before its answer",
    &[(503, "UC", "upstream_reset_before_response_started{connection_termination")],
    Client::Answer,
);
static AFTER: Rule = rule(
    "the upstream ends within its answer",
    &[(200, "UPE", "upstream_reset_after_response_started{protocol_error}")],
    Client::Broken,
);
static GARBAGE: Rule = rule(
    "the upstream answers garbage",
    &[(502, "UPE", "upstream_reset_before_response_started{protocol_error")],
    Client::Answer,
);
static LATE: Rule = rule("the upstream answers too late", &[(504, "UT", "response_timeout")], Client::Answer);

/// Each way in which an upstream fails, among requests of which nothing is wrong.
pub fn fail(site: &Site) -> Result<Tried> {
    let kinds: [(&Rule, (&str, &str)); 12] = [
        (&WELL, ("/shop", "")),
        (&BEFORE, ("/shop", "before reset")),
        (&BEFORE, ("/shop", "before close")),
        (&WELL, ("/shop", "late 20")),
        (&AFTER, ("/shop", "after reset")),
        (&AFTER, ("/shop", "after close")),
        (&AFTER, ("/shop", "within reset")),
        (&AFTER, ("/shop", "within close")),
        (&AFTER, ("/shop", "chunked reset")),
        (&AFTER, ("/shop", "chunked close")),
        (&GARBAGE, ("/shop", "garbage")),
        (&LATE, ("/impatient", "late 600")),
    ];
    let sent = client::all(&kinds, TIMES, |(target, fault), name| {
        client::ask(site.listener(), format!("{}\r\n", client::head("GET", target, name, fault)).as_bytes())
    })?;
    Ok(sent.into())
}
