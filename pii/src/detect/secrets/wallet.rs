//! Addresses of Bitcoin, Ethereum and Monero.

use crate::{checksum, dispatch::Pass, entity::Entity};

/// An address that a token is.
pub fn find(pass: &mut Pass<'_>, start: usize, end: usize) -> bool {
    let token = pass.part(start, end);
    let is_wallet = match (token.first(), token.len()) {
        (Some(b'1' | b'3'), 25..=35) => checksum::base58check(token),
        (Some(b'b' | b'B'), 14..=90) => is_bech32(token),
        (Some(b'0'), 42) => is_ethereum(token),
        (Some(b'4' | b'8'), 95) => checksum::monero(token),
        _ => false,
    };
    if is_wallet {
        pass.hit(start, end, Entity::CryptoWallet, 95);
    }
    is_wallet
}

/// Whether a text is an address of any of them.
pub fn is_valid(token: &[u8]) -> bool {
    checksum::base58check(token) || is_bech32(token) || is_ethereum(token) || checksum::monero(token)
}

fn is_bech32(token: &[u8]) -> bool {
    let one_case = !token.iter().any(u8::is_ascii_uppercase) || !token.iter().any(u8::is_ascii_lowercase);
    let head = token.get(..3).unwrap_or_default();
    one_case && head.eq_ignore_ascii_case(b"bc1") && checksum::bech32(token)
}

fn is_ethereum(token: &[u8]) -> bool {
    token.strip_prefix(b"0x").is_some_and(checksum::eip55)
}
