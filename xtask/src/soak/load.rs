//! A load on a listener: the soak's requests as bytes, one behind the other on each of a few connections, and how long each took.

use super::traffic::{MARK, Traffic};
use anyhow::{Context as _, Result, bail, ensure};
use harness::scenario::Request;
use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// How many requests are made; they are sent over and over, each time by other users.
const MADE: usize = 20_000;
/// The connections, and so the requests that are under way at once.
const CONNECTIONS: usize = 8;
/// What a filter answers in the shop's place.
const DENIED: u16 = 403;

/// A request as bytes.
struct Wire {
    bytes: Vec<u8>,
    /// Where a number of eight digits goes.
    marks: Vec<usize>,
    /// What the shop answers.
    status: u16,
    made: BTreeMap<String, u64>,
}

/// The requests that are sent.
pub struct Load(Vec<Wire>);

/// What came of a part of a load.
#[derive(Debug, Default)]
pub struct Slice {
    /// How long each request took, in microseconds, sorted.
    pub micros: Vec<u32>,
    /// How many a filter has answered.
    pub denied: u64,
    /// What was answered otherwise than by the shop and by a denial.
    pub wrong: Vec<String>,
}

impl Slice {
    /// The time that so many of a hundred requests stay below.
    pub fn percentile(&self, percent: usize) -> f64 {
        let place = (self.micros.len() * percent / 100).min(self.micros.len().saturating_sub(1));
        self.micros.get(place).copied().unwrap_or_default().into()
    }
}

impl Load {
    /// Makes the requests.
    pub fn new() -> Self {
        let mut traffic = Traffic::marked(7);
        let mut wire = || {
            let exchange = traffic.next();
            let bytes = on_the_wire(&exchange.request);
            let marks = bytes.windows(MARK.len()).enumerate().filter(|(_, part)| *part == MARK.as_bytes());
            let marks = marks.map(|(place, _)| place).collect();
            Wire { bytes, marks, status: exchange.response.status, made: traffic.take_made() }
        };
        Self((0..MADE).map(|_| wire()).collect())
    }

    /// How many of each kind are among the first so many.
    pub fn made(&self, count: usize) -> BTreeMap<String, u64> {
        let mut made = BTreeMap::new();
        for (number, wire) in self.0.iter().enumerate() {
            let times = count / MADE + usize::from(number < count % MADE);
            for (kind, count) in &wire.made {
                *made.entry(kind.clone()).or_default() += count * times as u64;
            }
        }
        made
    }

    /// Sends the requests from one number to before another.
    ///
    /// # Errors
    /// Envoy does not answer.
    pub fn send(&self, listener: SocketAddr, first: usize, end: usize) -> Result<Slice> {
        let work = |connection: usize| {
            let (begin, end) = (
                first + (end - first) * connection / CONNECTIONS,
                first + (end - first) * (connection + 1) / CONNECTIONS,
            );
            self.send_on_one(listener, begin, end)
        };
        let parts: Vec<Result<Slice>> = thread::scope(|scope| {
            let spawned: Vec<_> =
                (0..CONNECTIONS).map(|connection| scope.spawn(move || work(connection))).collect();
            spawned
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|_| bail!("a connection's thread has ended")))
                .collect()
        });
        let mut all = Slice::default();
        for part in parts {
            let part = part?;
            all.micros.extend(part.micros);
            all.denied += part.denied;
            all.wrong.extend(part.wrong);
        }
        all.micros.sort_unstable();
        Ok(all)
    }

    fn send_on_one(&self, listener: SocketAddr, first: usize, end: usize) -> Result<Slice> {
        let mut client = Client::open(listener)?;
        let mut slice = Slice::default();
        let mut bytes = Vec::new();
        for number in first..end {
            let wire = self.0.get(number % MADE).context("no such request")?;
            bytes.clear();
            bytes.extend_from_slice(&wire.bytes);
            let digits = format!("{:08}", number % 100_000_000);
            for mark in &wire.marks {
                if let Some(place) = bytes.get_mut(*mark..mark + MARK.len()) {
                    place.copy_from_slice(digits.as_bytes());
                }
            }
            let begun = Instant::now();
            let (status, is_last) = client.exchange(&bytes)?;
            slice.micros.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
            if status == DENIED {
                slice.denied += 1;
            } else if status != wire.status {
                slice.wrong.push(format!("request {number} was answered {status}, not {}", wire.status));
            }
            if is_last {
                client = Client::open(listener)?;
            }
        }
        Ok(slice)
    }
}

/// The request as HTTP/1.1 has it.
fn on_the_wire(request: &Request) -> Vec<u8> {
    let mut bytes =
        format!("{} {} HTTP/1.1\r\nhost: {}\r\n", request.method, request.path, request.authority)
            .into_bytes();
    for (name, value) in &request.headers {
        bytes.extend([&name.0[..], b": ", &value.0[..], b"\r\n"].concat());
    }
    let length: usize = request.chunks.iter().map(|chunk| chunk.bytes.0.len()).sum();
    if request.is_chunked {
        bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in &request.chunks {
            bytes.extend(format!("{:x}\r\n", chunk.bytes.0.len()).as_bytes());
            bytes.extend([&chunk.bytes.0[..], b"\r\n"].concat());
        }
        bytes.extend(b"0\r\n\r\n");
    } else {
        if length > 0 {
            bytes.extend(format!("content-length: {length}\r\n").as_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(request.chunks.iter().flat_map(|chunk| &chunk.bytes.0));
    }
    bytes
}

/// A connection.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    length: usize,
}

impl Client {
    fn open(listener: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(listener)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 64 << 10], length: 0 })
    }

    /// Sends a request; gives the answer's status, and whether Envoy closes the connection behind it.
    fn exchange(&mut self, request: &[u8]) -> Result<(u16, bool)> {
        self.stream.write_all(request)?;
        self.length = 0;
        loop {
            let space = self.buffer.get_mut(self.length..).unwrap_or_default();
            let read = self.stream.read(space).context("no answer")?;
            ensure!(read > 0, "Envoy closed the connection in an answer");
            self.length += read;
            if let Some(answer) = answer(self.buffer.get(..self.length).unwrap_or_default())? {
                return Ok(answer);
            }
        }
    }
}

/// The status of a whole answer, and whether it is the connection's last.
fn answer(bytes: &[u8]) -> Result<Option<(u16, bool)>> {
    let mut space = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut space);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    let header = |name: &str| {
        let mut all = response.headers.iter();
        let found = all.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    ensure!(header("transfer-encoding").is_none(), "an answer came in chunks, and the shop's have a length");
    let length: usize = header("content-length").map_or(Ok(0), str::parse)?;
    let is_whole = bytes.len() >= head + length;
    let is_last = header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(is_whole.then_some((response.code.unwrap_or(0), is_last)))
}
