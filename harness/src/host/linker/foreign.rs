//! Foreign functions.

use crate::host::{
    abi::Status,
    memory::{Answer, Guest, Refusal, answer, give, read, read_text, write_size},
    state::State,
    tcp::CLUSTER_KEY,
};
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use std::io::{Read as _, Write as _};
use wasmtime::Linker;

/// The most bytes that are made of compressed ones.
const INFLATED_LIMIT: u64 = 64 << 20;

/// Foreign functions that Envoy 1.40 has and this host does not have yet.
const MISSING: [&str; 5] = ["expr_create", "expr_evaluate", "expr_delete", "sign", "verify_signature"];

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut guest: Guest<'_>, name: u32, name_size: u32, argument: u32, size: u32, at: u32, size_at: u32| {
            answer(&mut guest, "proxy_call_foreign_function", |guest| {
                let name = read_text(guest, name, name_size)?;
                let argument = read(guest, argument, size)?;
                let own = guest.data().world.0.borrow().foreign.get(&name).cloned();
                if let Some(own) = own {
                    return match own(&argument) {
                        Ok(result) => give(guest, &result, at, size_at),
                        Err(status) => nothing(guest, at, size_at).and(Err(Refusal::Other(status))),
                    };
                }
                if MISSING.contains(&name.as_str()) {
                    return Err(Status::Unimplemented.into());
                }
                match call(guest.data_mut(), &name, &argument) {
                    None => Err(Status::NotFound.into()),
                    Some(Ok(result)) => give(guest, &result, at, size_at),
                    // What failed has an empty result.
                    Some(Err(status)) => nothing(guest, at, size_at).and(Err(Refusal::Status(status))),
                }
            })
        },
    )?;
    Ok(())
}

fn nothing(guest: &mut Guest<'_>, at: u32, size_at: u32) -> Answer {
    write_size(guest, at, 0)?;
    write_size(guest, size_at, 0)
}

/// Calls a function; none if there is none of this name.
fn call(state: &mut State, name: &str, argument: &[u8]) -> Option<Result<Vec<u8>, Status>> {
    Some(match name {
        "clear_route_cache" => {
            if let Some(stream) = state.stream() {
                stream.common.borrow_mut().is_route_stale = true;
            }
            Ok(Vec::new())
        }
        "compress" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder
                .write_all(argument)
                .and_then(|()| encoder.finish())
                .map_err(|_| Status::SerializationFailure)
        }
        "uncompress" => {
            let mut inflated = Vec::new();
            match ZlibDecoder::new(argument).take(INFLATED_LIMIT).read_to_end(&mut inflated) {
                Ok(_) if !argument.is_empty() => Ok(inflated),
                _ => Err(Status::SerializationFailure),
            }
        }
        "set_envoy_filter_state" => set_filter_state(state, argument),
        "declare_property" => declare(state, argument),
        _ => return None,
    })
}

/// Sets an object of filter state. Of those that Envoy can make of text there is one here: the cluster of the TCP proxy.
fn set_filter_state(state: &State, argument: &[u8]) -> Result<Vec<u8>, Status> {
    let fields = fields(argument).ok_or(Status::BadArgument)?;
    let text =
        |wanted| fields.iter().rfind(|(number, _)| *number == wanted).map_or(&b""[..], |(_, text)| text);
    let (key, value) = (text(1), text(2));
    if key != CLUSTER_KEY.as_bytes() {
        return Err(Status::NotFound);
    }
    let stream = state.stream().ok_or(Status::NotFound)?;
    stream.common.borrow_mut().filter_state.insert(key.to_vec(), value.to_vec());
    Ok(Vec::new())
}

/// A property's name, once in a context.
fn declare(state: &mut State, argument: &[u8]) -> Result<Vec<u8>, Status> {
    let fields = fields(argument).ok_or(Status::BadArgument)?;
    let name = fields.iter().rfind(|(number, _)| *number == 1);
    let name = name.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    let context = state.context;
    if state.declared.insert((context, name)) { Ok(Vec::new()) } else { Err(Status::BadArgument) }
}

/// The fields of a protobuf message that are bytes, by number; none if it cannot be read.
fn fields(mut message: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => drop(varint(&mut message)?),
            1 => message = message.get(8..)?,
            5 => message = message.get(4..)?,
            2 => {
                let size = usize::try_from(varint(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(size)?;
                fields.push((key >> 3, bytes));
                message = rest;
            }
            _ => return None,
        }
    }
    Some(fields)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{call, fields};
    use crate::host::{abi::Status, options::Options, state::State, world::World};

    #[test]
    fn what_was_compressed_comes_back() {
        let mut state = State::new(Options::default(), World::default());
        let mut go = |name, argument: &[u8]| call(&mut state, name, argument).unwrap();
        let small = go("compress", &[b'x'; 1000]).unwrap();
        assert!(small.len() < 100);
        assert_eq!(go("uncompress", &small), Ok(vec![b'x'; 1000]));
        for bad in [&b""[..], b"no zlib", &small[..small.len() - 6]] {
            assert_eq!(go("uncompress", bad), Err(Status::SerializationFailure));
        }
    }

    #[test]
    fn a_property_is_declared_once_in_a_context() {
        let mut state = State::new(Options::default(), World::default());
        let mut declare = |context| {
            state.context = context;
            call(&mut state, "declare_property", b"\x0a\x02d1\x10\x00").unwrap()
        };
        assert_eq!(
            [declare(1), declare(1), declare(2)],
            [Ok(Vec::new()), Err(Status::BadArgument), Ok(Vec::new())]
        );
    }

    #[test]
    fn messages_are_read_or_refused() {
        assert_eq!(fields(b"\x0a\x02ab\x10\x01"), Some(vec![(1, &b"ab"[..])]));
        for bad in [&b"\xff"[..], b"\x0a\x05ab", b"\x0f", b"\x09\x00"] {
            assert_eq!(fields(bad), None);
        }
    }
}
