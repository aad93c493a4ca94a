//! HTTP/2, frame by frame: so that it is known what was sent, and when.

use super::{
    accounts::Seen,
    client::PATIENCE,
    shop::{FAULT, NAME},
};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    ops::AddAssign as _,
};

/// Types of frames, RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Flags.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// The error of a stream that is not wanted any more.
const CANCEL: u32 = 8;
/// The most bytes of a frame, and what may be sent on a stream or a connection, where nothing else was agreed.
const FRAME: usize = 16_384;
const WINDOW: i64 = 65_535;
/// How many frames of a byte are written at once.
const RUN: usize = 4096;
/// The setting of that of a stream.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    out: Vec<u8>,
    next: u32,
    /// How much may be sent: on a new stream, on each that has been opened, and on the connection.
    new_window: i64,
    windows: BTreeMap<u32, i64>,
    window: i64,
    /// What came of each stream so far.
    seen: BTreeMap<u32, Seen>,
    ended: BTreeMap<u32, Seen>,
    /// Whether the server has said that it takes no more, and the error that it named.
    pub goaway: Option<u32>,
}

impl Connection {
    /// Opens a connection on which headers are not compressed by a table.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            buffer: Vec::new(),
            out: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            next: 1,
            new_window: WINDOW,
            windows: BTreeMap::new(),
            window: WINDOW,
            seen: BTreeMap::new(),
            ended: BTreeMap::new(),
            goaway: None,
        };
        // The table of headers has no entries; the window of a stream is a megabyte and more.
        let settings = [(1_u16, 0_u32), (INITIAL_WINDOW_SIZE, 1 << 30)];
        let body: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        connection.frame(SETTINGS, 0, 0, &body);
        connection.frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        Ok(connection)
    }

    /// Puts the head of a request into what is sent next; the number of its stream.
    pub fn head(
        &mut self,
        name: &str,
        (method, path): (&str, &str),
        fault: &str,
        more: &[(&str, &str)],
        is_end: bool,
    ) -> u32 {
        let id = self.next;
        self.next += 2;
        self.windows.insert(id, self.new_window);
        let own = [
            (":method", method),
            (":path", path),
            (":scheme", "http"),
            (":authority", "shop.example"),
            (NAME, name),
            (FAULT, fault),
        ];
        let mut block = Vec::new();
        for (name, value) in own.iter().chain(more).filter(|(_, value)| !value.is_empty()) {
            field(&mut block, name, value);
        }
        self.block(id, &block, is_end);
        id
    }

    /// Puts trailers into what is sent next.
    pub fn trailers(&mut self, id: u32, trailers: &[(&str, &str)]) {
        let mut block = Vec::new();
        for (name, value) in trailers {
            field(&mut block, name, value);
        }
        self.block(id, &block, true);
    }

    fn block(&mut self, id: u32, block: &[u8], is_end: bool) {
        let mut kind = HEADERS;
        let mut rest = block;
        loop {
            let (now, behind) = rest.split_at(rest.len().min(FRAME));
            let flags = if behind.is_empty() { END_HEADERS } else { 0 };
            let end = if kind == HEADERS && is_end { END_STREAM } else { 0 };
            self.frame(kind, flags | end, id, now);
            if behind.is_empty() {
                return;
            }
            (kind, rest) = (CONTINUATION, behind);
        }
    }

    /// Puts a part of a body into what is sent next.
    pub fn data(&mut self, id: u32, bytes: &[u8], is_end: bool) {
        self.frame(DATA, if is_end { END_STREAM } else { 0 }, id, bytes);
    }

    /// Sends a body with each byte in a frame of its own, as fast as the server takes it; it ends when the stream does.
    ///
    /// # Errors
    /// The server takes nothing for too long.
    pub fn bytes(&mut self, id: u32, body: &[u8]) -> Result<()> {
        let mut rest = body;
        while !rest.is_empty() {
            let window = self.window.min(self.windows.get(&id).copied().unwrap_or(0));
            let Some(most) = usize::try_from(window).ok().filter(|most| *most > 0) else {
                if self.ended.contains_key(&id) || !self.read()? {
                    return Ok(());
                }
                continue;
            };
            let (now, behind) = rest.split_at(rest.len().min(most).min(RUN));
            for (place, byte) in now.iter().enumerate() {
                self.data(id, &[*byte], behind.is_empty() && place + 1 == now.len());
            }
            let sent = i64::try_from(now.len())?;
            self.window -= sent;
            self.windows.entry(id).and_modify(|window| *window -= sent);
            self.flush();
            rest = behind;
        }
        Ok(())
    }

    /// Puts the end of a stream that is not wanted any more into what is sent next.
    pub fn cancel(&mut self, id: u32) {
        self.frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes());
        self.ended.insert(id, Seen::Left);
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap_or(0).to_be_bytes();
        self.out.extend(length.get(1..).unwrap_or_default());
        self.out.extend([kind, flags]);
        self.out.extend(id.to_be_bytes());
        self.out.extend(body);
    }

    /// Sends what was put together; false where nobody reads it any more.
    pub fn flush(&mut self) -> bool {
        let out = std::mem::take(&mut self.out);
        self.stream.write_all(&out).is_ok()
    }

    /// Reads until each of these streams has ended, or the connection: what came of them.
    ///
    /// # Errors
    /// Nothing came for too long, or it was no HTTP/2.
    pub fn finish(&mut self, ids: &[u32]) -> Result<Vec<Seen>> {
        while !ids.iter().all(|id| self.ended.contains_key(id)) && self.read()? {
            self.flush();
        }
        let of = |id: &u32| match (self.ended.get(id), self.seen.get(id)) {
            (Some(ended), _) => *ended,
            (None, Some(Seen::Answer(status))) => Seen::Broken(*status),
            (None, _) => Seen::Nothing,
        };
        Ok(ids.iter().map(of).collect())
    }

    /// Reads until the server has closed the connection.
    ///
    /// # Errors
    /// It does not.
    pub fn end(&mut self) -> Result<()> {
        while self.read()? {
            self.flush();
        }
        Ok(())
    }

    /// Reads what there is; false at the end of the connection.
    fn read(&mut self) -> Result<bool> {
        let mut part = [0; FRAME];
        let count = match self.stream.read(&mut part) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(error).context("Envoy answers nothing");
            }
            Err(_) => 0,
        };
        self.buffer.extend(part.iter().take(count));
        while let Some(length) = self.frame_length() {
            let frame: Vec<u8> = self.buffer.drain(..length).collect();
            self.take(&frame)?;
        }
        Ok(count > 0)
    }

    /// The length of the first frame, where all of it is there.
    fn frame_length(&self) -> Option<usize> {
        let [a, b, c] = *self.buffer.first_chunk::<3>()?;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()? + 9;
        (self.buffer.len() >= length).then_some(length)
    }

    fn take(&mut self, frame: &[u8]) -> Result<()> {
        let (head, body) = frame.split_first_chunk::<9>().context("a frame is too short")?;
        let [_, _, _, kind, flags, id @ ..] = *head;
        let id = u32::from_be_bytes(id);
        match kind {
            SETTINGS if flags & ACK == 0 => {
                for (setting, value) in settings(body) {
                    if setting == INITIAL_WINDOW_SIZE {
                        self.windows.values_mut().for_each(|window| *window += value - self.new_window);
                        self.new_window = value;
                    }
                }
                self.frame(SETTINGS, ACK, 0, &[]);
            }
            WINDOW_UPDATE => {
                let more = i64::from(u32::from_be_bytes(*body.first_chunk().context("no window")?));
                match id {
                    0 => self.window += more,
                    _ => self.windows.entry(id).or_insert(0).add_assign(more),
                }
            }
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, body),
            GOAWAY => {
                let error = body.get(4..8).and_then(|error| error.first_chunk::<4>()).context("no error")?;
                self.goaway = Some(u32::from_be_bytes(*error));
            }
            // Trailers have no status.
            HEADERS if !self.seen.contains_key(&id) => {
                self.seen.insert(id, Seen::Answer(status(body)?));
            }
            DATA if !body.is_empty() => {
                let length = u32::try_from(body.len())?;
                self.frame(WINDOW_UPDATE, 0, 0, &length.to_be_bytes());
            }
            RST_STREAM => {
                let seen = match self.seen.get(&id) {
                    Some(Seen::Answer(status)) => Seen::Broken(*status),
                    _ => Seen::Nothing,
                };
                self.ended.entry(id).or_insert(seen);
            }
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            let seen = self.seen.get(&id).copied().unwrap_or(Seen::Nothing);
            self.ended.entry(id).or_insert(seen);
        }
        Ok(())
    }
}

/// The settings of a frame: numbers and values.
fn settings(body: &[u8]) -> impl Iterator<Item = (u16, i64)> {
    let (settings, _) = body.as_chunks::<6>();
    settings
        .iter()
        .map(|[a, b, value @ ..]| (u16::from_be_bytes([*a, *b]), i64::from(u32::from_be_bytes(*value))))
}

/// Writes a header that goes into no table, its name and value as they are (RFC 7541, section 6.2.2).
fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        length(block, text.len());
        block.extend(text.as_bytes());
    }
}

/// Writes a length with a prefix of seven bits (RFC 7541, section 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    let byte = |value: usize| u8::try_from(value).unwrap_or(0);
    if length < 127 {
        return block.push(byte(length));
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(byte(rest % 128 + 128));
        rest /= 128;
    }
    block.push(byte(rest));
}

/// The status, which is the first of a response's headers.
fn status(block: &[u8]) -> Result<u16> {
    // The size of the table may be said before.
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap_or(0);
    match block.get(start..).unwrap_or_default() {
        // Those of the static table (RFC 7541, appendix A).
        [index @ 0x88..=0x8e, ..] => Ok([200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)]),
        // A value of its own, in digits or in Huffman's code.
        [0x08 | 0x18 | 0x48, length, rest @ ..] => {
            let value = rest.get(..usize::from(length & 0x7f)).unwrap_or_default();
            let text =
                if length & 0x80 == 0 { String::from_utf8_lossy(value).into_owned() } else { digits(value) };
            text.parse().with_context(|| format!("a status {text:?}"))
        }
        other => bail!("headers without a status: {:?}", other.get(..8)),
    }
}

/// Digits in Huffman's code (RFC 7541, appendix B): 0, 1 and 2 have five bits, the others six.
fn digits(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let mut rest = bits.as_slice();
    let mut text = String::new();
    let number = |bits: &[u8]| bits.iter().fold(0_u8, |number, bit| number << 1 | bit);
    while let Some((five, behind)) = rest.split_at_checked(5) {
        let value = number(five);
        if value <= 2 {
            text.push(char::from(b'0' + value));
            rest = behind;
        } else if let Some((six, behind)) = rest.split_at_checked(6) {
            let value = number(six);
            if !(25..=31).contains(&value) {
                break;
            }
            text.push(char::from(b'3' + value - 25));
            rest = behind;
        } else {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{length, status};

    #[test]
    fn statuses_are_read_in_every_form() {
        let blocks: [(&[u8], u16); 5] = [
            (&[0x88], 200),
            (&[0x20, 0x8d], 404),
            (&[0x08, 3, b'5', b'0', b'3'], 503),
            // RFC 7541, appendix C.6.1 and C.6.2.
            (&[0x48, 0x82, 0x64, 0x02], 302),
            (&[0x48, 0x83, 0x64, 0x0e, 0xff], 307),
        ];
        for (block, expected) in blocks {
            assert_eq!(status(block).unwrap(), expected);
        }
    }

    #[test]
    fn lengths_have_the_form_of_the_rfc() {
        let mut block = Vec::new();
        for value in [10, 127, 1337] {
            length(&mut block, value);
        }
        assert_eq!(block, [10, 127, 0, 127, 0xba, 0x09]);
    }
}
