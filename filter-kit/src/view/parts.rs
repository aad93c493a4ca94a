//! A view that several filters of one module share.

use super::View;
#[cfg(feature = "parts")]
use crate::{
    Effects, Phase,
    effects::{HeaderChange, Verb},
};
use crate::{HeaderMap, Pairs};
#[cfg(feature = "parts")]
use std::{
    borrow::Cow,
    cell::{Cell, OnceCell},
};

/// What the filter that is next sees otherwise than the host has it.
#[cfg(feature = "parts")]
#[derive(Default)]
pub(super) struct Seen {
    /// The request's and the response's headers, as a filter before has left them.
    changed: [OnceCell<Pairs>; 2],
    /// The bytes of the body at hand that this filter has seen before.
    skipped: Cell<usize>,
}

#[cfg(not(feature = "parts"))]
#[expect(clippy::unused_self, reason = "with several filters in a module they differ from view to view")]
impl View<'_> {
    #[inline]
    pub(super) fn changed(&self, _: HeaderMap) -> Option<&Pairs> {
        None
    }

    #[inline]
    pub(super) fn skipped(&self) -> usize {
        0
    }
}

#[cfg(feature = "parts")]
impl View<'_> {
    pub(super) fn changed(&self, map: HeaderMap) -> Option<&Pairs> {
        let [request, response] = &self.parts.changed;
        match map {
            HeaderMap::Request => request.get(),
            HeaderMap::Response => response.get(),
            _ => None,
        }
    }

    pub(super) fn skipped(&self) -> usize {
        self.parts.skipped.get()
    }

    /// What comes next sees the headers as these effects leave them. The first effects that change a map count: no more than one filter of a
    /// module may change it before another one reads it.
    pub fn follow(&self, effects: &Effects<'_>) {
        let [request, response] = &self.parts.changed;
        for (map, place) in [(HeaderMap::Request, request), (HeaderMap::Response, response)] {
            let mut is_changed = false;
            effects.each_header(|change, _| is_changed |= change.map == map);
            if is_changed && self.phase().can_write(map) {
                let pairs =
                    if map == HeaderMap::Request { self.request_headers() } else { self.response_headers() };
                let changed = apply(pairs, map, effects);
                let _ = place.set(changed);
            }
        }
    }

    /// What comes next sees the body without its first bytes, those that were held back and that it has seen before.
    pub fn skip_body(&self, bytes: usize) {
        self.parts.skipped.set(bytes);
    }

    /// What comes next is in another callback: headers that were held until now go on, say.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
    }
}

/// A map as effects leave it, in Envoy's order: a set takes the place of the first value.
#[cfg(feature = "parts")]
fn apply(pairs: &Pairs, map: HeaderMap, effects: &Effects<'_>) -> Pairs {
    let mut all: Vec<[Cow<'_, [u8]>; 2]> =
        pairs.iter().map(|(name, value)| [Cow::Borrowed(name), Cow::Borrowed(value)]).collect();
    let mut change_one = |change: &HeaderChange<'_>, value: &[u8]| {
        if change.map != map {
            return;
        }
        let name = change.name.as_str().as_bytes();
        let new = [Cow::Owned(name.to_vec()), Cow::Owned(value.to_vec())];
        match change.verb {
            Verb::Add => all.push(new),
            Verb::Remove => all.retain(|[other, _]| **other != *name),
            Verb::Set => {
                let place = all.iter().position(|[other, _]| **other == *name);
                all.retain(|[other, _]| **other != *name);
                all.insert(place.unwrap_or(all.len()).min(all.len()), new);
            }
        }
    };
    effects.each_header(&mut change_one);
    Pairs::new(Pairs::encode(all.iter().map(|[name, value]| (&**name, &**value))))
}

#[cfg(all(test, feature = "parts"))]
mod tests {
    use crate::{Effects, HeaderName, Phase, View, fake::Stream};

    #[test]
    fn what_comes_next_sees_the_headers_as_they_were_left() {
        let stream = Stream::get("/a?b=c").header("x-one", "1").header("x-two", "2").header("x-two", "3");
        let [one, two, three, path] =
            ["x-one", "x-two", "x-three", ":path"].map(|name| HeaderName::parse(name).unwrap());
        let view = View::new(&stream, Phase::RequestHeaders, 0, true);
        let before = view.path().to_vec();
        let mut effects = Effects::default();
        effects.remove_request_header(&one);
        effects.set_request_header(&two, &b"4"[..]);
        effects.add_request_header(&three, b"own".to_vec());
        effects.set_request_header(&path, &b"/x?y"[..]);
        view.follow(&effects);
        let all = |name| view.request_headers().all(name).collect::<Vec<_>>();
        assert_eq!(
            [all("x-one"), all("x-two"), all("x-three")],
            [vec![], vec![&b"4"[..]], vec![&b"own"[..]]]
        );
        assert_eq!((before.as_slice(), view.path(), view.target()), (&b"/a"[..], &b"/x"[..], &b"/x?y"[..]));
        // The host's own map is what it was.
        assert_eq!(stream_header(&stream), b"1");
    }

    fn stream_header(stream: &Stream) -> Vec<u8> {
        View::new(stream, Phase::RequestHeaders, 0, true).request_header("x-one").unwrap_or_default().to_vec()
    }

    #[test]
    fn headers_that_cannot_be_written_are_not_changed() {
        let stream = Stream::get("/").header("x-one", "1");
        let one = HeaderName::parse("x-one").unwrap();
        let view = View::new(&stream, Phase::Log, 0, true);
        let mut effects = Effects::default();
        effects.remove_request_header(&one);
        view.follow(&effects);
        assert_eq!(view.request_header("x-one"), Some(&b"1"[..]));
        // In the phase of another callback they can.
        view.enter(Phase::RequestHeaders);
        view.follow(&effects);
        assert_eq!(view.request_header("x-one"), None);
    }
}
