//! An upstream that fails as a request asks it to, and knows what it got.

use crate::{
    http::{Connection, write_chunk, write_head, write_last_chunk},
    upstream::bind,
};
use anyhow::Result;
use harness::{Bytes, scenario::Headers};
use socket2::SockRef;
use std::{
    collections::BTreeMap,
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// The header that says how the upstream fails.
pub const FAULT: &str = "x-fault";
/// The header with a request's own name.
pub const NAME: &str = "x-n";
/// The length of an answer that breaks off, as its head has it.
const PROMISED: usize = 1000;
/// Between what was written and the end of the connection: what was written has arrived by then.
const PAUSE: Duration = Duration::from_millis(40);

/// What came of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// How often its head came.
    pub heads: usize,
    /// The length of its body, when the whole of it came.
    pub body: Option<usize>,
    /// How many trailers came behind it.
    pub trailers: usize,
    /// The length of its headers: names and values.
    pub headers: usize,
}

/// The upstream.
pub struct Shop {
    address: SocketAddr,
    taken: Arc<Mutex<BTreeMap<String, Taken>>>,
}

impl Shop {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// There is none.
    pub fn start() -> Result<Self> {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let shop = Self { address: listener.local_addr()?, taken: Arc::default() };
        let taken = Arc::clone(&shop.taken);
        thread::spawn(move || serve(&listener, &taken));
        Ok(shop)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came since the last call, by the names of requests.
    pub fn take(&self) -> BTreeMap<String, Taken> {
        std::mem::take(&mut lock(&self.taken))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(listener: &TcpListener, taken: &Arc<Mutex<BTreeMap<String, Taken>>>) {
    for stream in listener.incoming().flatten() {
        let taken = Arc::clone(taken);
        // A connection that breaks is what is tried here.
        thread::spawn(move || drop(connection(stream, &taken)));
    }
}

fn connection(stream: TcpStream, taken: &Mutex<BTreeMap<String, Taken>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(stream);
    while let Some(mut message) = connection.read_request_head()? {
        let text =
            |name: &str| String::from_utf8_lossy(message.header(name).unwrap_or_default()).into_owned();
        let (name, fault) = (text(NAME), text(FAULT));
        let headers = message.headers.iter().map(|(name, value)| name.0.len() + value.0.len()).sum();
        {
            let mut taken = lock(taken);
            let own = taken.entry(name.clone()).or_default();
            own.heads += 1;
            own.headers = headers;
        }
        if fault == "early" {
            answer(&mut connection, "early")?;
        }
        connection.read_request_body(&mut message)?;
        if let Some(own) = lock(taken).get_mut(&name) {
            own.body = Some(message.body.len());
            own.trailers = message.trailers.len();
        }
        if fault != "early" && !answer(&mut connection, &fault)? {
            break;
        }
    }
    Ok(())
}

/// Answers as it is asked to; false where the connection is over.
fn answer(connection: &mut Connection, fault: &str) -> Result<bool> {
    let (what, how) = fault.split_once(' ').unwrap_or((fault, ""));
    let number = || how.parse::<usize>().unwrap_or(0);
    let to = connection.writer();
    match what {
        "before" => return end(to, how),
        "after" | "within" => {
            head(to, &[("content-length", &PROMISED.to_string())])?;
            if what == "within" {
                to.write_all(&vec![b'x'; PROMISED / 2])?;
            }
            thread::sleep(PAUSE);
            return end(to, how);
        }
        "chunked" => {
            head(to, &[("transfer-encoding", "chunked")])?;
            write_chunk(to, b"half of it")?;
            thread::sleep(PAUSE);
            return end(to, how);
        }
        // Half of an answer, so many milliseconds before the other.
        "stall" => {
            head(to, &[("content-length", &PROMISED.to_string())])?;
            let half = vec![b'x'; PROMISED / 2];
            to.write_all(&half)?;
            thread::sleep(Duration::from_millis(u64::try_from(number())?));
            to.write_all(&half)?;
        }
        "garbage" => {
            to.write_all(b"\x00\xff\x16\x03 what is this\r\n\r\n")?;
            thread::sleep(PAUSE);
            return Ok(false);
        }
        "late" => {
            thread::sleep(Duration::from_millis(u64::try_from(number())?));
            whole(to, b"late\n")?;
        }
        // So many headers, or one of so many bytes.
        "headers" => {
            let names: Vec<String> = (0..number()).map(|place| format!("x-more-{place}")).collect();
            let mut headers = vec![("content-length", "0")];
            headers.extend(names.iter().map(|name| (name.as_str(), "1")));
            head(to, &headers)?;
        }
        "header" => head(to, &[("content-length", "0"), ("x-long", &"v".repeat(number()))])?,
        // A body of so many bytes, each in a chunk of its own, and trailers.
        "trickle" => {
            // Made once, and before the head: it takes longer than to send it.
            static MADE: Mutex<BTreeMap<usize, Arc<[u8]>>> = Mutex::new(BTreeMap::new());
            let body =
                Arc::clone(lock(&MADE).entry(number()).or_insert_with(|| chunks(&json(number())).into()));
            head(to, &[("transfer-encoding", "chunked"), ("content-type", "application/json")])?;
            to.write_all(&body)?;
            write_last_chunk(to, &vec![(Bytes::from("x-sum"), Bytes::from("1"))])?;
        }
        _ => whole(to, b"ok\n")?,
    }
    Ok(true)
}

/// Ends a connection by `reset`, or else in order.
fn end(stream: &TcpStream, how: &str) -> Result<bool> {
    if how == "reset" {
        reset(stream)?;
    }
    Ok(false)
}

/// Lets a connection end by a reset, when it is dropped.
pub fn reset(stream: &TcpStream) -> Result<()> {
    Ok(SockRef::from(stream).set_linger(Some(Duration::ZERO))?)
}

fn whole(to: &mut TcpStream, body: &[u8]) -> Result<()> {
    head(to, &[("content-length", &body.len().to_string())])?;
    Ok(to.write_all(body)?)
}

fn head(to: &mut TcpStream, headers: &[(&str, &str)]) -> Result<()> {
    let headers: Headers =
        headers.iter().map(|(name, value)| (Bytes::from(*name), Bytes::from(*value))).collect();
    Ok(write_head(to, "HTTP/1.1 200 -", &headers)?)
}

/// A JSON object of so many bytes.
pub fn json(length: usize) -> Vec<u8> {
    let (begin, end) = (r#"{"amount":7,"order":{"id":"blue"},"note":""#, r#""}"#);
    // Words: a run of one letter is read as base64, of base64, and so on.
    let room = length.saturating_sub(begin.len() + end.len());
    let note: String = "all is well. ".chars().cycle().take(room).collect();
    [begin, &note, end].concat().into_bytes()
}

/// A body with each byte in a chunk of its own, without the last chunk.
pub fn chunks(body: &[u8]) -> Vec<u8> {
    body.iter().flat_map(|byte| [b'1', b'\r', b'\n', *byte, b'\r', b'\n']).collect()
}
