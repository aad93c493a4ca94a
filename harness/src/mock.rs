//! Servers for the clusters that a scenario names, by httpmock.

use crate::scenario::Cluster;
use httpmock::MockServer;
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

/// The servers of a scenario. They end with it.
pub struct Mocks {
    servers: BTreeMap<String, Server>,
}

enum Server {
    Answers(MockServer),
    /// A port that was free a moment ago, and that nothing listens on.
    Refuses(SocketAddr),
    /// None.
    Absent,
}

impl Mocks {
    /// Starts a server for each cluster, on loopback.
    pub fn start(clusters: &BTreeMap<String, Cluster>) -> Self {
        Self {
            servers: clusters.iter().map(|(name, cluster)| (name.clone(), Server::start(cluster))).collect(),
        }
    }

    /// The address of a cluster's server.
    pub fn address(&self, cluster: &str) -> Option<SocketAddr> {
        match self.servers.get(cluster)? {
            Server::Answers(server) => Some(*server.address()),
            Server::Refuses(address) => Some(*address),
            Server::Absent => None,
        }
    }

    /// The clusters and their servers' addresses; none for one without hosts.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, Option<SocketAddr>)> {
        self.servers.keys().map(|name| (name.as_str(), self.address(name)))
    }
}

impl Server {
    fn start(cluster: &Cluster) -> Self {
        match cluster {
            Cluster::Empty | Cluster::Grpc(_) => Self::Absent,
            Cluster::Refuses => {
                let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
                Self::Refuses(free.unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 1))))
            }
            Cluster::Answers { response, delay_ms } => {
                let server = MockServer::start();
                server.mock(|when, mut then| {
                    when.any_request();
                    then = then
                        .status(response.status)
                        .body(response.body())
                        .delay(Duration::from_millis(*delay_ms));
                    for (name, value) in &response.headers {
                        then = then.header(name.lossy(), value.lossy());
                    }
                });
                Self::Answers(server)
            }
        }
    }
}
