//! What a rule is, and the table of all of them.

use super::{
    access_log, authz, container, envoy_filter, input, kinds, meaning, mesh, order, plugin, ports, secrets,
    security, target, wasm, workload,
};
use crate::finding::Severity;

/// A rule: everything about it that does not depend on where it is broken.
#[derive(Debug)]
pub struct Rule {
    /// Its name: lower-case words with hyphens.
    pub id: &'static str,
    /// The group that the docs list it in.
    pub family: &'static str,
    /// How bad it is to break it.
    pub severity: Severity,
    /// Why it is a rule.
    pub reason: &'static str,
    /// What to write instead.
    pub fix: &'static str,
    /// The page that it comes from.
    pub link: &'static str,
}

/// Declares the rules of a family, and `RULES`, the list of them.
macro_rules! rules {
    ($family:literal; $($name:ident $id:literal $severity:ident $reason:literal fix $fix:literal $link:expr;)*) => {
        $(
            pub static $name: $crate::check::rule::Rule = $crate::check::rule::Rule {
                id: $id,
                family: $family,
                severity: $crate::finding::Severity::$severity,
                reason: $reason,
                fix: $fix,
                link: $link,
            };
        )*
        /// The rules of this family, in the order of the docs.
        pub static RULES: &[&$crate::check::rule::Rule] = &[$(&$name),*];
    };
}
pub(crate) use rules;

/// Every rule, family by family.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    let families: [&'static [&'static Rule]; 16] = [
        input::RULES,
        plugin::RULES,
        kinds::RULES,
        wasm::RULES,
        target::RULES,
        order::RULES,
        access_log::RULES,
        envoy_filter::RULES,
        authz::RULES,
        meaning::RULES,
        mesh::RULES,
        workload::RULES,
        container::RULES,
        security::RULES,
        secrets::RULES,
        ports::RULES,
    ];
    families.into_iter().flatten().copied()
}

/// Whether a name is one of a rule.
///
/// # Errors
/// It is not; the message names the nearest one.
pub fn named(id: &str) -> Result<&'static Rule, String> {
    let nearest = all().min_by_key(|rule| distance(rule.id, id));
    match nearest {
        Some(rule) if rule.id == id => Ok(rule),
        Some(rule) => Err(format!("no rule `{id}`; the nearest is `{}`, and --rules lists all", rule.id)),
        None => Err(format!("no rule `{id}`")),
    }
}

/// How many letters must change to make one word of the other.
pub fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut before = line;
        let mut left = line + 1;
        let mut next = vec![left];
        for (above, candidate) in row.iter().skip(1).zip(&other) {
            left = (before + usize::from(*candidate != letter)).min(above + 1).min(left + 1);
            before = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{all, distance, named};
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_words_with_hyphens_and_each_stands_once() {
        let mut ids = BTreeSet::new();
        for rule in all() {
            assert!(ids.insert(rule.id), "{} stands twice", rule.id);
            assert!(
                rule.id
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{}",
                rule.id
            );
            assert!(rule.link.starts_with("https://"), "{}", rule.id);
            assert!(!rule.reason.is_empty() && !rule.fix.is_empty(), "{}", rule.id);
        }
    }

    #[test]
    fn a_misspelt_rule_is_answered_with_the_nearest() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert!(named("replica").unwrap_err().contains("`replicas`"));
        assert_eq!(named("replicas").unwrap().id, "replicas");
    }
}
