//! Generated personal data, in every encoding and place, is in nothing that any filter writes.

use crate::{build, command, e2e::Count, progress, project};
use anyhow::{Context as _, Result, ensure};
use std::process::Command;

/// The cases of one entity, encoding and place each: what the example `leaks` has for its COUNT of 1.
const KINDS: usize = 6456;
/// How many cases of each kind there are in `cargo xtask test`.
const BRIEFLY: usize = 16;
/// Outputs that are let write e-mail addresses, each with the word that the leaks found in it have.
const PLANTS: [(&str, &str); 3] = [("records", "filter state"), ("labels", "metrics"), ("lines", "log")];

/// Sends so many cases, or a few more, through all filters.
///
/// # Errors
/// The program does not build, or has tried less than it must.
pub fn run(cases: usize) -> Result<Count> {
    let work = progress::begin("looking for leaks");
    let count = cases.div_ceil(KINDS);
    let (passed, failed, printed) = look(count, None)?;
    drop(work);
    ensure!(passed + failed >= count * KINDS, "only {} cases were tried", passed + failed);
    println!(
        "{} cases through the chain of all filters and through all-in-one: {failed} leaks",
        passed + failed
    );
    if failed > 0 {
        println!("{printed}");
        return Ok(Count { failed: 1, ..Count::default() });
    }
    Ok(Count { passed: 1, ..Count::default() })
}

/// As much as takes less than a minute, for `cargo xtask test`; and leaks that are planted are found where they are.
///
/// # Errors
/// As [`run`], and a planted leak that is not found.
pub fn briefly() -> Result<Count> {
    build::modules()?;
    let mut count = run(BRIEFLY * KINDS)?;
    for (plant, place) in PLANTS {
        let (_, failed, printed) = look(1, Some(plant))?;
        let is_found =
            |site: &str| printed.lines().any(|line| line.contains(&format!("| {site} | {place}:")));
        ensure!(
            failed > 0 && is_found("the chain") && is_found("all-in-one"),
            "e-mail addresses were let into {plant}, and nothing was found in {place}"
        );
        count.passed += 1;
    }
    Ok(count)
}

/// How many cases are clean, how many leak, and what the program prints.
fn look(count: usize, plant: Option<&str>) -> Result<(usize, usize, String)> {
    let mut program = Command::new(build::leaks()?);
    program.arg(project::dist()).arg(count.to_string()).args(plant);
    let printed = command::run(&mut program)?;
    let last = printed.lines().last().unwrap_or_default();
    let number = |what: &str| {
        let part = last.split(", ").find_map(|part| part.strip_suffix(what))?;
        part.trim().parse::<usize>().ok()
    };
    let passed = number("passed").with_context(|| format!("no counts at the end of:\n{printed}"))?;
    let failed = number("failed").with_context(|| format!("no counts at the end of:\n{printed}"))?;
    Ok((passed, failed, printed))
}
