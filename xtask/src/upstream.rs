//! An upstream that answers as it is told and remembers what it got. It serves scenarios, the demo and docker-compose alike.

use crate::http::{Connection, Message, write_chunk, write_head, write_last_chunk};
use anyhow::{Context as _, Result, bail};
use harness::{
    Bytes,
    scenario::{Cut, Headers, Response},
};
use serde::{Deserialize, Serialize};
use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// The most requests that are remembered; the count goes on.
const MEMORY: usize = 10_000;

/// A request as the upstream got it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The headers, the pseudo headers `:authority`, `:method` and `:path` among them.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// The trailers.
    pub trailers: Headers,
}

/// What an upstream answers from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    status: u16,
    headers: Headers,
    /// The body's parts, each with the pause before it in milliseconds. One is sent with its length, unless it is to be sent in chunks.
    chunks: Vec<(Bytes, u64)>,
    #[serde(default)]
    is_chunked: bool,
    #[serde(default)]
    trailers: Headers,
    /// How many milliseconds pass before the answer, and before its end.
    #[serde(default)]
    after_ms: u64,
    #[serde(default)]
    end_after_ms: u64,
    /// Where the connection is closed instead.
    #[serde(default)]
    cut: Option<Cut>,
}

/// An upstream of this process, on a port of loopback.
#[derive(Clone)]
pub struct Upstream {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    received: Vec<Received>,
    count: u64,
}

impl From<&Response> for Answer {
    fn from(response: &Response) -> Self {
        Self {
            status: response.status,
            headers: response.headers.clone(),
            chunks: response.chunks.iter().map(|chunk| (chunk.bytes.clone(), chunk.after_ms)).collect(),
            is_chunked: response.is_chunked || !response.trailers.is_empty(),
            trailers: response.trailers.clone(),
            after_ms: response.after_ms,
            end_after_ms: response.end_after_ms,
            cut: response.cut,
        }
    }
}

impl Upstream {
    /// Starts an upstream. Until it is told otherwise it is a small shop that says its name.
    pub fn start(name: &str, port: u16) -> Result<Self> {
        Self::listen(name, SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// As [`start`](Self::start), on any address.
    pub fn listen(name: &str, address: SocketAddr) -> Result<Self> {
        let listener = bind(address)?;
        let upstream = Self { address: listener.local_addr()?, state: Arc::default() };
        let body = format!("{{\"shop\":\"{name}\",\"products\":[\"oar\",\"sail\",\"float\"]}}\n");
        let mut shop = plain(200, body.into_bytes());
        shop.headers = vec![(Bytes::from("content-type"), Bytes::from("application/json"))];
        let state = Arc::clone(&upstream.state);
        serve(listener, move |message| answer(&state, &shop, message));
        Ok(upstream)
    }

    /// Lets another process say what is answered and ask what was received: `PUT /answer`, `GET /received`; and whether it is well: `GET /healthy`.
    #[allow(dead_code, reason = "the upstream in a container is told so; the one in this process is not")]
    pub fn control(&self, address: SocketAddr) -> Result<()> {
        let listener = bind(address)?;
        let upstream = self.clone();
        serve(listener, move |message| {
            let body = match (message.first[0].as_str(), message.first[1].as_str()) {
                ("PUT", "/answer") => match serde_json::from_slice(&message.body) {
                    Ok(answer) => {
                        upstream.set_answer(answer);
                        Vec::new()
                    }
                    Err(error) => return plain(400, error.to_string().into_bytes()),
                },
                ("GET", "/received") => serde_json::to_vec(&upstream.take_received()).unwrap_or_default(),
                ("GET", "/healthy") => Vec::new(),
                _ => return plain(404, Vec::new()),
            };
            plain(200, body)
        });
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says what is answered from now on.
    pub fn set_answer(&self, answer: Answer) {
        lock(&self.state).answer = Some(answer);
    }

    /// Lets it be the small shop again.
    pub fn reset(&self) {
        lock(&self.state).answer = None;
    }

    /// What was received since the last call.
    pub fn take_received(&self) -> Vec<Received> {
        std::mem::take(&mut lock(&self.state).received)
    }

    /// How many requests have come.
    pub fn count(&self) -> u64 {
        lock(&self.state).count
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens on an address.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
}

/// An answer with this body.
pub fn plain(status: u16, body: Vec<u8>) -> Answer {
    Answer {
        status,
        headers: Headers::new(),
        chunks: vec![(Bytes(body), 0)],
        is_chunked: false,
        trailers: Headers::new(),
        after_ms: 0,
        end_after_ms: 0,
        cut: None,
    }
}

fn answer(state: &Mutex<State>, shop: &Answer, message: Message) -> Answer {
    let mut state = lock(state);
    state.count += 1;
    if state.received.len() < MEMORY {
        let [method, target, _] = &message.first;
        let authority = message.header("host").unwrap_or_default().to_vec();
        let mut headers = vec![
            (Bytes::from(":authority"), Bytes(authority)),
            (Bytes::from(":method"), Bytes::from(method)),
            (Bytes::from(":path"), Bytes::from(target)),
        ];
        headers.extend(message.headers);
        state.received.push(Received { headers, body: Bytes(message.body), trailers: message.trailers });
    }
    state.answer.as_ref().unwrap_or(shop).clone()
}

/// Serves connections, each in a thread of its own, until the process ends.
pub fn serve(listener: TcpListener, handler: impl Fn(Message) -> Answer + Send + Sync + 'static) {
    let handler = Arc::new(handler);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handler = Arc::clone(&handler);
            // A connection that breaks is the client's affair.
            thread::spawn(move || drop(connection(stream, &*handler)));
        }
    });
}

fn connection(stream: TcpStream, handler: &dyn Fn(Message) -> Answer) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(stream);
    while let Some(message) = connection.read_request()? {
        if message.first[0].is_empty() {
            bail!("a request has no method");
        }
        let is_last = message.header("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        let has_body = message.first[0] != "HEAD";
        let answer = handler(message);
        let is_last = is_last || answer.cut.is_some();
        send(connection.writer(), answer, has_body)?;
        if is_last {
            break;
        }
    }
    Ok(())
}

/// Sends an answer, part by part.
fn send(to: &mut impl Write, answer: Answer, has_body: bool) -> Result<()> {
    let pause = |ms: u64| thread::sleep(Duration::from_millis(ms));
    let Answer { status, mut headers, mut chunks, is_chunked, trailers, after_ms, end_after_ms, cut } =
        answer;
    pause(after_ms);
    if cut == Some(Cut::BeforeHeaders) {
        return Ok(());
    }
    let length: usize = chunks.iter().map(|(bytes, _)| bytes.0.len()).sum();
    headers.push(if is_chunked {
        (Bytes::from("transfer-encoding"), Bytes::from("chunked"))
    } else {
        (Bytes::from("content-length"), Bytes::from(&length.to_string()))
    });
    // What is not paused for is written in one go.
    let mut response = Vec::new();
    write_head(&mut response, &format!("HTTP/1.1 {status} -"), &headers)?;
    if cut.is_some() {
        chunks.truncate(1);
    }
    if has_body {
        for (bytes, after_ms) in &chunks {
            if *after_ms > 0 {
                to.write_all(&std::mem::take(&mut response))?;
                pause(*after_ms);
            }
            if is_chunked {
                write_chunk(&mut response, &bytes.0)?;
            } else {
                response.extend(&bytes.0);
            }
        }
        if is_chunked && cut.is_none() {
            if end_after_ms > 0 {
                to.write_all(&std::mem::take(&mut response))?;
                pause(end_after_ms);
            }
            write_last_chunk(&mut response, &trailers)?;
        }
    }
    Ok(to.write_all(&response)?)
}
