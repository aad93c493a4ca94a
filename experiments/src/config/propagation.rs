//! Assignments that travel through the mesh.

use crate::{carried::Propagation, trust::Trust};
use filter_kit::{
    Bounded, ConfigError, Environment, HeaderName, Secret,
    metrics::{Kind, Metrics},
    settings::Field,
};
use std::cell::RefCell;

/// The member of `baggage` that has them, where no other is named.
const MEMBER: &str = "ab-arms";

/// The longest key of a member, in bytes.
const MEMBER_LIMIT: usize = 64;

/// Reads `propagate`.
pub(super) fn read(
    field: &Field<'_, '_>,
    environment: &Environment<'_>,
    metrics: &mut Metrics,
) -> Result<Option<Propagation>, ConfigError> {
    if !field.is_given() {
        return Ok(None);
    }
    field.only(&["baggage", "header", "secret_env", "secret", "trusted_principals"]);
    let (member, own) = (field.get("baggage"), field.get("header"));
    if member.is_given() && own.is_given() {
        field.refuse("must have baggage or header, got both");
    }
    let key = member.text().unwrap_or(MEMBER);
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !(1..=MEMBER_LIMIT).contains(&key.len()) || !key.bytes().all(is_key) {
        member.refuse_text("must be 1 to 64 letters, digits, `.`, `_` and `-`", key);
    }
    let baggage = HeaderName::parse("baggage").map_err(|error| ConfigError::new("", error.to_string()))?;
    let header = own.header(true);
    if header.as_ref() == Some(&baggage) {
        own.refuse("must be a header of its own: the field `baggage` names a member of that one");
    }
    let trust = Trust::read(&field.get("trusted_principals"));
    let secret = Secret::read(field, environment);
    if secret.is_none() && trust.is_nobody() {
        field.refuse("must have secret_env or trusted_principals: nobody's assignment counts without");
    }
    let family = metrics.family(Kind::Counter, "ab_carried_total", &["result"]);
    let [accepted, refused, overflowed] =
        ["accepted", "refused", "overflowed"].map(|result| metrics.series(family, &[Bounded::own(result)]));
    Ok(Some(Propagation {
        member: header.is_none().then(|| key.into()),
        header: header.unwrap_or(baggage),
        secret,
        trust,
        accepted,
        refused,
        overflowed,
        known: RefCell::default(),
    }))
}

/// What travels has a header of its own.
pub(super) fn check(field: &Field<'_, '_>, propagation: Option<&Propagation>, arms: &[HeaderName]) {
    if propagation.is_some_and(|propagation| arms.contains(&propagation.header)) {
        field.get("header").refuse("must not be a header that names arms");
    }
}
