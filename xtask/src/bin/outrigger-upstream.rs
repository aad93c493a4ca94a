//! The upstream of docker-compose.yml: `outrigger-upstream NAME ADDRESS CONTROL-ADDRESS`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a server runs on a host")]
#![allow(clippy::print_stderr, reason = "a server says where it listens")]
#![allow(dead_code, reason = "the modules are shared with xtask, which uses all of them")]

#[path = "../http.rs"]
mod http;
#[path = "../upstream.rs"]
mod upstream;

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("usage: outrigger-upstream NAME ADDRESS CONTROL-ADDRESS");
    let (name, address, control) = (next()?, next()?.parse()?, next()?.parse()?);
    let upstream = upstream::Upstream::listen(&name, address)?;
    upstream.control(control)?;
    eprintln!("{name}: serving on {address}, control on {control}");
    loop {
        std::thread::park();
    }
}
