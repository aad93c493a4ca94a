//! The cookie that keeps an assignment over a change of weights.
//!
//! Its value is a list of `EXPERIMENT:VERSION:ARM:SIGNATURE`, joined by `~`. The signature binds the assignment to the user's key and where it
//! was found, so that nobody can write one, and nobody takes over another user's. Without a secret there is no signature.

use crate::{config::is_name, cookie::SetCookie};
use filter_kit::{Secret, Signature};

/// The longest cookie that is read or written, in bytes. Browsers keep 4,096 with name and attributes.
const LIMIT: usize = 3072;

/// How many assignments of one experiment are looked at, and kept.
const ENTRY_LIMIT: usize = 8;

/// The cookie, compiled.
#[derive(Debug)]
pub struct Sticky {
    /// The cookie.
    pub cookie: SetCookie,
    /// What signs assignments.
    pub secret: Option<Secret>,
}

/// What an experiment keeps to.
#[derive(Debug, Clone, Copy)]
pub struct Versions {
    /// That of new assignments, and of those that are kept.
    pub current: u32,
    /// Users with an assignment below this are kept out.
    pub least: u32,
}

/// A user's key, and where it was found.
pub type Owner<'k> = (&'k str, &'k [u8]);

/// What was kept of a user in an experiment.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// An assignment of a version that is too old.
    Blocked,
    /// An arm's name, and the place among the owners of the one whose it is.
    Arm(String, usize),
}

struct Entry<'c> {
    experiment: &'c str,
    version: u32,
    arm: &'c str,
    signature: &'c str,
}

impl<'c> Entry<'c> {
    fn parse(text: &'c str) -> Option<Self> {
        let mut parts = text.split(':');
        let (experiment, version, arm) = (parts.next()?, parts.next()?, parts.next()?);
        let signature = parts.next().unwrap_or_default();
        let is_hex = signature.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let is_number = version.bytes().all(|digit| digit.is_ascii_digit());
        let is_whole = parts.next().is_none() && matches!(signature.len(), 0 | 32);
        (is_whole && is_hex && is_number && is_name(experiment) && is_name(arm)).then_some(())?;
        Some(Self { experiment, version: version.parse().ok()?, arm, signature })
    }

    fn text(&self) -> String {
        let version = self.version.to_string();
        let mut text = [self.experiment, ":", &version, ":", self.arm].concat();
        if !self.signature.is_empty() {
            text.push(':');
            text.push_str(self.signature);
        }
        text
    }
}

fn entries(value: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let value = if value.len() <= LIMIT { value } else { &[] };
    std::str::from_utf8(value).unwrap_or_default().split('~').filter_map(Entry::parse)
}

impl Sticky {
    /// The first of the owners whose assignment it is; their signatures say so, or nobody's.
    fn owner(&self, entry: &Entry<'_>, owners: &[Owner<'_>]) -> Option<usize> {
        let Some(secret) = &self.secret else {
            return (entry.signature.is_empty() && !owners.is_empty()).then_some(0);
        };
        let version = entry.version.to_string();
        let is_owner = |owner: &Owner<'_>| {
            secret.has_signed(&parts(entry.experiment, &version, entry.arm, *owner), entry.signature)
        };
        owners.iter().position(is_owner)
    }

    /// What a cookie's value says of these owners in an experiment. An assignment of the first owner goes before those of the others.
    #[inline(never)]
    pub fn kept(&self, value: &[u8], experiment: &str, versions: Versions, owners: &[Owner<'_>]) -> Kept {
        let mut kept = Kept::Nothing;
        for entry in entries(value).filter(|entry| entry.experiment == experiment).take(ENTRY_LIMIT) {
            let Some(place) = self.owner(&entry, owners) else { continue };
            if entry.version < versions.least {
                return Kept::Blocked;
            }
            let is_better = match &kept {
                Kept::Arm(_, other) => place < *other,
                _ => true,
            };
            if entry.version == versions.current && is_better {
                kept = Kept::Arm(entry.arm.to_owned(), place);
            }
        }
        kept
    }

    /// A cookie's value with a further assignment, of the first owner. What is not well-formed goes, and what is of this experiment and of none
    /// of the owners; then the oldest, until it fits.
    #[inline(never)]
    pub fn keep(
        &self,
        value: &[u8],
        experiment: &str,
        versions: Versions,
        arm: &str,
        owners: &[Owner<'_>],
        is_known: impl Fn(&str) -> bool,
    ) -> String {
        let version = versions.current.to_string();
        let signature = match (&self.secret, owners.first()) {
            (Some(secret), Some(owner)) => Some(secret.sign(&parts(experiment, &version, arm, *owner))),
            _ => None,
        };
        let signature = signature.as_ref().map_or("", Signature::as_str);
        let new = Entry { experiment, version: versions.current, arm, signature }.text();
        let stays = |entry: &Entry<'_>| {
            let is_replaced = entry.version == versions.current && self.owner(entry, owners) == Some(0);
            is_known(entry.experiment)
                && (entry.experiment != experiment || (self.owner(entry, owners).is_some() && !is_replaced))
        };
        let mut texts: Vec<String> = entries(value).filter(stays).map(|entry| entry.text()).collect();
        texts.push(new);
        let mut size: usize = texts.iter().map(|text| text.len() + 1).sum();
        let mut first = 0;
        while size > LIMIT && first + 1 < texts.len() {
            size -= texts.get(first).map_or(0, |text| text.len() + 1);
            first += 1;
        }
        texts.get(first..).unwrap_or_default().join("~")
    }
}

fn parts<'p>(experiment: &'p str, version: &'p str, arm: &'p str, (place, key): Owner<'p>) -> [&'p [u8]; 11] {
    const END: &[u8] = b"\0";
    let [experiment, version, arm, place] = [experiment, version, arm, place].map(str::as_bytes);
    [b"sticky", END, experiment, END, version, END, arm, END, place, END, key]
}

#[cfg(test)]
mod tests {
    use super::{Kept, LIMIT, Sticky, Versions};
    use crate::cookie::SetCookie;
    use filter_kit::Secret;
    use filter_kit::{
        Environment,
        settings::{Field, Node},
    };
    use std::cell::RefCell;

    fn sticky(is_signed: bool) -> Sticky {
        let variable = |_: &str| Some("0123456789abcdef".to_owned());
        let node = Node::parse(if is_signed { br#"{"secret_env":"S"}"# } else { b"{}" }).unwrap();
        let refused = RefCell::default();
        let field = Field::root(&node, &refused);
        let secret = Secret::read(&field, &Environment::new(&variable));
        Sticky { cookie: SetCookie::read(&field.get("cookie"), "s"), secret }
    }

    const ALICE: (&str, &[u8]) = ("id", b"alice");
    const BOB: (&str, &[u8]) = ("id", b"bob");
    const FIRST: Versions = Versions { current: 0, least: 0 };

    #[test]
    fn an_assignment_is_its_owners_alone() {
        let sticky = sticky(true);
        let value = sticky.keep(b"", "e", FIRST, "b", &[ALICE], |_| true);
        let arm = |place| Kept::Arm("b".to_owned(), place);
        assert_eq!(sticky.kept(value.as_bytes(), "e", FIRST, &[ALICE]), arm(0));
        assert_eq!(sticky.kept(value.as_bytes(), "e", FIRST, &[BOB, ALICE]), arm(1));
        assert_eq!(sticky.kept(value.as_bytes(), "e", FIRST, &[BOB]), Kept::Nothing);
        assert_eq!(sticky.kept(value.as_bytes(), "e", FIRST, &[("other", b"alice")]), Kept::Nothing);
        assert_eq!(sticky.kept(value.as_bytes(), "f", FIRST, &[ALICE]), Kept::Nothing);
        assert_eq!(sticky.kept(value.replace(":b:", ":a:").as_bytes(), "e", FIRST, &[ALICE]), Kept::Nothing);
        assert_eq!(sticky.kept(b"e:0:b", "e", FIRST, &[ALICE]), Kept::Nothing);
    }

    #[test]
    fn versions_are_kept_apart() {
        let sticky = sticky(false);
        let version = |current, least| Versions { current, least };
        assert_eq!(sticky.kept(b"e:1:a~e:2:b", "e", version(2, 0), &[ALICE]), Kept::Arm("b".to_owned(), 0));
        assert_eq!(sticky.kept(b"e:1:a~e:2:b", "e", version(2, 1), &[ALICE]), Kept::Arm("b".to_owned(), 0));
        assert_eq!(sticky.kept(b"e:1:a~e:2:b", "e", version(3, 2), &[ALICE]), Kept::Blocked);
        assert_eq!(sticky.kept(b"e:1:a~e:2:b", "e", version(3, 0), &[ALICE]), Kept::Nothing);
        assert_eq!(sticky.keep(b"e:1:a~e:2:b", "e", version(2, 0), "c", &[ALICE], |_| true), "e:1:a~e:2:c");
    }

    #[test]
    fn what_is_not_well_formed_is_passed_over_and_goes() {
        let sticky = sticky(false);
        let value =
            b"~e:x:a~e:0~e:0:a:00~e:-1:a~e:0:a b~e:00000000000:a~x:0:a~:0:a~e:0:a:b:c~e:99999999999:a\xff";
        assert_eq!(sticky.kept(value, "e", FIRST, &[ALICE]), Kept::Nothing);
        assert_eq!(
            sticky.keep(b"x:0:a~f:0:a~~junk", "e", FIRST, "b", &[ALICE], |name| name != "x"),
            "f:0:a~e:0:b"
        );
        let long = "f:0:a~".repeat(LIMIT / 6 - 1);
        let kept = sticky.keep(long.as_bytes(), "e", FIRST, "b", &[ALICE], |_| true);
        assert!(kept.len() <= LIMIT && kept.ends_with("~e:0:b"), "{}", kept.len());
        assert_eq!(
            sticky.keep("f:0:a~".repeat(LIMIT).as_bytes(), "e", FIRST, "b", &[ALICE], |_| true),
            "e:0:b"
        );
    }
}
