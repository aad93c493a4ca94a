//! Visitors who keep coming, and what the page says of them beside what Envoy has counted.

use crate::{
    envoy::{Envoy, plugin_stats},
    http,
    upstream::{Answer, Upstream},
    visitor::Visitor,
};
use anyhow::{Result, ensure};
use harness::{
    Bytes,
    scenario::{Chunk, Response},
    series,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};
use ui::Page;

/// What visitors ask for: much that is nobody's business among it.
pub const TARGETS: [&str; 12] = [
    "/",
    "/products",
    "/cart",
    "/products",
    "/search?q=oar&email=joe%40example.com",
    "/users/joe%40example.com/orders/4711",
    "/checkout",
    "/pay?card=4111-1111-1111-1111&amount=12",
    "/login?user=joe&password=hunter2&ip=198.51.100.7",
    "/products",
    "/find?phone=%2B49+30+1234567",
    "/admin/users",
];
/// How long the page may take to say what Envoy says: it asks each second.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the shops take to answer then, in milliseconds, and how often v2 fails: once in so many times that it is told what to do.
const TAKES_MS: [u64; 2] = [4, 25];
const FAILS_EVERY: usize = 12;

/// Tells the shops how long to take, and v2 to fail now and then.
pub fn tell(shops: &[Upstream; 2], number: usize) {
    for ((shop, takes), fails) in shops.iter().zip(TAKES_MS).zip([false, number.is_multiple_of(FAILS_EVERY)])
    {
        let status = if fails { 503 } else { 200 };
        let chunks = vec![Chunk::from(Bytes::from("{}\n"))];
        let after_ms = takes + number as u64 % 7 * takes / 5;
        shop.set_answer(Answer::from(&Response { status, chunks, after_ms, ..Response::default() }));
    }
}

/// Lets visitors come for ever, some ten each second.
pub fn keep_coming(listener: SocketAddr, shops: &[Upstream; 2]) -> ! {
    let mut visitors = vec![Visitor::default(); 60];
    let mut number = 0_usize;
    loop {
        tell(shops, number);
        if let Some(visitor) = visitors.get_mut(number % 60) {
            // Whoever ends Envoy sees on the page that it is gone.
            let _ = visitor.ask(listener, "shop.example", TARGETS[number * 7 % TARGETS.len()], &[]);
        }
        number += 1;
        thread::sleep(Duration::from_millis(if (number / 100).is_multiple_of(2) { 60 } else { 120 }));
    }
}

/// Numbers by what they are of, as the page names them in `data-number`.
pub type Numbers = BTreeMap<String, u64>;

/// What the page must say, from Envoy's own counters.
pub fn counted(envoy: &Envoy) -> Result<Numbers> {
    let mut all = Numbers::new();
    let mut add = |what: String, value: u64| *all.entry(what).or_default() += value;
    for (stat, value) in plugin_stats(envoy.admin())? {
        let (series, value) = (series::parse(&stat), value.cast_unsigned());
        let label = |name: &str| series.labels.get(name).map_or("", String::as_str);
        match series.name.as_str() {
            "ab_exposures_total" => {
                add(format!("arm.exposures/{}/{}", label("experiment"), label("arm")), value);
                add("total/exposures".to_owned(), value);
            }
            "ab_responses_total" => {
                let of = format!("{}/{}", label("experiment"), label("arm"));
                add(format!("arm.requests/{of}"), value);
                add(format!("arm.errors/{of}"), if label("class") == "5xx" { value } else { 0 });
            }
            "policy_decisions_total" => {
                let result = match label("result") {
                    "error" | "dry_run_error" => "errors",
                    result => result,
                };
                let rule = if label("policy") == "-" { "" } else { label("policy") };
                add(format!("rule.{result}/{rule}|{}", label("action")), value);
                add("total/denied".to_owned(), if result == "denied" { value } else { 0 });
            }
            "policy_candidate_total" => {
                let name =
                    |side: &str| if label(side) == "-" { String::new() } else { label(side).to_owned() };
                add(format!("candidate.{}/{}|{}", label("result"), name("live"), name("candidate")), value);
            }
            "pii_found_total" => {
                add(format!("flow/{}/{}", label("route"), label("entity")), value);
                add("total/found".to_owned(), value);
            }
            "http_server_requests_total" => add(format!("route.requests/{}", label("http_route")), value),
            "http_server_errors_total" => add(format!("route.errors/{}", label("http_route")), value),
            _ => {}
        }
    }
    let stats = http::get(envoy.admin(), "/stats?format=json&filter=^http.main.downstream_rq_(total|5xx)$")?;
    let stats: Value = serde_json::from_slice(&stats)?;
    for stat in stats["stats"].as_array().into_iter().flatten() {
        let is_total = stat["name"].as_str().is_some_and(|name| name.ends_with("_total"));
        let what = if is_total { "total/requests" } else { "total/errors" };
        add(what.to_owned(), stat["value"].as_u64().unwrap_or(0));
    }
    Ok(all)
}

/// What the page's state says, named as the page does.
fn said(state: &Value) -> Numbers {
    let mut all = Numbers::new();
    let mut add = |what: String, value: &Value| {
        if let Some(value) = value.as_u64() {
            *all.entry(what).or_default() += value;
        }
    };
    let rows = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for name in ["requests", "errors", "exposures", "denied", "found"] {
        add(format!("total/{name}"), &state["totals"][name]);
    }
    for experiment in rows(&state["experiments"]) {
        for arm in rows(&experiment["arms"]) {
            for number in ["exposures", "requests", "errors"] {
                add(
                    format!("arm.{number}/{}/{}", text(&experiment["name"]), text(&arm["name"])),
                    &arm[number],
                );
            }
        }
    }
    for rule in rows(&state["policy"]["rules"]["rows"]) {
        for number in ["denied", "audited", "allowed", "dry_run", "errors"] {
            add(format!("rule.{number}/{}|{}", text(&rule["policy"]), text(&rule["action"])), &rule[number]);
        }
    }
    for row in rows(&state["policy"]["candidates"]["rows"]) {
        for number in ["would_deny", "would_allow"] {
            add(format!("candidate.{number}/{}|{}", text(&row["live"]), text(&row["new"])), &row[number]);
        }
    }
    for route in rows(&state["routes"]["rows"]) {
        for number in ["requests", "errors"] {
            add(format!("route.{number}/{}", text(&route["name"])), &route[number]);
        }
    }
    for flow in rows(&state["personal"]["flows"]["rows"]) {
        add(format!("flow/{}/{}", text(&flow["route"]), text(&flow["entity"])), &flow["count"]);
    }
    all
}

/// Every number that Envoy has counted is said, and no other is: what is said and not counted is nought, and the other way round.
///
/// # Errors
/// A number differs.
pub fn compare(said: &Numbers, counted: &Numbers) -> Result<usize> {
    let names = said.keys().chain(counted.keys());
    for name in names {
        let [said, counted] = [said, counted].map(|numbers| numbers.get(name).copied().unwrap_or(0));
        ensure!(said == counted, "the page says {said} of {name}, and Envoy has counted {counted}");
    }
    let count = counted.values().filter(|value| **value > 0).count();
    ensure!(count >= 20, "only {count} numbers were compared");
    Ok(count)
}

/// Waits until the page's state says what Envoy has counted.
///
/// # Errors
/// It does not, or a record of a log was not read.
pub fn check_page(page: &Page, envoy: &Envoy) -> Result<usize> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state: Value = serde_json::from_slice(&http::get(page.address(), "/state.json")?)?;
        let compared = compare(&said(&state), &counted(envoy)?);
        let has_lines = ["access", "verdicts"].iter().all(|kind| state[kind][0].is_object());
        match compared {
            Ok(count) if has_lines => return Ok(count),
            _ if Instant::now() < deadline => thread::sleep(Duration::from_millis(200)),
            Ok(_) => anyhow::bail!("the page shows no line of the logs: {}", state["logs"]),
            Err(error) => return Err(error),
        }
    }
}

/// Asks for targets one after the other on a connection of its own, which stays open, so many each second.
///
/// # Errors
/// Envoy does not answer.
pub fn hurry(listener: SocketAddr, visitor: &str, count: usize, a_second: usize) -> Result<()> {
    let mut connection = http::Connection::open(listener, PATIENCE)?;
    let headers = [("host", "shop.example".to_owned()), ("cookie", format!("visitor={visitor}"))];
    let headers = headers.map(|(name, value)| (Bytes::from(name), Bytes::from(value.as_str()))).to_vec();
    let begun = Instant::now();
    for number in 0..count {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
        let due = Duration::from_secs_f64(number as f64 / a_second as f64);
        thread::sleep(due.saturating_sub(begun.elapsed()));
        connection.exchange("GET", TARGETS[number % TARGETS.len()], &headers, b"")?;
    }
    Ok(())
}
