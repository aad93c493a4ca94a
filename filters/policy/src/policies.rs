//! `AuthorizationPolicy` objects as they are written for Istio: metadata and spec.

use crate::{
    config::Mode,
    denial::{Denial, DenialField},
    program::{Action, Builder, Rule},
    rules,
    sets::Sets,
    trust::TrustDomains,
};
use filter_kit::{ConfigError, choices, settings::Field};
use std::cell::RefCell;

/// Where a policy without a namespace is: that of `kubectl`.
const NAMESPACE: &str = "default";

/// A policy.
#[derive(Debug)]
pub struct Named {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// What a request that it denies is answered.
    pub denial: Option<Box<Denial>>,
    /// Whether it is an ALLOW policy in force; for the analysis.
    #[cfg(not(target_arch = "wasm32"))]
    pub allows: bool,
}

/// All policies.
#[derive(Debug, Default)]
pub struct Policies {
    /// In the order of the configuration.
    pub list: Vec<Named>,
    /// Whether an ALLOW policy is there, be it one without a rule that could be read.
    pub has_allow: bool,
    /// Whether an ALLOW policy is there that is only tried.
    pub has_dry_allow: bool,
    /// Whether any policy is only tried.
    pub has_dry: bool,
}

impl Policies {
    /// The id of a rule, as Istio names it in Envoy's configuration (`pilot/pkg/security/authz/builder`, `policyName`).
    pub fn id(&self, rule: &Rule) -> String {
        match self.list.get(rule.policy as usize) {
            Some(policy) => id(&policy.namespace, &policy.name, rule.number),
            None => String::new(),
        }
    }
}

fn id(namespace: &str, name: &str, number: u32) -> String {
    ["ns[", namespace, "]-policy[", name, "]-rule[", &number.to_string(), "]"].concat()
}

/// What becomes of a request of which a policy cannot say whether it matches.
#[derive(Debug, Clone, Copy)]
pub struct OnError {
    /// Of an ALLOW policy: whether the request is allowed.
    pub allow: Answer,
    /// Of a DENY policy: whether the request is denied.
    pub deny: Answer,
}

/// One way or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The request is denied.
    Deny,
    /// As far as this policy goes the request is allowed.
    Allow,
}

choices!(Answer { "deny" => Deny, "allow" => Allow });

impl OnError {
    /// Reads a word for both actions, or one for each.
    pub fn read(field: &Field<'_, '_>) -> Self {
        if !field.is_object() {
            let answer = Answer::read(field).unwrap_or(Answer::Deny);
            return Self { allow: answer, deny: answer };
        }
        field.only(&["allow", "deny"]);
        let [allow, deny] =
            ["allow", "deny"].map(|name| Answer::read(&field.get(name)).unwrap_or(Answer::Deny));
        Self { allow, deny }
    }
}

/// The words for actions; CUSTOM is known, to be refused with a reason.
const ACTIONS: [&str; 4] = ["ALLOW", "DENY", "AUDIT", "CUSTOM"];

/// Reads policies.
pub struct Reader<'r, 't> {
    /// How they are read.
    pub mode: Mode,
    /// The mesh's trust domains.
    pub trust_domains: TrustDomains<'t>,
    /// Named sets that rules look things up in.
    pub sets: &'r Sets,
    /// What is dropped from the policies, as Istio drops it.
    pub dropped: RefCell<Vec<ConfigError>>,
}

/// How much of what is dropped is told of.
const DROPPED: usize = 64;

impl Reader<'_, '_> {
    /// Notes that something is dropped: what is wrong with it, and what goes.
    #[cold]
    pub fn drop(&self, field: &Field<'_, '_>, rule: &str, what: &str) {
        let mut dropped = self.dropped.borrow_mut();
        if dropped.len() < DROPPED {
            dropped.push(field.error(&[rule, ": Istio drops ", what].concat()));
        }
    }

    /// Reads the list of policies into the program.
    pub fn read(&self, field: &Field<'_, '_>, builder: &mut Builder) -> Policies {
        let mut policies = Policies::default();
        for item in field.items() {
            self.policy(&item, builder, &mut policies);
        }
        let rules = &mut builder.program.rules;
        // Envoy tries policies in the order of their names, and the first that matches is the one that it names.
        let keys = rules.iter().zip(0_usize..);
        let mut keys: Vec<_> = keys.map(|(rule, place)| (rule.action, policies.id(rule), place)).collect();
        filter_kit::sort(&mut keys);
        if let Some([(_, id, _), _]) = keys.array_windows().find(|[one, other]| one.1 == other.1) {
            field.refuse_text("must be policies of different names", id);
        }
        let mut given: Vec<_> = std::mem::take(rules).into_iter().map(Some).collect();
        rules.extend(keys.iter().filter_map(|(_, _, place)| given.get_mut(*place)?.take()));
        policies
    }

    fn policy(&self, item: &Field<'_, '_>, builder: &mut Builder, policies: &mut Policies) {
        item.only(&["apiVersion", "kind", "metadata", "spec", "status", "outrigger"]);
        let kind = item.get("kind");
        if let Some(other) = kind.text().filter(|kind| *kind != "AuthorizationPolicy") {
            kind.refuse_text("must be AuthorizationPolicy", other);
        }
        let metadata = item.get("metadata");
        let [name, namespace] = ["name", "namespace"].map(|name| metadata.get(name));
        let named = |field: &Field<'_, '_>, otherwise| {
            let text = field.text().unwrap_or(otherwise);
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if text.is_empty() || text.len() > 253 || !text.bytes().all(fits) {
                field.refuse_text("must be a name of letters, digits, `-` and `.`", text);
            }
            Box::<str>::from(text)
        };
        let spec = item.get("spec");
        spec.only(&["selector", "targetRef", "targetRefs", "action", "rules", "provider"]);
        let action_field = spec.get("action");
        let action = match action_field.choice(&ACTIONS) {
            Some(1) => Action::Deny,
            Some(2) => Action::Audit,
            Some(3) => {
                action_field.refuse(
                    "must be ALLOW, DENY or AUDIT: CUSTOM asks a service of the mesh, which this filter cannot reach; leave it to Istio",
                );
                Action::Deny
            }
            _ => Action::Allow,
        };
        let provider = spec.get("provider");
        if provider.is_given() {
            provider.refuse("must not be given: only CUSTOM has one");
        }
        let annotations = metadata.get("annotations");
        let dry = annotations.get("istio.io/dry-run");
        let is_dry = match dry.text() {
            // The words of Go's strconv.ParseBool.
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            // Istio enforces what is neither of these nor false, and logs an error.
            _ => false,
        };
        let rules = spec.get("rules");
        if self.mode == Mode::Strict && action != Action::Allow && rules.is_empty() {
            rules.refuse("must hold a rule: without one the policy never matches; `{}` is every request");
        }
        policies.has_dry |= is_dry;
        if action == Action::Allow {
            policies.has_allow |= !is_dry;
            policies.has_dry_allow |= is_dry;
        }
        let own = item.get("outrigger");
        let denial = own.is_given().then(|| Box::new(Denial::read(&own, DenialField::Policy)));
        let namespace = named(&namespace, NAMESPACE);
        let reader = rules::Reader { policies: self, action, namespace: &namespace };
        let place = u32::try_from(policies.list.len()).unwrap_or(u32::MAX);
        for (number, rule) in rules.items().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            if let Some(parts) = reader.read(&rule, builder) {
                let rules::Parts { from, to, when, extension } = parts;
                let rule = Rule { action, is_dry, policy: place, number, from, to, when, extension };
                builder.program.rules.push(rule);
            }
        }
        policies.list.push(Named {
            namespace,
            name: named(&name, ""),
            denial,
            #[cfg(not(target_arch = "wasm32"))]
            allows: action == Action::Allow && !is_dry,
        });
    }
}
