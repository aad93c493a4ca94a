//! The plan on a real Envoy.

use super::bootstrap;
use crate::{
    bootstrap::Bootstrap,
    e2e::client,
    envoy::{self, Envoy, Line},
    http::Connection,
    parallel,
    progress::Work,
    project,
    upstream::{Answer, Upstream},
};
use anyhow::Result;
use harness::{
    Bytes,
    conformance::{self, DEATHS, Group, Kind, Listener, PATIENCE, POLICIES, Run, Sheet},
    mock::Mocks,
    scenario::Exchange,
};
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How long the last lines of a stream may take, once the client is gone.
const SETTLING: Duration = Duration::from_secs(1);
/// How long callbacks that come behind a stream's end may take.
const AFTERMATH: Duration = Duration::from_millis(15);

/// How many Envoys run at once. They wait most of their time.
const AT_ONCE: usize = 3;

/// Envoy and the upstreams behind it.
struct Bench<'a> {
    program: &'a Path,
    bootstrap: Value,
    envoy: Envoy,
    upstreams: [(&'static str, Upstream); 2],
}

/// Runs the plan, each group in an Envoy of its own.
pub fn run(program: &Path, probes: &Path, sheets: &[Sheet], work: &Work) -> Result<Vec<Run>> {
    let mut runs = modules(program, sheets, work)?;
    let groups = conformance::groups(sheets);
    let done = parallel::map(&groups, AT_ONCE, |group| of_group(program, probes, sheets, group, work));
    for group in done {
        runs.extend(group?);
    }
    Ok(runs)
}

fn of_group(
    program: &Path,
    probes: &Path,
    sheets: &[Sheet],
    group: &Group<'_>,
    work: &Work,
) -> Result<Vec<Run>> {
    let mocks = Mocks::start(&conformance::clusters())?;
    let upstreams = [("v1", Upstream::start("v1", 0)?), ("v2", Upstream::start("v2", 0)?)];
    let addresses = upstreams.iter().map(|(name, upstream)| (*name, Some(upstream.address())));
    let clusters = addresses.chain(mocks.addresses());
    let mut bootstrap = Bootstrap(bootstrap::bootstrap(probes, sheets, &group.listeners(), clusters));
    for (name, _) in mocks.addresses().filter(|(name, _)| mocks.is_grpc(name)) {
        bootstrap.speak_http2(name);
    }
    let bootstrap = bootstrap.0;
    let envoy = start(program, &bootstrap, group.workers())?;
    let mut bench = Bench { program, bootstrap, envoy, upstreams };
    let mut runs = Vec::new();
    thread::sleep(SETTLING);
    let started = bench.envoy.log_since(0);
    let stats = bench.envoy.plugin_stats()?;
    for sheet in &group.roots {
        let mut lines = lines(&started, &conformance::of_root(sheet));
        lines.extend(conformance::stats(&sheet.name, &stats));
        runs.push(Run { lines, ..Run::of(&sheet.name, Kind::Root) });
        work.step();
    }
    if let Some((site, sheets)) = &group.exchanges {
        let listener = conformance::of_exchanges(site);
        for sheet in sheets {
            for kind in sheet.kinds.iter().copied().filter(|kind| kind.is_exchange()) {
                runs.push(bench.exchange(&listener, &sheet.name, kind)?);
                work.step();
            }
        }
    }
    for sheet in &group.deaths {
        for policy in POLICIES {
            runs.push(bench.deaths(&conformance::of_deaths(sheet, policy), &sheet.name)?);
            work.step();
        }
    }
    Ok(runs)
}

fn start(program: &Path, bootstrap: &Value, workers: usize) -> Result<Envoy> {
    Envoy::start(program, bootstrap, &["--concurrency", &workers.to_string()])
}

/// Which modules Envoy would start with at all.
fn modules(program: &Path, sheets: &[Sheet], work: &Work) -> Result<Vec<Run>> {
    let folder = project::scratch("modules")?;
    let mut runs = Vec::new();
    for sheet in sheets.iter().filter(|sheet| sheet.kinds.contains(&Kind::Module)) {
        let file = folder.join(&sheet.name).with_extension("wasm");
        fs::write(&file, wat::parse_str(sheet.lines.join("\n"))?)?;
        let is_fine = envoy::validate(program, &bootstrap::of_module(&file))?.is_ok();
        let verdict = if is_fine { "runs" } else { "refused" };
        runs.push(Run { lines: vec![verdict.to_owned()], ..Run::of(&sheet.name, Kind::Module) });
        work.step();
    }
    Ok(runs)
}

impl Bench<'_> {
    /// A VM dies, and is asked again at once and after a while.
    fn deaths(&self, listener: &Listener, sheet: &str) -> Result<Run> {
        let address = self.envoy.listener(&listener.name)?;
        let mut run = Run::of(&listener.name, Kind::Trap);
        for (number, (is_deadly, pause)) in DEATHS.into_iter().enumerate() {
            let name = if is_deadly { sheet } else { "none" };
            // Envoy itself has been up for long.
            if listener.policy == Some("FAIL_RELOAD") && number > 0 {
                thread::sleep(pause);
            }
            let logged = self.envoy.log_since(0).len();
            let next = self.send(address, &conformance::exchange(name, Kind::Trap))?;
            thread::sleep(AFTERMATH);
            run.lines.extend(conformance::of_streams(lines(&self.envoy.log_since(logged), listener)));
            run.lines.push(format!("then {:?} {:?}", next.status, next.response_body.lossy()));
            run.status = next.status;
        }
        Ok(run)
    }

    fn exchange(&mut self, listener: &Listener, sheet: &str, kind: Kind) -> Result<Run> {
        let exchange = conformance::exchange(sheet, kind);
        let address = self.envoy.listener(&listener.name)?;
        let logged = self.envoy.log_since(0).len();
        let mut run = Run { sheet: sheet.to_owned(), kind: Some(kind), ..self.send(address, &exchange)? };
        let deadline = Instant::now() + SETTLING;
        let is_last = |line: &&String| line.contains("call delete[");
        loop {
            run.lines = lines(&self.envoy.log_since(logged), listener);
            let is_over = run.lines.iter().filter(is_last).count() == listener.site.probes.len();
            if is_over || Instant::now() > deadline {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(if sheet.contains("callout") || sheet.contains("grpc") {
            SETTLING / 5
        } else {
            AFTERMATH
        });
        run.lines = lines(&self.envoy.log_since(logged), listener);
        for (name, upstream) in &self.upstreams {
            if let Some(received) = upstream.take_received().into_iter().next() {
                run.upstream = Some((*name).to_owned());
                run.request_headers = received.headers;
                run.request_body = received.body;
            }
        }
        if Connection::open(address, PATIENCE).is_err() || is_stuck(&run.lines) {
            run = Run { lines: vec![conformance::CRASH.to_owned()], ..Run::of(sheet, kind) };
            self.envoy = start(self.program, &self.bootstrap, 1)?;
        }
        Ok(run)
    }

    /// Sends a request and keeps the answer.
    fn send(&self, listener: SocketAddr, exchange: &Exchange) -> Result<Run> {
        for (_, upstream) in &self.upstreams {
            upstream.set_answer(Answer::from(&exchange.response));
            upstream.take_received();
        }
        let mut run = Run::default();
        let mut connection = Connection::open(listener, PATIENCE)?;
        if let Ok(response) = client::send(&mut connection, &exchange.request) {
            run.status = response.status();
            run.response_headers = response.headers;
            run.response_body = Bytes(response.body);
        }
        Ok(run)
    }
}

/// Whether a stream was begun and not ended, though its client is gone: then the worker is in it for ever.
fn is_stuck(lines: &[String]) -> bool {
    let has = |call: &str| lines.iter().any(|line| line.contains(call));
    has("call context_create[") && !has("call delete[")
}

fn lines(log: &[Line], listener: &Listener) -> Vec<String> {
    listener.lines(log.iter().filter_map(Line::of_vm))
}
