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
mod schema;
mod sign_explain;
mod ui;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Checks and tests Proxy-Wasm filters before a cluster does.
#[derive(Debug, Parser)]
#[command(
    name = "outrigger",
    version,
    max_term_width = 100,
    after_help = "Examples:
  outrigger check deploy/
  outrigger explain --filter policy --config policy.yaml --request request.json
  outrigger diff --filter ab-routing old.json new.json --keys 10000

Exit codes: 0 all is well; 1 something was found, or differs; 2 a file, an argument or a module is wrong."
)]
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
    Schema(schema::Args),
    Ui(ui::Args),
    SignExplain(sign_explain::Args),
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
        Command::Schema(args) => schema::run(&args),
        Command::Ui(args) => ui::run(&args),
        Command::SignExplain(args) => sign_explain::run(&args),
    };
    done.unwrap_or_else(|usage| {
        anstream::eprintln!("{}: {usage}", finding::Severity::Error);
        ExitCode::from(2)
    })
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn each_subcommand_s_help_says_what_it_does_with_an_example() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli.get_subcommands_mut().filter(|command| command.get_name() != "help") {
            let (name, help) = (command.get_name().to_owned(), command.render_long_help().to_string());
            assert!(
                help.contains(&format!("  outrigger {name}"))
                    || help.contains(&format!("| outrigger {name}")),
                "{help}"
            );
            assert!(command.get_about().is_some(), "{name}");
        }
    }
}
