//! What a line of a log is: a record of access-log, one of policy, a line that a filter wrote itself, or none of these.
//!
//! Of a line that is not ours nothing is shown: Envoy's default format has raw paths.

use crate::plugins;
use serde::Serialize;
use serde_json::{Map, Value};

/// The most characters of a text that are shown.
const LENGTH: usize = 400;

/// A line that is ours.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Line {
    /// A record of access-log, redacted where the request was.
    Access(Box<Access>),
    /// A record of policy, all of it the configuration's own words.
    Verdict {
        /// `allow` or `deny`.
        verdict: String,
        /// The rule.
        policy: String,
        /// The reason that the configuration gives it.
        reason: String,
        /// Rules that audit the request.
        audit: Vec<String>,
    },
    /// What a filter wrote to Envoy's log.
    Own {
        /// The plugin's name.
        plugin: String,
        /// `info`, `warning` or `error`.
        level: String,
        /// The text.
        text: String,
    },
}

/// A record of access-log.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Access {
    time: String,
    method: String,
    path: String,
    query: String,
    route: String,
    status: Option<u64>,
    duration_ms: Option<f64>,
    /// Experiments and arms.
    arms: Vec<[String; 2]>,
    /// Entities and how many were found.
    found: Vec<(String, u64)>,
}

/// The names of a route's template in Istio's words, OpenTelemetry's and ECS': no format of Envoy's own has them, so that a record with one is access-log's.
const ROUTE: [&str; 3] = ["route_template", "http.route", "url.template"];

impl Line {
    /// Reads a line; none where it is not ours.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(line) = Self::of_plugin(text) {
            return line;
        }
        if let Ok(Value::Object(fields)) = serde_json::from_str(text) {
            return Self::of_fields(&fields);
        }
        // Policy's record at the end of a line of text.
        let start = text.rfind("{\"verdict\":")?;
        let fields: Map<String, Value> = serde_json::from_str(text.get(start..)?).ok()?;
        Self::of_fields(&fields)
    }

    /// `… wasm log NAME ROOT VM: TEXT` of Envoy's log. None where the line is no plugin's, and `Some(None)` where it is another's.
    #[expect(clippy::option_option, reason = "not of a plugin, or of another one")]
    fn of_plugin(text: &str) -> Option<Option<Self>> {
        let (before, rest) = text.split_once("wasm log ")?;
        if before.starts_with('{') {
            return None;
        }
        let (names, text) = rest.split_once(": ")?;
        let plugin = names.split(' ').next().unwrap_or_default();
        if plugins::filter(plugin, "").is_none() {
            return Some(None);
        }
        if let Ok(Value::Object(fields)) = serde_json::from_str(text)
            && let Some(line) = Self::of_fields(&fields)
        {
            return Some(Some(line));
        }
        let levels = ["critical", "error", "warning", "info", "debug", "trace"];
        let level = levels.into_iter().find(|level| before.contains(level)).unwrap_or("info");
        Some(Some(Self::Own { plugin: cut(plugin), level: level.to_owned(), text: cut(text) }))
    }

    fn of_fields(fields: &Map<String, Value>) -> Option<Self> {
        let nested = fields.values().filter_map(Value::as_object);
        let mut all = std::iter::once(fields).chain(nested);
        all.find_map(|fields| Access::of(fields).or_else(|| verdict(fields)))
    }
}

fn verdict(fields: &Map<String, Value>) -> Option<Line> {
    let text = |name: &str| cut(fields.get(name).and_then(Value::as_str).unwrap_or_default());
    let verdict = text("verdict");
    if !matches!(verdict.as_str(), "allow" | "deny") {
        return None;
    }
    let audit = fields.get("audit").and_then(Value::as_array);
    let audit = audit.into_iter().flatten().filter_map(Value::as_str).take(8).map(cut).collect();
    Some(Line::Verdict { verdict, policy: text("policy"), reason: text("reason"), audit })
}

impl Access {
    fn of(fields: &Map<String, Value>) -> Option<Line> {
        let any = |names: &[&str]| names.iter().find_map(|name| fields.get(*name));
        let text = |names: &[&str]| cut(any(names).and_then(Value::as_str).unwrap_or_default());
        let route = text(&ROUTE);
        if route.is_empty() {
            return None;
        }
        let number =
            |name: &str, scale: f64| fields.get(name).and_then(Value::as_f64).map(|value| value * scale);
        let mut record = Self {
            time: text(&["start_time", "timestamp", "@timestamp"]),
            method: text(&["method", "http.request.method"]),
            path: text(&["path", "url.path"]),
            query: text(&["query", "url.query"]),
            route,
            status: any(&["response_code", "http.response.status_code"]).and_then(Value::as_u64),
            duration_ms: number("duration", 1.0)
                .or_else(|| number("http.server.request.duration", 1e3))
                .or_else(|| number("event.duration", 1e-6)),
            ..Self::default()
        };
        for (name, value) in fields.iter().take(200) {
            if let (Some(experiment), Some(arm)) = (name.strip_prefix("arm."), value.as_str()) {
                record.arms.push([cut(experiment), cut(arm)]);
            } else if let (Some(entity), Some(count)) = (name.strip_prefix("pii."), value.as_u64()) {
                record.found.push((cut(entity), count));
            }
        }
        Some(Line::Access(Box::new(record)))
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::Line;
    use serde_json::{Value, json};

    fn read(line: &str) -> Value {
        serde_json::to_value(Line::parse(line)).unwrap()
    }

    #[test]
    fn a_record_is_read_in_all_three_conventions() {
        for line in [
            r#"{"request":{"duration":12,"method":"GET","route_template":"/a/{id}","path":"/a/1","query":"card=*1","response_code":200,"arm.x":"b","pii.card":1},"bytes_sent":3}"#,
            r#"{"http.server.request.duration":0.012,"http.request.method":"GET","http.route":"/a/{id}","url.path":"/a/1","url.query":"card=*1","http.response.status_code":200,"arm.x":"b","pii.card":1}"#,
            r#"[2026][info][wasm] [x.cc:1] wasm log outrigger.access_log r v: {"event.duration":12000000,"http.request.method":"GET","url.template":"/a/{id}","url.path":"/a/1","url.query":"card=*1","http.response.status_code":200,"arm.x":"b","pii.card":1}"#,
        ] {
            let expected = json!({"kind": "access", "time": "", "method": "GET", "path": "/a/1", "query": "card=*1", "route": "/a/{id}",
                "status": 200, "duration_ms": 12.0, "arms": [["x", "b"]], "found": [["card", 1]]});
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn of_a_verdict_s_line_nothing_else_is_kept() {
        let line = r#"joe@example.com via_upstream {"verdict":"deny","policy":"ns[s]-policy[p]-rule[0]","reason":"R"}"#;
        assert_eq!(
            read(line),
            json!({"kind": "verdict", "verdict": "deny", "policy": "ns[s]-policy[p]-rule[0]", "reason": "R", "audit": []})
        );
    }

    #[test]
    fn a_filter_s_line_has_its_level() {
        let line = "[2026-11-26][12][warning][wasm] [context.cc:1] wasm log outrigger.policy r v: took long";
        assert_eq!(
            read(line),
            json!({"kind": "own", "plugin": "outrigger.policy", "level": "warning", "text": "took long"})
        );
    }

    #[test]
    fn others_lines_are_not_ours() {
        for line in [
            "",
            "{}",
            "[1,2]",
            r#"[2026] "GET /users/joe@example.com HTTP/1.1" 200"#,
            // Istio's default JSON, which has raw paths.
            r#"{"method":"GET","path":"/users/joe@example.com","response_code":200,"duration":1,"route_name":"x"}"#,
            "[info][wasm] wasm log their.plugin r v: joe@example.com",
            r#"{"verdict":"maybe"}"#,
            r#"x {"verdict":"deny"} y"#,
        ] {
            assert_eq!(Line::parse(line), None, "{line}");
        }
    }
}
