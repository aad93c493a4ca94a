//! Keys and values: what stands behind a name, in queries, forms, cookies, headers, JSON, paths and multipart bodies.
//!
//! Nothing is parsed as a whole. A token that is followed by what separates a key from its value is looked up, and only when it decides is the
//! value's end sought. So a value is found in a query in a JSON string in a form, however they are nested.

mod header;
mod json;
mod multipart;
mod pair;
mod path;

use crate::{detect::secrets::url, dispatch::Pass, entity::Entity, key::Role};

/// Looks at what follows a token.
#[inline]
pub fn after(pass: &mut Pass<'_>, start: usize, end: usize, next: u8) {
    match next {
        b'=' => {
            if pass.part(start, end).eq_ignore_ascii_case(b"name") && multipart::field(pass, start, end) {
                return;
            }
            pair::assigned(pass, start, end, end + 1);
        }
        b':' if pass.at(end + 1) == b'/' && pass.at(end + 2) == b'/' => url::userinfo(pass, end + 3),
        b':' => header::field(pass, start, end),
        b'"' | b'\'' => json::member(pass, end, next),
        b']' if pass.at(end + 1) == b'=' => pair::assigned(pass, start, end, end + 2),
        b' ' | b'+' => header::scheme(pass, start, end),
        b'/' if pass.before(start) == b'/' => path::segment(pass, start, end),
        _ => {}
    }
}

/// What the value of a field of this name is. Before all others come the signatures of signed URLs, by the list of OpenTelemetry's semantic
/// conventions for `url.query`, which is case-sensitive.
fn look_up(pass: &Pass<'_>, name: &[u8]) -> Option<(Entity, Role)> {
    const SIGNATURES: [&[u8]; 7] = [
        b"X-Amz-Signature",
        b"X-Amz-Credential",
        b"X-Amz-Security-Token",
        b"AWSAccessKeyId",
        b"Signature",
        b"sig",
        b"X-Goog-Signature",
    ];
    if SIGNATURES.contains(&name) {
        return Some((Entity::UrlSignature, Role::Decides));
    }
    pass.engine.keys().entity(name)
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
    const LITERALS: [&[u8]; 9] =
        [b"", b"true", b"false", b"null", b"none", b"nil", b"undefined", b"yes", b"no"];
    let value = value.trim_ascii();
    LITERALS.iter().any(|literal| value.eq_ignore_ascii_case(literal))
        || value.iter().all(|byte| *byte == b'*')
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
