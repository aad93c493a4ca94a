//! Addresses of machines.

use crate::{dispatch::Pass, entity::Entity};
use std::net::Ipv6Addr;

/// An IPv4 address that begins at a place. Says whether something with four numbers was there, found or not.
pub fn ipv4(pass: &mut Pass<'_>, start: usize) -> bool {
    let text = pass.from(start);
    let mut length = 0;
    let mut is_address = true;
    for octet in 0..4 {
        let first = length;
        let mut value = 0;
        while let Some(byte @ b'0'..=b'9') = text.get(length) {
            value = value * 10 + u32::from(byte - b'0');
            length += 1;
            if length - first > 3 {
                return false;
            }
        }
        let digits = length - first;
        if digits == 0 {
            return false;
        }
        is_address &=
            value <= 255 && (digits == 1 || text.get(first) != Some(&b'0')) && (octet > 0 || value > 0);
        if octet < 3 {
            if text.get(length) != Some(&b'.') {
                return false;
            }
            length += 1;
        }
    }
    let place = start + length;
    let after = pass.at(place);
    let is_longer = after == b'.' && pass.at(place + 1).is_ascii_digit()
        || matches!(after, b'-' | b'_') && pass.at(place + 1).is_ascii_alphanumeric();
    let before = pass.before(start);
    if is_address
        && !is_longer
        && before != b'.'
        && !after.is_ascii_alphanumeric()
        && !is_version(pass, start, place)
    {
        pass.hit(start, place, Entity::Ipv4, 80);
    }
    true
}

/// Whether four numbers are a version: `v1.2.3.4`, `Chrome/1.2.3.4`, `lib-1.2.3.4.jar`, `version 1.2.3.4`.
fn is_version(pass: &Pass<'_>, start: usize, end: usize) -> bool {
    let head = pass.part(start.saturating_sub(32), start);
    let trimmed = head.trim_ascii_end();
    // The word before, with what joins it to the number.
    let (joined, by) = match head.last() {
        Some(join @ (b'/' | b'-' | b'_')) => (head.get(..head.len() - 1).unwrap_or_default(), *join),
        _ => (trimmed, b' '),
    };
    let joined = joined.strip_suffix(b"=").or_else(|| joined.strip_suffix(b":")).unwrap_or(joined);
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || by == b'/' && *byte == b'.';
    let word = joined.iter().rev().take_while(|byte| is_word(byte)).count();
    let (rest, word) = joined.split_at(joined.len() - word);
    // `%20rv:1.9.2.3`: the digits are those of an escape.
    let word = if rest.last() == Some(&b'%') { word.get(2..).unwrap_or_default() } else { word };
    let says_so =
        ["v", "rv", "ver", "version", "release", "build", "rev", "firmware", "sdk", "appversion", "av"];
    if says_so.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes())) {
        return true;
    }
    match by {
        // A product of RFC 9110, section 10.1.5, stands at the beginning or after a space; a path's segment after a slash.
        b'/' => {
            word.first().is_some_and(u8::is_ascii_alphabetic)
                && matches!(rest.last(), None | Some(b' ' | b'(' | b'"'))
        }
        b'-' | b'_' => {
            word.first().is_some_and(u8::is_ascii_alphabetic)
                && pass.at(end) == b'.'
                && pass.at(end + 1).is_ascii_alphabetic()
        }
        _ => false,
    }
}

/// What begins with hex digits and a colon: an IPv6 address or a MAC address.
pub fn colons(pass: &mut Pass<'_>, start: usize, end: usize) {
    if !pass.part(start, end).iter().all(u8::is_ascii_hexdigit) {
        return;
    }
    if end - start == 2 {
        mac(pass, start);
    }
    ipv6(pass, start);
}

/// An IPv6 address that begins at a place: RFC 4291, section 2.2.
pub fn ipv6(pass: &mut Pass<'_>, start: usize) {
    const LONGEST: usize = 45;
    if pass.before(start).is_ascii_alphanumeric() || matches!(pass.before(start), b':' | b'.') {
        return;
    }
    let text = pass.from(start);
    let mut length = text
        .iter()
        .take(LONGEST + 1)
        .take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        .count();
    while length > 2
        && matches!(text.get(length - 1), Some(b'.' | b':'))
        && text.get(..length).is_some_and(|text| !text.ends_with(b"::"))
    {
        length -= 1;
    }
    let Some(address) = text.get(..length) else { return };
    let colons = memchr::memchr_iter(b':', address).count();
    // Eight groups have seven colons, and six with an IPv4 address; fewer groups stand around two colons in a row.
    let is_short = colons < 6 && !address.windows(2).any(|two| two == b"::")
        || length < 6
        || !address.iter().any(u8::is_ascii_digit);
    if is_short || pass.at(start + length).is_ascii_alphanumeric() {
        return;
    }
    // Words with two colons between them are no address, though they may read as one.
    let is_address = std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    if is_address {
        pass.hit(start, start + length, Entity::Ipv6, 80);
    }
}

/// A MAC address: six octets with one separator, or three groups of four digits with dots.
pub fn mac(pass: &mut Pass<'_>, start: usize) {
    let by = |width: usize, separator: u8, groups: usize| {
        let length = groups * (width + 1) - 1;
        let text = pass.part(start, start + length);
        let fits = text.len() == length
            && text.iter().enumerate().all(|(place, byte)| {
                if place % (width + 1) == width { *byte == separator } else { byte.is_ascii_hexdigit() }
            });
        let after = pass.at(start + length);
        let is_longer = after.is_ascii_alphanumeric()
            || after == separator && pass.at(start + length + 1).is_ascii_hexdigit();
        let letters = text.iter().any(u8::is_ascii_alphabetic);
        (fits && !is_longer && (letters || separator == b':')).then_some(start + length)
    };
    let end = match (pass.at(start + 2), pass.at(start + 4)) {
        (separator @ (b':' | b'-'), _) => by(2, separator, 6),
        (_, b'.') => by(4, b'.', 3),
        _ => None,
    };
    if matches!(pass.before(start), b':' | b'-' | b'.')
        && pass.at(start.saturating_sub(2)).is_ascii_hexdigit()
    {
        return;
    }
    if let Some(end) = end {
        pass.hit(start, end, Entity::Mac, 80);
        pass.skip_numbers_to(end);
    }
}
