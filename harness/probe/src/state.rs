//! What the probe knows, and how it runs a sheet.

use crate::{
    calls::{CALLS, Word, call},
    sheet::{Argument, Line, parse},
};
use std::{cell::RefCell, collections::HashMap, fmt::Write as _};

/// The most bytes of an answer that are logged as they are; of a longer one the length and a sum are.
const SHOWN: usize = 1500;
const OUTSIDE: u32 = 0xffff_fff0;

#[derive(Default)]
pub struct State {
    sheets: HashMap<String, Vec<Line>>,
    roots: Vec<String>,
    /// The root ids of root contexts, and the root contexts of streams.
    names: HashMap<u32, String>,
    parents: HashMap<u32, u32>,
    /// The sheets of streams, and of callouts by their tokens.
    streams: HashMap<u32, String>,
    callouts: HashMap<u32, String>,
    variables: HashMap<String, u32>,
    /// How often each callback of a stream has run.
    counts: HashMap<(u32, &'static str), u32>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Whose callback it is.
#[derive(Clone, Copy)]
pub enum Of {
    Root,
    Stream(u32),
    Callout(u32),
}

/// A callback: it is logged with its arguments, and its sheet is run. The answer is what a `return` line says.
pub fn callback(name: &'static str, arguments: &[u32], of: Of) -> Option<u32> {
    say(&format!("call {name}{arguments:?}"));
    STATE.with(|state| {
        // A gRPC stream that fails at once is told of while the call that opens it still runs: then the call's own callback has the sheet.
        let mut state = state.try_borrow_mut().ok()?;
        if name == "vm_start" {
            let (_, text) =
                bytes_of(|at, size| words_call("get_buffer_bytes", &[6, 0, u32::MAX >> 1, at, size]));
            let (sheets, roots) = parse(&String::from_utf8_lossy(&text));
            state.sheets = sheets.into_iter().collect();
            state.roots = roots;
        }
        if let ("context_create", [context, parent]) = (name, arguments)
            && *parent > 0
        {
            state.parents.insert(*context, *parent);
        }
        if let ("configure", [root, ..]) = (name, arguments) {
            let key = b"plugin_root_id";
            let (_, id) = bytes_of(|at, size| words_call("get_property", &[place(key), 14, at, size]));
            state.names.insert(*root, String::from_utf8_lossy(&id).into_owned());
        }
        if let (Of::Stream(context), "request_headers") = (of, name) {
            let header = b"x-probe";
            let (status, value) =
                bytes_of(|at, size| words_call("get_header_map_value", &[0, place(header), 7, at, size]));
            if status == 0 {
                state.streams.insert(context, String::from_utf8_lossy(&value).into_owned());
            }
        }
        let stream = state.variables.get("stream").copied().unwrap_or(0);
        let is_of_stream = name == "tick" && state.roots.is_empty() || matches!(of, Of::Callout(_));
        let sheets: Vec<String> = match of {
            // A timer that no sheet of the root context has set was set by the stream that came last.
            Of::Root if is_of_stream => state.streams.get(&stream).cloned().into_iter().collect(),
            Of::Root => state.roots.clone(),
            Of::Stream(context) => state.streams.get(&context).cloned().into_iter().collect(),
            // One that failed at once has a token that the probe was never given.
            Of::Callout(token) => {
                let last = state.streams.get(&stream);
                state.callouts.get(&token).or(last).cloned().into_iter().collect()
            }
        };
        let own = arguments.first().copied().unwrap_or(0);
        let root =
            if let Of::Stream(context) = of { state.parents.get(&context).copied() } else { Some(own) };
        let plugin = root.and_then(|root| state.names.get(&root).cloned()).unwrap_or_default();
        // Callouts arrive at the root context, and are counted by the stream that came last.
        let context = if is_of_stream { stream | 1 << 31 } else { own };
        let count = state.counts.entry((context, name)).or_default();
        *count += 1;
        let nth = *count;
        if let Of::Stream(context) = of {
            state.variables.insert("stream".to_owned(), context);
            state.variables.insert(format!("stream-{plugin}"), context);
        }
        let mut answer = None;
        for sheet in sheets {
            for line in state.sheets.get(&sheet).cloned().unwrap_or_default() {
                let is_here = match &line.callback {
                    // What a queue's consumer does would call it again.
                    None => name != "queue_ready",
                    Some(wanted) => {
                        let (only, wanted) = wanted.split_once(':').unwrap_or((&plugin, wanted));
                        let is_start = wanted.strip_suffix('*').is_some_and(|start| name.starts_with(start));
                        only == plugin && (is_start || wanted == name || wanted == format!("{name}#{nth}"))
                    }
                };
                if is_here {
                    answer = state.run(&sheet, name, nth, &line).or(answer);
                }
            }
        }
        if let (Of::Stream(context), "delete") = (of, name) {
            state.streams.remove(&context);
            state.parents.remove(&context);
        }
        answer
    })
}

impl State {
    fn run(&mut self, sheet: &str, callback: &str, nth: u32, line: &Line) -> Option<u32> {
        if line.name == "return" {
            return match line.arguments.first() {
                Some(Argument::Number(number)) => u32::try_from(*number).ok(),
                _ => None,
            };
        }
        if line.name == "trap" {
            std::process::abort();
        }
        let Some(found) = CALLS.iter().find(|call| call.name == line.name) else {
            say(&format!("no call {}", line.name));
            return None;
        };
        // What the host writes lands in a page of its own, eight bytes an argument.
        let mut page = [0xee_u8; 1024];
        let mut words = Vec::new();
        let mut written: Vec<(char, usize)> = Vec::new();
        let mut arguments = line.arguments.iter();
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for letter in found.signature.chars() {
            let at = written.len() * 64;
            let out =
                if line.writes_outside { OUTSIDE } else { place(&page) + u32::try_from(at).unwrap_or(0) };
            match letter {
                'i' | 'l' => {
                    let number = match arguments.next() {
                        Some(Argument::Number(number)) => *number,
                        Some(Argument::Variable(name)) => {
                            i64::from(self.variables.get(name).copied().unwrap_or(0))
                        }
                        _ => 0,
                    };
                    words.push(if letter == 'i' { Word::Short(number as u32) } else { Word::Long(number) });
                }
                's' => match arguments.next() {
                    Some(Argument::Bytes(bytes)) => {
                        kept.push(bytes.clone());
                        let bytes = kept.last().map(Vec::as_slice).unwrap_or_default();
                        words.extend([Word::Short(place(bytes)), Word::Short(bytes.len() as u32)]);
                    }
                    Some(Argument::Outside) => words.extend([Word::Short(OUTSIDE), Word::Short(16)]),
                    _ => words.extend([Word::Short(0), Word::Short(0)]),
                },
                'b' => {
                    words.extend([Word::Short(out), Word::Short(out.wrapping_add(4))]);
                    written.push(('b', at));
                }
                other => {
                    words.push(Word::Short(out));
                    written.push((other, at));
                }
            }
        }
        // The one layout that the letters cannot say.
        if line.name == "fd_prestat_dir_name" {
            words.push(Word::Short(16));
        }
        let status = call(found.function, &words);
        let mut text = format!("cell {callback}#{nth} {sheet}:{} {} = ", line.number, line.name);
        let Some(status) = status else {
            say(&format!("{text}no such layout"));
            return None;
        };
        let _ = write!(text, "{status}");
        for (letter, at) in written.into_iter().filter(|_| !line.writes_outside) {
            // The host wrote into it.
            let page = std::hint::black_box(&mut page);
            let short = |at: usize| {
                page.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
            };
            match letter {
                'b' if status == 0 => {
                    let _ = write!(text, " {}", show(taken(short(at), short(at + 4))));
                }
                'b' => {
                    let is_touched = (short(at), short(at + 4)) != (0xeeee_eeee, 0xeeee_eeee);
                    text.push_str(if is_touched { " (written)" } else { "" });
                }
                'q' => {
                    let value = page
                        .get(at..)
                        .and_then(<[u8]>::first_chunk)
                        .map_or(0, |bytes| u64::from_le_bytes(*bytes));
                    let _ = if value == 0xeeee_eeee_eeee_eeee {
                        write!(text, " -")
                    } else {
                        write!(text, " {value}")
                    };
                }
                'o' => {
                    let value = short(at);
                    let _ = if value == 0xeeee_eeee { write!(text, " -") } else { write!(text, " {value}") };
                    if let Some(name) = line.into.as_ref().filter(|_| status == 0) {
                        self.variables.insert(name.clone(), value);
                    }
                    if status == 0 && matches!(line.name.as_str(), "http_call" | "grpc_call" | "grpc_stream")
                    {
                        self.callouts.insert(value, sheet.to_owned());
                    }
                }
                _ => {
                    let _ = write!(text, " {:08x}", short(at));
                }
            }
        }
        say(&text);
        None
    }
}

/// Bytes that the host handed over.
fn taken(at: u32, size: u32) -> Vec<u8> {
    if at == 0 || size == 0 {
        return Vec::new();
    }
    // SAFETY: the host wrote them into memory that `proxy_on_memory_allocate` gave it with this size.
    unsafe { Vec::from_raw_parts(at as *mut u8, size as usize, size as usize) }
}

fn bytes_of(call: impl FnOnce(u32, u32) -> u32) -> (u32, Vec<u8>) {
    let out = [0_u32; 2];
    let status = call(place(&out), place(&out) + 4);
    let [at, size] = *std::hint::black_box(&out);
    (status, if status == 0 { taken(at, size) } else { Vec::new() })
}

fn words_call(name: &str, words: &[u32]) -> u32 {
    let words: Vec<Word> = words.iter().map(|word| Word::Short(*word)).collect();
    CALLS.iter().find(|call| call.name == name).and_then(|found| call(found.function, &words)).unwrap_or(99)
}

fn place<T: ?Sized>(of: &T) -> u32 {
    std::ptr::from_ref(of).cast::<u8>() as u32
}

fn show(bytes: Vec<u8>) -> String {
    if bytes.len() > SHOWN {
        let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        return format!("[{} bytes {sum:016x}]", bytes.len());
    }
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            0x20..=0x7e => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push('"');
    text
}

fn say(text: &str) {
    words_call("log", &[2, place(text), text.len() as u32]);
}
