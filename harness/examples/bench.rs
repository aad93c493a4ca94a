//! What the harness itself costs: `bench MODULE CONFIG [SECONDS]`. The last line is an object of JSON: milliseconds until a first request is answered, when
//! the module is compiled (`cold_ms`) and when it comes out of the cache (`warm_ms`, the median of several), requests without a body a second on one
//! core (`requests_per_second`), and that with whole bodies of 1 KB (`bodies_per_second`).
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of the host: it has arguments and a clock, and what it prints is its product"
)]

use harness::{
    Bytes, Module, Options, Proxy, Settings,
    scenario::{Chunk, Exchange, Request, Response},
};
use serde_json::json;
use std::{env, error::Error, fs, path::Path, process, time::Instant};

/// How many warm starts there are: the median counts.
const STARTS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(module), Some(config)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bench MODULE CONFIG [SECONDS]".into());
    };
    let seconds: f64 = arguments.next().map_or(Ok(3.0), |seconds| seconds.parse())?;
    let config = fs::read(config)?;
    let cache = env::temp_dir().join(format!("outrigger-bench-{}", process::id()));
    let (cold, _) = start(Path::new(&module), &config, &cache)?;
    let mut warm = Vec::new();
    let (_, mut proxy) = start(Path::new(&module), &config, &cache)?;
    for _ in 0..STARTS {
        let (milliseconds, started) = start(Path::new(&module), &config, &cache)?;
        warm.push(milliseconds);
        proxy = started;
    }
    fs::remove_dir_all(&cache)?;
    warm.sort_by(f64::total_cmp);
    let plain = exchange("", "");
    let body = "x".repeat(1024);
    let requests = rate(&mut proxy, &plain, seconds);
    let bodies = rate(&mut proxy, &exchange(&body, &body), seconds);
    println!(
        "{}",
        json!({
            "bytes": fs::metadata(&module)?.len(),
            "cold_ms": cold,
            "warm_ms": warm.get(STARTS / 2),
            "requests_per_second": requests.round(),
            "bodies_per_second": bodies.round(),
        })
    );
    Ok(())
}

/// Milliseconds from the file to the first answer.
fn start(module: &Path, config: &[u8], cache: &Path) -> Result<(f64, Proxy), Box<dyn Error>> {
    let begun = Instant::now();
    let module = Module::open_with(module, Some(cache))?;
    let mut proxy = Proxy::new(Settings::default());
    proxy.add(&module, &Options::default(), Some(config))?;
    let outcome = proxy.exchange(&exchange("", ""));
    assert_eq!(outcome.status, Some(200), "{:?}", proxy.traps());
    Ok((begun.elapsed().as_secs_f64() * 1000.0, proxy))
}

/// Exchanges a second on one core: of the time that this thread has had one, as Envoy's worker is measured too, so that what else the machine does counts
/// for nothing.
fn rate(proxy: &mut Proxy, exchange: &Exchange, seconds: f64) -> f64 {
    let (begun, used, mut count) = (Instant::now(), cpu_seconds(), 0_u32);
    loop {
        for _ in 0..1000 {
            proxy.exchange(exchange);
        }
        proxy.take_log();
        count += 1000;
        let elapsed = begun.elapsed().as_secs_f64();
        if elapsed >= seconds {
            let used = cpu_seconds().zip(used).map(|(now, before)| now - before);
            return f64::from(count) / used.unwrap_or(elapsed);
        }
    }
}

/// The seconds that this thread has run, as Linux counts them; none elsewhere.
#[expect(clippy::cast_precision_loss, reason = "a thread runs for less than 2^53 ns")]
fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse::<u64>().ok().map(|nanoseconds| nanoseconds as f64 / 1e9)
}

fn exchange(body: &str, answer: &str) -> Exchange {
    let header = |name: &str, value: &str| (Bytes::from(name), Bytes::from(value));
    let chunks = if body.is_empty() { Vec::new() } else { vec![Chunk::from(body)] };
    let request = Request {
        path: "/checkout?step=2".to_owned(),
        headers: vec![header("user-agent", "bench"), header("accept", "*/*"), header("x-user-id", "joe")],
        chunks,
        ..Request::default()
    };
    let response = if answer.is_empty() { Response::default() } else { Response::of(answer) };
    Exchange { request, response, ..Exchange::default() }
}
