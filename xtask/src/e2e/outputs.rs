//! The ways out of access-log on a real Envoy: the file that the shipped configuration writes, lines of the proxy's log, an access logger without
//! a filter, and a collector that is down while requests come.

use super::{Count, try_all};
use crate::{
    bootstrap::Bootstrap,
    build,
    envoy::Envoy,
    http::{self, Connection, write_head},
    parallel, project, setup,
    upstream::Upstream,
};
use anyhow::{Context as _, Result, bail, ensure};
use harness::{Bytes, series};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// What must be in nothing that is written. Fewer digits of the card would also be in a time or an id of a request now and then.
const PERSONAL: [&str; 5] = ["joe", "4111-1111", "41111111", "198.51.100.7", "hunter2"];
/// A request with all of it.
const TARGET: &str =
    "/users/joe%40example.com/orders/17?card=4111-1111-1111-1111&ip=198.51.100.7&password=hunter2";
/// How long a line or a batch is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many requests come while the collector is down, on how many connections.
const LOAD: usize = 20_000;
const CONNECTIONS: usize = 8;
/// What may wait for the collector, in bytes.
const QUEUE: usize = 65_536;
/// How much larger Envoy may be after the load than before it, in bytes: its own pools and the module's memory grow once.
const GROWTH: u64 = 32 << 20;

/// A way out on an Envoy of this program before this shop.
type Attempt = fn(&Path, &Upstream) -> Result<()>;

/// Tries all ways out.
///
/// # Errors
/// Something personal was written, a record is missing, a request was held up, or what became of a record was not counted.
pub fn run() -> Result<Count> {
    let program = setup::envoy(None)?;
    build::modules()?;
    let shop = Upstream::start("v1", 0)?;
    let tried: [(&str, Attempt); 4] = [
        ("a file with filter state", file),
        ("lines of the proxy's log", lines),
        ("an access logger without a filter", logger),
        ("a collector that is down under load", collector),
    ];
    Ok(try_all(&tried, |attempt| attempt(&program, &shop)))
}

fn bootstrap(name: &str, shop: &Upstream) -> Result<Bootstrap> {
    let mut bootstrap = Bootstrap::load(name)?;
    bootstrap.with_free_ports();
    bootstrap.set_module(&build::module("access-log"));
    bootstrap.set_cluster("v1", Some(shop.address()));
    Ok(bootstrap)
}

/// The configuration as it is shipped, but for where its logger writes.
fn file(program: &Path, shop: &Upstream) -> Result<()> {
    let path = project::scratch("access-log")?.join(format!("{}.log", std::process::id()));
    fs::write(&path, "")?;
    let mut bootstrap = bootstrap("access-log", shop)?;
    let manager = &mut bootstrap.0["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let logger = &mut manager["access_log"][0]["typed_config"];
    ensure!(logger["log_format"].is_object(), "the configuration has no logger");
    logger["@type"] = json!("type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog");
    logger["path"] = json!(path);
    let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", "1"])?;
    http::get(envoy.listener("main")?, TARGET)?;
    let text = until(|| {
        let text = fs::read_to_string(&path)?;
        Ok(text.ends_with('\n').then_some(text))
    })?;
    fs::remove_file(&path)?;
    let [line] = text.lines().collect::<Vec<_>>()[..] else { bail!("not one line: {text}") };
    clean(line)?;
    let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
    let got = (
        &line["request"]["path"],
        &line["request"]["response_code"],
        &line["response_flags"],
        &line["upstream_cluster"],
    );
    ensure!(got == (&json!("/users/[EMAIL]/orders/17"), &json!(200), &json!("-"), &json!("v1")), "{line}");
    Ok(())
}

/// Lines of JSON in the proxy's log.
fn lines(program: &Path, shop: &Upstream) -> Result<()> {
    let mut bootstrap = bootstrap("access-log", shop)?;
    bootstrap.set_plugin_configuration(Some(br#"{"outputs":{"log":true}}"#));
    let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", "1"])?;
    http::get(envoy.listener("main")?, TARGET)?;
    let line = until(|| Ok(records(&envoy).into_iter().next()))?;
    ensure!(
        line["route_template"] == "/users/{email}/orders/{number}" && line["upstream_cluster"] == "v1",
        "{line}"
    );
    clean(&envoy.log_text())
}

/// Without a filter also what never reaches the filters is logged.
fn logger(program: &Path, shop: &Upstream) -> Result<()> {
    let envoy = Envoy::start(program, &bootstrap("access-log-only", shop)?.0, &["--concurrency", "1"])?;
    let listener = envoy.listener("main")?;
    http::get(listener, TARGET)?;
    // Without a host the connection manager answers, and no filter sees it.
    let mut stream = TcpStream::connect(listener)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /no-host?mail=joe@example.com HTTP/1.1\r\nconnection: close\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new())?;
    let records = until(|| Ok(Some(records(&envoy)).filter(|records| records.len() >= 2)))?;
    let statuses: Vec<&Value> = records.iter().map(|record| &record["response_code"]).collect();
    ensure!(statuses == [&json!(200), &json!(400)], "{records:?}");
    ensure!(
        records.iter().all(|record| record["start_time"].is_string() && record["duration"].is_u64()),
        "{records:?}"
    );
    clean(&envoy.log_text())
}

/// While nobody listens where records are sent, requests are answered as ever, what waits is bounded, and what is dropped is counted to the last
/// record; when somebody does, what waited arrives.
fn collector(program: &Path, shop: &Upstream) -> Result<()> {
    let address = free()?;
    let config = json!({
        "names": "opentelemetry",
        "outputs": {"otlp": {
            "cluster": "collector", "queue_bytes": QUEUE, "batch": {"bytes": 16_384, "interval_ms": 100},
            "retry": {"initial_ms": 100, "max_ms": 500}
        }}
    });
    let mut bootstrap = bootstrap("access-log", shop)?;
    bootstrap.set_plugin_configuration(Some(config.to_string().as_bytes()));
    bootstrap.set_cluster("collector", Some(address));
    let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", "1"])?;
    let listener = envoy.listener("main")?;
    load(listener, CONNECTIONS * 50)?;
    let before = envoy.resident()?;
    load(listener, LOAD - CONNECTIONS * 50)?;
    let grown = envoy.resident()?.saturating_sub(before);
    ensure!(grown <= GROWTH, "Envoy has grown by {grown} bytes");
    let dropped = result(&envoy, "queue_full")?;
    ensure!(dropped > 0, "nothing was dropped: the load is too light to try anything");
    let listening = Upstream::listen("collector", address)?;
    let all = i64::try_from(LOAD)?;
    let sent = until(|| {
        let sent = result(&envoy, "sent")?;
        Ok((sent + result(&envoy, "queue_full")? == all).then_some(sent))
    })
    .with_context(|| {
        format!(
            "of {LOAD} records {} were sent and {} dropped",
            result(&envoy, "sent").unwrap_or(-1),
            result(&envoy, "queue_full").unwrap_or(-1)
        )
    })?;
    let mut received = 0;
    for request in listening.take_received() {
        let text = request.body.lossy();
        clean(&text)?;
        let body: Value = serde_json::from_str(&text).context("a batch is no JSON")?;
        let records = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
            .as_array()
            .context("a batch has no records")?;
        received += records.len();
    }
    ensure!(i64::try_from(received)? == sent, "{received} records arrived, and {sent} were counted");
    let waited = received * 600;
    ensure!(waited <= 4 * QUEUE, "{received} records had waited");
    println!(
        "collector down: {LOAD} requests, all answered; {sent} records arrived later, {dropped} dropped; Envoy grew by {} KB",
        grown >> 10
    );
    Ok(())
}

/// Sends so many requests, each of which must be answered by the shop.
fn load(listener: SocketAddr, count: usize) -> Result<()> {
    let each = count / CONNECTIONS;
    let connections: Vec<usize> = (0..CONNECTIONS).collect();
    let outcomes = parallel::map(&connections, CONNECTIONS, |_| -> Result<()> {
        let mut connection = Connection::open(listener, PATIENCE)?;
        for _ in 0..each {
            let host = vec![(Bytes::from("host"), Bytes::from("shop.example"))];
            write_head(connection.writer(), &format!("GET {TARGET} HTTP/1.1"), &host)?;
            let response = connection.read_response("GET")?;
            ensure!(response.status() == Some(200), "{:?}", response.first);
        }
        Ok(())
    });
    outcomes.into_iter().collect()
}

/// The records in the proxy's log.
fn records(envoy: &Envoy) -> Vec<Value> {
    let lines = envoy.log_since(0).into_iter().filter_map(|line| line.of_module());
    lines.filter_map(|line| serde_json::from_str(&line.text).ok()).collect()
}

/// How many records ended so.
fn result(envoy: &Envoy, result: &str) -> Result<i64> {
    let stats = envoy.plugin_stats()?;
    let is_it = |name: &str| {
        let series = series::parse(name);
        series.name == "access_log_otlp_records_total"
            && series.labels.get("result").is_some_and(|label| label == result)
    };
    Ok(stats.iter().filter(|(name, _)| is_it(name)).map(|(_, value)| *value).sum())
}

fn clean(text: &str) -> Result<()> {
    for personal in PERSONAL {
        let Some(place) = text.find(personal) else { continue };
        let before = text.get(place.saturating_sub(60)..place).unwrap_or_default();
        bail!("{personal} is in what was written, behind {before}");
    }
    Ok(())
}

/// Asks again until there is an answer.
fn until<T>(mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "nothing came in {} s", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
}

/// An address of loopback where nobody listens.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
