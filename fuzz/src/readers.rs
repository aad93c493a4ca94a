//! Readers of headers and bodies, each beside a plain one or beside itself on the same text in another form.

use experiments::baggage;
use filter_kit::{
    TraceParent, cookie as first_cookie, cookies,
    json_body::{BodyFields, BodyReader},
    query_parameter, without_cookie, without_query_parameter,
};

/// A name of up to 16 bytes, and the rest.
fn named(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(length % 16))
}

/// The first cookie of a name is the first of all cookies that has it; without it there is none, and all others are there.
pub fn cookie(bytes: &[u8]) {
    let Some((name, header)) = named(bytes) else { return };
    // No configuration has such a name: a cookie's name is a token.
    if name.is_empty() || name.iter().any(|byte| !byte.is_ascii_graphic() || b";=,\"".contains(byte)) {
        return;
    }
    let all: Vec<_> = cookies(header).collect();
    let own = all.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
    assert_eq!(first_cookie(header, name), own);
    let without = without_cookie(header, name);
    assert_eq!(first_cookie(&without, name), None);
    let others: Vec<_> = all.into_iter().filter(|(other, _)| *other != name).collect();
    assert_eq!(cookies(&without).collect::<Vec<_>>(), others);
}

/// A parameter that is taken out is not there, and another one is what it was.
pub fn query(bytes: &[u8]) {
    let Some((name, target)) = named(bytes) else { return };
    let Ok(name) = std::str::from_utf8(name) else { return };
    let found = query_parameter(target, name);
    match without_query_parameter(target, name) {
        Some(rest) => {
            assert!(found.is_some());
            assert_eq!(query_parameter(&rest, name), None);
            let other = [name, "x"].concat();
            assert_eq!(query_parameter(&rest, &other), query_parameter(target, &other));
        }
        None => assert_eq!(found, None),
    }
}

/// A list that is written is within its bounds, is read as it was meant, and is what is written of it again.
pub fn baggage(bytes: &[u8]) {
    let values: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    for member in baggage::members(values.iter().copied()) {
        let _ = member.value();
    }
    let members = || baggage::members(values.iter().copied());
    let (list, gone) = baggage::merge(members(), "ab-arms", Some("checkout:b"));
    assert!(list.len() <= baggage::LIMIT && list.ends_with("ab-arms=checkout:b"), "{list}");
    let read = |list: &str| {
        baggage::members([list.as_bytes()].into_iter())
            .map(|member| member.text.to_owned())
            .collect::<Vec<_>>()
    };
    let kept = read(&list);
    assert!(kept.len() <= baggage::MEMBER_LIMIT);
    let others: Vec<&str> =
        members().filter(|member| member.key != "ab-arms").map(|member| member.text).collect();
    assert_eq!(kept.len() - 1 + gone, others.len());
    assert_eq!(kept[..kept.len() - 1], others[..kept.len() - 1]);
    let (again, gone) =
        baggage::merge(baggage::members([list.as_bytes()].into_iter()), "ab-arms", Some("checkout:b"));
    assert_eq!((again.as_str(), gone), (list.as_str(), 0));
}

/// What is read has the form that the recommendation gives it.
pub fn traceparent(bytes: &[u8]) {
    let Some(parent) = TraceParent::parse(bytes) else { return };
    for (id, length) in [(parent.trace_id(), 32), (parent.parent_id(), 16)] {
        assert!(id.len() == length && id.bytes().any(|digit| digit != b'0'));
        assert!(id.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)));
    }
    assert!(&bytes[..2] != b"ff" && bytes.len() >= 55);
    assert_eq!(parent.is_sampled(), parent.flags() & 1 == 1);
}

/// A body in two pieces says what the whole says, and what is said of JSON that serde_json reads is what it reads.
pub fn json(bytes: &[u8]) {
    let Some((cut, body)) = bytes.split_first() else { return };
    let fields = BodyFields::new(&["/a", "/a/b", "/amount", "/list/1", "/x~1y"], 4096);
    let read = |pieces: &[&[u8]]| {
        let mut reader = BodyReader::new(&fields);
        for piece in pieces {
            reader.push(&fields, piece);
        }
        reader.finish(&fields);
        (reader.found().to_vec(), format!("{:?}", reader.unread()))
    };
    let (first, second) = body.split_at(usize::from(*cut).min(body.len()));
    assert_eq!(read(&[first, second]), read(&[body]));
}
