//! How the tokens of a block look, and which of them are known by that to be nothing.

use super::{
    SHORTEST_BASE64, at,
    says::{COLON, DOT, FIRST, GAP, KEY, QUOTE, RUN, SPACE, says},
};
use crate::{
    classify::Tokens,
    decode,
    detect::number,
    key::Keys,
    span::{header, json},
};

impl Tokens {
    /// Passes over the tokens in which no detector can find anything, and for which [`row`](super::Pass::row) and [`token`](super::Pass::token) would
    /// do nothing: most are known by their length, their first letters and their last, and the byte behind them. Of the ends and marks that are
    /// left, says those from the first on that may be more.
    ///
    /// In V8 a call empties the registers. So this is a function of its own there, and calls none.
    #[cfg_attr(target_family = "wasm", inline(never))]
    #[cfg_attr(not(target_family = "wasm"), inline)]
    pub fn next(&self, text: &[u8], keys: &Keys, base: usize, mut rest: u64) -> u64 {
        let mut starts = from_before(self.starts, rest.trailing_zeros());
        while rest != 0 {
            let bit = rest & rest.wrapping_neg();
            let start = base + starts.trailing_zeros() as usize;
            let end = base + bit.trailing_zeros() as usize;
            let is_nothing = if self.words & bit != 0 {
                self.is_mere_word(text, keys, bit, start, end)
            } else {
                self.shorts & bit != 0 && self.is_mere_short(text, keys, bit, start, end)
            };
            if !is_nothing {
                break;
            }
            rest ^= bit;
            starts &= starts.wrapping_sub(1);
        }
        rest
    }

    /// Where the token begins that ends at a place.
    pub fn start(&self, end: u32) -> u32 {
        from_before(self.starts, end).trailing_zeros()
    }

    #[expect(
        clippy::inline_always,
        reason = "the body of the loop, which modules' low threshold of inlining would leave out of it"
    )]
    #[inline(always)]
    fn is_mere_word(&self, text: &[u8], keys: &Keys, bit: u64, start: usize, end: usize) -> bool {
        const { assert!(SHORTEST_BASE64 == 6, "those of the shortest base64 have a mask") };
        let next = at(text, end);
        let says = says(next);
        if self.sixes & bit != 0 || says & RUN != 0 {
            if is_maybe_base64(text, start) {
                return false;
            }
            // What a segment of a path may be the name of, begins with a slash too.
            if says & (RUN | SPACE) == RUN && at(text, start.wrapping_sub(1)) != b'/' {
                return true;
            }
        }
        if says & (DOT | COLON | QUOTE | SPACE) == 0 {
            if says & KEY == 0 {
                return true;
            }
        } else if says & (DOT | COLON) != 0 {
            return false;
        } else if says & SPACE != 0 {
            return !header::may_be_scheme(end - start, at(text, start));
        } else if !json::may_follow(at(text, end + 1)) {
            return true;
        }
        let four = text.get(end.wrapping_sub(4)..end).and_then(<[u8]>::first_chunk);
        four.is_some_and(|four| !keys.may_end(*four))
    }

    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn is_mere_short(&self, text: &[u8], keys: &Keys, bit: u64, start: usize, end: usize) -> bool {
        let next = at(text, end);
        let says = says(next);
        let is_row = self.rows & bit != 0;
        if says & COLON != 0
            || !is_row && (says & DOT != 0 || says & QUOTE != 0 && json::may_follow(at(text, end + 1)))
            || says & GAP != 0 && number::begins(0, next, at(text, end + 1))
        {
            return false;
        }
        if is_row || says & KEY == 0 {
            return true;
        }
        let four = text.get(start..).and_then(<[u8]>::first_chunk);
        next == b'/' && at(text, start.wrapping_sub(1)) != b'/'
            || four.is_some_and(|four| !keys.may_be_short(*four, end - start))
    }
}

/// Some places from the last one before another on.
#[inline]
fn from_before(places: u64, place: u32) -> u64 {
    let before = places & !(u64::MAX << (place % u64::BITS));
    places & u64::MAX << (before | 1).ilog2()
}

/// Whether a token may be base64, by its first bytes; most words are none.
#[inline(never)]
pub fn may_be_base64(text: &[u8], start: usize) -> bool {
    is_maybe_base64(text, start)
}

#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn is_maybe_base64(text: &[u8], start: usize) -> bool {
    says(at(text, start)) & FIRST != 0 && decode::may_begin_as_text(text.get(start..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::Pass;
    use crate::{Engine, Finding, entity::Set};

    fn found(engine: &Engine, text: &str, all: bool) -> Vec<Finding> {
        let mut hits = Vec::new();
        let pass = Pass::new(engine, text.as_bytes(), Set::EMPTY, Some(3), &mut hits);
        if all {
            pass.blocks::<true>();
        } else {
            pass.blocks::<false>();
        }
        hits
    }

    #[test]
    fn what_is_left_out_would_be_nothing() {
        let engine = Engine::default();
        let short = (b'0'..=b'z').filter(u8::is_ascii_alphanumeric).map(char::from);
        let short = short.flat_map(|first| {
            ["", "b", "7", "bc", "b7", "7c", "77", "_", "B"].map(|rest| format!("{first}{rest}"))
        });
        let mut tokens: Vec<String> = short.collect();
        for name in engine.keys().names().chain([
            "Bearer",
            "basic",
            "cate",
            "d2l0aA",
            "amNmQGlxLmNvbQ",
            "am9lQGV4YW1wbGUuY29t",
        ]) {
            let upper = name.to_uppercase();
            tokens.extend([name, upper.as_str()].map(ToOwned::to_owned));
            tokens.extend(["x_", "my-", "x"].map(|lead| format!("{lead}{name}")));
        }
        let behind = [
            "4111111111111111",
            "joe-7",
            "52.520008,13.404954",
            "AB.CDE.FGH/0001-95",
            ": \"x7\"",
            "abcdefgh=",
            "",
            "&",
        ];
        let mut count = 0;
        for token in &tokens {
            for (next, value) in (0..=0x7f).map(char::from).flat_map(|next| behind.map(|value| (next, value)))
            {
                for before in ["", "/", "\"", "."] {
                    let text = format!("{before}{token}{next}{value}");
                    let all = found(&engine, &text, true);
                    count += usize::from(!all.is_empty());
                    assert_eq!(found(&engine, &text, false), all, "{text}");
                }
            }
        }
        assert!(count > 100_000, "{count}");
    }
}
