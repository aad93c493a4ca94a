//! What lets its holder in.

pub mod families;
pub mod jwt;
pub mod pem;
pub mod tokens;
pub mod url;
pub mod wallet;

use crate::dispatch::Pass;

/// Looks for a secret that begins with a token.
pub fn find(pass: &mut Pass<'_>, start: usize, end: usize) {
    if pass.at(start) == b'-' && pem::find(pass, start, end) {
        return;
    }
    if jwt::find(pass, start, end) || wallet::find(pass, start, end) {
        return;
    }
    tokens::find(pass, start, end);
}
