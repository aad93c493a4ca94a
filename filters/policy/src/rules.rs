//! A rule: `from`, `to`, `when` (istio `pilot/pkg/security/authz/model`), and `outrigger` for what goes beyond.

use crate::{
    config::Mode,
    extension::Extension,
    intern::Text,
    policies,
    program::{Action, Attribute, Builder, TestId},
};
use filter_kit::settings::Field;
use std::ops::Range;

/// The parts of a rule.
pub struct Parts {
    pub from: Range<u32>,
    pub to: Range<u32>,
    pub when: u32,
    pub extension: Option<Box<Extension>>,
}

/// Reads the rules of a policy.
pub struct Reader<'r, 'p, 't> {
    pub policies: &'r policies::Reader<'p, 't>,
    pub action: Action,
    pub namespace: &'r str,
}

/// What a list of values is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Header(Text),
    Host,
    Method,
    Path,
    Port,
    Ip(Attribute),
    Namespace,
    ServiceAccount,
    TrustDomain,
    Principal,
    RequestPrincipal,
    Claim(Text),
    Metadata(Text),
    Sni,
    /// The key of a condition that has no such form as it must have: all of its values are bad.
    Bad,
}

/// A value that Istio does not translate, and why.
pub type Bad = &'static str;

/// The most service accounts, as Istio has it.
const ACCOUNTS: usize = 16;

/// The filter that leaves claims, and where: Istio's `EnvoyJwtFilterName` and `EnvoyJwtFilterPayload`.
pub const CLAIMS: &str = "envoy.filters.http.jwt_authn\0payload";

/// Fields of a source with their twins, and what they are about.
const SOURCE: [(&str, &str, Key); 7] = [
    ("principals", "notPrincipals", Key::Principal),
    ("requestPrincipals", "notRequestPrincipals", Key::RequestPrincipal),
    ("namespaces", "notNamespaces", Key::Namespace),
    ("serviceAccounts", "notServiceAccounts", Key::ServiceAccount),
    ("trustDomains", "notTrustDomains", Key::TrustDomain),
    ("ipBlocks", "notIpBlocks", Key::Ip(Attribute::Peer)),
    ("remoteIpBlocks", "notRemoteIpBlocks", Key::Ip(Attribute::Remote)),
];

/// Fields of an operation with their twins, and what they are about.
const OPERATION: [(&str, &str, Key); 4] = [
    ("hosts", "notHosts", Key::Host),
    ("ports", "notPorts", Key::Port),
    ("methods", "notMethods", Key::Method),
    ("paths", "notPaths", Key::Path),
];

impl Reader<'_, '_, '_> {
    /// Reads a rule; `None` where it is refused, or dropped as Istio drops it.
    pub fn read(&self, rule: &Field<'_, '_>, builder: &mut Builder) -> Option<Parts> {
        rule.only(&["from", "to", "when", "outrigger"]);
        let mut is_kept = true;
        let mut when = Vec::new();
        for condition in rule.get("when").items() {
            is_kept &= self.condition(&condition, builder, &mut when);
        }
        let mut lists = |name, inner, fields: &[(&str, &str, Key)]| {
            let list = rule.get(name);
            if self.is_strict() && list.is_given() && list.is_empty() {
                list.refuse("must not be empty");
            }
            let mut groups = Vec::new();
            for item in list.items() {
                item.only(&[inner]);
                let mut tests = Vec::new();
                is_kept &= self.group(&item.get(inner), fields, builder, &mut tests);
                groups.push(tests);
            }
            builder.alternatives(&groups)
        };
        let from = lists("from", "source", &SOURCE);
        let to = lists("to", "operation", &OPERATION);
        let when = builder.group(&when);
        let extension = rule.get("outrigger");
        let extension = extension
            .is_given()
            .then(|| Box::new(Extension::read(&extension, self.action, self.policies.sets)));
        is_kept.then_some(Parts { from, to, when, extension })
    }

    pub fn is_strict(&self) -> bool {
        self.policies.mode == Mode::Strict
    }

    /// Reads a source or an operation; whether the rule is kept.
    fn group(
        &self,
        field: &Field<'_, '_>,
        fields: &[(&str, &str, Key)],
        builder: &mut Builder,
        tests: &mut Vec<TestId>,
    ) -> bool {
        for (name, _) in field.fields() {
            if !fields.iter().any(|(one, other, _)| [one, other].contains(&&name)) {
                let names: Vec<&str> = fields.iter().flat_map(|(one, other, _)| [*one, *other]).collect();
                field.only(&names);
            }
        }
        let mut is_kept = true;
        let mut is_empty = true;
        for (name, not_name, key) in fields {
            let (values, not_values) = (field.get(name), field.get(not_name));
            is_empty &= values.is_empty() && not_values.is_empty();
            is_kept &= self.values(&values, *key, false, builder, tests);
            is_kept &= self.values(&not_values, *key, true, builder, tests);
        }
        if self.is_strict() && is_empty {
            field.refuse("must have a field with a value");
        }
        let accounts = [field.get("serviceAccounts"), field.get("notServiceAccounts")];
        let others =
            ["principals", "notPrincipals", "namespaces", "notNamespaces"].map(|name| field.get(name));
        if accounts.iter().any(|list| !list.is_empty()) && others.iter().any(|list| !list.is_empty()) {
            field.refuse("must not have serviceAccounts together with principals or namespaces");
        }
        is_kept
    }

    /// Reads a condition of `when`; whether the rule is kept.
    fn condition(&self, condition: &Field<'_, '_>, builder: &mut Builder, tests: &mut Vec<TestId>) -> bool {
        condition.only(&["key", "values", "notValues"]);
        let (key_field, values, not_values) =
            (condition.get("key"), condition.get("values"), condition.get("notValues"));
        let text = key_field.text().unwrap_or_default();
        let Some(key) = key(&key_field, text, builder) else {
            // Istio drops the whole rule, whatever its action.
            let rule = "must be a key of Istio's conditions";
            if self.is_strict() || !key_field.is_given() {
                key_field.refuse_text(rule, text);
            } else {
                self.policies.drop(&key_field, rule, "the rule");
            }
            return false;
        };
        if self.is_strict() && values.is_empty() && not_values.is_empty() {
            condition.refuse("must have values or notValues");
        }
        if key == Key::Bad && self.is_strict() {
            key_field.refuse_text("must have a name in brackets", text);
        }
        let is_kept = self.values(&values, key, false, builder, tests);
        self.values(&not_values, key, true, builder, tests) && is_kept
    }

    /// Reads a list of values into a test; whether the rule is kept.
    fn values(
        &self,
        list: &Field<'_, '_>,
        key: Key,
        is_negated: bool,
        builder: &mut Builder,
        tests: &mut Vec<TestId>,
    ) -> bool {
        let mut patterns = Vec::new();
        let mut is_kept = true;
        if key == Key::ServiceAccount && list.len() > ACCOUNTS {
            list.refuse_got("must hold at most 16 service accounts", &list.len().to_string());
        }
        for item in list.items() {
            let Some(value) = item.word() else {
                item.refuse("must be a string, got null");
                continue;
            };
            if self.is_strict() && value.is_empty() {
                item.refuse("must not be empty");
            }
            if let Err(rule) = self.value(&item, key, value, builder, &mut patterns) {
                // ALLOW becomes narrower, DENY and AUDIT wider.
                if self.is_strict() {
                    item.refuse_text(rule, value);
                } else if self.action == Action::Allow {
                    is_kept = false;
                    self.policies.drop(&item, rule, "the rule");
                } else {
                    self.policies.drop(&item, rule, "the value");
                }
            }
        }
        let attribute = match key {
            Key::Header(name) => Attribute::Header(name),
            Key::Host => Attribute::Host,
            Key::Method => Attribute::Method,
            Key::Path => Attribute::Path,
            Key::Port => Attribute::DestinationPort,
            Key::Ip(attribute) => attribute,
            Key::Namespace | Key::ServiceAccount | Key::TrustDomain | Key::Principal => Attribute::Principal,
            Key::RequestPrincipal => Attribute::RequestPrincipal,
            Key::Claim(path) | Key::Metadata(path) => Attribute::Metadata(path),
            Key::Sni => Attribute::Sni,
            Key::Bad => return is_kept,
        };
        if !patterns.is_empty() {
            tests.push(builder.test(attribute, is_negated, &patterns));
        }
        is_kept
    }
}

/// What a key of `when` is about; `None` where Istio knows none such.
fn key(field: &Field<'_, '_>, text: &str, builder: &mut Builder) -> Option<Key> {
    let mut intern = |parts: &[&str]| builder.program.texts.intern(parts.join("\0").as_bytes());
    Some(match text {
        "source.ip" => Key::Ip(Attribute::Peer),
        "remote.ip" => Key::Ip(Attribute::Remote),
        "source.namespace" => Key::Namespace,
        "source.serviceAccount" => Key::ServiceAccount,
        "source.trustDomain" => Key::TrustDomain,
        "source.principal" => Key::Principal,
        "request.auth.principal" => Key::RequestPrincipal,
        "request.auth.audiences" => Key::Claim(intern(&[CLAIMS, "aud"])),
        "request.auth.presenter" => Key::Claim(intern(&[CLAIMS, "azp"])),
        "destination.ip" => Key::Ip(Attribute::DestinationIp),
        "destination.port" => Key::Port,
        "connection.sni" => Key::Sni,
        _ => {
            if let Some(rest) = text.strip_prefix("experimental.envoy.filters.") {
                // "a.b[c]", of which the last bracket may be missing.
                let rest = rest.strip_suffix(']').unwrap_or(rest);
                return Some(match rest.split_once('[') {
                    Some((filter, key)) => {
                        Key::Metadata(intern(&[&["envoy.filters.", filter].concat(), key]))
                    }
                    None => Key::Bad,
                });
            }
            if let Some(rest) = text.strip_prefix("request.headers") {
                return Some(match bracketed(rest) {
                    Some(name) => {
                        // What is no header's name is in no request: Istio and Envoy take it, and it never matches.
                        if builder.program.is_strict {
                            field.header_named(name, false)?;
                        }
                        let name = name.to_ascii_lowercase();
                        // The header of HTTP/1 is Envoy's `:authority`.
                        let name = if name == "host" { ":authority" } else { &name };
                        Key::Header(intern(&[name]))
                    }
                    None => Key::Bad,
                });
            }
            let rest = text.strip_prefix("request.auth.claims")?;
            match claims(rest) {
                Some(names) => {
                    if names.iter().any(|name| name.is_empty() || name.contains('\0')) {
                        field.refuse_text("must have names of claims in its brackets", text);
                    }
                    let path: Vec<&str> = std::iter::once(CLAIMS).chain(names).collect();
                    Key::Claim(intern(&path))
                }
                None => Key::Bad,
            }
        }
    })
}

/// `[name]`.
fn bracketed(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// `[a][b]`; what is no such list, but stands in brackets, is one name (`extractNameInNestedBrackets`).
fn claims(text: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let name = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        match name {
            Some((name, after)) if !name.contains('[') => {
                names.push(name);
                rest = after;
            }
            _ => return bracketed(text).map(|name| vec![name]),
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::claims;

    #[test]
    fn claims_nest() {
        assert_eq!(claims("[a]"), Some(vec!["a"]));
        assert_eq!(claims("[a][b]"), Some(vec!["a", "b"]));
        assert_eq!(claims("[a][b]c"), None);
        assert_eq!(claims("[a[b]]"), Some(vec!["a[b]"]));
        assert_eq!(claims("a]"), None);
        assert_eq!(claims("[a"), None);
        assert_eq!(claims("[a]x[b]"), Some(vec!["a]x[b"]));
        assert_eq!(claims(""), Some(vec![]));
    }
}
