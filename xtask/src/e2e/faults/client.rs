//! Clients of HTTP/1.1 that look at all that they get, and see where it ends.

use super::{
    accounts::{Rule, Seen, Sent},
    shop::{FAULT, NAME},
};
use crate::{
    e2e::metrics::word,
    http::{Connection, Message},
    parallel,
};
use anyhow::{Context as _, Result};
use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// How long a client waits for the next byte: what takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How many clients there are at once.
pub const CLIENTS: usize = 16;

/// A name that no other request has.
pub fn name() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    word(NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The head of a request without its last line, so that more can be added.
pub fn head(method: &str, target: &str, name: &str, fault: &str) -> String {
    let fault = if fault.is_empty() { String::new() } else { format!("{FAULT}: {fault}\r\n") };
    format!("{method} {target} HTTP/1.1\r\nhost: shop.example\r\n{NAME}: {name}\r\n{fault}")
}

/// Opens a connection.
pub fn open(listener: SocketAddr) -> Result<Connection> {
    Connection::open(listener, PATIENCE)
}

/// Sends a request as these bytes and looks at the answer.
pub fn ask(listener: SocketAddr, request: &[u8]) -> Result<Seen> {
    let mut connection = open(listener)?;
    // Who is not read any more may not be able to write all of it.
    let _ = connection.writer().write_all(request);
    watch(&mut connection, "GET")
}

/// Asks on a connection that stays open.
///
/// # Errors
/// Nothing came for too long, or the connection is over.
pub fn again(connection: &mut Connection, target: &str, name: &str) -> Result<Seen> {
    connection.writer().write_all(format!("{}\r\n", head("GET", target, name, "")).as_bytes())?;
    watch(connection, "GET")
}

/// Reads an answer for as long as there is one.
///
/// # Errors
/// Nothing came for too long.
pub fn watch(connection: &mut Connection, method: &str) -> Result<Seen> {
    Ok(read(connection, method)?.0)
}

/// As [`watch`], with what came of the answer.
///
/// # Errors
/// Nothing came for too long.
pub fn read(connection: &mut Connection, method: &str) -> Result<(Seen, Message)> {
    let mut message = match connection.read_response_head() {
        Ok(message) => message,
        Err(error) => return ends(error).map(|()| (Seen::Nothing, Message::default())),
    };
    let status = message.status().context("an answer without a status")?;
    match connection.read_response_body(method, &mut message) {
        Ok(()) => Ok((Seen::Answer(status), message)),
        Err(error) => ends(error).map(|()| (Seen::Broken(status), message)),
    }
}

/// An error that is the end of a connection is none here; that nothing came in time is one.
fn ends(error: anyhow::Error) -> Result<()> {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    if matches!(kind, Some(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)) {
        return Err(error.context("Envoy answers nothing"));
    }
    Ok(())
}

/// Makes each of these requests so often, all of them at once.
///
/// # Errors
/// One hangs.
pub fn all<A: Sync>(
    kinds: &[(&'static Rule, A)],
    times: usize,
    send: impl Fn(&A, &str) -> Result<Seen> + Sync,
) -> Result<Vec<Sent>> {
    let list: Vec<usize> = (0..times).flat_map(|_| 0..kinds.len()).collect();
    let answers = parallel::map(&list, CLIENTS, |place| {
        let (rule, kind) = kinds.get(*place).context("no such kind")?;
        let name = name();
        let seen = send(kind, &name).with_context(|| format!("{} {name}", rule.name))?;
        Ok(Sent { name, rule, seen })
    });
    answers.into_iter().collect()
}
