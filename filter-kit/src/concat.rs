//! Texts put together in little code.

/// Puts texts together. The standard library's `concat`, which this calls, is generic: each crate that calls it has all of it once more in its module.
#[inline(never)]
pub fn concat(parts: &[&str]) -> String {
    parts.concat()
}
