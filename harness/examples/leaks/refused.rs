//! Configurations that are refused, with a value in a field that holds secrets or personal data: what is said of them does not have it.
#![allow(clippy::indexing_slicing, reason = "JSON is written by index, which makes what is not there")]

use crate::{
    CHAIN, Leaks, Modules,
    cases::{self, Random},
    site,
};
use harness::{Module, Proxy, Settings, StartError};
use serde_json::{Value, json};
use std::error::Error;

/// Every filter's fields of that kind, each in a configuration that is refused because of it.
fn configurations(value: &str) -> Vec<(usize, Value)> {
    let long = value.repeat(200);
    let experiment =
        json!({"name": "e", "key": [{"header": "u"}], "arms": [{"name": "a", "weight": 10_000}]});
    let with = |name: &str, field: Value| {
        let mut experiment = experiment.clone();
        experiment[name] = field;
        json!({"experiments": [experiment]})
    };
    vec![
        (1, json!({"canaries": [{"name": "a", "value": long}]})),
        (1, json!({"canaries": [{"name": "not a name", "value": value}]})),
        (1, json!({"canaries": [{"name": "a", "value": {"is": value}}]})),
        (2, json!({"sets": {"values": {"keys": [value, {"is": value}]}}})),
        (2, json!({"explain": {"secret": value}})),
        (3, with("force", json!([{"arm": "none", "keys": [value]}]))),
        (3, with("force", json!([{"arm": "a", "keys": [value, value]}, {"arm": "b", "keys": [value]}]))),
        (3, json!({"overrides": {"header": "x-f", "secret": value}, "experiments": [experiment]})),
        (3, json!({"sticky": {"secret": value}, "experiments": [experiment]})),
        (3, json!({"propagate": {"secret": value}, "experiments": [experiment]})),
    ]
}

/// Tries them all with a value of each entity, on the filter's own module and on all-in-one.
pub fn run(modules: &Modules) -> Result<(usize, Leaks), Box<dyn Error>> {
    let chain = modules.chain.iter().map(|bytes| Module::load(bytes)).collect::<Result<Vec<_>, _>>()?;
    let all_in_one = Module::load(&modules.all)?;
    let mut random = Random(5);
    let (mut all, mut leaks) = (0, Leaks::new());
    // What a value is makes no difference here: some of them are enough.
    for kind in cases::KINDS.iter().step_by(8) {
        let value = kind.value(&mut random);
        for (place, config) in configurations(&value) {
            let (Some(module), Some((filter, field))) = (chain.get(place), CHAIN.get(place)) else {
                continue;
            };
            for (module, config) in [(module, config.clone()), (&all_in_one, json!({*field: config}))] {
                all += 1;
                let mut proxy = Proxy::new(Settings::default());
                let added = proxy.add(module, &site::options("all"), Some(config.to_string().as_bytes()));
                let said = match added {
                    Err(StartError::Configure(error)) => format!("{error}\n{:?}", error.log),
                    Err(error) => error.to_string(),
                    Ok(()) => format!(
                        "the configuration was not refused: {}",
                        config.to_string().replace(&value, "VALUE")
                    ),
                };
                let form = if said.starts_with("the configuration was") {
                    Some("not refused")
                } else {
                    cases::leak(&value, &said)
                };
                if let Some(form) = form {
                    let kind = format!("{} | error of {filter}", kind.id);
                    leaks.entry(kind).or_insert((0, format!("{form} | {said}"))).0 += 1;
                }
            }
        }
    }
    Ok((all, leaks))
}
