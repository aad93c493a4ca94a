//! `outrigger replay` and its kin: recorded requests through the module that will be deployed.

mod change;
mod decision;
pub mod diff;
pub mod explain;
pub mod inspect;
mod keys;
mod least;
mod report;
mod request;
pub mod run;
mod session;
mod traffic;
mod why;

use crate::finding::Severity;
use change::Tally;
use request::Recorded;
use session::Common;
use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Runs recorded requests through a filter and prints a decision a line.
///
/// A request is a line of JSON with a method and a path at least: {"id":"1","method":"GET","path":"/a?b=c","authority":"shop.example"}; or the
/// file is a HAR. They run in order through one VM. With --against, what another configuration would change is printed instead, and the
/// exit code is 1 if anything would.
///
///   outrigger replay --filter ab-routing --config ab.json requests.jsonl
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// The configuration: JSON or YAML, bare or in a manifest or bootstrap.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Another configuration, to compare with.
    #[arg(long)]
    against: Option<PathBuf>,
    /// With --against: write a self-contained page of what would change.
    #[arg(long, requires = "against")]
    html: Option<PathBuf>,
    /// With --against: print the changes as JSON, one a line.
    #[arg(long, requires = "against")]
    json: bool,
    /// Say why, clause by clause, in each decision's `explain`.
    #[arg(long, conflicts_with = "against")]
    explain: bool,
    /// The requests: a file of JSON lines, a .har, or - for stdin.
    requests: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// A file or the module cannot be read, or a configuration is refused: exit code 2.
pub fn run_command(args: &Args) -> Result<ExitCode, String> {
    let module = args.common.module().map_err(|error| error.to_string())?;
    let mut session = args.common.start(&module, args.config.as_deref())?;
    let mut out = BufWriter::new(io::stdout().lock());
    let Some(against) = &args.against else {
        let bad = each(&args.requests, |recorded| {
            let mut decision = session.decide(&recorded);
            if args.explain {
                explain::add(&mut session, &recorded, &mut decision)?;
            }
            serde_json::to_writer(&mut out, &decision).map_err(|error| error.to_string())?;
            out.write_all(b"\n").map_err(|error| error.to_string())
        })?;
        out.flush().map_err(|error| error.to_string())?;
        return Ok(ExitCode::from(if bad > 0 { 2 } else { 0 }));
    };
    let mut other = args.common.start(&module, Some(against))?;
    let mut tally = Tally::default();
    let bad = each(&args.requests, |recorded| {
        tally.take(&recorded, [&mut session, &mut other]);
        Ok(())
    })?;
    drop(out);
    let names = [name_of(args.config.as_deref()), name_of(Some(against))];
    tally.tell(&names, args.json, args.html.as_deref())?;
    Ok(ExitCode::from(if bad > 0 { 2 } else { u8::from(tally.changed() > 0) }))
}

/// What a configuration is called.
fn name_of(path: Option<&Path>) -> String {
    path.map_or_else(|| "no configuration".to_owned(), |path| path.display().to_string())
}

/// Reads requests and hands them on. A bad one is named on stderr, and the rest goes on; says how many were bad.
///
/// # Errors
/// The file cannot be read, or `take` has had enough.
fn each(path: &Path, mut take: impl FnMut(Recorded) -> Result<(), String>) -> Result<usize, String> {
    let name = path.display();
    let mut bad = 0;
    let refuse = |number: usize, error: String| {
        bad += 1;
        anstream::eprintln!("{}: {name}:{number}: {error}", Severity::Error);
    };
    if path == Path::new("-") {
        lines(io::stdin().lock(), &mut take, refuse)?;
        return Ok(bad);
    }
    let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("har")) {
        request::har(file, take, refuse).map_err(|error| format!("{name}: {error}"))?;
    } else {
        lines(BufReader::new(file), &mut take, refuse).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(bad)
}

fn lines(
    input: impl io::BufRead,
    take: &mut dyn FnMut(Recorded) -> Result<(), String>,
    refuse: impl FnMut(usize, String),
) -> Result<(), String> {
    request::lines(input, |recorded| take(recorded).map_err(io::Error::other), refuse)
        .map_err(|error| error.to_string())
}
