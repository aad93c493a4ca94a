//! The project's own commands: `cargo xtask COMMAND`.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a command runs on a host: it may read its clock and environment"
)]
#![allow(
    clippy::indexing_slicing,
    reason = "JSON is read by index, which gives null where there is nothing; a command that panics has failed"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a command prints is its product")]

mod bench;
mod bootstrap;
mod browser;
mod build;
mod command;
mod compose;
mod conformance;
mod demo;
mod docs;
mod e2e;
mod envoy;
mod fuzz;
mod http;
mod istio;
mod parallel;
mod progress;
mod project;
mod setup;
mod soak;
mod test;
mod upstream;
mod visitor;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(setup::Args),
    Build(build::Args),
    Demo(demo::Args),
    Test(test::Args),
    E2e(e2e::Args),
    Conformance(conformance::Args),
    Bench(bench::Args),
    Fuzz(fuzz::Args),
    Soak(soak::Args),
    Images(compose::images::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Setup(args) => setup::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::E2e(args) => e2e::run(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Images(args) => compose::images::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("{}error{:#}: {error:#}", progress::RED, progress::RED);
            ExitCode::FAILURE
        }
    }
}
