//! What an arm changes, from its configuration.

use crate::change::{Change, Edit};
use filter_kit::settings::Field;

/// Reads what an arm changes; nothing where nothing is said.
#[inline(never)]
pub(super) fn read(field: &Field<'_, '_>) -> Option<Box<Change>> {
    if !field.is_given() {
        return None;
    }
    field.only(&["set", "add", "remove", "path_prefix", "authority", "query"]);
    let mut change = Change::default();
    for kind in ["set", "add"] {
        for (name, value) in field.get(kind).fields() {
            let text = value.text().unwrap_or_default();
            if !text.bytes().all(|c| c == b' ' || c.is_ascii_graphic()) || text.trim_ascii() != text {
                value.refuse_text("must be visible ASCII without spaces around it", text);
            }
            let Some(header) = value.header_named(name, true) else { continue };
            let edit =
                if kind == "set" { Edit::Set(header, text.into()) } else { Edit::Add(header, text.into()) };
            change.headers.push(edit);
        }
    }
    change.headers.extend(field.get("remove").items().filter_map(|name| name.header(true)).map(Edit::Remove));
    let prefix = field.get("path_prefix");
    if prefix.is_given() {
        prefix.only(&["from", "to"]);
        change.prefix = Some((path(&prefix.get("from")), path(&prefix.get("to"))));
    }
    let authority = field.get("authority");
    if let Some(text) = authority.text() {
        let is_part = |c: u8| c.is_ascii_alphanumeric() || b"-._~:[]".contains(&c);
        if !(1..=255).contains(&text.len()) || !text.bytes().all(is_part) {
            authority.refuse_text("must be a host, with or without a port", text);
        }
        change.authority = Some(text.into());
    }
    let query = field.get("query");
    query.only(&["set", "remove"]);
    for (name, value) in query.get("set").fields() {
        let text = value.text().unwrap_or_default();
        check_query(&value, name, true);
        check_query(&value, text, false);
        change.set.push((name.into(), text.into()));
    }
    for name in query.get("remove").items() {
        let text = name.text().unwrap_or_default();
        check_query(&name, text, true);
        change.removed.push(text.into());
    }
    Some(Box::new(change))
}

fn check_query(field: &Field<'_, '_>, text: &str, is_name: bool) {
    let is_part = |c: u8| c.is_ascii_graphic() && !b"&#".contains(&c) && !(is_name && b"=%+".contains(&c));
    if !text.bytes().all(is_part) || is_name && text.is_empty() {
        let rule = "must be as it stands in a query: visible ASCII without `&` and `#`, a name also without `=`, `%` and `+`";
        field.refuse_text(rule, text);
    }
}

/// A path without a slash at its end.
fn path(field: &Field<'_, '_>) -> Box<str> {
    let text = field.text().unwrap_or_default();
    let is_part = |c: u8| c.is_ascii_graphic() && !b"?#".contains(&c);
    if !text.starts_with('/') || !text.bytes().all(is_part) {
        field.refuse_text("must begin with `/` and be visible ASCII without `?` and `#`", text);
    }
    text.strip_suffix('/').unwrap_or(text).into()
}
