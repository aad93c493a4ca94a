//! TCP scenarios on a real Envoy: the plugin is a network filter before Envoy's TCP proxy.

use super::foreign;
use crate::{
    bootstrap::Bootstrap,
    envoy::{self, Envoy, Line},
    upstream,
};
use anyhow::Result;
use harness::{
    Bytes,
    mock::Mocks,
    outcome::ExchangeOutcome,
    scenario::{Chunk, Exchange, PAUSE_MS, Scenario, UPSTREAMS},
};
use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long the client waits for bytes, and how long log lines and stats may take to arrive behind the connection's end.
const PATIENCE: Duration = Duration::from_secs(4);
const SETTLING: Duration = Duration::from_millis(1500);

/// An upstream that answers each read with the next chunk, and the end with those that are left.
struct Upstream {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Chunk>,
    received: Option<Vec<u8>>,
}

impl Upstream {
    fn start() -> Result<Self> {
        let listener = upstream::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let upstream = Self { address: listener.local_addr()?, state: Arc::default() };
        let state = Arc::clone(&upstream.state);
        thread::spawn(move || serve(&listener, &state));
        Ok(upstream)
    }

    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn serve(listener: &TcpListener, state: &Mutex<State>) {
    for stream in listener.incoming().flatten() {
        // A connection that breaks is the client's affair.
        drop(answer(stream, state));
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> Result<()> {
    let mut part = [0; 16 << 10];
    loop {
        let count = stream.read(&mut part)?;
        let answers: Vec<u8> = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.received.get_or_insert_default().extend(&part[..count]);
            let left = if count == 0 { state.answers.len() } else { state.answers.len().min(1) };
            state.answers.drain(..left).flat_map(|chunk| chunk.bytes.0).collect()
        };
        stream.write_all(&answers)?;
        if count == 0 {
            thread::sleep(Duration::from_millis(PAUSE_MS));
            return Ok(stream.shutdown(Shutdown::Write)?);
        }
    }
}

/// Runs a scenario's exchanges.
///
/// # Errors
/// Envoy does not start.
pub fn run(
    program: &Path,
    mut bootstrap: Bootstrap,
    scenario: &Scenario,
    mocks: &Mocks,
    expected: &[ExchangeOutcome],
) -> Result<Vec<ExchangeOutcome>> {
    let mut upstreams = Vec::new();
    let named = UPSTREAMS.into_iter().chain(mocks.addresses().map(|(name, _)| name));
    for name in named {
        let upstream = Upstream::start()?;
        bootstrap.set_cluster(name, Some(upstream.address));
        upstreams.push((name, upstream));
    }
    bootstrap.with_free_ports();
    bootstrap.be_tcp();
    let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", "1"])?;
    foreign::settle(|| Ok(envoy.log_since(0).len()))?;
    let address = envoy.listener("main")?;
    let exchanges = scenario.exchanges.iter().zip(expected);
    exchanges.map(|(exchange, expected)| connect(&envoy, address, &upstreams, exchange, expected)).collect()
}

fn connect(
    envoy: &Envoy,
    address: SocketAddr,
    upstreams: &[(&str, Upstream)],
    exchange: &Exchange,
    expected: &ExchangeOutcome,
) -> Result<ExchangeOutcome> {
    for (_, upstream) in upstreams {
        let answers = exchange.response.chunks.iter().cloned().collect();
        upstream.with(|state| *state = State { answers, received: None });
    }
    let (stats, logged) = (envoy.plugin_stats()?, envoy.log_since(0).len());
    thread::sleep(Duration::from_millis(exchange.after_ms));
    let mut outcome =
        ExchangeOutcome { response_body: Bytes(talk(address, exchange)), ..ExchangeOutcome::default() };
    let deadline = Instant::now() + SETTLING;
    loop {
        for (name, upstream) in upstreams {
            if let Some(received) = upstream.with(|state| state.received.clone()) {
                outcome.upstream = Some((*name).to_owned());
                outcome.request_body = Bytes(received);
            }
        }
        outcome.metrics = envoy::steps(&stats, &envoy.plugin_stats()?);
        outcome.log = envoy.log_since(logged).iter().filter_map(Line::of_module).collect();
        if Instant::now() > deadline
            || outcome.log.len() >= expected.log.len() && outcome.metrics == expected.metrics
        {
            return Ok(outcome);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends the client's chunks and its end. Gives what comes back.
fn talk(address: SocketAddr, exchange: &Exchange) -> Vec<u8> {
    let mut received = Vec::new();
    let mut talk = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        for chunk in &exchange.request.chunks {
            thread::sleep(Duration::from_millis(chunk.after_ms.max(PAUSE_MS)));
            stream.write_all(&chunk.bytes.0)?;
        }
        thread::sleep(Duration::from_millis(PAUSE_MS));
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut received).map(drop)
    };
    // A connection that Envoy breaks off has given what came before.
    drop(talk());
    received
}
