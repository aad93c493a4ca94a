//! A caller's connection: the proxy protocol, TLS with its certificate, and requests byte for byte.

use super::{
    identity::{Credentials, IDENTITIES},
    request::{Caller, Request},
};
use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};
use serde_json::{Value, json};
use sha2::Sha256;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// The key that tokens are signed with.
pub const KEY: &[u8] = b"a key of thirty-two bytes for us";
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 if the connection was closed without one.
    pub status: u16,
    /// What decided, as the listener's Envoy calls it.
    pub details: String,
    /// Whether an AUDIT policy matched.
    pub audited: bool,
    /// Whether the trace of the decision came with it.
    pub explained: bool,
    /// The body.
    pub body: Vec<u8>,
}

/// A listener on the loopback of either family, where this machine has both.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    /// Of IPv4.
    pub v4: SocketAddr,
    /// Of IPv6.
    pub v6: Option<SocketAddr>,
}

/// A connection, in the clear or not.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A caller at a listener; it connects when it sends, and again after the server has closed.
pub struct Client<'a> {
    caller: &'a Caller,
    credentials: &'a Credentials,
    listener: Listener,
    stream: Option<Box<dyn Stream>>,
    buffer: Vec<u8>,
}

impl<'a> Client<'a> {
    /// A caller that has not yet connected.
    pub fn new(caller: &'a Caller, credentials: &'a Credentials, listener: Listener) -> Self {
        Self { caller, credentials, listener, stream: None, buffer: Vec::new() }
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// No connection can be made, or there is no answer in time.
    pub fn send(&mut self, request: &Request) -> Result<Answer> {
        let was_open = self.stream.is_some();
        let answer = self.try_send(request)?;
        // The server may have closed between two requests; then nothing of this one has been answered.
        if answer.status == 0 && was_open { self.try_send(request) } else { Ok(answer) }
    }

    /// Forgets the connection.
    pub fn reset(&mut self) {
        self.stream = None;
    }

    fn try_send(&mut self, request: &Request) -> Result<Answer> {
        if self.stream.is_none() {
            self.stream = Some(connect(self.caller, self.credentials, self.listener)?);
            self.buffer.clear();
        }
        let Some(stream) = &mut self.stream else { bail!("there is no connection") };
        let bytes = request.bytes();
        if stream.write_all(&bytes).and_then(|()| stream.flush()).is_err() {
            self.stream = None;
            return Ok(Answer::default());
        }
        let (answer, is_last) = read(stream.as_mut(), &mut self.buffer, request.method == "HEAD")?;
        if is_last || request.method == "CONNECT" {
            self.stream = None;
        }
        Ok(answer)
    }
}

impl Request {
    /// The bytes that are sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} ", self.method).into_bytes();
        bytes.extend(&self.target);
        bytes.extend(b" HTTP/1.1\r\n");
        for (name, value) in &self.headers {
            for part in [&name.0[..], b": ", &value.0, b"\r\n"] {
                bytes.extend(part);
            }
        }
        if let Some(claims) = &self.claims {
            bytes.extend(format!("authorization: Bearer {}\r\n", token(claims, self.is_forged)).bytes());
        }
        bytes.extend(b"\r\n");
        bytes
    }
}

fn token(claims: &Value, is_forged: bool) -> String {
    token_of(&json!({"alg": "HS256", "typ": "JWT", "kid": "k"}), claims, is_forged)
}

/// A token with this head, signed with the key that is known, or with another.
pub fn token_of(head: &Value, claims: &Value, is_forged: bool) -> String {
    let head = URL_SAFE_NO_PAD.encode(head.to_string());
    let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key: &[u8] = if is_forged { b"another" } else { KEY };
    // A key of any length is taken.
    let signature = Hmac::<Sha256>::new_from_slice(key).map(|mut mac| {
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    });
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.unwrap_or_default()))
}

/// Connects as a caller.
///
/// # Errors
/// No connection can be made.
pub fn connect(caller: &Caller, credentials: &Credentials, listener: Listener) -> Result<Box<dyn Stream>> {
    let peer =
        if caller.peer.is_ipv6() && listener.v6.is_none() { Ipv4Addr::LOCALHOST.into() } else { caller.peer };
    let (domain, listener) = match listener.v6.filter(|_| peer.is_ipv6()) {
        Some(v6) => (Domain::IPV6, v6),
        None => (Domain::IPV4, listener.v4),
    };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((peer, 0)).into()).with_context(|| format!("cannot come from {peer}"))?;
    socket
        .connect_timeout(&listener.into(), PATIENCE)
        .with_context(|| format!("cannot connect to {listener}"))?;
    let mut stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (source, destination) = (caller.source, caller.destination);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    write!(stream, "PROXY {family} {source} {} 40000 {}\r\n", destination.ip(), destination.port())?;
    let Some(place) = caller.identity else { return Ok(Box::new(stream)) };
    let config = credentials
        .client(place.min(IDENTITIES.len()), caller.sni.is_some())
        .context("there is no such identity")?;
    let name = caller.sni.clone().unwrap_or_else(|| "localhost".to_owned());
    let connection = ClientConnection::new(config, ServerName::try_from(name)?)?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

/// Reads an answer, and whether the connection ends with it.
///
/// # Errors
/// There is no answer in time, or it is no HTTP.
pub fn read(stream: &mut dyn Stream, buffer: &mut Vec<u8>, has_no_body: bool) -> Result<(Answer, bool)> {
    loop {
        let mut space = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut space);
        if let httparse::Status::Complete(length) = response.parse(buffer)? {
            let value = |name: &str| {
                let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                header.map(|header| String::from_utf8_lossy(header.value).into_owned())
            };
            let mut answer = Answer {
                status: response.code.unwrap_or_default(),
                details: value("x-details").unwrap_or_default(),
                audited: value("x-audited").is_some_and(|value| value == "true"),
                explained: value("x-outrigger-explain").is_some(),
                body: Vec::new(),
            };
            let is_last = value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            let body = value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            let all = length + if has_no_body { 0 } else { body };
            while buffer.len() < all && fill(stream, buffer)? {}
            answer.body = buffer.drain(..all.min(buffer.len())).skip(length).collect();
            return Ok((answer, is_last));
        }
        if !fill(stream, buffer)? {
            return Ok((Answer::default(), true));
        }
    }
}

/// Reads what there is; false at the end, however it came.
///
/// # Errors
/// Nothing came in time.
pub fn fill(stream: &mut dyn Stream, buffer: &mut Vec<u8>) -> Result<bool> {
    let mut part = [0; 4096];
    match stream.read(&mut part) {
        Ok(count) => {
            buffer.extend(part.iter().take(count));
            Ok(count > 0)
        }
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
        {
            Err(error).context("no answer in time")
        }
        Err(_) => Ok(false),
    }
}
