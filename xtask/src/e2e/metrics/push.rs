//! What was admitted stays so, and what was refused too, over pushes of configurations: into the same VMs, and with new ones in their place.

use super::{Exposition, flood, until};
use crate::{bootstrap::Bootstrap, build, envoy::Envoy, http, project, upstream::Upstream};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};

/// Pushes two configurations, as Istio does, while the metric has label values of before.
pub fn run(program: &Path) -> Result<bool> {
    let shop = Upstream::start("v1", 0)?;
    let folder = project::scratch("pushes")?.join(std::process::id().to_string());
    fs::create_dir_all(&folder)?;
    let listeners = folder.join("listeners.json");
    let outcome = pushes(program, &shop, &listeners);
    fs::remove_dir_all(&folder)?;
    outcome.map(|()| true)
}

fn pushes(program: &Path, shop: &Upstream, listeners: &Path) -> Result<()> {
    let (mut first, listener) = bootstrap(shop, "first", &BTreeMap::new())?;
    push(listeners, &listener)?;
    first["node"] = json!({"id": "node", "cluster": "cluster"});
    first["dynamic_resources"] = json!({"lds_config": {"path_config_source": {"path": listeners}}});
    let envoy = Envoy::start(program, &first, &["--concurrency", "2"])?;
    let mut expected = BTreeMap::from([("a", 0_u64), ("b", 0), ("overflow", 0)]);
    let variables = BTreeMap::from([("A".to_owned(), "new VMs".to_owned())]);
    for (number, (mark, environment)) in
        [("first", BTreeMap::new()), ("second", BTreeMap::new()), ("third", variables)]
            .into_iter()
            .enumerate()
    {
        if number > 0 {
            push(listeners, &bootstrap(shop, mark, &environment)?.1)?;
        }
        // The mark is a constant label of another metric: a request that counts there went through this configuration.
        until(|| {
            let Ok(address) = envoy.listener("main") else { return Ok(None) };
            send(address, "a")?;
            *expected.entry("a").or_default() += 1;
            thread::sleep(Duration::from_millis(300));
            let seen = exposition(&envoy)?.sum("pushed_total", &[("plan", mark)]);
            Ok((seen > 0).then_some(()))
        })?;
        let address = envoy.listener("main")?;
        for tenant in ["b", ["c", "d", "e"].get(number).copied().unwrap_or("f")] {
            send(address, tenant)?;
            *expected.entry(if tenant == "b" { "b" } else { "overflow" }).or_default() += 1;
        }
        let counted = until(|| {
            let exposition = exposition(&envoy)?;
            let of = |tenant| exposition.sum("by_tenant_total", &[("tenant", tenant)]);
            let overflow = exposition.sum("by_tenant_total", &[("otel_metric_overflow", "true")]);
            let got = BTreeMap::from([("a", of("a")), ("b", of("b")), ("overflow", overflow)]);
            Ok((got == expected).then_some(exposition.count("by_tenant_total")))
        });
        let series = counted.with_context(|| format!("{mark}: {expected:?} must be counted"))?;
        ensure!(series == 3, "{mark}: there are {series} series");
    }
    println!("two pushes, one of them with new VMs: label sets stayed admitted, and refused");
    Ok(())
}

/// The bootstrap without its listener, and the listener.
fn bootstrap(shop: &Upstream, mark: &str, environment: &BTreeMap<String, String>) -> Result<(Value, Value)> {
    let config = json!({"default_set": {"on": false}, "define": [
        {"name": "by_tenant_total", "kind": "counter", "budget": 2, "labels": [{"label": "tenant", "on": "header", "name": "x-tenant"}]},
        {"name": "pushed_total", "kind": "counter", "labels": [{"label": "plan", "on": "constant", "value": mark}]}
    ]});
    let mut bootstrap = Bootstrap::load("metrics")?;
    bootstrap.with_free_ports();
    bootstrap.set_module(&build::module("metrics"));
    bootstrap.set_cluster("v1", Some(shop.address()));
    bootstrap.set_plugin_configuration(Some(config.to_string().as_bytes()));
    bootstrap.set_environment(environment);
    bootstrap.set_route_list(&json!([{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}]));
    let mut listener = bootstrap.0["static_resources"]["listeners"][0].take();
    listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    bootstrap.0["static_resources"].as_object_mut().context("no resources")?.remove("listeners");
    Ok((bootstrap.0, listener))
}

/// Envoy looks again when a file is moved into the place of the old one.
fn push(path: &Path, listener: &Value) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, json!({"resources": [listener]}).to_string())?;
    Ok(fs::rename(&new, path)?)
}

fn send(address: std::net::SocketAddr, tenant: &str) -> Result<()> {
    let request = format!("GET / HTTP/1.1\r\nhost: shop.example\r\nx-tenant: {tenant}\r\n\r\n");
    flood::send_on(address, 1, 1, &|_| request.clone())
}

fn exposition(envoy: &Envoy) -> Result<Exposition> {
    Exposition::parse(&http::get(envoy.admin(), "/stats/prometheus?filter=wasmcustom")?)
}
