//! `cargo xtask demo`: the main job. A real Envoy with all filters before two versions of a shop.

mod logs;
mod mesh;
mod metrics;
mod policy;
mod seen;
pub mod visitors;

use crate::{
    bootstrap::Bootstrap, build, envoy::Envoy, progress, project, setup, upstream::Upstream, visitor::Visitor,
};
use anyhow::{Context as _, Error, Result};
use hmac::{Hmac, Mac as _};
use logs::Logs;
use seen::{Answer, Seen};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, process::ExitCode};
use ui::{Options, Page, admin::Url};

const USERS: usize = 200;
const REQUESTS: usize = 1000;
/// The ports of keep-running mode, those of envoy-configs/all.yaml; others are taken if these are not free.
const PORTS: [u16; 2] = [8081, 8082];
/// The port of the page, that of `outrigger ui`.
const PAGE: u16 = 9980;
/// The environment variable with the testers' secret, and the demo's own.
const SECRET: (&str, &str) = ("AB_QA_SECRET", "only for this demonstration");
/// The plugin that picks arms.
const AB_ROUTING: &str = "outrigger.ab_routing";
/// The header that testers ask for arms in.
const ASKING: &str = "x-force-arm";

/// Runs Envoy with all filters before two versions of a shop, sends it a thousand requests of two hundred users, and says what happened.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Check the outcome and exit, rather than keep running.
    #[arg(long)]
    once: bool,
}

/// An arm of the bootstrap's experiments.
#[derive(Debug, Clone)]
struct Arm {
    experiment: String,
    /// The header that says it.
    header: String,
    name: String,
    /// Its weight in the experiment, and the part of the layer that the experiment takes, of 10,000 each.
    weight: f64,
    part: f64,
}

/// The demo's processes.
pub struct Stage {
    /// Envoy, with all filters.
    pub envoy: Envoy,
    /// Where visitors come.
    pub listener: SocketAddr,
    /// The two versions of the shop.
    pub shops: [Upstream; 2],
    arms: Vec<Arm>,
    logs: Logs,
    records: policy::Records,
}

/// Runs the command.
///
/// # Errors
/// Something is missing, or the outcome is not what it must be.
pub fn run(args: &Args) -> Result<ExitCode> {
    let stage = Stage::start(args.once)?;
    let page = stage.page(if args.once { 0 } else { PAGE })?;
    let seen = stage.traffic()?;
    let logged = stage.logs.collect(stage.listener)?;
    let decisions = stage.records.collect(&stage.envoy, stage.listener)?;
    let rates = metrics::collect(&stage.envoy, stage.listener, &stage.shops)?;
    let story = mesh::tell(&setup::envoy(None)?)?;
    stage.print(&seen, &logged, &decisions, &rates, &story);
    seen.check(&stage.arms)?;
    logs::check(&logged)?;
    decisions.check()?;
    rates.check()?;
    story.check()?;
    if !args.once {
        println!("\nThe page is at http://{}/ and visitors keep coming, until Ctrl-C.", page.address());
        visitors::keep_coming(stage.listener, &stage.shops);
    }
    let count = visitors::check_page(&page, &stage.envoy)?;
    println!("\nThe page of it all says {count} numbers, each as Envoy counts it.");
    anstream::println!("demo: {}ok{:#}", progress::GREEN, progress::GREEN);
    Ok(ExitCode::SUCCESS)
}

impl Stage {
    /// Starts Envoy and the shops; `once` takes free ports alone.
    ///
    /// # Errors
    /// Something is missing, or does not start.
    pub fn start(once: bool) -> Result<Self> {
        let program = setup::envoy(None)?;
        build::modules()?;
        let _work = progress::begin("starting Envoy and two shops");
        let shop = |name, port| {
            if once {
                Upstream::start(name, 0)
            } else {
                Upstream::start(name, port).or_else(|_| Upstream::start(name, 0))
            }
        };
        let shops = [shop("v1", PORTS[0])?, shop("v2", PORTS[1])?];
        let mut bootstrap = Bootstrap::load("all")?;
        bootstrap.set_modules();
        bootstrap.set_cluster("v1", Some(shops[0].address()));
        bootstrap.set_cluster("v2", Some(shops[1].address()));
        // Testers may ask for an arm, with a signature by a secret that the VM's environment holds.
        let plugin = bootstrap.plugin(AB_ROUTING).context("the bootstrap has no ab-routing")?;
        let text = plugin["configuration"]["value"].as_str().context("ab-routing has no configuration")?;
        let mut config: Value = serde_json::from_str(text)?;
        config["overrides"] = json!({"header": ASKING, "secret_env": SECRET.0});
        // Responses are counted by arm; a user comes five times.
        config["experiments"][0]["health"] = json!({"requests_per_user": REQUESTS / USERS});
        plugin["configuration"]["value"] = json!(config.to_string());
        let (name, secret) = SECRET;
        bootstrap.set_environment(&BTreeMap::from([(name.to_owned(), secret.to_owned())]));
        let logs = Logs::add_to(&mut bootstrap, &project::scratch("demo")?)?;
        let records = policy::Records::add_to(&mut bootstrap, &project::scratch("demo")?)?;
        // The file's own ports, so that its comments hold; free ones if these are taken, and for a check that must not meet another.
        let mut free = bootstrap.clone();
        free.with_free_ports();
        let arguments = ["--concurrency", "2"];
        let start_free = || Envoy::start(&program, &free.0, &arguments);
        let envoy = if once {
            start_free()?
        } else {
            Envoy::start(&program, &bootstrap.0, &arguments).or_else(|_| start_free())?
        };
        let listener = envoy.listener("main")?;
        Ok(Self {
            envoy,
            listener,
            shops,
            arms: arms(&config).context("the bootstrap's experiments")?,
            logs,
            records,
        })
    }

    /// The page of this Envoy and its logs, at this port of loopback or a free one.
    ///
    /// # Errors
    /// No port is free.
    pub fn page(&self, port: u16) -> Result<Page> {
        let admin: Url = self.envoy.admin().to_string().parse().map_err(Error::msg)?;
        let options = |port| Options {
            admin: admin.clone(),
            logs: vec![self.logs.records.clone(), self.records.path().to_owned()],
            listen: SocketAddr::from(([127, 0, 0, 1], port)),
        };
        Page::start(&options(port)).or_else(|_| Page::start(&options(0))).map_err(Error::msg)
    }

    /// Every user comes five times with the cookies of a browser, all users in turn; then a tester comes.
    fn traffic(&self) -> Result<Seen> {
        let work = progress::begin_counted("sending requests", REQUESTS as u64);
        let mut users = vec![Vec::new(); USERS];
        let mut visitors = vec![Visitor::default(); USERS];
        for _ in 0..REQUESTS / USERS {
            for (visitor, answers) in visitors.iter_mut().zip(&mut users) {
                answers.push(self.request(visitor, &[])?);
                work.step();
            }
        }
        let requests = [self.shops[0].count(), self.shops[1].count()];
        let exposures = seen::counters(&self.envoy, "ab_exposures_total", ["experiment", "arm"])?;
        // Somebody who is in neither shop v2 nor its experiment.
        let other =
            users.iter().position(|answers| answers.iter().all(|answer| answer.experiment == "banner"));
        let mut tester = other.and_then(|place| visitors.get(place)).cloned().unwrap_or_default();
        let signed = signed("checkout:b");
        let tester = [
            ("asks for nothing", self.request(&mut tester, &[])?),
            ("asks without the signature", self.request(&mut tester, &[(ASKING, "checkout:b")])?),
            ("asks with the signature", self.request(&mut tester, &[(ASKING, &signed)])?),
        ];
        let overrides = seen::counters(&self.envoy, "ab_overrides_total", ["result", "result"])?;
        Ok(Seen { users, requests, exposures, tester: tester.into(), overrides })
    }

    /// One request of a user: the shop that answered, and the arm that it was told.
    fn request(&self, visitor: &mut Visitor, headers: &[(&str, &str)]) -> Result<Answer> {
        visitor.get(self.listener, "/", headers)?;
        let (shop, received) = ["v1", "v2"]
            .iter()
            .zip(&self.shops)
            .find_map(|(name, shop)| Some((*name, shop.take_received().into_iter().next()?)))
            .context("no shop got the request")?;
        let value = |name: &str| {
            let found = received.headers.iter().find(|(other, _)| other.0 == name.as_bytes());
            found.map(|(_, value)| value.lossy())
        };
        let arm = self.arms.iter().find_map(|arm| Some((&arm.experiment, value(&arm.header)?)));
        let (experiment, arm) = arm.context("the shop was told no arm")?;
        let is_asking = value(ASKING).is_some();
        Ok(Answer { shop, experiment: experiment.clone(), arm, is_asking })
    }

    fn print(
        &self,
        seen: &Seen,
        logged: &[logs::Line],
        decisions: &policy::Decisions,
        rates: &metrics::Rates,
        story: &mesh::Story,
    ) {
        println!("{REQUESTS} requests of {USERS} users with cookies, through Envoy with all filters:");
        println!("{}", seen.table(&self.arms));
        println!("users who kept one arm over all their requests: {} of {USERS}", seen.constant());
        let [v1, v2] = seen.requests;
        println!("requests that the shops counted: v1 {v1}, v2 {v2}");
        println!("\nA tester of the banner, who wants to see checkout's arm b:\n{}", seen.tester_table());
        logs::print(logged);
        decisions.print();
        rates.print();
        let (listener, admin) = (self.listener, self.envoy.admin());
        story.print();
        println!("\nTry it:");
        println!(
            "  curl -i http://{listener}/                             # a new visitor: see set-cookie, and which shop answers"
        );
        println!("  curl -i -b visitor=you http://{listener}/              # the same visitor each time");
        println!("  curl -i -b visitor=you -H 'x-arm: b' http://{listener}/ # a forged arm changes nothing");
        println!("  curl -i -H '{ASKING}: {}' http://{listener}/", signed("checkout:b"));
        println!(
            "  curl -s 'http://{listener}/users/you@example.com?card=4111111111111111'; tail -1 {}",
            self.logs.records.display()
        );
        println!("  curl -i http://{listener}/admin                        # denied, with the reason");
        println!("  curl -s http://{admin}/stats/prometheus | grep -E '^(ab|pii|policy)_'");
    }
}

/// A list of arms with its signature by the demo's secret.
fn signed(list: &str) -> String {
    let mut text = format!("{list}~");
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.1.as_bytes()) {
        mac.update(list.as_bytes());
        for byte in mac.finalize().into_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// The arms of a configuration's experiments, which share a layer.
fn arms(config: &Value) -> Option<Vec<Arm>> {
    let mut arms = Vec::new();
    for experiment in config["experiments"].as_array()? {
        let range = &experiment["layer"]["ranges"][0];
        for arm in experiment["arms"].as_array()? {
            arms.push(Arm {
                experiment: experiment["name"].as_str()?.to_owned(),
                header: experiment["header"].as_str().unwrap_or("x-arm").to_owned(),
                name: arm["name"].as_str()?.to_owned(),
                weight: arm["weight"].as_f64()?,
                part: range[1].as_f64()? - range[0].as_f64()?,
            });
        }
    }
    Some(arms)
}
