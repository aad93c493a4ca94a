//! What a segment of a path is: a word of the route, or a value of some kind.
//!
//! A pure function of the segment, and of whether it stands below a word that names people. In case of doubt it is a value: a label is for
//! everyone to read, and is kept.

mod words;

use words::{ACTIONS, DOCUMENTS, MIXED, PAGES, PEOPLE};

/// The longest segment that is looked at, in bytes.
pub(super) const LENGTH_LIMIT: usize = 80;

/// The longest word without a dot, and with one.
const WORD_LIMIT: usize = 40;
const DOTTED_LIMIT: usize = 64;

/// From so many words on, joined by `-` or `_`, they are a title.
const TITLE: usize = 5;

/// The kind of a segment that is no word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{number}`: digits, with or without what separates them, so numbers of telephones too: `4711`, `-3.5`, `1,2,3`, `3.6.0`, `+49-170-1234567`.
    Number,
    /// `{date}`: `2026-11-25`, `2026-11`, `25.11.2026`, `2026-11-25T10:00:00Z`, `20261125T100000Z`, `10:30`.
    Date,
    /// `{uuid}`: `123e4567-e89b-12d3-a456-426614174000`.
    Uuid,
    /// `{hash}`: at least 6 hexadecimal digits, letters and numerals, or 16 of any; also `sha256:` and such.
    Hash,
    /// `{id}`: what mixes letters and digits (ULID, base58, `cus_NffrFeUfNV2Hib`, `web-7d9f8b6c4-x2x9z`), looks drawn by lot, begins with `@` or
    /// `~`, or stands below `users` and the like.
    Id,
    /// `{email}`: with `@` or `%40`.
    Email,
    /// `{ip}`: an address of IPv4 or IPv6, or of a network card.
    Ip,
    /// `{slug}`: words with numbers (`red-shoe-48213`, `order_2024_991`), or at least 5 words.
    Slug,
    /// `{file}`: a document or a picture, or a page, script or the like with a version, a number or a hash in its name.
    File,
    /// `{text}`: whatever else: escapes, other characters than of words, more than 40 bytes.
    Text,
}

/// All kinds.
const KINDS: [Kind; 10] = [
    Kind::Number,
    Kind::Date,
    Kind::Uuid,
    Kind::Hash,
    Kind::Id,
    Kind::Email,
    Kind::Ip,
    Kind::Slug,
    Kind::File,
    Kind::Text,
];

impl Kind {
    /// What stands in a label for a segment of this kind.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Number => "{number}",
            Self::Date => "{date}",
            Self::Uuid => "{uuid}",
            Self::Hash => "{hash}",
            Self::Id => "{id}",
            Self::Email => "{email}",
            Self::Ip => "{ip}",
            Self::Slug => "{slug}",
            Self::File => "{file}",
            Self::Text => "{text}",
        }
    }

    /// The [`hash`] of the text.
    pub(super) const fn hash(self) -> u32 {
        const HASHES: [u32; KINDS.len()] = {
            let mut hashes = [0; KINDS.len()];
            let (mut kinds, mut places): (&[Kind], &mut [u32]) = (&KINDS, &mut hashes);
            while let ([kind, more @ ..], [place, others @ ..]) = (kinds, places) {
                *place = hash(kind.text().as_bytes());
                (kinds, places) = (more, others);
            }
            hashes
        };
        let [number, date, uuid, hash, id, email, ip, slug, file, text] = HASHES;
        match self {
            Self::Number => number,
            Self::Date => date,
            Self::Uuid => uuid,
            Self::Hash => hash,
            Self::Id => id,
            Self::Email => email,
            Self::Ip => ip,
            Self::Slug => slug,
            Self::File => file,
            Self::Text => text,
        }
    }
}

/// FNV-1a, 32 bits: where to begin, and one byte more.
pub(super) const SEED: u32 = 0x811c_9dc5;

pub(super) const fn step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

pub(super) const fn hash(mut text: &[u8]) -> u32 {
    let mut hash = SEED;
    while let [byte, rest @ ..] = text {
        hash = step(hash, *byte);
        text = rest;
    }
    hash
}

/// Whether what stands below this word is somebody's, unless it is a well-known word itself.
pub(super) fn names_people(word: &[u8]) -> bool {
    is_among(word, PEOPLE)
}

/// The kind of a segment, which is not empty; `None` of a word: ASCII letters and digits with `-`, `_`, `.`, `~`, `:` and `$`. `is_below_people` is
/// whether it stands below a word such as `users`, where other words than `search` and the like are [`Kind::Id`].
pub fn of(segment: &[u8], is_below_people: bool) -> Option<Kind> {
    if segment.len() > LENGTH_LIMIT {
        return Some(Kind::Text);
    }
    if segment.first() == Some(&b'{') {
        // What is a label already stays one.
        let own = KINDS.iter().find(|kind| kind.text().as_bytes() == segment);
        return Some(own.copied().unwrap_or(Kind::Text));
    }
    // What a redacted path has in a value's place: its type in brackets, a mask, or a token.
    if segment == b"[EMAIL]" {
        return Some(Kind::Email);
    }
    if segment.first() == Some(&b'[')
        || segment.contains(&b'*') && segment.len() > 1
        || segment.starts_with(b"t1:")
    {
        return Some(Kind::Id);
    }
    let kind = shape(segment);
    if kind.is_none() && is_below_people && !is_among(segment, ACTIONS) { Some(Kind::Id) } else { kind }
}

/// The kind by the form alone.
fn shape(segment: &[u8]) -> Option<Kind> {
    let (mut letters, mut digits, mut dots, mut others) = (false, false, false, false);
    for &byte in segment {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => letters = true,
            b'0'..=b'9' => digits = true,
            b'.' => dots = true,
            b'-' | b'_' | b'~' => {}
            _ => others = true,
        }
    }
    if others {
        return other(segment, letters);
    }
    if !letters && !digits {
        return if matches!(segment, b"-" | b"_") { None } else { Some(Kind::Text) };
    }
    if !letters {
        return Some(numeric(segment));
    }
    if segment.first() == Some(&b'~') {
        return Some(Kind::Id);
    }
    if digits {
        if is_uuid(segment) {
            return Some(Kind::Uuid);
        }
        if is_time(segment) {
            return Some(Kind::Date);
        }
        if is_version(segment) {
            return None;
        }
    }
    if dots && let Some((stem, extension)) = extension(segment) {
        if is_among(extension, DOCUMENTS) {
            return Some(Kind::File);
        }
        if is_among(extension, PAGES) {
            // Pages and scripts are named by who makes the site: `index.html`, `app.min.js`.
            return if is_plain(stem) && stem.len() <= WORD_LIMIT { None } else { Some(Kind::File) };
        }
    }
    let is_long = segment.len() > if dots { DOTTED_LIMIT } else { WORD_LIMIT };
    words(segment).or(is_long.then_some(Kind::Text))
}

/// What has other characters than words have.
fn other(segment: &[u8], letters: bool) -> Option<Kind> {
    let is_made_of = |more: &[u8]| segment.iter().all(|byte| byte.is_ascii_digit() || more.contains(byte));
    let colons = memchr::memchr_iter(b':', segment).count();
    if let Some(at) = segment.iter().position(|byte| *byte == b'@') {
        let (before, after) =
            (segment.get(..at).unwrap_or_default(), segment.get(at + 1..).unwrap_or_default());
        return Some(match (before, after) {
            ([], _) => Kind::Id,
            (_, [b'1'..=b'9', b'x', b'.', ..]) => Kind::File,
            _ => Kind::Email,
        });
    }
    if segment.windows(3).skip(1).any(|three| three == b"%40") {
        return Some(Kind::Email);
    }
    if colons >= 2 && segment.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')) {
        let is_clock = segment.len() == 8 && !letters && segment.iter().step_by(3).all(u8::is_ascii_digit);
        return Some(if is_clock { Kind::Date } else { Kind::Ip });
    }
    if is_time(segment) || colons == 1 && segment.len() <= 5 && is_made_of(b":") {
        return Some(Kind::Date);
    }
    if segment.iter().any(u8::is_ascii_digit) && is_made_of(b"+-.,:()*_~ !") {
        return Some(Kind::Number);
    }
    if let Some(word) = segment.strip_prefix(b"$") {
        // OData: `$metadata`, `$batch`.
        return if is_plain(word) { None } else { Some(Kind::Text) };
    }
    // Methods of Google's APIs: `documents:commit`.
    let mut parts = segment.split(|byte| *byte == b':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(before), Some(verb), None) if is_plain(before) && is_plain(verb) => None,
        // Digests of container images: `sha256:9f86..`.
        (Some(_), Some(digest), None) if token(digest) == Some(Kind::Hash) => Some(Kind::Hash),
        _ => Some(Kind::Text),
    }
}

/// Digits, with or without what separates them.
fn numeric(segment: &[u8]) -> Kind {
    if is_date(segment) {
        return Kind::Date;
    }
    let mut parts = segment.split(|byte| *byte == b'.');
    let is_octet = |part: Option<&[u8]>| {
        part.and_then(|part| std::str::from_utf8(part).ok()).is_some_and(|part| part.parse::<u8>().is_ok())
    };
    let octets = (&mut parts).map(|part| is_octet(Some(part)));
    let (mut count, mut all) = (0, true);
    for is_octet in octets {
        count += 1;
        all &= is_octet;
    }
    if count == 4 && all { Kind::Ip } else { Kind::Number }
}

/// `2026-11`, `2026-11-25`, `25-11-2026`, with `-`, `.` or `_`.
fn is_date(segment: &[u8]) -> bool {
    let mut lengths = [0; 3];
    let mut parts = segment.split(|byte| matches!(byte, b'-' | b'.' | b'_'));
    for length in &mut lengths {
        let part = parts.next().unwrap_or_default();
        if !part.iter().all(u8::is_ascii_digit) {
            return false;
        }
        *length = part.len();
    }
    let has_year = segment.starts_with(b"19") || segment.starts_with(b"20");
    parts.next().is_none()
        && match lengths {
            [4, 1..=2, 0] => has_year && !segment.ends_with(b"-") && !segment.contains(&b'.'),
            [4, 1..=2, 1..=2] => has_year,
            [1..=2, 1..=2, 4] => true,
            _ => false,
        }
}

/// ISO 8601: a date and a time.
fn is_time(segment: &[u8]) -> bool {
    let Some(at) = segment.iter().position(|byte| matches!(byte, b'T' | b't')) else { return false };
    let (date, time) = segment.split_at_checked(at).unwrap_or_default();
    let is_day = is_date(date) || date.len() == 8 && date.iter().all(u8::is_ascii_digit);
    is_day && time.get(1).is_some_and(u8::is_ascii_digit)
}

fn is_uuid(segment: &[u8]) -> bool {
    let is_right = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    segment.len() == 36 && segment.iter().enumerate().all(is_right)
}

fn is_hexadecimal(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_hexdigit)
}

/// `v1`, `v19.0`, `v1.2.3`, `v2beta1`.
fn is_version(segment: &[u8]) -> bool {
    let [b'v' | b'V', rest @ ..] = segment else { return false };
    let stable = rest.iter().position(u8::is_ascii_alphabetic).unwrap_or(rest.len());
    let (numbers, stage) = rest.split_at_checked(stable).unwrap_or_default();
    let is_number =
        |part: &[u8], least| (least..=3).contains(&part.len()) && part.iter().all(u8::is_ascii_digit);
    let mut parts = 0;
    let is_stable = numbers.split(|byte| *byte == b'.').all(|part| {
        parts += 1;
        is_number(part, 1)
    });
    let is_stage = stage.is_empty()
        || [b"alpha".as_slice(), b"beta", b"rc", b"p"]
            .iter()
            .any(|name| stage.strip_prefix(*name).is_some_and(|number| is_number(number, 0)));
    is_stable && parts <= 3 && is_stage
}

/// The parts of a file's name around its last dot.
fn extension(segment: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr::memrchr(b'.', segment).filter(|dot| *dot > 0)?;
    Some((segment.get(..dot)?, segment.get(dot + 1..)?))
}

/// Words and what joins them, and nothing that makes a value of them.
fn is_plain(text: &[u8]) -> bool {
    let is_ours = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.iter().any(u8::is_ascii_alphabetic) && text.iter().all(is_ours) && words(text).is_none()
}

/// Letters and digits, joined by `-`, `_`, `.` and `~`.
fn words(segment: &[u8]) -> Option<Kind> {
    let (mut count, mut tokens, mut has_number) = (1, 0, false);
    for token in segment.split(|byte| matches!(byte, b'-' | b'_' | b'.' | b'~')) {
        if token.is_empty() {
            continue;
        }
        tokens += 1;
        match self::token(token) {
            None => {}
            Some(Kind::Number) => has_number = true,
            Some(Kind::Hash) if token.len() == segment.len() => return Some(Kind::Hash),
            Some(_) => return Some(Kind::Id),
        }
    }
    count += segment.iter().filter(|byte| matches!(byte, b'-' | b'_')).count();
    if has_number || count.min(tokens) >= TITLE { Some(Kind::Slug) } else { None }
}

/// A run of letters and digits; `None` of a word.
fn token(token: &[u8]) -> Option<Kind> {
    let digits = token.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == token.len() {
        return Some(Kind::Number);
    }
    if is_hexadecimal(token) && (token.len() >= 16 || digits > 0 && token.len() >= 6) {
        return Some(Kind::Hash);
    }
    if digits == 0 {
        return looks_random(token).then_some(Kind::Id);
    }
    // `s3`, `mp4`: three characters, of which the last is the digit. Longer ones, such as `alice7`, may be somebody's.
    let is_short = digits == 1 && token.len() <= 3 && token.last().is_some_and(u8::is_ascii_digit);
    let is_word = is_short || is_version(token) || is_among(token, MIXED);
    if is_word { None } else { Some(Kind::Id) }
}

/// Whether letters look drawn by lot: 7 consonants in a row, or something long of 3 parts or more, each from a capital on, of which half have no
/// vowel.
fn looks_random(token: &[u8]) -> bool {
    let (mut run, mut parts, mut bare, mut has_vowel, mut before) = (0, 1, 0, false, b'A');
    for &byte in token {
        if byte.is_ascii_uppercase() && before.is_ascii_lowercase() {
            parts += 1;
            bare += u32::from(!has_vowel);
            (run, has_vowel) = (0, false);
        }
        if b"aeiouyAEIOUY".contains(&byte) {
            (run, has_vowel) = (0, true);
        } else {
            run += 1;
        }
        if run >= 7 {
            return true;
        }
        before = byte;
    }
    bare += u32::from(!has_vowel);
    token.len() >= 8 && parts >= 3 && bare * 2 >= parts
}

/// Whether a list has a word, whatever its case.
#[inline(never)]
fn is_among(word: &[u8], words: &[&str]) -> bool {
    words.iter().any(|other| other.as_bytes().eq_ignore_ascii_case(word))
}
