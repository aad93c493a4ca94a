//! Servers for the clusters that a scenario names, by httpmock.

use crate::scenario::Cluster;
use httpmock::MockServer;
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

/// The servers of a scenario. They end with it.
pub struct Mocks {
    servers: BTreeMap<String, Server>,
}

enum Server {
    Answers(MockServer),
    /// The near end of a connection: nothing can listen on its port as long as it stands.
    Refuses(TcpStream),
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
            Server::Refuses(connection) => connection.local_addr().ok(),
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
                let listener = TcpListener::bind(("127.0.0.1", 0));
                let connection = listener.and_then(|listener| TcpStream::connect(listener.local_addr()?));
                connection.map_or(Self::Absent, Self::Refuses)
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
