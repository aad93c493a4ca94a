//! One pass over a text: 64 bytes at a time are classified at once, a run of letters, digits, `-` and `_` is a token, and a token's looks say which
//! detectors are worth calling. Most tokens call none.

use crate::{
    Engine, Finding,
    classify::{self, Block, Chains, Reach, Tokens, UUID, run},
    context, decode,
    detect::{contact, network, number, secrets},
    entity::{Entity, Set},
    span::{self, header, json},
};
use says::{DOT, GAP, KEY, QUOTE, RUN, SPACE, says};

mod looks;
mod says;

/// The fewest characters of base64 that are tried: those of four bytes.
const SHORTEST_BASE64: usize = 6;

/// For how many findings there is room from the first on: a text with an escape has most of them twice before they are put in order, and
/// more room costs more than this.
const ROOM: usize = 16;

/// Whether a byte is a part of a token.
#[inline]
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || byte >= 0x80
}

/// The byte of a text at a place; 0 beyond its end.
#[inline]
fn at(text: &[u8], place: usize) -> u8 {
    text.get(place).copied().unwrap_or(0)
}

/// A token, and which of its bytes are what: a bit for each of the first 64.
#[derive(Clone, Copy)]
struct Token {
    start: usize,
    end: usize,
    letters: u64,
    digits: u64,
    high: u64,
}

impl Token {
    /// The token of a block that begins at a place, from one bit on and before another.
    fn of(block: &Block, base: usize, at: u32, end: u32) -> Self {
        let seen = (1_u64 << (end - at)) - 1;
        Self {
            start: base + at as usize,
            end: base + end as usize,
            letters: block.letters >> at & seen,
            digits: block.digits >> at & seen,
            high: block.high >> at & seen,
        }
    }
}

/// A pass over a text: its own or one that was decoded from it.
pub struct Pass<'a> {
    pub engine: &'a Engine,
    pub text: &'a [u8],
    /// What the name of the field says of the whole text.
    pub given: Set,
    /// How many layers of base64 may still be undone; `None` in a text that is gone through once more with its escapes undone.
    pub layers: Option<u8>,
    pub hits: &'a mut Vec<Finding>,
    /// Tokens that begin before this place belong to something that was found.
    until: usize,
    /// Numbers that begin before this place belong to one that was found.
    number_until: usize,
    /// Runs of base64 that begin before this place were tried.
    base64_until: usize,
    /// What the neighbourhood of the place that was asked for last speaks of.
    near: Option<(usize, Set)>,
    chains: Chains,
}

impl<'a> Pass<'a> {
    pub fn new(
        engine: &'a Engine,
        text: &'a [u8],
        given: Set,
        layers: Option<u8>,
        hits: &'a mut Vec<Finding>,
    ) -> Self {
        Self {
            engine,
            text,
            given,
            layers,
            hits,
            until: 0,
            number_until: 0,
            base64_until: 0,
            near: None,
            chains: Chains::NONE,
        }
    }

    /// The byte at a place; 0 beyond the ends.
    #[inline]
    pub fn at(&self, place: usize) -> u8 {
        at(self.text, place)
    }

    /// The byte before a place; 0 at the beginning.
    #[inline]
    pub fn before(&self, place: usize) -> u8 {
        place.checked_sub(1).map_or(0, |place| self.at(place))
    }

    /// The text from a place on.
    #[inline]
    pub fn from(&self, place: usize) -> &'a [u8] {
        self.text.get(place..).unwrap_or_default()
    }

    /// A part of the text.
    #[inline]
    pub fn part(&self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// What the words around a place speak of, and the field's name.
    pub fn near(&mut self, start: usize, end: usize) -> Set {
        if let Some((place, near)) = self.near
            && place == start
        {
            return near;
        }
        let near = context::around(self, start, end);
        self.near = Some((start, near));
        near
    }

    /// The same, if it is known already.
    #[inline]
    pub fn known_near(&self, start: usize) -> Option<Set> {
        self.near.filter(|(place, _)| *place == start).map(|(_, near)| near)
    }

    /// How far a number may reach that begins at a place.
    #[inline]
    pub fn reach(&mut self, start: usize) -> Reach {
        self.chains.reach(self.text, start)
    }

    /// Notes something found by its shape.
    pub fn hit(&mut self, start: usize, end: usize, entity: Entity, confidence: u8) {
        self.note(start, end, entity, confidence, false, false);
    }

    /// Notes something found by its field's name; what is in it is looked at no more.
    pub fn key_hit(&mut self, start: usize, end: usize, entity: Entity, bare: bool) {
        self.note(start, end, entity, 100, true, bare);
        self.skip_to(end);
    }

    fn note(&mut self, start: usize, end: usize, entity: Entity, confidence: u8, by_key: bool, bare: bool) {
        if self.engine.finds(entity) && start < end {
            if self.hits.capacity() == 0 {
                self.hits.reserve(ROOM);
            }
            self.hits.push(Finding { start, end, entity, confidence, by_key, bare, value: None });
        }
    }

    /// What lies before a place belongs to something that was found.
    #[inline]
    pub fn skip_to(&mut self, place: usize) {
        self.until = self.until.max(place);
    }

    /// Numbers before a place belong to one that was found.
    pub fn skip_numbers_to(&mut self, place: usize) {
        self.number_until = self.number_until.max(place);
    }

    /// Goes through the text.
    #[inline]
    pub fn run(self) {
        self.blocks::<false>();
    }

    /// Goes through the text, and if `ALL` is said through each token of it.
    #[inline]
    fn blocks<const ALL: bool>(mut self) {
        let mut place = 0;
        while place < self.text.len() {
            place = self.block::<ALL>(place);
        }
    }

    /// Goes through the block that begins at a place. Says where the next begins: at the token that goes beyond this one, if one does.
    #[inline]
    fn block<const ALL: bool>(&mut self, base: usize) -> usize {
        let tokens = Tokens::of(self.text, base);
        if tokens.length == 0 {
            return self.long(base);
        }
        let (text, engine) = (self.text, self.engine);
        let mut rest = tokens.ends | tokens.marks;
        let mut until = base;
        loop {
            if !ALL {
                rest = tokens.next(text, engine.keys(), base, rest);
            }
            if rest == 0 {
                break;
            }
            let end = rest.trailing_zeros();
            if tokens.marks >> end & 1 != 0 {
                self.mark(base + end as usize - 1);
            } else {
                let at = tokens.start(end);
                let start = base + at as usize;
                if start >= self.until && tokens.rows >> end & 1 != 0 {
                    self.row(start, base + end as usize);
                } else if start >= self.until {
                    self.other(&tokens.block, base, at, end);
                }
            }
            rest &= rest - 1;
            if self.until > until {
                // What ends before this place is a part of something that was found.
                until = self.until;
                let found = u32::try_from(until.saturating_sub(base)).unwrap_or(u32::MAX);
                rest &= u64::MAX.checked_shl(found).unwrap_or(0) | tokens.marks;
            }
        }
        base + tokens.length as usize
    }

    /// A token of digits: all that [`token`](Self::token) does for one.
    #[inline(never)]
    fn row(&mut self, start: usize, end: usize) {
        let next = self.at(end);
        let length = end - start;
        if start >= self.number_until {
            if number::ROWS.contains(&length) && says(next) & GAP == 0 && self.before(start) != b'.' {
                if !number::is_none(self, start, length) {
                    number::alone(self, start, length);
                }
            } else {
                self.number(start, length, length);
            }
        }
        // A few digits are no secret, no base64 and no name.
        if length <= 3 && next != b':' {
            return;
        }
        if length >= 16 || length >= 14 && next == b'.' {
            secrets::find(self, start, end);
        }
        if (length >= SHORTEST_BASE64 || length >= 4 && says(next) & RUN != 0)
            && looks::may_be_base64(self.text, start)
        {
            self.base64(start, end);
        }
        if next == b':' && length <= 4 && self.before(start) != b':' {
            network::colons(self, start, end);
        }
    }

    /// What is no token and may be of interest all the same.
    #[inline(never)]
    fn mark(&mut self, place: usize) {
        match self.at(place) {
            b'@' if place >= self.until => contact::email(self, place),
            b':' if self.at(place + 1) == b':' && !is_token(self.before(place)) => network::ipv6(self, place),
            _ => {}
        }
    }

    /// A token of 64 bytes or more. Says where it ends.
    #[inline(never)]
    fn long(&mut self, start: usize) -> usize {
        let mut token = Token { start, end: start, letters: 0, digits: 0, high: 0 };
        loop {
            let Tokens { block, .. } = Tokens::of(self.text, token.end);
            let length = run(block.tokens, 0);
            let seen = if length < Block::LENGTH { (1 << length) - 1 } else { u64::MAX };
            token.letters |= block.letters & seen;
            token.digits |= block.digits & seen;
            token.high |= block.high & seen;
            token.end += length;
            if length < Block::LENGTH {
                break;
            }
        }
        if start >= self.until {
            self.token(token);
        }
        token.end
    }

    /// A word before a quote or a space.
    #[inline]
    fn spaced(&mut self, start: usize, end: usize, next: u8) {
        if next == b' ' || next == b'+' {
            header::scheme(self, start, end);
        } else if json::may_follow(self.at(end + 1)) {
            json::member(self, end, next);
        }
    }

    /// A token of a block that is no row of digits.
    #[inline(never)]
    fn other(&mut self, block: &Block, base: usize, at: u32, end: u32) {
        self.token(Token::of(block, base, at, end));
    }

    /// What is no row of digits.
    #[expect(clippy::inline_always, reason = "its parts stay in registers")]
    #[inline(always)]
    fn token(&mut self, token: Token) {
        let Token { start, end, letters, digits, high } = token;
        let length = end - start;
        let (first, next) = (self.at(start), self.at(end));
        let says = says(next);
        if digits != 0 {
            self.words(token);
        } else if length <= 2
            && letters != 0
            // A firm's number in Brazil may begin with groups of letters: `AB.CDE.FGH/0001-95`.
            && (self.at(end + 1).is_ascii_digit() || next == b'.' && self.at(end + 4) == b'.')
        {
            self.number(start, run(letters, 0), 0);
        }
        // No short token before a dot begins with a digit.
        if length >= 16
            || says & DOT != 0 && (digits & 1 == 0 || length >= 14)
            || length >= 10 && first == b'-'
        {
            secrets::find(self, start, end);
        }
        let may_be_long = length >= SHORTEST_BASE64 || length >= 4 && says & RUN != 0;
        if may_be_long && letters | digits != 0 && looks::may_be_base64(self.text, start) {
            self.base64(start, end);
        }
        if says & KEY != 0 {
            if next == b':' && length <= 4 && self.before(start) != b':' {
                network::colons(self, start, end);
            }
            if letters | high != 0 {
                span::named(self, start, end, next);
            }
        } else if says & (QUOTE | SPACE) != 0 && letters | high != 0 {
            self.spaced(start, end, next);
        }
    }

    /// The words of a token with digits, each of which may begin a number.
    #[inline]
    fn words(&mut self, token: Token) {
        let Token { start, end, .. } = token;
        if end - start >= Block::LENGTH {
            return self.long_words(start, end);
        }
        if end - start == UUID && classify::is_uuid(self.part(start, end)) {
            return;
        }
        let plain = token.letters | token.digits;
        let words = plain | token.high;
        let mut begins = words & !(words << 1);
        while begins != 0 {
            let at = begins.trailing_zeros() as usize;
            begins &= begins - 1;
            if start + at >= self.number_until {
                self.number(start + at, run(plain, at), run(token.digits, at));
            }
        }
    }

    /// Looks for a number that begins with a word of so many letters and digits, of which the first are so many digits.
    #[inline]
    fn number(&mut self, start: usize, word: usize, row: usize) {
        let end = start + word;
        if number::begins(word, self.at(end), self.at(end + 1)) && !number::is_decimals(self, start, row) {
            number::find(self, start, row);
        }
    }

    /// Looks for a number that begins at a place.
    pub fn number_at(&mut self, start: usize) {
        let word = self.from(start).iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let row = self.from(start).iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.number(start, word, row);
    }

    /// The words of a token that is longer than a block.
    #[inline(never)]
    fn long_words(&mut self, start: usize, end: usize) {
        let mut before = b'-';
        for place in start..end {
            let byte = self.at(place);
            let begins = matches!(before, b'-' | b'_') && !matches!(byte, b'-' | b'_');
            if begins && place >= self.number_until {
                self.number_at(place);
            }
            before = byte;
        }
    }

    /// Tries the run of base64 that begins with a token: with its `+` and `/`, or else the token alone.
    #[inline(never)]
    fn base64(&mut self, start: usize, end: usize) {
        // Most words that are no base64 are known by their first few bytes, the others mostly by some more.
        let text = self.part(start, end);
        let begins =
            self.layers.is_some() && text.first_chunk().is_some_and(|first| decode::begins_as_text(*first));
        let goes_on = || {
            let groups = text.as_chunks().0;
            groups.iter().take(decode::CERTAIN_GROUPS).skip(1).all(|group| decode::may_be_text(*group))
        };
        if begins && goes_on() && start >= self.base64_until {
            self.base64_run(start, end);
        }
    }

    #[inline(never)]
    fn base64_run(&mut self, start: usize, end: usize) {
        let run_end = if matches!(self.at(end), b'+' | b'/') {
            let is_run = |byte: &u8| *byte < 0x80 && (is_token(*byte) || matches!(byte, b'+' | b'/'));
            end + self.from(end).iter().position(|byte| !is_run(byte)).unwrap_or(self.text.len() - end)
        } else {
            end
        };
        for (turn, end) in [run_end, end].into_iter().enumerate() {
            if (turn == 0 || end < run_end)
                && end - start >= SHORTEST_BASE64
                && let Some(read) = self.engine.base64(self, start, end)
            {
                self.base64_until = read;
                return;
            }
        }
    }
}
