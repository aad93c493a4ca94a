//! Configurations that are pushed under load, as Istio does it (ECDS, from a file), good ones and bad ones; and VMs that trap and are loaded again.
//! Each request is answered, and decided by one configuration, the old one or the new one; everybody counts the same.

mod evidence;
mod load;
mod open;
mod site;
mod subjects;
mod trap;

use super::{Count, try_all};
use crate::{build, setup};
use anyhow::{Context as _, Result, bail, ensure};
use evidence::Evidence;
use load::{CLIENTS, Load};
pub use open::Open;
use site::{Site, wait};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};
use subjects::{MOMENTS, QUEUE, REVISIONS, SUBJECTS, Subject, revision};

/// How many good pushes come between two bad ones.
const BAD_EVERY: u64 = 5;
/// The pushes before memory is looked at: all revisions have been there then, with their series.
const WARM_UP: u64 = 2 * REVISIONS;
/// How much larger Envoy may be at the end than after the warm-up, in bytes, beside the records that wait in each worker.
const GROWTH: u64 = 4 << 20;

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scale {
    /// 48 pushes of each filter, each with another number of workers; traps of two filters.
    Brief,
    /// 200 pushes of each filter with 1, 2, 3 and 4 workers; traps of all filters.
    Full,
    /// The traps of all filters alone.
    Traps,
}

/// Runs all of it.
///
/// # Errors
/// Something that the run needs is missing. What does not come out as it must is counted.
pub fn run(scale: Scale) -> Result<Count> {
    let program = setup::envoy(None)?;
    build::modules()?;
    let (count, is_full) = if scale == Scale::Brief { (48, false) } else { (200, true) };
    let mut tried = Vec::new();
    for (number, subject) in SUBJECTS.iter().enumerate() {
        for workers in 1..=4 {
            if scale == Scale::Full || scale == Scale::Brief && workers == number % 4 + 1 {
                tried.push((subject, workers));
            }
        }
    }
    let names: Vec<String> =
        tried.iter().map(|(subject, workers)| format!("{}, {workers} workers", subject.name)).collect();
    let tried: Vec<_> = names.iter().map(String::as_str).zip(tried).collect();
    let mut total = try_all(&tried, |(subject, workers)| {
        pushes(&Site::start(&program, subject, &build::module(subject.name), *workers, None)?, subject, count)
    });
    let mut tried = Vec::new();
    for subject in &SUBJECTS {
        for workers in 1..=4 {
            let is_brief = workers == 2 && ["ab-routing", "policy"].contains(&subject.name);
            if is_brief || is_full && (workers == 2 || subject.name == "ab-routing") {
                tried.push((subject, workers));
            }
        }
    }
    let names: Vec<String> = tried
        .iter()
        .map(|(subject, workers)| format!("a trap of {}, {workers} workers", subject.name))
        .collect();
    let tried: Vec<_> = names.iter().map(String::as_str).zip(tried).collect();
    let traps = try_all(&tried, |(subject, workers)| trap::run(&program, subject, *workers));
    total.passed += traps.passed;
    total.failed += traps.failed;
    Ok(total)
}

/// Pushes so many good configurations, and bad ones between them.
fn pushes(site: &Site, subject: &Subject, pushes: u64) -> Result<()> {
    let (load, evidence, is_read) = (Load::default(), Evidence::default(), AtomicBool::new(false));
    let begun = Instant::now();
    let (driven, asked, read) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let load = &load;
                scope.spawn(move || {
                    let asked = load.ask(client, site.listener, subject);
                    if asked.is_err() {
                        load.over.store(true, Ordering::Relaxed);
                    }
                    asked.with_context(|| format!("client {client}"))
                })
            })
            .collect();
        let reader =
            scope.spawn(|| evidence.read(&site.log, &load, subject, &|| is_read.load(Ordering::Relaxed)));
        let driven = drive(site, subject, &load, &evidence, pushes);
        load.over.store(true, Ordering::Relaxed);
        let asked: Vec<Result<()>> = clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| bail!("a client panicked")))
            .collect();
        let all = load.sent().all();
        let lines = wait("each request has a line", || Ok(evidence.lines.load(Ordering::Relaxed) >= all));
        is_read.store(true, Ordering::Relaxed);
        let read = reader.join().unwrap_or_else(|_| bail!("the reader panicked"));
        (driven, asked, read.and(lines))
    });
    let found = evidence.found();
    ensure!(found.problems.is_empty(), "{} problems: {:#?}", found.problems.len(), found.problems);
    asked.into_iter().collect::<Result<()>>()?;
    let grown = driven?;
    read?;
    let seconds = begun.elapsed().as_secs_f64();
    agree(site, subject, &load, &evidence)?;
    println!(
        "{} with {} workers: {pushes} pushes and {} bad ones in {seconds:.0} s, {} requests; {grown}",
        subject.name,
        site.workers,
        pushes / BAD_EVERY,
        load.sent().all()
    );
    Ok(())
}

/// Pushes, while others ask. Says how Envoy's memory did.
fn drive(site: &Site, subject: &Subject, load: &Load, evidence: &Evidence, pushes: u64) -> Result<String> {
    let go_on = || ensure_running(load);
    wait("the first answers", || go_on().map(|()| load.answers() >= 10 * CLIENTS as u64))?;
    let mut resident = Vec::new();
    for number in 1..=pushes {
        let taken = site.stat("update_success$")?;
        evidence.written.store(number, Ordering::Release);
        site.plugin.write(&site.plugin.with(&subject.config(number).to_string()))?;
        wait("Envoy has the push", || go_on().and_then(|()| Ok(site.stat("update_success$")? > taken)))?;
        reaches_all(subject, load, evidence, number)?;
        load.confirmed.store(number, Ordering::Release);
        if number % BAD_EVERY == 0 {
            is_refused(site, subject, load, number)?;
        }
        if number == WARM_UP || number == pushes {
            resident.push(site.envoy.resident()?);
        }
    }
    let [before, after] = resident[..] else { bail!("{pushes} pushes are no more than the warm-up's") };
    let grown = after.saturating_sub(before);
    let text =
        format!("Envoy had {} KB after {WARM_UP} pushes and {} KB at the end", before >> 10, after >> 10);
    let waiting = if became_any(site)? > 0 { site.workers * QUEUE } else { 0 };
    ensure!(grown <= GROWTH + waiting, "{text}");
    Ok(text)
}

/// The records of which it is known what became of them.
fn became_any(site: &Site) -> Result<u64> {
    site.sum("access_log_otlp_records_total", None)
}

/// What ends the run early is told by those whom it happened to.
fn ensure_running(load: &Load) -> Result<()> {
    ensure!(!load.over.load(Ordering::Relaxed), "it was over before");
    Ok(())
}

/// Waits until each client, and so each worker, was decided for by the new revision; where nothing tells it, until each had two more answers.
fn reaches_all(subject: &Subject, load: &Load, evidence: &Evidence, number: u64) -> Result<()> {
    let before: Vec<u64> = load.progress.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    wait("the push has reached all workers", || {
        ensure_running(load)?;
        let is_told = evidence.last.iter().all(|last| last.load(Ordering::Acquire) >= number);
        let mut answered = load.progress.iter().zip(&before);
        let has_gone_on = answered.all(|(now, before)| now.load(Ordering::Relaxed) >= before + 2);
        Ok(if (subject.marks)("/shop") == 0 { has_gone_on } else { is_told })
    })
}

/// Pushes a configuration that the filter refuses: Envoy says so, and keeps what it has.
fn is_refused(site: &Site, subject: &Subject, load: &Load, number: u64) -> Result<()> {
    let refused = subject.refused(number)?;
    let turn = usize::try_from(number / BAD_EVERY)? % refused.len();
    let (config, says) = refused.get(turn).context("nothing is refused")?;
    // `config_reload` counts pushes that are refused too.
    let now = || -> Result<[u64; 3]> {
        Ok([site.stat("update_rejected$")?, site.stat("config_fail$")?, site.stat("update_success$")?])
    };
    let [rejected, failed, taken] = now()?;
    let lines = site.envoy.log_since(0).len();
    // Envoy remembers what a module refused, and does not ask it again: each is another one, by the spaces at its end.
    let config = format!("{config}{:width$}", "", width = usize::try_from(number)?);
    site.plugin.write(&site.plugin.with(&config))?;
    wait("the bad push is refused", || {
        ensure_running(load)?;
        Ok(now()? == [rejected + 1, failed + 1, taken])
    })
    .with_context(|| format!("{:?} after {:?}", now(), [rejected, failed, taken]))?;
    let is_said = || site.envoy.log_since(lines).iter().any(|line| line.text.contains(says));
    wait("the log says what is wrong", || Ok(is_said()))
}

/// The clients, Envoy's access log and stats, the shop, the collector and the filter have counted the same.
fn agree(site: &Site, subject: &Subject, load: &Load, evidence: &Evidence) -> Result<()> {
    let sent = load.sent();
    let all = sent.all();
    let same = |what: &str, got: u64, must: u64| {
        ensure!(got == must, "{what} is {got}, and must be {must}: {sent:?}");
        Ok(())
    };
    same("lines of the access log", evidence.lines.load(Ordering::Relaxed), all)?;
    let (upstream, denied) = if subject.denies { (all - sent.denied, sent.denied) } else { (all, 0) };
    for (status, count) in &evidence.found().statuses {
        let must = match status {
            200 if subject.denies => sent.shop,
            200 => all,
            403 => denied,
            451 => sent.late,
            _ => 0,
        };
        same(&format!("lines with status {status}"), *count, must)?;
    }
    same("the shop's count", site.shop.count(), upstream)?;
    same("downstream_rq_total", site.stat("^http.main.downstream_rq_total$")?, all)?;
    same("upstream_rq_total", site.stat("^cluster.v1.upstream_rq_total$")?, upstream)?;
    for (name, label, must) in (subject.counts)(sent) {
        wait(&format!("{name}{label:?} is {must}"), || Ok(site.sum(name, label)? == must))
            .with_context(|| format!("it is {:?} of {sent:?}", site.sum(name, label)))?;
    }
    // A batch that is on its way when a push takes its plugin away is sent again: a record may come twice, and none is missing.
    let (records, requests) = site.collected()?;
    let became = |result| site.sum("access_log_otlp_records_total", Some(("result", result)));
    let (logged, dropped) = (became("sent")?, became("queue_full")?);
    same("records that were sent or found the queue full", logged + dropped, became_any(site)?)?;
    if dropped > 0 {
        println!("{}: {dropped} records found the queue full, and were counted", subject.name);
    }
    same("requests of which the collector has records", requests, logged)?;
    if records > requests {
        println!("{}: {} records came twice to the collector", subject.name, records - requests);
    }
    for number in 0..REVISIONS {
        let revision = revision(number);
        let counts: Vec<u64> = MOMENTS
            .iter()
            .filter(|(_, moment)| !subject.denies || *moment != "response")
            .map(|(name, _)| site.sum(name, Some(("plan", revision.as_str()))))
            .collect::<Result<_>>()?;
        ensure!(
            counts.iter().all(|count| Some(count) == counts.first()),
            "{revision} decided {counts:?} of the moments"
        );
    }
    Ok(())
}
