//! Which plugins an Envoy runs, out of its `/config_dump`. Nothing else is kept of it: environments and secrets of others stand there too.

use crate::experiment::{self, Configured};
use serde_json::Value;

/// The filters of this project. The one of several comes first: its name is in no other's.
const FILTERS: [&str; 5] = ["all-in-one", "ab-routing", "access-log", "metrics", "policy"];
/// What a Wasm filter's type ends in.
const TYPE: &str = "extensions.filters.http.wasm.v3.Wasm";
/// The most plugins that are kept.
const LIMIT: usize = 200;
/// How deep filters are looked for: a filter of a filter chain of a dynamic listener is at 14.
const DEPTH: usize = 40;

/// A plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// Its name, which its stats have too.
    pub name: String,
    /// The last part of where its module comes from.
    pub module: String,
    /// What Envoy does when it traps: `FAIL_RELOAD` and the like; empty where the configuration does not say.
    pub failure_policy: String,
    /// Which filter of this project it is, if it is one.
    pub filter: Option<&'static str>,
}

/// All plugins, and the experiments that their configurations have.
#[derive(Debug, Default)]
pub struct Plugins {
    /// By name, each once.
    pub all: Vec<Plugin>,
    /// In the order of their configurations.
    pub experiments: Vec<Configured>,
}

impl Plugins {
    /// Finds them in parts of a dump.
    pub fn parse(parts: &[Value]) -> Self {
        let mut found = Self::default();
        for part in parts {
            found.find(part, DEPTH);
        }
        found.all.sort_by(|one, other| {
            (one.filter.is_none(), &one.name).cmp(&(other.filter.is_none(), &other.name))
        });
        found
    }

    fn find(&mut self, value: &Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match value {
            Value::Object(fields) => {
                let is = |name: &str| {
                    fields.get(name).and_then(Value::as_str).is_some_and(|kind| kind.ends_with(TYPE))
                };
                if is("@type") {
                    self.add(&value["config"]);
                } else if is("type_url") {
                    self.add(&value["value"]["config"]);
                } else {
                    fields.values().for_each(|field| self.find(field, depth));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.find(item, depth)),
            _ => {}
        }
    }

    fn add(&mut self, config: &Value) {
        let vm = &config["vm_config"];
        let code = &vm["code"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let place = code["local"]["filename"].as_str().or(code["remote"]["http_uri"]["uri"].as_str());
        let module =
            place.and_then(|place| place.split(['?', '#']).next()?.rsplit('/').next()).unwrap_or_default();
        let name = text(&config["name"]);
        let filter = filter(&name, module);
        if self.all.len() >= LIMIT || self.all.iter().any(|plugin| plugin.name == name) {
            return;
        }
        let configuration = config["configuration"]["value"].as_str();
        if let Some(configuration) = configuration.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
            match filter {
                Some("ab-routing") => self.experiments.extend(experiment::configured(&configuration)),
                Some("all-in-one") => {
                    self.experiments.extend(experiment::configured(&configuration["ab_routing"]));
                }
                _ => {}
            }
        }
        let failure_policy = text(&config["failure_policy"]);
        self.all.push(Plugin { name, module: module.to_owned(), failure_policy, filter });
    }
}

/// The filter that a plugin is, by its module's name or its own: Istio's agent calls modules by their hashes.
pub fn filter(name: &str, module: &str) -> Option<&'static str> {
    let [name, module] = [name, module].map(|text| text.to_lowercase().replace('_', "-"));
    let stem = module.split([':', '.', '@']).next().unwrap_or_default();
    FILTERS.into_iter().find(|filter| stem == *filter || name.rsplit('.').next() == Some(filter))
}

#[cfg(test)]
mod tests {
    use super::{Plugins, filter};
    use serde_json::json;

    #[test]
    fn filters_are_known_by_their_module_or_their_name() {
        assert_eq!(filter("a", "ab-routing.wasm"), Some("ab-routing"));
        assert_eq!(filter("outrigger.access_log", "1f0c.wasm"), Some("access-log"));
        assert_eq!(filter("shop.all-in-one", ""), Some("all-in-one"));
        assert_eq!(filter("their.policy.engine", "opa.wasm"), None);
    }

    #[test]
    fn of_a_dump_just_plugins_are_kept() {
        let wasm = |name: &str, file: &str| {
            json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": {
            "name": name, "failure_policy": "FAIL_RELOAD",
            "vm_config": {"code": {"local": {"filename": file}}, "environment_variables": {"key_values": {"SECRET": "hunter2"}}},
            "configuration": {"value": r#"{"experiments":[{"name":"x","arms":[{"name":"a","weight":1},{"name":"b","weight":3}]}]}"#}}})
        };
        let dump = json!({"configs": [{"listener": {"filters": [wasm("theirs", "x/other.wasm"), wasm("outrigger.ab_routing", "dist/ab-routing.wasm")]}},
            {"again": wasm("outrigger.ab_routing", "dist/ab-routing.wasm")}]});
        let plugins = Plugins::parse(&[dump]);
        let names: Vec<_> = plugins.all.iter().map(|plugin| (plugin.name.as_str(), plugin.filter)).collect();
        assert_eq!(names, [("outrigger.ab_routing", Some("ab-routing")), ("theirs", None)]);
        assert_eq!(plugins.experiments[0].arms, [("a".to_owned(), 0.25), ("b".to_owned(), 0.75)]);
        assert!(!format!("{plugins:?}").contains("hunter2"));
    }
}
