//! `cargo xtask build`: all modules, optimised, into dist/, each with a bill of materials.

pub mod reproduce;
mod sbom;

use crate::{command, progress, project, setup};
use anyhow::{Context as _, Result, bail, ensure};
use comfy_table::Table;
use harness::conformance::Abi;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};
use wasmparser::{ExternalKind, Parser, Payload};

/// The profile of modules.
const PROFILE: &str = "module";
/// Envoy's engine has vectors of 128 bits, which find a byte three times as fast. A low threshold of inlining and addresses of as few bytes as they
/// need make a module a tenth smaller. Symbols are named here because cargo forgets to strip a package with a profile of its own.
const CODE: [&str; 4] = [
    "-Ctarget-feature=+simd128",
    "-Cllvm-args=-inline-threshold=15",
    "-Clink-arg=--compress-relocations",
    "-Cstrip=symbols",
];
/// The custom section in which a module says which callbacks its filter declares.
const SECTION: &str = "outrigger.callbacks";

/// Builds all modules into dist/, with SHA256SUMS and for each module a bill of materials (CycloneDX), NAME.cdx.json.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Build them twice more, from nothing, in two other folders, and compare: exit code 1 if a byte differs.
    #[arg(long)]
    check_reproducible: bool,
    /// Compare this one alone.
    #[arg(long, value_name = "FILTER", requires = "check_reproducible")]
    only: Option<String>,
}

/// Where a module is built.
struct Site {
    /// The workspace.
    root: PathBuf,
    /// Cargo's target folder.
    target: PathBuf,
    /// Where cargo keeps the sources of other crates.
    cargo_home: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// A module does not build, or exports what its filter does not declare.
pub fn run(args: &Args) -> Result<ExitCode> {
    modules()?;
    if args.check_reproducible {
        let mut filters = project::filters()?;
        filters.retain(|filter| args.only.as_ref().is_none_or(|only| only == filter));
        ensure!(
            !filters.is_empty(),
            "there is no filter of this name: they are {}",
            project::filters()?.join(", ")
        );
        let differ = reproduce::check(&filters)?;
        return Ok(if differ == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut table = Table::new();
    table.set_header(["module", "bytes", "sha256"]);
    for filter in project::filters()? {
        let bytes = fs::read(module(&filter))?;
        table.add_row([format!("dist/{filter}.wasm"), bytes.len().to_string(), digest(&bytes)]);
    }
    println!("{table}");
    Ok(ExitCode::SUCCESS)
}

/// What a module is compiled with beside the profile, to stay within its size. Of metrics' requests one in many goes through the pii engine, when it
/// brings a label set that is new: there its size counts, and in the filter its speed. Policy asks the engine only where a rule is about personal data.
fn own_profile(filter: &str) -> &'static [&'static str] {
    const AB_ROUTING: [&str; 2] = ["--config", "profile.module.package.xxhash-rust.opt-level=\"s\""];
    const METRICS: [&str; 6] = [
        "--config",
        "profile.module.package.memchr.opt-level=\"s\"",
        "--config",
        "profile.module.package.pii.opt-level=\"z\"",
        "--config",
        "profile.module.package.metrics.opt-level=2",
    ];
    const POLICY: [&str; 2] = ["--config", "profile.module.package.pii.opt-level=\"s\""];
    match filter {
        "ab-routing" => &AB_ROUTING,
        "metrics" => &METRICS,
        "policy" => &POLICY,
        _ => &[],
    }
}

/// The path of a filter's module.
pub fn module(filter: &str) -> PathBuf {
    project::dist().join(format!("{filter}.wasm"))
}

/// Builds every filter into dist/.
///
/// # Errors
/// As [`run`].
pub fn modules() -> Result<()> {
    setup::wasm_target()?;
    fs::create_dir_all(project::dist())?;
    let filters = project::filters()?;
    let work = progress::begin_counted("building modules", filters.len() as u64);
    let mut sums = String::new();
    for filter in &filters {
        work.now(&format!("building {filter}"));
        let built = one(&Site::own()?, filter)?;
        let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
        check_exports(filter, &bytes)?;
        // A module that is unchanged keeps its time, so that nothing that watches it starts again.
        if fs::read(module(filter)).ok().as_ref() != Some(&bytes) {
            fs::write(module(filter), &bytes)?;
        }
        let sha256 = digest(&bytes);
        fs::write(project::dist().join(format!("{filter}.cdx.json")), sbom::of(filter, &sha256)?)?;
        writeln!(sums, "{sha256}  {filter}.wasm")?;
        work.step();
    }
    fs::write(project::dist().join("SHA256SUMS"), sums)?;
    Ok(())
}

/// Builds a filter, and says where it is.
fn one(site: &Site, filter: &str) -> Result<PathBuf> {
    // Both crate types at once would switch link-time optimisation off, without a word.
    let arguments = ["--package", filter, "--features", "module", "--crate-type", "cdylib"];
    cargo_rustc(site, &[&arguments, own_profile(filter)].concat(), &filter.replace('-', "_"))
}

/// Builds an example of filter-kit as a module, for scenarios and the bench.
///
/// # Errors
/// It does not build.
pub fn fixture(name: &str) -> Result<PathBuf> {
    example("filter-kit", name)
}

/// Builds an example of a crate for wasm32.
///
/// # Errors
/// It does not build.
pub fn example(package: &str, name: &str) -> Result<PathBuf> {
    setup::wasm_target()?;
    let _work = progress::begin(&format!("building {name} of {package}"));
    // What the engine is compared with is compiled for speed as it is, not for size as what modules depend on.
    let peer = "profile.module.package.regex-automata.opt-level=3";
    let arguments = ["--package", package, "--example", name, "--config", peer];
    cargo_rustc(&Site::own()?, &arguments, &format!("examples/{name}"))
}

/// Builds the form of a filter's module that traps on a request with the header `x-trap`.
///
/// # Errors
/// It does not build.
pub fn trapping(filter: &str) -> Result<PathBuf> {
    // Modules of examples have no hash in their names: each has one of its own.
    example(filter, &format!("trapping_{}", filter.replace('-', "_")))
}

/// Builds the probes of the conformance suite, one for each version of the ABI. Says in which folder they are.
///
/// # Errors
/// One does not build.
pub fn probes() -> Result<PathBuf> {
    setup::wasm_target()?;
    let _work = progress::begin("building the probes");
    let folder = project::scratch("probes")?;
    for abi in Abi::ALL {
        let features = match abi {
            Abi::V0_1_0 => "abi_0_1_0",
            Abi::V0_2_0 => "abi_0_2_0",
            Abi::V0_2_1 => "",
        };
        let built = cargo_rustc(&Site::own()?, &["--package", "probe", "--features", features], "probe")?;
        fs::copy(built, folder.join(abi.probe()))?;
    }
    Ok(folder)
}

impl Site {
    /// This workspace.
    fn own() -> Result<Self> {
        let root = project::root().to_path_buf();
        Ok(Self { root, target: project::target()?, cargo_home: cargo_home()? })
    }
}

/// The folder of cargo's own files.
fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
        .context("neither $CARGO_HOME nor $HOME is set")
}

fn cargo_rustc(site: &Site, arguments: &[&str], file: &str) -> Result<PathBuf> {
    let mut cargo =
        command::cargo(&["rustc", "--quiet", "--locked", "--profile", PROFILE, "--target", setup::WASM]);
    cargo.args(arguments).env("CARGO_ENCODED_RUSTFLAGS", rustflags(&site.root, &site.cargo_home)?);
    cargo.current_dir(&site.root).env("CARGO_HOME", &site.cargo_home).env("CARGO_TARGET_DIR", &site.target);
    command::run(&mut cargo)?;
    Ok(site.target.join(setup::WASM).join(PROFILE).join(file).with_extension("wasm"))
}

/// No path of the machine that it was built on gets into a module: neither this workspace's nor that of its dependencies' sources.
fn rustflags(root: &Path, cargo_home: &Path) -> Result<String> {
    let sources = cargo_home.join("registry/src");
    if !sources.is_dir() {
        command::run(&mut command::cargo(&["fetch", "--quiet", "--locked"]))?;
    }
    let mut folders: Vec<PathBuf> = fs::read_dir(&sources)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    folders.sort();
    folders.push(root.to_path_buf());
    let mut flags: Vec<_> =
        folders.iter().map(|folder| format!("--remap-path-prefix={}/=", folder.display())).collect();
    flags.extend(CODE.map(str::to_owned));
    Ok(flags.join("\u{1f}"))
}

/// A module exports the callbacks that its filter declares, and no others: each one costs a request about 95 ns.
fn check_exports(filter: &str, module: &[u8]) -> Result<()> {
    let Exports { exported, declared } = callbacks(module)?;
    let declared = declared
        .with_context(|| format!("{filter} has no section {SECTION}: is it made by filter_kit::export! ?"))?;
    if declared != exported {
        bail!("{filter} exports {exported:?} and declares {declared:?}");
    }
    Ok(())
}

/// The callbacks of a module, sorted.
pub struct Exports {
    /// Those that it exports.
    pub exported: Vec<String>,
    /// Those that its filter declares; none without the section that says so.
    declared: Option<Vec<String>>,
}

/// Reads a module's callbacks.
///
/// # Errors
/// It is no module.
pub fn callbacks(module: &[u8]) -> Result<Exports> {
    let (mut exported, mut declared) = (Vec::new(), None);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::CustomSection(section) if section.name() == SECTION => {
                declared = Some(String::from_utf8_lossy(section.data()).into_owned());
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    if export.kind == ExternalKind::Func && is_callback(export.name) {
                        exported.push(export.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    exported.sort();
    let declared = declared.map(|declared| {
        let mut names: Vec<_> =
            declared.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        names.sort();
        names
    });
    Ok(Exports { exported, declared })
}

/// What a module calls of its host, and what its host calls of it, by the names of capabilities.
///
/// # Errors
/// It is no module.
pub fn capabilities(module: &[u8]) -> Result<BTreeSet<String>> {
    let mut names: BTreeSet<String> = callbacks(module)?.exported.into_iter().collect();
    names.insert("proxy_on_configure".to_owned());
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(imports) = payload? {
            for import in imports.into_imports() {
                names.insert(import?.name.to_owned());
            }
        }
    }
    Ok(names)
}

/// Whether an export is a callback that a filter may declare; the others are in every module.
fn is_callback(name: &str) -> bool {
    const ALWAYS: [&str; 2] = ["proxy_on_memory_allocate", "proxy_on_configure"];
    name.starts_with("proxy_on_") && !ALWAYS.contains(&name)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Builds `outrigger`.
///
/// # Errors
/// It does not build.
pub fn outrigger() -> Result<PathBuf> {
    Ok(host_programs()?.join("outrigger"))
}

/// Builds the program that runs the conformance plan on the harness.
///
/// # Errors
/// It does not build.
pub fn conformance() -> Result<PathBuf> {
    Ok(host_programs()?.join("examples/conformance"))
}

/// Builds the program that looks for leaks in what filters write.
///
/// # Errors
/// It does not build.
pub fn leaks() -> Result<PathBuf> {
    Ok(host_programs()?.join("examples/leaks"))
}

/// Builds the program that sends many requests through a module.
///
/// # Errors
/// It does not build.
pub fn soak() -> Result<PathBuf> {
    Ok(host_programs()?.join("examples/soak"))
}

/// Builds the program that measures the harness. It is optimised as in every build.
///
/// # Errors
/// It does not build.
pub fn harness_bench() -> Result<PathBuf> {
    Ok(host_programs()?.join("examples/bench"))
}

/// Builds the programs with the harness in them, and says in which folder they are. With an example among them all dependencies have the features
/// that they have in the workspace's tests too, so that Cranelift is compiled once.
fn host_programs() -> Result<PathBuf> {
    let _work = progress::begin("building outrigger");
    let programs = ["--bin", "outrigger"];
    let examples = ["bench", "conformance", "leaks", "soak"].map(|name| ["--example", name]).concat();
    command::run(
        command::cargo(&["build", "--quiet", "--locked", "--workspace"]).args(programs).args(examples),
    )?;
    Ok(project::target()?.join("debug"))
}
