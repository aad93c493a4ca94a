//! A collector of log records that fails as it is told to, and knows which records it has taken.

use crate::{
    http::{Connection, write_head},
    upstream::bind,
};
use anyhow::Result;
use harness::{Bytes, scenario::Headers};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How a collector answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It takes what comes.
    Well,
    /// It takes it and says so in words that nobody understands.
    WellInGarbage,
    /// It takes it but for so many records.
    Partly(u64),
    /// It answers with this status.
    Status(u16),
    /// It answers after so many milliseconds.
    Slow(u64),
    /// It answers what is no HTTP.
    Garbage,
    /// It answers 200 with a body of so many bytes.
    Huge(usize),
    /// It resets the connection without an answer.
    Reset,
    /// It resets the connection within its answer.
    ResetWithin,
    /// It closes connections as soon as they come.
    Closed,
}

struct State {
    mode: Mode,
    /// The requests whose records it has taken, by their names, and how often.
    taken: BTreeMap<String, usize>,
    batches: usize,
}

/// A collector on loopback.
pub struct Collector {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Collector {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is none.
    pub fn start() -> Result<Self> {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let state = State { mode: Mode::Well, taken: BTreeMap::new(), batches: 0 };
        let collector = Self { address: listener.local_addr()?, state: Arc::new(Mutex::new(state)) };
        let state = Arc::clone(&collector.state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                thread::spawn(move || drop(serve(stream, &state)));
            }
        });
        Ok(collector)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says how it answers from now on.
    pub fn set(&self, mode: Mode) {
        lock(&self.state).mode = mode;
    }

    /// The requests whose records it has taken so far, and how often.
    pub fn taken(&self) -> BTreeMap<String, usize> {
        lock(&self.state).taken.clone()
    }

    /// How many batches have come so far, whatever became of them.
    pub fn batches(&self) -> usize {
        lock(&self.state).batches
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> Result<()> {
    stream.set_nodelay(true)?;
    if lock(state).mode == Mode::Closed {
        return super::shop::reset(&stream);
    }
    let mut connection = Connection::new(stream);
    while let Some(message) = connection.read_request()? {
        // One mode for all of an answer, so that what is taken is what is answered.
        let mut now = lock(state);
        now.batches += 1;
        let mode = now.mode;
        if matches!(
            mode,
            Mode::Well | Mode::WellInGarbage | Mode::Partly(_) | Mode::Status(200..=299) | Mode::Huge(_)
        ) {
            for name in names(&message.body)? {
                *now.taken.entry(name).or_default() += 1;
            }
        }
        drop(now);
        if !answer(connection.writer(), mode)? {
            break;
        }
    }
    Ok(())
}

/// Answers; false where the connection is over.
fn answer(to: &mut TcpStream, mode: Mode) -> Result<bool> {
    match mode {
        Mode::Well => respond(to, 200, b"{}")?,
        Mode::WellInGarbage => respond(to, 200, b"\x00\xff{\"partialSuccess\":[[[[\xfe")?,
        Mode::Partly(count) => {
            let body = format!("{{\"partialSuccess\":{{\"rejectedLogRecords\":\"{count}\"}}}}");
            respond(to, 200, body.as_bytes())?;
        }
        // It has no body, nor a length of one.
        Mode::Status(204) => write_head(to, "HTTP/1.1 204 -", &Headers::new())?,
        Mode::Status(status) => respond(to, status, b"no")?,
        Mode::Slow(after) => {
            thread::sleep(Duration::from_millis(after));
            respond(to, 200, b"{}")?;
        }
        Mode::Huge(length) => respond(to, 200, &vec![b'['; length])?,
        Mode::Garbage => {
            to.write_all(b"\x16\x03\x01\x00\xff not HTTP at all \r\n\r\n")?;
            return Ok(false);
        }
        Mode::Reset | Mode::Closed => {
            super::shop::reset(to)?;
            return Ok(false);
        }
        Mode::ResetWithin => {
            to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")?;
            thread::sleep(Duration::from_millis(20));
            super::shop::reset(to)?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn respond(to: &mut TcpStream, status: u16, body: &[u8]) -> Result<()> {
    let length = Bytes::from(&body.len().to_string());
    let headers: Headers = vec![
        (Bytes::from("content-type"), Bytes::from("application/json")),
        (Bytes::from("content-length"), length),
    ];
    write_head(to, &format!("HTTP/1.1 {status} -"), &headers)?;
    Ok(to.write_all(body)?)
}

/// The names of the requests that a batch has records of.
fn names(body: &[u8]) -> Result<Vec<String>> {
    let body: Value = serde_json::from_slice(body)?;
    let records = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array();
    let name = |record: &Value| {
        let attributes = record["attributes"].as_array()?;
        let own = attributes
            .iter()
            .find(|attribute| attribute["key"].as_str().is_some_and(|key| key.ends_with("x_n")))?;
        Some(own["value"]["stringValue"].as_str()?.to_owned())
    };
    Ok(records.into_iter().flatten().map(|record| name(record).unwrap_or_default()).collect())
}
