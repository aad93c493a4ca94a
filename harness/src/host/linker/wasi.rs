//! The part of WASI that Envoy has, with its answers.

use crate::host::{
    abi::Callback,
    memory::{Answer, Guest, HostTrap, Refusal, read, write, write_size},
    state::State,
};
use wasmtime::Linker;

/// What a module may call while it allocates memory for the host. While it starts it may call all but the others.
const ALWAYS: [&str; 3] = ["fd_write", "clock_time_get", "poll_oneoff"];
const NOT_AT_START: [&str; 6] = ["fd_close", "fd_read", "fd_seek", "path_open", "proc_exit", "sched_yield"];

const SUCCESS: u32 = 0;
const BADF: u32 = 8;
const FAULT: u32 = 21;
const INVAL: u32 = 28;
const NOTSUP: u32 = 58;
const NOT_CAPABLE: u32 = 76;

/// The most bytes that `random_get` gives at once.
const RANDOM_LIMIT: u32 = 64 << 10;
/// The levels that the standard streams are logged at: info and error.
const STDOUT_LEVEL: u32 = 2;
const STDERR_LEVEL: u32 = 4;
/// The right to write, of WASI's `fdstat`.
const RIGHT_TO_WRITE: u64 = 64;

/// What Envoy answers to a function of WASI that does nothing there; none if it has no such function.
pub(super) fn refusal(name: &str) -> Option<i32> {
    match name {
        "sched_yield" | "args_get" | "fd_close" | "fd_seek" => Some(0),
        "fd_read" | "fd_prestat_dir_name" | "fd_fdstat_set_flags" => Some(52),
        "fd_prestat_get" | "fd_filestat_get" => Some(8),
        "path_open" => Some(44),
        _ if ["fd_", "path_", "sock_"].iter().any(|prefix| name.starts_with(prefix)) => Some(58),
        _ => None,
    }
}

/// Refuses a function that the module may not call now: Envoy fails the VM.
pub(super) fn check(state: &State, name: &str) -> Result<(), HostTrap> {
    let is_refused = state.is_allocating && !ALWAYS.contains(&name)
        || state.callback == Callback::Start && NOT_AT_START.contains(&name);
    if is_refused { Err(HostTrap::Restricted(name.to_owned())) } else { Ok(()) }
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        linker.func_wrap(
            module,
            "fd_write",
            |mut guest: Guest<'_>, file: u32, parts: u32, count: u32, written: u32| {
                let level = match file {
                    1 => STDOUT_LEVEL,
                    2 => STDERR_LEVEL,
                    _ => return Ok(BADF),
                };
                errno(&mut guest, "fd_write", |guest| fd_write(guest, level, parts, count, written))
            },
        )?;
        linker.func_wrap(module, "fd_fdstat_get", |mut guest: Guest<'_>, file: u32, at: u32| {
            if !(1..=2).contains(&file) {
                return Ok(BADF);
            }
            errno(&mut guest, "fd_fdstat_get", |guest| {
                // Whether it could be written Envoy does not look at.
                match write(guest, at, &[0, RIGHT_TO_WRITE, 0].map(u64::to_le_bytes).concat()) {
                    Err(Refusal::Trap(trap)) => Err(Refusal::Trap(trap)),
                    _ => Ok(()),
                }
            })
        })?;
        linker.func_wrap(module, "environ_sizes_get", |mut guest: Guest<'_>, count: u32, size: u32| {
            let environ = environ(guest.data());
            errno(&mut guest, "environ_sizes_get", |guest| {
                write_size(guest, count, environ.len())?;
                write_size(guest, size, environ.iter().map(Vec::len).sum())
            })
        })?;
        linker.func_wrap(module, "environ_get", |mut guest: Guest<'_>, places: u32, at: u32| {
            errno(&mut guest, "environ_get", |guest| {
                let (mut places, mut at) = (places, at);
                for variable in environ(guest.data()) {
                    write(guest, places, &at.to_le_bytes())?;
                    write(guest, at, &variable)?;
                    places = places.wrapping_add(4);
                    at = at.wrapping_add(u32::try_from(variable.len()).unwrap_or(0));
                }
                Ok(())
            })
        })?;
        linker.func_wrap(module, "args_sizes_get", |mut guest: Guest<'_>, count: u32, size: u32| {
            errno(&mut guest, "args_sizes_get", |guest| {
                write_size(guest, count, 0)?;
                write_size(guest, size, 0)
            })
        })?;
        linker.func_wrap(
            module,
            "clock_time_get",
            |mut guest: Guest<'_>, clock: u32, _precision: u64, at: u32| {
                if clock > 1 {
                    return Ok(NOTSUP);
                }
                let now = guest.data().world.now();
                errno(&mut guest, "clock_time_get", |guest| write(guest, at, &now.to_le_bytes()))
            },
        )?;
        linker.func_wrap(module, "clock_res_get", |mut guest: Guest<'_>, clock: u32, at: u32| {
            if clock > 1 {
                return Ok(NOTSUP);
            }
            errno(&mut guest, "clock_res_get", |guest| write(guest, at, &1_u64.to_le_bytes()))
        })?;
        linker.func_wrap(module, "random_get", |mut guest: Guest<'_>, at: u32, size: u32| {
            if size > RANDOM_LIMIT {
                return Ok(INVAL);
            }
            errno(&mut guest, "random_get", |guest| {
                let random = &mut guest.data_mut().random;
                let bytes = (0..size.div_ceil(8)).flat_map(|_| random.next().to_le_bytes());
                let bytes: Vec<u8> = bytes.take(size as usize).collect();
                write(guest, at, &bytes)
            })
        })?;
        linker.func_wrap(
            module,
            "poll_oneoff",
            |mut guest: Guest<'_>, _in: u32, _out: u32, _count: u32, events: u32| {
                // A sleep is over at once.
                errno(&mut guest, "poll_oneoff", |guest| write_size(guest, events, 0))
            },
        )?;
        // Envoy notes it in its own log and goes on; the module has an `unreachable` behind it.
        linker.func_wrap(module, "proc_exit", |guest: Guest<'_>, _code: u32| {
            check(guest.data(), "proc_exit").map_err(wasmtime::Error::new)
        })?;
    }
    Ok(())
}

/// Makes a call within the callback's budget and turns its answer into the number that the module gets.
fn errno(
    guest: &mut Guest<'_>,
    name: &'static str,
    call: impl FnOnce(&mut Guest<'_>) -> Answer,
) -> wasmtime::Result<u32> {
    guest.data().world.calls_wasi(name);
    check(guest.data(), name).and_then(|()| guest.data_mut().charge(0)).map_err(wasmtime::Error::new)?;
    if guest.data().options.leaves_out(name) {
        return Ok(NOT_CAPABLE);
    }
    match call(guest) {
        Ok(()) => Ok(SUCCESS),
        Err(Refusal::Status(_) | Refusal::Other(_)) => Ok(FAULT),
        Err(Refusal::Trap(trap)) => Err(trap),
    }
}

fn environ(state: &State) -> Vec<Vec<u8>> {
    state.options.environment.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn fd_write(guest: &mut Guest<'_>, level: u32, parts: u32, count: u32, written: u32) -> Answer {
    let parts = read(guest, parts, count.saturating_mul(8))?;
    let mut text = Vec::new();
    for part in parts.chunks_exact(8) {
        let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let (at, size) = (number(part), number(part.get(4..).unwrap_or_default()));
        text.extend(read(guest, at, size)?);
    }
    write_size(guest, written, text.len())?;
    if !text.is_empty() {
        guest.data_mut().log(level, text.strip_suffix(b"\n").unwrap_or(&text));
    }
    Ok(())
}
