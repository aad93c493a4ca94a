//! `outrigger run`: any plugin, one request, a trace of every host call.

use super::{explain, request::Recorded, session::Common};
use crate::configuration::Configuration;
use anstyle::{AnsiColor, Style};
use harness::{Exploration, Lint, Module, Settings, Step, scenario::Scenario};
use std::{path::PathBuf, process::ExitCode};

const CALLBACK: Style = AnsiColor::Cyan.on_default().bold();
const WRONG: Style = AnsiColor::Red.on_default();

/// Runs one request through any plugin and prints every callback and host call, and what lints find: exit code 1 if anything.
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
    /// A lint to switch off.
    #[arg(long, value_name = "LINT", value_parser = crate::scenarios::lint)]
    allow: Vec<Lint>,
    /// Then run the request over splits of its bodies, orders of callouts' answers, and callouts that fail.
    #[arg(long)]
    explore: bool,
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
        return judge(args, &module, &recorded);
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
    judge(args, &module, &recorded)
}

/// Prints what lints find, and what an exploration does: exit code 1 if anything.
fn judge(args: &Args, module: &Module, recorded: &Recorded) -> Result<ExitCode, String> {
    let name = args.wasm.display().to_string();
    let configuration = match &args.config {
        Some(path) => crate::configuration::read(path, &name)?,
        None => Configuration::default(),
    };
    let mut env = configuration.environment;
    env.extend(args.env.iter().cloned());
    let scenario = Scenario {
        name,
        config: configuration.bytes,
        env,
        seed: args.seed,
        clock: recorded.time.unwrap_or(Settings::default().clock),
        allow: args.allow.iter().map(|lint| (*lint, "--allow".to_owned())).collect(),
        exchanges: vec![recorded.exchange.clone()],
        ..Scenario::default()
    };
    let outcome = harness::run(&scenario, module).map_err(|error| error.to_string())?;
    let findings = outcome.exchanges.iter().flat_map(|exchange| &exchange.findings).chain(&outcome.findings);
    let mut found: Vec<String> = findings.map(|finding| format!("lint {finding}")).collect();
    if args.explore {
        let explored = harness::explore(&scenario, module, &Exploration::default());
        let explored = explored.map_err(|error| error.to_string())?;
        anstream::eprintln!("{explored}");
        found.extend(explored.cases.iter().map(ToString::to_string));
    }
    for found in &found {
        anstream::eprintln!("{WRONG}{found}{WRONG:#}");
    }
    Ok(ExitCode::from(u8::from(!found.is_empty())))
}
