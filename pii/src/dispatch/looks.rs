//! How the tokens of a block look, and which of them are known by that to be nothing.

use super::{
    SHORTEST_BASE64,
    says::{COLON, DOT, FIRST, GAP, KEY, QUOTE, RUN, SPACE, says},
};
use crate::{
    classify::Block,
    decode,
    detect::number,
    key::Keys,
    span::{header, json},
};

/// The tokens of a block. Where nothing else is said, a bit stands for the token before it.
pub struct Looks<'a> {
    text: &'a [u8],
    keys: &'a Keys,
    /// Where the block begins.
    base: usize,
    /// The first bytes of tokens.
    pub starts: u64,
    pub ends: u64,
    /// Tokens of nothing but digits.
    pub rows: u64,
    /// Tokens of 4 to 15 bytes without a digit, that begin with a letter.
    words: u64,
    /// Tokens of 1 to 3 letters and digits.
    shorts: u64,
    /// Tokens of 6 bytes or more.
    sixes: u64,
}

impl<'a> Looks<'a> {
    #[inline]
    pub fn of(text: &'a [u8], keys: &'a Keys, base: usize, block: &Block, tokens: u64) -> Self {
        const { assert!(SHORTEST_BASE64 == 6, "those of the shortest base64 have a mask") };
        let (starts, ends) = (tokens & !(tokens << 1), !tokens & tokens << 1);
        // Where so many parts of a token end.
        let two = tokens & tokens << 1;
        let four = two & two << 2;
        let eight = four & four << 4;
        let sixteen = eight & eight << 8;
        // A carry goes from any of these through the rest of the token, and stands behind it.
        let with = |these: u64| tokens + (tokens & these);
        Self {
            text,
            keys,
            base,
            starts,
            ends,
            rows: !with(!block.digits),
            words: !(with(block.digits | starts & !block.letters) | !(four << 1) | sixteen << 1),
            shorts: ends & !(with(!(block.letters | block.digits)) | four << 1),
            sixes: (four & two << 4) << 1,
        }
    }

    /// Whether no detector can find anything in a token: [`row`](super::Pass::row) and [`token`](super::Pass::token) would do nothing. Most tokens
    /// are known by their length, their first letters and their last, and the byte behind them.
    #[expect(
        clippy::inline_always,
        reason = "the body of the loop, which modules' low threshold of inlining would leave out of it"
    )]
    #[inline(always)]
    pub fn is_nothing(&self, end: u32) -> bool {
        if self.words >> end & 1 != 0 {
            self.is_mere_word(end)
        } else {
            self.shorts >> end & 1 != 0 && self.is_mere_short(end)
        }
    }

    #[inline]
    fn at(&self, place: usize) -> u8 {
        self.text.get(place).copied().unwrap_or(0)
    }

    /// Where a token begins.
    #[inline]
    fn start(&self, end: u32) -> usize {
        self.base + last_before(self.starts, end) as usize
    }

    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn is_mere_word(&self, end: u32) -> bool {
        let stop = self.base + end as usize;
        let next = self.at(stop);
        let says = says(next);
        if self.sixes >> end & 1 != 0 || says & RUN != 0 {
            let start = self.start(end);
            if may_be_base64(self.text, start) {
                return false;
            }
            // What a segment of a path may be the name of, begins with a slash too.
            if says & (RUN | SPACE) == RUN && self.at(start.wrapping_sub(1)) != b'/' {
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
            let start = self.start(end);
            return !header::may_be_scheme(stop - start, self.at(start));
        } else if !json::may_follow(self.at(stop + 1)) {
            return true;
        }
        let four = self.text.get(stop.wrapping_sub(4)..stop).and_then(<[u8]>::first_chunk);
        four.is_some_and(|four| !self.keys.may_end(*four))
    }

    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn is_mere_short(&self, end: u32) -> bool {
        let stop = self.base + end as usize;
        let next = self.at(stop);
        let says = says(next);
        let is_row = self.rows >> end & 1 != 0;
        if says & COLON != 0
            || !is_row && (says & DOT != 0 || says & QUOTE != 0 && json::may_follow(self.at(stop + 1)))
            || says & GAP != 0 && number::begins(0, next, self.at(stop + 1))
        {
            return false;
        }
        if is_row || says & KEY == 0 {
            return true;
        }
        let start = self.start(end);
        next == b'/' && self.at(start.wrapping_sub(1)) != b'/'
            || !self.keys.may_know(self.text.get(start..stop).unwrap_or_default())
    }
}

/// The last of some places before another one that is not the first; there is one.
#[inline]
pub fn last_before(places: u64, place: u32) -> u32 {
    place.wrapping_sub(1 + (places << ((64 - place) & 63)).leading_zeros())
}

/// Whether a token may be base64, by its first bytes; most words are none.
#[inline]
pub fn may_be_base64(text: &[u8], start: usize) -> bool {
    text.get(start).is_some_and(|first| says(*first) & FIRST != 0)
        && text.get(start..).is_some_and(decode::may_begin_as_text)
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
