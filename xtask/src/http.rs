//! HTTP/1.1 on a socket, byte for byte: what a scenario sends must arrive as it is written, well-formed or not.

use anyhow::{Context as _, Result, bail};
use harness::{Bytes, scenario::Headers};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// The most bytes of a head, of a body and of a header count: enough for any scenario.
const HEAD_LIMIT: usize = 1 << 20;
const HEADER_LIMIT: usize = 4096;

/// A request or a response.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The words of the first line: method, target, version, or version, status, reason.
    pub first: [String; 3],
    /// The headers, in order, as they were sent.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Headers,
}

impl Message {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .find(|(other, _)| other.0.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.0.as_slice())
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        self.first[1].parse().ok()
    }
}

/// Writes a head: the first line and the headers.
pub fn write_head(to: &mut impl Write, first: &str, headers: &Headers) -> std::io::Result<()> {
    let mut head = first.as_bytes().to_vec();
    head.extend(b"\r\n");
    for (name, value) in headers {
        for part in [&name.0[..], b": ", &value.0, b"\r\n"] {
            head.extend(part);
        }
    }
    head.extend(b"\r\n");
    to.write_all(&head)
}

/// Writes a part of a body that is sent in chunks; an empty part is left out.
pub fn write_chunk(to: &mut impl Write, chunk: &[u8]) -> std::io::Result<()> {
    if chunk.is_empty() {
        return Ok(());
    }
    to.write_all(&[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
}

/// Writes the end of a body that was sent in chunks.
pub fn write_last_chunk(to: &mut impl Write, trailers: &Headers) -> std::io::Result<()> {
    write_head(to, "0", trailers)
}

/// A connection on which messages are read one after the other.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to a server, for reads of at most `timeout`.
    pub fn open(address: SocketAddr, timeout: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, timeout)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream))
    }

    /// Takes a connection that is open.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Where bytes are written to.
    pub fn writer(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends a request with a body of known length and reads the response.
    pub fn exchange(
        &mut self,
        method: &str,
        target: &str,
        headers: &Headers,
        body: &[u8],
    ) -> Result<Message> {
        let mut headers = headers.clone();
        if !body.is_empty() {
            headers.push((Bytes::from("content-length"), Bytes::from(&body.len().to_string())));
        }
        write_head(&mut self.stream, &format!("{method} {target} HTTP/1.1"), &headers)?;
        self.stream.write_all(body)?;
        self.read_response(method)
    }

    /// Reads a request; none at the end of the connection.
    pub fn read_request(&mut self) -> Result<Option<Message>> {
        let Some(mut message) = self.read_request_head()? else { return Ok(None) };
        self.read_request_body(&mut message)?;
        Ok(Some(message))
    }

    /// Reads what follows the head of a request.
    pub fn read_request_body(&mut self, message: &mut Message) -> Result<()> {
        self.read_body(message, false)
    }

    /// Reads the head of a request; none at the end of the connection.
    pub fn read_request_head(&mut self) -> Result<Option<Message>> {
        let (length, message) = loop {
            let mut space = vec![httparse::EMPTY_HEADER; HEADER_LIMIT];
            let mut request = httparse::Request::new(&mut space);
            if let httparse::Status::Complete(length) = request.parse(&self.buffer)? {
                let first = [request.method, request.path].map(|word| word.unwrap_or_default().to_owned());
                let [method, target] = first;
                break (
                    length,
                    Message {
                        first: [method, target, "HTTP/1.1".to_owned()],
                        headers: owned(request.headers),
                        ..Message::default()
                    },
                );
            }
            if !self.fill()? {
                return Ok(None);
            }
        };
        self.buffer.drain(..length);
        Ok(Some(message))
    }

    /// Reads a response.
    pub fn read_response(&mut self, method: &str) -> Result<Message> {
        let mut message = self.read_response_head()?;
        self.read_response_body(method, &mut message)?;
        Ok(message)
    }

    /// Reads the head of a response.
    pub fn read_response_head(&mut self) -> Result<Message> {
        let (length, message) = loop {
            let mut space = vec![httparse::EMPTY_HEADER; HEADER_LIMIT];
            let mut response = httparse::Response::new(&mut space);
            if let httparse::Status::Complete(length) = response.parse(&self.buffer)? {
                let status = response.code.unwrap_or_default().to_string();
                let first = ["HTTP/1.1".to_owned(), status, response.reason.unwrap_or_default().to_owned()];
                break (length, Message { first, headers: owned(response.headers), ..Message::default() });
            }
            if !self.fill()? {
                bail!("the server closed the connection without a response");
            }
        };
        self.buffer.drain(..length);
        Ok(message)
    }

    /// Reads what follows the head of a response.
    pub fn read_response_body(&mut self, method: &str, message: &mut Message) -> Result<()> {
        let has_no_body = method == "HEAD" || matches!(message.status(), Some(100..=199 | 204 | 304));
        if has_no_body { Ok(()) } else { self.read_body(message, true) }
    }

    fn read_body(&mut self, message: &mut Message, to_the_end: bool) -> Result<()> {
        if message.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
            return self.read_chunks(message);
        }
        let length =
            message.header("content-length").map(|text| String::from_utf8_lossy(text).parse::<usize>());
        match length.transpose()? {
            Some(length) => message.body = self.take(length)?,
            None if to_the_end => {
                while self.fill()? {}
                message.body = std::mem::take(&mut self.buffer);
            }
            None => {}
        }
        Ok(())
    }

    fn read_chunks(&mut self, message: &mut Message) -> Result<()> {
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((used, size))) => {
                    self.buffer.drain(..used);
                    if size == 0 {
                        break;
                    }
                    message.body.extend(self.take(usize::try_from(size)?)?);
                    self.take(2)?;
                }
                Ok(httparse::Status::Partial) => {
                    if !self.fill()? {
                        bail!("the connection ended in a body");
                    }
                }
                Err(_) => bail!("a chunk has no size"),
            }
        }
        loop {
            let mut space = vec![httparse::EMPTY_HEADER; HEADER_LIMIT];
            if let httparse::Status::Complete((used, trailers)) =
                httparse::parse_headers(&self.buffer, &mut space)?
            {
                message.trailers = owned(trailers);
                self.buffer.drain(..used);
                return Ok(());
            }
            if !self.fill()? {
                bail!("the connection ended in trailers");
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.fill()? {
                bail!("the connection ended in a body");
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Reads what there is; false at the end.
    fn fill(&mut self) -> Result<bool> {
        let mut part = [0; 16 << 10];
        let count = self.stream.read(&mut part)?;
        if self.buffer.len() > HEAD_LIMIT * 16 {
            bail!("a message is larger than {} bytes", HEAD_LIMIT * 16);
        }
        self.buffer.extend(part.iter().take(count));
        Ok(count > 0)
    }
}

fn owned(headers: &[httparse::Header<'_>]) -> Headers {
    headers.iter().map(|header| (Bytes::from(header.name), Bytes::from(header.value))).collect()
}

/// A `GET` on a connection of its own; the body of the answer.
pub fn get(address: SocketAddr, target: &str) -> Result<Vec<u8>> {
    let headers = [("host", "localhost"), ("connection", "close")]
        .map(|(name, value)| (Bytes::from(name), Bytes::from(value)));
    let mut connection = Connection::open(address, Duration::from_secs(5))?;
    let response = connection.exchange("GET", target, &headers.to_vec(), b"")?;
    if response.status() == Some(200) {
        Ok(response.body)
    } else {
        bail!("{target} answered {}", response.first[1])
    }
}
