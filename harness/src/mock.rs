//! Servers for the clusters that a scenario names: by httpmock those of HTTP, by h2 those of gRPC.

mod grpc;

use crate::scenario::Cluster;
use httpmock::MockServer;
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

/// The servers of a scenario. They end with it.
pub struct Mocks {
    servers: BTreeMap<String, Server>,
}

enum Server {
    Answers(MockServer),
    Grpc(grpc::Server),
    /// The near end of a connection: nothing can listen on its port as long as it stands.
    Refuses(TcpStream),
    /// None.
    Absent,
}

impl Mocks {
    /// Starts a server for each cluster, on loopback.
    ///
    /// # Errors
    /// There is no port to be had, or gRPC metadata that cannot be sent.
    pub fn start(clusters: &BTreeMap<String, Cluster>) -> io::Result<Self> {
        let start = |(name, cluster): (&String, &Cluster)| Ok((name.clone(), Server::start(cluster)?));
        Ok(Self { servers: clusters.iter().map(start).collect::<io::Result<_>>()? })
    }

    /// The address of a cluster's server.
    pub fn address(&self, cluster: &str) -> Option<SocketAddr> {
        match self.servers.get(cluster)? {
            Server::Answers(server) => Some(*server.address()),
            Server::Grpc(server) => Some(server.address()),
            Server::Refuses(connection) => connection.local_addr().ok(),
            Server::Absent => None,
        }
    }

    /// Whether a cluster's server speaks gRPC, and so HTTP/2 alone.
    pub fn is_grpc(&self, cluster: &str) -> bool {
        matches!(self.servers.get(cluster), Some(Server::Grpc(_)))
    }

    /// The clusters and their servers' addresses; none for one without hosts.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, Option<SocketAddr>)> {
        self.servers.keys().map(|name| (name.as_str(), self.address(name)))
    }
}

impl Server {
    fn start(cluster: &Cluster) -> io::Result<Self> {
        Ok(match cluster {
            Cluster::Empty => Self::Absent,
            Cluster::Grpc(answers) => Self::Grpc(grpc::Server::start(answers)?),
            Cluster::Refuses => {
                let listener = TcpListener::bind(("127.0.0.1", 0))?;
                Self::Refuses(TcpStream::connect(listener.local_addr()?)?)
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
        })
    }
}
