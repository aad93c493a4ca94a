//! Watches a module's memory over many streams: what each of them takes and none gives back grows without end.
//!
//! What is watched is how far the module has written into its linear memory. A module that gives back what it takes writes to the same places again,
//! so that a hundred streams show what a page of 64 KB would show after thousands. Where these hundred look like growth, thousands decide: a cache
//! that fills up, or a collector of garbage that has not run yet, comes to an end.

use super::proxy::Proxy;
use crate::{
    lint::{Finding, Lint},
    scenario::Exchange,
};

/// How many streams there are in each step of the first look, and of the second one.
const FIRST: [u64; 4] = [32; 4];
const SECOND: [u64; 7] = [500, 500, 1000, 2000, 4000, 8000, 16000];

/// The most instructions of a look, in wasmtime's units of fuel: about a second. A step that is not half done says nothing.
const FUEL: [u64; 2] = [100_000_000, 2_000_000_000];

/// The most exchanges of a scenario that are repeated.
const EXCHANGES: usize = 16;

/// Repeats a scenario's exchanges, and says if the memory grows with them.
pub(super) fn watch(proxy: &mut Proxy, exchanges: &[Exchange]) -> Option<Finding> {
    let mut all: Vec<Exchange> = exchanges.iter().take(EXCHANGES).cloned().collect();
    for exchange in &mut all {
        exchange.after_ms = 0;
    }
    if all.is_empty() || !proxy.traps().is_empty() {
        return None;
    }
    look(proxy, &all, &FIRST, FUEL[0])?;
    let bytes = look(proxy, &all, &SECOND, FUEL[1])?;
    Some(Finding {
        lint: Lint::StreamMemory,
        callback: String::new(),
        what: format!("the module's memory grows with each stream, by about {bytes} bytes"),
    })
}

/// Takes steps, of so many streams each, and says by how many bytes a stream makes the memory grow, if all steps behind the first do, and the last one does so
/// at an eighth of the pace before it, or more. The heap of a collector's language (Go's is 4 MiB before it is first collected) grows by bits for long after.
fn look(proxy: &mut Proxy, exchanges: &[Exchange], steps: &[u64], mut fuel: u64) -> Option<usize> {
    let (mut seen, mut streams) = (Vec::new(), 0);
    for count in steps {
        let end = streams + count;
        for exchange in (0..*count).zip(exchanges.iter().cycle()).map(|(_, exchange)| exchange) {
            let cost = proxy.exchange(exchange).cost.map_or(0, |cost| cost.instructions);
            fuel = fuel.saturating_sub(cost);
            streams += 1;
            if fuel == 0 {
                break;
            }
        }
        if end - streams <= count / 2 {
            seen.push((streams, proxy.touched()));
        }
        if fuel == 0 {
            break;
        }
    }
    let [first, .., before, last] = seen.as_slice() else { return None };
    let does_grow = seen.is_sorted_by(|(_, one), (_, other)| one < other);
    let is_steady = pace(before, last) * 8.0 >= pace(first, before);
    // The last pace is the one that goes on.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a pace is below the memory's size"
    )]
    (does_grow && is_steady && proxy.traps().is_empty()).then(|| pace(before, last).ceil() as usize)
}

/// Bytes a stream, from one number of streams and bytes to another.
fn pace((streams, bytes): &(u64, usize), (later, more): &(u64, usize)) -> f64 {
    let count = |value: u64| f64::from(u32::try_from(value).unwrap_or(u32::MAX));
    count(more.saturating_sub(*bytes) as u64) / count(later - streams).max(1.0)
}
