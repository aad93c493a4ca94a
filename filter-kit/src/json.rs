//! JSON (RFC 8259), written into a text that grows and nothing else.

/// The most digits of a u64.
const DIGITS: usize = 20;

/// Writes a string with its quotes: `"`, `\` and control characters escaped, those beyond ASCII too; all else as it is.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    escape(out, text);
    out.push('"');
}

/// Writes what stands between a string's quotes.
fn escape(out: &mut String, text: &str) {
    let mut rest = text;
    loop {
        let at = plain(rest.as_bytes());
        let (run, more) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(run);
        let mut characters = more.chars();
        let Some(character) = characters.next() else { return };
        rest = characters.as_str();
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            // All control characters are below 256.
            control if control.is_control() => {
                out.push_str("\\u00");
                let code = u32::from(control);
                out.extend(
                    [code >> 4, code & 15].into_iter().filter_map(|digit| char::from_digit(digit, 16)),
                );
            }
            other => out.push(other),
        }
    }
}

/// How many bytes from the start need no escape; eight at a time.
fn plain(text: &[u8]) -> usize {
    let (eights, tail) = text.as_chunks();
    let mut at = 0;
    for eight in eights {
        if has_special(u64::from_le_bytes(*eight)) {
            break;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or(tail);
    at + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

/// Whether a byte may begin what is escaped: a control character, those beyond ASCII after 0xc2, a quote or a backslash.
fn is_special(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f | 0xc2)
}

/// Whether one of eight bytes is special (S. Anderson, "Bit Twiddling Hacks": a byte that is less than n, a byte that is zero).
fn has_special(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let is_below = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word;
    let is = |byte: u8| is_below(word ^ (ONES * u64::from(byte)), 1);
    (is_below(word, 0x20) | is(b'"') | is(b'\\') | is(0x7f) | is(0xc2)) & (ONES * 0x80) != 0
}

/// Writes a whole number.
pub fn unsigned(out: &mut String, mut number: u64) {
    let mut digits = [b'0'; DIGITS];
    let mut first = DIGITS;
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        first = place;
        if number == 0 {
            break;
        }
    }
    let text = digits.get(first..).and_then(|digits| std::str::from_utf8(digits).ok());
    out.push_str(text.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::{string, unsigned};
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    /// It reads back as it was, without a control character, and where there is none beyond ASCII as serde_json writes it.
    #[track_caller]
    fn check(text: &str) {
        let written = written(|out| string(out, text));
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        assert!(!written.chars().any(char::is_control), "{written:?}");
        if !text.chars().any(|c| c.is_control() && c >= '\u{7f}') {
            assert_eq!(written, serde_json::to_string(text).unwrap());
        }
    }

    #[test]
    fn every_character_below_a_thousand_is_escaped_as_serde_json_does() {
        for number in 0..1000_u32 {
            let Some(character) = char::from_u32(number) else { continue };
            for before in 0..17 {
                let text = format!("{}{character}{}", "a".repeat(before), "é".repeat(9));
                check(&text);
            }
        }
        assert_eq!(written(|out| string(out, "")), "\"\"");
    }

    #[test]
    fn numbers_at_their_ends_are_written() {
        for number in [0, 1, 9, 10, 99, 100, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            assert_eq!(written(|out| unsigned(out, number)), number.to_string());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

        #[test]
        fn a_string_is_escaped_as_serde_json_does(text in ".{0,60}", other in "[\u{0}-\u{ff}\u{1F600}\"\\\\]{0,40}") {
            for text in [text, other] {
                check(&text);
            }
        }

        #[test]
        fn numbers_are_read_back(number: u64) {
            prop_assert_eq!(written(|out| unsigned(out, number)), number.to_string());
        }
    }
}
