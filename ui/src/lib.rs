//! A local page that shows the filters at work: numbers from Envoy's admin interface, lines from log files, and what is missing is said to be missing.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it runs on a host: it may read its clock and its files"
)]
#![allow(clippy::indexing_slicing, reason = "JSON is read by index, which gives null where there is nothing")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on has failed"))]

pub mod admin;
mod experiment;
mod filters;
mod history;
mod line;
mod model;
mod plugins;
mod server;
mod stats;
mod tail;

use admin::Admin;
use history::History;
use model::{Envoy, State};
use serde_json::Value;
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tail::Logs;

/// How often Envoy is asked.
pub const PERIOD: Duration = Duration::from_secs(1);
/// How often Envoy merges its histograms (`stats_flush_interval`, 5 s), and is asked for them.
const MERGED: Duration = Duration::from_secs(5);
/// How often it is asked which plugins it runs.
const PLUGINS: Duration = Duration::from_secs(15);

/// Where a page reads, and where it is served.
#[derive(Debug, Clone)]
pub struct Options {
    /// Envoy's admin interface.
    pub admin: admin::Url,
    /// Files of access logs, of policy's records, or of Envoy's own log.
    pub logs: Vec<PathBuf>,
    /// The address to serve at; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// A page that is served until this is dropped.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

/// The last state, as JSON, which requests are answered with.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Arc<[u8]>>>);

impl Shared {
    fn get(&self) -> Arc<[u8]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: &[u8]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state.into();
    }
}

impl Page {
    /// Begins to ask Envoy and to serve. Whatever Envoy and the logs are, the page is there and says so.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub fn start(options: &Options) -> Result<Self, String> {
        let is_over = Arc::new(AtomicBool::new(false));
        let shared = Shared::default();
        let mut watch = Watch::new(options);
        shared.set(&watch.state());
        let address = server::start(options.listen, shared.clone(), Arc::clone(&is_over))
            .map_err(|error| format!("cannot listen at {}: {error}", options.listen))?;
        let stop = Arc::clone(&is_over);
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                watch.look();
                shared.set(&watch.state());
                thread::sleep(PERIOD.saturating_sub(begun.elapsed()));
            }
        });
        Ok(Self { address, is_over })
    }

    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// What is watched, and what was seen of it last.
struct Watch {
    admin: Admin,
    logs: Logs,
    envoy: Envoy,
    reading: stats::Reading,
    histograms: stats::Histograms,
    plugins: plugins::Plugins,
    history: History,
    merged: Option<Instant>,
    listed: Option<Instant>,
}

impl Watch {
    fn new(options: &Options) -> Self {
        Self {
            admin: Admin::new(options.admin.clone()),
            logs: Logs::new(&options.logs),
            envoy: Envoy::new(&options.admin),
            reading: stats::Reading::default(),
            histograms: stats::Histograms::default(),
            plugins: plugins::Plugins::default(),
            history: History::default(),
            merged: None,
            listed: None,
        }
    }

    /// Asks Envoy, and reads what the logs have grown by.
    fn look(&mut self) {
        let begun = Instant::now();
        match self.ask() {
            Ok(()) => self.envoy.answered(begun.elapsed()),
            Err(problem) => self.envoy.failed(problem, now_ms()),
        }
        self.logs.read();
    }

    fn ask(&mut self) -> Result<(), admin::Problem> {
        let is_due = |last: Option<Instant>, period| last.is_none_or(|last| last.elapsed() >= period);
        let info = self.admin.server_info()?;
        if self.envoy.is_another(&info) {
            // What was counted before says nothing of this process.
            self.history.interrupt();
            (self.merged, self.listed) = (None, None);
        }
        let reading = stats::Reading::parse(&self.admin.stats()?);
        let at = Instant::now();
        if is_due(self.listed, PLUGINS) {
            self.plugins = plugins::Plugins::parse(&self.admin.plugins()?);
            self.listed = Some(at);
        }
        let mut latency = None;
        if is_due(self.merged, MERGED) {
            self.histograms = stats::Histograms::parse(&self.admin.histograms()?);
            latency = self.histograms.lately();
            self.merged = Some(at);
        }
        self.history.add(at, now_ms(), &reading, latency);
        self.reading = reading;
        self.envoy.tell(&info);
        Ok(())
    }

    fn state(&self) -> Vec<u8> {
        let state = State::new(self, now_ms());
        serde_json::to_vec(&state).unwrap_or_else(|_| Value::Null.to_string().into_bytes())
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
