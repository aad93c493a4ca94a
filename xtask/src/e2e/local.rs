//! Envoy and its upstreams as processes of this machine.

use super::Site;
use crate::{
    bootstrap::Bootstrap,
    envoy::{Envoy, Line},
    upstream::{Answer, Received, Upstream},
};
use anyhow::Result;
use std::{net::SocketAddr, path::Path};

/// Envoy and two upstreams.
pub struct Local {
    envoy: Envoy,
    listener: SocketAddr,
    upstreams: [(String, Upstream); 2],
}

impl Local {
    /// Starts them on free ports of loopback.
    pub fn start(program: &Path, mut bootstrap: Bootstrap) -> Result<Self> {
        let upstreams =
            [("v1".to_owned(), Upstream::start("v1", 0)?), ("v2".to_owned(), Upstream::start("v2", 0)?)];
        bootstrap.with_free_ports();
        for (name, upstream) in &upstreams {
            bootstrap.set_cluster(name, Some(upstream.address()));
        }
        let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", "1"])?;
        let listener = envoy.listener("main")?;
        Ok(Self { envoy, listener, upstreams })
    }
}

impl Site for Local {
    fn listener(&self) -> SocketAddr {
        self.listener
    }

    fn admin(&self) -> SocketAddr {
        self.envoy.admin()
    }

    fn set_answer(&self, answer: &Answer) -> Result<()> {
        self.upstreams.iter().for_each(|(_, upstream)| upstream.set_answer(answer.clone()));
        Ok(())
    }

    fn received(&self) -> Result<Vec<(String, Received)>> {
        let of = |(name, upstream): &(String, Upstream)| {
            upstream.take_received().into_iter().map(|received| (name.clone(), received)).collect::<Vec<_>>()
        };
        Ok(self.upstreams.iter().flat_map(of).collect())
    }

    fn log(&self) -> Result<Vec<Line>> {
        Ok(self.envoy.log_since(0))
    }
}
