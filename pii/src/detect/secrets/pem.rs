//! Private keys in PEM: RFC 7468.

use crate::{dispatch::Pass, entity::Entity};
use memchr::memmem;

/// A block from its BEGIN to its END, or to the end of the text where that is missing.
pub fn find(pass: &mut Pass<'_>, start: usize, _: usize) -> bool {
    const LONGEST_LABEL: usize = 64;
    let text = pass.from(start);
    let Some(rest) = text.strip_prefix(b"-----BEGIN") else { return false };
    let label = rest.get(..LONGEST_LABEL).unwrap_or(rest);
    let Some(label) = memmem::find(label, b"-----").and_then(|end| label.get(..end)) else { return false };
    if memmem::find(label, b"PRIVATE").is_none() || memmem::find(label, b"KEY").is_none() {
        return false;
    }
    let end = memmem::find(rest, b"-----END").map_or(text.len(), |place| {
        let footer = rest.get(place + 8..).unwrap_or_default();
        let footer = footer.get(..LONGEST_LABEL).unwrap_or(footer);
        let length = memmem::find(footer, b"-----").map_or(0, |end| end + 5);
        10 + place + 8 + length
    });
    pass.hit(start, start + end, Entity::PrivateKey, 100);
    pass.skip_to(start + end);
    true
}
