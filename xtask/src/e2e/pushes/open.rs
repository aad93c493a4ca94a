//! A request that is under way while a configuration is pushed.

use super::{
    load,
    site::{Site, answer, wait},
    subjects::{MOMENTS, SUBJECTS, Subject, revision},
};
use crate::{
    build,
    http::{Connection, write_head},
};
use anyhow::{Context as _, Result, ensure};
use std::{fs, path::Path, thread, time::Duration};

/// How long its answer takes, and when the push comes.
const SLOW_MS: u64 = 800;
const PUSH: Duration = Duration::from_millis(200);
/// Who waits longer calls it a hang.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long counts may take to come.
const SETTLING: Duration = Duration::from_secs(1);

/// A filter with its first revision, on one worker.
pub struct Open {
    site: Site,
    subject: &'static Subject,
}

impl Open {
    /// Starts it; its module may not make this call.
    ///
    /// # Errors
    /// Envoy does not start.
    pub fn start(program: &Path, filter: &str, without: Option<&str>) -> Result<Self> {
        let subject = SUBJECTS.iter().find(|subject| subject.name == filter).context("no such filter")?;
        Ok(Self { site: Site::start(program, subject, &build::module(filter), 1, without)?, subject })
    }

    /// A request begins with one revision and ends after the push of the next.
    ///
    /// # Errors
    /// The next one has decided something of it, or nothing was decided.
    pub fn keeps_its_configuration(&self) -> Result<()> {
        let Self { site, subject } = self;
        site.shop.set_answer(answer(SLOW_MS));
        let path = if subject.denies { "/late" } else { "/shop" };
        let mut connection = Connection::open(site.listener, PATIENCE)?;
        write_head(connection.writer(), &format!("GET {path} HTTP/1.1"), &load::headers(0, 0, false))?;
        thread::sleep(PUSH);
        let taken = site.stat("update_success$")?;
        site.plugin.write(&site.plugin.with(&subject.config(1).to_string()))?;
        wait("the push is there", || Ok(site.stat("update_success$")? > taken))?;
        let status = connection.read_response("GET")?.status();
        ensure!(status == Some(subject.status(path)), "a request over a push was answered {status:?}");
        let marks = (subject.marks)(path);
        if marks > 0 {
            wait("the request has a line", || Ok(fs::read_to_string(&site.log)?.ends_with('\n')))?;
            let line = fs::read_to_string(&site.log)?;
            let is_marked = line.matches(&revision(0)).count() >= marks;
            ensure!(is_marked && !line.contains(&revision(1)), "a request over a push: {}", line.trim());
        }
        if subject.name == "metrics" {
            thread::sleep(SETTLING);
            for (name, _) in MOMENTS {
                let count = site.sum(name, Some(("plan", revision(0).as_str())))?;
                ensure!(count == 1, "{name} is {count} of one request over a push");
            }
        }
        Ok(())
    }
}
