//! `outrigger diff`: who or what moves between two configurations.

use super::{change::Tally, each, keys, name_of, session::Common};
use std::{path::PathBuf, process::ExitCode};

/// Says who or what moves between two configurations of a filter, over recorded requests or generated keys.
///
/// The exit code is 1 if anything differs.
///
///   outrigger diff --filter ab-routing old.json new.json --keys 100000
///   outrigger diff --filter policy old.yaml new.yaml requests.jsonl --html changes.html
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// The configuration as it is.
    first: PathBuf,
    /// The configuration as it would be.
    second: PathBuf,
    /// Recorded requests: a file of JSON lines, a .har, or - for stdin.
    #[arg(required_unless_present = "keys")]
    requests: Option<PathBuf>,
    /// So many users instead, each with a key of its own wherever the experiments look for one.
    #[arg(long, value_name = "N", conflicts_with = "requests")]
    keys: Option<usize>,
    /// Print the changes as JSON, one request a line.
    #[arg(long)]
    json: bool,
    /// Write a self-contained page of what changes.
    #[arg(long)]
    html: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A file or the module cannot be read, or a configuration is refused: exit code 2.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let module = args.common.module().map_err(|error| error.to_string())?;
    let mut first = args.common.start(&module, Some(&args.first))?;
    let mut second = args.common.start(&module, Some(&args.second))?;
    let mut tally = Tally::default();
    let mut bad = 0;
    if let Some(count) = args.keys {
        let name = args.common.name();
        let places = keys::places(&[
            crate::configuration::read(&args.first, &name)?,
            crate::configuration::read(&args.second, &name)?,
        ]);
        for number in 0..count {
            let recorded = keys::request(&places, number);
            tally.take(&recorded, [&mut first, &mut second]);
        }
    } else if let Some(requests) = &args.requests {
        bad = each(requests, |recorded| {
            tally.take(&recorded, [&mut first, &mut second]);
            Ok(())
        })?;
    }
    let names = [name_of(Some(&args.first)), name_of(Some(&args.second))];
    tally.tell(&names, args.json, args.html.as_deref())?;
    Ok(ExitCode::from(if bad > 0 { 2 } else { u8::from(tally.changed() > 0) }))
}
