//! A visitor of the shop: a client that keeps cookies.

use crate::http::{Connection, Message};
use anyhow::{Result, ensure};
use harness::{
    Bytes,
    scenario::{CookieJar, Headers, Request},
};
use std::{net::SocketAddr, time::Duration};

/// How long a visitor waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client with a browser's cookies.
#[derive(Debug, Clone, Default)]
pub struct Visitor(CookieJar);

impl Visitor {
    /// Asks for a path, on a connection of its own, and keeps the cookies that come with the answer.
    ///
    /// # Errors
    /// There is no answer with status 200.
    pub fn get(&mut self, listener: SocketAddr, path: &str, more: &[(&str, &str)]) -> Result<Message> {
        let response = self.ask(listener, "shop.example", path, more)?;
        let body = String::from_utf8_lossy(&response.body);
        ensure!(response.status() == Some(200), "{path} was answered {:?}: {body}", response.status());
        Ok(response)
    }

    /// As [`get`](Self::get), of any host and whatever the answer's status.
    ///
    /// # Errors
    /// There is no answer.
    pub fn ask(
        &mut self,
        listener: SocketAddr,
        host: &str,
        path: &str,
        more: &[(&str, &str)],
    ) -> Result<Message> {
        let mut request = Request::default();
        self.0.add_to(&mut request);
        let own = [("host", host), ("connection", "close")];
        let own = own.iter().chain(more).map(|(name, value)| (Bytes::from(*name), Bytes::from(*value)));
        let headers: Headers = own.chain(request.headers).collect();
        let mut connection = Connection::open(listener, PATIENCE)?;
        let response = connection.exchange("GET", path, &headers, b"")?;
        self.0.keep(&response.headers);
        Ok(response)
    }
}
