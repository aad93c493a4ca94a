//! What differs between two decisions about one request, and between two configurations over many.

use super::{
    decision::{Decision, Metric, keys},
    report,
    request::Recorded,
    session::Session,
    traffic::Traffic,
};
use crate::finding::Severity;
use comfy_table::Table;
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The most requests of each kind of change that are shown.
const SHOWN: usize = 5;

/// A kind of change: what changed, from what to what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Kind {
    /// What: `arm checkout`, `decision`, `log field`, `log value path`, `series`, `request header x-arm`.
    pub what: String,
    /// In the first configuration; none where there was nothing.
    pub from: Option<String>,
    /// In the second.
    pub to: Option<String>,
}

/// How what a record says of a field begins; the values themselves are told request by request.
const VALUE: &str = "log value ";

impl Kind {
    /// What it is told as where requests are counted: values of logs are as many as there are requests.
    fn told(&self) -> Self {
        if self.what.starts_with(VALUE) {
            Self { from: Some("a value".to_owned()), to: Some("another".to_owned()), ..self.clone() }
        } else {
            self.clone()
        }
    }
}

/// A request whose decision differs.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// The request's id.
    pub id: Value,
    /// Its method and path.
    pub request: String,
    /// What changed.
    pub changes: Vec<Kind>,
}

/// What differs over many requests.
#[derive(Debug, Default)]
pub struct Tally {
    requests: usize,
    changed: Vec<Changed>,
    kinds: BTreeMap<Kind, usize>,
    /// How many requests had each arm of each experiment, in the first configuration and in the second.
    arms: BTreeMap<(String, String), [usize; 2]>,
    /// Fields of logs and series that were there at all, in the first configuration and in the second.
    fields: [BTreeSet<String>; 2],
    series: [BTreeSet<String>; 2],
    /// What policies decide, where both configurations have some.
    traffic: Traffic,
}

impl Tally {
    /// Has both sessions decide about a request.
    pub fn take(&mut self, recorded: &Recorded, sessions: [&mut Session; 2]) {
        let [first, second] = sessions;
        let now = recorded.time.unwrap_or_else(|| first.now());
        let (one, other) = (first.decide(recorded), second.decide(recorded));
        self.traffic.add(recorded, now, [first.policy(), second.policy()], [&one, &other]);
        self.add(recorded, &one, &other);
    }

    /// Takes both decisions about a request.
    fn add(&mut self, recorded: &Recorded, first: &Decision, second: &Decision) {
        self.requests += 1;
        for (side, decision) in [first, second].into_iter().enumerate() {
            for (experiment, arm) in &decision.arms {
                let arm = arm.clone().unwrap_or_else(|| "(not in it)".to_owned());
                let counts = self.arms.entry((experiment.clone(), arm)).or_default();
                if let Some(count) = counts.get_mut(side) {
                    *count += 1;
                }
            }
            if let (Some(fields), Some(series)) = (self.fields.get_mut(side), self.series.get_mut(side)) {
                fields.extend(keys(&decision.log));
                series.extend(series_of(decision));
            }
        }
        let changes = changes(first, second);
        if changes.is_empty() {
            return;
        }
        for kind in &changes {
            *self.kinds.entry(kind.told()).or_default() += 1;
        }
        let request = &recorded.exchange.request;
        self.changed.push(Changed {
            id: recorded.id.clone(),
            request: format!("{} {}", request.method, request.path),
            changes,
        });
    }

    /// How many decisions differ.
    pub fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Prints what differs, and writes a page of it.
    ///
    /// # Errors
    /// The page cannot be written.
    pub fn tell(&self, names: &[String; 2], json: bool, html: Option<&Path>) -> Result<(), String> {
        if self.traffic.differs > 0 {
            anstream::eprintln!(
                "{}: of {} requests this tool says other rules than the module: they are of two versions, or this is a bug",
                Severity::Warning,
                self.traffic.differs
            );
        }
        if let Some(path) = html {
            let page = report::page(&self.facts(names), names);
            fs::write(path, page).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        if json {
            for changed in &self.changed {
                anstream::println!("{}", serde_json::to_string(changed).map_err(|error| error.to_string())?);
            }
            for group in self.traffic.groups() {
                anstream::println!("{}", serde_json::to_string(&group).map_err(|error| error.to_string())?);
            }
            for usage in self.traffic.usage(names) {
                anstream::println!("{}", serde_json::to_string(&usage).map_err(|error| error.to_string())?);
            }
            return Ok(());
        }
        for (title, table) in self.tables(names).into_iter().chain(self.traffic.tables(names)) {
            anstream::println!("{title}\n{table}\n");
        }
        for list in self.traffic.lists(names) {
            anstream::println!("{list}\n");
        }
        let (changed, requests) = (self.changed(), self.requests);
        anstream::println!("{changed} of {requests} decisions differ");
        Ok(())
    }

    fn facts(&self, names: &[String; 2]) -> report::Facts<'_> {
        report::Facts {
            requests: self.requests,
            changed: &self.changed,
            kinds: &self.kinds,
            arms: &self.arms,
            fields: self.between(&self.fields),
            series: self.between(&self.series),
            groups: self.traffic.groups(),
            usage: self.traffic.usage(names),
        }
    }

    /// What the second has and the first has not, and the other way round.
    #[expect(clippy::unused_self, reason = "it belongs to the tally's own fields")]
    fn between<'t>(&'t self, sets: &'t [BTreeSet<String>; 2]) -> [Vec<&'t str>; 2] {
        let [first, second] = sets;
        [second.difference(first), first.difference(second)].map(|only| only.map(String::as_str).collect())
    }

    fn tables(&self, names: &[String; 2]) -> Vec<(String, Table)> {
        let mut tables = Vec::new();
        let moves: Vec<_> = self.kinds.iter().filter(|(kind, _)| kind.what.starts_with("arm ")).collect();
        if !self.arms.is_empty() && !moves.is_empty() {
            let mut table = Table::new();
            table.set_header(["experiment", "arm", &names[0], &names[1]]);
            for ((experiment, arm), [first, second]) in &self.arms {
                table.add_row([experiment.clone(), arm.clone(), first.to_string(), second.to_string()]);
            }
            tables.push(("Who is where:".to_owned(), table));
        }
        if !self.kinds.is_empty() {
            let mut table = Table::new();
            table.set_header(["what changes", "from", "to", "requests", "such as"]);
            for (kind, count) in &self.kinds {
                let has = |changed: &&Changed| changed.changes.iter().any(|other| other.told() == *kind);
                let such = self.changed.iter().filter(has);
                let ids: Vec<String> = such.take(SHOWN).map(|changed| plain(&changed.id)).collect();
                table.add_row([
                    kind.what.clone(),
                    kind.from.clone().unwrap_or_else(|| "-".to_owned()),
                    kind.to.clone().unwrap_or_else(|| "-".to_owned()),
                    count.to_string(),
                    ids.join(" "),
                ]);
            }
            tables.push(("What changes:".to_owned(), table));
        }
        for (what, sets) in [("fields of the log", &self.fields), ("series", &self.series)] {
            let [shown, hidden] = self.between(sets);
            if !shown.is_empty() || !hidden.is_empty() {
                let mut table = Table::new();
                table.set_header(["new", "gone"]);
                table.add_row([shown.join("\n"), hidden.join("\n")]);
                tables.push((format!("New and gone {what}:"), table));
            }
        }
        tables
    }
}

/// A request's id as people write it.
pub fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// What differs between two decisions.
fn changes(first: &Decision, second: &Decision) -> Vec<Kind> {
    let mut changes = Vec::new();
    let mut compare = |what: &str, from: Option<String>, to: Option<String>| {
        if from != to {
            changes.push(Kind { what: what.to_owned(), from, to });
        }
    };
    let decision = |decision: &Decision| {
        let status = decision.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let rule = decision.policy.as_ref().map_or_else(String::new, |rule| format!(", by {rule}"));
        Some(format!("{} {status}{rule}", decision.verdict.unwrap_or(decision.action)))
    };
    compare("decision", decision(first), decision(second));
    let experiments: BTreeSet<&String> = first.arms.keys().chain(second.arms.keys()).collect();
    for experiment in experiments {
        let arm = |decision: &Decision| decision.arms.get(experiment).cloned().flatten();
        compare(&format!("arm {experiment}"), arm(first), arm(second));
    }
    if first.reply_body != second.reply_body {
        compare("reply", Some(first.reply_body.clone()), Some(second.reply_body.clone()));
    }
    for (side, one, other) in [
        ("request", &first.request_headers, &second.request_headers),
        ("response", &first.response_headers, &second.response_headers),
    ] {
        let names: BTreeSet<&String> = one
            .set
            .iter()
            .chain(&other.set)
            .map(|(name, _)| name)
            .chain(&one.removed)
            .chain(&other.removed)
            .collect();
        for name in names {
            let value = |changes: &super::decision::Changes| {
                let values: Vec<&str> = changes
                    .set
                    .iter()
                    .filter(|(other, _)| other == name)
                    .map(|(_, value)| value.as_str())
                    .collect();
                if values.is_empty() {
                    return changes.removed.contains(name).then(|| "(removed)".to_owned());
                }
                Some(values.join(", "))
            };
            compare(&format!("{side} header {name}"), value(one), value(other));
        }
    }
    let (before, after) = (keys(&first.log), keys(&second.log));
    for field in after.difference(&before) {
        compare("log field", None, Some(field.clone()));
    }
    for field in before.difference(&after) {
        compare("log field", Some(field.clone()), None);
    }
    for field in before.intersection(&after) {
        let value = |decision: &Decision| member(&decision.log, field).map(plain);
        compare(&format!("{VALUE}{field}"), value(first), value(second));
    }
    // Series follow from what is decided; by themselves they count where nothing else differs.
    if changes.is_empty() {
        let (before, after) = (series_of(first), series_of(second));
        let kind = |from: Option<&String>, to: Option<&String>| Kind {
            what: "series".to_owned(),
            from: from.cloned(),
            to: to.cloned(),
        };
        changes.extend(before.difference(&after).map(|series| kind(Some(series), None)));
        changes.extend(after.difference(&before).map(|series| kind(None, Some(series))));
    }
    changes
}

/// The series that a request moves.
fn series_of(decision: &Decision) -> BTreeSet<String> {
    let one = |metric: &Metric| {
        let labels: Vec<String> =
            metric.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        format!("{}{{{}}}", metric.name, labels.join(","))
    };
    decision.metrics.iter().map(one).collect()
}

/// The value at a path of [`keys`].
fn member<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let Value::Object(members) = value else { return None };
    if let Some(found) = members.get(path) {
        return Some(found);
    }
    let inner =
        |(name, inner): (&String, &'v Value)| member(inner, path.strip_prefix(name)?.strip_prefix('.')?);
    members.iter().find_map(inner)
}
