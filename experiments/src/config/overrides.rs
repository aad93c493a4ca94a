//! Arms that testers may ask for.

use crate::{overrides::Overrides, trust::Trust};
use filter_kit::{
    Bounded, Environment, Secret,
    metrics::{Kind, Metrics},
    settings::Field,
};

/// Reads `overrides`.
pub(super) fn read(
    field: &Field<'_, '_>,
    environment: &Environment<'_>,
    metrics: &mut Metrics,
) -> Option<Overrides> {
    if !field.is_given() {
        return None;
    }
    field.only(&["header", "query", "cookie", "secret_env", "secret", "trusted_principals", "forward"]);
    let text = |name| -> Option<Box<str>> {
        let field = field.get(name);
        let text = field.text()?;
        if text.is_empty() {
            field.refuse("must not be empty");
        }
        Some(text.into())
    };
    let (header, query, cookie) = (field.get("header").header(true), text("query"), text("cookie"));
    if header.is_none() && query.is_none() && cookie.is_none() {
        field.refuse("must name a header, query or cookie, got none");
    }
    let trust = Trust::read(&field.get("trusted_principals"));
    let secret = Secret::read(field, environment);
    if secret.is_none() && trust.is_nobody() {
        field.refuse("must have secret_env or trusted_principals: nobody else may ask for an arm");
    }
    let family = metrics.family(Kind::Counter, "ab_overrides_total", &["result"]);
    let [honoured, refused] =
        ["honoured", "refused"].map(|result| metrics.series(family, &[Bounded::own(result)]));
    let forward = field.get("forward").flag(false);
    Some(Overrides { header, query, cookie, secret, trust, forward, honoured, refused })
}
