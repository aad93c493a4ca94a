//! What the response tells of an arm, from its configuration.

use super::Shared;
use crate::{cookie::SetCookie, experiment::Marks, key::KeyList};
use filter_kit::{Bounded, choices, matcher::Matcher, settings::Field};

/// What caches are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cache {
    /// Nothing.
    Leave,
    /// By `vary`, what the arm depends on.
    Vary,
    /// That no shared cache may keep the response, and `vary`.
    Private,
}

choices!(Cache { "leave" => Leave, "vary" => Vary, "private" => Private });

/// Reads what the response of an experiment tells.
#[inline(never)]
pub(super) fn read(
    field: &Field<'_, '_>,
    matchers: &[Matcher],
    keys: &KeyList,
    is_sticky: bool,
    shared: &mut Shared<'_>,
) -> Option<Box<Marks>> {
    if !field.is_given() {
        return None;
    }
    field.only(&["header", "cookie", "cache"]);
    let header = field.get("header").header(true);
    let cookie = field.get("cookie");
    let cookie = cookie.is_given().then(|| {
        let read = SetCookie::read(&cookie, "ab-arm");
        shared.own_cookie(&cookie, &read);
        read
    });
    let cache = Cache::read(&field.get("cache")).unwrap_or(Cache::Leave);
    let mut names: Vec<String> = Vec::new();
    let mut is_always = false;
    for matcher in matchers {
        matcher.subjects(&mut |name| {
            is_always = true;
            names.push(name.to_owned());
        });
    }
    names.extend(keys.sources.iter().map(|source| source.header().to_owned()));
    names.extend((keys.visitor_cookie.is_some() || is_sticky).then(|| "cookie".to_owned()));
    names.extend(shared.asked.iter().cloned());
    let mut vary = String::new();
    for (place, name) in names.iter().enumerate() {
        // What stands in the path, a cache knows.
        if name.starts_with(':') || names.iter().take(place).any(|other| other == name) {
            continue;
        }
        vary.push_str(if vary.is_empty() { "" } else { ", " });
        vary.push_str(name);
    }
    let is_told = cache != Cache::Leave;
    let vary = Bounded::own(if is_told { vary } else { String::new() });
    let is_private = cache == Cache::Private;
    Some(Box::new(Marks { header, cookie, vary, is_private, is_always: is_always && is_told }))
}
