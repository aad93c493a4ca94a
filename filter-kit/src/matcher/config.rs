//! Conditions as they are written: `on`, `name` where there is one to give, and exactly one test; or `all`, `any` or `not` of other conditions.

use super::{Condition, Matcher, Pattern, Subject, Test};
use crate::{Template, choices, settings::Field};
use regex_lite::RegexBuilder;

/// The part of a request that a condition looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Header,
    Cookie,
    Query,
    Method,
    Path,
    Principal,
}

choices!(On {
    "header" => Header,
    "cookie" => Cookie,
    "query" => Query,
    "method" => Method,
    "path" => Path,
    "principal" => Principal,
});

/// The fields of a condition.
const FIELDS: [&str; 11] =
    ["on", "name", "exact", "prefix", "suffix", "regex", "template", "present", "all", "any", "not"];

/// Reads a list of conditions that must all hold; an empty list always does.
pub fn compile_all(field: &Field<'_, '_>) -> Vec<Matcher> {
    field.items().filter_map(|item| compile(&item)).collect()
}

/// As [`compile_all`], without regular expressions, which are a tenth of a module.
pub fn compile_all_plain(field: &Field<'_, '_>) -> Vec<Matcher> {
    field.items().filter_map(|item| read(&item, refused)).collect()
}

/// Reads a condition. `None` where it is refused.
pub fn compile(field: &Field<'_, '_>) -> Option<Matcher> {
    read(field, anchored)
}

/// What makes a regular expression of a text.
type ReadRegex = fn(&Field<'_, '_>, &str) -> Option<Pattern>;

#[inline(never)]
fn read(field: &Field<'_, '_>, regex: ReadRegex) -> Option<Matcher> {
    field.only(&FIELDS);
    let (on, name, all, any, not) =
        (field.get("on"), field.get("name"), field.get("all"), field.get("any"), field.get("not"));
    let tests = FIELDS.iter().skip(2).take(6).filter(|name| field.get(name).is_given()).count();
    let is_test = tests > 0 || on.is_given() || name.is_given();
    let forms = [is_test, all.is_given(), any.is_given(), not.is_object()];
    match forms.into_iter().filter(|is_given| *is_given).count() {
        1 => {}
        0 => on.refuse("must be one of header, cookie, query, method, path, principal, got nothing"),
        _ => field.refuse("must have exactly one of on, all, any, not"),
    }
    if not.is_object() {
        return read(&not, regex).map(|inner| Matcher { expected: !inner.expected, ..inner });
    }
    let is_turned = not.flag(false);
    let several = |field: &Field<'_, '_>| {
        if field.is_empty() {
            field.refuse("must hold at least one condition, got none");
        }
        field.items().filter_map(|item| read(&item, regex)).collect()
    };
    let (condition, expected) = if all.is_given() {
        (Condition::All(several(&all)), true)
    } else if any.is_given() {
        (Condition::Any(several(&any)), true)
    } else {
        let Some(part) = On::read(&on) else {
            on.refuse("must be one of header, cookie, query, method, path, principal, got nothing");
            return None;
        };
        if tests != 1 {
            let rule = "must have exactly one of exact, prefix, suffix, regex, template, present";
            field.refuse_got(rule, &tests.to_string());
        }
        let (test, expected) = test(field, part, regex)?;
        (Condition::Test(subject(&name, part)?, test), expected)
    };
    Some(Matcher { condition, expected: expected != is_turned })
}

fn subject(name: &Field<'_, '_>, on: On) -> Option<Subject> {
    let text = name.text();
    Some(match on {
        On::Header | On::Cookie | On::Query => {
            let text = text.unwrap_or_default();
            if text.is_empty() {
                name.refuse("must be given on a header, cookie or query, got nothing");
            }
            match on {
                On::Header => Subject::Header(name.header(false)?),
                On::Cookie => Subject::Cookie(text.into()),
                _ => Subject::Query(text.into()),
            }
        }
        On::Method | On::Path | On::Principal => {
            if let Some(text) = text {
                name.refuse_text("must not be given on a method, path or principal", text);
            }
            match on {
                On::Method => Subject::Method,
                On::Path => Subject::Path,
                _ => Subject::Principal,
            }
        }
    })
}

fn test(field: &Field<'_, '_>, on: On, regex: ReadRegex) -> Option<(Test, bool)> {
    let text = |name| field.get(name).text();
    if let Some(text) = text("exact") {
        return Some((Test::Exact(text.as_bytes().into()), true));
    }
    if let Some(text) = text("prefix") {
        if on != On::Path {
            return Some((Test::Prefix(text.as_bytes().into()), true));
        }
        if !text.starts_with('/') {
            field.get("prefix").refuse_text("must begin with `/` on a path", text);
        }
        return Some((Test::SegmentPrefix(text.strip_suffix('/').unwrap_or(text).as_bytes().into()), true));
    }
    if let Some(text) = text("suffix") {
        return Some((Test::Suffix(text.as_bytes().into()), true));
    }
    if let Some(text) = text("regex") {
        return Some((Test::Regex(regex(&field.get("regex"), text)?), true));
    }
    let template = field.get("template");
    if let Some(text) = template.text() {
        if on != On::Path {
            template.refuse("must stand on a path");
        }
        return match Template::parse(text) {
            Ok(template) => Some((Test::Template(template), true)),
            Err(error) => {
                template.refuse_text(&error.to_string(), text);
                None
            }
        };
    }
    Some((Test::Present, field.get("present").flag(true)))
}

fn refused(field: &Field<'_, '_>, _: &str) -> Option<Pattern> {
    field
        .refuse("must be exact, prefix, suffix, template or present: this filter has no regular expressions");
    None
}

fn anchored(field: &Field<'_, '_>, text: &str) -> Option<Pattern> {
    // The text is compiled by itself first: `a)|(b` would be balanced by the brackets that anchor it.
    let build = |text: &str| RegexBuilder::new(text).size_limit(1 << 18).build();
    match build(text).and_then(|_| build(&["^(?:", text, ")$"].concat())) {
        Ok(regex) => Some(Pattern(Box::new(move |text| regex.is_match(text)))),
        Err(error) => {
            let rule = "must be a regular expression";
            field.refuse(&[rule, ", got \"", text, "\": ", &error.to_string()].concat());
            None
        }
    }
}
