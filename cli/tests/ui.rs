//! `outrigger ui`, as its user starts it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

fn outrigger(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    command.arg("ui").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_page_is_served_where_it_says_though_nothing_is_there_to_read() {
    // A port that nobody listens at.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let envoy = format!("http://{free}");
    let mut child = Ended(
        outrigger(&["--envoy", &envoy, "--log", "/nowhere/log", "--listen", "127.0.0.1:0"]).spawn().unwrap(),
    );
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address =
        line.strip_prefix("The page is at http://").and_then(|rest| rest.split('/').next()).unwrap();
    let mut state = Value::Null;
    while state["envoy"]["problem"].is_null() || state["logs"][0]["problem"].is_null() {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /state.json HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        state = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    }
    let problem = |value: &Value| value["problem"].as_str().unwrap_or_default().to_owned();
    assert!(problem(&state["envoy"]).contains("cannot be reached"), "{state}");
    assert!(problem(&state["logs"][0]).contains("/nowhere/log is not there"), "{state}");
}

#[test]
fn a_wrong_address_is_a_usage_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, says) in [
        (vec!["--envoy", "https://127.0.0.1:1"], "must be http://HOST:PORT"),
        (vec!["--envoy", "http://127.0.0.1:1/stats"], "must be http://HOST:PORT"),
        (vec!["--envoy", "http://127.0.0.1:1", "--listen", "here"], "invalid socket address"),
        (vec!["--envoy", "http://127.0.0.1:1", "--listen", &taken], "cannot listen at"),
        (vec![], "--envoy <ADMIN_URL>"),
    ] {
        let output = outrigger(&arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(says), "{arguments:?}: {text}");
    }
}
