//! Who sends a request, over which connection.

use crate::Bytes;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// A client's connection, as properties tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The client's own address.
    pub source: SocketAddr,
    /// The address that Envoy takes for the client's instead, from `x-forwarded-for` or the proxy protocol. `source.address` has it then, with the
    /// port 0.
    pub remote: Option<IpAddr>,
    /// The address that the client has connected to.
    pub destination: SocketAddr,
    /// The first URI in the client's certificate; none without mTLS.
    pub principal: Option<String>,
    /// The server's name that the client asked for in TLS.
    pub sni: String,
    /// Dynamic metadata, by the names of the filters that left it: objects.
    pub metadata: BTreeMap<String, Value>,
    /// Filter state that Envoy's own filters left, by its keys.
    pub state: BTreeMap<String, Bytes>,
}

impl Default for Connection {
    /// From port 50000 of loopback to port 10000, without TLS.
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            source: local(50_000),
            remote: None,
            destination: local(10_000),
            principal: None,
            sni: String::new(),
            metadata: BTreeMap::new(),
            state: BTreeMap::new(),
        }
    }
}

impl Connection {
    /// What Envoy calls the source: its address and port.
    pub fn source_address(&self) -> SocketAddr {
        self.remote.map_or(self.source, |remote| SocketAddr::new(remote, 0))
    }
}
