//! The part of WASI that Envoy has, with its answers.

use super::{
    Guest,
    guest::{read, write},
};
use crate::host::state::State;
use wasmtime::Linker;

const SUCCESS: u32 = 0;
const BADF: u32 = 8;
const FAULT: u32 = 21;
const INVAL: u32 = 28;
const NOTSUP: u32 = 58;

/// The most bytes that `random_get` gives at once.
const RANDOM_LIMIT: u32 = 64 << 10;
/// The levels that the standard streams are logged at: info and error.
const STDOUT_LEVEL: u32 = 2;
const STDERR_LEVEL: u32 = 4;

/// What Envoy answers to a function of WASI that does nothing there; none if it has no such function.
pub(super) fn refusal(name: &str) -> Option<i32> {
    const NOENT: i32 = 44;
    const NOSYS: i32 = 52;
    match name {
        "sched_yield" | "args_get" | "fd_close" | "fd_fdstat_get" | "fd_seek" => Some(0),
        "fd_read" | "fd_prestat_dir_name" | "fd_fdstat_set_flags" => Some(NOSYS),
        "fd_prestat_get" | "fd_filestat_get" => Some(8),
        "path_open" => Some(NOENT),
        _ if ["fd_", "path_", "sock_", "proc_raise", "clock_res"]
            .iter()
            .any(|prefix| name.starts_with(prefix)) =>
        {
            Some(58)
        }
        _ => None,
    }
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        linker.func_wrap(
            module,
            "fd_write",
            |mut guest: Guest<'_>, file: u32, parts: u32, count: u32, written: u32| {
                fd_write(&mut guest, file, parts, count, written).unwrap_or_else(|errno| errno)
            },
        )?;
        linker.func_wrap(module, "environ_sizes_get", |mut guest: Guest<'_>, count: u32, size: u32| {
            let environ = environ(guest.data());
            let bytes = environ.iter().map(Vec::len).sum::<usize>();
            let both = [(count, environ.len()), (size, bytes)];
            numbers(&mut guest, &both)
        })?;
        linker.func_wrap(module, "environ_get", |mut guest: Guest<'_>, mut places: u32, mut at: u32| {
            for variable in environ(guest.data()) {
                if write(&mut guest, places, &at.to_le_bytes()).is_err()
                    || write(&mut guest, at, &variable).is_err()
                {
                    return FAULT;
                }
                places = places.wrapping_add(4);
                at = at.wrapping_add(u32::try_from(variable.len()).unwrap_or(0));
            }
            SUCCESS
        })?;
        linker.func_wrap(module, "args_sizes_get", |mut guest: Guest<'_>, count: u32, size: u32| {
            numbers(&mut guest, &[(count, 0), (size, 0)])
        })?;
        linker.func_wrap(
            module,
            "clock_time_get",
            |mut guest: Guest<'_>, clock: u32, _precision: u64, at: u32| {
                if clock > 1 {
                    return NOTSUP;
                }
                let now = guest.data().options.clock;
                write(&mut guest, at, &now.to_le_bytes()).map_or(FAULT, |()| SUCCESS)
            },
        )?;
        linker.func_wrap(module, "random_get", |mut guest: Guest<'_>, at: u32, size: u32| {
            if size > RANDOM_LIMIT {
                return INVAL;
            }
            let state = guest.data_mut();
            let bytes: Vec<u8> = (0..size.div_ceil(8))
                .flat_map(|_| state.next_random().to_le_bytes())
                .take(size as usize)
                .collect();
            write(&mut guest, at, &bytes).map_or(FAULT, |()| SUCCESS)
        })?;
        linker.func_wrap(
            module,
            "poll_oneoff",
            |mut guest: Guest<'_>, _in: u32, _out: u32, _count: u32, events: u32| {
                numbers(&mut guest, &[(events, 0)])
            },
        )?;
        // Envoy logs it and goes on; the module has an `unreachable` behind it.
        linker.func_wrap(module, "proc_exit", |mut guest: Guest<'_>, code: u32| {
            guest.data_mut().log(STDERR_LEVEL, format!("proc_exit {code}").as_bytes());
        })?;
    }
    Ok(())
}

fn numbers(guest: &mut Guest<'_>, places: &[(u32, usize)]) -> u32 {
    for (at, number) in places {
        let number = u32::try_from(*number).unwrap_or(u32::MAX);
        if write(guest, *at, &number.to_le_bytes()).is_err() {
            return FAULT;
        }
    }
    SUCCESS
}

fn environ(state: &State) -> Vec<Vec<u8>> {
    state.options.environment.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn fd_write(guest: &mut Guest<'_>, file: u32, parts: u32, count: u32, written: u32) -> Result<u32, u32> {
    let level = match file {
        1 => STDOUT_LEVEL,
        2 => STDERR_LEVEL,
        _ => return Err(BADF),
    };
    let parts = read(guest, parts, count.checked_mul(8).ok_or(FAULT)?).map_err(|_| FAULT)?;
    let mut text = Vec::new();
    for part in parts.chunks_exact(8) {
        let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let (at, size) = (number(part), number(part.get(4..).unwrap_or_default()));
        text.extend(read(guest, at, size).map_err(|_| FAULT)?);
    }
    let size = text.len();
    guest.data_mut().log(level, text.strip_suffix(b"\n").unwrap_or(&text));
    Ok(numbers(guest, &[(written, size)]))
}
