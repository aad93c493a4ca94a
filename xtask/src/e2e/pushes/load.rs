//! Clients that ask all the time.

use super::subjects::{PATHS, REVISIONS, Sent, Subject, revision};
use crate::http::{Connection, Message};
use anyhow::{Result, ensure};
use harness::{Bytes, scenario::Headers};
use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// How many clients there are, each with a connection of its own: as many for each of 1, 2, 3 or 4 workers.
pub const CLIENTS: usize = 12;
/// Who waits longer calls it a hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the clients share.
#[derive(Default)]
pub struct Load {
    /// The last revision that every worker was seen to have.
    pub confirmed: AtomicU64,
    /// They end when it is true.
    pub over: AtomicBool,
    /// How many answers each has had.
    pub progress: [AtomicU64; CLIENTS],
    /// What was sent.
    sent: Mutex<Sent>,
}

impl Load {
    /// What was sent by clients that have ended.
    pub fn sent(&self) -> Sent {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answers so far.
    pub fn answers(&self) -> u64 {
        self.progress.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// A client: asks until it is over, and has each answer by its status.
    ///
    /// # Errors
    /// A request is not answered, or otherwise than it must be.
    pub fn ask(&self, client: usize, listener: SocketAddr, subject: &Subject) -> Result<()> {
        let mut connection = Connection::open(listener, PATIENCE)?;
        let mut sent = Sent::default();
        let body: Vec<String> =
            (0..REVISIONS).map(|number| format!("\"{}\":\"yes\"", revision(number))).collect();
        let body = format!("{{{}}}", body.join(","));
        for path in PATHS.iter().cycle().skip(client) {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let low = self.confirmed.load(Ordering::Acquire);
            let headers = headers(client, low, *path == "/shop");
            let answer = if *path == "/shop" {
                connection.exchange("POST", path, &headers, body.as_bytes())?
            } else {
                connection.exchange("GET", path, &headers, b"")?
            };
            sent.add(path);
            let status = answer.status().unwrap_or_default();
            ensure!(
                status == subject.status(path),
                "{path} was answered {status} {}",
                String::from_utf8_lossy(&answer.body)
            );
            self.progress.get(client).map(|count| count.fetch_add(1, Ordering::Relaxed));
            if closes(&answer) {
                connection = Connection::open(listener, PATIENCE)?;
            }
        }
        let mut all = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        (all.shop, all.denied, all.late) =
            (all.shop + sent.shop, all.denied + sent.denied, all.late + sent.late);
        Ok(())
    }
}

/// The headers of a request: who asks, and which revision the worker has at least.
pub fn headers(client: usize, low: u64, has_body: bool) -> Headers {
    let mut headers = vec![
        ("host".to_owned(), "shop.example".to_owned()),
        ("x-user".to_owned(), format!("user-{client}")),
        ("x-client".to_owned(), client.to_string()),
        ("x-low".to_owned(), low.to_string()),
        ("x-arm".to_owned(), "b".to_owned()),
    ];
    headers.extend((0..REVISIONS).map(|number| (format!("x-{}", revision(number)), "yes".to_owned())));
    if has_body {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    headers.iter().map(|(name, value)| (Bytes::from(name.as_str()), Bytes::from(value.as_str()))).collect()
}

fn closes(answer: &Message) -> bool {
    answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"))
}
