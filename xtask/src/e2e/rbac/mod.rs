//! `cargo xtask e2e --rbac`: the policy module and Envoy's own RBAC decide on the same requests, and must decide alike.
//!
//! Policies come by chance, and requests from the policies' own values, changed a little. RBAC's configuration is translated from the policies as
//! Istio's pilot does it, by code that the module knows nothing of.

#[cfg(test)]
mod analysis;
pub mod client;
mod fault;
pub mod generate;
pub mod identity;
pub mod listeners;
mod mutate;
mod random;
pub mod recorded;
pub mod request;
pub mod rows;
mod shrink;
mod translate;
mod values;

pub use translate::filters as translate;

#[cfg(test)]
mod tests;

use super::Count;
use crate::{build, envoy::Envoy, parallel, progress, setup};
use anyhow::{Context as _, Result, bail, ensure};
use client::{Answer, Client, Listener};
use fault::{FAULTS, Fault};
use generate::Configuration;
use identity::Credentials;
use listeners::Judge;
use random::Random;
use request::{Caller, Request, Visit};
use std::{
    collections::BTreeMap,
    net::{Ipv6Addr, TcpListener},
    path::{Path, PathBuf},
    time::Instant,
};

/// How many pairs of listeners there are.
const CONFIGURATIONS: usize = 200;
/// How many of them one Envoy has.
const OF_AN_ENVOY: usize = 50;
/// How many callers come to a pair.
const VISITS: usize = 24;
/// How many callers come at once.
const AT_ONCE: usize = 6;
/// The share of requests that must meet a rule, in percent: of the others too little is learnt.
const LEAST_MATCHED: usize = 30;
/// How many differences are printed, and how many of them are made small before, which takes some seconds each.
const PRINTED: usize = 20;
const SHRUNK: usize = 8;

/// What is compared with Envoy's own RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Against {
    /// The policy module.
    Module,
    /// Envoy's own RBAC: nothing may differ.
    Native,
    /// Translations that are wrong in one thing each: for each of them something must differ.
    Faults,
}

/// What all of a run needs.
struct Run<'a> {
    program: &'a Path,
    credentials: &'a Credentials,
    judges: [Judge<'a>; 2],
    /// Whether this machine has a loopback of IPv6.
    has_v6: bool,
}

/// A request that was decided on in two ways.
struct Difference {
    configuration: usize,
    caller: Caller,
    request: Request,
    answers: [Answer; 2],
}

/// What came of some configurations.
#[derive(Default)]
struct Findings {
    requests: usize,
    matched: usize,
    /// How often Envoy's own RBAC, or the connection manager before it, answered so.
    statuses: BTreeMap<u16, usize>,
    differences: Vec<Difference>,
    /// Configurations that Envoy did not take, with what it said.
    refused: Vec<(usize, String)>,
}

/// Whether RBAC compares a header's values joined, as Envoy did before 1.38. The module takes each by itself, as Envoy does since.
fn joins_values(version: &str) -> bool {
    version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).is_some_and(|minor| minor < 38)
}

/// Compares, on this version of Envoy and with this seed.
///
/// # Errors
/// Something that the run needs is missing, or too few requests met a rule.
pub fn run(version: Option<&str>, against: Against, seed: u64, without: &[String]) -> Result<Count> {
    let begun = Instant::now();
    let program = setup::envoy(version)?;
    let credentials = Credentials::make()?;
    let module: PathBuf;
    let judge = match against {
        Against::Native | Against::Faults => Judge::Native,
        Against::Module => {
            build::modules()?;
            module = build::module("policy");
            ensure!(module.is_file(), "there is no policy module yet: try --rbac=native");
            Judge::Module(&module, "istio")
        }
    };
    let has_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let run = Run { program: &program, credentials: &credentials, judges: [Judge::Native, judge], has_v6 };
    let mut random = Random::new(seed);
    let configurations: Vec<Configuration> =
        (0..CONFIGURATIONS).map(|_| generate::configuration(&mut random, without)).collect();
    let mut visits: Vec<Vec<Visit>> = configurations
        .iter()
        .map(|configuration| (0..VISITS).map(|_| request::visit(&mut random, configuration)).collect())
        .collect();
    if version.is_some_and(joins_values) {
        println!("Envoy before 1.38 joins a header's values by `,`: no request has two");
        let all = visits.iter_mut().flatten().flat_map(|visit| &mut visit.requests);
        all.for_each(Request::keep_first_values);
    }
    if against == Against::Faults {
        return faults(&run, &configurations, &visits);
    }
    if against == Against::Module {
        let found = find(&run, FAULTS[0], &configurations, &visits)?;
        ensure!(found > 0, "a wrong translation was not found: {}", FAULTS[0].name);
    }
    let mut findings = Findings::default();
    let work = progress::begin_counted("callers at both listeners", (CONFIGURATIONS * VISITS) as u64);
    let all: Vec<usize> = (0..CONFIGURATIONS).collect();
    for some in all.chunks(OF_AN_ENVOY) {
        run.compare(&configurations, &visits, some, &mut findings, &work)?;
    }
    drop(work);
    print(&run, &configurations, &findings)?;
    let policies: usize = configurations.iter().map(|configuration| configuration.policies.len()).sum();
    let share = findings.matched * 100 / findings.requests.max(1);
    println!(
        "rbac: seed {seed}, {CONFIGURATIONS} configurations, {policies} policies, {} requests, {share} % met a rule, answers {:?}, {} differ, {} configurations refused, {} s",
        findings.requests,
        findings.statuses,
        findings.differences.len(),
        findings.refused.len(),
        begun.elapsed().as_secs()
    );
    ensure!(!findings.statuses.contains_key(&0), "some requests were not answered at all");
    ensure!(share >= LEAST_MATCHED, "only {share} % of the requests met a rule");
    let failed = findings.differences.len() + findings.refused.len();
    Ok(Count { passed: findings.requests - findings.differences.len(), failed, skipped: 0 })
}

/// Shows that every wrong translation is found, so that no difference later means something.
fn faults(run: &Run<'_>, configurations: &[Configuration], visits: &[Vec<Visit>]) -> Result<Count> {
    let mut count = Count::default();
    for fault in FAULTS {
        let found = find(run, fault, configurations, visits)?;
        println!("{found:6} differ: {}", fault.name);
        if found > 0 {
            count.passed += 1;
        } else {
            count.failed += 1;
        }
    }
    Ok(count)
}

/// How many requests are decided otherwise by a wrong translation; half of the configurations are enough for most.
fn find(
    run: &Run<'_>,
    fault: Fault,
    configurations: &[Configuration],
    visits: &[Vec<Visit>],
) -> Result<usize> {
    let run = Run { judges: [Judge::Native, Judge::Broken(fault)], ..*run };
    let all: Vec<usize> = (0..configurations.len()).collect();
    let mut findings = Findings::default();
    let work = progress::begin_counted("a wrong translation", (all.len() * VISITS) as u64);
    for some in all.chunks(OF_AN_ENVOY) {
        run.compare(configurations, visits, some, &mut findings, &work)?;
        if let Some((_, why)) = findings.refused.first() {
            bail!("Envoy does not take what is wrong: {}: {why}", fault.name);
        }
        if !findings.differences.is_empty() {
            break;
        }
    }
    Ok(findings.differences.len())
}

impl Run<'_> {
    /// Starts Envoy with these configurations and sends all visits to both listeners of each. Those that Envoy does not take are singled out.
    fn compare(
        &self,
        configurations: &[Configuration],
        visits: &[Vec<Visit>],
        some: &[usize],
        findings: &mut Findings,
        work: &progress::Work,
    ) -> Result<()> {
        let chosen: Vec<Configuration> = some.iter().map(|number| configurations[*number].clone()).collect();
        let site = match self.start(&chosen) {
            Ok(site) => site,
            Err(error) => {
                let why = format!("{error:#}");
                let place = refused(&why).filter(|place| *place < some.len());
                if let Some(place) = place.or((some.len() == 1).then_some(0)) {
                    findings.refused.push((some[place], why));
                    let rest: Vec<usize> =
                        some.iter().copied().filter(|number| *number != some[place]).collect();
                    if !rest.is_empty() {
                        self.compare(configurations, visits, &rest, findings, work)?;
                    }
                } else {
                    let (left, right) = some.split_at(some.len() / 2);
                    self.compare(configurations, visits, left, findings, work)?;
                    self.compare(configurations, visits, right, findings, work)?;
                }
                return Ok(());
            }
        };
        let items: Vec<(usize, usize, &Visit)> = some
            .iter()
            .enumerate()
            .flat_map(|(place, number)| visits[*number].iter().map(move |visit| (place, *number, visit)))
            .collect();
        let answers = parallel::map(&items, AT_ONCE, |(place, _, visit)| {
            let answers = self.visit(site.pair(*place), &visit.caller, &visit.requests);
            work.step();
            answers
        });
        for ((_, number, visit), answers) in items.into_iter().zip(answers) {
            for (request, answers) in visit.requests.iter().zip(answers) {
                findings.count(&configurations[number], &answers[0]);
                if answers[0].status != answers[1].status {
                    let (caller, request) = (visit.caller.clone(), request.clone());
                    findings.differences.push(Difference { configuration: number, caller, request, answers });
                }
            }
        }
        Ok(())
    }

    fn start(&self, configurations: &[Configuration]) -> Result<Site> {
        let bootstrap =
            listeners::bootstrap(configurations, self.judges, self.credentials.server(), self.has_v6);
        let envoy = Envoy::start(self.program, &bootstrap, &["--concurrency", "2"])?;
        let listeners = envoy.listeners()?;
        let find = |name: &str| {
            listeners.get(name).copied().with_context(|| format!("Envoy has no listener {name}"))
        };
        let address = |number: usize, letter: &str| -> Result<Listener> {
            let name = format!("{number}{letter}");
            let v6 = if self.has_v6 { Some(find(&format!("{name}6"))?) } else { None };
            Ok(Listener { v4: find(&name)?, v6 })
        };
        let pairs =
            (0..configurations.len()).map(|number| Ok([address(number, "a")?, address(number, "b")?]));
        Ok(Site { pairs: pairs.collect::<Result<_>>()?, _envoy: envoy })
    }

    /// What both listeners of a pair answer.
    fn visit(&self, pair: [Listener; 2], caller: &Caller, requests: &[Request]) -> Vec<[Answer; 2]> {
        let mut clients = pair.map(|listener| Client::new(caller, self.credentials, listener));
        requests
            .iter()
            .map(|request| {
                clients.each_mut().map(|client| {
                    client.send(request).unwrap_or_else(|error| {
                        client.reset();
                        Answer { details: format!("{error:#}"), ..Answer::default() }
                    })
                })
            })
            .collect()
    }
}

/// The place of the configuration that the module did not take, in what Envoy has said.
fn refused(why: &str) -> Option<usize> {
    let (_, name) = why.split_once("Unable to create Wasm plugin policy-")?;
    name.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

/// An Envoy, and the two listeners of each configuration.
struct Site {
    pairs: Vec<[Listener; 2]>,
    _envoy: Envoy,
}

impl Site {
    fn pair(&self, place: usize) -> [Listener; 2] {
        self.pairs[place]
    }
}

impl Findings {
    /// Counts what Envoy's own RBAC has answered.
    fn count(&mut self, configuration: &Configuration, answer: &Answer) {
        self.requests += 1;
        *self.statuses.entry(answer.status).or_default() += 1;
        let allows = |policy: &serde_json::Value| {
            translate::action_of(policy) == "ALLOW" && !translate::is_dry_run(policy)
        };
        let has_matched = match answer.status {
            403 => answer.details.contains("matched_policy[ns"),
            200 | 404 => configuration.policies.iter().any(allows),
            _ => false,
        };
        self.matched += usize::from(has_matched || answer.audited);
    }
}

/// Prints the first differences: of every configuration one, before others of the same one.
fn print(run: &Run<'_>, configurations: &[Configuration], findings: &Findings) -> Result<()> {
    for (number, why) in findings.refused.iter().take(PRINTED) {
        let said: Vec<&str> = why.lines().filter(|line| line.contains("wasm log")).collect();
        let said = if said.is_empty() { why.lines().rev().take(3).collect() } else { said };
        println!("REFUSED configuration {number}: {}\n{}", said.join(" | "), configurations[*number].text());
    }
    let mut seen = Vec::new();
    let is_first = |difference: &&Difference| {
        let is_first = !seen.contains(&difference.configuration);
        seen.push(difference.configuration);
        is_first
    };
    let (first, others): (Vec<&Difference>, Vec<&Difference>) =
        findings.differences.iter().partition(is_first);
    for (place, difference) in first.into_iter().chain(others).take(PRINTED).enumerate() {
        let configuration = &configurations[difference.configuration];
        let mut request = difference.request.clone();
        let mut small = configuration.clone();
        if place < SHRUNK {
            let work = progress::begin("making a difference small");
            shrink::shrink(run, &mut small, &difference.caller, &mut request)?;
            drop(work);
        }
        let [native, other] = &difference.answers;
        println!(
            "DIFFERS configuration {}: RBAC {} {}, other {} {}\n  {}\n  {request}\n{}",
            difference.configuration,
            native.status,
            native.details,
            other.status,
            other.details,
            difference.caller,
            small.text()
        );
    }
    Ok(())
}

impl Configuration {
    /// The policies, one a line.
    fn text(&self) -> String {
        let lines = self.policies.iter().map(|policy| {
            format!(
                "  {} {}: {}",
                policy["metadata"]["namespace"], policy["metadata"]["name"], policy["spec"]
            )
        });
        let head = format!("  {:?}, {:?}, trust domains {:?}", self.edge, self.paths, self.trust_domains);
        std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
    }
}
