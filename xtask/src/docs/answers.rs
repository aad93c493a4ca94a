//! Answers that the docs show are those of a real Envoy with the configuration that the page starts it with.

use super::pages;
use crate::{
    bootstrap::Bootstrap, build, e2e::Count, envoy::Envoy, setup, upstream::Upstream, visitor::Visitor,
};
use anyhow::{Context as _, Result, ensure};
use std::{collections::BTreeMap, fs, net::SocketAddr};

/// The address of Envoy in the docs.
const ADDRESS: &str = "http://127.0.0.1:10000";

/// A request of a page, and the answer that it shows.
struct Shown {
    /// The bootstrap of envoy-configs/, without `.yaml`.
    bootstrap: String,
    path: String,
    headers: Vec<(String, String)>,
    answer: Vec<String>,
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
        let envoy = start(&name, &shops)?;
        let listener = envoy.listener("main")?;
        for shown in all {
            match compare(listener, &shown) {
                Ok(()) => count.passed += 1,
                Err(error) => {
                    println!("FAILED curl {ADDRESS}{} with {name}.yaml: {error:#}", shown.path);
                    count.failed += 1;
                }
            }
        }
    }
    ensure!(count.passed + count.failed >= 3, "the docs show no answers");
    Ok(count)
}

fn start(name: &str, shops: &[Upstream; 2]) -> Result<Envoy> {
    let mut bootstrap = Bootstrap::load(name)?;
    bootstrap.with_free_ports();
    bootstrap.set_modules();
    for (cluster, shop) in ["v1", "v2"].iter().zip(shops) {
        bootstrap.set_cluster(cluster, Some(shop.address()));
    }
    Envoy::start(&setup::envoy(None)?, &bootstrap.0, &["--concurrency", "1"])
}

/// The requests of a page that are sent by curl, where the page has said which bootstrap Envoy is started with.
fn read(page: &str) -> Vec<Shown> {
    let (mut bootstrap, mut open, mut all) = (None, None::<Shown>, Vec::new());
    for line in page.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            all.extend(open.take());
            if let Some((_, rest)) = command.split_once("envoy -c envoy-configs/") {
                bootstrap = rest.split('.').next().map(str::to_owned);
            }
            if let (Some(bootstrap), Some((path, headers))) = (&bootstrap, request(command)) {
                open = Some(Shown { bootstrap: bootstrap.clone(), path, headers, answer: Vec::new() });
            }
        } else if line == "```" {
            all.extend(open.take());
        } else if let Some(shown) = &mut open {
            shown.answer.push(line.to_owned());
        }
    }
    // Others show what is logged, which is of its time.
    all.retain(|shown| shown.answer.first().is_some_and(|line| line.starts_with("HTTP/")));
    all
}

fn request(command: &str) -> Option<(String, Vec<(String, String)>)> {
    let (_, rest) = command.strip_prefix("curl ")?.split_once(ADDRESS)?;
    let path = rest.split(['\'', '"', ' ']).next().filter(|path| !path.is_empty()).unwrap_or("/");
    let headers = command.split("-H '").skip(1).filter_map(|rest| rest.split('\'').next()?.split_once(": "));
    Some((path.to_owned(), headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

fn compare(listener: SocketAddr, shown: &Shown) -> Result<()> {
    let headers: Vec<(&str, &str)> =
        shown.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = Visitor::default().ask(listener, "127.0.0.1:10000", &shown.path, &headers)?;
    let mut lines = shown.answer.iter();
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
