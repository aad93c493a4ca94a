//! The images of docker-compose.yml: pulled, or else built FROM scratch out of programs of this machine; and `cargo xtask images`, which sees to them.

use super::docker::Daemon;
use crate::{build, command, progress, project, setup};
use anyhow::{Context as _, Result};
use regex::Regex;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The images that are built here, by the variable of docker-compose.yml that names them.
pub const SHOP: (&str, &str) = ("SHOP_IMAGE", "outrigger-shop:dev");
/// Envoy's.
pub const ENVOY: (&str, &str) = ("ENVOY_IMAGE", "outrigger-envoy:dev");
/// Prometheus's.
pub const PROMETHEUS: (&str, &str) = ("PROMETHEUS_IMAGE", "outrigger-prometheus:dev");

/// Builds the modules and the shop's image, and pulls the other images of docker-compose.yml. What cannot be pulled is built where that can be done, and
/// written to `.env`, which docker-compose reads.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// Docker does not answer, or an image that docker-compose.yml cannot do without is not to be had.
pub fn run(_: &Args) -> Result<ExitCode> {
    let daemon = Daemon::running()?;
    build::modules()?;
    shop(&daemon)?;
    println!("{}: built", SHOP.1);
    let mut variables = String::new();
    for (variable, image) in pinned()?.into_iter().filter(|(variable, _)| variable != SHOP.0) {
        let work = progress::begin(&format!("pulling {image}"));
        let pulled = daemon.has(&image) || daemon.pull(&image);
        drop(work);
        if pulled {
            println!("{image}: there");
            continue;
        }
        let built = match variable.as_str() {
            name if name == ENVOY.0 => {
                envoy(&daemon, &setup::envoy(None)?)?;
                Some(ENVOY.1)
            }
            name if name == PROMETHEUS.0 => prometheus(&daemon).is_ok().then_some(PROMETHEUS.1),
            _ => None,
        };
        if let Some(built) = built {
            println!("{image}: cannot be pulled; {built} is built in its place");
            writeln!(variables, "{variable}={built}")?;
        } else {
            println!(
                "{image}: cannot be pulled, and there is nothing here to build it from. The profile observability needs it: name another image \
                 in {variable}, or bring this one with `docker save` and `docker load`"
            );
        }
    }
    let file = project::root().join(".env");
    if variables.is_empty() {
        let _ = fs::remove_file(file);
    } else {
        fs::write(&file, format!("# Written by `cargo xtask images`.\n{variables}"))?;
        println!(".env names what was built");
    }
    Ok(ExitCode::SUCCESS)
}

/// The variables of docker-compose.yml that name images, with the images that are pinned there.
///
/// # Errors
/// The file cannot be read, or names no images.
pub fn pinned() -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(project::root().join("docker-compose.yml"))?;
    let variable = Regex::new(r"image: \$\{([A-Z]+_IMAGE):-([^}]+)\}")?;
    let mut found: Vec<_> =
        variable.captures_iter(&text).map(|found| (found[1].to_owned(), found[2].to_owned())).collect();
    found.dedup();
    anyhow::ensure!(!found.is_empty(), "docker-compose.yml names no images");
    Ok(found)
}

/// The shops and their visitors.
pub fn shop(daemon: &Daemon) -> Result<()> {
    let package = ["build", "--quiet", "--locked", "--package", "xtask", "--bin", "outrigger-shop"];
    command::run(&mut command::cargo(&package))?;
    let program = project::target()?.join("debug/outrigger-shop");
    daemon.build_image(SHOP.1, &[(program, "/usr/local/bin/outrigger-shop")])
}

/// Envoy of this program. The health check is bash's, as in Envoy's own image.
pub fn envoy(daemon: &Daemon, program: &Path) -> Result<()> {
    let bash = command::on_path("bash").context("the image's health check needs bash")?;
    let programs = [(program.to_owned(), "/usr/local/bin/envoy"), (bash, "/bin/bash")];
    daemon.build_image(ENVOY.1, &programs)
}

/// Debian's Prometheus.
pub fn prometheus(daemon: &Daemon) -> Result<()> {
    let program = setup::system("prometheus", "prometheus")?;
    let tool: PathBuf = command::on_path("promtool").context("the package prometheus has no promtool")?;
    daemon.build_image(
        PROMETHEUS.1,
        &[(program, "/usr/local/bin/prometheus"), (tool, "/usr/local/bin/promtool")],
    )
}
