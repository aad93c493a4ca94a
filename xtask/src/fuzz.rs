//! `cargo xtask fuzz`: coverage-guided fuzzing of everything that reads somebody else's bytes.
//!
//! The program is `fuzz/`, compiled with counters of edges (`fuzz/rustc`) for libFuzzer. Each target runs in a process of its own, on its seeds in `fuzz/seeds/` and
//! on what earlier runs have found in `target/fuzz/corpus/`. Files that the repository has anyway are seeds too: configurations, scenarios and sheets.

use crate::{build, command, e2e::Count, progress, project};
use anyhow::{Context as _, Result, bail, ensure};
use comfy_table::Table;
use harness::conformance::Abi;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// The targets, and the longest input of each, in bytes.
const TARGETS: [(&str, usize); 18] = [
    ("redact", 4096),
    ("encodings", 256),
    ("stream", 12_288),
    ("cookie", 1024),
    ("query", 1024),
    ("baggage", 12_288),
    ("traceparent", 128),
    ("json", 2048),
    ("form", 2048),
    ("path", 256),
    ("config-ab-routing", 4096),
    ("config-access-log", 4096),
    ("config-metrics", 4096),
    ("config-policy", 4096),
    ("scenario", 4096),
    ("wire", 2048),
    ("module", 4096),
    ("all-in-one", 4096),
];

/// Fuzzes every target, or those whose name has a text: for so many seconds, or so many runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only targets with this in their names.
    only: Option<String>,
    /// Seconds of a core for each target.
    #[arg(long, default_value_t = 300, conflicts_with = "runs")]
    seconds: u64,
    /// How many times more, at most, a target gets them that has found a new edge in the last fifth of its runs.
    #[arg(long, default_value_t = 3, conflicts_with = "runs")]
    more: u64,
    /// So many runs of each target instead, behind all of its seeds.
    #[arg(long)]
    runs: Option<u64>,
    /// Runs one target on this input alone, which is how a finding is seen again.
    #[arg(long, requires = "only", value_name = "FILE")]
    input: Option<PathBuf>,
}

/// What came of a target.
#[derive(Debug, Default)]
struct Found {
    runs: u64,
    edges: u64,
    /// At which run the last new edge was found.
    last: u64,
    inputs: u64,
    /// Of a core.
    seconds: u64,
    /// The input that a promise was broken on.
    finding: Option<PathBuf>,
    text: String,
}

/// Runs the command.
///
/// # Errors
/// The program does not build. A finding is exit code 1.
pub fn run(args: &Args) -> Result<ExitCode> {
    let names: Vec<_> = TARGETS
        .iter()
        .filter(|(name, _)| args.only.as_ref().is_none_or(|only| name.contains(only)))
        .collect();
    ensure!(
        !names.is_empty(),
        "no target has this name: they are {}",
        TARGETS.map(|(name, _)| name).join(", ")
    );
    let program = Program::build()?;
    if let (Some(input), [(name, _)]) = (&args.input, names.as_slice()) {
        let status = program.command(name).arg(input).status()?;
        return Ok(ExitCode::from(u8::from(!status.success())));
    }
    ensure!(args.input.is_none(), "an input is for one target");
    let mut table = Table::new();
    table.set_header(["target", "seconds", "runs", "a second", "edges", "last new edge at run", "inputs"]);
    let work = progress::begin_counted("fuzzing", names.len() as u64);
    let mut findings = Vec::new();
    for (name, longest) in names {
        work.now(&format!("fuzzing {name}"));
        let found = program.fuzz(name, *longest, args)?;
        if args.runs.is_none() {
            println!("{name}: {} runs, {} edges, the last at run {}", found.runs, found.edges, found.last);
        }
        table.add_row([
            (*name).to_owned(),
            found.seconds.to_string(),
            found.runs.to_string(),
            (found.runs / found.seconds.max(1)).to_string(),
            found.edges.to_string(),
            found.last.to_string(),
            found.inputs.to_string(),
        ]);
        if let Some(input) = found.finding {
            findings.push(format!("{name}: {}\n{}", input.display(), found.text));
        }
        work.step();
    }
    drop(work);
    println!("{table}");
    for finding in &findings {
        println!("FOUND {finding}");
    }
    Ok(ExitCode::from(u8::from(!findings.is_empty())))
}

/// As many runs of each target as take a minute together, for `cargo xtask test`.
///
/// # Errors
/// The program does not build, or something is found.
pub fn briefly() -> Result<Count> {
    let args = Args { only: None, seconds: 0, more: 0, runs: Some(2000), input: None };
    ensure!(run(&args)? == ExitCode::SUCCESS, "fuzzing has found something");
    Ok(Count { passed: TARGETS.len(), ..Count::default() })
}

/// The program with all targets.
struct Program {
    path: PathBuf,
    probe: PathBuf,
    /// Where what was found is kept.
    kept: PathBuf,
}

impl Program {
    fn build() -> Result<Self> {
        build::modules()?;
        let probe = build::probes()?.join(Abi::V0_2_1.probe());
        let work = progress::begin("building the fuzzer");
        let mut cargo = command::cargo(&[
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--bin",
            "fuzz",
            "--features",
            "fuzz/fuzzing",
        ]);
        cargo.env("RUSTC_WORKSPACE_WRAPPER", project::root().join("fuzz/rustc"));
        command::run(&mut cargo)?;
        drop(work);
        let target = project::target()?;
        Ok(Self { path: target.join("debug/fuzz"), probe, kept: target.join("fuzz") })
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.env("OUTRIGGER_FUZZ", name).env("OUTRIGGER_PROBE", &self.probe);
        command
    }

    /// Fuzzes one target for its seconds of a core, which take longer where others are at work, and once more while it finds something to the end.
    fn fuzz(&self, name: &str, longest: usize, args: &Args) -> Result<Found> {
        let corpus = self.kept.join("corpus").join(name);
        let broken = self.kept.join("found").join(name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&broken)?;
        for (number, seed) in seeds(name)?.iter().enumerate().filter(|(_, seed)| seed.len() <= longest) {
            fs::write(corpus.join(format!("seed-{number}")), seed)?;
        }
        let mut all = Found::default();
        let (before, mut until) = (children_seconds()?, args.seconds);
        loop {
            let mut command = self.command(name);
            command.arg(&corpus);
            command.arg(format!("-max_len={longest}")).arg("-print_final_stats=1").arg("-timeout=20");
            command.arg("-rss_limit_mb=4096").arg(format!("-artifact_prefix={}/", broken.display()));
            match args.runs {
                // As many runs are the same runs each time.
                Some(runs) => command.arg(format!("-runs={runs}")).arg("-seed=1"),
                None => command.arg(format!("-max_total_time={}", until.saturating_sub(all.seconds).max(10))),
            };
            let output = command::output(&mut command)?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let now = read(&text, all.edges);
            all = Found {
                runs: all.runs + now.runs,
                last: if now.last > 0 { all.runs + now.last } else { all.last },
                seconds: children_seconds()?.saturating_sub(before),
                edges: now.edges,
                inputs: now.inputs,
                finding: None,
                text: String::new(),
            };
            if !output.status.success() {
                let place = text.find("panicked at").or_else(|| text.find("ERROR: libFuzzer"));
                let Some(place) = place else { bail!("{name} failed ({}):\n{text}", output.status) };
                let line = text.lines().find_map(|line| line.split_once("Test unit written to "));
                all.finding =
                    Some(line.map(|(_, path)| Path::new(path.trim()).to_path_buf()).unwrap_or_default());
                all.text =
                    text.get(place..).unwrap_or_default().lines().take(4).collect::<Vec<_>>().join("\n");
                break;
            }
            if args.runs.is_some() {
                break;
            }
            if all.seconds >= until {
                let is_rising = all.last.saturating_mul(5) > all.runs.saturating_mul(4);
                if !is_rising || until > args.seconds * args.more {
                    break;
                }
                until += args.seconds;
            }
        }
        Ok(all)
    }
}

/// Seconds of a core that ended children of this process have used: `cutime` and `cstime` of proc(5), in ticks of a hundredth of a second.
fn children_seconds() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the name, in brackets, of any bytes.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<u64> = fields.skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    ensure!(ticks.len() == 2, "/proc/self/stat reads otherwise than proc(5) says");
    Ok(ticks.iter().sum::<u64>() / 100)
}

/// What a target begins with.
fn seeds(name: &str) -> Result<Vec<Vec<u8>>> {
    let root = project::root();
    let mut seeds = read_all(&root.join("fuzz/seeds").join(name))?;
    if let Some(filter) = name.strip_prefix("config-") {
        seeds.push(fs::read(root.join("filters").join(filter).join("config.example.json"))?);
    }
    if name == "scenario" {
        for filter in project::filters()? {
            seeds.extend(read_all(&root.join("filters").join(filter).join("scenarios"))?);
        }
    }
    if name == "wire" {
        for file in read_all(&root.join("harness/conformance"))? {
            let text = String::from_utf8_lossy(&file);
            // A sheet is the lines below its name.
            let sheets = text.split("\n= ").filter_map(|sheet| sheet.split_once('\n'));
            seeds.extend(sheets.map(|(_, lines)| lines.as_bytes().to_vec()));
        }
    }
    Ok(seeds)
}

/// The files of a folder; none where it is not there.
fn read_all(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).with_context(|| format!("cannot read {}", path.display())))
        .collect()
}

/// Reads what libFuzzer says: `#1234 NEW cov: 56 ft: 78 corp: 9/10b ...`, and `stat::number_of_executed_units: 1234`.
/// `edges` are those that are known: a process that goes on begins with them.
fn read(text: &str, edges: u64) -> Found {
    let mut found = Found { edges, ..Found::default() };
    for line in text.lines() {
        if let Some(runs) = line.strip_prefix("stat::number_of_executed_units:") {
            found.runs = runs.trim().parse().unwrap_or(0);
        }
        let mut words = line.split_whitespace();
        let Some(run) = words.next().and_then(|word| word.strip_prefix('#')?.parse().ok()) else { continue };
        let after = |name: &str| {
            let mut words = line.split_whitespace();
            words.find(|word| *word == name)?;
            words.next()?.split('/').next()?.parse::<u64>().ok()
        };
        found.inputs = after("corp:").unwrap_or(found.inputs);
        // An input is also kept for how often it goes through edges that are known.
        if let Some(edges) = after("cov:").filter(|edges| *edges > found.edges) {
            (found.edges, found.last) = (edges, run);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let text = "#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 30Mb\n#812\tNEW    cov: 21 ft: 30 corp: 4/9b lim: 4 exec/s: 0 rss: 31Mb L: 3/4\n\
             #3000\tNEW    cov: 21 ft: 31 corp: 5/12b lim: 4 exec/s: 0 rss: 31Mb L: 3/4\n#4096\tpulse  cov: 21 ft: 31 corp: 5/12b lim: 8 exec/s: 2048 rss: 31Mb\nstat::number_of_executed_units: 5000\n";
        let found = read(text, 0);
        assert_eq!((found.runs, found.edges, found.last, found.inputs), (5000, 21, 812, 5));
        let again = read(text, 21);
        assert_eq!((again.edges, again.last), (21, 0), "nothing is new to who goes on");
    }
}
