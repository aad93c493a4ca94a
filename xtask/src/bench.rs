use anyhow::Result;
use std::process::ExitCode;
/// x
#[derive(Debug, clap::Args)]
pub struct Args {}
pub fn run(_: &Args) -> Result<ExitCode> {
    anyhow::bail!("todo")
}
