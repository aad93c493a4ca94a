//! `cargo xtask test`: everything that CI checks.

mod rules;

use crate::{
    bootstrap::Bootstrap,
    build, command, docs,
    e2e::{self, Count},
    envoy, fuzz, istio, progress, project, setup, soak,
};
use anyhow::{Result, ensure};
use comfy_table::Table;
use std::{
    fs,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

/// The most bytes of a filter's module: by the pii engine, and by how much it knows beside it.
fn size_limit(filter: &str) -> u64 {
    match filter {
        "ab-routing" | "metrics" => 300_000,
        "policy" => 500_000,
        "all-in-one" => 800_000,
        _ => 400_000,
    }
}

/// Runs everything that CI checks: format, lints, rules, unit tests, modules, scenarios on the harness and on Envoy, configurations.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the checks of which the name has this text.
    only: Option<String>,
}

/// A step: its name and what it does.
type Step = (&'static str, fn() -> Result<Count>);

const STEPS: &[Step] = &[
    ("format", || passes(&mut command::cargo(&["fmt", "--all", "--check"]))),
    ("lints", || {
        passes(&mut command::cargo(&[
            "clippy",
            "--quiet",
            "--locked",
            "--workspace",
            "--all-targets",
            "--features",
            "fuzz/fuzzing",
            "--",
            "-D",
            "warnings",
        ]))
    }),
    ("lints of modules", lints_of_modules),
    ("dependency rules", || rules::check(project::metadata()?)),
    ("licences, bans and sources", licences),
    ("unit tests", unit_tests),
    ("modules", modules),
    ("a module built elsewhere", built_elsewhere),
    ("scenarios on the harness", scenarios_on_harness),
    ("leaks of all filters", soak::leaks::briefly),
    ("fuzzing, briefly", fuzz::briefly),
    ("soak, briefly", soak::briefly),
    ("configurations", configurations),
    ("commands and links of the docs", docs::check),
    ("commands of the docs, run", docs::transcripts::check),
    ("answers in the docs", docs::answers::check),
    ("Istio's manifests", istio::check),
    ("scenarios on Envoy", || e2e::all(None, false, None)),
    ("stickiness on Envoy", e2e::sticky::run),
    ("one arm through two Envoys", e2e::hops::run),
    ("a guardrail on Envoy", e2e::guardrail::run),
    ("policy tried on Envoy", e2e::candidate::run),
    ("pushes on Envoy", || e2e::pushes::run(e2e::pushes::Scale::Brief)),
    ("access logs on Envoy", e2e::outputs::run),
    ("faults on Envoy", || e2e::faults::run("", 1)),
    ("the tool, and Envoy", e2e::tool::run),
    ("metrics on Envoy", e2e::metrics::run),
    ("published modules", e2e::publish::run),
    ("policy beside Envoy's RBAC", || e2e::rbac::run(None, e2e::rbac::Against::Module, 1, &[])),
    ("policy's rows on Envoy", e2e::rbac::rows::run),
    ("bypasses tried on Envoy", e2e::bypass::run),
    ("the page in a browser", || e2e::ui::run(e2e::ui::What::Check)),
    ("conformance", || passes(&mut command::cargo(&["xtask", "conformance", "--check"]))),
    ("demo", || passes(&mut command::cargo(&["xtask", "demo", "--once"]))),
];

/// Whether there is a step of this name.
pub fn has_step(name: &str) -> bool {
    STEPS.iter().any(|(step, _)| *step == name)
}

/// Runs the command.
///
/// # Errors
/// Something that the checks need is missing.
pub fn run(args: &Args) -> Result<ExitCode> {
    setup::wasm_target()?;
    setup::envoy(None)?;
    let mut total = Count::default();
    let mut table = Table::new();
    table.set_header(["check", "passed", "failed", "skipped", "seconds"]);
    let is_picked = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    for &(name, step) in STEPS.iter().filter(|(name, _)| is_picked(name)) {
        let begun = Instant::now();
        let work = progress::begin(name);
        let done = step();
        drop(work);
        let count = done.unwrap_or_else(|error| {
            progress::failed(name, &format!("{error:#}"));
            Count { failed: 1, ..Count::default() }
        });
        total.passed += count.passed;
        total.failed += count.failed;
        total.skipped += count.skipped;
        let seconds = format!("{:.1}", Duration::as_secs_f64(&begun.elapsed()));
        table.add_row([
            name.to_owned(),
            count.passed.to_string(),
            count.failed.to_string(),
            count.skipped.to_string(),
            seconds,
        ]);
    }
    ensure!(total != Count::default(), "no check has that name");
    println!("{table}");
    for failure in progress::failures() {
        anstream::println!("{}FAILED{:#} {failure}", progress::RED, progress::RED);
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    Ok(ExitCode::from(u8::from(total.failed > 0)))
}

fn one() -> Count {
    Count { passed: 1, ..Count::default() }
}

fn passes(command: &mut Command) -> Result<Count> {
    command::run(command)?;
    Ok(one())
}

/// Licences, bans and sources of all dependencies, by `deny.toml`. Advisories are not looked up: their database is not at hand.
fn licences() -> Result<Count> {
    let Some(program) = command::on_path("cargo-deny") else {
        println!(
            "SKIPPED  licences, bans and sources: there is no cargo-deny (`cargo install cargo-deny --locked`)"
        );
        return Ok(Count { skipped: 1, ..Count::default() });
    };
    let arguments = ["--offline", "--locked", "--all-features", "check", "licenses", "bans", "sources"];
    passes(Command::new(program).args(arguments).current_dir(project::root()))
}

/// The shell of a module is compiled for wasm32 alone, and linted there.
fn lints_of_modules() -> Result<Count> {
    let lint = |package: &str, features: &[&str]| {
        let mut clippy =
            command::cargo(&["clippy", "--quiet", "--locked", "--target", setup::WASM, "--package", package]);
        command::run(clippy.args(features).args(["--", "-D", "warnings"]))
    };
    let mut count = Count::default();
    for filter in project::filters()? {
        lint(&filter, &["--features", "module"])?;
        count.passed += 1;
    }
    for (package, features) in
        [("filter-kit", ""), ("pii", ""), ("probe", ""), ("probe", "abi_0_2_0"), ("probe", "abi_0_1_0")]
    {
        lint(package, &["--features", features])?;
        count.passed += 1;
    }
    Ok(count)
}

/// The counts that `cargo test` prints at the end of each of its runs.
fn unit_tests() -> Result<Count> {
    let output = command::output(&mut command::cargo(&[
        "test",
        "--quiet",
        "--locked",
        "--workspace",
        "--no-fail-fast",
    ]))?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut count = Count::default();
    for line in text.lines().filter(|line| line.starts_with("test result: ")) {
        let number = |what: &str| {
            let words: Vec<&str> = line.split([' ', ';', '.']).collect();
            let place = words.iter().position(|word| *word == what);
            place.and_then(|place| words.get(place.checked_sub(1)?)?.parse::<usize>().ok()).unwrap_or(0)
        };
        count.passed += number("passed");
        count.failed += number("failed");
        count.skipped += number("ignored");
    }
    if !output.status.success() {
        println!("{text}");
        count.failed = count.failed.max(1);
    }
    ensure!(count != Count::default(), "cargo test has run no test:\n{text}");
    Ok(count)
}

/// Every module builds, exports what its filter declares, and is small enough.
fn modules() -> Result<Count> {
    build::modules()?;
    let mut count = Count::default();
    for filter in project::filters()? {
        let size = fs::metadata(build::module(&filter))?.len();
        let limit = size_limit(&filter);
        ensure!(size <= limit, "dist/{filter}.wasm has {size} bytes, and may have {limit}");
        count.passed += 1;
    }
    Ok(count)
}

/// Of one module: `cargo xtask build --check-reproducible` takes all of them.
fn built_elsewhere() -> Result<Count> {
    let differ = build::reproduce::check(&["ab-routing".to_owned()])?;
    ensure!(differ == 0, "it came out otherwise in another folder");
    Ok(Count { passed: 1, ..Count::default() })
}

fn scenarios_on_harness() -> Result<Count> {
    let mut count = Count::default();
    for suite in e2e::suites()? {
        for (scenario, report) in e2e::on_harness(&suite)? {
            if report.failures.is_empty() {
                count.passed += 1;
                continue;
            }
            count.failed += 1;
            let what = format!("{}: {}", scenario.file.display(), scenario.name);
            progress::failed(&what, &report.failures.join("\n  "));
        }
    }
    Ok(count)
}

/// Every bootstrap is one that Envoy would start with, and every configuration one that `outrigger check` has nothing against.
fn configurations() -> Result<Count> {
    build::modules()?;
    let program = setup::envoy(None)?;
    let outrigger = build::outrigger()?;
    let mut count = Count::default();
    for name in project::bootstraps()? {
        let bootstrap = Bootstrap::load(&name)?;
        if let Err(log) = envoy::validate(&program, &bootstrap.0)? {
            progress::failed(&format!("envoy-configs/{name}.yaml"), &log);
            count.failed += 1;
        }
        command::run(
            Command::new(&outrigger)
                .args(["check", "--strict"])
                .arg(format!("envoy-configs/{name}.yaml"))
                .current_dir(project::root()),
        )?;
        count.passed += 1;
    }
    for filter in project::filters()? {
        let example = format!("filters/{filter}/config.example.json");
        command::run(
            Command::new(&outrigger)
                .args(["check", "--strict", "--filter", &filter, &example])
                .current_dir(project::root()),
        )?;
        count.passed += 1;
    }
    Ok(count)
}
