//! A difference, with as little around it as it needs.

use super::{
    Run,
    generate::Configuration,
    request::{Caller, Request},
};
use anyhow::Result;
use serde_json::Value;

/// How often something is left out.
const ROUNDS: usize = 16;
/// How many ways to leave something out are tried in one Envoy.
const WAYS: usize = 40;

/// Leaves out of the policies, and then of the request, what the difference does not need.
///
/// # Errors
/// Envoy does not take the configuration as it was.
pub fn shrink(
    run: &Run<'_>,
    configuration: &mut Configuration,
    caller: &Caller,
    request: &mut Request,
) -> Result<()> {
    for _ in 0..ROUNDS {
        let mut ways = ways(configuration);
        ways.truncate(WAYS);
        // A way that Envoy does not take hides the others: then this is as small as it gets.
        let Ok(site) = run.start(&ways) else { break };
        let still = (0..ways.len()).find(|place| {
            let answers = run.visit(site.pair(*place), caller, std::slice::from_ref(request));
            answers.iter().any(|[native, other]| native.status != other.status)
        });
        match still {
            Some(place) => *configuration = ways.swap_remove(place),
            None => break,
        }
    }
    let site = run.start(std::slice::from_ref(configuration))?;
    let differs = |request: &Request| {
        let answers = run.visit(site.pair(0), caller, std::slice::from_ref(request));
        answers.iter().any(|[native, other]| native.status != other.status)
    };
    let mut place = 0;
    while place < request.headers.len() {
        let mut without = request.clone();
        let (name, _) = without.headers.remove(place);
        if name.0 != b"host" && differs(&without) {
            *request = without;
        } else {
            place += 1;
        }
    }
    let mut without = request.clone();
    without.claims = None;
    if request.claims.is_some() && differs(&without) {
        *request = without;
    }
    Ok(())
}

/// The configuration with one thing less, in every way; the larger things come first.
fn ways(configuration: &Configuration) -> Vec<Configuration> {
    let mut ways = Vec::new();
    let with = |policies: Vec<Value>| Configuration { policies, ..configuration.clone() };
    if configuration.policies.len() > 1 {
        for place in 0..configuration.policies.len() {
            let mut policies = configuration.policies.clone();
            policies.remove(place);
            ways.push(with(policies));
        }
    }
    for (place, policy) in configuration.policies.iter().enumerate() {
        for rules in less(&policy["spec"]["rules"]) {
            let mut policies = configuration.policies.clone();
            policies[place]["spec"]["rules"] = rules;
            ways.push(with(policies));
        }
    }
    ways
}

/// A value with one element or field less, at any depth. Nothing is left without any, but for a rule.
fn less(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Array(items) => {
            for place in 0..items.len() {
                if items.len() > 1 {
                    let mut items = items.clone();
                    items.remove(place);
                    all.push(Value::Array(items));
                }
            }
            for (place, item) in items.iter().enumerate() {
                for item in less(item) {
                    let mut items = items.clone();
                    items[place] = item;
                    all.push(Value::Array(items));
                }
            }
        }
        Value::Object(fields) => {
            let is_rule = ["from", "to", "when"].iter().any(|field| fields.contains_key(*field));
            let is_condition = fields.contains_key("key");
            let least = if is_rule { 0 } else { 1 + usize::from(is_condition) };
            for name in fields.keys().filter(|name| *name != "key") {
                if fields.len() > least {
                    let mut fields = fields.clone();
                    fields.remove(name);
                    all.push(Value::Object(fields));
                }
            }
            for (name, value) in fields {
                for value in less(value) {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), value);
                    all.push(Value::Object(fields));
                }
            }
        }
        _ => {}
    }
    all
}
