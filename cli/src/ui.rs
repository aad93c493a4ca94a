//! `outrigger ui`: a local page that shows the filters at work.

use ::ui::{Options, Page, admin::Url};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, thread};

/// Serves a page that shows the filters of an Envoy at work.
///
/// Numbers come from Envoy's admin interface, each second; records, verdicts and filters' own lines from log files. What is missing is said to be missing,
/// and an Envoy or a log that is gone is waited for. The page is for this machine: it is served on loopback, has no password, and loads nothing from elsewhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outrigger ui --envoy http://127.0.0.1:9901
  outrigger ui --envoy http://127.0.0.1:15000 --log access.log --log envoy.log --listen 127.0.0.1:8080

It runs until Ctrl-C. Exit code: 2 for an argument that is wrong, or an address that cannot be listened at.")]
pub struct Args {
    /// Envoy's admin interface: http://HOST:PORT.
    #[arg(long, value_name = "ADMIN_URL")]
    envoy: Url,
    /// A file with records of access-log, of policy, or with Envoy's own log; more than one may be given.
    #[arg(long, value_name = "FILE")]
    log: Vec<PathBuf>,
    /// Where the page is served; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9980")]
    listen: SocketAddr,
}

/// Runs the command.
///
/// # Errors
/// The address cannot be listened at: exit code 2.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let options = Options { admin: args.envoy.clone(), logs: args.log.clone(), listen: args.listen };
    let page = Page::start(&options)?;
    if !page.address().ip().is_loopback() {
        eprintln!("The page has no password: whoever reaches {} can read it.", page.address());
    }
    println!("The page is at http://{}/ until Ctrl-C.", page.address());
    loop {
        thread::park();
    }
}
