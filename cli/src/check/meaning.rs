//! What policies mean: rules that never match or that others say all of, requests that get past. The policies of a plugin and AuthorizationPolicies alike are
//! compiled as the policy filter compiles them, and looked at as a set.

use super::{
    authz,
    object::{At, Object},
    plugin::Plugin,
    report::Report,
    rule::{Rule, rules},
};
use filter_kit::{Environment, load};
use policy::{Finding, Kind, Place, Policy};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const POLICY: &str = "https://istio.io/latest/docs/reference/config/security/authorization-policy/";
const ORDER: &str = "https://istio.io/latest/docs/concepts/security/#implicit-enablement";
const PATHS: &str = "https://istio.io/latest/docs/reference/config/security/normalization/";
const NOTHING: &str =
    "https://istio.io/latest/docs/concepts/security/#allow-nothing-deny-all-and-allow-all-policy";

rules! { "What policies mean";
    NEVER_MATCHES "policy-never-matches" Warning
        "a rule whose conditions stand against each other matches no request, so a DENY does not protect and an ALLOW does not allow"
        fix "take a value that the message names out of its list, or the rule away" POLICY;
    VALUE_NEVER "policy-value-never" Warning
        "a value that no request has does nothing, and whoever wrote it meant something"
        fix "write the value as Envoy sees it: a path from `/` without a query, a host without a scheme, one method a value" POLICY;
    METHOD_CASE "policy-method-case" Warning
        "methods are compared letter by letter, and clients send them in capitals"
        fix "write the method in capitals" POLICY;
    SHADOWED "policy-shadowed" Warning
        "a rule of which another one with the same action says all decides nothing: whoever changes it changes nothing"
        fix "take the rule away, or the wider one" POLICY;
    ALLOW_DENIED "policy-allow-denied" Warning
        "DENY is decided before ALLOW, so an ALLOW rule of which a DENY rule denies all allows nothing"
        fix "leave out of the DENY rule what is to be allowed, with a `not` field" ORDER;
    ALLOWS_NOTHING "policy-allows-nothing" Warning
        "an ALLOW policy without a rule matches nothing, and where there is an ALLOW policy what none matches is denied"
        fix "write a rule, or `spec: {}` where all is to be denied that no other policy allows" NOTHING;
    DEFAULT_DENY "policy-default-deny" Info
        "an ALLOW policy without a rule denies what no other ALLOW policy allows: `spec: {}` is the way to say so"
        fix "nothing, if that is meant" NOTHING;
    DENY_SLIPS "policy-deny-slips" Warning
        "a DENY compares the path as Envoy has normalised it (BASE, where the mesh says nothing), and servers read on: `//`, `%2F`, `;`, a slash at the end, another case"
        fix "use the policy filter in strict mode, or allow known paths in place of denying bad ones; a prefix (`/admin*`) closes `/admin/` and `/admin;v`, and `pathNormalization: DECODE_AND_MERGE_SLASHES` closes `//` and `%2F`" PATHS;
    HOST_PORT "policy-host-port" Warning
        "the host of a request has the port where it is not the scheme's own, or where the client writes it, and is compared whole"
        fix "write the host twice, `a.example` and `a.example:*`" POLICY;
    OVERLAP "policy-overlap" Info
        "of a DENY and an ALLOW rule that match the same request the DENY decides"
        fix "nothing, if that is meant" ORDER;
    UNCOMPARED "policy-uncompared" Info
        "rules that have only exclusions or presence may concern any request, and of many of them not all pairs are looked at"
        fix "give such rules a path, a host, a principal or an address" POLICY;
}

/// The rule of a finding about a policy with this spec.
fn rule_of(finding: &Finding, spec: Option<&Value>) -> &'static Rule {
    let says = |name| spec.is_some_and(|spec| spec.get(name).is_some());
    match finding.kind {
        Kind::AllowsNothing if !says("rules") && !says("action") => &DEFAULT_DENY,
        Kind::NeverMatches => &NEVER_MATCHES,
        Kind::ValueNever => &VALUE_NEVER,
        Kind::MethodCase => &METHOD_CASE,
        Kind::Shadowed => &SHADOWED,
        Kind::AllowDenied => &ALLOW_DENIED,
        Kind::AllowsNothing => &ALLOWS_NOTHING,
        Kind::DenySlips => &DENY_SLIPS,
        Kind::HostPort => &HOST_PORT,
        Kind::Overlap => &OVERLAP,
    }
}

/// The message of a finding, on a plugin's policies or on Istio's own: Envoy's RBAC knows every attribute, and says yes or no.
fn message(finding: &Finding, is_plugin: bool) -> String {
    let mut message = match finding.kind {
        Kind::NeverMatches => format!("no request matches: {}", finding.message),
        // Other policies may be for some of the same workloads.
        Kind::AllowsNothing if !is_plugin => {
            "allows nothing: what no other ALLOW policy allows is denied".to_owned()
        }
        _ => finding.message.clone(),
    };
    if finding.caveat.several_names {
        message.push_str(" (in a certificate with one name, as those of a mesh are)");
    }
    if finding.caveat.unknown && is_plugin {
        message.push_str(" (where it cannot be said, `on_error` decides)");
    }
    message
}

/// Looks at the policies of a plugin whose configuration its module has taken, and at those of its candidate.
pub fn check_plugin(
    object: &Object<'_>,
    plugin: &Plugin<'_>,
    environment: &BTreeMap<String, String>,
    report: &mut Report,
) {
    let Some(part) = plugin.part("policy") else { return };
    let Some(Value::Object(mut config)) = part.config.map(|config| config.to_json()) else { return };
    let candidate = config.remove("candidate");
    let variable = |name: &str| environment.get(name).cloned();
    let mut look = |config: &Map<String, Value>, inside: &[&str]| {
        let bytes = Value::Object(config.clone()).to_string();
        // The module may be of another version, and take what this tool does not.
        let Ok(policy) = load::<Policy>(bytes.as_bytes(), &Environment::new(&variable)) else { return false };
        let prefix: Vec<&str> = inside.iter().copied().filter(|part| !part.is_empty()).collect();
        let inner = |field: &str| [&prefix[..], &[field]].concat().join(".");
        let analysis = policy.analyse();
        for finding in &analysis.findings {
            let Place { policy, rule } = finding.place;
            let rule = rule.map(|rule| format!(".rules[{rule}]")).unwrap_or_default();
            let (line, field) = plugin.place(&inner(&format!("policies[{policy}].spec{rule}")));
            let spec = config.get("policies").and_then(|list| list.get(policy)?.get("spec"));
            report.add_to(object, rule_of(finding, spec), line, &field, message(finding, true));
        }
        if analysis.uncompared > 0 {
            let (line, field) = plugin.place(&inner("policies"));
            report.add_to(object, &UNCOMPARED, line, &field, uncompared(analysis.uncompared));
        }
        true
    };
    let is_taken = look(&config, &[&part.path]);
    if let Some(Value::Object(candidate)) = candidate.filter(|_| is_taken) {
        // What it does not give is the live set's.
        let own = candidate.into_iter().filter(|(name, _)| name != "examples");
        config.extend(own);
        look(&config, &[&part.path, "candidate"]);
    }
}

fn uncompared(count: usize) -> String {
    format!("{count} rules were not compared with all others")
}

/// Which workloads a policy is for: its namespace, its selector and its targets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Scope {
    namespace: String,
    selector: String,
    targets: String,
}

/// The mesh's root namespace, where nothing says another: policies in it without a selector are for all namespaces.
const ROOT: &str = "istio-system";

impl Scope {
    fn of(object: &Object<'_>, spec: &Value) -> Self {
        let labels = spec.pointer("/selector/matchLabels").cloned().unwrap_or_default();
        let is_empty = labels.as_object().is_none_or(Map::is_empty);
        let targets = [spec.get("targetRef"), spec.get("targetRefs")];
        let has_targets = targets.iter().flatten().any(|targets| !targets.is_null());
        Self {
            namespace: object.namespace().to_owned(),
            selector: if is_empty { String::new() } else { labels.to_string() },
            targets: if has_targets { format!("{targets:?}") } else { String::new() },
        }
    }

    /// Whether policies of this scope are for all workloads of another one's.
    fn has(&self, other: &Self) -> bool {
        let is_wide = self.selector.is_empty() && self.targets.is_empty();
        self == other
            || is_wide && other.targets.is_empty() && [&*other.namespace, ROOT].contains(&&*self.namespace)
    }
}

/// An AuthorizationPolicy that the filter takes, or may not.
struct Manifest<'o, 'd> {
    object: &'o Object<'d>,
    scope: Scope,
    json: Value,
    is_taken: bool,
}

/// Looks at the AuthorizationPolicies of all files, those together that are for the same workloads.
///
/// What is said of a policy is said with those that are for all of its workloads: its own namespace's and selector's, the namespace's, and the root
/// namespace's. A set in which a policy has an error is left alone: the error is told of.
pub fn check_all(objects: &[Object<'_>], report: &mut Report) {
    let manifests: Vec<Manifest<'_, '_>> = objects.iter().filter_map(Manifest::of).collect();
    let scopes: BTreeSet<&Scope> = manifests.iter().map(|manifest| &manifest.scope).collect();
    for scope in scopes {
        let set: Vec<_> = manifests.iter().filter(|manifest| manifest.scope.has(scope)).collect();
        if !has_twins(&set) {
            check_set(&set, scope, report);
            continue;
        }
        // Of two policies of one name only one is there: files stand in each other's place, and are looked at one by one.
        let files: BTreeSet<&str> = set.iter().map(|manifest| manifest.object.file).collect();
        for file in files {
            let own: Vec<_> = set.iter().copied().filter(|manifest| manifest.object.file == file).collect();
            if !has_twins(&own) {
                check_set(&own, scope, report);
            }
        }
    }
}

impl<'o, 'd> Manifest<'o, 'd> {
    fn of(object: &'o Object<'d>) -> Option<Self> {
        if !authz::is_policy(object) {
            return None;
        }
        let mut json = object.at.node.to_json();
        let spec = json.get("spec").cloned().unwrap_or_default();
        if spec.get("action").is_some_and(|action| action == "CUSTOM") {
            return None;
        }
        let scope = Scope::of(object, &spec);
        // What the API server leaves there decides nothing.
        json.as_object_mut()?.retain(|name, _| ["metadata", "spec"].contains(&name.as_str()));
        let is_taken = compile(&[&json], &[]).is_some();
        Some(Self { object, scope, json, is_taken })
    }

    /// Where a rule stands, or the policy's spec.
    fn at(&self, rule: Option<usize>) -> At<'d> {
        let spec = self.object.at.get("spec").unwrap_or_else(|| self.object.at.clone());
        let one = |rule: usize| {
            let rules = spec.get("rules")?;
            let node = rules.node.items().get(rule)?;
            Some(At { node, path: format!("{}[{rule}]", rules.path) })
        };
        rule.and_then(one).unwrap_or(spec)
    }
}

fn compile(policies: &[&Value], trust_domains: &[String]) -> Option<Policy> {
    let config = json!({"policies": policies, "trust_domains": trust_domains});
    load(config.to_string().as_bytes(), &Environment::EMPTY).ok()
}

fn has_twins(set: &[&Manifest<'_, '_>]) -> bool {
    let mut names = BTreeSet::new();
    !set.iter().all(|manifest| names.insert((manifest.object.namespace(), manifest.object.metadata("name"))))
}

fn check_set(set: &[&Manifest<'_, '_>], scope: &Scope, report: &mut Report) {
    if !set.iter().all(|manifest| manifest.is_taken) {
        return;
    }
    let policies: Vec<&Value> = set.iter().map(|manifest| &manifest.json).collect();
    let Some(policy) = compile(&policies, &[]) else { return };
    let analysis = policy.analyse();
    // A mesh with several trust domains reads principals as those of all: what is said must be so there too.
    let domains = trust_domains(&policies);
    let with_aliases = if domains.is_empty() { None } else { compile(&policies, &domains) };
    let others = with_aliases.map(|policy| policy.analyse().findings);
    let is_so = |finding: &Finding| {
        others.as_ref().is_none_or(|others| {
            others.iter().any(|other| (other.kind, other.place) == (finding.kind, finding.place))
        })
    };
    let is_own = |place: &Place| set.get(place.policy).is_some_and(|manifest| manifest.scope == *scope);
    // What a wide DENY denies of a narrower ALLOW is told of where both are.
    let is_here = |finding: &&Finding| {
        is_own(&finding.place) || finding.kind == Kind::Overlap && finding.others.iter().any(is_own)
    };
    for finding in analysis.findings.iter().filter(|finding| is_so(finding)).filter(is_here) {
        let Some(manifest) = set.get(finding.place.policy) else { continue };
        let at = manifest.at(finding.place.rule);
        let rule = rule_of(finding, manifest.json.get("spec"));
        report.add(manifest.object, rule, &at, message(finding, false));
    }
    let first = set.iter().find(|manifest| manifest.scope == *scope);
    if let Some(manifest) = first.filter(|_| analysis.uncompared > 0) {
        report.add(manifest.object, &UNCOMPARED, &manifest.at(None), uncompared(analysis.uncompared));
    }
}

/// The trust domains that principals name, and one that none does; none where no principal is named.
fn trust_domains(policies: &[&Value]) -> Vec<String> {
    fn walk(value: &Value, is_principal: bool, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) if is_principal => {
                let domain = text.split('/').next().unwrap_or_default();
                found.extend(Some(domain).filter(|domain| !domain.contains('*')).map(str::to_owned));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, is_principal, found)),
            Value::Object(fields) => {
                let is_condition = fields.get("key").is_some_and(|key| key == "source.principal");
                for (name, field) in fields {
                    let is_list = ["principals", "notPrincipals"].contains(&name.as_str());
                    walk(field, is_list || is_condition && name != "key", found);
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    for policy in policies {
        walk(policy, false, &mut found);
    }
    if !found.is_empty() {
        found.insert("another.invalid".to_owned());
    }
    found.into_iter().collect()
}
