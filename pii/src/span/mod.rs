//! Keys and values: what stands behind a name, in queries, forms, cookies, headers, JSON, paths and multipart bodies.
//!
//! Nothing is parsed as a whole. A token that is followed by what separates a key from its value is looked up, and only when it decides is the
//! value's end sought. So a value is found in a query in a JSON string in a form, however they are nested.

pub mod header;
pub mod json;
mod multipart;
mod pair;
mod path;

use crate::{detect::secrets::url, dispatch::Pass, entity::Entity, key::Role};

/// Looks at what a token may be the name of, by the byte behind it: `=`, `:`, `]` or `/`.
#[inline]
pub fn named(pass: &mut Pass<'_>, start: usize, end: usize, next: u8) {
    match next {
        b':' if pass.at(end + 1) == b'/' && pass.at(end + 2) == b'/' => url::userinfo(pass, end + 3),
        b'/' if pass.before(start) != b'/' => {}
        _ if pass.engine.keys().may_know(pass.part(start, end)) => known(pass, start, end, next),
        _ => {}
    }
}

/// The value of a token that may be the name of a field.
#[inline(never)]
fn known(pass: &mut Pass<'_>, start: usize, end: usize, next: u8) {
    let name = pass.part(start, end);
    let from = match next {
        b']' if pass.at(end + 1) == b'=' => end + 2,
        b']' => return,
        b'/' => return path::segment(pass, start, end),
        _ => end + 1,
    };
    if next == b'=' && name.eq_ignore_ascii_case(b"name") && multipart::field(pass, start, end) {
        return;
    }
    let Some(found) = meaning(pass, name) else { return };
    if next == b':' { header::field(pass, start, end, found) } else { pair::assigned(pass, from, found) }
}

/// The names that are known here, and not by their entity alone. The first are those of the signatures of signed URLs, by the list of
/// OpenTelemetry's semantic conventions for `url.query`, which is case-sensitive; the last is that of a multipart field.
pub const NAMES: [&[u8]; 8] = [
    b"X-Amz-Signature",
    b"X-Amz-Credential",
    b"X-Amz-Security-Token",
    b"AWSAccessKeyId",
    b"Signature",
    b"sig",
    b"X-Goog-Signature",
    b"name",
];

/// What the value of a field of this name is.
fn look_up(pass: &Pass<'_>, name: &[u8]) -> Option<(Entity, Role)> {
    if pass.engine.keys().may_know(name) { meaning(pass, name) } else { None }
}

/// The same for a name that may be known. Before all others come the signatures of signed URLs.
fn meaning(pass: &Pass<'_>, name: &[u8]) -> Option<(Entity, Role)> {
    let is_signature =
        matches!(name.first(), Some(b'X' | b'A' | b'S' | b's')) && signatures().any(|known| *known == name);
    if is_signature { Some((Entity::UrlSignature, Role::Decides)) } else { pass.engine.keys().known(name) }
}

fn signatures() -> impl Iterator<Item = &'static &'static [u8]> {
    NAMES.iter().take(NAMES.len() - 1)
}

/// Whether a field that is handed over by this name holds the signature of a signed URL. A header has its name in lower case by then.
pub fn is_signature(name: &[u8]) -> bool {
    signatures().any(|known| known.eq_ignore_ascii_case(name))
}

/// Notes the value of a field whose name decides, unless it says nothing.
fn note(pass: &mut Pass<'_>, start: usize, end: usize, (entity, role): (Entity, Role), bare: bool) {
    let value = pass.part(start, end);
    // `card` is the name of more than cards for payment: of graphics, of tax offices.
    let must_be_shaped = role == Role::IfShaped || (entity, role) == (Entity::Card, Role::Exactly);
    if says_nothing(value) || must_be_shaped && !is_shaped(entity, value) {
        return;
    }
    pass.key_hit(start, end, entity, bare);
}

/// Literals that stand where a value is missing.
pub fn says_nothing(value: &[u8]) -> bool {
    const LITERALS: [&[u8]; 8] = [b"true", b"false", b"null", b"none", b"nil", b"undefined", b"yes", b"no"];
    let value = value.trim_ascii();
    match value.first() {
        None => true,
        Some(b'*') => value.iter().all(|byte| *byte == b'*'),
        Some(b't' | b'f' | b'n' | b'u' | b'y' | b'T' | b'F' | b'N' | b'U' | b'Y') => {
            LITERALS.iter().any(|literal| value.eq_ignore_ascii_case(literal))
        }
        _ => false,
    }
}

/// Whether a value looks as one of the entity may.
pub fn is_shaped(entity: Entity, value: &[u8]) -> bool {
    let value = value.trim_ascii();
    match entity {
        Entity::Coordinates => {
            value.contains(&b'.')
                && value.iter().any(u8::is_ascii_digit)
                && value.iter().all(|byte| {
                    byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b',' | b';' | b' ' | b'%')
                })
        }
        Entity::Mac => {
            value.len() >= 12
                && value.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'-' | b'.'))
        }
        Entity::Card => value.iter().filter(|byte| byte.is_ascii_digit()).count() >= 12,
        // Addresses are found by their shape wherever they are; what has none under such a key is no address.
        _ => false,
    }
}
