//! A gateway and a sidecar behind it: the second hop keeps the arms of the first, and an arm that starts to fail is closed.

use super::seen;
use crate::{
    e2e::hops,
    envoy::Envoy,
    progress,
    upstream::{Upstream, plain},
    visitor::Visitor,
};
use anyhow::{Result, ensure};
use comfy_table::Table;
use serde_json::json;
use std::{net::SocketAddr, path::Path, thread, time::Duration};

/// How many users come in each part.
const USERS: usize = 300;

/// What users saw in one part of the story.
#[derive(Debug)]
struct Part {
    what: &'static str,
    /// How many got which shop, and how many of them were answered 500.
    shops: [u64; 2],
    failed: usize,
    /// How many had another arm at the second hop than at the first.
    differ: usize,
    /// What the gateway says of arm b.
    is_closed: i64,
}

/// What happened.
#[derive(Debug)]
pub struct Story(Vec<Part>);

/// Lets users come while all is well, while arm b fails, and after that.
pub fn tell(program: &Path) -> Result<Story> {
    let _work = progress::begin("a gateway and a sidecar");
    let shops = [Upstream::start("v1", 0)?, Upstream::start("v2", 0)?];
    let mut sidecar = hops::hop(
        &hops::signed(),
        &json!({"name": "checkout", "header": "x-arm", "visitor_cookie": {"name": "unknown"}}),
    )?;
    sidecar.set_cluster("v1", Some(shops[0].address()));
    sidecar.set_cluster("v2", Some(shops[1].address()));
    let sidecar = Envoy::start(program, &sidecar.0, &["--concurrency", "1"])?;
    let guardrail = json!({"errors": {"margin": 200}});
    let mut gateway = hops::hop(
        &hops::signed(),
        &json!({"name": "checkout", "header": "x-gateway-arm", "key": [{"header": "x-user"}], "guardrail": guardrail}),
    )?;
    gateway.set_cluster("shop", Some(sidecar.listener("main")?));
    gateway.set_route_list(&json!([{"match": {"prefix": "/"}, "route": {"cluster": "shop"}}]));
    let gateway = Envoy::start(program, &gateway.0, &["--concurrency", "2"])?;
    let listener = gateway.listener("main")?;
    let mut parts = vec![part("all is well", &gateway, listener, &shops)?];
    shops[1].set_answer(plain(500, Vec::new()));
    parts.push(part("v2 fails", &gateway, listener, &shops)?);
    // Each worker hears of it within a second.
    thread::sleep(Duration::from_millis(1500));
    parts.push(part("a second later", &gateway, listener, &shops)?);
    Ok(Story(parts))
}

fn part(what: &'static str, gateway: &Envoy, listener: SocketAddr, shops: &[Upstream; 2]) -> Result<Part> {
    let before = [shops[0].count(), shops[1].count()];
    let mut failed = 0;
    for user in 0..USERS {
        let user = format!("user-{user}");
        let answer = Visitor::default().ask(listener, "shop.example", "/", &[("x-user", &user)])?;
        failed += usize::from(answer.status() != Some(200));
    }
    let received = shops.iter().flat_map(Upstream::take_received);
    let differ =
        received.filter(|one| hops::header(one, "x-arm") != hops::header(one, "x-gateway-arm")).count();
    let closed = seen::counters(gateway, "ab_arm_closed", ["experiment", "arm"])?;
    let is_closed = closed.get(&["checkout".to_owned(), "b".to_owned()]).copied().unwrap_or(0);
    Ok(Part {
        what,
        shops: [shops[0].count() - before[0], shops[1].count() - before[1]],
        failed,
        differ,
        is_closed,
    })
}

impl Story {
    /// Prints it.
    pub fn print(&self) {
        println!(
            "\n{USERS} users again and again through a gateway with a guardrail and a sidecar that does not know them:"
        );
        let mut table = Table::new();
        table.set_header([
            "",
            "to v1 (control)",
            "to v2 (b)",
            "failed",
            "other arm behind",
            "ab_arm_closed of b",
        ]);
        for Part { what, shops, failed, differ, is_closed } in &self.0 {
            let [v1, v2] = shops;
            table.add_row([
                (*what).to_owned(),
                v1.to_string(),
                v2.to_string(),
                failed.to_string(),
                differ.to_string(),
                is_closed.to_string(),
            ]);
        }
        println!("{table}");
    }

    /// What must be so.
    ///
    /// # Errors
    /// A user's arm was another behind the gateway, or the arm that fails was not closed.
    pub fn check(&self) -> Result<()> {
        let [well, fails, after] = self.0.as_slice() else { return Ok(()) };
        ensure!(self.0.iter().all(|part| part.differ == 0), "arms differ between the hops: {self:?}");
        ensure!(well.failed == 0 && well.is_closed == 0 && well.shops[1] > 0, "not all was well: {well:?}");
        ensure!(
            (1..USERS / 3).contains(&fails.failed),
            "before b was closed {} requests failed",
            fails.failed
        );
        ensure!(
            after.failed == 0 && after.shops[1] == 0 && after.is_closed == 1,
            "b is not closed: {after:?}"
        );
        Ok(())
    }
}
