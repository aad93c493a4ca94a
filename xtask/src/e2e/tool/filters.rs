//! What the tool says of each filter: what `diff` tells of two configurations, and that `explain` comes to what the module has done.

use super::{output, text};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// Runs the tool over two configurations of each filter, and asks it why.
pub fn check(tool: &Path, folder: &Path) -> Result<()> {
    let requests = folder.join("mixed.jsonl");
    let lines: Vec<String> = (0..240).map(|number| request(number).to_string()).collect();
    fs::write(&requests, lines.join("\n"))?;
    for (filter, [first, second], says) in cases() {
        let file = |name: &str, config: &Value| -> Result<String> {
            let path = folder.join(format!("{filter}-{name}.json"));
            fs::write(&path, config.to_string())?;
            Ok(text(&path))
        };
        let (first, second) = (file("first", &first)?, file("second", &second)?);
        let page = folder.join(format!("{filter}.html"));
        let [all, html] = [&*requests, &page].map(text);
        let said = output(tool, &["diff", "--filter", filter, &first, &second, &all, "--html", &html])?;
        let (code, told) = (said.status.code(), String::from_utf8_lossy(&said.stderr));
        let table = String::from_utf8(said.stdout)?;
        ensure!(code == Some(1), "diff of {filter} ends with {code:?}: {told}{table}");
        let page = fs::read_to_string(&page)?;
        for what in says {
            ensure!(table.contains(what), "diff of {filter} does not tell of {what}:\n{table}");
            ensure!(page.contains(what), "the page of {filter} does not tell of {what}");
        }
        ensure!(!page.contains("://") && !page.contains("<script"), "the page of {filter} is not by itself");
        for config in [&first, &second] {
            let said = output(tool, &["replay", "--filter", filter, "--config", config, "--explain", &all])?;
            ensure!(said.status.success(), "{said:?}");
            explained(filter, &String::from_utf8(said.stdout)?)?;
        }
    }
    Ok(())
}

/// Every decision has clauses, where the filter says any, and what comes of them is what the module has done.
fn explained(filter: &str, decisions: &str) -> Result<()> {
    for line in decisions.lines() {
        let decision: Value = serde_json::from_str(line)?;
        let clauses = decision["explain"].as_array().context("no explain")?;
        let of = |end: &'static str| {
            clauses
                .iter()
                .filter(move |clause| clause["path"].as_str().is_some_and(|path| path.ends_with(end)))
        };
        ensure!(
            of("module").next().is_none(),
            "{filter} is explained otherwise than it decides: {decision:#}"
        );
        if ["policy", "all-in-one"].contains(&filter) {
            let end = of("policies").next().with_context(|| format!("no conclusion: {decision:#}"))?;
            ensure!(end["result"] == json!(decision["verdict"] == "allow"), "{decision:#}");
        }
        if filter == "ab-routing" {
            ensure!(of(".enabled").count() == 3, "{decision:#}");
        }
    }
    Ok(())
}

/// A request of many kinds.
fn request(number: usize) -> Value {
    let of = |list: &[&str]| list.get(number % list.len()).map(|text| (*text).to_owned()).unwrap_or_default();
    let path = of(&[
        "/",
        "/shop/a",
        "/admin/users",
        "/a;b",
        "/pay?card=4111111111111111",
        "/users/joe@example.com",
        "/checkout?u=7",
    ]);
    let mut headers = vec![json!(["x-tenant", of(&["acme", "globex", "acme", "", "initech"])])];
    if !number.is_multiple_of(3) {
        headers.push(json!(["x-user-id", format!("user-{number}")]));
    }
    if number.is_multiple_of(5) {
        headers.push(json!(["x-force-arm", "checkout:b"]));
    }
    if number.is_multiple_of(4) {
        headers.push(json!(["content-type", "application/json"]));
    }
    json!({
        "id": number.to_string(), "method": of(&["GET", "POST"]), "path": path, "headers": headers,
        "body": if number.is_multiple_of(4) { of(&["{\"amount\": 5}", "{\"amount\": 5000}", "{"]) } else { String::new() },
        "source": {"ip": of(&["10.0.0.1", "192.0.2.7"]), "principal": of(&["spiffe://cluster.local/ns/web/sa/front", "spiffe://cluster.local/ns/qa/sa/a"])},
        "claims": {"groups": ["staff", of(&["customer", "other"])]},
        "response": {"status": of(&["200", "404", "200", "500"]).parse::<u16>().unwrap_or(200)},
        "time": format!("2026-11-25T{:02}:00:00Z", number % 24)
    })
}

fn policy(name: &str, action: &str, rules: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"action": action, "rules": rules}})
}

/// Each filter with two configurations, and what must be told of them.
fn cases() -> Vec<(&'static str, [Value; 2], Vec<&'static str>)> {
    let allow = policy(
        "web",
        "ALLOW",
        &json!([
            {"from": [{"source": {"namespaces": ["web"]}}], "to": [{"operation": {"methods": ["GET", "POST"]}}]},
            {"when": [{"key": "request.auth.claims[groups]", "values": ["customer"]}], "to": [{"operation": {"notPaths": ["/shop/*"]}}]}
        ]),
    );
    let admin = policy(
        "admin",
        "DENY",
        &json!([
            {"from": [{"source": {"notIpBlocks": ["10.0.0.0/8"]}}], "to": [{"operation": {"paths": ["/admin/*"]}}]}
        ]),
    );
    let beyond = json!({"metadata": {"name": "beyond", "namespace": "shop"}, "spec": {"action": "DENY", "rules": [
        {"outrigger": {"match": [{"any": [{"on": "header", "name": "x-tenant", "exact": "initech"}, {"on": "path", "prefix": "/a"}]}], "time": {"from": "08:00", "to": "18:00"}}},
        {"outrigger": {"body": {"fields": [{"pointer": "/amount", "over": 1000}]}}},
        {"outrigger": {"personal_data": {"in": ["query"], "entities": ["card"]}}},
        {"to": [{"operation": {"paths": ["/checkout"]}}], "outrigger": {"response": {"status": ["5xx"]}}}
    ]}});
    let policies = |list: &[&Value]| json!({"policies": list});
    let experiments = |b: u32| {
        json!({
            "layers": [{"name": "shop"}],
            "holdouts": [{"name": "nobody", "share": 500}],
            "overrides": {"header": "x-force-arm", "trusted_principals": ["spiffe://cluster.local/ns/qa/*"]},
            "sticky": {},
            "experiments": [
                {"name": "checkout", "key": [{"header": "x-user-id"}], "visitor_cookie": {}, "layer": {"name": "shop", "ranges": [[0, 6000]]}, "holdouts": ["nobody"],
                 "arms": [{"name": "control", "weight": 10_000 - b}, {"name": "b", "weight": b}]},
                {"name": "banner", "key": [{"header": "x-user-id"}], "layer": {"name": "shop", "ranges": [[6000, 10_000]]},
                 "match": [{"on": "path", "prefix": "/"}], "force": [{"arm": "big", "keys": ["user-7"]}], "sticky": {}, "header": "x-banner",
                 "arms": [{"name": "none", "weight": 5000}, {"name": "big", "weight": 5000}]},
                {"name": "later", "key": [{"header": "x-user-id"}], "start": "2026-11-25T12:00:00Z", "requires": [{"experiment": "checkout", "arms": ["b"]}], "header": "x-later",
                 "coverage": 5000, "arms": [{"name": "on", "weight": 10_000}]}
            ]
        })
    };
    let log = |fields: &Value, ignore: &Value| json!({"fields": fields, "pii": {"ignore": ignore}});
    let metric = json!({"name": "by_tenant_total", "kind": "counter", "labels": [{"label": "tenant", "on": "header", "name": "x-tenant"}]});
    let all = |b: u32, list: &[&Value]| {
        json!({
            "metrics": {}, "access_log": {}, "policy": policies(list), "ab_routing": experiments(b)
        })
    };
    vec![
        (
            "policy",
            [policies(&[&allow]), policies(&[&allow, &admin, &beyond])],
            vec![
                "deny 403, by ns[shop]-policy[admin]-rule[0]",
                "deny 403, by ns[shop]-policy[beyond]-rule[1]",
            ],
        ),
        ("ab-routing", [experiments(2000), experiments(6000)], vec!["arm checkout", "control"]),
        (
            "access-log",
            [
                log(&json!(["method", "path"]), &json!([])),
                log(&json!(["method", "path", "status", "query"]), &json!(["email"])),
            ],
            vec!["log field", "response_code", "log value path"],
        ),
        (
            "metrics",
            [json!({}), json!({"default_set": {"on": false}, "define": [metric]})],
            vec!["series", "by_tenant_total{tenant=acme}", "http_server_requests_total"],
        ),
        (
            "all-in-one",
            [all(2000, &[&allow]), all(6000, &[&allow, &admin])],
            vec!["deny 403, by ns[shop]-policy[admin]-rule[0]", "arm checkout"],
        ),
    ]
}
