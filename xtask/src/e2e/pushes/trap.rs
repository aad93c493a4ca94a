//! A VM that traps: what is lost with it, to the request, and how it comes back, under each failure policy.

use super::{
    site::{Site, answer, wait},
    subjects::{INTERVAL_MS, Sent, Subject},
};
use crate::{
    build,
    http::{Connection, write_head},
};
use anyhow::{Context as _, Result, ensure};
use harness::{Bytes, scenario::Headers};
use serde_json::{Value, json};
use std::{
    cell::Cell,
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How many streams are open in each worker.
const STREAMS: usize = 4;
/// How long their answers take, so that the trap comes before.
const SLOW_MS: u64 = 1000;
/// Who waits longer calls it a hang.
const PATIENCE: Duration = Duration::from_secs(10);
/// When a VM is old enough to be loaded again at once: after `base_interval`, 1 s, and up to half of it more by chance.
const OLD: Duration = Duration::from_millis(1700);
/// When records have left a VM, with which those that still wait are lost.
const FLUSHED: Duration = Duration::from_millis(2 * INTERVAL_MS);

/// A site whose module traps on a header, and what was asked of it.
struct Trapping<'s> {
    site: Site,
    subject: &'s Subject,
    workers: usize,
    /// What is asked for: it goes to the shop, and is answered so where the filter is at work.
    path: &'static str,
    whole: Answer,
    /// All requests.
    asked: Cell<u64>,
    /// Those that the filter decided, and those whose end it saw.
    decided: Cell<Sent>,
    over: Cell<Sent>,
}

/// An answer: its status, and whether the filter has marked it.
type Answer = (u16, bool);

/// Traps under FAIL_RELOAD, FAIL_OPEN and FAIL_CLOSED.
///
/// # Errors
/// What is lost is not what was open in the VM, it comes back otherwise than it is documented, or somebody counts otherwise.
pub fn run(program: &Path, subject: &Subject, workers: usize) -> Result<()> {
    let site = Site::start(program, subject, &build::trapping(subject.name)?, workers, None)?;
    // Policy denies a response when it comes, and says by which revision. Of access-log and metrics an answer shows nothing.
    let (path, whole) = match subject.name {
        _ if subject.denies => ("/late", (subject.status("/late"), true)),
        "ab-routing" => ("/shop", (200, true)),
        _ => ("/shop", (200, false)),
    };
    let trapping = Trapping {
        site,
        subject,
        workers,
        path,
        whole,
        asked: Cell::default(),
        decided: Cell::default(),
        over: Cell::default(),
    };
    trapping.loses_what_is_open()?;
    let pause = trapping.is_loaded_again()?;
    trapping.agrees("FAIL_RELOAD")?;
    trapping.waits_for_a_push("FAIL_OPEN", (200, false), 1)?;
    trapping.waits_for_a_push("FAIL_CLOSED", (503, false), 3)?;
    println!(
        "a trap of {} with {workers} workers: {STREAMS} of {} open streams were lost and the request; a VM that trapped twice came back {} ms after its load",
        subject.name,
        STREAMS * workers,
        pause.as_millis()
    );
    Ok(())
}

impl Trapping<'_> {
    /// Streams are open in every worker, and one worker's VM traps: its streams are lost, the others' are answered.
    fn loses_what_is_open(&self) -> Result<()> {
        let all = STREAMS * self.workers;
        self.site.shop.set_answer(answer(SLOW_MS));
        thread::sleep(OLD);
        let mut open = self.connect(all)?;
        for connection in &mut open {
            self.send(connection, &[])?;
        }
        wait("all requests are at the shop", || Ok(self.site.shop.count() == all as u64))?;
        let mut trapper = self.connection()?;
        let answered = self.ask(&mut trapper, &[("x-trap", "1")])?;
        ensure!(answered == (503, false), "the request that trapped was answered {answered:?}");
        let answers: Vec<Answer> = open.iter_mut().map(receive).collect::<Result<_>>()?;
        let lost = answers.iter().filter(|answer| **answer != self.whole).count();
        ensure!(
            lost == STREAMS && answers.iter().all(|answer| [self.whole, (503, false)].contains(answer)),
            "{lost} of {all} were lost: {answers:?}"
        );
        // All of them were decided for before it.
        self.note(all, all - lost);
        drop((open, trapper));
        self.site.shop.set_answer(answer(0));
        let mut again = self.connect(all)?;
        for connection in &mut again {
            let answer = self.ask(connection, &[])?;
            ensure!(answer == self.whole, "after the trap a request was answered {answer:?}");
        }
        self.note(all, all);
        let loaded = self.site.stat("vm_reload_success$")?;
        ensure!(loaded == 1, "{loaded} VMs were loaded again");
        Ok(())
    }

    /// A VM that traps soon after its load is loaded again a second after that: before, requests fail, and are counted. Says how long it took.
    fn is_loaded_again(&self) -> Result<Duration> {
        let (loads, refusals) =
            (self.site.stat("vm_reload_success$")?, self.site.stat("vm_reload_backoff$")?);
        thread::sleep(OLD);
        let mut connection = self.connection()?;
        ensure!(self.ask(&mut connection, &[("x-trap", "1")])?.0 == 503, "nothing trapped");
        let begun = Instant::now();
        ensure!(self.ask(&mut connection, &[])? == self.whole, "the VM was not loaded at once");
        thread::sleep(FLUSHED);
        ensure!(self.ask(&mut connection, &[("x-trap", "1")])?.0 == 503, "nothing trapped again");
        let mut failed = 0;
        loop {
            match self.ask(&mut connection, &[])? {
                whole if whole == self.whole => break,
                (503, false) => failed += 1,
                other => anyhow::bail!("in the pause a request was answered {other:?}"),
            }
            ensure!(begun.elapsed() < PATIENCE, "the VM was not loaded again");
            thread::sleep(Duration::from_millis(20));
        }
        let pause = begun.elapsed();
        self.note(2, 2);
        let (loads, refusals) =
            (self.site.stat("vm_reload_success$")? - loads, self.site.stat("vm_reload_backoff$")? - refusals);
        ensure!(
            loads == 2 && refusals == failed && failed > 0,
            "{failed} requests failed in the pause; {loads} loads and {refusals} refusals were counted"
        );
        Ok(pause)
    }

    /// Under this policy requests are answered so, until a push.
    fn waits_for_a_push(&self, policy: &str, meanwhile: Answer, number: u64) -> Result<()> {
        self.push(policy, number)?;
        let mut connection = self.connection()?;
        ensure!(self.ask(&mut connection, &[])? == self.whole, "{policy}: not all is well at first");
        thread::sleep(FLUSHED);
        ensure!(self.ask(&mut connection, &[("x-trap", "1")])?.0 == 503, "{policy}: nothing trapped");
        thread::sleep(OLD);
        for _ in 0..3 {
            let answer = self.ask(&mut connection, &[])?;
            ensure!(answer == meanwhile, "{policy}: after the trap a request was answered {answer:?}");
        }
        self.push(policy, number + 1)?;
        ensure!(self.ask(&mut connection, &[])? == self.whole, "{policy}: a push did not bring it back");
        self.note(2, 2);
        self.agrees(policy)
    }

    /// Notes requests that the filter decided, and those of them whose end it saw.
    fn note(&self, decided: usize, over: usize) {
        for (noted, more) in [(&self.decided, decided), (&self.over, over)] {
            let mut sent = noted.get();
            for _ in 0..more {
                sent.add(self.path);
            }
            noted.set(sent);
        }
    }

    /// Clients, Envoy and the filter have counted the same; what is counted at the end of an exchange is not of those that were lost.
    fn agrees(&self, when: &str) -> Result<()> {
        let asked = self.asked.get();
        let counted = self.site.stat("^http.main.downstream_rq_total$")?;
        ensure!(counted == asked, "{when}: Envoy has counted {counted} of {asked} requests");
        for (name, label, must) in self.subject.counts_of(self.decided.get(), self.over.get()) {
            // A record is counted when the collector has answered, and Envoy shows a histogram a while after.
            let got = Cell::default();
            let waited = wait("a sum", || {
                got.set(self.site.sum(name, label)?);
                Ok(got.get() >= must)
            });
            ensure!(
                waited.is_ok() && got.get() == must,
                "{when}: {name}{label:?} is {}, and must be {must}",
                got.get()
            );
        }
        Ok(())
    }

    /// Pushes a revision under another failure policy, and waits until the workers have it.
    fn push(&self, policy: &str, number: u64) -> Result<()> {
        let taken = self.site.stat("update_success$")?;
        let mut filter: Value = self.site.plugin.with(&self.subject.config(number).to_string());
        filter["config"]["failure_policy"] = json!(policy);
        self.site.plugin.write(&filter)?;
        wait("the push is there", || Ok(self.site.stat("update_success$")? > taken))?;
        thread::sleep(Duration::from_millis(200));
        Ok(())
    }

    /// So many connections, evenly over the workers.
    fn connect(&self, count: usize) -> Result<Vec<Connection>> {
        let active = |worker: usize| self.site.stat(&format!("worker_{worker}.downstream_cx_active$"));
        let have =
            |each: u64| (0..self.workers).try_fold(true, |all, worker| Ok(all && active(worker)? == each));
        wait("connections of before are closed", || have(0))?;
        let open: Vec<Connection> = (0..count).map(|_| self.connection()).collect::<Result<_>>()?;
        wait("connections are shared evenly", || have((count / self.workers) as u64))?;
        Ok(open)
    }

    fn connection(&self) -> Result<Connection> {
        Connection::open(self.listener(), PATIENCE)
    }

    fn listener(&self) -> SocketAddr {
        self.site.listener
    }

    fn send(&self, connection: &mut Connection, more: &[(&str, &str)]) -> Result<()> {
        let own = [("host", "shop.example"), ("x-user", "user"), ("x-client", "0")];
        let headers: Headers =
            own.iter().chain(more).map(|(name, value)| (Bytes::from(*name), Bytes::from(*value))).collect();
        self.asked.set(self.asked.get() + 1);
        Ok(write_head(connection.writer(), &format!("GET {} HTTP/1.1", self.path), &headers)?)
    }

    fn ask(&self, connection: &mut Connection, more: &[(&str, &str)]) -> Result<Answer> {
        self.send(connection, more)?;
        receive(connection)
    }
}

fn receive(connection: &mut Connection) -> Result<Answer> {
    let answer = connection.read_response("GET")?;
    Ok((
        answer.status().context("no status")?,
        ["x-served", "x-version"].iter().any(|name| answer.header(name).is_some()),
    ))
}
