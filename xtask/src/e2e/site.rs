//! Where an Envoy runs, and what can be seen of it.

use crate::{
    envoy::Line,
    upstream::{Answer, Received},
};
use anyhow::Result;
use std::net::SocketAddr;

/// An Envoy with its two upstreams: processes of this machine, or containers.
pub trait Site {
    /// Where requests are sent to.
    fn listener(&self) -> SocketAddr;
    /// The admin interface.
    fn admin(&self) -> SocketAddr;
    /// Says what both upstreams answer from now on.
    fn set_answer(&self, answer: &Answer) -> Result<()>;
    /// What the upstreams have received since the last call: which one, and what.
    fn received(&self) -> Result<Vec<(String, Received)>>;
    /// All of Envoy's log so far.
    fn log(&self) -> Result<Vec<Line>>;
}
