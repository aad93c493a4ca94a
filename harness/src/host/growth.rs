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
const SECOND: [u64; 6] = [500, 500, 1000, 2000, 4000, 8000];

/// The most instructions of a look, in wasmtime's units of fuel: about a second. A step that is not reached says nothing.
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

/// Takes steps, of so many streams each, and says by how many bytes a stream makes the memory grow, if all steps behind the first do.
fn look(proxy: &mut Proxy, exchanges: &[Exchange], steps: &[u64], mut fuel: u64) -> Option<usize> {
    let (mut seen, mut streams) = (Vec::new(), 0);
    for count in steps {
        for exchange in (0..*count).zip(exchanges.iter().cycle()).map(|(_, exchange)| exchange) {
            let cost = proxy.exchange(exchange).cost.map_or(0, |cost| cost.instructions);
            fuel = fuel.saturating_sub(cost);
            streams += 1;
            if fuel == 0 {
                break;
            }
        }
        seen.push((streams, proxy.touched()));
        if fuel == 0 {
            break;
        }
    }
    let does_grow = seen.len() > 2 && seen.is_sorted_by(|(_, one), (_, other)| one < other);
    let ((first, before), (last, after)) = (seen.first()?, seen.last()?);
    let streams = usize::try_from(last - first).unwrap_or(usize::MAX);
    (does_grow && proxy.traps().is_empty()).then(|| (after - before).div_ceil(streams.max(1)))
}
