//! Sends many different requests through a module and watches its memory: `soak MODULE PLAN REQUESTS WARM_UP`. The last line is an object of JSON:
//! `requests`, `seconds`, `warm_bytes` and `end_bytes` of linear memory, `grown_at` (the request at which it grew last), `traps`, and `sums`: what was
//! sent beside what was counted.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program of the host: it has arguments and a clock, and what it prints is its product"
)]

mod plan;
mod traffic;

use harness::{
    Module, Options, Proxy, Settings,
    scenario::{Cluster, Response},
};
use plan::Plan;
use serde_json::json;
use std::{collections::BTreeMap, env, error::Error, fs, time::Duration, time::Instant};
use traffic::Traffic;

/// How long the collector takes to answer, in milliseconds: at the rate of the requests its queue is full at times.
const COLLECTOR_MS: u64 = 300;
/// In the warm-up one request of so many is as large as one can be.
const LARGE: u64 = 10;
/// Behind how many requests something is said.
const TELL: u64 = 500_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, plan, requests, warm_up] = arguments.as_slice() else {
        return Err("usage: soak MODULE PLAN REQUESTS WARM_UP".into());
    };
    let (requests, warm_up): (u64, u64) = (requests.parse()?, warm_up.parse()?);
    let plan: Plan = serde_json::from_slice(&fs::read(plan)?)?;
    let module = Module::load(&fs::read(module)?)?;
    let collector = Cluster::Answers { response: Response::default(), delay_ms: COLLECTOR_MS };
    let clusters = BTreeMap::from([("otel-collector".to_owned(), collector)]);
    let mut proxy = Proxy::new(Settings { clusters, ..Settings::default() });
    let options = Options { environment: plan.environment.clone(), ..Options::default() };
    proxy.add(&module, &options, Some(plan.config.to_string().as_bytes()))?;
    let begun = Instant::now();
    let (mut warm_bytes, mut bytes, mut grown_at) = (0, 0, 0);
    let mut traffic = Traffic::new(7);
    let mut denied = 0;
    for number in 0..requests {
        if number == warm_up {
            warm_bytes = proxy.memory_size();
        }
        let is_large = number < warm_up && number.is_multiple_of(LARGE);
        let outcome = proxy.exchange(&if is_large { traffic.largest() } else { traffic.next() });
        denied += u64::from(outcome.is_reply);
        let now = proxy.memory_size();
        if now != bytes {
            (bytes, grown_at) = (now, number);
        }
        if number % TELL == TELL - 1 {
            let seconds = begun.elapsed().as_secs_f64();
            eprintln!("{} requests, {bytes} bytes, last grown at {grown_at}, {seconds:.0} s", number + 1);
        }
    }
    // What waits for the collector is sent.
    for _ in 0..100 {
        proxy.advance(Duration::from_secs(1));
    }
    let mut sent = traffic.take_made();
    sent.insert("denied".to_owned(), denied);
    let stats =
        proxy.metrics().into_iter().map(|(name, value)| (name, i64::try_from(value).unwrap_or(i64::MAX)));
    let sums = plan.sums(&sent, &stats.collect());
    let sums = sums.iter().map(|sum| json!({"what": sum.what, "sent": sum.sent, "counted": sum.counted}));
    println!(
        "{}",
        json!({
            "requests": requests, "seconds": begun.elapsed().as_secs_f64(), "warm_bytes": warm_bytes, "end_bytes": proxy.memory_size(),
            "grown_at": grown_at, "traps": proxy.traps().len(), "sums": sums.collect::<Vec<_>>()
        })
    );
    Ok(())
}
