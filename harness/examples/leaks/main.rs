//! Sends generated personal data through the modules of all filters, as a chain and as all-in-one, and looks for it in all that comes out:
//! `leaks DIST [COUNT [PLANT]]`. DIST is the folder of the modules; COUNT is how many cases there are of each entity, encoding and place. PLANT lets one
//! output write e-mail addresses (`records`, `labels`, `lines`), so that leaks must be found there. The last line is `N passed, N failed`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program of the host: it has arguments, and what it prints is its product"
)]

mod batch;
#[path = "../../../pii/tests/common/cases.rs"]
mod cases;
mod outputs;
mod refused;
mod site;

use batch::Batch;
use cases::{Forms, Random};
use harness::Module;
use site::Site;
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    env,
    error::Error,
    fs,
    path::Path,
    thread,
};

/// How many cases of each kind there are where the command does not say.
const COUNT: usize = 40;
/// How many names of fields a configuration has: a body has two fields of each.
const AT_ONCE: usize = 12;
/// Threads, of which each has proxies of its own.
const THREADS: usize = 2;
/// Of so many requests one goes through proxies whose host calls are looked at too.
const TRACED: usize = 20;
/// The entity whose values an output is let write, for a leak that is planted: there are no other cases then.
const PLANTED: &str = "email";
/// Behind how many requests something is said.
const TELL: usize = 20_000;
/// The filters in the order of their chain, with the fields that they have in all-in-one.
const CHAIN: [(&str, &str); 4] = [
    ("metrics", "metrics"),
    ("access-log", "access_log"),
    ("policy", "policy"),
    ("ab-routing", "ab_routing"),
];

/// How many values leaked, with the first of them, by entity, encoding, place, and where they were found.
type Leaks = BTreeMap<String, (usize, String)>;

/// The modules' bytes: those of the chain, and all-in-one.
struct Modules {
    chain: Vec<Vec<u8>>,
    all: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (dist, rest) = arguments.split_first().ok_or("usage: leaks DIST [COUNT [PLANT]]")?;
    let count = rest.first().map_or(Ok(COUNT), |count| count.parse())?;
    let plant = rest.get(1).map(String::as_str);
    let read = |filter: &str| fs::read(Path::new(dist).join(filter).with_extension("wasm"));
    let chain = CHAIN.iter().map(|(filter, _)| read(filter)).collect::<Result<_, _>>()?;
    let modules = Modules { chain, all: read("all-in-one")? };
    let (mut all, mut leaks) = if plant.is_none() { refused::run(&modules)? } else { (0, Leaks::new()) };
    let workers: Vec<_> = thread::scope(|scope| {
        let work = |part| {
            let modules = &modules;
            scope.spawn(move || run(modules, count, part, plant).map_err(|error| error.to_string()))
        };
        let spawned: Vec<_> = (0..THREADS).map(work).collect();
        spawned
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err("a worker has ended".into())))
            .collect()
    });
    for worker in workers {
        let (count, found) = worker?;
        all += count;
        for (kind, (count, first)) in found {
            leaks.entry(kind).or_insert((0, first)).0 += count;
        }
    }
    for (kind, (count, first)) in &leaks {
        println!("{count:5} {kind}: {first}");
    }
    let failed: usize = leaks.values().map(|(count, _)| count).sum();
    println!("{} passed, {failed} failed", all - failed.min(all));
    Ok(())
}

/// Runs every case of one part; says how many they were.
fn run(
    modules: &Modules,
    count: usize,
    part: usize,
    plant: Option<&str>,
) -> Result<(usize, Leaks), Box<dyn Error>> {
    let keys: BTreeSet<&str> = cases::KINDS.iter().map(|kind| kind.key).collect();
    let keys: Vec<&str> = keys.into_iter().collect();
    let groups: Vec<&[&str]> = keys.chunks(AT_ONCE).collect();
    let chain = modules.chain.iter().map(|bytes| Module::load(bytes)).collect::<Result<Vec<_>, _>>()?;
    let all_in_one = Module::load(&modules.all)?;
    // Each is made when the first case for it comes: to start so many VMs takes seconds.
    let mut sites = BTreeMap::new();
    let mut random = Random(11 + part as u64);
    let (mut all, mut leaks) = (0, Leaks::new());
    for (number, batch) in Batch::all(count, 23).enumerate().filter(|(number, _)| number % THREADS == part) {
        if plant.is_some() && batch.cases.iter().all(|case| case.entity != PLANTED) {
            continue;
        }
        let Some(keys) = groups.iter().find(|keys| keys.contains(&batch.key)) else { continue };
        let is_traced = (number / THREADS).is_multiple_of(TRACED);
        let site = match sites.entry((*keys, is_traced)) {
            Entry::Occupied(site) => site.into_mut(),
            Entry::Vacant(place) => place.insert(Site::new(&chain, &all_in_one, keys, is_traced, plant)?),
        };
        all += batch.cases.len();
        if part == 0 && number.is_multiple_of(TELL) {
            eprintln!("about {} cases, {} kinds of leaks in half of them", all * THREADS, leaks.len());
        }
        let forms: Vec<_> = batch.cases.iter().map(|case| (case, Forms::of(&case.value))).collect();
        for outputs in site.exchange(&batch.exchange(number, &mut random)) {
            if let Some(missing) = outputs.missing() {
                let first = || format!("request {number} | {}", site.traps());
                let kind = format!("no {missing} from {}", outputs.of);
                leaks.entry(kind).or_insert_with(|| (0, first())).0 += 1;
            }
            for (case, place, form) in outputs.leaks(&forms) {
                let kind = format!(
                    "{} | {} | {} | {} | {place}",
                    case.entity, case.encoding, case.place, outputs.of
                );
                let first = || format!("{} | {form} | {}", case.text, outputs.text_of(place));
                leaks.entry(kind).or_insert_with(|| (0, first())).0 += 1;
            }
        }
    }
    Ok((all, leaks))
}
