//! What policies decide over recorded requests: which decisions differ between two sets, by the rules that decide, and which rules the requests use at all.

use super::{change::plain, decision::Decision, least, request::Recorded, why};
use comfy_table::Table;
use policy::{Policy, Seen};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The most examples of a group, rows of a table of rules, and names of a list for people.
const EXAMPLES: usize = 3;
const ROWS: usize = 30;
const NAMES: usize = 20;

/// Decisions that differ in the same way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Way {
    /// `would_deny` or `would_allow`: what the second set would do that the first does not.
    pub result: &'static str,
    /// What decides in the first set: a rule's id, `no_allow_policy_matched`, or `none` where no rule is against it and none allows it.
    pub live: String,
    /// What decides in the second.
    pub candidate: String,
}

/// A request of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Its id.
    pub id: Value,
    /// Its method and path.
    pub request: String,
}

/// Decisions that differ in the same way, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    #[serde(flatten)]
    pub way: Way,
    /// How many requests.
    pub requests: usize,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// What requests use of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Used {
    /// The rule's id.
    pub rule: String,
    /// `allow`, `deny` or `audit`.
    pub action: &'static str,
    /// Whether it is only tried.
    pub dry_run: bool,
    /// How many requests it has decided.
    pub decided: usize,
    /// How many it has matched, or could not say that it does not match.
    pub matched: usize,
}

/// ALLOW rules that are enough for all requests that are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Least {
    /// Their ids.
    pub rules: Vec<String>,
    /// How many ALLOW rules in force there are.
    pub of: usize,
    /// Whether it is known that no fewer are enough.
    pub is_exact: bool,
}

/// What requests use of a set of policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The configuration.
    pub config: String,
    /// Rules that matched a request, those that decided most first.
    pub rules: Vec<Used>,
    /// The ids of rules that matched none.
    pub unused: Vec<String>,
    /// The ALLOW rules that are enough.
    pub least_allow: Least,
}

/// What is counted of a set of policies.
#[derive(Debug)]
struct Side {
    rules: Vec<Used>,
    numbers: HashMap<String, usize>,
    /// Which ALLOW rules would each have allowed a request, and how many requests.
    allowing: HashMap<Vec<u32>, usize>,
}

/// What is counted of two sets.
#[derive(Debug, Default)]
pub struct Traffic {
    groups: BTreeMap<Way, (usize, Vec<Example>)>,
    sides: Option<[Side; 2]>,
    /// How many requests the module has decided otherwise than this tool's own copy of the filter.
    pub differs: usize,
}

impl Side {
    fn of(policy: &Policy) -> Self {
        let one = |(rule, action, dry_run)| Used { rule, action, dry_run, decided: 0, matched: 0 };
        let rules: Vec<Used> = policy.rules().map(one).collect();
        let numbers = rules.iter().zip(0..).map(|(used, number)| (used.rule.clone(), number)).collect();
        Self { rules, numbers, allowing: HashMap::new() }
    }

    /// Counts a request; what decides it, and whether the module has said the same.
    fn add(&mut self, policy: &Policy, decision: &Decision, seen: Seen<'_>) -> (String, bool) {
        let said = policy.matching(seen);
        for said in &said {
            if let Some(used) = self.rules.get_mut(said.rule as usize) {
                used.matched += 1;
            }
        }
        if decision.verdict == Some("deny") {
            let Some(rule) = &decision.policy else { return ("no_allow_policy_matched".to_owned(), true) };
            let number = self.numbers.get(rule).copied();
            if let Some(used) = number.and_then(|number| self.rules.get_mut(number)) {
                used.decided += 1;
            }
            let is_same = said.iter().any(|said| Some(said.rule as usize) == number);
            return (rule.clone(), is_same);
        }
        let allowing = policy.allowing(&said);
        let Some(first) = allowing.first() else {
            let must_be_allowed = self.rules.iter().any(|used| used.action == "allow" && !used.dry_run);
            return ("none".to_owned(), !must_be_allowed);
        };
        let mut numbers: Vec<u32> = allowing.iter().map(|said| said.rule).collect();
        numbers.sort_unstable();
        *self.allowing.entry(numbers).or_default() += 1;
        let Some(used) = self.rules.get_mut(first.rule as usize) else { return ("none".to_owned(), false) };
        used.decided += 1;
        (used.rule.clone(), true)
    }

    fn usage(&self, config: &str) -> Usage {
        let (mut rules, unused): (Vec<Used>, Vec<Used>) =
            self.rules.iter().cloned().partition(|used| used.matched > 0);
        rules.sort_by(|one, other| {
            (other.decided, other.matched, &one.rule).cmp(&(one.decided, one.matched, &other.rule))
        });
        let sets: Vec<&[u32]> = self.allowing.keys().map(Vec::as_slice).collect();
        let (numbers, is_exact) = least::hitting(&sets);
        let id = |number: &u32| self.rules.get(*number as usize).map(|used| used.rule.clone());
        let is_allow = |used: &&Used| used.action == "allow" && !used.dry_run;
        Usage {
            config: config.to_owned(),
            rules,
            unused: unused.into_iter().map(|used| used.rule).collect(),
            least_allow: Least {
                rules: numbers.iter().filter_map(id).collect(),
                of: self.rules.iter().filter(is_allow).count(),
                is_exact,
            },
        }
    }
}

impl Traffic {
    /// Counts a request that both sets have decided, where both are policies.
    pub fn add(
        &mut self,
        recorded: &Recorded,
        now: u64,
        policies: [Option<&Policy>; 2],
        decisions: [&Decision; 2],
    ) {
        let [Some(live), Some(candidate)] = policies else { return };
        let sides = self.sides.get_or_insert_with(|| [live, candidate].map(Side::of));
        let (stream, is_last) = why::stream(recorded, now);
        let (request, response) = (stream.request_view(is_last), stream.response_view());
        let body = why::body(recorded);
        let seen = Seen { request: &request, body: &body, response: &response };
        let [own, other] = sides;
        let [first, second] = decisions;
        let (by, is_same) = own.add(live, first, seen);
        let (other_by, is_other_same) = other.add(candidate, second, seen);
        self.differs += usize::from(!is_same || !is_other_same);
        let result = match (first.verdict, second.verdict) {
            (Some("allow"), Some("deny")) => "would_deny",
            (Some("deny"), Some("allow")) => "would_allow",
            _ => return,
        };
        let way = Way { result, live: by, candidate: other_by };
        let (requests, examples) = self.groups.entry(way).or_default();
        *requests += 1;
        if examples.len() < EXAMPLES {
            let request = &recorded.exchange.request;
            let request = format!("{} {}", request.method, request.path);
            examples.push(Example { id: recorded.id.clone(), request });
        }
    }

    /// The groups, by result and then by rules.
    pub fn groups(&self) -> Vec<Group> {
        let one = |(way, (requests, examples)): (&Way, &(usize, Vec<Example>))| Group {
            way: way.clone(),
            requests: *requests,
            examples: examples.clone(),
        };
        self.groups.iter().map(one).collect()
    }

    /// What the requests use of both sets.
    pub fn usage(&self, names: &[String; 2]) -> Vec<Usage> {
        let sides = self.sides.iter().flatten().zip(names);
        sides.map(|(side, name)| side.usage(name)).collect()
    }

    /// What people read.
    pub fn tables(&self, names: &[String; 2]) -> Vec<(String, Table)> {
        let mut tables = Vec::new();
        if !self.groups.is_empty() {
            let mut table = Table::new();
            table.set_header(["result", "decides now", "would decide", "requests", "such as"]);
            for group in self.groups() {
                let examples: Vec<String> = group
                    .examples
                    .iter()
                    .map(|example| format!("{} {}", plain(&example.id), short(&example.request)))
                    .collect();
                let Way { result, live, candidate } = group.way;
                let count = group.requests.to_string();
                table.add_row([result.to_owned(), live, candidate, count, examples.join("\n")]);
            }
            tables.push(("Allowed or denied otherwise, by the rules that decide:".to_owned(), table));
        }
        for usage in
            self.usage(names).into_iter().filter(|usage| !usage.rules.is_empty() || !usage.unused.is_empty())
        {
            let mut table = Table::new();
            table.set_header(["rule", "action", "decided", "matched"]);
            for used in usage.rules.iter().take(ROWS) {
                let dry = if used.dry_run { " (dry run)" } else { "" };
                table.add_row([
                    used.rule.clone(),
                    format!("{}{dry}", used.action),
                    used.decided.to_string(),
                    used.matched.to_string(),
                ]);
            }
            let (count, all) = (usage.rules.len(), usage.rules.len() + usage.unused.len());
            let shown = if count > ROWS { format!(", the first {ROWS}") } else { String::new() };
            tables.push((
                format!("Rules of {} that matched a request, {count} of {all}{shown}:", usage.config),
                table,
            ));
        }
        tables
    }

    /// Lists that people read and apply, a name a line.
    pub fn lists(&self, names: &[String; 2]) -> Vec<String> {
        let mut lists = Vec::new();
        for usage in self.usage(names) {
            let config = &usage.config;
            if !usage.unused.is_empty() {
                lists.push(format!("Rules of {config} that matched no request:\n{}", listed(&usage.unused)));
            }
            let Least { rules, of, is_exact } = &usage.least_allow;
            if *of > 0 {
                let (count, least) =
                    (rules.len(), if *is_exact { "no fewer do" } else { "the fewest that were found" });
                let rest = if rules.is_empty() {
                    "  (none: keep one ALLOW policy without a rule)".to_owned()
                } else {
                    listed(rules)
                };
                lists.push(format!(
                    "ALLOW rules of {config} that are enough for the same decisions on these requests, {count} of {of} ({least}):\n{rest}"
                ));
            }
        }
        lists
    }
}

/// A request that fits a table.
fn short(request: &str) -> String {
    if request.chars().count() <= 60 {
        request.to_owned()
    } else {
        request.chars().take(59).chain(['…']).collect()
    }
}

fn listed(names: &[String]) -> String {
    let mut lines: Vec<String> = names.iter().take(NAMES).map(|name| format!("  {name}")).collect();
    if names.len() > NAMES {
        lines.push(format!("  and {} more: --json has all", names.len() - NAMES));
    }
    lines.join("\n")
}
