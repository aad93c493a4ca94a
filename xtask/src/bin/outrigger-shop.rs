//! A shop, its visitors and their health, in one small program for containers.
//!
//! `serve NAME ADDRESS [CONTROL]` answers as a version of the shop; at CONTROL it is told what to answer, and asked what it was sent.
//! `visit SHOP PER-SECOND ADDRESS` visits it; ADDRESS says how often. `ask ADDRESS PATH` is a health check.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    reason = "a program of the host: it has arguments and a clock"
)]
#![allow(clippy::print_stderr, reason = "the program says where it listens")]
#![allow(dead_code, reason = "the modules are shared with xtask, which uses all of them")]

#[path = "../http.rs"]
mod http;
#[path = "../upstream.rs"]
mod upstream;
#[path = "../visitor.rs"]
mod visitor;

use anyhow::{Context as _, Result, bail};
use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use upstream::{Upstream, plain, serve};
use visitor::Visitor;

const USAGE: &str =
    "usage: outrigger-shop serve NAME ADDRESS [CONTROL] | visit SHOP PER-SECOND ADDRESS | ask ADDRESS PATH";
/// How many visitors there are; each keeps its cookies.
const VISITORS: usize = 200;
/// Where they go, in turn. The last may not be seen.
const PATHS: [&str; 7] = [
    "/",
    "/products/17",
    "/users/joe%40example.com/orders/4711",
    "/checkout",
    "/pay?card=4111-1111-1111-1111&amount=12",
    "/find?q=oar&phone=%2B49+30+1234567",
    "/admin",
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", name, address] => shop(name, address, None),
        ["serve", name, address, control] => shop(name, address, Some(control)),
        ["visit", target, per_second, address] => visit(target, per_second.parse()?, address.parse()?),
        ["ask", address, path] => http::get(address.parse()?, path).map(drop),
        _ => bail!(USAGE),
    }
}

fn shop(name: &str, address: &str, control: Option<&str>) -> Result<()> {
    let upstream = Upstream::listen(name, address.parse()?)?;
    if let Some(control) = control {
        upstream.control(control.parse()?)?;
    }
    eprintln!("{name}: serving on {address}");
    loop {
        thread::park();
    }
}

/// Visits until the process ends. A shop that is not there is asked again: visitors do not give up.
fn visit(target: &str, per_second: u32, address: SocketAddr) -> Result<()> {
    let (answered, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counts = [Arc::clone(&answered), Arc::clone(&failed)];
    serve(upstream::bind(address)?, move |_| {
        let [answered, failed] = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        plain(200, format!("{{\"answered\":{answered},\"failed\":{failed}}}\n").into_bytes())
    });
    // A mesh finds the service by the name that the request is for.
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    let host = if host.parse::<std::net::IpAddr>().is_ok() { "shop.example" } else { host };
    let pause = Duration::from_secs(1).checked_div(per_second).context("PER-SECOND must be 1 or more")?;
    let mut visitors = vec![Visitor::default(); VISITORS];
    eprintln!("visiting {target}; counts on {address}");
    let mut next = Instant::now();
    for number in 0_usize.. {
        let path = PATHS[number % PATHS.len()];
        let visitor = &mut visitors[number % VISITORS];
        let shop = target.to_socket_addrs().ok().and_then(|mut found| found.next());
        let done = shop.context("no address").and_then(|shop| visitor.ask(shop, host, path, &[]));
        let count = if done.is_ok() { &answered } else { &failed };
        count.fetch_add(1, Ordering::Relaxed);
        next += pause;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next = next.max(Instant::now());
    }
    Ok(())
}
