//! Sends generated personal data through the module of access-log and looks for it in all that comes out: `leaks MODULE [COUNT]`. COUNT is how many
//! cases there are of each entity, encoding and place. The last line is `N passed, N failed`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of the host: it has arguments, and what it prints is its product"
)]

#[path = "../../pii/tests/common/cases.rs"]
mod cases;

use cases::{Case, Random};
use harness::{
    Bytes, Module, Options, Proxy, Settings,
    outcome::{Call, ExchangeOutcome},
    scenario::{Chunk, Cluster, Connection, Exchange, Request, Response},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    error::Error,
    fs, thread,
    time::Duration,
};

/// How many cases of each kind there are where the command does not say.
const COUNT: usize = 40;
/// How many names of fields a configuration has: a body has two fields of each.
const AT_ONCE: usize = 12;
/// Threads, of which each has a proxy of its own.
const THREADS: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let Some(module) = arguments.next() else { return Err("usage: leaks MODULE [COUNT]".into()) };
    let count = arguments.next().map_or(Ok(COUNT), |count| count.parse())?;
    let module = fs::read(module)?;
    let keys: BTreeSet<&str> = cases::KINDS.iter().map(|kind| kind.key).collect();
    let keys: Vec<&str> = keys.into_iter().collect();
    let groups: Vec<&[&str]> = keys.chunks(AT_ONCE).collect();
    let workers: Vec<_> = thread::scope(|scope| {
        let work = |part| {
            let (module, groups) = (&module, &groups);
            scope.spawn(move || run(module, groups, count, part).map_err(|error| error.to_string()))
        };
        let spawned: Vec<_> = (0..THREADS).map(work).collect();
        spawned
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err("a worker has ended".into())))
            .collect()
    });
    let (mut all, mut leaks) = (0, BTreeMap::<String, (usize, String)>::new());
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
    println!("{} passed, {failed} failed", all - failed);
    Ok(())
}

type Leaks = BTreeMap<String, (usize, String)>;

/// Runs every case of one part; says how many they were.
fn run(
    module: &[u8],
    groups: &[&[&str]],
    count: usize,
    part: usize,
) -> Result<(usize, Leaks), Box<dyn Error>> {
    let module = Module::load(module)?;
    let mut proxies = groups.iter().map(|keys| proxy(&module, keys)).collect::<Result<Vec<_>, _>>()?;
    let mut random = Random(11);
    let (mut all, mut leaks) = (0, Leaks::new());
    for case in cases::all(count, 23).skip(part).step_by(THREADS) {
        let key = cases::KINDS
            .iter()
            .find(|kind| kind.id == case.entity && is_key(kind.key, &case))
            .map_or("q", |kind| kind.key);
        let group = groups.iter().position(|keys| keys.contains(&key)).unwrap_or(0);
        let Some(proxy) = proxies.get_mut(group) else { continue };
        let outcome = proxy.exchange(&exchange(&case, key, &mut random));
        // The exporter sends when its timer runs out.
        proxy.advance(Duration::from_millis(20));
        all += 1;
        let written = written(&outcome, &proxy.take_calls());
        // A record of each exchange, or else nothing was tried.
        let is_there = outcome.state.contains_key("outrigger.log") && written.contains("\"logRecords\":[{");
        let problem = if is_there { None } else { Some("no record") };
        if let Some(form) = problem.or_else(|| cases::leak(&case.value, &written)) {
            let kind = format!("{} | {} | {}", case.entity, case.encoding, case.place);
            leaks.entry(kind).or_insert((0, format!("{} | {form} | {written}", case.text))).0 += 1;
        }
    }
    Ok((all, leaks))
}

/// Whether the text has this key before its value.
fn is_key(key: &str, case: &Case) -> bool {
    [format!("{key}="), format!("\"{key}\":"), format!("x-{key}:"), format!("/{key}/")]
        .iter()
        .any(|form| case.text.contains(form))
        || key == "q" && case.place == "path"
}

/// A proxy whose filter logs all that it can, by all ways out.
fn proxy(module: &Module, keys: &[&str]) -> Result<Proxy, Box<dyn Error>> {
    let headers: Vec<String> = keys
        .iter()
        .map(|key| format!("x-{}", key.to_ascii_lowercase()))
        .chain(["cookie".to_owned()])
        .collect();
    let fields: Vec<String> =
        keys.iter().flat_map(|key| [(*key).to_owned(), format!("more.{key}")]).collect();
    let config = json!({
        "outputs": {
            "filter_state": {"fields": ["path", "query"]},
            "log": true,
            "otlp": {"cluster": "collector", "batch": {"records": 1, "interval_ms": 10}}
        },
        "headers": {"request": headers, "others": true},
        "body": {"fields": fields},
        "flow": {"scan": ["cookies", "headers", "body"], "learn_seconds": 0},
        "metrics": {"budget": 40},
        "value_bytes": 65536
    });
    let clusters = BTreeMap::from([(
        "collector".to_owned(),
        Cluster::Answers { response: Response::default(), delay_ms: 0 },
    )]);
    let mut proxy = Proxy::new(Settings { clusters, ..Settings::default() });
    proxy.add(module, &Options::default(), Some(config.to_string().as_bytes()))?;
    Ok(proxy)
}

/// The request that has the case's text where its place is. A body is cut into three at places drawn by lot.
fn exchange(case: &Case, key: &str, random: &mut Random) -> Exchange {
    let mut request = Request {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        authority: "shop.example".to_owned(),
        ..Request::default()
    };
    let mut header = |name: &str, value: &str| request.headers.push((Bytes::from(name), Bytes::from(value)));
    let mut body = None;
    match case.place {
        "cookie" => header("cookie", &case.text),
        "form" => {
            header("content-type", "application/x-www-form-urlencoded");
            body = Some(&case.text);
        }
        "json" | "json array" => {
            header("content-type", "application/json");
            body = Some(&case.text);
        }
        "header" => {
            let value = case
                .text
                .strip_prefix(&format!("x-{key}: "))
                .and_then(|rest| rest.strip_suffix("\r\naccept: text/html"));
            header(&format!("x-{}", key.to_ascii_lowercase()), value.unwrap_or(&case.text));
        }
        _ => request.path.clone_from(&case.text),
    }
    if let Some(body) = body {
        let mut cuts = [random.below(body.len() + 1), random.below(body.len() + 1)];
        cuts.sort_unstable();
        let [first, second] = cuts;
        let parts =
            [body.as_bytes().get(..first), body.as_bytes().get(first..second), body.as_bytes().get(second..)];
        request.is_chunked = true;
        request.chunks = parts
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .map(|part| Chunk::apart(Bytes(part.to_vec())))
            .collect();
    }
    Exchange {
        connection: Connection::default(),
        after_ms: 0,
        is_tcp: false,
        request,
        response: Response::default(),
        expect: harness::expect::Expect::default(),
    }
}

/// All that left the proxy by the filter.
fn written(outcome: &ExchangeOutcome, calls: &[Call]) -> String {
    let mut all = Vec::new();
    all.extend(outcome.state.values().map(Bytes::lossy));
    all.extend(outcome.log.iter().map(|line| line.text.clone()));
    all.extend(outcome.metrics.keys().cloned());
    all.extend(outcome.calls.iter().chain(calls).map(|call| call.body.lossy()));
    all.extend(outcome.response_headers.iter().map(|(_, value)| value.lossy()));
    all.push(outcome.response_body.lossy());
    all.join("\n")
}
