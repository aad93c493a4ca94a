//! `outrigger sign-explain`: the header that asks policy for the trace of one request.

use clap::builder::RangedU64ValueParser;
use filter_kit::Secret;
use std::{env, process::ExitCode, time::SystemTime};

/// Prints a header for one request, which has the policy filter log why it decides as it does.
///
///   outrigger sign-explain --authority shop.example /admin/users
///
/// The filter's configuration has `explain`, its VM the same secret, and the request the header:
/// curl -H "x-outrigger-explain: $(outrigger sign-explain ...)" http://shop.example/admin/users
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The path with its query, as the filter sees it: normalised by Envoy.
    path: String,
    /// The authority: the host, with its port where the client sends one.
    #[arg(long)]
    authority: String,
    /// The method.
    #[arg(long, default_value = "GET")]
    method: String,
    /// The environment variable with the secret, of 16 bytes or more.
    #[arg(long, default_value = "OUTRIGGER_EXPLAIN_SECRET", value_name = "NAME")]
    secret_env: String,
    /// For how many seconds it counts.
    #[arg(long, default_value_t = 30, value_parser = RangedU64ValueParser::<u64>::new().range(1..=policy::LONGEST_SECONDS))]
    seconds: u64,
}

/// Runs the command.
///
/// # Errors
/// There is no secret, or it is too short: exit code 2.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let name = &args.secret_env;
    let secret = env::var(name).map_err(|error| format!("${name}: {error}"))?;
    let secret =
        Secret::new(secret.as_bytes()).ok_or_else(|| format!("${name}: must have at least 16 bytes"))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
    let request = [&args.method, &args.authority, &args.path].map(String::as_bytes);
    anstream::println!("{}", policy::sign(&secret, request, now.as_secs() + args.seconds));
    Ok(ExitCode::SUCCESS)
}
