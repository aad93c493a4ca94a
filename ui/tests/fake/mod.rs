//! An admin interface that answers as a test tells it to, and a client of the page.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use ui::{Options, Page};

/// What a path is answered: the bytes of a whole response; none keeps the client waiting.
pub type Answers = BTreeMap<&'static str, Option<Vec<u8>>>;

/// The interface.
pub struct Admin {
    /// Where it listens.
    pub address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
}

impl Admin {
    /// Listens on a free port.
    pub fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(Mutex::new(answers));
        let shared = Arc::clone(&answers);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, answers }
    }

    /// Answers otherwise from now on.
    pub fn set(&self, answers: Answers) {
        *self.answers.lock().unwrap() = answers;
    }
}

fn serve(mut stream: TcpStream, answers: &Mutex<Answers>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let found = {
        let answers = answers.lock().unwrap();
        answers.iter().rev().find(|(path, _)| target.starts_with(**path)).map(|(_, answer)| answer.clone())
    };
    match found {
        Some(Some(answer)) => drop(stream.write_all(&answer)),
        Some(None) => thread::sleep(Duration::from_secs(30)),
        None => drop(stream.write_all(&response(404, b"not found"))),
    }
}

/// A response that closes its connection.
pub fn response(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn of(json: &Value) -> Vec<u8> {
    response(200, json.to_string().as_bytes())
}

/// An Envoy with these stats, which is up for so many seconds.
pub fn envoy(uptime: u64, stats: &[(&str, u64)], plugins: &[&str]) -> Answers {
    let stats: Vec<Value> = stats.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let wasm = |name: &&str| {
        json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {"name": name, "vm_config": {"code": {"local": {"filename": "x.wasm"}}}}})
    };
    let plugins: Vec<Value> = plugins.iter().map(wasm).collect();
    let info = json!({"version": "0123/1.40.0/Clean/RELEASE/BoringSSL", "state": "LIVE", "uptime_current_epoch": format!("{uptime}s")});
    Answers::from([
        ("/server_info", Some(of(&info))),
        ("/stats", Some(of(&json!({"stats": stats})))),
        ("/config_dump?resource=static_listeners", Some(of(&json!({"configs": plugins})))),
    ])
}

/// A page of this interface.
pub fn page(admin: SocketAddr) -> Page {
    Page::start(&Options {
        admin: format!("http://{admin}").parse().unwrap(),
        logs: Vec::new(),
        listen: "127.0.0.1:0".parse().unwrap(),
    })
    .unwrap()
}

/// Asks the page's server: the head and the body.
pub fn ask(page: &Page, method: &str, path: &str, host: &str) -> (String, String) {
    let mut stream = TcpStream::connect(page.address()).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// Waits until the page's state is as wanted.
#[track_caller]
pub fn wait(page: &Page, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (_, body) = ask(page, "GET", "/state.json", &page.address().to_string());
        let state: Value = serde_json::from_str(&body).unwrap();
        if wanted(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "{}", state["envoy"]);
        thread::sleep(Duration::from_millis(100));
    }
}
