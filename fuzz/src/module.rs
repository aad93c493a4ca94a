//! Exchanges through the modules of dist/ in the harness. What a module does inside is not compiled with counters, so what came of an exchange, and how
//! many instructions it took, is told to the fuzzer as further counters.

use crate::exchange;
use arbitrary::Unstructured;
use harness::{
    Bytes, FailurePolicy, Module, Options, Proxy, Settings,
    scenario::{Chunk, Cluster, Exchange, Request, Response},
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher as _},
    path::Path,
};

const COUNTERS: usize = 4096;

/// libFuzzer takes what is in this section for counters too, and clears it before each run.
#[expect(unsafe_code, reason = "it is how libFuzzer finds them")]
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static mut OUTCOMES: [u8; COUNTERS] = [0; COUNTERS];

fn seen(what: impl Hash) {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    let place = usize::try_from(hasher.finish() % COUNTERS as u64).unwrap_or(0);
    #[expect(unsafe_code, reason = "a static that libFuzzer reads")]
    // SAFETY: the fuzzer has one thread, and reads this after the target has returned.
    unsafe {
        (&raw mut OUTCOMES).cast::<u8>().add(place).write(1);
    };
}

/// After so many exchanges a module is started anew, so that what it remembers is not all that it ever saw.
const LIFE: usize = 2000;

struct Started {
    module: Module,
    config: Vec<u8>,
    proxies: Vec<(Proxy, usize)>,
}

/// What a collector does.
fn collectors() -> [Cluster; 4] {
    [
        Cluster::Answers { response: Response::default(), delay_ms: 1 },
        Cluster::Answers { response: Response { status: 503, ..Response::of("no\0json") }, delay_ms: 3000 },
        Cluster::Refuses,
        Cluster::Empty,
    ]
}

impl Started {
    fn new(filter: &str, config: Option<&str>) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        let read = |path: &str| {
            fs::read(root.join(path))
                .unwrap_or_else(|error| panic!("{path}: {error}: run `cargo xtask build`"))
        };
        let module = Module::load(&read(&format!("dist/{filter}.wasm"))).expect("a module");
        let config = config.map_or_else(
            || read(&format!("filters/{filter}/config.example.json")),
            |config| config.as_bytes().to_vec(),
        );
        Self { module, config, proxies: Vec::new() }
    }

    fn start(&self, cluster: &Cluster) -> Proxy {
        let names = ["collector", "otel", "opentelemetry-collector"];
        let clusters: BTreeMap<String, Cluster> = names.map(|name| (name.to_owned(), cluster.clone())).into();
        let mut proxy = Proxy::new(Settings { clusters, workers: 1, ..Settings::default() });
        let environment = ["AB_MESH", "AB_SECRET", "OVERRIDES", "PII_KEY", "EXPLAIN_KEY"]
            .map(|name| (name.to_owned(), "a secret of more than sixteen bytes".to_owned()));
        let options = Options {
            environment: environment.into(),
            failure_policy: FailurePolicy::Closed,
            ..Options::default()
        };
        proxy.add(&self.module, &options, Some(&self.config)).expect("the configuration of the repository");
        proxy
    }

    fn run(&mut self, which: usize, exchange: &Exchange) {
        while self.proxies.len() <= which {
            let proxy = self.start(&collectors()[self.proxies.len()]);
            self.proxies.push((proxy, 0));
        }
        if self.proxies[which].1 >= LIFE {
            self.proxies[which] = (self.start(&collectors()[which]), 0);
        }
        let (proxy, age) = &mut self.proxies[which];
        *age += 1;
        let outcome = proxy.exchange(exchange);
        proxy.take_log();
        let traps: Vec<String> = proxy.traps().iter().map(|trap| format!("{trap:?}")).collect();
        assert!(traps.is_empty(), "{traps:?} by {exchange:?}");
        seen((which, outcome.status, &outcome.details));
        if let Some(cost) = outcome.cost {
            seen((which, cost.host_calls.min(64), cost.instructions.max(1).ilog2()));
        }
        for name in outcome.metrics.keys() {
            seen((which, name.split(';').next()));
        }
    }
}

fn make(bytes: &[u8]) -> Option<(u8, usize, Exchange)> {
    let mut bytes = Unstructured::new(bytes);
    let head: u8 = bytes.arbitrary().ok()?;
    Some((head >> 2, usize::from(head & 3), exchange::make(&mut bytes).ok()?))
}

/// A stream through one of the four filters' modules.
pub fn each(bytes: &[u8]) {
    thread_local! {
        static MODULES: RefCell<Vec<Started>> = RefCell::new(
            ["ab-routing", "access-log", "metrics", "policy"].map(|filter| Started::new(filter, None)).into(),
        );
    }
    let Some((filter, collector, exchange)) = make(bytes) else { return };
    MODULES.with_borrow_mut(|modules| {
        let place = usize::from(filter) % modules.len();
        modules[place].run(collector, &exchange);
    });
}

/// A stream through all of them in one module.
pub fn all_in_one(bytes: &[u8]) {
    thread_local! {
        static MODULE: RefCell<Started> = RefCell::new(Started::new("all-in-one", None));
    }
    let Some((_, collector, exchange)) = make(bytes) else { return };
    MODULE.with_borrow_mut(|module| module.run(collector, &exchange));
}

/// A policy that reads forms and JSON.
const FIELDS: &str = r#"{"policies": [{"metadata": {"name": "p"}, "spec": {"action": "DENY", "rules": [{"outrigger": {"body": {"fields": [
    {"pointer": "/amount", "over": 1000}, {"pointer": "/to/iban", "prefix": "DE"}, {"pointer": "/items/0", "present": true}]}}}]}}]}"#;

/// A form or JSON through the policy's reader, in chunks.
pub fn form(bytes: &[u8]) {
    thread_local! {
        static MODULE: RefCell<Started> = RefCell::new(Started::new("policy", Some(FIELDS)));
    }
    let Some((head, body)) = bytes.split_first() else { return };
    let kind = if head & 1 == 0 { "application/x-www-form-urlencoded" } else { "application/json" };
    let (first, second) = body.split_at(usize::from(head >> 1).min(body.len()));
    let request = Request {
        method: "POST".to_owned(),
        headers: vec![(Bytes::from("content-type"), Bytes::from(kind))],
        chunks: vec![Chunk::from(Bytes(first.to_vec())), Chunk::apart(Bytes(second.to_vec()))],
        is_chunked: true,
        ..Request::default()
    };
    MODULE.with_borrow_mut(|module| module.run(0, &Exchange { request, ..Exchange::default() }));
}
