//! A registry of a few lines, and the ways in which one can be wrong.

use serde_json::json;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What is wrong with a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// It answers 500 to all.
    Fails,
    /// It takes connections and closes them.
    Closes,
    /// It answers with bytes that are no HTTP.
    NoHttp,
    /// It answers 200 with a page for people to all, as a proxy in front of it would.
    Page,
    /// Every tag has another digest than what was pushed.
    AnotherDigest,
    /// It has no header with a digest, as the specification allows.
    NoDigest,
    /// A digest that is none.
    BadDigest,
    /// It forbids uploads.
    Forbids,
    /// It has no such repository.
    NoRepository,
    /// It does not say where to upload to.
    NoLocation,
    /// It fails in the middle of an upload.
    UploadFails,
    /// It wants `user:pass` by Basic.
    Basic,
    /// It wants a token of its realm, which gives one for `user:pass` and for the identity token `identity`.
    Bearer,
    /// As `Bearer`, and the realm gives a token to anybody, which may not write.
    Anonymous,
    /// Its realm gives no token.
    NoToken,
    /// Its realm cannot be reached.
    RealmDown,
    /// It wants what nobody has.
    Negotiate,
}

/// `user:pass` in Basic.
pub const BASIC: &str = "Basic dXNlcjpwYXNz";

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, Vec<u8>>,
    requests: Vec<Request>,
}

/// A registry on a port of loopback.
pub struct Registry {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

impl Registry {
    pub fn start(flaw: Flaw) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, address, flaw, &shared);
            }
        });
        Self { address, state }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// What has a tag.
    pub fn manifest(&self, tag: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap().manifests.get(tag).cloned()
    }
}

/// One request a connection.
fn serve(mut stream: TcpStream, address: SocketAddr, flaw: Flaw, state: &Mutex<State>) {
    if flaw == Flaw::Closes {
        return;
    }
    let Some(request) = read(&stream) else { return };
    if flaw == Flaw::NoHttp {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        return;
    }
    let mut state = state.lock().unwrap();
    let (status, headers, body) = answer(&request, address, flaw, &mut state);
    let is_head = request.method == "HEAD";
    state.requests.push(request);
    drop(state);
    let mut text = format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text += "\r\n";
    let mut bytes = text.into_bytes();
    if !is_head {
        bytes.extend(body);
    }
    let _ = stream.write_all(&bytes);
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let mut request = Request { method: words.next()?, target: words.next()?, ..Request::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = request.headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({"errors": [{"code": code, "message": message}]}).to_string();
    (status, vec![("content-type", "application/json".to_owned())], body.into_bytes())
}

fn answer(request: &Request, address: SocketAddr, flaw: Flaw, state: &mut State) -> Answer {
    let authorization = request.headers.get("authorization").map(String::as_str).unwrap_or_default();
    if request.target.starts_with("/token") {
        return token(request, authorization, flaw);
    }
    let challenge = |text: String| {
        let (status, mut headers, body) = refusal(401, "UNAUTHORIZED", "authentication required");
        headers.push(("www-authenticate", text));
        (status, headers, body)
    };
    let realm = |place: &str| {
        // The scope of the request alone: the client asks for all that it needs.
        format!("Bearer realm=\"http://{place}/token\",service=\"the registry\",scope=\"repository:x:pull\"")
    };
    match flaw {
        Flaw::Fails => return refusal(500, "UNKNOWN", "the disk is full"),
        Flaw::Page => {
            return (200, vec![("content-type", "text/html".to_owned())], b"<html>Sign in</html>".to_vec());
        }
        Flaw::Basic if authorization != BASIC => return challenge("Basic realm=\"the registry\"".to_owned()),
        Flaw::Bearer | Flaw::Anonymous | Flaw::NoToken if authorization != "Bearer may-write" => {
            return challenge(realm(&address.to_string()));
        }
        Flaw::RealmDown => return challenge(realm("127.0.0.1:1")),
        Flaw::Negotiate => return challenge("Negotiate".to_owned()),
        _ => {}
    }
    let last = request.target.rsplit('/').next().unwrap_or_default().to_owned();
    let digest_of = |bytes: &[u8]| match flaw {
        Flaw::AnotherDigest => vec![("docker-content-digest", format!("sha256:{}", "0".repeat(64)))],
        Flaw::BadDigest => vec![("docker-content-digest", "sha256:short".to_owned())],
        Flaw::NoDigest => vec![],
        _ => vec![("docker-content-digest", super::sha256(bytes))],
    };
    let is_upload = request.target.contains("/blobs/uploads/");
    match request.method.as_str() {
        "HEAD" | "GET" if request.target.contains("/manifests/") => match state.manifests.get(&last) {
            Some(bytes) => (200, digest_of(bytes), bytes.clone()),
            None => refusal(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        },
        "HEAD" if state.blobs.contains_key(&last) => (200, vec![], vec![]),
        "HEAD" => (404, vec![], vec![]),
        "POST" if is_upload && flaw == Flaw::Forbids => refusal(403, "DENIED", "read only"),
        "POST" if is_upload && flaw == Flaw::NoRepository => refusal(404, "NAME_UNKNOWN", "create it first"),
        "POST" if is_upload && flaw == Flaw::NoLocation => (202, vec![], vec![]),
        "POST" if is_upload => (202, vec![("location", format!("{}7?state=a", request.target))], vec![]),
        "PUT" if is_upload && flaw == Flaw::UploadFails => refusal(500, "UNKNOWN", "the disk is full"),
        "PUT" if is_upload => {
            let digest = last.split("digest=").nth(1).unwrap_or_default().to_owned();
            if digest != super::sha256(&request.body) {
                return refusal(400, "DIGEST_INVALID", "the bytes have another digest");
            }
            state.blobs.insert(digest, request.body.clone());
            (201, vec![], vec![])
        }
        "PUT" => {
            state.manifests.insert(last, request.body.clone());
            (201, vec![], vec![])
        }
        _ => refusal(405, "UNSUPPORTED", "no such thing"),
    }
}

fn token(request: &Request, authorization: &str, flaw: Flaw) -> Answer {
    let form = String::from_utf8_lossy(&request.body);
    let asks = format!("{}&{form}", request.target);
    assert!(asks.contains("service=the%20registry") && asks.contains("%3Apull%2Cpush"), "{asks}");
    let is_known = authorization == BASIC
        || (request.method == "POST"
            && form.contains("grant_type=refresh%5Ftoken")
            && form.contains("refresh_token=identity"));
    match flaw {
        Flaw::NoToken => (200, vec![], b"{}".to_vec()),
        Flaw::Anonymous if authorization.is_empty() => (200, vec![], br#"{"token":"may-read"}"#.to_vec()),
        _ if is_known => (200, vec![], br#"{"access_token":"may-write"}"#.to_vec()),
        _ => refusal(401, "UNAUTHORIZED", "who are you"),
    }
}
