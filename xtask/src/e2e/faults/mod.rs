//! Faults that come over the wire, on a real Envoy with all filters: after each, Envoy lives, no module has failed, nobody waits, and what clients saw,
//! what the upstream got, what Envoy counted and what the modules did agree to the request.

mod accounts;
mod client;
mod clients;
mod clock;
mod collector;
mod collectors;
mod floods;
mod http2;
mod line;
mod shop;
mod site;
mod sizes;
mod upstreams;

use super::{Count, try_all};
use crate::{build, setup};
use accounts::{Books, Sent};
use anyhow::{Result, bail};
use site::{Plan, Site};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Makes requests fail at a site, and says what was sent.
type Fault = fn(&Site) -> Result<Tried>;

/// What was sent, and what else must be counted.
#[derive(Default)]
struct Tried {
    sent: Vec<Sent>,
    also: [Vec<(&'static str, usize)>; 2],
}

impl From<Vec<Sent>> for Tried {
    fn from(sent: Vec<Sent>) -> Self {
        Self { sent, ..Self::default() }
    }
}

/// The faults that need nothing of their own.
const FAULTS: [(&str, Fault); 8] = [
    ("upstreams that fail", upstreams::fail),
    ("clients that are slow, or leave", clients::misbehave),
    ("a flood of streams", floods::streams),
    ("a flood of resets", floods::resets),
    ("more resets than Envoy bears", floods::too_many),
    ("huge headers", sizes::headers),
    ("trailers", sizes::trailers),
    ("a megabyte in chunks of a byte", sizes::chunks),
];

/// Tries the faults of which the name has this text.
///
/// # Errors
/// Something that the run needs is missing. What does not come out as it must is counted.
pub fn run(only: &str, seconds: u64) -> Result<Count> {
    let program = setup::envoy(None)?;
    build::modules()?;
    let mut count = Count::default();
    let picked: Vec<(&str, Fault)> = FAULTS.into_iter().filter(|(name, _)| name.contains(only)).collect();
    for (plan, what) in [(Plan::One, "all-in-one"), (Plan::Chain, "a chain of four")] {
        let site = std::cell::RefCell::new(Site::start(&program, plan, &site::config(), |_| ())?);
        if "collectors that fail".contains(only) {
            let of = try_all(&[("collectors that fail", ())], |()| {
                collectors::fail(&program, plan, Duration::from_secs(seconds))
            });
            count.passed += of.passed;
            count.failed += of.failed;
        }
        if "a clock that jumps".contains(only) {
            let was_set = std::cell::Cell::new(true);
            let of = try_all(&[("a clock that jumps", ())], |()| {
                was_set.set(clock::jump(&program, plan)?);
                Ok(())
            });
            count.passed += if was_set.get() { of.passed } else { 0 };
            count.skipped += if was_set.get() { 0 } else { of.passed };
            count.failed += of.failed;
        }
        let of = try_all(&picked, |fault| attempt(&mut site.borrow_mut(), what, *fault));
        count.passed += of.passed;
        count.failed += of.failed;
    }
    Ok(count)
}

/// Makes one kind of fault and balances the books.
fn attempt(site: &mut Site, plan: &str, fault: Fault) -> Result<()> {
    let begun = Instant::now();
    site.begin()?;
    let tried = fault(site)?;
    let books = balance(site, plan, tried)?;
    println!("{plan}: {} requests in {:.1} s", books.sent.len(), begun.elapsed().as_secs_f64());
    for ((rule, end), count) in books.ends() {
        println!("  {count:>5}  {rule}: {end}");
    }
    Ok(())
}

/// Balances the books of what was sent; that a false account would be seen is tried each time.
fn balance(site: &mut Site, plan: &str, tried: Tried) -> Result<Books> {
    let books = site.close(tried)?;
    let wrong = books.check();
    if !wrong.is_empty() {
        bail!("{plan}: {} accounts do not agree:\n  {}", wrong.len(), first(&wrong));
    }
    let unseen = books.unseen();
    if !unseen.is_empty() {
        bail!("{plan}: the check does not see\n  {}", first(&unseen));
    }
    Ok(books)
}

/// The first lines, of those that begin alike the first two.
fn first(lines: &[String]) -> String {
    let mut seen = BTreeMap::<&str, usize>::new();
    let mut first = Vec::new();
    for line in lines {
        let times = seen.entry(line.get(..14).unwrap_or(line)).or_default();
        *times += 1;
        if *times <= 2 && first.len() < 16 {
            first.push(line.as_str());
        }
    }
    first.join("\n  ")
}
