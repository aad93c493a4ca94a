//! A gRPC server that answers as a scenario says.

use crate::scenario::{GrpcAnswers, Headers};
use bytes::{Buf as _, Bytes, BytesMut};
use h2::{
    RecvStream,
    server::{self, SendResponse},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    runtime,
    sync::{mpsc, oneshot},
    time::{self, Instant},
};

/// What stands before each message: a byte of flags and the length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// How many of a client's messages wait for their answers. Further ones are left to HTTP/2's flow control.
const WAITING: usize = 64;

/// A server on loopback. It ends when this is dropped.
pub(super) struct Server {
    address: SocketAddr,
    /// When it is dropped the server's thread ends.
    _end: oneshot::Sender<()>,
}

/// What it answers, ready to be sent.
struct Answers {
    initial: HeaderMap,
    messages: Vec<Bytes>,
    trailers: HeaderMap,
    delay: Duration,
}

/// What came from a client: a message, the end of its side, or both.
struct Part {
    since: Instant,
    has_message: bool,
    is_last: bool,
}

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    /// There is no port to be had, or the metadata cannot be sent.
    pub(super) fn start(answers: &GrpcAnswers) -> io::Result<Self> {
        let answers = Arc::new(Answers::new(answers)?);
        // One thread, so that calls are answered in the order in which they came.
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("grpc-mock".to_owned()).spawn(move || {
            let _guard = runtime.enter();
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                runtime.spawn(async move {
                    while let Ok((socket, _)) = listener.accept().await {
                        tokio::spawn(serve(socket, Arc::clone(&answers)));
                    }
                });
            }
            // An error only says that the sender is gone.
            let _: Result<(), _> = runtime.block_on(ended);
        })?;
        Ok(Self { address, _end: end })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Answers {
    fn new(answers: &GrpcAnswers) -> io::Result<Self> {
        let mut initial = HeaderMap::new();
        initial.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        add(&mut initial, &answers.initial)?;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(answers.status));
        if !answers.message.is_empty() {
            let message = HeaderValue::try_from(answers.sent_message()).map_err(io::Error::other)?;
            trailers.insert("grpc-message", message);
        }
        add(&mut trailers, &answers.trailers)?;
        Ok(Self {
            initial,
            messages: answers.messages.iter().map(|message| framed(&message.0)).collect::<io::Result<_>>()?,
            trailers,
            delay: Duration::from_millis(answers.delay_ms),
        })
    }

    /// The response's head; one without messages has the trailers in it.
    fn head(&self, is_all: bool) -> Response<()> {
        let mut response = Response::new(());
        response.headers_mut().extend(self.initial.clone());
        if is_all {
            response.headers_mut().extend(self.trailers.clone());
        }
        response
    }
}

fn add(map: &mut HeaderMap, headers: &Headers) -> io::Result<()> {
    for (name, value) in headers {
        let name = HeaderName::from_bytes(&name.0).map_err(io::Error::other)?;
        map.append(name, HeaderValue::from_bytes(&value.0).map_err(io::Error::other)?);
    }
    Ok(())
}

fn framed(message: &[u8]) -> io::Result<Bytes> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    Ok([&[0], &length.to_be_bytes()[..], message].concat().into())
}

/// Serves a connection until its client leaves.
async fn serve(socket: TcpStream, answers: Arc<Answers>) {
    let Ok(mut connection) = server::handshake(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            // Whoever breaks off a call gets no answer.
            let _ = answer(request, respond, &answers).await;
        });
    }
}

/// Answers a call: each message by the next one, and the trailers when there are no further ones, or the client has ended.
async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    answers: &Answers,
) -> Result<(), h2::Error> {
    let (sender, mut parts) = mpsc::channel(WAITING);
    // It reads on while answers wait, since each has its delay from when its message came.
    tokio::spawn(read(request.into_body(), sender));
    let mut messages = answers.messages.iter();
    let mut stream = None;
    loop {
        let Some(part) = parts.recv().await else { return Ok(()) };
        time::sleep_until(part.since + answers.delay).await;
        if let Some(message) = messages.next().filter(|_| part.has_message) {
            let stream = match &mut stream {
                Some(stream) => stream,
                None => stream.insert(respond.send_response(answers.head(false), false)?),
            };
            stream.send_data(message.clone(), false)?;
        }
        if part.is_last || messages.len() == 0 {
            break;
        }
    }
    match stream {
        Some(mut stream) => stream.send_trailers(answers.trailers.clone()),
        None => respond.send_response(answers.head(true), true).map(drop),
    }
}

/// Reads a client's messages until it ends, also behind the server's own end, so that nobody is broken off.
async fn read(mut body: RecvStream, parts: mpsc::Sender<Part>) {
    let mut buffer = BytesMut::new();
    loop {
        let is_over = match body.data().await {
            Some(Ok(data)) => {
                buffer.extend_from_slice(&data);
                if body.flow_control().release_capacity(data.len()).is_err() {
                    return;
                }
                body.is_end_stream()
            }
            Some(Err(_)) => return,
            None => true,
        };
        let since = Instant::now();
        let mut has_message = take(&mut buffer);
        loop {
            let has_further = has_message && take(&mut buffer);
            let part = Part { since, has_message, is_last: is_over && !has_further };
            if (part.has_message || part.is_last) && parts.send(part).await.is_err() {
                break;
            }
            if !has_further {
                break;
            }
            has_message = has_further;
        }
        if is_over {
            return;
        }
    }
}

/// Takes a whole message out of what has been read. False when there is none yet.
fn take(buffer: &mut BytesMut) -> bool {
    let Some(length) = buffer.get(1..PREFIX).and_then(|bytes| bytes.first_chunk()) else { return false };
    let size = PREFIX.saturating_add(u32::from_be_bytes(*length) as usize);
    if buffer.len() < size {
        return false;
    }
    buffer.advance(size);
    true
}

#[cfg(test)]
mod tests {
    use super::{GrpcAnswers, Server};
    use bytes::Bytes;
    use h2::client;
    use http::Request;
    use tokio::{net::TcpStream, runtime};

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    /// What a client gets that sends these bytes: headers, body, trailers.
    #[track_caller]
    fn check(answers: &GrpcAnswers, sent: &[&[u8]], expected: (Pairs<'_>, &[u8], Pairs<'_>)) {
        let server = Server::start(answers).unwrap();
        let runtime = runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let pairs = |map: &http::HeaderMap| -> Vec<(String, String)> {
            map.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
        };
        let owned = |list: Pairs<'_>| -> Vec<(String, String)> {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        runtime.block_on(async {
            let (client, connection) =
                client::handshake(TcpStream::connect(server.address()).await.unwrap()).await.unwrap();
            tokio::spawn(connection);
            let mut client = client.ready().await.unwrap();
            let request = Request::post("http://a/s/m").body(()).unwrap();
            let (response, mut stream) = client.send_request(request, false).unwrap();
            for part in sent {
                stream.send_data(Bytes::copy_from_slice(part), false).unwrap();
            }
            stream.send_data(Bytes::new(), true).unwrap();
            let response = response.await.unwrap();
            assert_eq!(pairs(response.headers()), owned(expected.0));
            let mut body = response.into_body();
            let mut bytes = Vec::new();
            while let Some(data) = body.data().await {
                bytes.extend(data.unwrap());
            }
            assert_eq!(bytes, expected.1);
            let trailers = body.trailers().await.unwrap().unwrap_or_default();
            assert_eq!(pairs(&trailers), owned(expected.2));
        });
    }

    fn two() -> GrpcAnswers {
        let header = |name: &str, value: &str| (name.into(), value.into());
        GrpcAnswers {
            initial: vec![header("x-a", "1")],
            messages: vec!["one".into(), "two".into()],
            trailers: vec![header("x-b", "2")],
            status: 5,
            message: "50% \u{e9}".to_owned(),
            delay_ms: 1,
        }
    }

    const TYPE: (&str, &str) = ("content-type", "application/grpc");
    const END: [(&str, &str); 3] = [("grpc-status", "5"), ("grpc-message", "50%25 %C3%A9"), ("x-b", "2")];

    #[test]
    fn each_message_is_answered_by_the_next_one() {
        let head = [TYPE, ("x-a", "1")];
        check(&two(), &[b"\0\0\0\0\x01a"], (&head, b"\0\0\0\0\x03one", &END));
        let both = b"\0\0\0\0\x03one\0\0\0\0\x03two";
        check(&two(), &[b"\0\0\0\0\0\0\0\0\0\0"], (&head, both, &END));
        // Messages that come in parts, and one more than there are answers.
        check(&two(), &[b"\0\0\0", b"\0\x02a", b"b\0\0\0\0\0\0\0", b"\0\0\x01c"], (&head, both, &END));
    }

    #[test]
    fn who_sends_no_message_or_gets_none_has_all_in_one() {
        let all = [&[TYPE, ("x-a", "1")][..], &END].concat();
        check(&two(), &[], (&all, b"", &[]));
        check(&GrpcAnswers { messages: Vec::new(), ..two() }, &[b"\0\0\0\0\0"], (&all, b"", &[]));
    }
}
