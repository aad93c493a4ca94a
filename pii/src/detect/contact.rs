//! Email addresses.

use crate::{dispatch::Pass, entity::Entity};

/// RFC 5321, section 4.5.3.1.
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 255;
const LONGEST_LABEL: usize = 63;

/// Ends of file names, which are no top-level domains: `logo@2x.png` is no address.
const FILES: [&[u8]; 18] = [
    b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"avif", b"js", b"mjs", b"css", b"html", b"htm",
    b"json", b"xml", b"ico", b"map", b"woff", b"pdf",
];

/// The address around the `@` at a place.
pub fn email(pass: &mut Pass<'_>, at: usize) {
    let is_local = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                0x80..|b'.'| b'_'
                    | b'+'
                    | b'-'
                    | b'\''
                    | b'~'
                    | b'!'
                    | b'#'
                    | b'$'
                    | b'^'
                    | b'*'
                    | b'|'
                    | b'`'
                    | b'{'
                    | b'}'
            )
    };
    let head = pass.part(at.saturating_sub(LONGEST_LOCAL + 1), at);
    let local = head.iter().rev().take_while(|byte| is_local(byte)).count();
    let mut start = at - local;
    // Dots and quotes at the front are the sentence's.
    while start < at && matches!(pass.at(start), b'.' | b'\'' | b'`' | b'*' | b'{' | b'|' | b'-' | b'+') {
        start += 1;
    }
    if start == at || at - start > LONGEST_LOCAL || pass.before(at) == b'.' {
        return;
    }
    let Some(length) = domain(pass.from(at + 1)) else { return };
    pass.hit(start, at + 1 + length, Entity::Email, 90);
}

/// The length of a domain at the front of a text, if it has two labels or more and a top-level domain of letters or `xn--`.
fn domain(text: &[u8]) -> Option<usize> {
    let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte >= 0x80;
    let text = text.get(..LONGEST_DOMAIN).unwrap_or(text);
    let (mut end, mut good) = (0, None);
    let mut labels = 0;
    loop {
        let rest = text.get(end..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| is_label(byte)).count();
        let label = rest.get(..length).unwrap_or_default();
        let trimmed =
            if text.get(end + length) == Some(&b'.') { length } else { label.trim_ascii_end().len() };
        if length == 0 || length > LONGEST_LABEL || label.starts_with(b"-") || trimmed == 0 {
            break;
        }
        labels += 1;
        end += length;
        let is_top = label.len() >= 2 && label.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80)
            || label.len() > 4 && label.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"xn--"));
        if labels >= 2 && is_top {
            good = Some((end, FILES.iter().any(|file| file.eq_ignore_ascii_case(label))));
        }
        if text.get(end) != Some(&b'.') {
            break;
        }
        end += 1;
    }
    good.filter(|(_, is_file)| !is_file).map(|(end, _)| end)
}
