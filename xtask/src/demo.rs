//! `cargo xtask demo`: the main job. A real Envoy with sticky A/B routing before two versions of a shop.

use crate::{
    bootstrap::Bootstrap, build, envoy::Envoy, progress, setup, upstream::Upstream, visitor::Visitor,
};
use anyhow::{Context as _, Result, ensure};
use comfy_table::Table;
use harness::series;
use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode, thread};

const USERS: usize = 200;
const REQUESTS: usize = 1000;
/// How far a share may be from its weight, in standard deviations of the binomial distribution: one demo in 15,000 would be off by chance.
const TOLERANCE: f64 = 4.0;
/// The ports of keep-running mode, those of envoy-configs/ab-routing.yaml; others are taken if these are not free.
const PORTS: [u16; 2] = [8081, 8082];

/// Runs Envoy with sticky A/B routing before two versions of a shop, sends it a thousand requests of two hundred users, and says what happened.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Check the outcome and exit, rather than keep running.
    #[arg(long)]
    once: bool,
}

/// The demo's processes.
struct Stage {
    envoy: Envoy,
    listener: SocketAddr,
    shops: [Upstream; 2],
    /// The arms and their weights, of 10,000.
    arms: Vec<(String, f64)>,
}

/// What two hundred users saw.
#[derive(Debug, Default)]
struct Seen {
    /// The arms that each user got.
    arms: Vec<Vec<String>>,
    /// The requests that each shop counted.
    requests: [u64; 2],
    /// The exposures that Envoy counted, by arm.
    exposures: BTreeMap<String, i64>,
}

/// Runs the command.
///
/// # Errors
/// Something is missing, or the outcome is not what it must be.
pub fn run(args: &Args) -> Result<ExitCode> {
    let stage = Stage::start(args.once)?;
    let seen = stage.traffic()?;
    stage.print(&seen);
    stage.check(&seen)?;
    if !args.once {
        println!("\nEnvoy keeps running; Ctrl-C ends it.");
        loop {
            thread::park();
        }
    }
    anstream::println!("demo: {}ok{:#}", progress::GREEN, progress::GREEN);
    Ok(ExitCode::SUCCESS)
}

impl Stage {
    fn start(once: bool) -> Result<Self> {
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
        let mut bootstrap = Bootstrap::load("ab-routing")?;
        bootstrap.set_module(&build::module("ab-routing"));
        bootstrap.set_cluster("v1", Some(shops[0].address()));
        bootstrap.set_cluster("v2", Some(shops[1].address()));
        let arms = arms(&bootstrap)?;
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
        Ok(Self { envoy, listener, shops, arms })
    }

    /// Every user comes five times with the cookies of a browser, all users in turn.
    fn traffic(&self) -> Result<Seen> {
        let work = progress::begin_counted("sending requests", REQUESTS as u64);
        let mut seen = Seen { arms: vec![Vec::new(); USERS], ..Seen::default() };
        let mut visitors = vec![Visitor::default(); USERS];
        for _ in 0..REQUESTS / USERS {
            for (visitor, arms) in visitors.iter_mut().zip(&mut seen.arms) {
                arms.push(self.request(visitor)?);
                work.step();
            }
        }
        seen.requests = [self.shops[0].count(), self.shops[1].count()];
        for (stat, value) in self.envoy.plugin_stats()? {
            let series = series::parse(&stat);
            if let ("ab_exposures_total", Some(arm)) = (series.name.as_str(), series.labels.get("arm")) {
                seen.exposures.insert(arm.clone(), value);
            }
        }
        Ok(seen)
    }

    /// One request of a user; the arm that the shop was told.
    fn request(&self, visitor: &mut Visitor) -> Result<String> {
        visitor.get(self.listener, "/", &[])?;
        let received =
            self.shops.iter().flat_map(Upstream::take_received).next().context("no shop got the request")?;
        let arm = received
            .headers
            .iter()
            .find(|(name, _)| name.0 == b"x-arm")
            .context("the shop was told no arm")?;
        Ok(arm.1.lossy())
    }

    fn print(&self, seen: &Seen) {
        let mut table = Table::new();
        table.set_header(["arm", "weight", "users", "share", "requests", "exposures in Envoy"]);
        for (arm, weight) in &self.arms {
            let users = seen.users(arm);
            #[expect(clippy::cast_precision_loss, reason = "a few hundred users")]
            let share = users as f64 * 100.0 / USERS as f64;
            table.add_row([
                arm.clone(),
                format!("{:.1} %", weight / 100.0),
                users.to_string(),
                format!("{share:.1} %"),
                seen.arms.iter().flatten().filter(|seen| *seen == arm).count().to_string(),
                seen.exposures.get(arm).copied().unwrap_or(0).to_string(),
            ]);
        }
        println!(
            "{REQUESTS} requests of {USERS} users with cookies, through Envoy with ab-routing:\n{table}"
        );
        println!("users who kept one arm over all their requests: {} of {USERS}", seen.constant());
        let [v1, v2] = seen.requests;
        println!("requests that the shops counted: v1 {v1}, v2 {v2}");
        let (listener, admin) = (self.listener, self.envoy.admin());
        println!("\nTry it:");
        println!(
            "  curl -i http://{listener}/                             # a new visitor: see set-cookie, and which shop answers"
        );
        println!("  curl -i -b visitor=you http://{listener}/              # the same visitor each time");
        println!("  curl -i -b visitor=you -H 'x-arm: b' http://{listener}/ # a forged arm changes nothing");
        println!("  curl -s http://{admin}/stats/prometheus | grep ab_");
    }

    fn check(&self, seen: &Seen) -> Result<()> {
        ensure!(seen.constant() == USERS, "only {} of {USERS} users kept their arm", seen.constant());
        let sent = |arm: &str| seen.arms.iter().flatten().filter(|seen| *seen == arm).count() as u64;
        for (arm, weight) in &self.arms {
            let share = weight / 10_000.0;
            #[expect(clippy::cast_precision_loss, reason = "a few hundred users")]
            let (users, all) = (seen.users(arm) as f64, USERS as f64);
            let deviation = (all * share * (1.0 - share)).sqrt();
            ensure!(
                (users - all * share).abs() <= TOLERANCE * deviation,
                "arm {arm} has {users} of {all} users at a weight of {weight}"
            );
            let exposures = seen.exposures.get(arm).copied().unwrap_or(0);
            ensure!(
                exposures.cast_unsigned() == sent(arm),
                "arm {arm} had {} requests and {exposures} exposures",
                sent(arm)
            );
        }
        let expected = [REQUESTS as u64 - sent("b"), sent("b")];
        ensure!(
            seen.requests == expected,
            "the shops counted {:?}, and the arms say {expected:?}",
            seen.requests
        );
        Ok(())
    }
}

impl Seen {
    /// How many users began in an arm.
    fn users(&self, arm: &str) -> usize {
        self.arms.iter().filter(|arms| arms.first().is_some_and(|first| first == arm)).count()
    }

    /// How many users had one arm over all their requests.
    fn constant(&self) -> usize {
        self.arms.iter().filter(|arms| arms.windows(2).all(|pair| pair[0] == pair[1])).count()
    }
}

/// The arms of the bootstrap's experiment.
fn arms(bootstrap: &Bootstrap) -> Result<Vec<(String, f64)>> {
    let listener = &bootstrap.0["static_resources"]["listeners"][0];
    let filters = &listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
    let text = filters[0]["typed_config"]["config"]["configuration"]["value"]
        .as_str()
        .context("the bootstrap's first filter has no configuration")?;
    let config: serde_json::Value = serde_json::from_str(text)?;
    let arms = config["experiments"][0]["arms"].as_array();
    let arm = |arm: &serde_json::Value| Some((arm["name"].as_str()?.to_owned(), arm["weight"].as_f64()?));
    arms.context("the bootstrap has no experiment")?
        .iter()
        .map(arm)
        .collect::<Option<_>>()
        .context("an arm has no weight")
}
