//! What is left to do when the response comes.

use crate::health::{self, Watched};
use experiments::{Experiments, cookie::VisitorId};
use filter_kit::{Bounded, Effects, View};

/// What is remembered of a stream whose client is told something.
#[derive(Debug, Default)]
pub struct Pending {
    /// A new visitor's id, and which cookies carry it.
    pub(crate) visitor: Option<VisitorId>,
    pub(crate) cookies: u128,
    /// The new value of the cookie of kept assignments.
    pub(crate) sticky: Option<String>,
    pub(crate) marks: Vec<Mark>,
    /// Experiments whose arms are watched, by their places, and the arms; and when the request began, in nanoseconds since 1970.
    pub(crate) watched: Watched,
    pub(crate) began: u64,
}

/// An experiment whose response is marked, by its place, and the arm, if it has one.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) experiment: u8,
    pub(crate) arm: Option<u8>,
    /// Whether the client has the cookie that names the arm.
    pub(crate) has_cookie: bool,
}

/// The longest `cache-control` that is passed on, in bytes.
const CACHE_CONTROL_LIMIT: usize = 512;

/// Tells the client.
#[cold]
pub(crate) fn answer<'a>(filter: &'a Experiments, pending: &Pending, view: &View<'_>) -> Effects<'a> {
    let mut effects = Effects::default();
    let names = &filter.names;
    if !pending.watched.is_empty() {
        health::respond(filter, pending, view, &mut effects);
    }
    if let Some(id) = &pending.visitor {
        let id = std::str::from_utf8(id).unwrap_or_default();
        for (index, cookie) in filter.cookies.iter().enumerate() {
            if pending.cookies & (1 << index) != 0 {
                effects.add_response_header(&names.set_cookie, Bounded::own(cookie.set(id)));
            }
        }
    }
    if let (Some(value), Some(sticky)) = (&pending.sticky, &filter.sticky) {
        effects.add_response_header(&names.set_cookie, Bounded::own(sticky.cookie.set(value)));
    }
    let (mut vary, mut is_private) = (Vec::new(), false);
    for mark in &pending.marks {
        let Some(experiment) = filter.all.get(usize::from(mark.experiment)) else { continue };
        let Some(marks) = &experiment.response else { continue };
        is_private |= marks.is_private;
        if !marks.vary.as_str().is_empty() && !vary.contains(&marks.vary.as_str()) {
            vary.push(marks.vary.as_str());
            effects.add_response_header(&names.vary, marks.vary.borrowed());
        }
        let Some(arm) = mark.arm.and_then(|arm| experiment.arms.get(usize::from(arm))) else { continue };
        if let Some(header) = &marks.header {
            effects.set_response_header(header, Bounded::own(&*arm.name));
        }
        if let (Some(cookie), false) = (&marks.cookie, mark.has_cookie) {
            effects.add_response_header(&names.set_cookie, Bounded::own(cookie.set(&arm.name)));
        }
    }
    if is_private {
        let all: Vec<&[u8]> = view.response_headers().all(names.cache_control.as_str()).collect();
        let value = private(&all.join(&b", "[..]));
        effects.set_response_header(
            &names.cache_control,
            Bounded::new(&value, CACHE_CONTROL_LIMIT).into_owned(),
        );
    }
    effects
}

/// A `cache-control` that lets no shared cache keep the response, and the client's own as long as before (RFC 9111, 5.2.2).
fn private(value: &[u8]) -> Vec<u8> {
    let directives = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let name = |directive: &[u8]| {
        let end = directive.iter().position(|&byte| byte == b'=').unwrap_or(directive.len());
        directive.get(..end).unwrap_or(directive).to_ascii_lowercase()
    };
    let mut kept: Vec<&[u8]> = directives.filter(|directive| !directive.is_empty()).collect();
    if kept.iter().any(|directive| name(directive) == b"no-store") {
        return kept.join(&b", "[..]);
    }
    kept.retain(|directive| {
        !matches!(&*name(directive), b"public" | b"private" | b"s-maxage" | b"proxy-revalidate")
    });
    kept.insert(0, b"private");
    kept.join(&b", "[..])
}

#[cfg(test)]
mod tests {
    use super::private;

    #[test]
    fn no_shared_cache_keeps_what_is_private() {
        for (before, after) in [
            ("", "private"),
            ("public, max-age=60, s-maxage=600", "private, max-age=60"),
            ("Public,S-MaxAge=9", "private"),
            ("no-store", "no-store"),
            ("private=\"x\", max-age=0", "private, max-age=0"),
            ("must-revalidate", "private, must-revalidate"),
        ] {
            assert_eq!(String::from_utf8(private(before.as_bytes())).unwrap(), after, "{before}");
        }
    }
}
