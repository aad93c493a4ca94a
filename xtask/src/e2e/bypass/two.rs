//! A request of HTTP/2, field by field as it is written (RFC 9113, RFC 7541), whatever a well-behaved client would make of it.

use crate::e2e::rbac::client::{Answer, Stream, fill};
use anyhow::{Context as _, Result};
use harness::scenario::Headers;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// Of [`DATA`] and [`HEADERS`]: nothing comes behind.
const END_STREAM: u8 = 1;
/// Of [`HEADERS`].
const END_HEADERS: u8 = 4;
const STREAM: u32 = 1;

/// Sends these fields as one request, and reads the answer; its status is 0 where the stream or the connection is ended instead.
///
/// # Errors
/// There is no answer in time.
pub fn ask(stream: &mut dyn Stream, fields: &Headers) -> Result<Answer> {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[])?);
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal that is not indexed, with a literal name, neither in Huffman's code (RFC 7541, 6.2.2).
        block.push(0);
        for text in [&name.0, &value.0] {
            length(&mut block, text.len());
            block.extend(text);
        }
    }
    bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, STREAM, &block)?);
    if stream.write_all(&bytes).and_then(|()| stream.flush()).is_err() {
        return Ok(Answer::default());
    }
    let (mut buffer, mut answer) = (Vec::new(), Answer::default());
    loop {
        while buffer.len() < 9 || buffer.len() < 9 + size(&buffer) {
            if !fill(stream, &mut buffer)? {
                return Ok(Answer::default());
            }
        }
        let frame: Vec<u8> = buffer.drain(..9 + size(&buffer)).collect();
        let (head, payload) = frame.split_at(9);
        let of_stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) == STREAM;
        match head[3] {
            HEADERS if of_stream && answer.status == 0 => {
                answer.status = status(payload).context("the answer's status cannot be read")?;
            }
            DATA if of_stream => answer.body.extend(payload),
            RESET if of_stream => return Ok(Answer::default()),
            GOAWAY => return Ok(Answer::default()),
            _ => {}
        }
        if of_stream && matches!(head[3], HEADERS | DATA) && head[4] & END_STREAM != 0 {
            return Ok(answer);
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<Vec<u8>> {
    let [_, size @ ..] = u32::try_from(payload.len())?.to_be_bytes();
    Ok([&size[..], &[kind, flags], &stream.to_be_bytes(), payload].concat())
}

fn size(frame: &[u8]) -> usize {
    frame.iter().take(3).fold(0, |size, byte| size << 8 | usize::from(*byte))
}

/// A length of seven bits and more (RFC 7541, 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    const MOST: usize = 127;
    let byte = |value: usize| u8::try_from(value & 0xff).unwrap_or_default();
    if length < MOST {
        return block.push(byte(length));
    }
    block.push(byte(MOST));
    let mut rest = length - MOST;
    while rest >= 128 {
        block.push(byte(rest % 128 + 128));
        rest /= 128;
    }
    block.push(byte(rest));
}

/// The status, which is a block's first field: one of the static table, or three digits as they are or in Huffman's code.
fn status(block: &[u8]) -> Option<u16> {
    /// Those of the static table, from its entry 8 on (RFC 7541, appendix A).
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // A change of the table's size may stand before.
    let block = block.get(block.iter().take_while(|byte| **byte >> 5 == 1).count()..)?;
    let (first, rest) = block.split_first()?;
    if let Some(known) = first.checked_sub(0x88).and_then(|place| KNOWN.get(usize::from(place))) {
        return Some(*known);
    }
    let (length, rest) = rest.split_first()?;
    let text = rest.get(..usize::from(length & 0x7f))?;
    let digits = if length & 0x80 == 0 { text.to_vec() } else { digits(text) };
    std::str::from_utf8(digits.get(..3)?).ok()?.parse().ok()
}

/// Digits in Huffman's code: 0 to 2 are five bits, the others six (RFC 7541, appendix B).
fn digits(text: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> =
        text.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |number, bit| number << 1 | bit);
    let (mut rest, mut digits) = (bits.as_slice(), Vec::new());
    while let Some(five) = rest.get(..5).map(number) {
        if five <= 2 {
            digits.push(b'0' + five);
            rest = &rest[5..];
        } else {
            let Some(six @ 0x19..=0x1f) = rest.get(..6).map(number) else { break };
            digits.push(b'3' + six - 0x19);
            rest = &rest[6..];
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::{length, status};

    #[test]
    fn a_status_is_read_in_each_of_its_forms() {
        assert_eq!(status(&[0x88]), Some(200));
        assert_eq!(status(&[0x20, 0x8c, 1]), Some(400));
        assert_eq!(status(&[0x48, 3, b'4', b'0', b'3']), Some(403));
        // RFC 7541, C.6.1: 302 as `6402`, and C.6.2: 307 as `640eff`.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), Some(307));
        assert_eq!(status(&[]), None);
    }

    #[test]
    fn a_length_has_as_many_bytes_as_it_needs() {
        let of = |number| {
            let mut block = Vec::new();
            length(&mut block, number);
            block
        };
        assert_eq!(
            [of(0), of(126), of(127), of(255), of(1337)],
            [vec![0], vec![126], vec![127, 0], vec![127, 128, 1], vec![127, 186, 9]]
        );
    }
}
