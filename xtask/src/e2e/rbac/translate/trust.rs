//! Trust domains and their aliases in principals (`pilot/pkg/security/trustdomain`).

use super::attribute::Attribute;

/// Values that also stand for the mesh's trust domain and its aliases, where Istio makes them.
pub fn migrate(attribute: &Attribute, values: &[String], trust_domains: &[String]) -> Vec<String> {
    let mut migrated = Vec::new();
    for value in values {
        match attribute {
            Attribute::Principal => migrated.extend(principals(value, trust_domains)),
            Attribute::TrustDomain if trust_domains.contains(value) => {
                migrated.extend(trust_domains.iter().cloned());
            }
            _ => migrated.push(value.clone()),
        }
    }
    migrated
}

/// `TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT` once for each trust domain, if its own is one of them or stands for the local one.
fn principals(value: &str, trust_domains: &[String]) -> Vec<String> {
    let parts: Vec<&str> = value.split('/').collect();
    let [own, rest @ ..] = parts.as_slice() else { return vec![value.to_owned()] };
    let is_known = *own == "cluster.local" || trust_domains.iter().any(|domain| is_like(own, domain));
    if parts.len() != 5 || *own == "*" || !is_known {
        return vec![value.to_owned()];
    }
    let mut all = Vec::new();
    for domain in trust_domains {
        let principal =
            if ends_as(domain, own) { value.to_owned() } else { format!("{domain}/{}", rest.join("/")) };
        if !all.contains(&principal) {
            all.push(principal);
        }
    }
    all
}

/// Whether one of two names is the other, or a pattern of it.
fn is_like(one: &str, other: &str) -> bool {
    one == other
        || other == "*"
        || begins_as(one, other)
        || begins_as(other, one)
        || ends_as(one, other)
        || ends_as(other, one)
}

fn begins_as(text: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').is_some_and(|beginning| text.starts_with(beginning))
}

fn ends_as(text: &str, pattern: &str) -> bool {
    pattern.strip_prefix('*').is_some_and(|end| text.ends_with(end))
}
