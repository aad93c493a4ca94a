//! Rates and latency by route and arm, and a flood of label values, as Envoy's `/stats/prometheus` says them.

use crate::{
    e2e::metrics::{Exposition, word},
    envoy::Envoy,
    http,
    upstream::{Answer, Upstream},
    visitor::Visitor,
};
use anyhow::{Result, ensure};
use comfy_table::Table;
use harness::{
    Bytes,
    scenario::{Chunk, Response},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

/// What each visitor asks for: a page that fails for one request in so many in shop v2, and one that never does.
const ROUTES: [(&str, Option<u64>); 2] = [("/cart", Some(4)), ("/search", None)];
/// So many that the arm of one in seven has one of them but for one demo in three million.
const VISITORS: usize = 100;
/// How long shop v2 takes to answer, in milliseconds.
const SLOW_MS: u64 = 30;
/// Values of the label `tenant` in the flood, and how many of them the bootstrap's `checkouts_total` takes.
const TENANTS: usize = 300;
const LIMIT: u64 = 50;
/// Bounds of the duration's buckets, in milliseconds.
const BOUNDS: [u64; 14] = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];
/// Envoy merges histograms every five seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was sent to a route in an arm: requests, and how many of them failed.
type Sent = BTreeMap<(&'static str, String), [u64; 2]>;

/// What was sent, and what Envoy says.
pub struct Rates {
    sent: Sent,
    seen: Exposition,
}

/// Sends visitors and a flood, and waits until Envoy has counted them.
pub fn collect(envoy: &Envoy, listener: SocketAddr, shops: &[Upstream; 2]) -> Result<Rates> {
    let mut sent = Sent::new();
    let answer = |status| {
        let chunk = Chunk::from(Bytes::from("{}\n"));
        Answer::from(&Response { status, chunks: vec![chunk], after_ms: SLOW_MS, ..Response::default() })
    };
    for _ in 0..VISITORS {
        let mut visitor = Visitor::default();
        for (route, fails_every) in ROUTES {
            let [_, v2] = shops;
            let served = sent.get(&(route, "b".to_owned())).map_or(0, |[requests, _]| *requests);
            let is_failing = fails_every.is_some_and(|every| served.is_multiple_of(every));
            v2.set_answer(answer(if is_failing { 503 } else { 200 }));
            for shop in shops {
                drop(shop.take_received());
            }
            let status = visitor.ask(listener, "shop.example", route, &[])?.status();
            let received = shops.iter().flat_map(Upstream::take_received).next();
            let arm = received.and_then(|received| {
                let found = received.headers.into_iter().find(|(name, _)| name.0 == b"x-arm");
                found.map(|(_, value)| value.lossy())
            });
            let [requests, errors] = sent.entry((route, arm.unwrap_or_else(|| "-".to_owned()))).or_default();
            *requests += 1;
            *errors += u64::from(status != Some(200));
        }
    }
    shops.iter().for_each(Upstream::reset);
    for number in 0..TENANTS {
        Visitor::default().get(listener, "/checkout", &[("x-tenant", &word(number))])?;
    }
    let all: u64 = sent.values().map(|[requests, _]| requests).sum();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = http::get(envoy.admin(), "/stats/prometheus?filter=wasmcustom")?;
        let rates = Rates { sent: sent.clone(), seen: Exposition::parse(&text)? };
        let merged: u64 =
            sent.keys().map(|(route, arm)| rates.of("request_duration_milliseconds_count", route, arm)).sum();
        if merged == all && rates.flood()[0] == TENANTS as u64 || Instant::now() > deadline {
            return Ok(rates);
        }
        thread::sleep(Duration::from_millis(200));
    }
}

impl Rates {
    /// A sum of the default set.
    fn of(&self, name: &str, route: &str, arm: &str) -> u64 {
        self.seen.sum(&format!("http_server_{name}"), &[("http_route", route), ("arm", arm)])
    }

    /// The bound in milliseconds below which 95 of 100 requests are.
    fn most(&self, route: &str, arm: &str) -> Option<u64> {
        let below = |bound: &u64| {
            let labels = [("http_route", route), ("arm", arm), ("le", &*bound.to_string())];
            self.seen.sum("http_server_request_duration_milliseconds_bucket", &labels)
        };
        let all = self.of("request_duration_milliseconds_count", route, arm);
        BOUNDS.into_iter().find(|bound| below(bound) * 100 >= all * 95)
    }

    /// Of the flood: what was counted, in how many series, in the overflow series, and as refused.
    fn flood(&self) -> [u64; 4] {
        [
            self.seen.sum("checkouts_total", &[]),
            self.seen.count("checkouts_total") as u64,
            self.seen.sum("checkouts_total", &[("otel_metric_overflow", "true")]),
            self.seen.sum("metrics_refused_total", &[("metric", "checkouts_total")]),
        ]
    }

    /// Prints them.
    pub fn print(&self) {
        println!(
            "\nRates and latency by route and arm, as Envoy's /stats/prometheus has them; shop v2 fails and is slow:"
        );
        let mut table = Table::new();
        table.set_header(["route", "arm", "requests", "errors", "success rate", "mean", "95 % within"]);
        for (route, arm) in self.sent.keys() {
            let [requests, errors, time] =
                ["requests_total", "errors_total", "request_duration_milliseconds_sum"]
                    .map(|name| self.of(name, route, arm));
            #[expect(clippy::cast_precision_loss, reason = "a few hundred requests")]
            let of = |part: u64| part as f64 / requests.max(1) as f64;
            table.add_row([
                (*route).to_owned(),
                arm.clone(),
                requests.to_string(),
                errors.to_string(),
                format!("{:.1} %", of(requests.saturating_sub(errors)) * 100.0),
                format!("{:.1} ms", of(time)),
                self.most(route, arm).map_or_else(|| "-".to_owned(), |bound| format!("{bound} ms")),
            ]);
        }
        println!("{table}");
        let [counted, series, overflow, refused] = self.flood();
        println!(
            "A flood of {TENANTS} values of a label that may have {LIMIT}: checkouts_total counts {counted} in {series} series, \
             {overflow} of them in the overflow series; {refused} are told of as refused."
        );
    }

    /// What must be so.
    ///
    /// # Errors
    /// A count is not what was sent, shop v2 is not the slow one, or the flood has made more series than it may.
    pub fn check(&self) -> Result<()> {
        let arms = |arm: &str| self.sent.keys().any(|(_, other)| other == arm);
        ensure!(arms("control") && arms("b"), "there was no request of an arm: {:?}", self.sent);
        for ((route, arm), [requests, errors]) in &self.sent {
            let [counted, failed, timed, time] = [
                "requests_total",
                "errors_total",
                "request_duration_milliseconds_count",
                "request_duration_milliseconds_sum",
            ]
            .map(|name| self.of(name, route, arm));
            ensure!(
                [counted, failed, timed] == [*requests, *errors, *requests],
                "{route} in arm {arm}: Envoy says {counted} requests, {failed} errors and {timed} durations of {requests} and {errors}"
            );
            ensure!(*errors == 0 || arm == "b", "{route} failed in arm {arm}");
            let is_slow = time >= SLOW_MS * requests;
            ensure!(is_slow || arm != "b", "{route} took {time} ms for {requests} requests of {SLOW_MS} ms");
        }
        let failed: u64 =
            self.sent.iter().filter(|((route, _), _)| *route == "/cart").map(|(_, [_, errors])| errors).sum();
        ensure!(failed > 0, "nothing failed");
        let over = TENANTS as u64 - LIMIT;
        let flood = self.flood();
        ensure!(flood == [TENANTS as u64, LIMIT + 1, over, over], "the flood came out as {flood:?}");
        Ok(())
    }
}
