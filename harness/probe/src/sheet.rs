//! Sheets: lines of calls, as text.

/// An argument as it is written.
#[derive(Clone)]
pub enum Argument {
    /// `7`, `-1`, or `0x10`.
    Number(i64),
    /// `"text"`, with `\0`, `\n`, `\"`, `\\` and `\xff`; or `{name:value,...}`, a list of pairs; or `*N`, so many letters x.
    Bytes(Vec<u8>),
    /// `$name`: what an earlier call wrote.
    Variable(String),
    /// `!`: sixteen bytes outside the memory.
    Outside,
}

/// A line.
#[derive(Clone)]
pub struct Line {
    /// Its number in the sheet, from 1.
    pub number: usize,
    /// The callback that it runs in, all whose names begin so as `grpc*`, of one plugin alone as `PLUGIN:callback`; none is each.
    pub callback: Option<String>,
    /// The call; with `~` before it the host is to write outside the memory.
    pub name: String,
    pub writes_outside: bool,
    pub arguments: Vec<Argument>,
    /// The variable that gets the first number that is written.
    pub into: Option<String>,
}

/// The sheets of a configuration and the names of those for the root context.
pub fn parse(text: &str) -> (Vec<(String, Vec<Line>)>, Vec<String>) {
    let mut sheets: Vec<(String, Vec<Line>)> = Vec::new();
    let mut roots = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("= ") {
            sheets.push((name.to_owned(), Vec::new()));
        } else if let Some(name) = line.strip_prefix("root ") {
            roots.push(name.to_owned());
        } else if let Some((_, lines)) = sheets.last_mut() {
            let number = lines.len() + 1;
            lines.extend(read(number, line));
        }
    }
    (sheets, roots)
}

fn read(number: usize, line: &str) -> Option<Line> {
    let mut words = words(line).into_iter();
    let mut first = words.next()?;
    let callback = first.strip_prefix('@').map(str::to_owned);
    if callback.is_some() {
        first = words.next()?;
    }
    let writes_outside = first.starts_with('~');
    let name = first.trim_start_matches('~').to_owned();
    let mut arguments = Vec::new();
    let mut into = None;
    while let Some(word) = words.next() {
        if word == ">" {
            into = words.next();
        } else {
            arguments.push(argument(&word));
        }
    }
    Some(Line { number, callback, name, writes_outside, arguments, into })
}

/// Words are parted by spaces, except between quotes and braces.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut is_quoted, mut is_escaped, mut depth) = (false, false, 0);
    for c in line.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '{' if !is_quoted => depth += 1,
            '}' if !is_quoted => depth -= 1,
            ' ' if !is_quoted && depth == 0 => {
                words.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn argument(word: &str) -> Argument {
    if word == "!" {
        return Argument::Outside;
    }
    if let Some(name) = word.strip_prefix('$') {
        return Argument::Variable(name.to_owned());
    }
    if let Some(count) = word.strip_prefix('*') {
        return Argument::Bytes(vec![b'x'; count.parse().unwrap_or(0)]);
    }
    if let Some(text) = word.strip_prefix('"') {
        return Argument::Bytes(unescape(text.strip_suffix('"').unwrap_or(text)));
    }
    if let Some(list) = word.strip_prefix('{') {
        return Argument::Bytes(pairs(list.strip_suffix('}').unwrap_or(list)));
    }
    let number = match word.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => word.parse(),
    };
    Argument::Number(number.unwrap_or(0))
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'0') => 0,
                Some(b'n') => b'\n',
                Some(b'x') => {
                    let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                    std::str::from_utf8(&digits)
                        .ok()
                        .and_then(|text| u8::from_str_radix(text, 16).ok())
                        .unwrap_or(0)
                }
                Some(other) => other,
                None => b'\\',
            },
            plain => plain,
        });
    }
    bytes
}

/// Pairs in the ABI's form.
fn pairs(list: &str) -> Vec<u8> {
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = list
        .split(',')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            // The colon of a pseudo header is its first character.
            let at = pair.get(1..).and_then(|rest| rest.find(':')).map_or(pair.len(), |at| at + 1);
            let (name, value) = pair.split_at(at);
            (unescape(name), unescape(value.strip_prefix(':').unwrap_or(value)))
        })
        .collect();
    let length = |length: usize| u32::try_from(length).unwrap_or(0).to_le_bytes();
    let mut bytes = length(pairs.len()).to_vec();
    for (name, value) in &pairs {
        bytes.extend(length(name.len()));
        bytes.extend(length(value.len()));
    }
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(part);
        bytes.push(0);
    }
    bytes
}
