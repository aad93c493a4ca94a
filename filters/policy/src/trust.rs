//! Trust domains and their aliases (istio `pilot/pkg/security/trustdomain`): a principal of one of the mesh's own trust domains stands for all of them.

use std::borrow::Cow;

/// The domain that stands for the mesh's own.
const LOCAL: &str = "cluster.local";

/// The mesh's trust domain and its aliases.
#[derive(Debug, Default)]
pub struct TrustDomains<'t>(pub Vec<&'t str>);

impl TrustDomains<'_> {
    /// The principals that a principal of a policy stands for: `ReplaceTrustDomainAliases`.
    pub fn principals<'p>(&self, principal: &'p str) -> Vec<Cow<'p, str>> {
        let as_is = vec![Cow::Borrowed(principal)];
        if principal.split('/').count() != 5 {
            return as_is;
        }
        let Some((domain, rest)) = principal.split_once('/') else { return as_is };
        if domain == "*" || !(domain == LOCAL || self.0.iter().any(|own| are_alike(domain, own))) {
            return as_is;
        }
        let mut principals: Vec<Cow<'p, str>> = Vec::new();
        for own in &self.0 {
            let principal = if ends_as(own, domain) {
                Cow::Borrowed(principal)
            } else {
                Cow::Owned([own, "/", rest].concat())
            };
            if !principals.contains(&principal) {
                principals.push(principal);
            }
        }
        if self.0.is_empty() { as_is } else { principals }
    }

    /// The trust domains that one of a policy stands for: `ExpandTrustDomainAliases`.
    pub fn domains<'d>(&'d self, domain: &'d str) -> Vec<&'d str> {
        if self.0.contains(&domain) { self.0.clone() } else { vec![domain] }
    }
}

/// Istio's `stringMatch`: either may have a star at an end.
fn are_alike(one: &str, other: &str) -> bool {
    one == other
        || other == "*"
        || begins_as(one, other)
        || begins_as(other, one)
        || ends_as(one, other)
        || ends_as(other, one)
}

fn begins_as(text: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').is_some_and(|prefix| text.starts_with(prefix))
}

fn ends_as(text: &str, pattern: &str) -> bool {
    pattern.strip_prefix('*').is_some_and(|suffix| text.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::TrustDomains;

    #[track_caller]
    fn check(own: &[&str], principal: &str, expected: &[&str]) {
        assert_eq!(TrustDomains(own.to_vec()).principals(principal), expected);
    }

    #[test]
    fn a_principal_of_an_own_domain_stands_for_all() {
        let own = ["td2", "td1"];
        check(&own, "td1/ns/a/sa/b", &["td2/ns/a/sa/b", "td1/ns/a/sa/b"]);
        check(&own, "cluster.local/ns/a/sa/b", &["td2/ns/a/sa/b", "td1/ns/a/sa/b"]);
        check(&own, "other/ns/a/sa/b", &["other/ns/a/sa/b"]);
        check(&own, "*/ns/a/sa/b", &["*/ns/a/sa/b"]);
        check(&own, "*", &["*"]);
        check(&own, "td1/ns/a/*", &["td1/ns/a/*"]);
        check(&own, "*1/ns/a/sa/b", &["td2/ns/a/sa/b", "*1/ns/a/sa/b"]);
        check(&own, "td*/ns/a/sa/b", &["td2/ns/a/sa/b", "td1/ns/a/sa/b"]);
        check(&[], "cluster.local/ns/a/sa/b", &["cluster.local/ns/a/sa/b"]);
        assert_eq!(TrustDomains(own.to_vec()).domains("td1"), own);
        assert_eq!(TrustDomains(own.to_vec()).domains("x"), ["x"]);
    }
}
