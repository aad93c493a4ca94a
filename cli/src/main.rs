//! `outrigger`: the user's tool. It runs the very module that will be deployed.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the tool runs on a host and may read its environment"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what the tool prints is its product")]

mod bucket;
mod check;
mod configuration;
mod document;
mod finding;
mod manifest;
mod modules;
mod publish;
mod redact;
mod replay;
mod scenarios;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Checks and tests Proxy-Wasm filters before a cluster does.
#[derive(Debug, Parser)]
#[command(name = "outrigger", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bucket(bucket::Args),
    Check(check::Args),
    Manifest(manifest::Args),
    Publish(publish::Args),
    Test(scenarios::Args),
    Redact(redact::Args),
    Replay(replay::Args),
    Explain(replay::explain::Args),
    Diff(replay::diff::Args),
    Run(replay::run::Args),
    Inspect(replay::inspect::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Bucket(args) => bucket::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Manifest(args) => manifest::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Test(args) => scenarios::run(&args),
        Command::Redact(args) => redact::run(&args),
        Command::Replay(args) => replay::run_command(&args),
        Command::Explain(args) => replay::explain::run(&args),
        Command::Diff(args) => replay::diff::run(&args),
        Command::Run(args) => replay::run::run(&args),
        Command::Inspect(args) => replay::inspect::run(&args),
    };
    done.unwrap_or_else(|usage| {
        anstream::eprintln!("{}: {usage}", finding::Severity::Error);
        ExitCode::from(2)
    })
}
