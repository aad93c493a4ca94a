//! Answers, log lines and series that the docs show are those of a real Envoy with the configuration that the page starts it with.

mod seen;

use super::pages;
use crate::{
    bootstrap::Bootstrap, build, e2e::Count, envoy::Envoy, progress, project, setup, upstream::Upstream,
    visitor::Visitor,
};
use anyhow::{Context as _, Result, ensure};
use seen::Seen;
use serde_json::json;
use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

/// The address of Envoy in the docs.
const ADDRESS: &str = "http://127.0.0.1:10000";

/// The admin interface's series in the docs.
const SERIES: &str = "http://127.0.0.1:9901/stats/prometheus";

/// A command of a page, and what it shows of it.
struct Shown {
    /// The bootstrap of envoy-configs/, without `.yaml`.
    bootstrap: String,
    asks: Asks,
    lines: Vec<String>,
}

/// What a command asks.
enum Asks {
    /// A path, with these headers; what is shown is the answer, or the line of the access log.
    Shop(String, Vec<(String, String)>),
    Series,
}

/// Asks for all that pages show answers of.
///
/// # Errors
/// An Envoy does not start.
pub fn check() -> Result<Count> {
    build::modules()?;
    let mut by_bootstrap = BTreeMap::<String, Vec<Shown>>::new();
    for page in pages()? {
        for shown in
            read(&fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?)
        {
            by_bootstrap.entry(shown.bootstrap.clone()).or_default().push(shown);
        }
    }
    let mut count = Count::default();
    for (name, all) in by_bootstrap {
        // Of the same name, for a new visitor is in either arm.
        let shops = [Upstream::start("v1", 0)?, Upstream::start("v1", 0)?];
        let log = project::scratch("docs")?.join(format!("{name}-{}.log", std::process::id()));
        fs::write(&log, "")?;
        let envoy = start(&name, &shops, &log)?;
        let listener = envoy.listener("main")?;
        let seen = Seen { log: &log, admin: envoy.admin(), listener };
        for shown in all {
            let compared = match &shown.asks {
                Asks::Series => seen.series(&shown.lines),
                Asks::Shop(path, headers) => compare(listener, &seen, path, headers, &shown.lines),
            };
            match compared {
                Ok(()) => count.passed += 1,
                Err(error) => {
                    let first = shown.lines.first().map_or("", String::as_str);
                    progress::failed(&format!("with {name}.yaml, {first:?}"), &format!("{error:#}"));
                    count.failed += 1;
                }
            }
        }
        fs::remove_file(&log)?;
    }
    ensure!(count.passed + count.failed >= 3, "the docs show no answers");
    Ok(count)
}

/// Starts Envoy with what the page names, but that its access log, where it has one, is in a file.
fn start(name: &str, shops: &[Upstream; 2], log: &Path) -> Result<Envoy> {
    let mut bootstrap = Bootstrap::load(name)?;
    bootstrap.with_free_ports();
    bootstrap.set_modules();
    for (cluster, shop) in ["v1", "v2"].iter().zip(shops) {
        bootstrap.set_cluster(cluster, Some(shop.address()));
    }
    let manager = &mut bootstrap.0["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    if let Some(logger) = manager.get_mut("access_log").and_then(|loggers| loggers.get_mut(0)) {
        logger["typed_config"]["@type"] =
            json!("type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog");
        logger["typed_config"]["path"] = json!(log);
    }
    Envoy::start(&setup::envoy(None)?, &bootstrap.0, &["--concurrency", "1"])
}

/// The commands of a page that ask Envoy by curl and show what it says, where the page has said which bootstrap Envoy is started with.
fn read(page: &str) -> Vec<Shown> {
    let (mut bootstrap, mut open, mut all) = (None, None::<Shown>, Vec::new());
    for line in page.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            all.extend(open.take());
            if let Some((_, rest)) = command.split_once("envoy -c envoy-configs/") {
                bootstrap = rest.split('.').next().map(str::to_owned);
            }
            if let (Some(bootstrap), Some(asks)) = (&bootstrap, asks(command)) {
                open = Some(Shown { bootstrap: bootstrap.clone(), asks, lines: Vec::new() });
            }
        } else if line == "```" {
            all.extend(open.take());
        } else if let Some(shown) = &mut open {
            shown.lines.push(line.to_owned());
        }
    }
    all.retain(|shown| !shown.lines.is_empty());
    all
}

fn asks(command: &str) -> Option<Asks> {
    if command.contains(SERIES) {
        return Some(Asks::Series);
    }
    let (_, rest) = command.strip_prefix("curl ")?.split_once(ADDRESS)?;
    let path = rest.split(['\'', '"', ' ']).next().filter(|path| !path.is_empty()).unwrap_or("/");
    let headers = command.split("-H '").skip(1).filter_map(|rest| rest.split('\'').next()?.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Some(Asks::Shop(path.to_owned(), headers))
}

fn compare(
    listener: SocketAddr,
    seen: &Seen<'_>,
    path: &str,
    headers: &[(String, String)],
    shown: &[String],
) -> Result<()> {
    let mut headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    headers.push(("user-agent", "curl"));
    let answer = Visitor::default().ask(listener, "127.0.0.1:10000", path, &headers)?;
    if shown.first().is_some_and(|line| line.starts_with('{')) {
        return seen.line(shown);
    }
    let mut lines = shown.iter();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    ensure!(answer.status() == status, "status {:?}, the page says {status:?}", answer.status());
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").context("a line of the page is no header")?;
        let own = answer.header(name).map(|own| String::from_utf8_lossy(own).into_owned());
        let own = own.with_context(|| format!("no header {name}"))?;
        // A new visitor's id is new each time.
        let fixed = |text: &str| match text.split_once('=') {
            Some((cookie, rest)) if name == "set-cookie" => {
                format!("{cookie};{}", rest.split_once(';').map_or("", |(_, attributes)| attributes))
            }
            _ => text.to_owned(),
        };
        ensure!(fixed(&own) == fixed(value), "{name}: {own}, the page says {value}");
    }
    let body: Vec<&str> = lines.map(String::as_str).collect();
    let own = String::from_utf8_lossy(&answer.body).into_owned();
    ensure!(own.trim() == body.join("\n").trim(), "the body is {own:?}, the page says {body:?}");
    Ok(())
}
