//! Commands that the docs show are run, and say what the docs say that they do.
//!
//! A page's commands run one after the other in a copy of `docs/examples/PAGE/`, with `outrigger` on the PATH. What is not run so is named in [`ELSEWHERE`]: with
//! the step of `cargo xtask test` that runs it, or with the reason why none does.

use super::{blocks, pages};
use crate::{build, command, e2e::Count, progress, project, test};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// Where a command is run that the page's folder is no place for.
enum Elsewhere {
    /// In a step of `cargo xtask test`.
    Step(&'static str),
    /// In none, for a reason.
    Nowhere(&'static str),
    /// In the repository's root.
    Root,
}
use Elsewhere::{Nowhere, Root, Step};

/// What commands begin with, and where they are run. The first that fits counts.
const ELSEWHERE: [(&str, Elsewhere); 36] = [
    (
        "cargo build -p outrigger",
        Nowhere("alone it has other features than in the workspace, and wasmtime would be compiled twice"),
    ),
    ("cargo build -p xtask ", Root),
    ("cargo test -p filter-kit ", Root),
    ("cargo build --release --target", Nowhere("it is for a crate of the reader's own")),
    ("cargo xtask test", Nowhere("it is what runs this")),
    ("cargo xtask demo", Step("demo")),
    ("cargo xtask fuzz", Step("fuzzing, briefly")),
    ("cargo xtask build --check-reproducible", Nowhere("it takes six minutes")),
    ("cargo xtask build", Step("answers in the docs")),
    ("cargo xtask bench", Nowhere("its figures want a quiet machine")),
    ("cargo xtask images", Nowhere("it needs Docker; `cargo xtask e2e --compose` runs it")),
    ("cargo xtask e2e --envoy-version", Nowhere("it is the step of the same name, with another Envoy")),
    (
        "cargo xtask e2e --rbac --envoy-version",
        Nowhere("it is the step of the same name, with another Envoy"),
    ),
    ("cargo xtask e2e --capabilities", Nowhere("it takes a minute a filter")),
    ("cargo xtask e2e --faults=", Nowhere("it takes minutes; the step \"faults on Envoy\" has less of it")),
    ("cargo xtask e2e --faults", Step("faults on Envoy")),
    ("valgrind ", Nowhere("it needs valgrind; what it runs is a unit test")),
    ("cargo xtask e2e --publish", Step("published modules")),
    ("cargo xtask e2e --ui", Step("the page in a browser")),
    ("cargo xtask e2e all-in-one", Step("scenarios on Envoy")),
    ("cargo xtask e2e maintenance", Step("scenarios on Envoy")),
    (
        "cargo run --release -p experiments --example guardrail",
        Nowhere("it takes minutes; the unit tests run it with less"),
    ),
    ("OUTRIGGER_ATTACKS=", Nowhere("it takes 15 minutes; the unit tests run it with less")),
    ("outrigger publish", Step("published modules")),
    ("outrigger manifest plugin", Step("published modules")),
    ("outrigger check plugin.yaml", Step("published modules")),
    ("outrigger ui", Step("the page in a browser")),
    ("curl -s http://127.0.0.1:998", Step("the page in a browser")),
    ("curl -H \"x-outrigger-explain", Step("policy tried on Envoy")),
    ("curl", Step("answers in the docs")),
    ("target/debug/outrigger-shop", Step("demo")),
    ("envoy --mode validate", Step("configurations")),
    ("envoy -c", Step("answers in the docs")),
    ("docker-compose", Nowhere("it needs Docker; `cargo xtask e2e --compose` runs it")),
    (
        "outrigger check envoy-configs/all.yaml && docker-compose",
        Nowhere("it needs Docker; the configuration is checked by \"configurations\""),
    ),
    ("kubectl", Nowhere("there is no cluster")),
];

/// What a page's own commands are of.
const PROGRAMS: [&str; 3] = ["outrigger ", "echo ", "cat "];

/// Runs the commands of all pages.
///
/// # Errors
/// A page cannot be read, or the tool or a module does not build.
pub fn check() -> Result<Count> {
    build::modules()?;
    let modules =
        [("plugin.wasm", build::fixture("sdk_secret")?), ("fixed.wasm", build::fixture("sdk_secret_whole")?)];
    let tool = build::outrigger()?;
    let (mut count, mut used) = (Count::default(), BTreeSet::new());
    for page in pages()? {
        let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
        let folder = Folder::make(&page, &tool, &modules)?;
        let ran = read(&text).into_iter().map(|shown| (folder.run(&shown, &mut used), shown.command));
        let configured =
            blocks::of(&text, "json").map(|block| (folder.load(&page, block), "a block of JSON"));
        let files = blocks::of(&text, "toml").filter(|block| !block.contains("dependencies]"));
        let files = files.map(|block| (folder.has(block), "a block of TOML"));
        for (outcome, what) in ran.chain(configured).chain(files) {
            match outcome {
                Ok(()) => count.passed += 1,
                Err(error) => {
                    progress::failed(&format!("{}: `{what}`", page.display()), &format!("{error:#}"));
                    count.failed += 1;
                }
            }
        }
    }
    for (begin, elsewhere) in &ELSEWHERE {
        ensure!(used.contains(begin), "no page has a command that begins with `{begin}`");
        if let Step(step) = elsewhere {
            ensure!(test::has_step(step), "`{begin}` is for a step that is not there: {step}");
        }
    }
    Ok(count)
}

/// A command, and the lines that the page shows behind it.
struct Shown<'a> {
    command: &'a str,
    lines: Vec<&'a str>,
}

/// The commands of a page's blocks.
fn read(page: &str) -> Vec<Shown<'_>> {
    let mut all = Vec::new();
    // What stands between fences is every other part.
    for block in page.split("\n```").skip(1).step_by(2) {
        let mut lines = block.lines().skip(1).peekable();
        while let Some(line) = lines.next() {
            let Some(command) = line.trim_start().strip_prefix("$ ") else { continue };
            let is_own = |line: &&str| !line.trim_start().starts_with("$ ");
            let lines = std::iter::from_fn(|| lines.next_if(is_own)).collect();
            all.push(Shown { command, lines });
        }
    }
    all
}

/// Where a page's commands run.
struct Folder {
    at: PathBuf,
    /// What it was copied from, if the page has something.
    examples: Option<PathBuf>,
    path: std::ffi::OsString,
}

impl Folder {
    /// Copies what the page has in `docs/examples/`. A filter's README has the filter's name, others have their own.
    fn make(page: &Path, tool: &Path, modules: &[(&str, PathBuf)]) -> Result<Self> {
        let parent = page.parent().and_then(Path::file_name).unwrap_or_default();
        let is_filter = page.components().any(|part| part.as_os_str() == "filters");
        let name = if is_filter { parent } else { page.file_stem().unwrap_or_default() };
        let name = name.to_string_lossy().to_lowercase();
        let at = project::scratch("docs")?.join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&at);
        fs::create_dir_all(&at)?;
        let examples =
            Some(project::root().join("docs/examples").join(&name)).filter(|examples| examples.is_dir());
        if let Some(examples) = &examples {
            command::run(Command::new("cp").arg("-RL").arg(examples.join(".")).arg(&at))?;
        }
        for (name, module) in modules {
            fs::copy(module, at.join(name))?;
        }
        symlink(project::root().join("dist"), at.join("dist"))?;
        let mut folders = vec![tool.parent().unwrap_or(Path::new("")).to_path_buf()];
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        Ok(Self { at, examples, path: env::join_paths(folders)? })
    }

    /// A scenario that a page shows stands in a file of the page's folder, where commands take it from. A page without a folder has its own test.
    fn has(&self, block: &str) -> Result<()> {
        let Some(examples) = &self.examples else { return Ok(()) };
        for entry in fs::read_dir(examples)? {
            if fs::read_to_string(entry?.path()).is_ok_and(|text| text.trim() == block.trim()) {
                return Ok(());
            }
        }
        bail!("no file of {} is so: {block}", examples.display())
    }

    fn run(&self, shown: &Shown<'_>, used: &mut BTreeSet<&'static str>) -> Result<()> {
        let elsewhere = ELSEWHERE.iter().find(|(begin, _)| shown.command.starts_with(begin));
        if let Some((begin, elsewhere)) = elsewhere {
            used.insert(begin);
            if matches!(elsewhere, Root) {
                let line = shown.command.split(" # ").next().unwrap_or_default();
                command::run(Command::new("sh").args(["-c", line]).current_dir(project::root()))?;
            }
            if let Nowhere(reason) = elsewhere {
                ensure!(!reason.is_empty(), "no reason why it is not run");
            }
            return Ok(());
        }
        ensure!(PROGRAMS.iter().any(|program| shown.command.starts_with(program)), "no test runs it");
        let said = self.output(shown.command)?;
        matches(&shown.lines.join("\n"), &said)
    }

    /// What a command says, on both outputs.
    fn output(&self, line: &str) -> Result<String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1\n{line}")]).current_dir(&self.at).env("PATH", &self.path);
        let output = command::output(&mut shell)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A configuration that a page shows loads: of the filter that the page is of, or of the one that has its first field.
    fn load(&self, page: &Path, block: &str) -> Result<()> {
        let (filter, whole) = blocks::configuration(page, block).context("a configuration of no filter")?;
        fs::write(self.at.join("shown.json"), whole)?;
        let said = self.output(&match filter.as_str() {
            // The engine's own, with regexes: those no filter's module has.
            "pii" => "echo nothing | PII_KEY=0123456789abcdef outrigger redact --config shown.json".to_owned(),
            filter => format!("outrigger check --filter {filter} --env EXPLAIN_SECRET=0123456789abcdef0123456789abcdef shown.json"),
        })?;
        let is_read = said.contains("1 files checked: 0 errors") || said.contains("0 found");
        ensure!(is_read, "{said}");
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.at);
    }
}

/// Holds what was said against what is shown, in which `...` is for any text. Where nothing is shown nothing is compared but that the call was right.
fn matches(shown: &str, said: &str) -> Result<()> {
    ensure!(!said.contains("\nUsage: ") && !said.starts_with("sh: "), "{said}");
    if shown.trim().is_empty() {
        return Ok(());
    }
    let mut rest = said.trim();
    let parts: Vec<&str> = shown.split("...").map(str::trim).collect();
    for (number, part) in parts.iter().enumerate() {
        let place = rest
            .find(part)
            .with_context(|| format!("does not say {part:?} behind the lines before, but {rest:?}"))?;
        ensure!(number > 0 || place == 0, "begins otherwise: {said}");
        rest = rest.get(place + part.len()..).unwrap_or_default();
    }
    let is_whole = rest.trim().is_empty() || parts.last().is_some_and(|part| part.is_empty());
    ensure!(is_whole, "goes on with {rest:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn what_is_shown_is_what_is_said() {
        for shown in ["", "one\ntwo\nthree", "one\n...\nthree", "one\n...", "...\nthree", "one...ee"] {
            assert!(matches(shown, "one\ntwo\nthree\n").is_ok(), "{shown}");
        }
        for shown in ["one\ntwo", "two\nthree", "one\n...\ntwo", "three\n...\none", "one\n...\nfour"] {
            assert!(matches(shown, "one\ntwo\nthree\n").is_err(), "{shown}");
        }
        assert!(matches("", "error: x\n\nUsage: outrigger check\n").is_err());
    }
}
