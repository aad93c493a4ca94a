//! `outrigger run`: any plugin, one request, a trace of every host call.

use super::{explain, session::Common};
use anstyle::{AnsiColor, Style};
use harness::Step;
use std::{path::PathBuf, process::ExitCode};

const CALLBACK: Style = AnsiColor::Cyan.on_default().bold();
const WRONG: Style = AnsiColor::Red.on_default();

/// Runs one request through any plugin and prints every callback and host call.
///
///   outrigger run plugin.wasm --config config.json --request request.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The plugin's module.
    wasm: PathBuf,
    /// Its configuration: JSON or YAML, bare or in a manifest or bootstrap.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The request: a file with an object of JSON, or - for stdin.
    #[arg(long)]
    request: PathBuf,
    /// A variable of the VM's environment.
    #[arg(long, value_name = "NAME=VALUE", value_parser = crate::check::variable)]
    env: Vec<(String, String)>,
    /// The seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print each step as a line of JSON, and the decision as the last.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// A file or the module cannot be read, or the configuration is refused: exit code 2.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let mut filter = args.wasm.display().to_string();
    if args.wasm.extension().is_none_or(|extension| extension != "wasm") {
        filter = format!("./{filter}");
    }
    let common = Common { filter, dist: None, env: args.env.clone(), seed: args.seed };
    let module = crate::modules::load(&args.wasm).map_err(|error| error.to_string())?;
    let mut session = common.start(&module, args.config.as_deref())?;
    let recorded = explain::one(&args.request)?;
    session.proxy().start_trace();
    let decision = session.decide(&recorded);
    let steps = session.proxy().take_trace();
    let line = |text: Result<String, serde_json::Error>| {
        text.map(|text| anstream::println!("{text}")).map_err(|error| error.to_string())
    };
    if args.json {
        for step in &steps {
            line(serde_json::to_string(step))?;
        }
        line(serde_json::to_string(&decision))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (mut calls, mut instructions) = (0, 0);
    for step in &steps {
        match step {
            Step::Callback { .. } => anstream::println!("{CALLBACK}{step}{CALLBACK:#}"),
            Step::HostCall { status, .. } => {
                calls += 1;
                let style = if *status == 0 { Style::new() } else { WRONG };
                anstream::println!("{style}{step}{style:#}");
            }
            Step::Return { instructions: taken, .. } => {
                instructions += taken;
                anstream::println!("{step}, {taken} instructions");
            }
        }
    }
    anstream::println!("{calls} host calls, {instructions} instructions");
    line(serde_json::to_string(&decision))?;
    Ok(ExitCode::SUCCESS)
}
