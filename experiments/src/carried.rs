//! Assignments that travel with a request through the mesh, in a member of `baggage` or in a header of their own.
//!
//! They are a list of `EXPERIMENT:ARM`, joined by `~`. Behind it stands a `~` and the first half of the list's HMAC-SHA-256 in hexadecimal digits,
//! where there is a secret. A list counts if its signature holds or if the client is trusted by its certificate. Any other is a client's.

use crate::{baggage, config::is_name, experiment::Experiment, trust::Trust};
use filter_kit::{Effects, HeaderName, Secret, Signature, View, metrics::SeriesId};
use std::cell::RefCell;

/// The longest list that is read or written, in bytes, with its signature.
const LIMIT: usize = 4096;

/// How many signatures are kept, since there are far fewer lists than requests.
const KNOWN_LIMIT: usize = 64;

/// Before a list, in what is signed.
const PURPOSE: &[u8] = b"carried\0";

/// Where assignments travel, and whose count.
#[derive(Debug)]
pub struct Propagation {
    /// `baggage`, or a header of their own.
    pub header: HeaderName,
    /// The member's key, in `baggage`.
    pub member: Option<Box<str>>,
    /// What signs a list.
    pub secret: Option<Secret>,
    /// Whose lists count without a signature.
    pub trust: Trust,
    /// Counts lists that came and count.
    pub accepted: SeriesId,
    /// Counts those that do not.
    pub refused: SeriesId,
    /// Counts requests of which other members of `baggage` went, for they were too many.
    pub overflowed: SeriesId,
    /// Lists and their signatures, the last of them.
    pub known: RefCell<Known>,
}

/// Lists and their signatures.
#[derive(Debug, Default)]
pub struct Known {
    lists: Vec<(Box<str>, Signature)>,
    next: usize,
}

impl Known {
    fn signature(&self, list: &str) -> Option<&Signature> {
        self.lists.iter().find(|(other, _)| **other == *list).map(|(_, signature)| signature)
    }

    fn keep(&mut self, list: &str, signature: Signature) {
        let new = (list.into(), signature);
        match self.lists.get_mut(self.next) {
            Some(old) => *old = new,
            None => self.lists.push(new),
        }
        self.next = (self.next + 1) % KNOWN_LIMIT;
    }
}

/// What a request carries.
#[derive(Debug, Default)]
pub struct Carried {
    /// The list that counts, without its signature; empty where none does.
    list: String,
    /// Whether the request has any list.
    is_there: bool,
    /// Whether it has the list, once, as this filter would write it.
    is_clean: bool,
}

impl Carried {
    /// The arm of an experiment, by its place.
    pub fn arm(&self, experiment: &Experiment) -> Option<usize> {
        let (_, arm) = entries(&self.list).find(|(name, _)| *name == &*experiment.name)?;
        experiment.arms.iter().position(|other| *other.name == *arm)
    }
}

/// The assignments of a list.
fn entries(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.split('~').filter_map(|entry| entry.split_once(':'))
}

/// Whether all of a list is assignments.
fn is_list(list: &str) -> bool {
    let is_entry =
        |entry: &str| entry.split_once(':').is_some_and(|(name, arm)| is_name(name) && is_name(arm));
    list.split('~').all(is_entry)
}

impl Propagation {
    /// What a request carries. It is counted.
    pub fn find(&self, view: &View<'_>, effects: &mut Effects<'_>) -> Carried {
        let values: Vec<&[u8]> = view.request_headers().all(self.header.as_str()).collect();
        if values.is_empty() {
            return Carried::default();
        }
        let lists: Vec<String> = match &self.member {
            Some(key) => baggage::members(values.iter().copied())
                .filter(|member| member.key == &**key)
                .map(|member| member.value())
                .collect(),
            None => values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect(),
        };
        let mut carried = Carried { is_there: !lists.is_empty(), ..Carried::default() };
        if !carried.is_there {
            return carried;
        }
        match lists.iter().find_map(|text| self.accept(text, view)) {
            Some((list, is_signed)) => {
                effects.count(self.accepted);
                carried.is_clean = lists.len() == 1 && (is_signed || self.secret.is_none());
                carried.list = list;
            }
            None => effects.count(self.refused),
        }
        carried
    }

    /// A list without its signature, if it counts, and whether the signature holds.
    fn accept(&self, text: &str, view: &View<'_>) -> Option<(String, bool)> {
        if text.len() > LIMIT {
            return None;
        }
        let (list, signature) = match text.rsplit_once('~') {
            Some((list, signature)) if !signature.contains(':') => (list, signature),
            _ => (text, ""),
        };
        let is_signed = !signature.is_empty() && self.has_signed(list, signature);
        ((is_signed || self.trust.has(view)) && is_list(list)).then(|| (list.to_owned(), is_signed))
    }

    fn has_signed(&self, list: &str, signature: &str) -> bool {
        let Some(secret) = &self.secret else { return false };
        let mut known = self.known.borrow_mut();
        if let Some(own) = known.signature(list) {
            return own.is(signature);
        }
        // As it is written, and in no other way. What does not hold is not kept: whoever forges would push out those that are known.
        let own = secret.sign(&[PURPOSE, list.as_bytes()]);
        let holds = own.is(signature);
        if holds {
            known.keep(list, own);
        }
        holds
    }

    fn sign(&self, list: &str) -> Option<Signature> {
        let secret = self.secret.as_ref()?;
        let mut known = self.known.borrow_mut();
        if let Some(signature) = known.signature(list) {
            return Some(signature.clone());
        }
        let signature = secret.sign(&[PURPOSE, list.as_bytes()]);
        known.keep(list, signature.clone());
        Some(signature)
    }

    /// Lets a request carry what came with it and counts, and these assignments in the place of those of the same experiments. What does not count is
    /// gone.
    pub fn write<'a, 'n>(
        &'a self,
        carried: &Carried,
        own: impl Iterator<Item = (&'n str, &'n str)>,
        view: &View<'_>,
        effects: &mut Effects<'a>,
    ) {
        let mut all: Vec<(&str, &str)> = entries(&carried.list).collect();
        for (experiment, arm) in own {
            match all.iter_mut().find(|(name, _)| *name == experiment) {
                Some((_, other)) => *other = arm,
                None => all.push((experiment, arm)),
            }
        }
        let mut list = String::new();
        for (experiment, arm) in all {
            let size = experiment.len() + arm.len() + 2;
            if list.len() + size + 32 > LIMIT {
                break;
            }
            if !list.is_empty() {
                list.push('~');
            }
            list.push_str(experiment);
            list.push(':');
            list.push_str(arm);
        }
        let is_unchanged =
            if list.is_empty() { !carried.is_there } else { carried.is_clean && list == carried.list };
        if is_unchanged {
            return;
        }
        if let (false, Some(signature)) = (list.is_empty(), self.sign(&list)) {
            list.push('~');
            list.push_str(signature.as_str());
        }
        let value = match &self.member {
            Some(key) => {
                let values = view.request_headers().all(self.header.as_str());
                let own = (!list.is_empty()).then_some(&*list);
                let (value, gone) = baggage::merge(baggage::members(values), key, own);
                if gone > 0 {
                    effects.count(self.overflowed);
                }
                value
            }
            None => list,
        };
        if value.is_empty() {
            effects.remove_request_header(&self.header);
        } else {
            effects.set_request_header(&self.header, value.into_bytes());
        }
    }
}
