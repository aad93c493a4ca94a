//! `cargo xtask soak`: millions of requests through each module, in the harness and in a real Envoy, and what memory, time and counters say of them.

pub mod leaks;
mod load;
mod on_envoy;
#[path = "../../../harness/examples/soak/plan.rs"]
mod plan;
#[path = "../../../harness/examples/soak/traffic.rs"]
mod traffic;

use crate::{build, command, e2e::Count, parallel, progress, project, setup};
use anyhow::{Context as _, Result, ensure};
use comfy_table::Table;
use on_envoy::Row;
use plan::{Plan, Sum};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

/// The part of the requests behind which the memory of a module must not grow, in the harness: a fifth.
const WARM_UP: u64 = 5;
/// A page of a module's memory, in bytes.
const PAGE: i64 = 65_536;
/// How many modules run at once in the harness.
const AT_ONCE: usize = 2;

/// Sends many requests through each module, in the harness and in Envoy: memory stays where it is, every request is counted, and no value is written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the filters whose name has this text.
    only: Option<String>,
    /// Requests through each module in the harness; 0 is none.
    #[arg(long, default_value_t = 10_000_000)]
    requests: u64,
    /// Requests through each module in Envoy; 0 is none.
    #[arg(long, default_value_t = 1_000_000)]
    envoy: usize,
    /// Cases of personal data through all filters, or a few more; 0 is none.
    #[arg(long, default_value_t = 2_000_000)]
    leaks: usize,
}

/// How much more memory there may be than behind the warm-up.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Pages of a module in the harness.
    pages: i64,
    /// Percent of Envoy.
    percent: f64,
}

/// What a soak holds to.
const FLAT: Bounds = Bounds { pages: 0, percent: 2.0 };
/// What a short one holds to, in which tables fill up to the end.
const SHORT: Bounds = Bounds { pages: 6, percent: 6.0 };

/// Runs the command.
///
/// # Errors
/// Something is missing. What grows, fails or is not counted is exit code 1.
pub fn run(args: &Args) -> Result<ExitCode> {
    let count = soak(args, FLAT)?;
    println!("{} passed, {} failed", count.passed, count.failed);
    Ok(ExitCode::from(u8::from(count.failed > 0)))
}

/// As much as takes less than a minute, for `cargo xtask test`.
///
/// # Errors
/// As [`run`].
pub fn briefly() -> Result<Count> {
    soak(&Args { only: None, requests: 40_000, envoy: 4000, leaks: 0 }, SHORT)
}

fn soak(args: &Args, bounds: Bounds) -> Result<Count> {
    build::modules()?;
    let mut filters = project::filters()?;
    filters.retain(|filter| args.only.as_ref().is_none_or(|only| filter.contains(only)));
    ensure!(!filters.is_empty(), "no filter has this name");
    let mut count = Count::default();
    if args.requests > 0 {
        in_harness(&filters, args.requests, bounds, &mut count)?;
    }
    if args.envoy > 0 {
        in_envoy(&filters, args.envoy, bounds, &mut count)?;
    }
    if args.leaks > 0 {
        let found = leaks::run(args.leaks)?;
        count.passed += found.passed;
        count.failed += found.failed;
    }
    Ok(count)
}

/// The file of a filter's plan.
fn path_of(filter: &str) -> PathBuf {
    project::root().join("harness/examples/soak/plans").join(format!("{filter}.json"))
}

/// A filter's plan.
fn plan_of(filter: &str) -> Result<Plan> {
    let path = path_of(filter);
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// Sums of counters, beside what was sent.
#[derive(Debug)]
struct Sums(Vec<Sum>);

impl Sums {
    fn of(plan: &Plan, sent: &BTreeMap<String, u64>, stats: &BTreeMap<String, i64>) -> Self {
        Self(plan.sums(sent, stats))
    }

    fn is_even(&self) -> bool {
        self.0.iter().all(|sum| sum.sent == sum.counted)
    }

    /// Those that are not even.
    fn uneven(&self) -> impl Iterator<Item = String> {
        let uneven = self.0.iter().filter(|sum| sum.sent != sum.counted);
        uneven.map(|sum| format!("{}: {} were sent, and {} counted", sum.what, sum.sent, sum.counted))
    }
}

/// Notes what is wrong with a module.
fn judge(count: &mut Count, filter: &str, wrong: &[String]) {
    for wrong in wrong {
        progress::failed(filter, wrong);
    }
    if wrong.is_empty() {
        count.passed += 1;
    } else {
        count.failed += 1;
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are less than 2^53 requests")]
fn in_harness(filters: &[String], requests: u64, bounds: Bounds, count: &mut Count) -> Result<()> {
    let program = build::soak()?;
    let warm_up = requests / WARM_UP;
    let work = progress::begin_counted("soaking in the harness", filters.len() as u64);
    let outcomes = parallel::map(filters, AT_ONCE, |filter| {
        let mut soak = Command::new(&program);
        soak.arg(build::module(filter)).arg(path_of(filter));
        let printed = command::run(soak.args([requests.to_string(), warm_up.to_string()]));
        work.step();
        let printed = printed?;
        serde_json::from_str::<Value>(printed.lines().last().unwrap_or_default())
            .with_context(|| format!("the soak printed no figures:\n{printed}"))
    });
    drop(work);
    let mut table = Table::new();
    table.set_header([
        "in the harness",
        "requests",
        "a second",
        "pages",
        "more than warm",
        "last grown at",
        "traps",
        "sums",
    ]);
    for (filter, outcome) in filters.iter().zip(outcomes) {
        let outcome = outcome.with_context(|| filter.clone())?;
        let figure = |name: &str| outcome[name].as_i64().with_context(|| format!("no {name} in {outcome}"));
        let grown = (figure("end_bytes")? - figure("warm_bytes")?) / PAGE;
        let sums = outcome["sums"].as_array().context("no sums")?.iter().map(|sum| Sum {
            what: sum["what"].as_str().unwrap_or_default().to_owned(),
            sent: sum["sent"].as_i64().unwrap_or(-1),
            counted: sum["counted"].as_i64().unwrap_or(-2),
        });
        let sums = Sums(sums.collect());
        let mut wrong: Vec<String> = sums.uneven().collect();
        if grown > bounds.pages {
            wrong.push(format!("its memory grew by {grown} pages behind the warm-up"));
        }
        if figure("traps")? > 0 {
            wrong.push("it has trapped".to_owned());
        }
        let seconds = outcome["seconds"].as_f64().context("no seconds")?;
        table.add_row([
            filter.clone(),
            requests.to_string(),
            format!("{:.0}", figure("requests")? as f64 / seconds),
            (figure("end_bytes")? / PAGE).to_string(),
            grown.to_string(),
            figure("grown_at")?.to_string(),
            figure("traps")?.to_string(),
            format!("{} of {} even", sums.0.len() - sums.uneven().count(), sums.0.len()),
        ]);
        judge(count, filter, &wrong);
    }
    println!("{table}");
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a process has less than 2^53 kB")]
fn in_envoy(filters: &[String], requests: usize, bounds: Bounds, count: &mut Count) -> Result<()> {
    let program = setup::envoy(None)?;
    let shop = on_envoy::shop(&program)?;
    let load = load::Load::new();
    let work = progress::begin_counted("soaking in Envoy", filters.len() as u64);
    let mut table = Table::new();
    table.set_header([
        "in Envoy", "requests", "seconds", "MB warm", "most", "end", "heap", "p50 us", "ratio", "p99 us",
        "ratio", "errors", "sums",
    ]);
    for filter in filters {
        work.now(&format!("soaking {filter} in Envoy"));
        let row = on_envoy::run(&program, &shop, &load, filter, requests).with_context(|| filter.clone())?;
        work.step();
        let more = |now: u64, before: u64| (now as f64 / before as f64 - 1.0) * 100.0;
        let mut wrong: Vec<String> = row.sums.uneven().chain(row.errors.iter().take(5).cloned()).collect();
        if more(row.largest, row.warm) > bounds.percent {
            wrong.push(format!("Envoy grew from {} to {} KB behind the warm-up", row.warm, row.largest));
        }
        let Row { half, most, allocated, .. } = &row;
        table.add_row([
            filter.clone(),
            row.requests.to_string(),
            format!("{:.0}", row.seconds),
            format!("{:.1}", row.warm as f64 / 1024.0),
            format!("{:+.2} %", more(row.largest, row.warm)),
            format!("{:+.2} %", more(row.end, row.warm)),
            format!("{:+.2} %", more(allocated[1], allocated[0])),
            format!("{:.0} / {:.0}", half[0], half[1]),
            format!("{:.2}", half[2]),
            format!("{:.0} / {:.0}", most[0], most[1]),
            format!("{:.2}", most[2]),
            row.errors.len().to_string(),
            format!("{} of {} even", row.sums.0.len() - row.sums.uneven().count(), row.sums.0.len()),
        ]);
        judge(count, filter, &wrong);
    }
    drop(work);
    println!("{table}");
    Ok(())
}
