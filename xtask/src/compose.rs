//! The scenarios through docker-compose.yml.

use crate::{
    bootstrap::Bootstrap,
    e2e::Site,
    envoy::Line,
    upstream::{Answer, Received},
};
use anyhow::{Result, bail};
use std::{net::SocketAddr, path::Path};

/// The containers of docker-compose.yml.
pub struct Compose {}

impl Compose {
    pub fn up(_: &Path) -> Result<Self> {
        bail!("todo")
    }
    pub fn restart(&mut self, _: Bootstrap, _: &Path) -> Result<()> {
        bail!("todo")
    }
    pub fn validate(&mut self, _: &Bootstrap, _: &Path) -> Result<Result<(), String>> {
        bail!("todo")
    }
}
impl Site for Compose {
    fn listener(&self) -> SocketAddr {
        todo!()
    }
    fn admin(&self) -> SocketAddr {
        todo!()
    }
    fn set_answer(&self, _: &Answer) -> Result<()> {
        todo!()
    }
    fn received(&self) -> Result<Vec<(String, Received)>> {
        todo!()
    }
    fn log(&self) -> Result<Vec<Line>> {
        todo!()
    }
}
