//! The pii engine: texts of any bytes, in any encoding, in pieces.

use pii::{Engine, Place, Stream};
use std::sync::OnceLock;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(Engine::default)
}

/// What is found lies in the text, in order, and what is written is text.
pub fn redact(bytes: &[u8]) {
    let names: [&[u8]; 6] = [b"", b"email", b"cookie", b"authorization", b"note", b"x-forwarded-for"];
    let Some((kind, text)) = bytes.split_first() else { return };
    let place = match names[usize::from(*kind) % names.len()] {
        b"" => Place::Text,
        name => Place::Field(name),
    };
    let findings = engine().find(text, place);
    let mut end = 0;
    for span in findings.spans() {
        assert!(
            end <= span.start && span.start < span.end && span.end <= text.len(),
            "{span:?} behind {end}"
        );
        end = span.end;
    }
    let written = engine().redact(text, place, None);
    let again = engine().write(text, &findings, None);
    assert_eq!(written.as_str(), again.as_str());
}

/// What is looked for: a value that nothing else in the text can be taken for.
const SECRET: &str = "jane.q.doe@mail.example.org";

/// A value that is encoded up to three times, in a place of any bytes, is in what is written in no form.
pub fn encodings(bytes: &[u8]) {
    let Some((head, around)) = bytes.split_first_chunk::<4>() else { return };
    let mut value = SECRET.to_owned();
    let [first, second, third, cut] = head;
    for step in [first, second, third] {
        value = encoded(&value, *step);
    }
    // Nothing that a value can be part of stands around it.
    let around: Vec<u8> = around
        .iter()
        .copied()
        .filter(|byte| {
            !byte.is_ascii_alphanumeric() && !b"%\\&+/=-_.@#;\"'".contains(byte) && byte.is_ascii()
        })
        .collect();
    let (before, behind) = around.split_at(usize::from(*cut).min(around.len()));
    let text = [before, b" ", value.as_bytes(), b" ", behind].concat();
    let written = engine().redact(&text, Place::Text, None);
    let written = written.as_str();
    assert!(!written.contains(SECRET) && !written.contains(&value), "{value} stands in {written:?}");
}

/// One of the encodings that the engine undoes.
fn encoded(text: &str, how: u8) -> String {
    match how % 5 {
        0 => text.to_owned(),
        1 => text.bytes().map(|byte| format!("%{byte:02x}")).collect(),
        2 => text
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect(),
        3 => text.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect(),
        _ => base64(text.as_bytes()),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let word =
            part.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= part.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// A text in pieces is redacted as the whole is, where it fits into a stream's window.
pub fn stream(bytes: &[u8]) {
    let Some((count, bytes)) = bytes.split_first() else { return };
    let Some((cuts, text)) = bytes.split_at_checked(usize::from(count % 8)) else { return };
    let mut stream = Stream::new();
    let mut written = String::new();
    let mut rest = text;
    for cut in cuts {
        let (now, later) = rest.split_at(usize::from(*cut).min(rest.len()));
        written.push_str(stream.push(engine(), None, now).text.as_str());
        rest = later;
    }
    written.push_str(stream.push(engine(), None, rest).text.as_str());
    written.push_str(stream.finish(engine(), None).text.as_str());
    if text.len() < Stream::CAPACITY {
        assert_eq!(written, engine().redact(text, Place::Text, None).as_str());
    }
}
