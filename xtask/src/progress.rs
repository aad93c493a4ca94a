//! What is going on, for those who wait: a spinner on a terminal, a line elsewhere; and what has failed.

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{IsTerminal as _, stderr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The colour of what is wrong.
pub const RED: Style = AnsiColor::Red.on_default().bold();
/// The colour of what is right.
pub const GREEN: Style = AnsiColor::Green.on_default().bold();

/// What has failed so far, each in short.
static FAILURES: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// How many lines of a failure are repeated at the end, and how many characters of each: what follows is a table of two sides, or a whole body.
const SHORT: (usize, usize) = (3, 300);

/// Says what has failed and why, and remembers it in short: a long run's end says again what its middle said.
pub fn failed(what: &str, why: &str) {
    let why = why.trim();
    let parted = if why.contains('\n') { "\n  " } else { " " };
    anstream::println!("{RED}FAILED{RED:#} {what}:{parted}{why}");
    let short: Vec<String> =
        why.lines().take(SHORT.0).map(|line| line.chars().take(SHORT.1).collect()).collect();
    let mut failures = FAILURES.lock().unwrap_or_else(PoisonError::into_inner);
    failures.push(format!("{what}:{parted}{}", short.join("\n")));
}

/// What has failed so far, each in short.
pub fn failures() -> Vec<String> {
    FAILURES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A piece of work that is going on.
pub struct Work(ProgressBar);

/// Says that something has begun that takes its time.
pub fn begin(what: &str) -> Work {
    bar(None, what)
}

/// Says that something has begun that has so many parts.
pub fn begin_counted(what: &str, parts: u64) -> Work {
    bar(Some(parts), what)
}

fn bar(parts: Option<u64>, what: &str) -> Work {
    let (bar, template) = match parts {
        Some(parts) => (ProgressBar::new(parts), "{spinner} {msg} [{bar:30}] {pos}/{len} {elapsed}"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
    };
    if stderr().is_terminal() {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
    } else {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        eprintln!("{what} ...");
    }
    bar.set_message(what.to_owned());
    Work(bar)
}

impl Work {
    /// One part more is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// Says what is being done now.
    pub fn now(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
