//! A clock that is set forward and back by hours and years while requests come and records wait for the collector.

use super::{
    accounts::Sent,
    balance,
    collector::{Collector, Mode},
    collectors::{BATCH, Records, check, config, load, settled},
    site::{Plan, Site},
};
use crate::{command, project};
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;
/// Where the clock is set to, in seconds from the right time, one after the other. The last but one is in 1976.
const SET_TO: [i64; 8] = [HOUR, -HOUR, 10 * YEAR, -10 * YEAR, 400 * YEAR, 0, -50 * YEAR, 0];
/// The requests at each setting of the clock; it is set in their midst.
const REQUESTS: usize = 400;

/// An Envoy program whose clock can be set, and the file with how far it is off.
struct Clock {
    folder: PathBuf,
    file: fs::File,
}

impl Clock {
    /// Makes it; `None` where there is no C compiler.
    fn make(program: &Path) -> Result<Option<Self>> {
        let Some(cc) = command::on_path("cc") else { return Ok(None) };
        let folder = project::scratch("faults")?.join(format!("clock-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let library = folder.join("clock.so");
        let source = project::root().join("xtask/src/e2e/faults/clock.c");
        command::run(Command::new(cc).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source))?;
        let offset = folder.join("offset");
        fs::write(&offset, 0_i64.to_le_bytes())?;
        // A program of its own, for Envoy is started with no variables of another.
        let script = format!(
            "#!/bin/sh\nOUTRIGGER_CLOCK='{}' LD_PRELOAD='{}' exec '{}' \"$@\"\n",
            offset.display(),
            library.display(),
            program.display()
        );
        fs::write(folder.join("envoy"), script)?;
        fs::set_permissions(folder.join("envoy"), fs::Permissions::from_mode(0o755))?;
        let file = fs::OpenOptions::new().write(true).open(&offset)?;
        Ok(Some(Self { folder, file }))
    }

    /// Sets it to so many seconds from the right time.
    fn set(&self, seconds: i64) -> Result<()> {
        Ok(self.file.write_all_at(&seconds.to_le_bytes(), 0)?)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Sets the clock under load, while the collector is well and while it fails; false where it cannot be set.
///
/// # Errors
/// A request noticed, a record is lost, or the clock was not set after all.
pub fn jump(program: &Path, plan: Plan) -> Result<bool> {
    let Some(clock) = Clock::make(program)? else {
        println!("SKIPPED: the clock was not set, for there is no C compiler `cc`");
        return Ok(false);
    };
    let collector = Collector::start()?;
    let mut site = Site::start(&clock.folder.join("envoy"), plan, &config(), |bootstrap| {
        bootstrap.set_cluster("collector", Some(collector.address()));
    })?;
    let begun = Instant::now();
    let before = Records::of(&site)?;
    let (mut names, mut seconds) = (Vec::new(), 0);
    for (place, set_to) in SET_TO.into_iter().enumerate() {
        collector.set(if place % 2 == 0 { Mode::Well } else { Mode::Status(503) });
        let mut sent = load(&site, REQUESTS / 2)?;
        let around: Result<Vec<Sent>> = thread::scope(|scope| {
            let under_way = scope.spawn(|| load(&site, REQUESTS));
            thread::sleep(Duration::from_millis(20));
            clock.set(set_to)?;
            under_way.join().map_err(|_| anyhow::anyhow!("the load has failed"))?
        });
        sent.extend(around?);
        sent.extend(load(&site, REQUESTS / 2)?);
        names.extend(sent.iter().map(|sent| sent.name.clone()));
        let books = balance(&mut site, "a clock that jumps", sent.into())
            .with_context(|| format!("with the clock set from {seconds} s to {set_to} s"))?;
        let year = |record: &serde_json::Value| {
            record["start_time"].as_str().and_then(|time| time.get(..4)?.parse::<i64>().ok())
        };
        let years: Vec<i64> = books.lines.iter().filter_map(|line| year(&line.record)).collect();
        let (first, last) = (years.first().copied().unwrap_or(0), years.last().copied().unwrap_or(0));
        ensure!(
            (last - first - (set_to - seconds) / YEAR).abs() <= 1,
            "the clock was set by {} years, and records are of {first} to {last}",
            (set_to - seconds) / YEAR
        );
        seconds = set_to;
    }
    collector.set(Mode::Well);
    let records = settled(&site, &before, names.len())?;
    // A batch whose answer is yet to come when the clock goes far ahead is taken for lost, and sent again: one of each worker, at each setting.
    check(&records, &collector, &names, SET_TO.len() * 2 * BATCH)?;
    println!(
        "the clock was set {} times in {:.1} s: {} requests, {records:?}",
        SET_TO.len(),
        begun.elapsed().as_secs_f64(),
        names.len()
    );
    Ok(true)
}
