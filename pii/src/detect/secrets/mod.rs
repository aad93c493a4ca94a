//! What lets its holder in.

pub mod families;
pub mod jwt;
pub mod pem;
pub mod tokens;
pub mod url;
pub mod wallet;

use crate::dispatch::Pass;

/// Looks for a secret that begins with a token. The first characters of most tokens rule out all of them.
#[inline]
pub fn find(pass: &mut Pass<'_>, start: usize, end: usize) {
    let three = [pass.at(start), pass.at(start + 1), pass.at(start + 2)];
    let is_found = match three {
        [b'-', b'-', _] => pem::find(pass, start, end),
        [b'e', b'y' | b'w', _] => jwt::find(pass, start, end),
        [b'0' | b'1' | b'3' | b'4' | b'8' | b'b' | b'B', ..] => wallet::find(pass, start, end),
        _ => false,
    };
    if !is_found {
        tokens::find(pass, start, end, families::may_begin(three));
    }
}
