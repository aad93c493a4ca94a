//! Fields of multipart bodies: RFC 7578.

use super::note;
use crate::dispatch::Pass;
use memchr::memmem;

/// The value of a field whose `name=` stands in a `Content-Disposition`. Says whether it was one.
pub fn field(pass: &mut Pass<'_>, start: usize, end: usize) -> bool {
    const NEAR: usize = 24;
    const LONGEST_HEADERS: usize = 512;
    let before = pass.part(start.saturating_sub(NEAR), start);
    if memmem::find(before, b"form-data").is_none() {
        return false;
    }
    let quoted = usize::from(pass.at(end + 1) == b'"');
    let from = end + 1 + quoted;
    let length =
        pass.from(from).iter().take_while(|byte| !matches!(byte, b'"' | b';' | b'\r' | b'\n')).count();
    let Some(found) = super::look_up(pass, pass.part(from, from + length)) else { return true };
    // The headers of a part are few.
    let rest = pass.from(from);
    let rest = rest.get(..LONGEST_HEADERS).unwrap_or(rest);
    let (Some(body), is_crlf) = (match memmem::find(rest, b"\r\n\r\n") {
        Some(place) => (Some(place + 4), true),
        None => (memmem::find(rest, b"\n\n").map(|place| place + 2), false),
    }) else {
        return true;
    };
    let text = pass.from(from + body);
    let boundary: &[u8] = if is_crlf { b"\r\n--" } else { b"\n--" };
    let length = memmem::find(text, boundary).unwrap_or(text.len());
    note(pass, from + body, from + body + length, found, false);
    true
}
