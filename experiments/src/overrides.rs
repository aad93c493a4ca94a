//! Arms that testers ask for by themselves, in a header, a query parameter or a cookie.
//!
//! What is asked for is a list, joined by `~`, of `EXPERIMENT:ARM`, or `ARM` for every experiment that has an arm of that name, and of `@SECONDS`
//! for the time, in seconds since 1970, from which on it is worth nothing. Behind it stands a `~` and the list's HMAC-SHA-256 in hexadecimal
//! digits, unless the client is trusted. Whatever comes of it, the upstream does not see it unless it is to.

use crate::{experiment::Experiment, trust::Trust};
use filter_kit::{
    Effects, HeaderName, Secret, View, metrics::SeriesId, without_cookie, without_query_parameter,
};
use std::borrow::Cow;

/// The longest list that is read, in bytes.
const LIMIT: usize = 1024;

/// Where arms may be asked for, and by whom.
#[derive(Debug)]
pub struct Overrides {
    /// The header.
    pub header: Option<HeaderName>,
    /// The query parameter.
    pub query: Option<Box<str>>,
    /// The cookie.
    pub cookie: Option<Box<str>>,
    /// What signs a list.
    pub secret: Option<Secret>,
    /// Who needs no signature.
    pub trust: Trust,
    /// Whether the upstream sees the list.
    pub forward: bool,
    /// Counts lists that were honoured.
    pub honoured: SeriesId,
    /// Counts lists that were not.
    pub refused: SeriesId,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'t>(&'t str);

impl Asked<'_> {
    /// The arm that is asked for of an experiment, by its place.
    pub fn arm(&self, experiment: &Experiment) -> Option<usize> {
        self.0.split('~').filter(|item| !item.starts_with('@')).find_map(|item| {
            let arm = match item.split_once(':') {
                Some((other, arm)) if *other == *experiment.name => arm,
                Some(_) => return None,
                None => item,
            };
            experiment.arms.iter().position(|other| *other.name == *arm)
        })
    }
}

impl Overrides {
    /// The list that a request asks by: that of the first place that has one. And which places have any: header, query, cookie.
    pub fn find<'a>(&self, view: &'a View<'_>) -> (Option<Cow<'a, [u8]>>, [bool; 3]) {
        let header = self.header.as_ref().and_then(|name| view.request_header(name.as_str()));
        let query = self.query.as_ref().and_then(|name| view.query_parameter(name));
        let cookie = self.cookie.as_ref().and_then(|name| view.cookie(name));
        let places = [header.is_some(), query.is_some(), cookie.is_some()];
        (header.map(Cow::Borrowed).or(query).or(cookie.map(Cow::Borrowed)), places)
    }

    /// What a list asks for, if whoever sent it may ask.
    #[cold]
    pub fn honour<'t>(&self, list: &'t [u8], view: &View<'_>) -> Option<Asked<'t>> {
        let text = std::str::from_utf8(list).ok().filter(|text| text.len() <= LIMIT)?;
        let signed = text.rsplit_once('~').filter(|(_, signature)| signature.len() == 64);
        let has_signed = |secret: &Secret| {
            signed.is_some_and(|(asked, signature)| secret.has_signed(&[asked.as_bytes()], signature))
        };
        if !self.secret.as_ref().is_some_and(has_signed) && !self.trust.has(view) {
            return None;
        }
        let asked = signed.map_or(text, |(asked, _)| asked);
        let is_over = |item: &str| {
            let seconds = item.strip_prefix('@').map(|seconds| seconds.parse::<u64>().unwrap_or(0));
            seconds.is_some_and(|seconds| view.now() / 1_000_000_000 >= seconds)
        };
        (!asked.split('~').any(is_over)).then_some(Asked(asked))
    }

    /// Takes what was asked for out of the request; the target that is left, where it stood in the query.
    #[cold]
    pub fn strip<'a>(
        &'a self,
        places: [bool; 3],
        view: &View<'_>,
        cookie: &'a HeaderName,
        effects: &mut Effects<'a>,
    ) -> Option<Vec<u8>> {
        let [in_header, in_query, in_cookie] = places;
        if self.forward {
            return None;
        }
        if let (true, Some(name)) = (in_header, &self.header) {
            effects.remove_request_header(name);
        }
        if let (true, Some(name)) = (in_cookie, &self.cookie) {
            let all: Vec<&[u8]> = view.request_headers().all(cookie.as_str()).collect();
            let rest = without_cookie(&all.join(&b"; "[..]), name.as_bytes());
            if rest.is_empty() {
                effects.remove_request_header(cookie);
            } else {
                effects.set_request_header(cookie, rest);
            }
        }
        match (in_query, &self.query) {
            (true, Some(name)) => without_query_parameter(view.target(), name),
            _ => None,
        }
    }
}
